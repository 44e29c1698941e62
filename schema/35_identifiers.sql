-- Identifiers: what would be sent of a value, and why. One C function per family; it takes the kind from the SQL name.

CREATE FUNCTION tiktok.normalize_email(value text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tte_sql_normalize';
COMMENT ON FUNCTION tiktok.normalize_email(text) IS 'the e-mail address as it is hashed; NULL when unusable';

CREATE FUNCTION tiktok.normalize_phone(value text, calling_code text DEFAULT NULL) RETURNS text
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tte_sql_normalize';
COMMENT ON FUNCTION tiktok.normalize_phone(text, text) IS 'the telephone number as it is hashed; calling_code, as 49, +49 or DE, is that of national numbers; NULL when unusable';

CREATE FUNCTION tiktok.normalize_external_id(value text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tte_sql_normalize';
COMMENT ON FUNCTION tiktok.normalize_external_id(text) IS 'your own id of the customer as it is hashed, its case kept; NULL when unusable';

CREATE FUNCTION tiktok.normalize_ip(value text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tte_sql_normalize';
COMMENT ON FUNCTION tiktok.normalize_ip(text) IS 'the address as it is sent; NULL when private, reserved or none';

CREATE FUNCTION tiktok.normalize_locale(value text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tte_sql_normalize';
COMMENT ON FUNCTION tiktok.normalize_locale(text) IS 'the language as it is sent; NULL when unusable';

CREATE FUNCTION tiktok.normalize_idfa(value text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tte_sql_normalize';
COMMENT ON FUNCTION tiktok.normalize_idfa(text) IS 'the advertising id of iOS as it is sent, in upper case; NULL when unusable';

CREATE FUNCTION tiktok.normalize_idfv(value text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tte_sql_normalize';
COMMENT ON FUNCTION tiktok.normalize_idfv(text) IS 'the vendor id of iOS as it is sent; NULL when unusable';

CREATE FUNCTION tiktok.normalize_gaid(value text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tte_sql_normalize';
COMMENT ON FUNCTION tiktok.normalize_gaid(text) IS 'the advertising id of Android as it is sent, in lower case; NULL when unusable';

CREATE FUNCTION tiktok.normalize_att_status(value text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tte_sql_normalize';
COMMENT ON FUNCTION tiktok.normalize_att_status(text) IS 'the tracking permission of iOS in TikTok''s spelling; NULL when unusable';

CREATE FUNCTION tiktok.normalize_first_name(value text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tte_sql_normalize';
COMMENT ON FUNCTION tiktok.normalize_first_name(text) IS 'the first name as it is hashed; NULL when unusable';

CREATE FUNCTION tiktok.normalize_last_name(value text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tte_sql_normalize';
COMMENT ON FUNCTION tiktok.normalize_last_name(text) IS 'the last name as it is hashed; NULL when unusable';

CREATE FUNCTION tiktok.normalize_city(value text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tte_sql_normalize';
COMMENT ON FUNCTION tiktok.normalize_city(text) IS 'the city as it is sent, in clear; NULL when unusable';

CREATE FUNCTION tiktok.normalize_state(value text, country text DEFAULT NULL) RETURNS text
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tte_sql_normalize';
COMMENT ON FUNCTION tiktok.normalize_state(text, text) IS 'the state as it is sent, in clear; NULL when unusable';

CREATE FUNCTION tiktok.normalize_country(value text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tte_sql_normalize';
COMMENT ON FUNCTION tiktok.normalize_country(text) IS 'the country as it is sent, two letters in clear; NULL when unusable';

CREATE FUNCTION tiktok.normalize_zip_code(value text, country text DEFAULT NULL) RETURNS text
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tte_sql_normalize';
COMMENT ON FUNCTION tiktok.normalize_zip_code(text, text) IS 'the postal code as it is hashed; NULL when unusable';

CREATE FUNCTION tiktok.hash_email(value text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tte_sql_hash';
COMMENT ON FUNCTION tiktok.hash_email(text) IS 'the SHA-256 that is sent for an e-mail address; NULL when unusable';

CREATE FUNCTION tiktok.hash_phone(value text, calling_code text DEFAULT NULL) RETURNS text
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tte_sql_hash';
COMMENT ON FUNCTION tiktok.hash_phone(text, text) IS 'the SHA-256 that is sent for a telephone number; calling_code, as 49, +49 or DE, is that of national numbers; NULL when unusable';

CREATE FUNCTION tiktok.hash_external_id(value text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tte_sql_hash';
COMMENT ON FUNCTION tiktok.hash_external_id(text) IS 'the SHA-256 that is sent for your own id of the customer; NULL when unusable';

CREATE FUNCTION tiktok.hash_first_name(value text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tte_sql_hash';
COMMENT ON FUNCTION tiktok.hash_first_name(text) IS 'the SHA-256 that is sent for a first name; NULL when unusable';

CREATE FUNCTION tiktok.hash_last_name(value text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tte_sql_hash';
COMMENT ON FUNCTION tiktok.hash_last_name(text) IS 'the SHA-256 that is sent for a last name; NULL when unusable';

CREATE FUNCTION tiktok.hash_zip_code(value text, country text DEFAULT NULL) RETURNS text
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tte_sql_hash';
COMMENT ON FUNCTION tiktok.hash_zip_code(text, text) IS 'the SHA-256 that is sent for a postal code; NULL when unusable';

CREATE FUNCTION tiktok.hash_idfa(value text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tte_sql_hash';
COMMENT ON FUNCTION tiktok.hash_idfa(text) IS 'the SHA-256 that may be sent for an advertising id of iOS; NULL when unusable';

CREATE FUNCTION tiktok.hash_gaid(value text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tte_sql_hash';
COMMENT ON FUNCTION tiktok.hash_gaid(text) IS 'the SHA-256 that may be sent for an advertising id of Android; NULL when unusable';

CREATE FUNCTION tiktok.explain_identifier(kind text, value text, calling_code text DEFAULT NULL,
	OUT step int, OUT what text, OUT result text)
RETURNS SETOF record LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tte_sql_explain_identifier';
COMMENT ON FUNCTION tiktok.explain_identifier(text, text, text) IS 'what is made of an identifier, step by step, or why it is left out; calling_code is for phone, and for state and zip_code the country';

CREATE FUNCTION tiktok.explain_code(INOUT code int, OUT class text, OUT meaning text, OUT fix text)
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tte_sql_explain_code';
COMMENT ON FUNCTION tiktok.explain_code(int) IS 'what a return code of TikTok means, what the worker does about it, and what you can do';

CREATE FUNCTION tiktok_internal.current_name(event text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tte_sql_current_name';
COMMENT ON FUNCTION tiktok_internal.current_name(text) IS 'the name that replaces a legacy one; every other name as it is';

CREATE FUNCTION tiktok.self_test(OUT test_name text, OUT passed boolean, OUT expected text, OUT got text)
RETURNS SETOF record LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tte_sql_self_test';
COMMENT ON FUNCTION tiktok.self_test() IS 'checks TikTok''s published hashes, and that junk is never hashed';

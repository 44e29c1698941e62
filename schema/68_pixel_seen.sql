-- Events that the Pixel fired in browsers, as reported by the application.

-- From here to the end of the script, names without a schema are PostgreSQL's.
SET LOCAL search_path TO pg_catalog, pg_temp;

CREATE TABLE tiktok.pixel_seen (
	event_id text NOT NULL,
	event text NOT NULL,
	source_id int NOT NULL REFERENCES tiktok.source (id) ON DELETE CASCADE,
	seen_at timestamptz NOT NULL,
	PRIMARY KEY (event_id, event, source_id),
	CHECK (length(event_id) BETWEEN 1 AND 128),
	CHECK (length(event) BETWEEN 1 AND 128)
);
CREATE INDEX pixel_seen_hour ON tiktok.pixel_seen USING brin (date_bin('1 hour', seen_at, '2000-01-01 00:00+00'));
COMMENT ON TABLE tiktok.pixel_seen IS 'events that the Pixel fired in browsers, as reported by the application';
COMMENT ON COLUMN tiktok.pixel_seen.event_id IS 'the event_id the Pixel sent; a hash in its place if it shows a person';
COMMENT ON COLUMN tiktok.pixel_seen.event IS 'the event name the Pixel sent; a hash in its place if it shows a person';
COMMENT ON COLUMN tiktok.pixel_seen.source_id IS 'tiktok.source.id of the Pixel';
COMMENT ON COLUMN tiktok.pixel_seen.seen_at IS 'when it was first fired; not before 2000, and not more than a day after it was reported';

CREATE FUNCTION tiktok_internal.source_id(source text) RETURNS int
LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tte_sql_source_id';
COMMENT ON FUNCTION tiktok_internal.source_id(text) IS 'the number of a source; an error when there is none of that name';

CREATE FUNCTION tiktok_internal.shown(word text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tte_sql_shown';
COMMENT ON FUNCTION tiktok_internal.shown(text) IS 'the word, or the hash that stands in an event for one that shows a person';

CREATE FUNCTION tiktok.pixel_seen(source text, event text, event_id text, seen_at timestamptz DEFAULT now()) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
	INSERT INTO tiktok.pixel_seen (event_id, event, source_id, seen_at)
	VALUES (tiktok_internal.shown(pixel_seen.event_id), tiktok_internal.shown(pixel_seen.event), tiktok_internal.source_id(pixel_seen.source),
		-- what is not a time of today's clocks would be out of range where views reckon with it
		greatest(least(coalesce(pixel_seen.seen_at, now()), now() + interval '1 day'), '2000-01-01 00:00+00'))
	ON CONFLICT DO NOTHING
$$;
COMMENT ON FUNCTION tiktok.pixel_seen(text, text, text, timestamptz) IS
	'notes that the Pixel fired an event, under the name and event_id that it sent; for tiktok.dedup_overlap';

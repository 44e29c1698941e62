/*-------------------------------------------------------------------------
 *
 * identifiers.c
 *	  Identifiers by SQL: what the extension makes of them, step by step.
 *
 * Whoever wonders why TikTok does not know a customer can see here what would
 * be sent, and whoever writes the same identifier elsewhere, in a page or an
 * audience, can make the same hash.  All of it is the judgement that events
 * get; nothing is decided here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/lsyscache.h"
#include "utils/tuplestore.h"

#include "enqueue/value.h"
#include "event/ascii.h"
#include "event/catalog.h"
#include "event/country.h"
#include "event/derived_id.h"
#include "event/identity.h"
#include "event/phone.h"
#include "event/unicode.h"
#include "server/common.h"
#include "server/compat.h"

PG_FUNCTION_INFO_V1(tte_sql_normalize);
PG_FUNCTION_INFO_V1(tte_sql_hash);
PG_FUNCTION_INFO_V1(tte_sql_explain_identifier);
PG_FUNCTION_INFO_V1(tte_sql_explain_code);
PG_FUNCTION_INFO_V1(tte_sql_current_name);
PG_FUNCTION_INFO_V1(tte_sql_shown);
PG_FUNCTION_INFO_V1(tte_sql_self_test);

static const char *const rules_in_words[] = {
#define TTE_IDENTIFIER(symbol, name, sources, hashed, longest, rule) rule,
#include "event/identifier_list.h"
#undef TTE_IDENTIFIER
};

typedef struct Reason
{
	const char *word;
	const char *sentence;
} Reason;

static const Reason reasons[] = {
	{"att_status", "it is not one of AUTHORIZED, DENIED, NOT_DETERMINED, RESTRICTED and NOT_APPLICABLE"},
	{"control", "it contains a control character or an invisible one"},
	{"country", "it is no country of ISO 3166, or its name could mean two"},
	{"email_syntax", "it is not an address of the form name@example.com"},
	{"encoding", "it is not valid text, or a character of it has been lost"},
	{"hashed", "it is a hash, and TikTok takes this identifier in clear only"},
	{"id_syntax", "it is not made of 16 to 32 hex digits and hyphens"},
	{"ip_private", "the address is private or reserved and says nothing about the user"},
	{"ip_syntax", "it is not an IP address"},
	{"junk", "it is what programs write when they have no value"},
	{"locale_syntax", "it is not a language such as en or en-US"},
	{"macro", "it is a placeholder such as {{ttclid}} or __CLICKID__, for which nobody put in a value"},
	{"no_latin", "no letter or digit of it has a Latin form"},
	{"not_sha256", "it looks like MD5 or SHA-1, and TikTok takes SHA-256 only"},
	{"phone_ambiguous", "it begins with its country's calling code and can be read in two ways"},
	{"phone_length", "it has too few or too many digits for its country"},
	{"phone_no_country", "it is a national number, and nothing says of which country"},
	{"phone_plan", "its country has no such numbers"},
	{"phone_syntax", "it is not a telephone number"},
	{"too_long", "it is longer than any such identifier"},
	{"zero_id", "it consists of zeros: the user has none"},
	{"zip_syntax", "it is not a postal code"},
	{"", "it is empty"}
};

/* The name of the class as users see it, in the order of TteCodeClass. */
static const char *const class_names[] = {
	"ok", "resend singly", "isolate", "isolate, never resend", "throttle",
	"stop: credential", "stop: configuration", "retry", "retry once, then isolate"
};

/* One check of tiktok.self_test(): a hash, or with no expectation nothing. */
typedef struct SelfTest
{
	const char *name;
	TteIdentifier kind;
	const char *value;
	const char *place;			/* calling code or country, or NULL */
	bool		differs;		/* must not be what is expected */
	const char *expected;
} SelfTest;

static const SelfTest self_tests[] = {
	{"email, as published", TTE_EMAIL, " ALICE_abc@gmail.com ", NULL, false,
	"848a771458438fc2ec420560d769fb9b9b86851ee338ec56517baabd79d3bb4f"},
	{"phone, as published", TTE_PHONE, "(+1)2133734253", NULL, false,
	"9f7ec22d72092cd3c0b58726ed9c2d91b92e51a3f29837508fb2948bb22dd2fd"},
	{"external_id, as published", TTE_EXTERNAL_ID, "user_123", NULL, false,
	"80fba0ae1c48e3978e43e4efc365e14e12ea0c830ba8ba5b9a2dafc7e3f2ab8b"},
	{"first_name, as published", TTE_FIRST_NAME, "Jane", NULL, false,
	"81f8f6dde88365f3928796ec7aa53f72820b06db8664f5fe76a7eb13e24546a2"},
	{"zip_code of the USA, as published", TTE_ZIP_CODE, "95110", "US", false,
	"383f7fffd99f3b1c3066086bcf991eae7ad543589d12bd792ecb6dc8b5acebc1"},
	{"zip_code of Canada, as published", TTE_ZIP_CODE, "M5V 3L9", "CA", false,
	"5c850751d57c5d887fe7807d3da801efe7e8faa1f105ea36cdcd913dd32a41c7"},
	{"idfa, as published", TTE_IDFA, "EA7583CD-A667-48BC-B806-42ECB2B48606", NULL, false,
	"70574fa9c8f498a7b2e5c8712b1126de7b1406fd02fdc591821c5bd33092fd1c"},
	{"gaid, as published", TTE_GAID, "aaaaaa-2222-1111-8787-809e92233ba0", NULL, false,
	"0ebad966881e1eebffe69b3abf624631cf83ec9bf8cb3ce134c7c75c6d8ee7fc"},
	{"phone is not hashed without its plus sign", TTE_PHONE, "(+1)2133734253", NULL, true,
	"1f81adb30e11317806be982cc82769fbf8627833a89dd87cb24d282f71828830"},
	{"idfa is not hashed in lower case", TTE_IDFA, "ea7583cd-a667-48bc-b806-42ecb2b48606", NULL, true,
	"6cd6140c54b2741b81b0099b232a3ddaeed82df456f43563574877baec22b632"},
	{"what is hashed already is not hashed again", TTE_EMAIL,
		"848A771458438FC2EC420560D769FB9B9B86851EE338EC56517BAABD79D3BB4F", NULL, false,
	"848a771458438fc2ec420560d769fb9b9b86851ee338ec56517baabd79d3bb4f"},
	{"nothing is not hashed", TTE_EMAIL, "  ", NULL, false, NULL},
	{"a lone plus sign is not hashed", TTE_PHONE, "+", NULL, false, NULL},
	{"0 is not hashed", TTE_EXTERNAL_ID, "0", NULL, false, NULL},
	{"undefined is not hashed", TTE_EXTERNAL_ID, "undefined", NULL, false, NULL},
	{"null is not hashed", TTE_EXTERNAL_ID, "null", NULL, false, NULL},
	{"the hash of nothing is not sent", TTE_EMAIL,
	"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", NULL, false, NULL},
	{"the hash of a lone plus sign is not sent", TTE_PHONE,
	"a318c24216defe206feeb73ef5be00033fa9c4a74d0b967f6532a26ca5906d3b", NULL, false, NULL},
	{"MD5 is not sent", TTE_EMAIL, "0123456789abcdef0123456789abcdef", NULL, false, NULL}
};

/*
 * The judgement
 */

/*
 * place: the calling code or country of a phone, the country of a state or
 * zip_code.  False: it cannot be read, so nobody knows what a phone is.
 */
static bool
set_rules(TteIdentifier kind, const char *place, TteIdentityRules *rules)
{
	StringInfoData country;

	memset(rules, 0, sizeof(*rules));
	if (place == NULL || *place == '\0')
		return true;
	if (kind == TTE_PHONE)
	{
		rules->calling_code = tte_calling_code_of(place);
		if (rules->calling_code == NULL)
			rules->calling_code = tte_country_find(place, strlen(place));
		return rules->calling_code != NULL;
	}
	/* a country that is none counts as not given, as in an event */
	initStringInfo(&country);
	if (tte_identifier_normalize(TTE_COUNTRY, place, strlen(place), rules, &country) == NULL)
		rules->country = country.data;
	return true;
}

static const char *
normalize_at(TteIdentifier kind, const char *value, int len, const char *place, StringInfo out)
{
	TteIdentityRules rules;

	initStringInfo(out);
	if (!set_rules(kind, place, &rules))
		return "phone_no_country";
	return tte_identifier_normalize(kind, value, len, &rules, out);
}

static bool
is_hash(StringInfo normalized)
{
	return normalized->len == TTE_HEX_LEN && strspn(normalized->data, "0123456789abcdef") == TTE_HEX_LEN;
}

/* The hash of a normalised value, or the value if the caller had hashed it. */
static void
hash(StringInfo normalized, char hex[TTE_HEX_LEN + 1])
{
	if (is_hash(normalized))
		memcpy(hex, normalized->data, TTE_HEX_LEN + 1);
	else
		tte_sha256_hex(normalized->data, normalized->len, hex);
}

/* A text argument in UTF-8, of a long one as much as is needed to refuse it. */
static const TteJson *
utf8_argument(FunctionCallInfo fcinfo, int number)
{
	TteValueType type = {.kind = TTE_VALUE_TEXT, .type = TEXTOID};

	if (number >= PG_NARGS() || PG_ARGISNULL(number))
		return NULL;
	return tte_value_read(&type, PG_GETARG_DATUM(number), TTE_IDENTIFIER_CAP);
}

static const char *
utf8_cstring(FunctionCallInfo fcinfo, int number)
{
	const TteJson *value = utf8_argument(fcinfo, number);

	return value ? pnstrdup(value->text, value->len) : NULL;
}

/*
 * Functions of one kind: they share their C code and are told apart by their
 * names, as normalize_email.
 */
static TteIdentifier
kind_of_call(FunctionCallInfo fcinfo)
{
	FmgrInfo   *flinfo = fcinfo->flinfo;
	const TteIdentifier *known = flinfo->fn_extra;

	if (known == NULL)
	{
		char	   *name = get_func_name(flinfo->fn_oid);
		char	   *kind = name ? strchr(name, '_') : NULL;
		int			found = kind ? tte_identifier_find(kind + 1) : -1;
		TteIdentifier *memory;

		if (found < 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_FUNCTION),
					 errmsg("function \"%s\" does not name an identifier", name ? name : "")));
		memory = MemoryContextAlloc(flinfo->fn_mcxt, sizeof(TteIdentifier));
		*memory = found;
		known = flinfo->fn_extra = memory;
	}
	return *known;
}

/* Normalises the first argument; false: it is null or cannot be used. */
static bool
normalize_argument(FunctionCallInfo fcinfo, TteIdentifier kind, StringInfo out)
{
	const TteJson *value = utf8_argument(fcinfo, 0);

	return value != NULL &&
		normalize_at(kind, value->text, value->len, utf8_cstring(fcinfo, 1), out) == NULL;
}

Datum
tte_sql_normalize(PG_FUNCTION_ARGS)
{
	StringInfoData normalized;

	if (!normalize_argument(fcinfo, kind_of_call(fcinfo), &normalized))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(tte_from_utf8(normalized.data, normalized.len)));
}

Datum
tte_sql_hash(PG_FUNCTION_ARGS)
{
	StringInfoData normalized;
	char		hex[TTE_HEX_LEN + 1];

	if (!normalize_argument(fcinfo, kind_of_call(fcinfo), &normalized))
		PG_RETURN_NULL();
	hash(&normalized, hex);
	PG_RETURN_TEXT_P(cstring_to_text(hex));
}

/*
 * The steps in words
 */

static TteIdentifier
kind_argument(FunctionCallInfo fcinfo)
{
	StringInfoData names;
	int			kind = tte_identifier_find(tte_required_text(fcinfo, 0, "kind"));

	if (kind >= 0)
		return kind;
	initStringInfo(&names);
	for (int i = 0; i < TTE_IDENTIFIERS; i++)
		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "", tte_identifier_names[i]);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown kind of identifier"),
			 errhint("Kinds are %s.", names.data),
			 tte_hide_statement()));
}

/* Appends a row (step, what, result); the result may be NULL. */
static void
add_step(FunctionCallInfo fcinfo, int step, const char *what, const char *result, int len)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum		values[3];
	bool		nulls[3] = {false, false, result == NULL};

	values[0] = Int32GetDatum(step);
	values[1] = CStringGetTextDatum(what);
	if (result != NULL)
		values[2] = CStringGetTextDatum(tte_from_utf8(result, len));
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

static const char *
left_out(const char *reason)
{
	for (int i = 0; i < lengthof(reasons); i++)
	{
		if (strcmp(reasons[i].word, reason) == 0)
			return psprintf("left out%s%s: %s", *reason ? ", " : "", reason, reasons[i].sentence);
	}
	return psprintf("left out: %s", reason);
}

/* What became of a usable value, up to what is sent. */
static void
explain_usable(FunctionCallInfo fcinfo, TteIdentifier kind, int step, StringInfo normalized)
{
	bool		hashed = tte_identifier_hashed(kind);
	char		hex[TTE_HEX_LEN + 1];

	if (is_hash(normalized) && (hashed || kind == TTE_IDFA || kind == TTE_GAID))
	{
		hashed = false;
		add_step(fcinfo, step++, "a SHA-256 already, in lower case", normalized->data, normalized->len);
	}
	else
		add_step(fcinfo, step++, rules_in_words[kind], normalized->data, normalized->len);
	if (hashed)
	{
		hash(normalized, hex);
		add_step(fcinfo, step++, "SHA-256 of these UTF-8 bytes in hex", hex, TTE_HEX_LEN);
		add_step(fcinfo, step, "sent", hex, TTE_HEX_LEN);
	}
	else
		add_step(fcinfo, step, "sent", normalized->data, normalized->len);
}

/* Whose numbering plan was followed, and how that was known. */
static const char *
how_known(const TtePhone *phone, const char *place)
{
	switch (phone->form)
	{
		case TTE_PHONE_PLUS:
			return psprintf("calling code %d behind the plus sign", phone->code);
		case TTE_PHONE_PREFIX:
			return psprintf("calling code %d behind what is dialled to call abroad", phone->code);
		case TTE_PHONE_CODE:
			return psprintf("calling code %d without plus sign", phone->code);
		default:
			return tte_ascii_digit(*place) ? psprintf("calling code of the source: %s", place) :
				psprintf("country of the event: %s", asc_toupper(place, strlen(place)));
	}
}

/* The steps between what was given and a telephone number, or none. */
static const char *
explain_phone(FunctionCallInfo fcinfo, const char *at, int len, const char *place, const char *reason, int *step)
{
	TteIdentityRules rules;
	TtePhone	phone;
	const char *utf8;
	const char *country;
	int			code;

	if (!set_rules(TTE_PHONE, place, &rules) || !tte_utf8_valid(at, len))
		return reason != NULL ? left_out(reason) : NULL;
	tte_phone_read(at, len, rules.calling_code, &phone);
	if (phone.digits[0] != '\0')
		add_step(fcinfo, (*step)++, "its digits", phone.digits, strlen(phone.digits));
	if (phone.region == NULL)
		return reason != NULL ? left_out(reason) : NULL;
	utf8 = *phone.region != '\0' ? tte_country_name(phone.region) : "no country";
	if (utf8 == NULL)
		utf8 = asc_toupper(phone.region, strlen(phone.region));
	country = tte_from_utf8(utf8, strlen(utf8));
	add_step(fcinfo, (*step)++, how_known(&phone, rules.calling_code ? rules.calling_code : ""), utf8, strlen(utf8));
	code = 1 + snprintf(NULL, 0, "%d", phone.code);
	if (reason == NULL && phone.rewritten)
		add_step(fcinfo, (*step)++, psprintf("without its prefix, by the plan of %s", country),
				 phone.number + code, strlen(phone.number + code));
	if (reason != NULL && strcmp(reason, "phone_length") == 0 && phone.misfit != 0)
		return psprintf("left out, %s: too %s for %s", reason, phone.misfit > 0 ? "long" : "short", country);
	if (reason != NULL && strcmp(reason, "phone_plan") == 0)
		return psprintf("left out, %s: no number of %s", reason, country);
	return reason != NULL ? left_out(reason) : NULL;
}

static void
explain(FunctionCallInfo fcinfo, TteIdentifier kind, const TteJson *value, const char *place)
{
	const char *words;
	const char *at = value->text;
	int			len = value->len;
	int			step = 1;
	StringInfoData normalized;
	const char *reason;

	add_step(fcinfo, step++, "given", at, len);
	tte_unicode_trim(&at, &len);
	if (len < value->len && len > 0 && kind != TTE_USER_AGENT)
		add_step(fcinfo, step++, "without the blanks around it", at, len);
	reason = normalize_at(kind, value->text, value->len, place, &normalized);
	words = reason != NULL ? left_out(reason) : NULL;

	if (kind == TTE_PHONE && (reason == NULL ? !is_hash(&normalized) : strncmp(reason, "phone_", 6) == 0))
		words = explain_phone(fcinfo, at, len, place, reason, &step);

	if (words != NULL)
		add_step(fcinfo, step, words, NULL, 0);
	else
		explain_usable(fcinfo, kind, step, &normalized);
}

Datum
tte_sql_explain_identifier(PG_FUNCTION_ARGS)
{
	TteIdentifier kind = kind_argument(fcinfo);
	const TteJson *value = utf8_argument(fcinfo, 1);

	InitMaterializedSRF(fcinfo, 0);
	if (value == NULL)
		add_step(fcinfo, 1, left_out(""), NULL, 0);
	else
		explain(fcinfo, kind, value, utf8_cstring(fcinfo, 2));
	return (Datum) 0;
}

Datum
tte_sql_explain_code(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		values[4];
	bool		nulls[4] = {false};
	const char *meaning;
	const char *fix;
	TteCodeClass class = tte_code_class(PG_GETARG_INT32(0), &meaning, &fix);

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = PG_GETARG_DATUM(0);
	values[1] = CStringGetTextDatum(class_names[class]);
	values[2] = CStringGetTextDatum(meaning);
	values[3] = CStringGetTextDatum(fix);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

Datum
tte_sql_current_name(PG_FUNCTION_ARGS)
{
	text	   *name = PG_GETARG_TEXT_PP(0);
	const char *final;

	if (tte_name_check(TTE_WEB, VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name), true, &final) != TTE_NAME_RENAMED)
		PG_RETURN_TEXT_P(name);
	PG_RETURN_TEXT_P(cstring_to_text(final));
}

/* As the id or name of an event is stored, were it not for the rules of TikTok. */
Datum
tte_sql_shown(PG_FUNCTION_ARGS)
{
	text	   *word = PG_GETARG_TEXT_PP(0);
	int			len;
	const char *utf8 = tte_to_utf8(VARDATA_ANY(word), VARSIZE_ANY_EXHDR(word), &len);

	if (tte_text_trace(utf8, len) < TTE_TRACE_SURE)
		PG_RETURN_TEXT_P(word);
	PG_RETURN_TEXT_P(cstring_to_text(tte_derived_id(utf8, len, TTE_TRACE_SURE)));
}

static void
run_self_test(const SelfTest *test, ReturnSetInfo *rsinfo)
{
	Datum		values[4];
	bool		nulls[4] = {false};
	StringInfoData normalized;
	char		got[TTE_HEX_LEN + 1] = "left out";
	const char *expected = test->expected ? test->expected : "left out";
	const char *reason = normalize_at(test->kind, test->value, strlen(test->value), test->place, &normalized);

	if (reason == NULL)
		hash(&normalized, got);
	values[0] = CStringGetTextDatum(test->name);
	values[1] = BoolGetDatum((strcmp(got, expected) == 0) != test->differs);
	values[2] = CStringGetTextDatum(psprintf("%s%s", test->differs ? "not " : "", expected));
	values[3] = CStringGetTextDatum(got);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

Datum
tte_sql_self_test(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < lengthof(self_tests); i++)
		run_self_test(&self_tests[i], (ReturnSetInfo *) fcinfo->resultinfo);
	return (Datum) 0;
}

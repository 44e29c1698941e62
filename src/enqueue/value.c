/*-------------------------------------------------------------------------
 *
 * value.c
 *	  From SQL values to what src/event reads.
 *
 * This code runs in triggers of order tables.  So no value raises an error, no
 * output function of a user's type is run, and nothing depends on the
 * session's DateStyle, TimeZone or extra_float_digits.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "parser/parse_coerce.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"

#include "enqueue/time_text.h"
#include "enqueue/value.h"
#include "event/event.h"
#include "event/unicode.h"
#include "server/common.h"

/* The longest text a property is read from: one more than an event may have. */
#define TEXT_CAP	(TTE_MAX_PAYLOAD + 1)

static TteValueKind
scalar_kind(Oid type)
{
	switch (type)
	{
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case NAMEOID:
			return TTE_VALUE_TEXT;
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
			return TTE_VALUE_NUMBER;
		case BOOLOID:
			return TTE_VALUE_BOOL;
		case TIMESTAMPTZOID:
		case TIMESTAMPOID:
		case DATEOID:
			return TTE_VALUE_TIME;
		case JSONOID:
		case JSONBOID:
			return TTE_VALUE_JSON;
		case UUIDOID:
		case INETOID:
		case CIDROID:
			return TTE_VALUE_OUTPUT;
		default:
			break;
	}
	if (type_is_enum(type))
		return TTE_VALUE_OUTPUT;
	/* citext and its like are text under another name */
	return IsBinaryCoercible(type, TEXTOID) ? TTE_VALUE_TEXT : TTE_VALUE_NONE;
}

TteValueType
tte_value_type(Oid type)
{
	TteValueType result = {TTE_VALUE_NONE};
	Oid			element;

	type = getBaseType(type);
	result.type = type;
	result.kind = scalar_kind(type);
	if (result.kind != TTE_VALUE_NONE)
		return result;
	element = get_element_type(type);
	if (!OidIsValid(element))
		return result;
	result.type = getBaseType(element);
	result.element = scalar_kind(result.type);
	if (result.element == TTE_VALUE_NONE || result.element == TTE_VALUE_JSON)
		return result;
	result.kind = TTE_VALUE_ARRAY;
	get_typlenbyvalalign(result.type, &result.typlen, &result.typbyval, &result.typalign);
	return result;
}

static TteJson *
json_string(const char *string, int len)
{
	int			utf8_len;
	const char *utf8 = tte_to_utf8(string, len, &utf8_len);
	TteJson    *json = tte_json_string(utf8, utf8_len);

	/* other encodings do not have this character, so one was lost */
	json->fixed = (utf8 != string && strstr(utf8, "\xEF\xBF\xBD") != NULL);
	return json;
}

static const char *
number_text(Oid type, Datum value)
{
	char		buf[Max(DOUBLE_SHORTEST_DECIMAL_LEN, FLOAT_SHORTEST_DECIMAL_LEN)];

	switch (type)
	{
		case INT2OID:
			return psprintf("%d", DatumGetInt16(value));
		case INT4OID:
			return psprintf("%d", DatumGetInt32(value));
		case INT8OID:
			return psprintf(INT64_FORMAT, DatumGetInt64(value));
		case FLOAT4OID:
			float_to_shortest_decimal_buf(DatumGetFloat4(value), buf);
			return pstrdup(buf);
		case FLOAT8OID:
			double_to_shortest_decimal_buf(DatumGetFloat8(value), buf);
			return pstrdup(buf);
		default:
			return DatumGetCString(DirectFunctionCall1(numeric_out, value));
	}
}

/* Core's own output functions only; ISO 8601 in UTC for times. */
static const char *
output_text(Oid type, Datum value)
{
	char		buf[MAXDATELEN + 1];
	int			utc = 0;

	switch (type)
	{
		case UUIDOID:
			return DatumGetCString(DirectFunctionCall1(uuid_out, value));
		case INETOID:
		case CIDROID:
			return DatumGetCString(DirectFunctionCall1(inet_out, value));
		case TIMESTAMPTZOID:
		case TIMESTAMPOID:
		case DATEOID:
			JsonEncodeDateTime(buf, value, type, type == TIMESTAMPTZOID ? &utc : NULL);
			return pstrdup(buf);
		default:
			return DatumGetCString(DirectFunctionCall1(enum_out, value));
	}
}

/* The padding of character(n) is not part of the value, as the cast to text has it. */
static int
significant_length(Oid type, text *t)
{
	int			len = VARSIZE_ANY_EXHDR(t);

	return type == BPCHAROID ? bpchartruelen(VARDATA_ANY(t), len) : len;
}

static text *
first_bytes(Datum value, int cap)
{
	if (toast_raw_datum_size(value) > cap + VARHDRSZ)
		return (text *) PG_DETOAST_DATUM_SLICE(value, 0, cap);
	return DatumGetTextPP(value);
}

static TteJson *
read_text(Oid type, Datum value, int cap)
{
	text	   *t;

	if (type == NAMEOID)
		return json_string(NameStr(*DatumGetName(value)), strlen(NameStr(*DatumGetName(value))));
	t = first_bytes(value, cap);
	return json_string(VARDATA_ANY(t), significant_length(type, t));
}

static TteJson *
parse(const char *string, int len)
{
	int			utf8_len;
	const char *utf8 = tte_to_utf8(string, len, &utf8_len);

	return tte_json_parse(utf8, utf8_len, NULL);
}

/* The nodes here are zeroed memory. */
static void
jsonb_scalar(const JsonbValue *value, TteJson *into)
{
	switch (value->type)
	{
		case jbvString:
			into->kind = TTE_JSON_STRING;
			into->text = value->val.string.val;
			into->len = value->val.string.len;
			break;
		case jbvNumeric:
			into->kind = TTE_JSON_NUMBER;
			into->text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
			into->len = strlen(into->text);
			break;
		case jbvBool:
			into->kind = TTE_JSON_BOOL;
			into->boolean = value->val.boolean;
			break;
		default:
			break;				/* null */
	}
}

/* The array or object that the iterator has entered with start; false: too deep. */
static bool
jsonb_elements(JsonbIterator **it, const JsonbValue *start, TteJson *into, int depth)
{
	bool		array = (start->type == jbvArray);
	TteJson    *node;
	JsonbValue	value;
	JsonbIteratorToken token;

	into->kind = array ? TTE_JSON_ARRAY : TTE_JSON_OBJECT;
	into->count = array ? start->val.array.nElems : start->val.object.nPairs;
	if (into->count > 0)
		into->first = palloc0(into->count * sizeof(TteJson));
	for (node = into->first; (token = JsonbIteratorNext(it, &value, false)) != WJB_END_ARRAY && token != WJB_END_OBJECT; node++)
	{
		if (token == WJB_KEY)
		{
			node->key = value.val.string.val;
			node->keylen = value.val.string.len;
			token = JsonbIteratorNext(it, &value, false);
		}
		if (token == WJB_ELEM || token == WJB_VALUE)
			jsonb_scalar(&value, node);
		else if (depth == TTE_JSON_MAX_DEPTH || !jsonb_elements(it, &value, node, depth + 1))
			return false;
		if (node > into->first)
			node[-1].next = node;
	}
	return true;
}

/* Strings are taken as they are, so the encoding must be one that needs no conversion. */
static TteJson *
read_jsonb(Jsonb *jb)
{
	JsonbIterator *it = JsonbIteratorInit(&jb->root);
	TteJson    *json = palloc0(sizeof(TteJson));
	JsonbValue	value;

	JsonbIteratorNext(&it, &value, false);
	if (!jsonb_elements(&it, &value, json, 1))
		return NULL;
	return JB_ROOT_IS_SCALAR(jb) ? json->first : json;
}

TteJson *
tte_value_jsonb(Datum value)
{
	Jsonb	   *jb;
	const char *json;

	/* a document this large is not read, whatever it contains */
	if (toast_raw_datum_size(value) > 4 * TEXT_CAP)
		return NULL;
	jb = DatumGetJsonbP(value);
	if (!tte_ascii_payload())
		return read_jsonb(jb);
	json = JsonbToCString(NULL, &jb->root, VARSIZE(jb));
	return parse(json, strlen(json));
}

static TteJson *
read_json(Oid type, Datum value)
{
	text	   *t;

	if (type == JSONBOID)
		return tte_value_jsonb(value);
	if (toast_raw_datum_size(value) > 4 * TEXT_CAP)
		return NULL;
	t = DatumGetTextPP(value);
	return parse(VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t));
}

static TteJson *
read_scalar(TteValueKind kind, Oid type, Datum value, int cap)
{
	const char *string;

	switch (kind)
	{
		case TTE_VALUE_TEXT:
			return read_text(type, value, cap);
		case TTE_VALUE_NUMBER:
			string = number_text(type, value);
			return tte_json_number(string, strlen(string));
		case TTE_VALUE_BOOL:
			return tte_json_bool(DatumGetBool(value));
		case TTE_VALUE_JSON:
			return read_json(type, value);
		default:
			string = output_text(type, value);
			return json_string(string, strlen(string));
	}
}

static TteJson *
read_array(const TteValueType *type, Datum value, int cap)
{
	TteJson    *array = palloc0(sizeof(TteJson));
	TteJson   **tail = &array->first;
	ArrayType  *elements_of;
	Datum	   *elements;
	bool	   *nulls;
	int			n;

	if (toast_raw_datum_size(value) > 4 * TEXT_CAP)
		return NULL;
	elements_of = DatumGetArrayTypeP(value);
	deconstruct_array(elements_of, ARR_ELEMTYPE(elements_of), type->typlen, type->typbyval, type->typalign,
					  &elements, &nulls, &n);
	array->kind = TTE_JSON_ARRAY;
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			continue;
		/* no element is JSON: NOLINTNEXTLINE(clang-analyzer-core.*) */
		*tail = read_scalar(type->element, type->type, elements[i], cap);
		tail = &(*tail)->next;
		array->count++;
	}
	return array;
}

TteJson *
tte_value_read(const TteValueType *type, Datum value, int cap)
{
	if (type->kind == TTE_VALUE_ARRAY)
		return read_array(type, value, cap);
	return read_scalar(type->kind, type->type, value, Min(cap, TEXT_CAP));
}

/* Keys and mapped stages are in an index, whose entries are shorter than the cap: neither is cut. */
char *
tte_value_text(const TteValueType *type, Datum value)
{
	text	   *t;

	switch (type->kind)
	{
		case TTE_VALUE_TEXT:
			if (type->type == NAMEOID)
				return pstrdup(NameStr(*DatumGetName(value)));
			t = first_bytes(value, TEXT_CAP);
			return pnstrdup(VARDATA_ANY(t), significant_length(type->type, t));
		case TTE_VALUE_NUMBER:
			return unconstify(char *, number_text(type->type, value));
		case TTE_VALUE_BOOL:
			return pstrdup(DatumGetBool(value) ? "true" : "false");
		case TTE_VALUE_TIME:
		case TTE_VALUE_OUTPUT:
			return unconstify(char *, output_text(type->type, value));
		default:
			return NULL;
	}
}

/* The last years of timestamptz overflow when counted from 1970. */
static int64
shift_epoch(int64 usec)
{
	return usec > PG_INT64_MAX - TTE_EPOCH_SHIFT ? PG_INT64_MAX : usec + TTE_EPOCH_SHIFT;
}

int64
tte_unix_usec(TimestampTz at, bool *finite)
{
	*finite = !TIMESTAMP_NOT_FINITE(at);
	return *finite ? shift_epoch(at) : 0;
}

TimestampTz
tte_timestamptz(int64 usec)
{
	int64		at = usec - TTE_EPOCH_SHIFT;

	return IS_VALID_TIMESTAMP(at) ? at : (usec < 0 ? MIN_TIMESTAMP : END_TIMESTAMP - 1);
}

/* Local time in a zone; in a gap or overlap as PostgreSQL itself decides. */
static bool
local_time(Timestamp local, pg_tz *zone, int64 *usec, bool *finite)
{
	struct pg_tm tm;
	fsec_t		fsec;

	*finite = !TIMESTAMP_NOT_FINITE(local);
	if (!*finite)
		return true;
	if (timestamp2tm(local, NULL, &tm, &fsec, NULL, NULL) != 0)
		return false;
	*usec = shift_epoch(local + (int64) DetermineTimeZoneOffset(&tm, zone) * USECS_PER_SEC);
	return true;
}

/* Local time, in zone unless the offset from UTC is known. */
static bool
text_time(const char *str, int len, pg_tz *zone, int64 *usec, bool *finite)
{
	Timestamp	local;
	bool		has_offset;
	int			offset;

	if (!tte_time_text(str, len, &local, &has_offset, &offset))
		return false;
	if (!has_offset)
		return local_time(local, zone, usec, finite);
	*finite = true;
	*usec = local + TTE_EPOCH_SHIFT - (int64) offset * USECS_PER_SEC;
	return true;
}

/* Seconds since 1970.  Precision does not matter far beyond the limits of age. */
static bool
seconds_time(double seconds, int64 *usec, bool *finite)
{
	*finite = !isnan(seconds) && !isinf(seconds);
	if (*finite)
		*usec = (int64) (Min(Max(seconds, -1e11), 1e12) * USECS_PER_SEC);
	return true;
}

/*
 * Seconds since 1970, unless the number is written as a date, which as seconds
 * would be a day of 1970.
 */
static bool
number_time(const char *literal, int len, pg_tz *zone, int64 *usec, bool *finite)
{
	Timestamp	local;
	char	   *end;
	double		seconds;

	if (tte_time_digits(literal, len, &local))
		return local_time(local, zone, usec, finite);
	seconds = strtod(literal, &end);
	return *end == '\0' && seconds_time(seconds, usec, finite);
}

bool
tte_json_time(const TteJson *json, pg_tz *zone, int64 *usec, bool *finite)
{
	char		buf[64];
	const char *p;
	int			len;

	if (json == NULL || (json->kind != TTE_JSON_STRING && json->kind != TTE_JSON_NUMBER))
		return false;
	p = json->text;
	len = json->len;
	if (json->kind == TTE_JSON_NUMBER)
		return number_time(pnstrdup(p, len), len, zone, usec, finite);
	tte_unicode_trim(&p, &len);
	if (len == 0 || len >= sizeof(buf))
		return false;
	memcpy(buf, p, len);
	buf[len] = '\0';
	*finite = false;
	if (strcmp(buf, "infinity") == 0 || strcmp(buf, "-infinity") == 0)
		return true;
	if (strspn(buf, "0123456789.") == len)
		return number_time(buf, len, zone, usec, finite);
	return text_time(buf, len, zone, usec, finite);
}

bool
tte_value_time(const TteValueType *type, Datum value, pg_tz *zone, int64 *usec, bool *finite)
{
	DateADT		date;

	/* the type of an array is its element's */
	if (type->kind != TTE_VALUE_TIME)
		return tte_json_time(tte_value_read(type, value, TTE_IDENTIFIER_CAP), zone, usec, finite);
	switch (type->type)
	{
		case TIMESTAMPTZOID:
			*usec = tte_unix_usec(DatumGetTimestampTz(value), finite);
			return true;
		case TIMESTAMPOID:
			return local_time(DatumGetTimestamp(value), zone, usec, finite);
		default:
			date = DatumGetDateADT(value);
			*finite = !DATE_NOT_FINITE(date);
			if (!*finite)
				return true;
			/* type date reaches further than timestamps */
			if (date >= TIMESTAMP_END_JULIAN - POSTGRES_EPOCH_JDATE)
				return seconds_time(1e12, usec, finite);
			return local_time((Timestamp) date * USECS_PER_DAY, zone, usec, finite);
	}
}

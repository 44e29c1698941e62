/*-------------------------------------------------------------------------
 *
 * counts.c
 *	  Calls and answers of TikTok's reporting API: the number of a Pixel, and its counts.
 *
 * Any field may be absent.  Names become visible to readers, so only letters,
 * digits, underscore and dash are taken, of which TikTok's names consist.
 *
 *-------------------------------------------------------------------------
 */
#include "answer/counts.h"

#include <limits.h>

#define COUNT_DIGITS	15
#define MOST_PAGES		100

static bool
is_number_text(const TteJson *value, int most)
{
	if (value == NULL || (value->kind != TTE_JSON_STRING && value->kind != TTE_JSON_NUMBER) || value->len < 1 || value->len > most)
		return false;
	for (int i = 0; i < value->len; i++)
	{
		if (value->text[i] < '0' || value->text[i] > '9')
			return false;
	}
	return true;
}

void
tte_pixel_list_query(StringInfo url, const char *advertiser, const char *code, int page)
{
	appendStringInfo(url, "pixel/list/?advertiser_id=%s&code=%s&page=%d&page_size=20", advertiser, code, page);
}

/* pixel_ids is ["..."], date_range {"start_date":"...","end_date":"..."} */
void
tte_counts_query(StringInfo url, const char *advertiser, const char *pixel_id, const char *day)
{
	appendStringInfo(url, "pixel/event/stats/?advertiser_id=%s&pixel_ids=%%5B%%22%s%%22%%5D"
					 "&date_range=%%7B%%22start_date%%22%%3A%%22%s%%22%%2C%%22end_date%%22%%3A%%22%s%%22%%7D",
					 advertiser, pixel_id, day, day);
}

const char *
tte_counts_trouble(const TteReply *reply)
{
	if (reply->outcome == TTE_OUTCOME_THROTTLE)
		return "throttled";

	/*
	 * 40001, 40300, 40301: rights of the advertiser; other configuration may
	 * be the endpoint's
	 */
	if (reply->outcome == TTE_OUTCOME_STOP_CREDENTIAL ||
		(reply->has_code && (reply->code == 40001 || reply->code == 40300 || reply->code == 40301)))
		return "stopped";
	return "failed";
}

static bool
has_text(const TteJson *value, const char *wanted)
{
	return value != NULL && (value->kind == TTE_JSON_STRING || value->kind == TTE_JSON_NUMBER) &&
		value->len == (int) strlen(wanted) && memcmp(value->text, wanted, value->len) == 0;
}

/* -1: absent, or no count. */
static int64
read_count(const TteJson *object, const char *key)
{
	const TteJson *value = tte_json_get(object, key);
	int64		number = 0;

	if (!is_number_text(value, COUNT_DIGITS))
		return -1;
	for (int i = 0; i < value->len; i++)
		number = number * 10 + (value->text[i] - '0');
	return number;
}

/* The array of that name in the answer's data; NULL: there is none. */
static const TteJson *
read_list(const char *body, size_t len, const char *key, const TteJson **data)
{
	const TteJson *list;

	*data = tte_json_get(tte_json_parse(body, len, NULL), "data");
	list = tte_json_get(*data, key);
	return list != NULL && list->kind == TTE_JSON_ARRAY ? list : NULL;
}

TtePixelAnswer
tte_pixel_find(const char *body, size_t len, const char *code, int page, char id[TTE_PIXEL_ID_MAX + 1])
{
	const TteJson *data;
	const TteJson *pixels = read_list(body, len, "pixels", &data);

	if (pixels == NULL)
		return TTE_PIXEL_UNREADABLE;
	for (const TteJson *pixel = pixels->first; pixel != NULL; pixel = pixel->next)
	{
		const TteJson *number = tte_json_get(pixel, "pixel_id");
		const TteJson *status = tte_json_get(tte_json_get(pixel, "asset_ownership"), "asset_relation_status");

		if (!has_text(tte_json_get(pixel, "pixel_code"), code))
			continue;
		if (!is_number_text(number, TTE_PIXEL_ID_MAX))
			return TTE_PIXEL_UNREADABLE;
		memcpy(id, number->text, number->len);
		id[number->len] = '\0';
		return has_text(status, "UNBOUND") ? TTE_PIXEL_UNBOUND : TTE_PIXEL_FOUND;
	}
	return page < Min(read_count(tte_json_get(data, "page_info"), "total_page"), MOST_PAGES) ? TTE_PIXEL_NEXT_PAGE : TTE_PIXEL_NONE;
}

static bool
is_type_name(const TteJson *value)
{
	if (value == NULL || value->kind != TTE_JSON_STRING || value->len < 1 || value->len > TTE_COUNT_TYPE_MAX)
		return false;
	for (int i = 0; i < value->len; i++)
	{
		char		c = value->text[i];

		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (i > 0 && ((c >= '0' && c <= '9') || c == '_' || c == '-'))))
			return false;
	}
	return true;
}

/* False: it has no name. */
static bool
read_statistic(const TteJson *statistic, TteCount *count)
{
	const TteJson *type = tte_json_get(statistic, "custom_event_type");

	count->custom = is_type_name(type);
	if (!count->custom)
		type = tte_json_get(statistic, "pixel_event_type");
	if (!is_type_name(type))
		return false;
	memcpy(count->type, type->text, type->len);
	count->type[type->len] = '\0';
	count->browser = read_count(statistic, "browser_event_total_count");
	count->server = read_count(statistic, "server_event_total_count");
	count->total = read_count(statistic, "total_count");
	return true;
}

const char *
tte_counts_read(const char *body, size_t len, const char *pixel_id, TteCounts *counts)
{
	const TteJson *data;
	const TteJson *list = read_list(body, len, "list", &data);

	counts->listed = false;
	counts->n = 0;
	counts->counts = palloc0(TTE_COUNTS_MAX * sizeof(TteCount));
	if (list == NULL)
		return "the answer has no list of counts";
	for (const TteJson *pixel = list->first; pixel != NULL; pixel = pixel->next)
	{
		const TteJson *statistics = tte_json_get(pixel, "statistics");

		if (!has_text(tte_json_get(pixel, "pixel_id"), pixel_id))
			continue;
		counts->listed = true;
		if (statistics == NULL || statistics->kind != TTE_JSON_ARRAY)
			continue;
		for (const TteJson *one = statistics->first; one != NULL; one = one->next)
		{
			if (counts->n == TTE_COUNTS_MAX)
				return "the answer has too many counts";
			if (read_statistic(one, &counts->counts[counts->n]))
				counts->n++;
		}
	}
	return NULL;
}

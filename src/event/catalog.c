/*-------------------------------------------------------------------------
 *
 * catalog.c
 *	  The names TikTok knows: events, fields per event source, return codes.
 *	  Currencies are in currency.c, countries and calling codes in country.c.
 *
 *-------------------------------------------------------------------------
 */
#include "event/catalog.h"

#include "event/ascii.h"
#include "event/identity.h"

const char *const tte_source_names[4] = {"web", "app", "offline", "crm"};

const char *const tte_section_names[TTE_SECTIONS] = {
	"user", "properties", "page", "app", "ad", "lead"
};

int
tte_source_find(const char *name)
{
	for (int i = 0; i < lengthof(tte_source_names); i++)
	{
		if (strcmp(tte_source_names[i], name) == 0)
			return i;
	}
	return -1;
}

/*
 * Fields
 */

#define WEB		TTE_SOURCE_BIT(TTE_WEB)
#define APP		TTE_SOURCE_BIT(TTE_APP)
#define OFFLINE TTE_SOURCE_BIT(TTE_OFFLINE)
#define CRM		TTE_SOURCE_BIT(TTE_CRM)
#define ALL		(WEB | APP | OFFLINE | CRM)

#define USER(name, sources) \
	{name, TTE_SECTION_USER, sources, TTE_TYPE_IDENTIFIER, 0}
#define PROPERTY(name, sources, type, detail) \
	{name, TTE_SECTION_PROPERTIES, sources, type, detail}

const TteField tte_fields[] = {
#define TTE_IDENTIFIER(symbol, name, sources, hashed, longest, rule) USER(name, sources),
#include "event/identifier_list.h"
#undef TTE_IDENTIFIER

	[TTE_FIELD_CONTENT_TYPE] = PROPERTY("content_type", ALL, TTE_TYPE_ENUM, TTE_ENUM_CONTENT_TYPE),
	[TTE_FIELD_CONTENT_IDS] = PROPERTY("content_ids", ALL, TTE_TYPE_CONTENT_IDS, 0),
	[TTE_FIELD_CONTENTS] = PROPERTY("contents", ALL, TTE_TYPE_CONTENTS, 0),
	[TTE_FIELD_NUM_ITEMS] = PROPERTY("num_items", ALL, TTE_TYPE_INTEGER, 0),
	[TTE_FIELD_CURRENCY] = PROPERTY("currency", ALL, TTE_TYPE_CURRENCY, 0),
	[TTE_FIELD_VALUE] = PROPERTY("value", ALL, TTE_TYPE_MONEY, 0),
	[TTE_FIELD_PREDICTED_LTV] = PROPERTY("predicted_ltv", ALL, TTE_TYPE_NUMBER, 0),
	[TTE_FIELD_ORDER_ID] = PROPERTY("order_id", ALL, TTE_TYPE_ID, 0),
	[TTE_FIELD_SHOP_ID] = PROPERTY("shop_id", ALL, TTE_TYPE_ID, 0),
	[TTE_FIELD_SEARCH_STRING] = PROPERTY("search_string", ALL, TTE_TYPE_STRING, TTE_STRING_PRIVATE),
	[TTE_FIELD_DESCRIPTION] = PROPERTY("description", ALL, TTE_TYPE_STRING, TTE_STRING_PRIVATE),
	[TTE_FIELD_CUSTOMER_TYPE] = PROPERTY("customer_type", WEB | APP, TTE_TYPE_ENUM, TTE_ENUM_CUSTOMER_TYPE),
	[TTE_FIELD_DELIVERY_CATEGORY] = PROPERTY("delivery_category", ALL, TTE_TYPE_ENUM, TTE_ENUM_DELIVERY_CATEGORY),

	[TTE_FIELD_URL] = {"url", TTE_SECTION_PAGE, WEB, TTE_TYPE_URL, 0},
	[TTE_FIELD_REFERRER] = {"referrer", TTE_SECTION_PAGE, WEB, TTE_TYPE_URL, 0},

	[TTE_FIELD_APP_ID] = {"app_id", TTE_SECTION_APP, APP, TTE_TYPE_ID, 0},
	[TTE_FIELD_APP_NAME] = {"app_name", TTE_SECTION_APP, APP, TTE_TYPE_STRING, 0},
	[TTE_FIELD_APP_VERSION] = {"app_version", TTE_SECTION_APP, APP, TTE_TYPE_STRING, 0},

	[TTE_FIELD_CALLBACK] = {"callback", TTE_SECTION_AD, APP, TTE_TYPE_STRING, 0},
	[TTE_FIELD_CAMPAIGN_ID] = {"campaign_id", TTE_SECTION_AD, WEB | APP, TTE_TYPE_ID, 0},
	[TTE_FIELD_AD_ID] = {"ad_id", TTE_SECTION_AD, WEB | APP, TTE_TYPE_ID, 0},
	[TTE_FIELD_CREATIVE_ID] = {"creative_id", TTE_SECTION_AD, WEB | APP, TTE_TYPE_ID, 0},
	[TTE_FIELD_IS_RETARGETING] = {"is_retargeting", TTE_SECTION_AD, APP, TTE_TYPE_BOOLEAN, 0},
	[TTE_FIELD_ATTRIBUTED] = {"attributed", TTE_SECTION_AD, APP, TTE_TYPE_BOOLEAN, 0},
	[TTE_FIELD_ATTRIBUTION_TYPE] = {"attribution_type", TTE_SECTION_AD, APP, TTE_TYPE_STRING, 0},
	[TTE_FIELD_ATTRIBUTION_PROVIDER] = {"attribution_provider", TTE_SECTION_AD, WEB | APP, TTE_TYPE_STRING, 0},
	[TTE_FIELD_ATTRIBUTION_SHARE] = {"attribution_share", TTE_SECTION_AD, APP, TTE_TYPE_NUMBER, 1},

	[TTE_FIELD_LEAD_ID] = {"lead_id", TTE_SECTION_LEAD, CRM, TTE_TYPE_ID, 0},
	[TTE_FIELD_LEAD_EVENT_SOURCE] = {"lead_event_source", TTE_SECTION_LEAD, CRM, TTE_TYPE_STRING, 0}
};

StaticAssertDecl(lengthof(tte_fields) == TTE_FIELD_COUNT &&
				 (int) TTE_FIELD_FIRST_OTHER == TTE_IDENTIFIERS,
				 "TteFieldIndex must name every field");

static bool
equals(const char *word, const char *str, int len)
{
	return strlen(word) == len && memcmp(word, str, len) == 0;
}

static int
find_name(const char *name, int len, int section)
{
	for (int i = 0; i < lengthof(tte_fields); i++)
	{
		const TteField *field = &tte_fields[i];

		if ((section < 0 || field->section == section) &&
			field->name[0] == name[0] && equals(field->name, name, len))
			return i;
	}
	return -1;
}

int
tte_field_in(TteSection section, const char *name, int len)
{
	if (len <= 0)
		return -1;
	/* the old name, which the Pixel still has */
	if (section == TTE_SECTION_PROPERTIES && equals("query", name, len))
		return find_name("search_string", strlen("search_string"), section);
	return find_name(name, len, section);
}

/* The section with which a target begins; *rest is the offset behind the dot. */
static int
target_section(const char *target, int len, int *rest)
{
	for (int i = 0; i < TTE_SECTIONS; i++)
	{
		int			n = strlen(tte_section_names[i]);

		if (len > n && target[n] == '.' && strncmp(target, tte_section_names[i], n) == 0)
		{
			*rest = n + 1;
			return i;
		}
	}
	*rest = 0;
	return -1;
}

int
tte_field_find(const char *target, int len)
{
	int			rest;
	int			section = target_section(target, len, &rest);

	if (section >= 0)
		return tte_field_in(section, target + rest, len - rest);
	if (len <= 0)
		return -1;
	if (equals("query", target, len))
		return tte_field_in(TTE_SECTION_PROPERTIES, target, len);
	return find_name(target, len, -1);
}

/*
 * Suggestions
 */

/* Common names of fields, and the field of TikTok. */
static const struct
{
	const char *said;
	const char *meant;
}			synonyms[] = {
	{"address_ip", "ip"},
	{"amount", "value"},
	{"brand", "contents"},
	{"cell", "phone"},
	{"click_id", "ttclid"},
	{"client_ip", "ip"},
	{"client_user_agent", "user_agent"},
	{"content_id", "content_ids"},
	{"customer_id", "external_id"},
	{"firstname", "first_name"},
	{"items", "contents"},
	{"language", "locale"},
	{"lastname", "last_name"},
	{"leadid", "lead_id"},
	{"line_items", "contents"},
	{"mail", "email"},
	{"mobile", "phone"},
	{"order_number", "order_id"},
	{"page_url", "url"},
	{"phone_number", "phone"},
	{"postal_code", "zip_code"},
	{"postcode", "zip_code"},
	{"price", "value"},
	{"products", "contents"},
	{"quantity", "num_items"},
	{"referer", "referrer"},
	{"search_query", "search_string"},
	{"search_term", "search_string"},
	{"surname", "last_name"},
	{"telephone", "phone"},
	{"timestamp", "event_time"},
	{"total", "value"},
	{"ua", "user_agent"},
	{"user_id", "external_id"},
	{"zip", "zip_code"}
};

/* Targets that are not fields. */
static const char *const other_targets[] = {
	"event_id", "event_time", "limited_data_use", "consent"
};

#define LONGEST_NAME	32

/*
 * Edit distance: letters to add, remove, change or swap with the next.  Letter
 * case, "_" and "-" do not count.
 */
static int
distance(const char *a, int alen, const char *b, int blen)
{
	int			rows[3][LONGEST_NAME + 1];
	int		   *before = rows[0];
	int		   *above = rows[1];
	int		   *here = rows[2];

	for (int j = 0; j <= blen; j++)
		above[j] = j;
	for (int i = 1; i <= alen; i++)
	{
		int		   *oldest = before;

		here[0] = i;
		for (int j = 1; j <= blen; j++)
		{
			int			best = above[j - 1] + (a[i - 1] != b[j - 1]);

			best = Min(best, Min(above[j], here[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				best = Min(best, before[j - 2] + 1);
			here[j] = best;
		}
		before = above;
		above = here;
		here = oldest;
	}
	return above[blen];
}

/* Lower-case letters and digits of a name; -1 when there are too many. */
static int
squash(const char *name, int len, char *to)
{
	int			n = 0;

	for (int i = 0; i < len; i++)
	{
		unsigned char c = pg_ascii_tolower((unsigned char) name[i]);

		if (tte_ascii_alnum(c))
		{
			if (n == LONGEST_NAME)
				return -1;
			to[n++] = c;
		}
	}
	return n;
}

typedef struct Nearest
{
	char		given[LONGEST_NAME];
	int			len;
	int			distance;
	const char *name;
} Nearest;

static void
consider(Nearest *nearest, const char *said, const char *meant)
{
	char		other[LONGEST_NAME];
	int			len = squash(said, strlen(said), other);
	int			d;

	if (len < 0 || abs(len - nearest->len) >= nearest->distance)
		return;
	d = distance(nearest->given, nearest->len, other, len);
	if (d < nearest->distance)
	{
		nearest->distance = d;
		nearest->name = meant;
	}
}

const char *
tte_field_suggest(const char *target, int len)
{
	Nearest		nearest = {.distance = 3};
	int			rest;
	int			section = target_section(target, len, &rest);

	nearest.len = squash(target + rest, len - rest, nearest.given);
	if (nearest.len < 2)
		return NULL;
	/* in a short word, two letters are half of it */
	if (nearest.len < 5)
		nearest.distance = 2;
	for (int i = 0; i < lengthof(tte_fields); i++)
	{
		if (section < 0 || tte_fields[i].section == section)
			consider(&nearest, tte_fields[i].name, tte_fields[i].name);
	}
	for (int i = 0; i < lengthof(synonyms); i++)
		consider(&nearest, synonyms[i].said, synonyms[i].meant);
	for (int i = 0; section < 0 && i < lengthof(other_targets); i++)
		consider(&nearest, other_targets[i], other_targets[i]);
	return nearest.name;
}

/*
 * Event names
 */

#define LONGEST_EVENT_NAME	50

/* Standard names of web, offline and crm sources, with those that TikTok advises against. */
static const char *const standard_names[] = {
	"AddPaymentInfo", "AddToCart", "AddToWishlist", "ApplicationApproval",
	"CompleteRegistration", "Contact", "CustomizeProduct", "Download",
	"FindLocation", "InitiateCheckout", "Lead", "Purchase", "Schedule",
	"Search", "StartTrial", "SubmitApplication", "Subscribe", "ViewContent",
	"PlaceAnOrder", "ClickButton"
};

static const char *const app_names[] = {
	"AchieveLevel", "AddPaymentInfo", "AddToCart", "AddToWishlist",
	"Checkout", "CompleteTutorial", "CreateGroup", "CreateRole",
	"GenerateLead", "InAppADClick", "InAppADImpr", "InstallApp", "JoinGroup",
	"LaunchAPP", "LoanApplication", "LoanApproval", "LoanDisbursal", "Login",
	"Purchase", "Rate", "Registration", "Search", "SpendCredits",
	"StartTrial", "Subscribe", "UnlockAchievement", "ViewContent"
};

typedef struct Rename
{
	const char *given;
	const char *final;
} Rename;

/* TikTok still takes the old names of its own events and converts them. */
static const Rename legacy_names[] = {
	{"CompletePayment", "Purchase"},
	{"SubmitForm", "Lead"}
};

/* TikTok would convert a custom event of this name to another event. */
static const Rename reserved_names[] = {
	{"AddBilling", "AddPaymentInfo"},
	{"Browse", "PageView"},
	{"Checkout", "PlaceAnOrder"},
	{"ClickForm", "Lead"},
	{"ClickInDownloadPage", "ClickButton"},
	{"ClickToDownload", "Download"},
	{"CompletePayment", "Purchase"},
	{"Consult", "Contact"},
	{"ConsultByPhone", "Contact"},
	{"Registration", "CompleteRegistration"},
	{"StartCheckout", "InitiateCheckout"},
	{"ViewConsultationPage", "ViewContent"},
	{"ViewDownloadPage", "ViewContent"},
	{"ViewForm", "ViewContent"}
};

static bool
matches(const char *word, const char *str, int len, bool any_case)
{
	if (!any_case)
		return equals(word, str, len);
	return strlen(word) == len && pg_strncasecmp(word, str, len) == 0;
}

static const char *
standard_name(TteEventSource source, const char *name, int len, bool any_case)
{
	bool		app = (source == TTE_APP);
	const char *const *names = app ? app_names : standard_names;
	int			count = app ? lengthof(app_names) : lengthof(standard_names);

	for (int i = 0; i < count; i++)
	{
		if (matches(names[i], name, len, any_case))
			return names[i];
	}
	return NULL;
}

static const Rename *
renamed(const Rename *names, int count, const char *name, int len, bool any_case)
{
	for (int i = 0; i < count; i++)
	{
		if (matches(names[i].given, name, len, any_case))
			return &names[i];
	}
	return NULL;
}

/* Letters, digits, underscore, dash; begins with a letter; at most 50. */
static bool
custom_syntax(const char *name, int len)
{
	if (len > LONGEST_EVENT_NAME)
		return false;
	for (int i = 0; i < len; i++)
	{
		char		c = name[i];

		if (!tte_ascii_letter(c) && (i == 0 || !(tte_ascii_digit(c) || c == '_' || c == '-')))
			return false;
	}
	return true;
}

/* The name that "complete payment" or "Add-To-Cart " stands for, or NULL. */
static const char *
name_meant(TteEventSource source, const char *name, int len, bool rename_legacy)
{
	char		letters[LONGEST_NAME];
	int			n = squash(name, len, letters);
	const Rename *legacy;

	if (n <= 0)
		return NULL;
	legacy = renamed(legacy_names, lengthof(legacy_names), letters, n, true);
	if (legacy != NULL && source != TTE_APP)
		return rename_legacy ? legacy->final : legacy->given;
	return standard_name(source, letters, n, true);
}

TteNameVerdict
tte_name_check(TteEventSource source, const char *name, int len,
			   bool rename_legacy, const char **final)
{
	const Rename *other;

	*final = standard_name(source, name, len, false);
	if (*final != NULL)
		return TTE_NAME_OK;
	other = renamed(legacy_names, lengthof(legacy_names), name, len, false);
	if (other != NULL && source != TTE_APP)
	{
		*final = rename_legacy ? other->final : other->given;
		return rename_legacy ? TTE_NAME_RENAMED : TTE_NAME_OK;
	}
	if (len <= 0 || !custom_syntax(name, len))
	{
		*final = name_meant(source, name, len, rename_legacy);
		return TTE_NAME_SYNTAX;
	}
	other = renamed(reserved_names, lengthof(reserved_names), name, len, false);
	if (other != NULL)
	{
		*final = other->final;
		return TTE_NAME_RESERVED;
	}
	*final = standard_name(source, name, len, true);
	if (*final == NULL && renamed(legacy_names, lengthof(legacy_names), name, len, true))
		*final = name_meant(source, name, len, rename_legacy);
	if (*final != NULL)
		return TTE_NAME_CASE;
	return source == TTE_OFFLINE ? TTE_NAME_NOT_STANDARD : TTE_NAME_OK;
}

/*
 * Return codes
 */

typedef struct Code
{
	int			first;
	int			last;
	TteCodeClass class;
	const char *meaning;
	const char *fix;
} Code;

#define FIX_NONE	"Nothing to do."
#define FIX_EVENT	"Correct the field that TikTok's message names, then retry the event."
#define FIX_TOKEN	"Generate a new access token in Events Manager and store it with tiktok.set_access_token()."
#define FIX_RIGHTS	"Check in Events Manager that the token belongs to the account that owns this event source."
#define FIX_BUG		"This should not happen; please report it with the request id."
#define FIX_WAIT	"Nothing to do; the events are sent again."
#define FIX_UPGRADE "Check for a newer release of the extension."

static const Code codes[] = {
	{0, 0, TTE_CODE_OK,
	"TikTok accepted the request.", FIX_NONE},
	{20001, 20001, TTE_CODE_SINGLY,
	"TikTok accepted the request in part.", "Nothing to do; each event is sent again by itself."},
	{40000, 40000, TTE_CODE_ISOLATE,
	"A parameter is invalid.", FIX_EVENT},
	{40001, 40001, TTE_CODE_STOP_CONFIGURATION,
	"The access token has no permission for this event source.", FIX_RIGHTS},
	{40002, 40002, TTE_CODE_ISOLATE,
	"A parameter is missing, of the wrong type or not allowed.", FIX_EVENT},
	{40003, 40003, TTE_CODE_STOP_CONFIGURATION,
	"TikTok forbids this request.", FIX_RIGHTS},
	{40006, 40006, TTE_CODE_STOP_CONFIGURATION,
	"This version of TikTok's API is not supported.", FIX_UPGRADE},
	{40007, 40007, TTE_CODE_ISOLATE,
	"Something that an event refers to does not exist.", FIX_EVENT},
	{40008, 40008, TTE_CODE_STOP_CONFIGURATION,
	"TikTok does not implement this request.", FIX_UPGRADE},
	{40009, 40009, TTE_CODE_STOP_CONFIGURATION,
	"TikTok's sandbox does not support this request.", "Use a token and an event source of the live system."},
	{40010, 40010, TTE_CODE_STOP_CONFIGURATION,
	"The developer application is not set up for this request.", FIX_RIGHTS},
	{40013, 40014, TTE_CODE_STOP_CONFIGURATION,
	"The developer application is not set up for this request.", FIX_RIGHTS},
	{40016, 40016, TTE_CODE_THROTTLE,
	"The developer application makes requests too often.", FIX_WAIT},
	{40050, 40050, TTE_CODE_DUPLICATE,
	"TikTok calls the request a duplicate.", "Look in Events Manager whether the event is there; it is not sent again by itself."},
	{40051, 40051, TTE_CODE_STOP_CONFIGURATION,
	"This version of TikTok's API is not available.", FIX_UPGRADE},
	{40061, 40061, TTE_CODE_ISOLATE,
	"The number of events in the request is not allowed.", FIX_BUG},
	{40062, 40062, TTE_CODE_ISOLATE,
	"TikTok found personal data that is not hashed.", FIX_BUG},
	{40063, 40063, TTE_CODE_ISOLATE,
	"The partner name is invalid.", FIX_BUG},
	{40100, 40100, TTE_CODE_THROTTLE,
	"There were too many requests.", "Nothing to do; all sources of that token pause, first for two seconds."},
	{40101, 40101, TTE_CODE_STOP_CONFIGURATION,
	"The partner is invalid.", FIX_RIGHTS},
	{40102, 40102, TTE_CODE_STOP_CREDENTIAL,
	"The access token has expired.", FIX_TOKEN},
	{40103, 40103, TTE_CODE_STOP_CREDENTIAL,
	"The refresh token has expired.", FIX_TOKEN},
	{40104, 40104, TTE_CODE_STOP_CREDENTIAL,
	"The access token is empty.", FIX_TOKEN},
	{40105, 40105, TTE_CODE_STOP_CREDENTIAL,
	"The access token is wrong or was revoked.", FIX_TOKEN},
	{40106, 40107, TTE_CODE_STOP_CREDENTIAL,
	"The access token does not fit the advertiser or cannot be used.", FIX_TOKEN},
	{40109, 40109, TTE_CODE_STOP_CREDENTIAL,
	"The access token cannot be used.", FIX_TOKEN},
	{40110, 40110, TTE_CODE_STOP_CREDENTIAL,
	"The authorization code is wrong or was used before.", FIX_TOKEN},
	{40112, 40112, TTE_CODE_STOP_CREDENTIAL,
	"The access token cannot be used.", FIX_TOKEN},
	{40113, 40113, TTE_CODE_STOP_CONFIGURATION,
	"The developer application is forbidden.", FIX_RIGHTS},
	{40115, 40116, TTE_CODE_STOP_CREDENTIAL,
	"The access token cannot be used.", FIX_TOKEN},
	{40117, 40117, TTE_CODE_STOP_CONFIGURATION,
	"The developer application may not call this method.", FIX_RIGHTS},
	{40118, 40118, TTE_CODE_STOP_CONFIGURATION,
	"The account is not on TikTok's allow-list for this method.", "Ask your TikTok representative to allow it; app events need that."},
	{40119, 40119, TTE_CODE_STOP_CREDENTIAL,
	"The access token cannot be used.", FIX_TOKEN},
	{40124, 40125, TTE_CODE_STOP_CREDENTIAL,
	"The developer was rejected or has no permission.", FIX_TOKEN},
	{40130, 40130, TTE_CODE_STOP_CREDENTIAL,
	"The access token lacks the scope for reporting events.", "Grant the application \"Measurement > Report Conversion Event\" and generate a new token."},
	{40132, 40132, TTE_CODE_THROTTLE,
	"The request frequency is limited.", FIX_WAIT},
	{40133, 40133, TTE_CODE_THROTTLE,
	"The advertiser makes requests too often.", FIX_WAIT},
	{40200, 40202, TTE_CODE_RETRY,
	"TikTok's task failed, was not ready or met a write conflict.", FIX_WAIT},
	{40300, 40300, TTE_CODE_STOP_CONFIGURATION,
	"The advertiser does not exist.", FIX_RIGHTS},
	{40301, 40301, TTE_CODE_STOP_CONFIGURATION,
	"The advertiser has the wrong role.", FIX_RIGHTS},
	{40400, 40400, TTE_CODE_STOP_CONFIGURATION,
	"TikTok does not know this address.", "Check the setting tiktok_events.endpoint."},
	{40700, 40700, TTE_CODE_RETRY_ONCE,
	"A service inside TikTok refused a parameter.", FIX_EVENT},
	{40900, 40900, TTE_CODE_STOP_CONFIGURATION,
	"The signature is wrong.", FIX_BUG},
	{41000, 41000, TTE_CODE_STOP_CONFIGURATION,
	"TikTok has blocked the request.", "Ask TikTok's support, naming the request id."},
	{41001, 41002, TTE_CODE_STOP_CONFIGURATION,
	"TikTok has taken this interface or its fields offline.", FIX_UPGRADE},
	{50000, 50000, TTE_CODE_RETRY,
	"TikTok had a system error.", FIX_WAIT},
	{50002, 50002, TTE_CODE_RETRY,
	"TikTok had a timeout.", FIX_WAIT},
	{51000, 51099, TTE_CODE_RETRY,
	"A service inside TikTok failed.", FIX_WAIT},
	{52000, 52204, TTE_CODE_RETRY,
	"TikTok's storage failed.", FIX_WAIT},
	{53102, 53103, TTE_CODE_RETRY,
	"TikTok could not store or read the data.", FIX_WAIT},
	{60001, 60001, TTE_CODE_RETRY,
	"TikTok is under maintenance.", FIX_WAIT},
	{61000, 61000, TTE_CODE_THROTTLE,
	"TikTok blocks this application for too many requests.", "Nothing to do; the source pauses for a long time."},
	{70001, 70001, TTE_CODE_STOP_CREDENTIAL,
	"The business authorization is of the wrong type.", FIX_TOKEN},

	/* other codes, by their thousands */
	{40000, 49999, TTE_CODE_ISOLATE,
	"TikTok refused the request for a reason that is not documented.", FIX_EVENT}
};

TteCodeClass
tte_code_class(int code, const char **meaning, const char **fix)
{
	const char *unwanted;

	if (meaning == NULL)
		meaning = &unwanted;
	if (fix == NULL)
		fix = &unwanted;
	for (int i = 0; i < lengthof(codes); i++)
	{
		if (code >= codes[i].first && code <= codes[i].last)
		{
			*meaning = codes[i].meaning;
			*fix = codes[i].fix;
			return codes[i].class;
		}
	}
	*meaning = "TikTok answered with a code that is not documented.";
	*fix = FIX_WAIT;
	return TTE_CODE_RETRY;
}

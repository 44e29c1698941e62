/*-------------------------------------------------------------------------
 *
 * catalog.h
 *	  The names TikTok knows: events, fields per event source, currencies,
 *	  calling codes, return codes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_CATALOG_H
#define TTE_CATALOG_H

#include "event/base.h"

/* The object in an element of data[] that has the field. */
typedef enum TteSection
{
	TTE_SECTION_USER,
	TTE_SECTION_PROPERTIES,
	TTE_SECTION_PAGE,
	TTE_SECTION_APP,
	TTE_SECTION_AD,
	TTE_SECTION_LEAD
} TteSection;

#define TTE_SECTIONS	6

extern const char *const tte_section_names[TTE_SECTIONS];	/* "user", ... */

/* How a field is checked and written; see properties.c and identity.c. */
typedef enum TteFieldType
{
	TTE_TYPE_IDENTIFIER,		/* user: checked and normalised by identity.c */
	TTE_TYPE_STRING,
	TTE_TYPE_ID,				/* string on the wire, numbers accepted */
	TTE_TYPE_MONEY,
	TTE_TYPE_INTEGER,
	TTE_TYPE_NUMBER,
	TTE_TYPE_BOOLEAN,
	TTE_TYPE_CURRENCY,
	TTE_TYPE_CONTENTS,
	TTE_TYPE_CONTENT_IDS,
	TTE_TYPE_ENUM,
	TTE_TYPE_URL
} TteFieldType;

/* Lists of the values an ENUM field may have. */
typedef enum TteEnumList
{
	TTE_ENUM_CONTENT_TYPE,
	TTE_ENUM_CUSTOMER_TYPE,
	TTE_ENUM_DELIVERY_CATEGORY
} TteEnumList;

/* detail of a STRING: left out when it holds an e-mail address. */
#define TTE_STRING_PRIVATE	1

typedef struct TteField
{
	const char *name;
	TteSection	section;
	uint8		sources;		/* TTE_SOURCE_BIT of each source that takes it */
	TteFieldType type;
	int			detail;			/* ENUM: TteEnumList; STRING:
								 * TTE_STRING_PRIVATE or 0; NUMBER: greatest
								 * value, 0 for no limit */
} TteField;

/*
 * Index of a field.  The identifiers come first: field i is TteIdentifier i.
 */
typedef enum TteFieldIndex
{
	TTE_FIELD_FIRST_OTHER = 18,
	TTE_FIELD_CONTENT_TYPE = TTE_FIELD_FIRST_OTHER,
	TTE_FIELD_CONTENT_IDS,
	TTE_FIELD_CONTENTS,
	TTE_FIELD_NUM_ITEMS,
	TTE_FIELD_CURRENCY,
	TTE_FIELD_VALUE,
	TTE_FIELD_PREDICTED_LTV,
	TTE_FIELD_ORDER_ID,
	TTE_FIELD_SHOP_ID,
	TTE_FIELD_SEARCH_STRING,
	TTE_FIELD_DESCRIPTION,
	TTE_FIELD_CUSTOMER_TYPE,
	TTE_FIELD_DELIVERY_CATEGORY,
	TTE_FIELD_URL,
	TTE_FIELD_REFERRER,
	TTE_FIELD_APP_ID,
	TTE_FIELD_APP_NAME,
	TTE_FIELD_APP_VERSION,
	TTE_FIELD_CALLBACK,
	TTE_FIELD_CAMPAIGN_ID,
	TTE_FIELD_AD_ID,
	TTE_FIELD_CREATIVE_ID,
	TTE_FIELD_IS_RETARGETING,
	TTE_FIELD_ATTRIBUTED,
	TTE_FIELD_ATTRIBUTION_TYPE,
	TTE_FIELD_ATTRIBUTION_PROVIDER,
	TTE_FIELD_ATTRIBUTION_SHARE,
	TTE_FIELD_LEAD_ID,
	TTE_FIELD_LEAD_EVENT_SOURCE,
	TTE_FIELD_COUNT
} TteFieldIndex;

extern const TteField tte_fields[];

/*
 * The field of that name in a section: index into tte_fields, or -1.
 * Names are matched exactly; "query" finds search_string.
 */
extern int	tte_field_in(TteSection section, const char *name, int len);

/*
 * The field meant by a trigger target: "email", "user.email",
 * "properties.value".  -1: no such field.
 */
extern int	tte_field_find(const char *target, int len);

/* The known name most similar to a misspelt one, for hints; NULL if none is similar. */
extern const char *tte_field_suggest(const char *target, int len);

/*
 * What an event name was found to be. *final is NULL for a custom name, and
 * for bad syntax unless it is clear which name was meant.
 */
typedef enum TteNameVerdict
{
	TTE_NAME_OK,				/* standard, or custom where that is allowed */
	TTE_NAME_RENAMED,			/* a legacy name, *final is the new one */
	TTE_NAME_CASE,				/* a standard name in the wrong case: *final
								 * is meant */
	TTE_NAME_RESERVED,			/* TikTok converts it: use *final instead */
	TTE_NAME_NOT_STANDARD,		/* custom name where only standard ones may be */
	TTE_NAME_SYNTAX
} TteNameVerdict;

extern TteNameVerdict tte_name_check(TteEventSource source, const char *name, int len,
									 bool rename_legacy, const char **final);

/* "web" and so on; -1 for no event source. */
extern const char *const tte_source_names[4];
extern int	tte_source_find(const char *name);

/* Does TikTok take the currency, given in upper case? 62 codes, 67 of apps. */
extern bool tte_currency_known(TteEventSource source, const char *code);

/* Digits behind the point of an ISO 4217 currency, given in upper case; -1 for an unknown code. */
extern int	tte_currency_exponent(const char *code);

/*
 * The calling code given by "+49" or "49" (returned as "49"), or the country
 * given by an ISO 3166 alpha-2 code (returned in lower case): their national
 * phone numbers are meant.  NULL if it is neither.
 */
extern const char *tte_calling_code_of(const char *given);

/* What a TikTok return code asks for. */
typedef enum TteCodeClass
{
	TTE_CODE_OK,
	TTE_CODE_SINGLY,			/* 20001: resend each event singly */
	TTE_CODE_ISOLATE,			/* find the bad event; it is rejected */
	TTE_CODE_DUPLICATE,			/* 40050: as isolate, but never resent
								 * automatically */
	TTE_CODE_THROTTLE,
	TTE_CODE_STOP_CREDENTIAL,
	TTE_CODE_STOP_CONFIGURATION,
	TTE_CODE_RETRY,				/* outcome unknown: the 48 hour rule applies */
	TTE_CODE_RETRY_ONCE			/* 40700: retry once, then isolate */
} TteCodeClass;

/*
 * Returns a class for every code. *meaning and *fix become short English
 * sentences; either pointer may be NULL.
 */
extern TteCodeClass tte_code_class(int code, const char **meaning, const char **fix);

#endif							/* TTE_CATALOG_H */

/*-------------------------------------------------------------------------
 *
 * country.c
 *	  Countries and states of the USA by their names and codes.
 *
 * Countries are those of ISO 3166-1, and Kosovo under its user-assigned code.
 * A place may be given in several ways at once, as in "CA - California": then
 * all of them must agree.
 *
 *-------------------------------------------------------------------------
 */
#include "event/country.h"

#include "event/country_names.h"
#include "event/unicode.h"

/* Longest name in characters, and its reduced form in bytes. */
#define MOST_CHARS		255
#define MOST_BYTES		(4 * MOST_CHARS)

typedef struct Alias
{
	const char *name;
	const char *code;
} Alias;

static const Alias us_states[] = {
	{"alabama", "al"}, {"alaska", "ak"}, {"arizona", "az"},
	{"arkansas", "ar"}, {"california", "ca"}, {"colorado", "co"},
	{"connecticut", "ct"}, {"delaware", "de"}, {"districtofcolumbia", "dc"},
	{"florida", "fl"}, {"georgia", "ga"}, {"hawaii", "hi"}, {"idaho", "id"},
	{"illinois", "il"}, {"indiana", "in"}, {"iowa", "ia"}, {"kansas", "ks"},
	{"kentucky", "ky"}, {"louisiana", "la"}, {"maine", "me"},
	{"maryland", "md"}, {"massachusetts", "ma"}, {"michigan", "mi"},
	{"minnesota", "mn"}, {"mississippi", "ms"}, {"missouri", "mo"},
	{"montana", "mt"}, {"nebraska", "ne"}, {"nevada", "nv"},
	{"newhampshire", "nh"}, {"newjersey", "nj"}, {"newmexico", "nm"},
	{"newyork", "ny"}, {"northcarolina", "nc"}, {"northdakota", "nd"},
	{"ohio", "oh"}, {"oklahoma", "ok"}, {"oregon", "or"},
	{"pennsylvania", "pa"}, {"rhodeisland", "ri"}, {"southcarolina", "sc"},
	{"southdakota", "sd"}, {"tennessee", "tn"}, {"texas", "tx"},
	{"utah", "ut"}, {"vermont", "vt"}, {"virginia", "va"},
	{"washington", "wa"}, {"westvirginia", "wv"}, {"wisconsin", "wi"},
	{"wyoming", "wy"}, {"puertorico", "pr"}, {"guam", "gu"},
	{"americansamoa", "as"}, {"usvirginislands", "vi"},
	{"virginislands", "vi"}, {"virginislandsus", "vi"}, {"washingtondc", "dc"}, {"northernmarianaislands", "mp"}
};

/* A name reduced as in the tables: letters and digits, in UTF-8. */
typedef struct Reduced
{
	bool		ascii;			/* the name was pure ASCII */
	int			len;
	char		name[MOST_BYTES + 1];
} Reduced;

static void
reduce(const char *name, int len, Reduced *reduced)
{
	uint32		codes[4 * MOST_CHARS + 1];
	const char *end = name + len;
	int			n = 0;

	reduced->ascii = true;
	while (name < end && n < MOST_CHARS)
	{
		codes[n] = tte_utf8_next(&name);
		reduced->ascii &= codes[n++] < 0x80;
	}
	reduced->len = tte_unicode_fold(codes, n, true, reduced->name, MOST_BYTES);
	reduced->name[reduced->len] = '\0';
}

/*
 * Countries
 */

static const Country *
country_of(const char *alpha2)
{
	int			low = 0;
	int			high = lengthof(countries) - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;
		int			order = strcmp(alpha2, countries[middle].alpha2);

		if (order == 0)
			return &countries[middle];
		if (order < 0)
			high = middle - 1;
		else
			low = middle + 1;
	}
	return NULL;
}

const char *
tte_country_name(const char *alpha2)
{
	const Country *country = country_of(alpha2);

	return country != NULL ? country->name : NULL;
}

/* By the alpha-3 or numeric code. */
static const char *
country_by_three(const char *code)
{
	int			number = (strspn(code, "0123456789") == 3) ? atoi(code) : -1;

	for (int i = 0; i < lengthof(countries); i++)
	{
		if (strcmp(countries[i].alpha3, code) == 0 || (number > 0 && countries[i].number == number))
			return countries[i].alpha2;
	}
	return NULL;
}

static const char *
country_by_name(const char *name)
{
	int			low = 0;
	int			high = lengthof(country_names) - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;
		int			order = strcmp(name, country_names[middle].name);

		if (order == 0)
			return country_names[middle].alpha2;
		if (order < 0)
			high = middle - 1;
		else
			low = middle + 1;
	}
	return NULL;
}

/* A name with accents is not a code. */
static const char *
country_by_word(Reduced *word)
{
	const Country *country;
	const char *found;
	int			len = word->len;

	if (word->ascii && len == 2 && (country = country_of(word->name)) != NULL)
		return country->alpha2;
	if (word->ascii && len == 3 && (found = country_by_three(word->name)) != NULL)
		return found;
	found = country_by_name(word->name);
	if (found == NULL && len > 6 && strcmp(word->name + len - 3, "the") == 0)
	{
		/* as ISO has it: Bahamas (the) */
		word->name[len - 3] = '\0';
		found = country_by_name(word->name);
		word->name[len - 3] = 't';
	}
	if (found == NULL && len > 6 && strncmp(word->name, "the", 3) == 0)
		found = country_by_name(word->name + 3);
	return found;
}

/*
 * States of the USA
 */

static const char *
us_state_by_word(Reduced *word)
{
	for (int i = 0; i < lengthof(us_states); i++)
	{
		if (strcmp(us_states[i].name, word->name) == 0 ||
			(word->ascii && strcmp(us_states[i].code, word->name) == 0))
			return us_states[i].code;
	}
	return NULL;
}

static bool
is_usa(Reduced *word)
{
	const char *country = country_by_word(word);

	return country != NULL && strcmp(country, "us") == 0;
}

/*
 * Both
 */

typedef const char *(*Finder) (Reduced *word);

/* Reduces the next word and advances *name. */
static bool
next_word(const char **name, const char *end, Reduced *word)
{
	do
	{
		const char *start = *name;

		if (start == end)
			return false;
		while (*name < end && strchr("-/,;()[]|", **name) == NULL)
			(*name)++;
		reduce(start, *name - start, word);
		if (*name < end)
			(*name)++;
	} while (word->len == 0);
	return true;
}

/* What the whole name says, or what all of its words agree on. */
static const char *
find(const char *name, int len, Finder finder, bool (*ignore) (Reduced *word))
{
	const char *end = name + len;
	const char *found;
	int			n = 0;
	Reduced		word;

	reduce(name, len, &word);
	found = finder(&word);
	if (found != NULL || word.len == 0)
		return found;			/* cppcheck-suppress returnDanglingLifetime */
	while (next_word(&name, end, &word))
	{
		const char *other = finder(&word);

		n++;
		if (other == NULL && ignore != NULL && ignore(&word))
			continue;
		if (other == NULL || (found != NULL && strcmp(found, other) != 0))
			return NULL;
		found = other;
	}
	/* a finder returns a constant: cppcheck-suppress returnDanglingLifetime */
	return n > 1 ? found : NULL;
}

const char *
tte_country_find(const char *name, int len)
{
	return find(name, len, country_by_word, NULL);
}

const char *
tte_us_state_find(const char *name, int len)
{
	return find(name, len, us_state_by_word, is_usa);
}

/*-------------------------------------------------------------------------
 *
 * url.c
 *	  Page addresses: personal data has to stay out of them.
 *
 * TikTok forbids personal data in clear in addresses.  What is removed is the
 * value, not the parameter, so that the address still shows where it came
 * from.  Everything else stays byte for byte.
 *
 *-------------------------------------------------------------------------
 */
#include "event/utf8.h"
#include "event/url.h"

#define LONGEST_NAME	32

/* Names of parameters, reduced to letters and digits. */
static const TteWord private_names[] = {
	TTE_WORD("address"), TTE_WORD("address1"), TTE_WORD("address2"), TTE_WORD("apikey"), TTE_WORD("auth"),
	TTE_WORD("authorization"), TTE_WORD("birthdate"), TTE_WORD("birthday"), TTE_WORD("cardnumber"),
	TTE_WORD("cell"), TTE_WORD("cellphone"), TTE_WORD("cvc"), TTE_WORD("cvv"), TTE_WORD("dateofbirth"),
	TTE_WORD("dob"), TTE_WORD("familyname"), TTE_WORD("firstname"), TTE_WORD("fname"), TTE_WORD("fullname"),
	TTE_WORD("givenname"), TTE_WORD("iban"), TTE_WORD("jwt"), TTE_WORD("lastname"), TTE_WORD("lname"),
	TTE_WORD("msisdn"), TTE_WORD("name"), TTE_WORD("pass"), TTE_WORD("passwd"), TTE_WORD("pwd"),
	TTE_WORD("secret"), TTE_WORD("session"), TTE_WORD("sessionid"), TTE_WORD("ssn"), TTE_WORD("street"),
	TTE_WORD("streetaddress"), TTE_WORD("surname"), TTE_WORD("tel"), TTE_WORD("username")
};

/* With anything in front: customer_email, billing[phone], access_token. */
static const TteWord private_endings[] = {
	TTE_WORD("email"), TTE_WORD("emailaddress"), TTE_WORD("firstname"), TTE_WORD("lastname"),
	TTE_WORD("mail"), TTE_WORD("mobile"), TTE_WORD("mobilenumber"), TTE_WORD("password"), TTE_WORD("phone"),
	TTE_WORD("phonenumber"), TTE_WORD("telephone"), TTE_WORD("token")
};

static bool
is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* One character of a parameter, its escape resolved. */
static char
decode(const char **at, const char *end)
{
	char		c = *(*at)++;

	if (c == '+')
		return ' ';
	if (c == '%' && end - *at >= 2 && tte_hex_digit((*at)[0]) >= 0 && tte_hex_digit((*at)[1]) >= 0)
	{
		c = tte_hex_digit((*at)[0]) * 16 + tte_hex_digit((*at)[1]);
		*at += 2;
	}
	return c;
}

bool
tte_url_full(const char *url, int len)
{
	const char *at = url;
	const char *end = url + len;

	while (at < end && (is_alnum(*at) || (at > url && (*at == '+' || *at == '-' || *at == '.'))))
		at++;
	if (at == url || end - at < 4 || memcmp(at, "://", 3) != 0)
		return false;
	if (strchr("/?#:", at[3]) != NULL)	/* no host; also a zero byte */
		return false;
	for (; at < end; at++)
	{
		int			plain = tte_plain_length(at, end - at);

		if (memchr(at, ' ', plain) != NULL)
			return false;
		at += plain;
		if (at < end && ((unsigned char) *at <= ' ' || *at == 0x7F))
			return false;
	}
	return true;
}

/*
 * E-mail addresses in text
 */

static bool
is_local_char(char c)
{
	return is_alnum(c) || (unsigned char) c >= 0x80 ||
		(c != '\0' && strchr("._%+-", c) != NULL);
}

static bool
is_letter(char c)
{
	return is_alnum(c) ? !(c >= '0' && c <= '9') : (unsigned char) c >= 0x80;
}

/* A label, and behind a dot two letters or more? */
static bool
domain_follows(const char *at, const char *end)
{
	bool		label = false;
	bool		behind_dot = false;
	int			letters = 0;

	for (; at < end && (is_letter(*at) || is_alnum(*at) || *at == '-' || *at == '.'); at++)
	{
		if (*at == '.')
		{
			behind_dot = label;
			letters = 0;
			continue;
		}
		label = true;
		behind_dot = behind_dot && is_letter(*at);
		if (behind_dot && ++letters == 2)
			return true;
	}
	return false;
}

bool
tte_text_has_email(const char *str, int len)
{
	const char *end = str + len;
	const char *at = str;

	while ((at = memchr(at, '@', end - at)) != NULL)
	{
		if (at > str && is_local_char(at[-1]) && domain_follows(at + 1, end))
			return true;
		at++;
	}
	return false;
}

/* An "@" in clear, escaped, or escaped twice. */
static bool
holds_at_sign(const char *at, const char *end)
{
	if (memchr(at, '@', end - at) != NULL)
		return true;
	while ((at = memchr(at, '%', end - at)) != NULL)
	{
		at++;
		if ((end - at >= 2 && memcmp(at, "40", 2) == 0) ||
			(end - at >= 4 && memcmp(at, "2540", 4) == 0))
			return true;
	}
	return false;
}

/*
 * Parameters
 */

static bool
is_private_name(const char *at, const char *end)
{
	char		name[LONGEST_NAME];
	int			len = 0;

	while (at < end)
	{
		char		c = decode(&at, end);

		if (!is_alnum(c))
			continue;
		/* of a long name the end tells most */
		if (len == LONGEST_NAME)
			memmove(name, name + 1, --len);
		name[len++] = pg_ascii_tolower((unsigned char) c);
	}
	for (int i = 0; i < lengthof(private_endings); i++)
	{
		const TteWord *ending = &private_endings[i];

		/* no ending is empty: NOLINTNEXTLINE(clang-analyzer-core.*) */
		if (len >= ending->len && name[len - 1] == ending->text[ending->len - 1] &&
			memcmp(name + len - ending->len, ending->text, ending->len) == 0)
			return true;
	}
	for (int i = 0; i < lengthof(private_names); i++)
	{
		const TteWord *whole = &private_names[i];

		if (len == whole->len && name[0] == whole->text[0] && memcmp(name, whole->text, len) == 0)
			return true;
	}
	return false;
}

/* A set of characters below 64, a bit each. */
#define ONE(c)		(UINT64CONST(1) << (c))

/* The first character of a set, or the end. */
static inline const char *
find_any(const char *at, const char *end, uint64 set)
{
	while (at < end && ((unsigned char) *at >= 64 || (set & ONE(*at)) == 0))
		at++;
	return at;
}

/*
 * Removal
 */

/* An address that is looked through. */
typedef struct Scrub
{
	StringInfo	out;
	const char *kept;			/* what is before is in out, or was removed */
	bool		removed;
	bool		sign;			/* there is an "@" somewhere */
} Scrub;

static void
drop(Scrub *scrub, const char *from, const char *to)
{
	appendBinaryStringInfo(scrub->out, scrub->kept, from - scrub->kept);
	scrub->kept = to;
	scrub->removed = true;
}

/* What stands before the last "@" of the authority is a user and a password. */
static void
scrub_authority(Scrub *scrub, const char *authority, const char *end)
{
	for (const char *at = end; at > authority; at--)
	{
		if (at[-1] == '@')
		{
			drop(scrub, authority, at);
			break;
		}
	}
}

static void
scrub_segment(Scrub *scrub, const char *segment, const char *end)
{
	char		plain[512] = {0};
	int			n = 0;
	int			twice = 0;
	bool		address;

	if (!holds_at_sign(segment, end))
		return;
	for (const char *at = segment; at < end && n < sizeof(plain);)
		plain[n++] = decode(&at, end);
	address = n == sizeof(plain) || tte_text_has_email(plain, n);
	/* what was encoded twice */
	for (const char *at = plain; !address && at < plain + n;)
		plain[twice++] = decode(&at, plain + n);
	if (address || tte_text_has_email(plain, twice))
		drop(scrub, segment, end);
}

/* One parameter, "name=value" or a value alone. */
static void
scrub_parameter(Scrub *scrub, const char *parameter, const char *end)
{
	const char *equals = memchr(parameter, '=', end - parameter);
	const char *value = (equals != NULL) ? equals + 1 : parameter;

	if (value < end &&
		((scrub->sign && holds_at_sign(value, end)) ||
		 (equals != NULL && is_private_name(parameter, equals))))
		drop(scrub, value, end);
}

/* Query and fragment alike: both are lists of parameters in practice. */
static void
scrub_parameters(Scrub *scrub, const char *at, const char *end)
{
	while (at < end)
	{
		const char *next = find_any(at + 1, end, ONE('&') | ONE('?') | ONE('#'));

		scrub_parameter(scrub, at + 1, next);
		at = next;
	}
}

bool
tte_url_scrub(const char *url, int len, StringInfo out)
{
	const char *end = url + len;
	const char *at = find_any(url, end, ONE(':'));
	const char *authority = at + Min(3, end - at);
	Scrub		scrub = {out, url, false, holds_at_sign(url, end)};

	at = find_any(authority, end, ONE('/') | ONE('?') | ONE('#'));
	if (scrub.sign)
		scrub_authority(&scrub, authority, at);
	while (at < end && *at == '/')
	{
		const char *next = find_any(at + 1, end, ONE('/') | ONE('?') | ONE('#'));

		if (scrub.sign)
			scrub_segment(&scrub, at + 1, next);
		at = next;
	}
	scrub_parameters(&scrub, at, end);
	if (scrub.removed)
		drop(&scrub, end, end);
	return scrub.removed;
}

bool
tte_url_parameter(const char *url, int len, const char *name, StringInfo out)
{
	const char *hash = memchr(url, '#', len);
	const char *end = (hash != NULL) ? hash : url + len;
	const char *query = memchr(url, '?', end - url);
	int			n = strlen(name);
	const char *at = query;

	while (at != NULL && (at = memmem(at, end - at, name, n)) != NULL)
	{
		bool		first = (at > query && (at[-1] == '?' || at[-1] == '&'));
		const char *next;

		at += n;
		if (!first || at == end || *at != '=')
			continue;
		next = find_any(++at, end, ONE('&') | ONE('?'));
		if (next == at)
			continue;
		while (at < next)
			appendStringInfoCharMacro(out, decode(&at, next));
		return true;
	}
	return false;
}

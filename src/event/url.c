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
#include "event/text.h"
#include "event/url.h"

#define LONGEST_NAME	32

/* Names of parameters, reduced to letters and digits. */
static const char *const private_names[] = {
	"address", "address1", "address2", "apikey", "auth", "authorization",
	"birthdate", "birthday", "cardnumber", "cell", "cellphone", "cvc", "cvv",
	"dateofbirth", "dob", "familyname", "firstname", "fname", "fullname",
	"givenname", "iban", "jwt", "lastname", "lname", "msisdn", "name",
	"pass", "passwd", "pwd", "secret", "session", "sessionid", "ssn",
	"street", "streetaddress", "surname", "tel", "username"
};

/* With anything in front: customer_email, billing[phone], access_token. */
static const char *const private_endings[] = {
	"email", "emailaddress", "firstname", "lastname", "mail", "mobile",
	"mobilenumber", "password", "phone", "phonenumber", "telephone", "token"
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
		if ((unsigned char) *at <= ' ' || *at == 0x7F)
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
	for (; at < end; at++)
	{
		if (*at == '@')
			return true;
		if (*at == '%' && end - at >= 3 && at[1] == '4' && at[2] == '0')
			return true;
		if (*at == '%' && end - at >= 5 && memcmp(at + 1, "2540", 4) == 0)
			return true;
	}
	return false;
}

/*
 * Parameters
 */

static bool
ends_with(const char *name, int len, const char *ending)
{
	int			n = strlen(ending);

	return len >= n && memcmp(name + len - n, ending, n) == 0;
}

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
		if (ends_with(name, len, private_endings[i]))
			return true;
	}
	for (int i = 0; i < lengthof(private_names); i++)
	{
		if (len == strlen(private_names[i]) && memcmp(name, private_names[i], len) == 0)
			return true;
	}
	return false;
}

/* The first of three characters, or the end. */
static const char *
find_any(const char *at, const char *end, const char set[3])
{
	while (at < end && *at != set[0] && *at != set[1] && *at != set[2])
		at++;
	return at;
}

/* One parameter, "name=value" or a value alone. */
static bool
scrub_parameter(const char *at, const char *end, StringInfo out)
{
	const char *equals = memchr(at, '=', end - at);
	const char *value = (equals != NULL) ? equals + 1 : at;

	if (value == end || !(holds_at_sign(value, end) ||
						  (equals != NULL && is_private_name(at, equals))))
	{
		appendBinaryStringInfo(out, at, end - at);
		return false;
	}
	appendBinaryStringInfo(out, at, value - at);
	return true;
}

/* Query and fragment alike: both are lists of parameters in practice. */
static bool
scrub_parameters(const char *at, const char *end, StringInfo out)
{
	bool		removed = false;

	while (at < end)
	{
		const char *next;

		appendStringInfoCharMacro(out, *at);
		at++;
		next = find_any(at, end, "&?#");
		removed |= scrub_parameter(at, next, out);
		at = next;
	}
	return removed;
}

static bool
scrub_segment(const char *at, const char *end, StringInfo out)
{
	char		plain[512];
	int			n = 0;

	if (!holds_at_sign(at, end))
	{
		appendBinaryStringInfo(out, at, end - at);
		return false;
	}
	for (const char *c = at; c < end && n < sizeof(plain);)
		plain[n++] = decode(&c, end);
	if (n < sizeof(plain) && !tte_text_has_email(plain, n))
	{
		appendBinaryStringInfo(out, at, end - at);
		return false;
	}
	return true;
}

bool
tte_url_scrub(const char *url, int len, StringInfo out)
{
	const char *end = url + len;
	const char *at = find_any(url, end, ":::");
	const char *authority = at + Min(3, end - at);
	const char *path = find_any(authority, end, "/?#");
	bool		removed = false;

	appendBinaryStringInfo(out, url, authority - url);
	for (at = path; at > authority; at--)
	{
		/* what stands before the last "@" is a user and a password */
		if (at[-1] == '@')
		{
			removed = true;
			break;
		}
	}
	appendBinaryStringInfo(out, at, path - at);
	at = path;
	while (at < end && *at != '?' && *at != '#')
	{
		const char *next = find_any(at + 1, end, "/?#");

		appendStringInfoCharMacro(out, *at);
		removed |= scrub_segment(at + 1, next, out);
		at = next;
	}
	return scrub_parameters(at, end, out) || removed;
}

bool
tte_url_parameter(const char *url, int len, const char *name, StringInfo out)
{
	const char *end = url + len;
	const char *at = find_any(url, end, "?##");
	int			n = strlen(name);

	if (at == end || *at == '#')
		return false;
	end = find_any(at, end, "###");
	while (at < end)
	{
		const char *next = find_any(at + 1, end, "&&?");

		at++;
		if (next - at > n + 1 && memcmp(at, name, n) == 0 && at[n] == '=')
		{
			at += n + 1;
			while (at < next)
				appendStringInfoCharMacro(out, decode(&at, next));
			return true;
		}
		at = next;
	}
	return false;
}

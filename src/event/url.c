/*-------------------------------------------------------------------------
 *
 * url.c
 *	  Page addresses, and the removal of personal data from them.
 *
 * TikTok forbids personal data in clear in addresses.  The value of a
 * parameter is removed, its name stays, so that the cause can be found.
 * Everything else stays byte for byte.
 *
 *-------------------------------------------------------------------------
 */
#include "event/ascii.h"
#include "event/utf8.h"
#include "event/url.h"

#define LONGEST_NAME	32
#define SHORTEST_SECRET 10

/* How often a text may have been escaped. */
#define MAX_ESCAPES		5

/*
 * Names of parameters, reduced to letters and digits, with data of persons, or
 * with a key to an order, a payment or a session.  The last are the return
 * parameters of PayPal, Adyen, 3-D Secure, Opayo, Mercado Pago, PayU, Paddle
 * and others.
 */
static const TteWord private_names[] = {
	TTE_WORD("address"), TTE_WORD("address1"), TTE_WORD("address2"), TTE_WORD("auth"), TTE_WORD("authcode"),
	TTE_WORD("authorization"), TTE_WORD("birthdate"), TTE_WORD("birthday"), TTE_WORD("cardnumber"),
	TTE_WORD("cell"), TTE_WORD("cellphone"), TTE_WORD("checksum"), TTE_WORD("collectionid"), TTE_WORD("creq"),
	TTE_WORD("cres"), TTE_WORD("crypt"), TTE_WORD("cvc"), TTE_WORD("cvv"), TTE_WORD("dateofbirth"),
	TTE_WORD("deeplinkcode"), TTE_WORD("digest"), TTE_WORD("dob"), TTE_WORD("encresp"), TTE_WORD("familyname"),
	TTE_WORD("firstname"), TTE_WORD("fname"), TTE_WORD("fullname"), TTE_WORD("givenname"), TTE_WORD("iban"),
	TTE_WORD("jwt"), TTE_WORD("klarnaorderid"), TTE_WORD("lastname"), TTE_WORD("lname"), TTE_WORD("mac"),
	TTE_WORD("md"), TTE_WORD("merchantorderid"), TTE_WORD("mihpayid"), TTE_WORD("msisdn"), TTE_WORD("name"),
	TTE_WORD("oscsid"), TTE_WORD("otp"), TTE_WORD("pareq"), TTE_WORD("pares"), TTE_WORD("pass"),
	TTE_WORD("passcode"), TTE_WORD("passwd"), TTE_WORD("payload"), TTE_WORD("preferenceid"),
	TTE_WORD("protectcode"), TTE_WORD("pspreference"), TTE_WORD("ptxn"), TTE_WORD("pwd"),
	TTE_WORD("redirectresult"), TTE_WORD("session"), TTE_WORD("sessionresult"), TTE_WORD("sid"), TTE_WORD("sig"),
	TTE_WORD("sign"), TTE_WORD("signaturevalue"), TTE_WORD("ssn"), TTE_WORD("street"), TTE_WORD("streetaddress"),
	TTE_WORD("surname"), TTE_WORD("tel"), TTE_WORD("tradeno"), TTE_WORD("tx"), TTE_WORD("username"),
	TTE_WORD("xtcsid"), TTE_WORD("zenid")
};

/* Endings of such names: customer_email, billing[phone], access_token, order_key. */
static const TteWord private_endings[] = {
	TTE_WORD("accesscode"), TTE_WORD("checkoutid"), TTE_WORD("email"), TTE_WORD("emailaddress"),
	TTE_WORD("firstname"), TTE_WORD("hash"), TTE_WORD("hmac"), TTE_WORD("key"), TTE_WORD("lastname"),
	TTE_WORD("mail"), TTE_WORD("mobile"), TTE_WORD("mobilenumber"), TTE_WORD("nonce"), TTE_WORD("password"),
	TTE_WORD("payerid"), TTE_WORD("paymentid"), TTE_WORD("paymentintent"), TTE_WORD("paymentlinkid"),
	TTE_WORD("phone"), TTE_WORD("phonenumber"), TTE_WORD("secret"), TTE_WORD("sessid"), TTE_WORD("sessionid"),
	TTE_WORD("setupintent"), TTE_WORD("signature"), TTE_WORD("telephone"), TTE_WORD("token"),
	TTE_WORD("transactionid"), TTE_WORD("trxid"), TTE_WORD("txnid"), TTE_WORD("txnref")
};

/* The last letter of each, in the same order. */
static const char ending_letters[] = "edlsehcyeleredddtdertddteendddf";

StaticAssertDecl(sizeof(ending_letters) - 1 == lengthof(private_endings), "each ending has a last letter");

/*
 * Beginnings of secret values, whatever the parameter is called: order keys of
 * WooCommerce, checkout sessions of Stripe.
 */
static const TteWord secret_beginnings[] = {
	TTE_WORD("wc_order_"), TTE_WORD("cs_live_"), TTE_WORD("cs_test_")
};

/* Decodes one character of a parameter. */
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

/* Undoes percent escapes in place, once; returns the new length. */
static int
unescape_once(char *str, int len)
{
	int			n = 0;

	for (int i = 0; i < len; i++)
	{
		int			high = -1;
		int			low = -1;

		if (str[i] == '%' && i + 2 < len)
		{
			high = tte_hex_digit(str[i + 1]);
			low = tte_hex_digit(str[i + 2]);
		}
		if (high >= 0 && low >= 0)
		{
			str[n++] = high * 16 + low;
			i += 2;
		}
		else
			str[n++] = str[i];
	}
	return n;
}

int
tte_unescape(char *str, int len)
{
	for (int i = 0; i < MAX_ESCAPES; i++)
	{
		int			before = len;

		len = unescape_once(str, len);
		if (len == before)
			break;
	}
	return len;
}

/* The text with escapes decoded: itself, or a copy. */
static const char *
plain_text(const char *str, int *len)
{
	char	   *copy;

	if (memchr(str, '%', *len) == NULL)
		return str;
	copy = palloc(*len + 1);
	memcpy(copy, str, *len);
	*len = tte_unescape(copy, *len);
	return copy;
}

/* Sets of characters below 64, one bit each. */
#define ONE(c)		(UINT64CONST(1) << (c))

/* The first character of a set, or the end. */
static inline const char *
find_any(const char *at, const char *end, uint64 set)
{
	while (at < end && ((unsigned char) *at >= 64 || (set & ONE(*at)) == 0))
		at++;
	return at;
}

bool
tte_url_full(const char *url, int len)
{
	const char *at = url;
	const char *end = url + len;
	const char *host_end;

	while (at < end && (tte_ascii_alnum(*at) || (at > url && (*at == '+' || *at == '-' || *at == '.'))))
		at++;
	if (at == url || end - at < 4 || memcmp(at, "://", 3) != 0)
		return false;
	if (strchr("/?#:", at[3]) != NULL)	/* no host, or a zero byte */
		return false;
	host_end = find_any(at + 3, end, ONE('/') | ONE('?') | ONE('#'));
	if (memchr(at, ' ', host_end - at) != NULL)
		return false;
	for (; at < end; at++)
	{
		at += tte_plain_length(at, end - at);
		if (at < end && ((unsigned char) *at < ' ' || *at == 0x7F))
			return false;
	}
	return true;
}

void
tte_url_encode_blanks(const char *url, int len, StringInfo out)
{
	for (int i = 0; i < len; i++)
	{
		if (url[i] == ' ')
			tte_append(out, "%20", 3);
		else
			appendStringInfoCharMacro(out, url[i]);
	}
}

/*
 * E-mail addresses in text
 */

static bool
is_local_char(char c)
{
	return tte_word_byte(c) ||
		(c != '\0' && strchr("._%+-", c) != NULL);
}

static bool
is_domain_letter(char c)
{
	return tte_word_byte(c) && !tte_ascii_digit(c);
}

/* Does a domain follow: a label, a dot, and two letters or more? */
static bool
domain_follows(const char *at, const char *end)
{
	bool		label = false;
	bool		behind_dot = false;
	int			letters = 0;

	for (; at < end && (tte_word_byte(*at) || *at == '-' || *at == '.'); at++)
	{
		if (*at == '.')
		{
			behind_dot = label;
			letters = 0;
			continue;
		}
		label = true;
		behind_dot = behind_dot && is_domain_letter(*at);
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

/* Is there an "@", or an escape that may be one? */
static bool
may_hold_at_sign(const char *at, const char *end)
{
	if (memchr(at, '@', end - at) != NULL)
		return true;
	while ((at = memchr(at, '%', end - at)) != NULL)
	{
		at++;
		if (end - at >= 2 && (memcmp(at, "40", 2) == 0 || memcmp(at, "25", 2) == 0))
			return true;
	}
	return false;
}

/*
 * Parameters
 */

static bool
has_private_ending(const char *name, int len)
{
	const char *end = ending_letters + lengthof(private_endings);
	const char *at = ending_letters;

	while ((at = memchr(at, name[len - 1], end - at)) != NULL)
	{
		const TteWord *ending = &private_endings[at - ending_letters];

		if (len >= ending->len && memcmp(name + len - ending->len, ending->text, ending->len) == 0)
			return true;
		at++;
	}
	return false;
}

/* The list is in alphabetical order. */
static bool
is_listed(const char *name, int len)
{
	int			low = 0;
	int			high = lengthof(private_names);

	while (low < high)
	{
		int			middle = (low + high) / 2;
		const TteWord *word = &private_names[middle];
		int			order = memcmp(name, word->text, Min(len, word->len));

		if (order == 0)
			order = len - word->len;
		if (order == 0)
			return true;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return false;
}

static bool
is_private_name(const char *at, const char *end)
{
	char		name[LONGEST_NAME];
	int			len = 0;
	int			plain_len = end - at;

	at = plain_text(at, &plain_len);
	end = at + plain_len;
	/* an "&amp;" of HTML */
	while (end - at > 4 && memcmp(at, "amp;", 4) == 0)
		at += 4;
	for (; at < end; at++)
	{
		if (!tte_ascii_alnum(*at))
			continue;
		/* the end of a long name says most */
		if (len == LONGEST_NAME)
			memmove(name, name + 1, --len);
		name[len++] = pg_ascii_tolower((unsigned char) *at);
	}
	return len > 0 && (has_private_ending(name, len) || is_listed(name, len));
}

static bool
is_secret(const char *value, int len)
{
	/* most values are too short for a secret */
	if (len < SHORTEST_SECRET)
		return false;
	for (int i = 0; i < lengthof(secret_beginnings); i++)
	{
		if (len >= secret_beginnings[i].len &&
			memcmp(value, secret_beginnings[i].text, secret_beginnings[i].len) == 0)
			return true;
	}
	return memchr(value, '_', len) != NULL && memmem(value, len, "_secret_", strlen("_secret_")) != NULL;
}

/* Does the address in a parameter have private parameters itself? */
static bool
holds_private_parameter(const char *at, const char *end)
{
	while (at < end)
	{
		const char *next = find_any(at, end, ONE('&') | ONE('?') | ONE('#') | ONE(';'));
		const char *equals = memchr(at, '=', next - at);

		if (equals != NULL && equals + 1 < next &&
			(is_private_name(at, equals) || is_secret(equals + 1, next - equals - 1)))
			return true;
		at = next + 1;
	}
	return false;
}

/*
 * Removal
 */

/* The state of tte_url_scrub(). */
typedef struct Scrub
{
	StringInfo	out;
	const char *kept;			/* what precedes was copied to out or removed */
	bool		removed;
	bool		sign;			/* the address has an "@" */
} Scrub;

static void
drop_part(Scrub *scrub, const char *from, const char *to)
{
	appendBinaryStringInfo(scrub->out, scrub->kept, from - scrub->kept);
	scrub->kept = to;
	scrub->removed = true;
}

/* Before the last "@" of the authority are user and password. */
static void
scrub_authority(Scrub *scrub, const char *authority, const char *end)
{
	for (const char *at = end; at > authority; at--)
	{
		if (at[-1] == '@')
		{
			drop_part(scrub, authority, at);
			break;
		}
	}
}

/* A segment of the path, which may have parameters behind semicolons. */
static void
scrub_segment(Scrub *scrub, const char *segment, const char *end)
{
	int			len = end - segment;
	const char *plain = scrub->sign ? plain_text(segment, &len) : segment;
	const char *at = find_any(segment, end, ONE(';'));

	if ((scrub->sign && tte_text_has_email(plain, len)) || is_secret(plain, len))
	{
		if (segment < end)
			drop_part(scrub, segment, end);
		return;
	}
	while (at < end)
	{
		const char *next = find_any(at + 1, end, ONE(';'));
		const char *equals = memchr(at, '=', next - at);

		if (equals != NULL && equals + 1 < next && is_private_name(at, equals))
			drop_part(scrub, equals + 1, next);
		at = next;
	}
}

/* One parameter, "name=value" or a value alone. */
static void
scrub_parameter(Scrub *scrub, const char *parameter, const char *end)
{
	const char *equals = memchr(parameter, '=', end - parameter);
	const char *value = (equals != NULL) ? equals + 1 : parameter;
	const char *plain;
	int			len = end - value;
	bool		escaped;

	if (len == 0)
		return;
	plain = plain_text(value, &len);
	escaped = (plain != value);
	if ((scrub->sign && memchr(plain, '@', len) != NULL) || is_secret(plain, len) ||
		(equals != NULL && is_private_name(parameter, equals)) ||
		(escaped && holds_private_parameter(plain, plain + len)))
		drop_part(scrub, value, end);
}

/* Query or fragment: in practice both are lists of parameters. */
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
	Scrub		scrub = {out, url, false, may_hold_at_sign(url, end)};

	at = find_any(authority, end, ONE('/') | ONE('?') | ONE('#'));
	if (scrub.sign)
		scrub_authority(&scrub, authority, at);
	while (at < end && *at == '/')
	{
		const char *next = find_any(at + 1, end, ONE('/') | ONE('?') | ONE('#'));

		scrub_segment(&scrub, at + 1, next);
		at = next;
	}
	scrub_parameters(&scrub, at, end);
	if (scrub.removed)
		drop_part(&scrub, end, end);
	return scrub.removed;
}

/* Does the name of a parameter begin here: behind "?", "&", "#" or "&amp;"? */
static bool
begins_name(const char *at, const char *query)
{
	if (at == query)
		return false;
	if (at[-1] == '?' || at[-1] == '&' || at[-1] == '#')
		return true;
	return at - query >= 5 && memcmp(at - 5, "&amp;", 5) == 0;
}

/* In single-page applications the query may be in the fragment. */
bool
tte_url_parameter(const char *url, int len, const char *name, StringInfo out)
{
	const char *end = url + len;
	const char *query = find_any(url, end, ONE('?') | ONE('#'));
	int			n = strlen(name);
	const char *at = query;

	while ((at = memmem(at, end - at, name, n)) != NULL)
	{
		bool		first = begins_name(at, query);
		const char *next;

		at += n;
		if (!first || at == end || *at != '=')
			continue;
		next = find_any(++at, end, ONE('&') | ONE('?') | ONE('#'));
		if (next == at)
			continue;
		while (at < next)
			appendStringInfoCharMacro(out, decode(&at, next));
		return true;
	}
	return false;
}

bool
tte_is_macro(const char *str, int len)
{
	const char *open = memmem(str, len, "{{", 2);

	if (open != NULL && memmem(open, str + len - open, "}}", 2) != NULL)
		return true;
	return len > 4 && memcmp(str, "__", 2) == 0 && memcmp(str + len - 2, "__", 2) == 0;
}

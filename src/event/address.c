/*-------------------------------------------------------------------------
 *
 * address.c
 *	  IP addresses of users: which ones say something about the user.
 *
 * An address from inside a network says nothing about the user, and limited
 * data use needs a true one: private, loopback, link-local, shared (carrier),
 * multicast and reserved addresses are refused.  Ranges for documentation are
 * taken, so that examples and tests can run.
 *
 * An application may pass on the header of its proxy: an address with a port,
 * a list whose first address is the user's, or "for=" (RFC 7239).
 *
 *-------------------------------------------------------------------------
 */
#include "event/address.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include "event/unicode.h"

typedef struct Block
{
	int			bits;
	uint8		prefix[8];
} Block;

/* The registries of special addresses of IANA, 2026, without documentation. */
static const Block refused4[] = {
	{8, {0}},					/* this network */
	{8, {10}},					/* private */
	{10, {100, 64}},			/* carrier-grade NAT */
	{8, {127}},					/* loopback */
	{16, {169, 254}},			/* link-local */
	{12, {172, 16}},			/* private */
	{24, {192, 0, 0}},			/* protocol assignments */
	{16, {192, 168}},			/* private */
	{15, {198, 18}},			/* benchmarks */
	{4, {224}},					/* multicast */
	{4, {240}}					/* reserved, broadcast */
};

static const Block refused6[] = {
	{64, {0}},					/* unspecified, loopback, IPv4-compatible */
	{48, {0x00, 0x64, 0xFF, 0x9B, 0x00, 0x01}}, /* local translation */
	{64, {0x01, 0x00}},			/* discard */
	{23, {0x20, 0x01, 0x00}},	/* protocol assignments */
	{16, {0x5F, 0x00}},			/* segment routing */
	{7, {0xFC}},				/* unique local */
	{10, {0xFE, 0x80}},			/* link-local */
	{10, {0xFE, 0xC0}},			/* site-local, given up */
	{8, {0xFF}}					/* multicast */
};

static bool
is_within(const uint8 *address, const Block *blocks, int count)
{
	for (int i = 0; i < count; i++)
	{
		int			bytes = blocks[i].bits / 8;
		int			rest = blocks[i].bits % 8;

		if (memcmp(address, blocks[i].prefix, bytes) == 0 &&
			(rest == 0 || (address[bytes] ^ blocks[i].prefix[bytes]) >> (8 - rest) == 0))
			return true;
	}
	return false;
}

/* A part of a text. */
typedef struct Part
{
	const char *at;
	const char *end;
} Part;

static bool
is_number(const char *at, const char *end, int max)
{
	int			number = 0;

	if (at == end || end - at > 5)
		return false;
	for (; at < end; at++)
	{
		if (*at < '0' || *at > '9')
			return false;
		number = number * 10 + (*at - '0');
	}
	return number <= max;
}

/* Removes ":port" from the end; false if something else follows the address. */
static bool
strip_port(const char *colon, Part *part)
{
	if (colon == part->end)
		return true;
	if (*colon != ':' || !is_number(colon + 1, part->end, 65535))
		return false;
	part->end = colon;
	return true;
}

/* Removes quotes, brackets, port, and the network mask that type inet prints. */
static bool
strip(Part *part)
{
	int			len = part->end - part->at;
	const char *colon;
	const char *mark;

	if (len >= 2 && *part->at == '"' && part->end[-1] == '"')
	{
		part->at++;
		part->end--;
		len -= 2;
	}
	if (len > 0 && *part->at == '[')
	{
		mark = memchr(part->at, ']', len);
		if (mark == NULL || !strip_port(mark + 1, part))
			return false;
		part->at++;
		part->end = mark;
		return true;
	}
	colon = memchr(part->at, ':', len);
	mark = memchr(part->at, '/', len);
	if (mark != NULL)
	{
		if (!is_number(mark + 1, part->end, colon != NULL ? 128 : 32))
			return false;
		part->end = mark;
	}
	else if (colon != NULL && memchr(colon + 1, ':', part->end - colon - 1) == NULL)
		return strip_port(colon, part);
	return true;
}

/* Appends one address and returns NULL, or returns why it cannot be used. */
static const char *
normalize_one(Part part, StringInfo out)
{
	static const uint8 mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
	char		str[INET6_ADDRSTRLEN];
	uint8		address[16];
	int			len;

	if (!strip(&part))
		return "ip_syntax";
	len = part.end - part.at;
	if (len >= sizeof(str) || memchr(part.at, '\0', len) != NULL)
		return "ip_syntax";
	memcpy(str, part.at, len);
	str[len] = '\0';

	if (inet_pton(AF_INET, str, address) == 1)
	{
		if (is_within(address, refused4, lengthof(refused4)))
			return "ip_private";
	}
	else if (inet_pton(AF_INET6, str, address) != 1)
		return "ip_syntax";
	else if (memcmp(address, mapped, sizeof(mapped)) == 0)
	{
		if (is_within(address + 12, refused4, lengthof(refused4)))
			return "ip_private";
		appendStringInfo(out, "%u.%u.%u.%u", address[12], address[13], address[14], address[15]);
		return NULL;
	}
	else if (is_within(address, refused6, lengthof(refused6)))
		return "ip_private";
	tte_append(out, str, len);
	return NULL;
}

/* The text up to a mark outside of quotes; *rest becomes what follows the mark. */
static Part
next_part(const char **rest, const char *end, char mark)
{
	Part		part = {*rest, *rest};
	bool		quoted = false;
	int			len;

	while (part.end < end && (quoted || *part.end != mark))
		quoted ^= (*part.end++ == '"');
	*rest = (part.end < end) ? part.end + 1 : end;
	len = part.end - part.at;
	tte_unicode_trim(&part.at, &len);
	part.end = part.at + len;
	return part;
}

/* The value of "for" in an element of a Forwarded header, or the element. */
static Part
forwarded_for(Part element)
{
	const char *rest = element.at;

	while (rest < element.end)
	{
		Part		pair = next_part(&rest, element.end, ';');

		if (pair.end - pair.at > 4 && pg_strncasecmp(pair.at, "for=", 4) == 0)
		{
			pair.at += 4;
			return pair;
		}
	}
	return element;
}

const char *
tte_address_normalize(const char *value, int len, StringInfo out)
{
	const char *end = value + len;
	const char *problem = "ip_syntax";

	if (memchr(value, ',', len) == NULL && memchr(value, '=', len) == NULL)
		return normalize_one((Part) {value, end}, out);
	while (value < end)
	{
		const char *reason = normalize_one(forwarded_for(next_part(&value, end, ',')), out);

		if (reason == NULL)
			return NULL;
		if (strcmp(reason, "ip_private") == 0)
			problem = reason;
	}
	return problem;
}

/*-------------------------------------------------------------------------
 *
 * address.c
 *	  IP addresses of users: which ones TikTok can make use of.
 *
 * An address from inside a network says nothing about the user, and limited
 * data use needs a true one: private, loopback, link-local, shared (carrier),
 * multicast and reserved addresses are refused.  Ranges for documentation are
 * taken, so that examples and tests can run.
 *
 *-------------------------------------------------------------------------
 */
#include "event/address.h"
#include "event/utf8.h"

typedef struct Block4
{
	uint32		prefix;
	int			bits;
} Block4;

static const Block4 refused4[] = {
	{0x00000000, 8},			/* this network */
	{0x0A000000, 8},			/* private */
	{0x64400000, 10},			/* carrier-grade NAT */
	{0x7F000000, 8},			/* loopback */
	{0xA9FE0000, 16},			/* link-local */
	{0xAC100000, 12},			/* private */
	{0xC0A80000, 16},			/* private */
	{0xE0000000, 4},			/* multicast */
	{0xF0000000, 4}				/* reserved, broadcast */
};

/* By the first 16 bits; what begins with zeros is judged apart. */
static const Block4 refused6[] = {
	{0xFC00, 7},				/* unique local */
	{0xFE80, 10},				/* link-local */
	{0xFEC0, 10},				/* site-local, given up */
	{0xFF00, 8}					/* multicast */
};

static bool
is_public4(uint32 address)
{
	for (int i = 0; i < lengthof(refused4); i++)
	{
		if ((address ^ refused4[i].prefix) >> (32 - refused4[i].bits) == 0)
			return false;
	}
	return true;
}

static bool
is_public6(const uint16 *words)
{
	bool		zeros = true;

	for (int i = 0; i < 6; i++)
		zeros = zeros && words[i] == 0;
	if (zeros)					/* ::, ::1 and the old IPv4-compatible form */
		return false;
	for (int i = 0; i < lengthof(refused6); i++)
	{
		if ((words[0] ^ refused6[i].prefix) >> (16 - refused6[i].bits) == 0)
			return false;
	}
	return true;
}

/* A decimal number without leading zeros, which some would read as octal. */
static bool
read_decimal(const char **at, const char *end, int max, int *number)
{
	const char *start = *at;

	*number = 0;
	while (*at < end && **at >= '0' && **at <= '9' && *at - start < 4)
		*number = *number * 10 + (*(*at)++ - '0');
	return *at > start && *number <= max && (*start != '0' || *at == start + 1);
}

static bool
read_ipv4(const char *at, const char *end, uint32 *address)
{
	*address = 0;
	for (int i = 0; i < 4; i++)
	{
		int			part;

		if (i > 0 && (at == end || *at++ != '.'))
			return false;
		if (!read_decimal(&at, end, 255, &part))
			return false;
		*address = (*address << 8) | part;
	}
	return at == end;
}

/* Moves the words behind a "::" to the end. */
static bool
fill_gap(uint16 *words, int count, int gap)
{
	int			behind = count - gap;

	if (gap < 0)
		return count == 8;
	if (count == 8)
		return false;
	memmove(words + 8 - behind, words + gap, behind * sizeof(uint16));
	memset(words + gap, 0, (8 - count) * sizeof(uint16));
	return true;
}

static bool
read_ipv6(const char *at, const char *end, uint16 words[8])
{
	int			count = 0;
	int			gap = -1;

	if (end - at >= 2 && at[0] == ':' && at[1] == ':')
	{
		gap = 0;
		at += 2;
	}
	while (at < end)
	{
		const char *start = at;
		uint32		word = 0;

		while (at < end && at - start < 4 && tte_hex_digit(*at) >= 0)
			word = word * 16 + tte_hex_digit(*at++);
		if (at == start || count == 8)
			return false;
		if (at < end && *at == '.')
		{
			uint32		tail;

			if (count > 6 || !read_ipv4(start, end, &tail))
				return false;
			words[count++] = tail >> 16;
			words[count++] = tail & 0xFFFF;
			break;
		}
		words[count++] = word;
		if (at == end)
			break;
		if (*at++ != ':' || at == end)
			return false;
		if (*at == ':')
		{
			if (gap >= 0)
				return false;
			gap = count;
			at++;
		}
	}
	return fill_gap(words, count, gap);
}

/* Takes "/24" off the end; a mask that is none makes the whole invalid. */
static bool
strip_mask(const char *value, const char **end, int max)
{
	const char *slash = memchr(value, '/', *end - value);
	const char *at;
	int			bits;

	if (slash == NULL)
		return true;
	at = slash + 1;
	if (!read_decimal(&at, *end, max, &bits) || at != *end)
		return false;
	*end = slash;
	return true;
}

const char *
tte_address_normalize(const char *value, int len, StringInfo out)
{
	const char *end = value + len;
	bool		six = memchr(value, ':', len) != NULL;
	uint16		words[8];
	uint32		address;

	if (!strip_mask(value, &end, six ? 128 : 32))
		return "ip_syntax";
	if (!six)
	{
		if (!read_ipv4(value, end, &address))
			return "ip_syntax";
		if (!is_public4(address))
			return "ip_private";
		appendBinaryStringInfo(out, value, end - value);
		return NULL;
	}
	if (!read_ipv6(value, end, words))
		return "ip_syntax";
	if (words[5] == 0xFFFF && (words[0] | words[1] | words[2] | words[3] | words[4]) == 0)
	{
		address = ((uint32) words[6] << 16) | words[7];
		if (!is_public4(address))
			return "ip_private";
		appendStringInfo(out, "%u.%u.%u.%u", address >> 24, (address >> 16) & 0xFF,
						 (address >> 8) & 0xFF, address & 0xFF);
		return NULL;
	}
	if (!is_public6(words))
		return "ip_private";
	appendBinaryStringInfo(out, value, end - value);
	return NULL;
}

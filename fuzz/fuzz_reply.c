/*-------------------------------------------------------------------------
 *
 * fuzz_reply.c
 *	  libFuzzer harness for tte_reply_judge().
 *
 * The first byte chooses transport, truncation and status, the second how
 * many bytes are the Retry-After header; the rest is the body.  Besides not
 * crashing, a reply must be clean text, and a success must be spelt out.
 *
 *-------------------------------------------------------------------------
 */
#include "event/reply.h"
#include "event/text.h"

#define NOW		(INT64CONST(1794000000) * 1000000)

static void
check_text(const char *text, size_t size)
{
	size_t		len = strnlen(text, size);

	if (len >= size || !tte_utf8_valid(text, len))
		abort();
	for (size_t i = 0; i < len; i++)
	{
		if ((unsigned char) text[i] < ' ' || text[i] == 0x7f)
			abort();
	}
}

int
LLVMFuzzerTestOneInput(const uint8 *data, size_t size)
{
	static const int statuses[] = {0, 100, 200, 204, 206, 302, 400, 401, 404, 413, 429, 500, 999};
	char		retry_after[64];
	char	   *body;
	size_t		header_len;
	int			status;
	bool		truncated;
	TteTransport transport;
	TteReply	reply;

	if (size < 2)
		return 0;
	transport = data[0] % 8 == 7 ? TTE_TRANSPORT_AMBIGUOUS : TTE_TRANSPORT_ANSWERED;
	truncated = data[0] % 8 == 6;
	status = statuses[(data[0] / 8) % lengthof(statuses)];
	header_len = Min(Min(data[1], size - 2), sizeof(retry_after) - 1);
	memcpy(retry_after, data + 2, header_len);
	retry_after[header_len] = '\0';
	size -= 2 + header_len;

	/* On the heap, so that reading beyond it is seen. */
	body = malloc(Max(size, 1));
	memcpy(body, data + 2 + header_len, size);

	tte_reply_judge(transport, status, body, size, truncated, "text", retry_after, NOW, &reply);

	check_text(reply.message, sizeof(reply.message));
	check_text(reply.request_id, sizeof(reply.request_id));
	if (reply.outcome == TTE_OUTCOME_DELIVERED &&
		(transport != TTE_TRANSPORT_ANSWERED || truncated || status < 200 || status > 299 ||
		 !reply.has_code || reply.code != 0 || memchr(body, '0', size) == NULL))
		abort();
	if (reply.retry_after < 0 || reply.retry_after > INT64CONST(3600) * 1000000)
		abort();
	free(body);
	return 0;
}

/*-------------------------------------------------------------------------
 *
 * fuzz_reply.c
 *	  libFuzzer target: replies, and the lack of one.
 *
 * The first byte chooses transport, truncation and status, the second how
 * many bytes are the token, the first of them the seconds of Retry-After; the rest is the body, or without an
 * answer what the transport says about it.  A reply must come out as clean
 * text, and a success must be spelt out.
 *
 *-------------------------------------------------------------------------
 */
#include "answer/verdict.h"
#include "event/json.h"

#include "fuzz.h"

static const int statuses[] = {0, 100, 200, 204, 206, 302, 400, 401, 404, 413, 429, 500, 999};

static void
check_text(const char *string, size_t size)
{
	size_t		len = strnlen(string, size);

	require(len < size, "text ends");
	require(tte_utf8_valid(string, len), "text is valid UTF-8");
	for (size_t i = 0; i < len; i++)
		require((unsigned char) string[i] >= ' ' && string[i] != 0x7f, "text has no control characters");
}

static void
check_success(const TteReply *reply, int status, const char *body, size_t len)
{
	if (reply->outcome != TTE_OUTCOME_DELIVERED)
		return;
	require(status >= 200 && status <= 299 && status != 206, "a success has such a status");
	require(reply->has_code && reply->code == 0 && memchr(body, '0', len) != NULL,
			"a success has code 0");
	require(!reply->possibly_received && reply->bad_index < 0, "a success leaves nothing open");
}

static void
check_reply(const TteReply *reply)
{
	check_text(reply->message, sizeof(reply->message));
	check_text(reply->request_id, sizeof(reply->request_id));
	for (const char *c = reply->request_id; *c != '\0'; c++)
		require(*c > ' ' && *c < 0x7F, "a request id is printable ASCII");
	require(tte_outcome_name(reply->outcome) != NULL, "an outcome has a name");
	require(reply->bad_index >= -1 && reply->bad_index <= 9999, "an index is one");
	require(reply->retry_after >= 0 && reply->retry_after <= INT64CONST(3600) * 1000000,
			"a pause lasts an hour at most");
}

/* No address and no number that could be a telephone's. */
static void
check_redacted(const char *message)
{
	int			digits = 0;

	for (const char *c = message; *c != '\0'; c++)
	{
		require(*c > 0, "a message is ASCII");
		require(*c != '@' || c == message || !isalnum((unsigned char) c[-1]) || !isalnum((unsigned char) c[1]),
				"no e-mail address is left");
		digits = isdigit((unsigned char) *c) ? digits + 1 : 0;
		require(digits <= 4, "no long number is left");
	}
}

int
LLVMFuzzerTestOneInput(const uint8 *data, size_t size)
{
	TteTransport transport = TTE_TRANSPORT_ANSWERED;
	size_t		token_len;
	size_t		len;
	bool		truncated;
	int			status;
	char	   *token;
	char	   *body;
	int64		retry_after = 0;
	TteReply	reply;

	if (size < 2)
		return 0;
	if (data[0] % 8 == 7)
		transport = TTE_TRANSPORT_AMBIGUOUS;
	else if (data[0] % 8 == 5)
		transport = TTE_TRANSPORT_NEVER_SENT;
	truncated = data[0] % 8 == 6;
	status = statuses[(data[0] / 8) % lengthof(statuses)];
	token_len = Min(data[1], size - 2);
	token = heap_string(data + 2, token_len);
	memcpy(&retry_after, token, Min(token_len, sizeof(retry_after)));
	len = size - 2 - token_len;
	body = heap_copy(data + 2 + token_len, len);
	tte_reply_judge(transport, status, body, len, truncated,
					heap_string(data + 2 + token_len, len), retry_after, &reply);
	check_reply(&reply);
	if (transport != TTE_TRANSPORT_ANSWERED || truncated)
		require(reply.outcome != TTE_OUTCOME_DELIVERED, "a success was read to its end");
	check_success(&reply, status, body, len);
	/* an answer as the request it answers: then it repeats much */
	tte_reply_redact(&reply, token, heap_string(data + 2 + token_len, len));
	check_reply(&reply);
	/* what the transport says of itself has none of the request's words */
	if (reply.has_code || transport == TTE_TRANSPORT_ANSWERED)
		check_redacted(reply.message);
	arena_reset();
	return 0;
}

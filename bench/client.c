/*-------------------------------------------------------------------------
 *
 * client.c
 *	  What the bench compares delivery with: programs that post through
 *	  libcurl without PostgreSQL's background worker.
 *
 * client post URL CA VERSION IN_FLIGHT BYTES EVENTS SECONDS
 *		posts the same ready-made body again and again on kept connections:
 *		the limit of client and server.  EVENTS is what one body counts for.
 *		VERSION: 1 or 2.
 *
 * client queue URL CA CONNINFO BATCH IN_FLIGHT
 *		drains a queue table with a status column as it is often written:
 *		claim with FOR UPDATE SKIP LOCKED, post, set the status.  IN_FLIGHT 0:
 *		one request per batch; else one per event, as database webhooks do,
 *		so many at once, but recorded by the batch.
 *
 * Prints events, seconds and seconds of CPU time.
 *
 *-------------------------------------------------------------------------
 */
#include <curl/curl.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define MAX_IN_FLIGHT 256
#define ENVELOPE "{\"event_source\":\"web\",\"event_source_id\":\"CBENCH0000000001\",\"data\":["

static void
die(const char *what, const char *why)
{
	fprintf(stderr, "client: %s: %s\n", what, why);
	exit(1);
}

static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static double
cpu_seconds(void)
{
	struct rusage used;

	getrusage(RUSAGE_SELF, &used);
	return used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static size_t
ignore_reply(void *data, size_t size, size_t n, void *arg)
{
	(void) data;
	(void) arg;
	return size * n;
}

/* An easy handle with the options the background worker sets where they cost time. */
static CURL *
poster(const char *url, const char *ca, long version)
{
	CURL	   *easy = curl_easy_init();
	struct curl_slist *headers = NULL;

	headers = curl_slist_append(headers, "Content-Type: application/json");
	headers = curl_slist_append(headers, "Access-Token: bench-token");
	headers = curl_slist_append(headers, "Expect:");
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_CAINFO, ca);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, version);
	curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 256L * 1024);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, ignore_reply);
	curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
	curl_easy_setopt(easy, CURLOPT_POST, 1L);
	return easy;
}

static void
set_body(CURL *easy, const char *body, size_t length)
{
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) length);
}

static void
check(CURL *easy, CURLcode result)
{
	long		status = 0;

	if (result != CURLE_OK)
		die("post", curl_easy_strerror(result));
	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200)
		die("post", "the server did not answer 200");
}

static void
print_result(long events, double begin)
{
	printf("%ld %.6f %.6f\n", events, seconds() - begin, cpu_seconds());
}

/*
 * Ready-made bodies
 */

static void
start(CURLM *multi, CURL *easy)
{
	if (curl_multi_add_handle(multi, easy) != CURLM_OK)
		die("post", "libcurl refuses the request");
}

/* Counts what is finished and, before the end, starts each handle again. */
static long
collect(CURLM *multi, int *running, int again)
{
	CURLMsg    *message;
	int			left;
	long		finished = 0;

	while ((message = curl_multi_info_read(multi, &left)) != NULL)
	{
		CURL	   *easy = message->easy_handle;

		check(easy, message->data.result);
		curl_multi_remove_handle(multi, easy);
		finished++;
		if (again)
			start(multi, easy);
		else
			--*running;
	}
	return finished;
}

static void
post(char **arg)
{
	long		version = atoi(arg[2]) == 2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1;
	int			in_flight = atoi(arg[3]);
	size_t		bytes = atol(arg[4]);
	long		events = atol(arg[5]);
	double		limit = atof(arg[6]);
	CURLM	   *multi = curl_multi_init();
	char	   *body = malloc(bytes);
	long		requests = 0;
	int			running = in_flight;
	double		begin;

	if (body == NULL || in_flight < 1 || in_flight > MAX_IN_FLIGHT || bytes < sizeof(ENVELOPE))
		die("post", "arguments make no sense");
	memset(body, 'x', bytes);
	memcpy(body, ENVELOPE, sizeof(ENVELOPE) - 1);
	curl_multi_setopt(multi, CURLMOPT_PIPELINING, version == CURL_HTTP_VERSION_1_1 ? CURLPIPE_NOTHING : CURLPIPE_MULTIPLEX);
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long) in_flight);
	begin = seconds();
	for (int i = 0; i < in_flight; i++)
	{
		CURL	   *easy = poster(arg[0], arg[1], version);

		set_body(easy, body, bytes);
		start(multi, easy);
	}
	while (running > 0)
	{
		int			active;

		curl_multi_perform(multi, &active);
		requests += collect(multi, &running, seconds() - begin < limit);
		if (running > 0)
			curl_multi_poll(multi, NULL, 0, 100, NULL);
	}
	print_result(requests * events, begin);
	free(body);
}

/*
 * A queue table with a status column
 */

static PGresult *
run(PGconn *conn, const char *sql, int nargs, const char *const *args)
{
	PGresult   *result = PQexecParams(conn, sql, nargs, NULL, args, NULL, NULL, 0);

	if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
		die("queue", PQerrorMessage(conn));
	return result;
}

typedef struct Text
{
	char	   *data;
	size_t		length;
	size_t		space;
} Text;

static void
append(Text *joined, const char *piece)
{
	size_t		length = strlen(piece);

	while (joined->length + length >= joined->space)
	{
		char	   *larger;

		joined->space = joined->space == 0 ? 4096 : joined->space * 2;
		larger = realloc(joined->data, joined->space);
		if (larger == NULL)
			die("queue", "out of memory");
		joined->data = larger;
	}
	memcpy(joined->data + joined->length, piece, length + 1);
	joined->length += length;
}

/* Joins n values of a column from row first on. */
static void
join(Text *joined, PGresult *batch, int column, int first, int n, const char *begin, const char *end)
{
	joined->length = 0;
	append(joined, begin);
	for (int i = first; i < first + n; i++)
	{
		append(joined, i > first ? "," : "");
		append(joined, PQgetvalue(batch, i, column));
	}
	append(joined, end);
}

/* Makes a body of n rows and gives it to the handle. */
static void
set_events(CURL *easy, Text *body, PGresult *batch, int first, int n)
{
	join(body, batch, 1, first, n, ENVELOPE, "]}");
	set_body(easy, body->data, body->length);
}

static void
start_one(CURLM *multi, CURL *easy, Text *body, PGresult *batch, int row)
{
	set_events(easy, body, batch, row, 1);
	start(multi, easy);
}

/* Posts each event of a batch in a request of its own; each handle keeps its connection and its body. */
static void
post_each(CURLM *multi, CURL **easy, Text *bodies, int in_flight, PGresult *batch)
{
	int			next = 0,
				running = 0;

	while (next < PQntuples(batch) && running < in_flight)
	{
		start_one(multi, easy[running], &bodies[running], batch, next++);
		running++;
	}
	while (running > 0)
	{
		CURLMsg    *message;
		int			active,
					left;

		curl_multi_perform(multi, &active);
		while ((message = curl_multi_info_read(multi, &left)) != NULL)
		{
			CURL	   *done = message->easy_handle;
			Text	   *body;

			check(done, message->data.result);
			curl_multi_remove_handle(multi, done);
			curl_easy_getinfo(done, CURLINFO_PRIVATE, (char **) &body);
			if (next < PQntuples(batch))
				start_one(multi, done, body, batch, next++);
			else
				running--;
		}
		if (running > 0)
			curl_multi_poll(multi, NULL, 0, 100, NULL);
	}
}

static void
queue(char **arg)
{
	PGconn	   *conn = PQconnectdb(arg[2]);
	int			in_flight = atoi(arg[4]);
	CURLM	   *multi = curl_multi_init();
	CURL	   *easy[MAX_IN_FLIGHT];
	Text		bodies[MAX_IN_FLIGHT] = {{0}};
	Text		ids = {0};
	const char *batch = arg[3];
	const char *done = NULL;
	long		events = 0;
	double		begin = seconds();

	if (PQstatus(conn) != CONNECTION_OK)
		die("queue", PQerrorMessage(conn));
	if (in_flight < 0 || in_flight > MAX_IN_FLIGHT)
		die("queue", "arguments make no sense");
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long) MAX_IN_FLIGHT);
	for (int i = 0; i == 0 || i < in_flight; i++)
	{
		easy[i] = poster(arg[0], arg[1], CURL_HTTP_VERSION_1_1);
		curl_easy_setopt(easy[i], CURLOPT_PRIVATE, &bodies[i]);
	}
	for (;;)
	{
		PGresult   *claimed = run(conn, "UPDATE queue SET status = 'sending', claimed_at = clock_timestamp() WHERE id IN "
								  "(SELECT id FROM queue WHERE status = 'pending' ORDER BY id LIMIT $1::int FOR UPDATE SKIP LOCKED) "
								  "RETURNING id, payload", 1, &batch);
		int			n = PQntuples(claimed);

		if (n == 0)
			break;
		join(&ids, claimed, 0, 0, n, "{", "}");
		if (in_flight > 0)
			post_each(multi, easy, bodies, in_flight, claimed);
		else
		{
			set_events(easy[0], &bodies[0], claimed, 0, n);
			check(easy[0], curl_easy_perform(easy[0]));
		}
		PQclear(claimed);
		done = ids.data;
		PQclear(run(conn, "UPDATE queue SET status = 'delivered', delivered_at = clock_timestamp() WHERE id = ANY ($1::bigint[])", 1, &done));
		events += n;
	}
	print_result(events, begin);
	for (int i = 0; i < MAX_IN_FLIGHT; i++)
		free(bodies[i].data);
	free(ids.data);
	PQfinish(conn);
}

int
main(int argc, char **argv)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
	if (argc == 9 && strcmp(argv[1], "post") == 0)
		post(argv + 2);
	else if (argc == 7 && strcmp(argv[1], "queue") == 0)
		queue(argv + 2);
	else
		die("usage", "see the head of client.c");
	return 0;
}

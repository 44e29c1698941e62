/*-------------------------------------------------------------------------
 *
 * http.c
 *	  Unit test of deliver/multi.c: a real libcurl against servers of our own
 *	  on 127.0.0.1 that behave well, badly, or not at all.
 *
 * The behaviour is chosen by the path of the endpoint.  A few C library
 * functions are overridden, so that names can be resolved to anything, and
 * sockets and memory can be refused; nothing ever leaves the machine.
 *
 * Link with -lcurl -lcrypto -lssl -lpthread -ldl.
 *
 *-------------------------------------------------------------------------
 */
#include "answer/verdict.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <linux/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "deliver/multi.h"
#include "tap.h"

#define TOKEN		"SECRET-TOKEN-0123456789"
#define BODY		"{\"event_source\":\"web\",\"data\":[]}"
#define REPLY_OK	"{\"code\":0,\"message\":\"OK\",\"request_id\":\"r1\",\"data\":{}}"

static void
has_text(const char *got, const char *expected, const char *name)
{
	bool		good = strstr(got, expected) != NULL;

	ok(good, name);
	if (!good)
		printf("# got \"%s\", expected it to contain \"%s\"\n", got, expected);
}

static long
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000L + now.tv_nsec / 1000000L;
}

/*-------------------------------------------------------------------------
 * Overridden functions of the C library
 *-------------------------------------------------------------------------
 */

static volatile int epoll_failures = 0;
static volatile bool resolver_saw_signals = false;
static volatile bool resolver_ran = false;

int
epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	if (epoll_failures > 0 && op == EPOLL_CTL_ADD)
	{
		epoll_failures--;
		errno = ENOSPC;
		return -1;
	}
	return (int) syscall(SYS_epoll_ctl, epfd, op, fd, event);
}

/* Puts the address 127.0.0.2, where nobody answers, before the others. */
static struct addrinfo *
dead_first(struct addrinfo *others)
{
	static int	(*real) (const char *, const char *, const struct addrinfo *, struct addrinfo **);
	struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
	struct addrinfo *dead = NULL;

	real = (int (*) (const char *, const char *, const struct addrinfo *, struct addrinfo **))
		dlsym(RTLD_NEXT, "getaddrinfo");
	if (real("127.0.0.2", NULL, &hints, &dead) != 0)
		return others;
	((struct sockaddr_in *) dead->ai_addr)->sin_port = ((struct sockaddr_in *) others->ai_addr)->sin_port;
	dead->ai_next = others;
	return dead;
}

/*
 * "hang.test" never answers, "missing.test" does not exist, and the first of the
 * two addresses of "two.test" is dead.
 */
int
getaddrinfo(const char *node, const char *service,
			const struct addrinfo *hints, struct addrinfo **result)
{
	static int	(*real) (const char *, const char *, const struct addrinfo *, struct addrinfo **);
	sigset_t	mask;

	if (real == NULL)
		real = (int (*) (const char *, const char *, const struct addrinfo *, struct addrinfo **))
			dlsym(RTLD_NEXT, "getaddrinfo");
	if (node == NULL)
		return real(node, service, hints, result);

	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	resolver_ran = true;
	if (!sigismember(&mask, SIGUSR1) || !sigismember(&mask, SIGTERM) ||
		!sigismember(&mask, SIGALRM) || !sigismember(&mask, SIGHUP))
		resolver_saw_signals = true;

	if (strcmp(node, "hang.test") == 0)
		sleep(120);
	if (strcmp(node, "hang.test") == 0 || strcmp(node, "missing.test") == 0)
		return EAI_NONAME;
	if (strcmp(node, "two.test") == 0 && real("127.0.0.1", service, hints, result) == 0)
	{
		*result = dead_first(*result);
		return 0;
	}
	return real(node, service, hints, result);
}

/* A sanitizer has a malloc of its own. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED
#endif
#endif

#ifndef SANITIZED
#define FAILING_MALLOC

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);

static volatile int malloc_countdown = 0;	/* 0: never fail */
static volatile bool malloc_failed = false;
static pthread_t malloc_thread;

static bool
fails_now(void)
{
	if (malloc_countdown <= 0 || !pthread_equal(pthread_self(), malloc_thread))
		return false;
	if (--malloc_countdown > 0)
		return false;
	malloc_failed = true;
	return true;
}

void *
malloc(size_t size)
{
	return fails_now() ? NULL : __libc_malloc(size);
}

void *
calloc(size_t count, size_t size)
{
	return fails_now() ? NULL : __libc_calloc(count, size);
}

void *
realloc(void *old, size_t size)
{
	return fails_now() ? NULL : __libc_realloc(old, size);
}
#endif

/*-------------------------------------------------------------------------
 * The server: one process per connection
 *-------------------------------------------------------------------------
 */

typedef struct Shared
{
	int			connections;
	int			requests;
	int			strangers;		/* connections at the other port */
	size_t		body_bytes;
	char		head[4096];		/* of the last request */
} Shared;

static Shared *shared;
static int	port;
static int	other_port;
static int	tls_ports[6];		/* good, expired, wrong host, TLS 1.1, unknown
								 * issuer, HTTP/2 only */
static pid_t servers[8];
static int	server_count = 0;

typedef struct Peer
{
	int			fd;
	SSL		   *ssl;
} Peer;

static ssize_t
peer_read(Peer *peer, void *data, size_t len)
{
	return peer->ssl ? SSL_read(peer->ssl, data, (int) len) : read(peer->fd, data, len);
}

static void
peer_write(Peer *peer, const char *data, size_t len)
{
	while (len > 0)
	{
		ssize_t		n = peer->ssl ? SSL_write(peer->ssl, data, (int) len) :
		send(peer->fd, data, len, MSG_NOSIGNAL);

		if (n <= 0)
			_exit(0);
		data += n;
		len -= n;
	}
}

static void
say(Peer *peer, const char *what)
{
	peer_write(peer, what, strlen(what));
}

static void
reply_with(Peer *peer, const char *status, const char *headers, const char *body)
{
	char		buffer[8192];

	snprintf(buffer, sizeof(buffer), "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n%s",
			 status, strlen(body), headers, body);
	say(peer, buffer);
}

/* Ends the connection with a reset. */
static void
reset_connection(Peer *peer)
{
	struct linger hard = {1, 0};

	setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(peer->fd);
	_exit(0);
}

/* Reads the head of a request; what was read beyond it is the body's begin. */
static bool
read_head(Peer *peer, char *path, size_t *length, size_t *begun)
{
	char		head[16384];
	size_t		len = 0;
	char	   *end = NULL;
	char	   *field;

	while (end == NULL)
	{
		ssize_t		n = peer_read(peer, head + len, sizeof(head) - 1 - len);

		if (n <= 0)
			return false;
		len += n;
		head[len] = '\0';
		end = strstr(head, "\r\n\r\n");
	}
	*begun = len - (end + 4 - head);
	*end = '\0';
	field = strstr(head, "Content-Length: ");
	*length = field != NULL ? strtoul(field + 16, NULL, 10) : 0;
	sscanf(head, "POST /%63[a-z0-9]", path);
	strlcpy(shared->head, head, sizeof(shared->head));
	__sync_fetch_and_add(&shared->requests, 1);
	return true;
}

static void
read_body(Peer *peer, size_t length, size_t begun)
{
	static char buffer[65536];
	size_t		got = begun;

	while (got < length)
	{
		ssize_t		n = peer_read(peer, buffer, Min(sizeof(buffer), length - got));

		if (n <= 0)
			_exit(0);
		got += n;
	}
	shared->body_bytes = got;
}

/* From now on every packet to that socket is dropped unseen, for want of a signature. */
static bool
drop_packets(int fd)
{
	struct tcp_md5sig md5 = {.tcpm_keylen = 6, .tcpm_key = "secret"};
	struct sockaddr_in *peer = (struct sockaddr_in *) &md5.tcpm_addr;

	peer->sin_family = AF_INET;
	peer->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, &md5, sizeof(md5)) == 0;
}

/* Behaviours that do not read the whole body first. */
static void
behave_early(Peer *peer, const char *path)
{
	if (strcmp(path, "deaf") == 0)
		sleep(60);
	if (strcmp(path, "resethead") == 0)
		reset_connection(peer);
	if (strcmp(path, "early413") == 0)
	{
		reply_with(peer, "413 Too Large", "Connection: close\r\n", "");
		sleep(1);
		_exit(0);
	}
}

static void
behave_endless(Peer *peer, const char *path)
{
	static char junk[65536];

	memset(junk, 'x', sizeof(junk));
	if (strcmp(path, "big") == 0)
	{
		say(peer, "HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n");
		for (int i = 0; i < 160; i++)
			peer_write(peer, junk, sizeof(junk));
	}
	else if (strcmp(path, "chunks") == 0)
	{
		say(peer, "HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\n");
		for (;;)
		{
			say(peer, "10000\r\n");
			peer_write(peer, junk, sizeof(junk));
			say(peer, "\r\n");
		}
	}
	else if (strcmp(path, "headers") == 0)
	{
		say(peer, "HTTP/1.1 200 OK\r\n");
		for (int i = 0; i < 100000; i++)
			say(peer, "X-Junk: 0123456789\r\n");
	}
	else if (strcmp(path, "longheader") == 0)
	{
		say(peer, "HTTP/1.1 200 OK\r\nX-Junk: ");
		for (int i = 0; i < 160; i++)
			peer_write(peer, junk, sizeof(junk));
	}
	else if (strcmp(path, "loris") == 0)
	{
		say(peer, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
		for (;;)
		{
			say(peer, "x");
			usleep(200000);
		}
	}
}

static void
behave_raw(Peer *peer, const char *path)
{
	static const struct
	{
		const char *path;
		const char *text;
	}			raw[] = {
		{"http10", "HTTP/1.0 200 OK\r\n\r\n" REPLY_OK},
		{"icy", "ICY 200 OK\r\n\r\n" REPLY_OK},
		{"abc", "HTTP/1.1 abc\r\n\r\n" REPLY_OK},
		{"http09", REPLY_OK},
		{"status999", "HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n"},
		{"status000", "HTTP/1.1 000 Odd\r\nContent-Length: 0\r\n\r\n"},
		{"nul", "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\n{}"},
		{"closed", ""},
		{"trailers", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n"
		"2\r\n{}\r\n0\r\nX: y\r\n\r\n"},
		{"half", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"code\":0"},
		{"halfhead", "HTTP/1.1 200 OK\r\nContent-"},
		{"half413", "HTTP/1.1 413 Too Large\r\nContent-Length: 100\r\n\r\n"},
		{"junk", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n\r\n"}
	};

	for (int i = 0; i < lengthof(raw); i++)
	{
		if (strcmp(path, raw[i].path) == 0)
		{
			say(peer, raw[i].text);
			_exit(0);
		}
	}
}

static void
behave_slowly(Peer *peer, const char *path)
{
	if (strcmp(path, "hang") == 0)
		sleep(60);
	if (strcmp(path, "late") == 0)
		sleep(12);
	if (strcmp(path, "continue") == 0)
	{
		say(peer, "HTTP/1.1 100 Continue\r\n\r\n");
		sleep(60);
	}
	if (strcmp(path, "stall") == 0)
	{
		say(peer, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{");
		sleep(60);
	}
	if (strcmp(path, "resetreply") == 0)
	{
		say(peer, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{");
		usleep(100000);
		reset_connection(peer);
	}
}

/* Ends a connection that is idle, as servers and firewalls do. */
static void
behave_afterwards(Peer *peer, const char *path)
{
	if (strcmp(path, "forget") == 0)
	{
		usleep(50000);
		if (drop_packets(peer->fd))
			sleep(120);
	}
	if (strcmp(path, "closeidle") == 0)
	{
		usleep(50000);
		if (peer->ssl != NULL)
			SSL_shutdown(peer->ssl);
		_exit(0);
	}
	if (strcmp(path, "resetidle") == 0)
	{
		usleep(50000);
		reset_connection(peer);
	}
}

static void
behave(Peer *peer, const char *path, int request)
{
	char		headers[128];

	behave_endless(peer, path);
	behave_raw(peer, path);
	behave_slowly(peer, path);
	if (strcmp(path, "reset") == 0)
		reset_connection(peer);
	if (strcmp(path, "stale") == 0 && request > 1)
		_exit(0);
	if (strcmp(path, "mute") == 0 && request > 1)
		sleep(60);
	if (strcmp(path, "redirect") == 0)
	{
		snprintf(headers, sizeof(headers),
				 "Location: http://127.0.0.1:%d/ok\r\n", other_port);
		reply_with(peer, "307 Elsewhere", headers, "");
	}
	else if (strcmp(path, "throttle") == 0)
		reply_with(peer, "429 Slow", "retry-after:   7 \r\n", "{}");
	else if (strcmp(path, "until") == 0)
	{
		time_t		then = time(NULL) + 100;
		struct tm	date;

		strftime(headers, sizeof(headers), "Retry-After: %a, %d %b %Y %H:%M:%S GMT\r\n", gmtime_r(&then, &date));
		reply_with(peer, "503 Away", headers, "");
	}
	else if (strcmp(path, "soon") == 0)
		reply_with(peer, "429 Slow", "Retry-After: soon\r\n", "");
	else if (strcmp(path, "bomb") == 0)
		reply_with(peer, "200 OK", "Content-Encoding: gzip\r\n", "not gzip");
	else if (strcmp(path, "informed") == 0)
	{
		say(peer, "HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n");
		reply_with(peer, "200 OK", "", REPLY_OK);
	}
	else if (strcmp(path, "empty") == 0)
		say(peer, "HTTP/1.1 204 No Content\r\n\r\n");
	else
		reply_with(peer, "200 OK", "", REPLY_OK);
	behave_afterwards(peer, path);
}

static void
serve_connection(int fd, SSL_CTX *context)
{
	Peer		peer = {fd, NULL};
	size_t		length;
	size_t		begun;

	if (context != NULL)
	{
		peer.ssl = SSL_new(context);
		SSL_set_fd(peer.ssl, fd);
		if (SSL_accept(peer.ssl) <= 0)
			_exit(0);
	}
	for (int request = 1;; request++)
	{
		char		path[64] = "";

		if (!read_head(&peer, path, &length, &begun))
			_exit(0);
		behave_early(&peer, path);
		read_body(&peer, length, begun);
		behave(&peer, path, request);
	}
}

static void
serve(int listener, SSL_CTX *context, int *counter)
{
	signal(SIGCHLD, SIG_IGN);
	for (;;)
	{
		int			fd = accept(listener, NULL, NULL);

		if (fd < 0)
			continue;
		__sync_fetch_and_add(counter, 1);
		if (fork() == 0)
		{
			close(listener);
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			serve_connection(fd, context);
			_exit(0);
		}
		close(fd);
	}
}

static int
listen_anywhere(int *listener)
{
	struct sockaddr_in address = {0};
	socklen_t	len = sizeof(address);

	*listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	address.sin_family = AF_INET;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (*listener < 0 || bind(*listener, (struct sockaddr *) &address, len) < 0 ||
		listen(*listener, 128) < 0 ||
		getsockname(*listener, (struct sockaddr *) &address, &len) < 0)
	{
		perror("listen");
		exit(2);
	}
	return ntohs(address.sin_port);
}

static int
start_server(SSL_CTX *context, int *counter)
{
	int			listener;
	int			number = listen_anywhere(&listener);
	pid_t		pid = fork();

	if (pid == 0)
	{
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve(listener, context, counter);
	}
	close(listener);
	SSL_CTX_free(context);
	servers[server_count++] = pid;
	return number;
}

static void
stop_servers(void)
{
	for (int i = 0; i < server_count; i++)
	{
		kill(servers[i], SIGKILL);
		waitpid(servers[i], NULL, 0);
	}
}

/*-------------------------------------------------------------------------
 * Certificates
 *-------------------------------------------------------------------------
 */

static char ca_file[64];

/* With a self-signed certificate, which is added to ca_file when it is to be known. */
static SSL_CTX *
tls_context(const char *name, long not_after, int max_version, bool known)
{
	SSL_CTX    *context = SSL_CTX_new(TLS_server_method());
	EVP_PKEY   *key = EVP_EC_gen("P-256");
	X509	   *cert = X509_new();
	X509_EXTENSION *host = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name,
											   unconstify(char *, name));

	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1 + random());
	X509_gmtime_adj(X509_getm_notBefore(cert), -100000);
	X509_gmtime_adj(X509_getm_notAfter(cert), not_after);
	X509_set_pubkey(cert, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
							   (const unsigned char *) name, -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(cert));
	X509_add_ext(cert, host, -1);
	X509_sign(cert, key, EVP_sha256());
	if (max_version != 0)
	{
		SSL_CTX_set_security_level(context, 0);
		SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
		SSL_CTX_set_max_proto_version(context, max_version);
	}
	SSL_CTX_use_certificate(context, cert);
	SSL_CTX_use_PrivateKey(context, key);
	if (known)
	{
		FILE	   *file = fopen(ca_file, "a");

		PEM_write_X509(file, cert);
		fclose(file);
	}
	X509_EXTENSION_free(host);
	X509_free(cert);
	EVP_PKEY_free(key);
	return context;
}

/* Whatever the client speaks, it is too old. */
static int
refuse_protocols(SSL *ssl, const unsigned char **out, unsigned char *len, const unsigned char *in, unsigned int in_len, void *arg)
{
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static void
start_servers(void)
{
	SSL_CTX    *modern;

	strlcpy(ca_file, "/tmp/tte_http_XXXXXX", sizeof(ca_file));
	close(mkstemp(ca_file));
	shared = mmap(NULL, sizeof(Shared), PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	port = start_server(NULL, &shared->connections);
	other_port = start_server(NULL, &shared->strangers);
	tls_ports[0] = start_server(tls_context("IP:127.0.0.1", 100000, 0, true), &shared->connections);
	tls_ports[1] = start_server(tls_context("IP:127.0.0.1", -100, 0, true), &shared->connections);
	tls_ports[2] = start_server(tls_context("IP:127.0.0.2", 100000, 0, true), &shared->connections);
	tls_ports[3] = start_server(tls_context("IP:127.0.0.1", 100000, TLS1_1_VERSION, true),
								&shared->connections);
	tls_ports[4] = start_server(tls_context("IP:127.0.0.1", 100000, 0, false), &shared->connections);
	modern = tls_context("IP:127.0.0.1", 100000, 0, true);
	SSL_CTX_set_alpn_select_cb(modern, refuse_protocols, NULL);
	tls_ports[5] = start_server(modern, &shared->connections);
}

/*-------------------------------------------------------------------------
 * The client
 *-------------------------------------------------------------------------
 */

typedef struct Got
{
	TteTransport transport;
	int			status;
	size_t		body_len;
	bool		truncated;
	bool		resent;
	bool		cut_short;
	bool		finished;
	long		elapsed;
	char		body[256];
	char		error[256];
	int64		retry_after;
	void	   *owner;
} Got;

static TteHttp *
patient_transport_to(const char *endpoint, const char *ca, long connect_timeout, long timeout)
{
	TteHttpOptions options = {
		.endpoint = endpoint, .ca_file = ca, .connect_timeout_ms = connect_timeout, .request_timeout_ms = timeout,
		.max_connections = 16
	};
	const char *error;
	TteHttp    *http = tte_http_create(&options, &error);

	if (http == NULL)
		printf("# create: %s\n", error);
	return http;
}

static TteHttp *
transport_to(const char *endpoint, const char *ca, long timeout)
{
	return patient_transport_to(endpoint, ca, 1000, timeout);
}

static TteHttp *
transport_for(const char *path, long timeout)
{
	char		endpoint[128];

	snprintf(endpoint, sizeof(endpoint), "http://127.0.0.1:%d/%s", port, path);
	return transport_to(endpoint, NULL, timeout);
}

static bool
collect(TteHttp *http, Got *got)
{
	TteHttpResult result;

	if (!tte_http_collect(http, &result))
		return false;
	got->transport = result.transport;
	got->status = result.status;
	got->body_len = result.body_len;
	got->truncated = result.truncated;
	got->resent = result.resent;
	got->cut_short = result.cut_short;
	got->owner = result.owner;
	got->finished = true;
	strlcpy(got->body, result.body, sizeof(got->body));
	strlcpy(got->error, result.error, sizeof(got->error));
	got->retry_after = result.retry_after;
	tte_http_release(http, result.exchange);
	return true;
}

/* Waits for one result, as a caller's event loop does. */
static Got
wait_for(TteHttp *http, long patience)
{
	Got			got = {0};
	long		start = now_ms();

	tte_http_drive(http);
	while (!collect(http, &got) && now_ms() - start < patience)
	{
		struct pollfd waiting = {tte_http_fd(http), POLLIN, 0};

		poll(&waiting, 1, 100);
		tte_http_drive(http);
	}
	got.elapsed = now_ms() - start;
	return got;
}

static Got
post(TteHttp *http, const char *body, size_t len)
{
	Got			none = {0};

	if (http == NULL || tte_http_post(http, TOKEN, body, len, &none) == NULL)
		return none;
	return wait_for(http, 40000);
}

static Got
fetch(const char *path, long timeout)
{
	TteHttp    *http = transport_for(path, timeout);
	Got			got = post(http, BODY, strlen(BODY));

	tte_http_destroy(http);
	return got;
}

static void
check(const char *path, long timeout, TteTransport transport, int status, const char *name)
{
	Got			got = fetch(path, timeout);
	bool		good = got.finished && got.transport == transport && got.status == status;

	ok(good, name);
	if (!good)
		printf("# finished %d, transport %d, status %d, error \"%s\"\n",
			   got.finished, got.transport, got.status, got.error);
}

static int
open_descriptors(void)
{
	DIR		   *dir = opendir("/proc/self/fd");
	int			count = 0;

	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count;
}

/*-------------------------------------------------------------------------
 * Tests
 *-------------------------------------------------------------------------
 */

static void
test_success(void)
{
	TteHttp    *http = transport_for("ok", 5000);
	int			marker;
	int			connections = shared->connections;
	Got			got;

	ok(tte_http_in_flight(http) == 0, "nothing in flight at first");
	tte_http_post(http, TOKEN, BODY, strlen(BODY), &marker);
	ok(tte_http_in_flight(http) == 1, "one in flight after a post");
	got = wait_for(http, 5000);
	ok(got.transport == TTE_TRANSPORT_ANSWERED && got.status == 200, "a plain success");
	is_text(got.body, REPLY_OK, "the body of the reply arrives");
	is_text(got.error, "", "no error text");
	ok(got.owner == &marker, "the owner comes back");
	ok(!got.resent && !got.truncated, "neither resent nor truncated");
	ok(tte_http_in_flight(http) == 0, "nothing in flight at the end");

	has_text(shared->head, "\r\nAccess-Token: " TOKEN, "the token is sent");
	has_text(shared->head, "\r\nContent-Type: application/json", "the content type is sent");
	has_text(shared->head, "\r\nUser-Agent: tiktok_events/", "the user agent is sent");
	has_text(shared->head, " HTTP/1.1\r\n", "HTTP/1.1 is spoken");
	ok(strstr(shared->head, "Expect") == NULL, "no Expect header");
	ok(strstr(shared->head, "Accept-Encoding") == NULL, "no compression is offered");

	for (int i = 0; i < 20; i++)
		(void) post(http, BODY, strlen(BODY));
	ok(shared->connections == connections + 1, "21 requests share one connection");
	tte_http_destroy(http);
}

static void
test_large_body(void)
{
	TteHttp    *http = transport_for("ok", 5000);
	size_t		len = 1000000;
	size_t		huge = 64 * len;	/* more than any socket buffers */
	char	   *body = malloc(huge);
	Got			got;

	memset(body, 'x', huge);
	got = post(http, body, len);
	ok(got.status == 200 && shared->body_bytes == len, "a body of 1 MB arrives whole");
	got = post(http, body, len);
	ok(got.status == 200 && shared->body_bytes == len, "and once more");
	tte_http_destroy(http);

	http = transport_for("early413", 5000);
	got = post(http, body, len);
	ok(got.status == 413, "a refusal before the body was read is seen");
	tte_http_destroy(http);

	http = transport_for("deaf", 500);
	got = post(http, body, huge);
	ok(got.transport == TTE_TRANSPORT_AMBIGUOUS, "a peer that does not read: ambiguous");
	is_text(got.error, "timed out while sending the request", "the phase is named: sending");
	ok(got.cut_short, "and known");
	tte_http_destroy(http);

	http = transport_for("resethead", 5000);
	got = post(http, body, len);
	ok(got.transport == TTE_TRANSPORT_AMBIGUOUS, "reset in mid-send: ambiguous");
	tte_http_destroy(http);
	free(body);
}

static void
test_in_parallel(void)
{
	TteHttp    *http = transport_for("ok", 5000);
	int			seen[32] = {0};
	bool		each = true;
	Got			got;

	for (int i = 0; i < 32; i++)
		tte_http_post(http, TOKEN, BODY, strlen(BODY), &seen[i]);
	for (int i = 0; i < 32; i++)
	{
		got = wait_for(http, 5000);
		if (got.status == 200)
			(*(int *) got.owner)++;
	}
	for (int i = 0; i < 32; i++)
		each &= seen[i] == 1;
	ok(each, "32 requests at once, each answered once");
	tte_http_destroy(http);
}

static void
test_never_sent(void)
{
	char		endpoint[128];
	int			listener;
	int			closed_port = listen_anywhere(&listener);
	TteHttp    *http;
	Got			got;

	close(listener);
	snprintf(endpoint, sizeof(endpoint), "http://127.0.0.1:%d/", closed_port);
	http = transport_to(endpoint, NULL, 2000);
	got = post(http, BODY, strlen(BODY));
	ok(got.transport == TTE_TRANSPORT_NEVER_SENT && got.status == 0, "refused: never sent");
	is_text(got.error, "could not connect: Connection refused", "the reason is named");
	tte_http_destroy(http);

	http = transport_to("http://missing.test/", NULL, 2000);
	got = post(http, BODY, strlen(BODY));
	ok(got.transport == TTE_TRANSPORT_NEVER_SENT, "unknown name: never sent");
	is_text(got.error, "could not resolve the host name", "without the name in the text");
	tte_http_destroy(http);
}

static void
test_resolver(void)
{
	TteHttp    *http = transport_to("http://hang.test/", NULL, 30000);
	long		start;
	Got			got = post(http, BODY, strlen(BODY));

	ok(got.transport == TTE_TRANSPORT_NEVER_SENT, "hanging resolver: never sent");
	ok(got.elapsed >= 900 && got.elapsed < 1500, "after the connect time-out");
	is_text(got.error, "timed out while resolving the host name", "the phase is named: resolving");
	tte_http_post(http, TOKEN, BODY, strlen(BODY), NULL);
	tte_http_drive(http);
	usleep(100000);
	start = now_ms();
	tte_http_destroy(http);
	ok(now_ms() - start < 200, "destroyed at once while a resolver thread hangs");
	ok(resolver_ran && !resolver_saw_signals, "the resolver thread has all signals blocked");
}

static void
test_replies(void)
{
	check("hang", 700, TTE_TRANSPORT_AMBIGUOUS, 0, "no answer: ambiguous");
	check("reset", 3000, TTE_TRANSPORT_AMBIGUOUS, 0, "reset after the body: ambiguous");
	check("resetreply", 3000, TTE_TRANSPORT_AMBIGUOUS, 200, "reset in mid-reply: ambiguous");
	check("closed", 3000, TTE_TRANSPORT_AMBIGUOUS, 0, "closed without an answer: ambiguous");
	check("half", 3000, TTE_TRANSPORT_AMBIGUOUS, 200, "half a body: ambiguous");
	check("halfhead", 3000, TTE_TRANSPORT_AMBIGUOUS, 200, "half the headers: ambiguous");
	check("half413", 3000, TTE_TRANSPORT_AMBIGUOUS, 413, "half a 413: ambiguous, with its status");
	check("http10", 3000, TTE_TRANSPORT_ANSWERED, 200, "HTTP/1.0 with close works");
	check("trailers", 3000, TTE_TRANSPORT_ANSWERED, 200, "chunks and trailers work");
	check("icy", 3000, TTE_TRANSPORT_AMBIGUOUS, 0, "ICY: ambiguous");
	check("abc", 3000, TTE_TRANSPORT_AMBIGUOUS, 0, "status abc: ambiguous");
	check("http09", 3000, TTE_TRANSPORT_AMBIGUOUS, 0, "HTTP/0.9: ambiguous");
	check("status999", 3000, TTE_TRANSPORT_ANSWERED, 999, "status 999 is passed on");
	check("status000", 3000, TTE_TRANSPORT_AMBIGUOUS, 0, "status 000: ambiguous");
	ok(fetch("nul", 3000).status == 200, "a bare CR in a header does no harm");
	check("junk", 3000, TTE_TRANSPORT_ANSWERED, 200, "a second unasked reply does no harm");
	check("continue", 700, TTE_TRANSPORT_AMBIGUOUS, 100, "100 Continue and nothing more: ambiguous");
	check("empty", 3000, TTE_TRANSPORT_ANSWERED, 204, "204 without a body");
	check("informed", 3000, TTE_TRANSPORT_ANSWERED, 200, "103 before the answer is skipped");
	check("headers", 3000, TTE_TRANSPORT_AMBIGUOUS, 200, "100,000 header lines: cut");
	check("longheader", 3000, TTE_TRANSPORT_AMBIGUOUS, 200, "a header line of 10 MB: cut");
	check("loris", 1500, TTE_TRANSPORT_AMBIGUOUS, 200, "a trickle ends at the time-out");
}

static void
test_limits(void)
{
	Got			got = fetch("hang", 700);

	ok(got.elapsed >= 650 && got.elapsed < 1200, "the time-out is kept");
	is_text(got.error, "timed out while waiting for the answer", "the phase is named: waiting");
	ok(!got.cut_short, "all of it was sent");
	got = fetch("loris", 1500);
	is_text(got.error, "timed out while reading the answer", "the phase is named: reading");

	got = fetch("big", 5000);
	ok(got.transport == TTE_TRANSPORT_ANSWERED && got.truncated && got.status == 200 &&
	   got.body_len == TTE_HTTP_REPLY_MAX, "a reply of 10 MB is cut at 64 KiB");
	is_text(got.error, "the answer was longer than 64 KiB", "and says so");
	got = fetch("chunks", 5000);
	ok(got.transport == TTE_TRANSPORT_ANSWERED && got.truncated && got.status == 401,
	   "endless chunks are cut, the status is kept");

	got = fetch("bomb", 3000);
	is_text(got.body, "not gzip", "nothing is decompressed");
	ok(fetch("throttle", 3000).retry_after == 7, "Retry-After in seconds");
	got = fetch("until", 3000);
	ok(got.retry_after >= 95 && got.retry_after <= 100, "Retry-After as a date");
	ok(fetch("soon", 3000).retry_after == 0, "a Retry-After that is neither");
	ok(fetch("ok", 3000).retry_after == 0, "no Retry-After");
}

static void
test_redirect(void)
{
	Got			got = fetch("redirect", 3000);

	ok(got.transport == TTE_TRANSPORT_ANSWERED && got.status == 307, "a redirect is an answer");
	usleep(100000);
	ok(shared->strangers == 0, "it is not followed");
}

static void
test_environment(void)
{
	char		proxy[64];
	Got			got;

	snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%d", other_port);
	setenv("http_proxy", proxy, 1);
	setenv("https_proxy", proxy, 1);
	setenv("all_proxy", proxy, 1);
	setenv("ALL_PROXY", proxy, 1);
	got = fetch("ok", 3000);
	ok(got.status == 200 && shared->strangers == 0, "proxy variables have no effect");
	ok(getenv("SSLKEYLOGFILE") == NULL, "SSLKEYLOGFILE has been removed");
}

static void
test_dead_connection(void)
{
	TteHttp    *http = transport_for("stale", 3000);
	int			requests = shared->requests;
	Got			got = post(http, BODY, strlen(BODY));

	ok(got.status == 200 && !got.resent, "the first request on a connection");
	got = post(http, BODY, strlen(BODY));
	ok(got.status == 200 && got.resent, "a resend on a new connection is reported");
	ok(shared->requests == requests + 3, "three copies were sent for two requests");
	tte_http_destroy(http);
}

/*-------------------------------------------------------------------------
 * The path
 *-------------------------------------------------------------------------
 */

/* The name has two addresses, and the first is a black hole. */
static void
test_dead_address(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	int			hole = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char		endpoint[64];
	int			good = 0;
	long		longest = 0;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
	if (!drop_packets(hole))
	{
		ok(true, "# skip: no socket that drops packets");
		close(hole);
		return;
	}
	if (bind(hole, (struct sockaddr *) &address, sizeof(address)) < 0 || listen(hole, 1) < 0)
		perror("listen");
	snprintf(endpoint, sizeof(endpoint), "http://two.test:%d/ok", port);
	for (int i = 0; i < 4; i++)
	{
		TteHttp    *http = patient_transport_to(endpoint, NULL, 5000, 30000);
		Got			got = post(http, BODY, strlen(BODY));

		good += got.status == 200;
		longest = Max(longest, got.elapsed);
		tte_http_destroy(http);
	}
	ok(good == 4 && longest < 4500, "of two addresses the first is dead: the other is tried");
	printf("# %d of 4, the longest took %ld ms\n", good, longest);
	close(hole);
}

/* Connections of which the other side, or something between, knows nothing any more. */
static void
test_forgotten(void)
{
	TteHttp    *http = transport_for("forget", 60000);
	Got			got = {0};

	for (int i = 0; i < 4; i++)
		tte_http_post(http, TOKEN, BODY, strlen(BODY), NULL);
	for (int i = 0; i < 4; i++)
		got = wait_for(http, 5000);
	ok(got.status == 200, "four connections");
	usleep(200000);
	got = post(http, BODY, strlen(BODY));
	ok(got.status == 200 && got.elapsed < 15000, "all of them forgotten: a new one is made soon");
	printf("# after %ld ms %s\n", got.elapsed, got.error);
	tte_http_destroy(http);
}

/* Both kept connections lead nowhere any more, but the first to show it costs the time-out. */
static void
test_silence(void)
{
	TteHttp    *http = transport_for("mute", 1500);
	Got			got = {0};

	for (int i = 0; i < 2; i++)
		tte_http_post(http, TOKEN, BODY, strlen(BODY), NULL);
	for (int i = 0; i < 2; i++)
		got = wait_for(http, 5000);
	ok(got.status == 200, "two connections");
	sleep(2);
	got = post(http, BODY, strlen(BODY));
	is_text(got.error, "timed out while waiting for the answer", "one of them falls silent");
	got = post(http, BODY, strlen(BODY));
	ok(got.status == 200, "the other one is not tried");
	got = post(http, BODY, strlen(BODY));
	is_text(got.error, "timed out while waiting for the answer", "but the new one is used again");
	tte_http_destroy(http);
}

/* libcurl 7 tries six of them, libcurl 8 looks once a second whether any was closed. */
static void
test_closed_idle(const char *path, int to_port)
{
	char		endpoint[128];
	char		name[128];
	TteHttp    *http;
	Got			got;

	snprintf(endpoint, sizeof(endpoint), "%s://127.0.0.1:%d/%s", to_port == port ? "http" : "https", to_port, path);
	http = patient_transport_to(endpoint, ca_file, 5000, 10000);
	for (int i = 0; i < 16; i++)
		tte_http_post(http, TOKEN, BODY, strlen(BODY), NULL);
	for (int i = 0; i < 16; i++)
		(void) wait_for(http, 5000);
	usleep(1200000);
	got = post(http, BODY, strlen(BODY));
	snprintf(name, sizeof(name), "%s, %s: a request after 16 kept connections were closed", path, to_port == port ? "plain" : "TLS");
	ok(got.status == 200 && !got.resent, name);
	if (got.status != 200)
		printf("# %s\n", got.error);
	tte_http_destroy(http);
}

/*-------------------------------------------------------------------------
 * TLS
 *-------------------------------------------------------------------------
 */

static Got
fetch_tls(int tls_port, const char *ca)
{
	char		endpoint[128];
	TteHttp    *http;
	Got			got;

	snprintf(endpoint, sizeof(endpoint), "https://127.0.0.1:%d/ok", tls_port);
	http = transport_to(endpoint, ca, 3000);
	got = post(http, BODY, strlen(BODY));
	tte_http_destroy(http);
	return got;
}

static void
test_tls(void)
{
	Got			got = fetch_tls(tls_ports[0], ca_file);

	ok(got.transport == TTE_TRANSPORT_ANSWERED && got.status == 200, "TLS with our own CA file");
	setenv("SSL_CERT_FILE", ca_file, 1);
	setenv("CURL_CA_BUNDLE", ca_file, 1);
	got = fetch_tls(tls_ports[0], NULL);
	ok(got.transport == TTE_TRANSPORT_NEVER_SENT, "CA files of the environment have no effect");
	got = fetch_tls(tls_ports[4], ca_file);
	ok(got.transport == TTE_TRANSPORT_NEVER_SENT, "an unknown issuer: never sent");
	has_text(got.error, "self-signed certificate", "the reason is named: issuer");
	got = fetch_tls(tls_ports[1], ca_file);
	ok(got.transport == TTE_TRANSPORT_NEVER_SENT, "an expired certificate: never sent");
	has_text(got.error, "certificate has expired", "the reason is named: expired");
	got = fetch_tls(tls_ports[2], ca_file);
	ok(got.transport == TTE_TRANSPORT_NEVER_SENT, "a certificate of another host: never sent");
	has_text(got.error, "not valid for this host name", "the reason is named: host");
	got = fetch_tls(tls_ports[3], ca_file);
	ok(got.transport == TTE_TRANSPORT_NEVER_SENT, "TLS 1.1 only: never sent");
	has_text(got.error, "SSL connect error: the server does not speak TLS 1.2 or later", "the reason is named: old TLS");
	got = fetch_tls(port, ca_file);
	ok(got.transport == TTE_TRANSPORT_NEVER_SENT, "https to a plain port: never sent");
	got = fetch_tls(tls_ports[5], ca_file);
	ok(got.transport == TTE_TRANSPORT_NEVER_SENT, "HTTP/2 only: never sent");
	has_text(got.error, "SSL connect error: the server does not speak HTTP/1.1", "the reason is named: HTTP/2");
	got = fetch_tls(tls_ports[0], "/nonexistent/ca.pem");
	ok(got.transport == TTE_TRANSPORT_NEVER_SENT, "a CA file that is missing: never sent");
}

/*-------------------------------------------------------------------------
 * Trouble on our side
 *-------------------------------------------------------------------------
 */

static void
test_bad_calls(void)
{
	TteHttpOptions options = {.endpoint = "ftp://127.0.0.1/", .max_connections = 4};
	const char *error = NULL;
	char		long_token[514];
	TteHttp    *http = tte_http_create(&options, &error);

	ok(http == NULL && error != NULL, "another protocol is refused");
	http = transport_for("ok", 1000);
	ok(tte_http_post(http, "a\r\nX: y", BODY, 1, NULL) == NULL, "a line end in the token is refused");
	ok(tte_http_post(http, "", BODY, 1, NULL) == NULL, "an empty token is refused");
	ok(tte_http_post(http, "a\x80", BODY, 1, NULL) == NULL, "a token beyond ASCII is refused");
	memset(long_token, 'x', sizeof(long_token));
	long_token[sizeof(long_token) - 1] = '\0';
	ok(tte_http_post(http, long_token, BODY, 1, NULL) == NULL, "a token that is too long is refused");
	ok(post(http, BODY, strlen(BODY)).status == 200, "and the next one works");
	tte_http_destroy(http);
	tte_http_destroy(NULL);
	ok(true, "destroying nothing is harmless");
}

static void
test_broken_multi(void)
{
	TteHttp    *http = transport_for("ok", 3000);
	Got			got;

	epoll_failures = 2;
	got = post(http, BODY, strlen(BODY));
	ok(got.finished && got.transport != TTE_TRANSPORT_ANSWERED, "no descriptor to watch with: it ends");
	epoll_failures = 0;
	got = post(http, BODY, strlen(BODY));
	ok(got.status == 200, "the next request works again");
	tte_http_destroy(http);
}

static void
test_leaks(void)
{
	TteHttp    *http = transport_for("ok", 3000);
	int			before;
	int			good = 0;

	post(http, BODY, strlen(BODY));
	before = open_descriptors();
	for (int i = 0; i < 1000; i++)
		good += post(http, BODY, strlen(BODY)).status == 200;
	ok(good == 1000, "1000 exchanges");
	ok(open_descriptors() == before, "no descriptor is lost");
	tte_http_destroy(http);

	before = open_descriptors();
	for (int i = 0; i < 100; i++)
		fetch(i % 2 ? "ok" : "closed", 3000);
	ok(open_descriptors() == before, "nor by 100 transports");
}

static void
test_destroy_under_way(void)
{
	TteHttp    *http = transport_for("hang", 30000);
	int			before = open_descriptors();
	long		start;

	tte_http_destroy(http);
	before -= 3;				/* the epoll and the timer descriptors */
	http = transport_for("hang", 30000);
	for (int i = 0; i < 8; i++)
		tte_http_post(http, TOKEN, BODY, strlen(BODY), NULL);
	for (int i = 0; i < 20; i++)
	{
		tte_http_drive(http);
		usleep(5000);
	}
	ok(tte_http_in_flight(http) == 8, "eight exchanges under way");
	start = now_ms();
	tte_http_destroy(http);
	ok(now_ms() - start < 200, "destroyed at once");
	ok(open_descriptors() <= before, "with all descriptors closed");
}

#ifdef FAILING_MALLOC
static void
test_no_memory(void)
{
	bool		each = true;
	int			n;

	malloc_thread = pthread_self();
	for (n = 1; n < 5000; n++)
	{
		TteHttp    *http;
		Got			got;

		malloc_failed = false;
		malloc_countdown = n;
		http = transport_for("ok", 2000);
		if (http != NULL && tte_http_post(http, TOKEN, BODY, strlen(BODY), NULL) != NULL)
		{
			got = wait_for(http, 4000);
			each &= got.finished;
		}
		malloc_countdown = 0;
		tte_http_destroy(http);
		if (!malloc_failed)
			break;
	}
	printf("# %d allocations failed one by one\n", n - 1);
	ok(each && n > 50, "no memory, at any point: no crash, and each exchange ends");
}
#endif

/* An answer may take longer than a stall may; both at once, to save time. */
static void
test_slow_answers(void)
{
	TteHttp    *late = transport_for("late", 30000);
	TteHttp    *stall = transport_for("stall", 30000);
	Got			got;

	tte_http_post(late, TOKEN, BODY, strlen(BODY), NULL);
	tte_http_drive(late);
	tte_http_post(stall, TOKEN, BODY, strlen(BODY), NULL);
	got = wait_for(stall, 40000);
	ok(got.transport == TTE_TRANSPORT_AMBIGUOUS, "a stall after the headers: ambiguous");
	ok(got.elapsed > 8000 && got.elapsed < 24000, "given up long before the time-out");
	printf("# after %ld ms\n", got.elapsed);
	got = wait_for(late, 20000);
	ok(got.status == 200, "an answer that takes 12 seconds is waited for");
	tte_http_destroy(late);
	tte_http_destroy(stall);
}

int
main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	setenv("SSLKEYLOGFILE", "/nonexistent/keys", 1);
	start_servers();
	test_success();
	test_large_body();
	test_in_parallel();
	test_never_sent();
	test_resolver();
	test_replies();
	test_limits();
	test_redirect();
	test_environment();
	test_dead_connection();
	for (int i = 0; i < 2; i++)
	{
		test_closed_idle("closeidle", i == 0 ? port : tls_ports[0]);
		test_closed_idle("resetidle", i == 0 ? port : tls_ports[0]);
	}
	test_dead_address();
	test_forgotten();
	test_silence();
	test_tls();
	test_bad_calls();
	test_broken_multi();
	test_leaks();
	test_destroy_under_way();
#ifdef FAILING_MALLOC
	test_no_memory();
#endif
	test_slow_answers();
	stop_servers();
	unlink(ca_file);
	return tap_end();
}

/*-------------------------------------------------------------------------
 *
 * token.c
 *	  Unit test of deliver/token.c: files that may hold a token, and things
 *	  that may lie in their place; memory that holds one.
 *
 *-------------------------------------------------------------------------
 */
#include "deliver/token.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "tap.h"

#define NAME	"shop"

static char dir[64] = "/tmp/token-XXXXXX";
static char token[TTE_TOKEN_MAX + 1];

/* The path of a file; two of them stay valid at a time. */
static const char *
path_of(const char *name)
{
	static char paths[2][128];
	static int	turn = 0;

	turn = 1 - turn;
	snprintf(paths[turn], sizeof(paths[turn]), "%s/%s", dir, name);
	return paths[turn];
}

static void
write_bytes(const char *name, const char *bytes, size_t len, mode_t mode)
{
	int			fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, bytes, len) != (ssize_t) len || fchmod(fd, mode) != 0)
		printf("# could not write %s: %s\n", name, strerror(errno));
	if (fd >= 0)
		close(fd);
}

static void
write_file(const char *string)
{
	unlink(path_of(NAME));
	write_bytes(NAME, string, strlen(string), 0600);
}

/* The token of the file, or why there is none. */
static const char *
look(const char *name)
{
	const char *problem = tte_token_read(dir, name, token);

	if (problem != NULL && token[0] != '\0')
		return "a token in spite of a problem";
	return problem ? problem : token;
}

/* Also empties the place. */
static void
found(const char *expected, const char *name)
{
	is_text(look(NAME), expected, name);
	if (unlink(path_of(NAME)) != 0)
		rmdir(path_of(NAME));
}

static void
test_contents(void)
{
	char		run[TTE_TOKEN_MAX + 3];
	const struct
	{
		const char *text;
		const char *expected;
		const char *name;
	}			cases[] = {
		{"abc", "abc", "a token"},
		{"abc\n", "abc", "one line end is trimmed"},
		{"!~", "!~", "the first and the last character that may be"},
		{"", "empty", "an empty file"},
		{"\n", "empty", "a line end alone"},
		{"abc\n\n", "bad characters", "two line ends"},
		{"abc\r\n", "bad characters", "CR LF"},
		{"abc\r\nX-Injected: 1", "bad characters", "a header in the token"},
		{"abc\nabc\n", "bad characters", "two lines"},
		{"a bc", "bad characters", "a blank inside"},
		{" abc", "bad characters", "a blank in front"},
		{"abc\x7f", "bad characters", "DEL"},
		{"abc\xc3\xa9", "bad characters", "beyond ASCII"},
		{"\xef\xbb\xbf" "abc", "bad characters", "a byte order mark"}
	};

	for (int i = 0; i < lengthof(cases); i++)
	{
		write_file(cases[i].text);
		found(cases[i].expected, cases[i].name);
	}
	write_bytes(NAME, "ab\0c", 4, 0600);
	found("bad characters", "a NUL inside");
	write_bytes(NAME, "abc\0", 4, 0600);
	found("bad characters", "a NUL at the end");

	memset(run, 'x', sizeof(run));
	write_bytes(NAME, run, TTE_TOKEN_MAX, 0600);
	ok(tte_token_read(dir, NAME, token) == NULL && strlen(token) == TTE_TOKEN_MAX, "512 bytes");
	run[TTE_TOKEN_MAX] = '\n';
	write_bytes(NAME, run, TTE_TOKEN_MAX + 1, 0600);
	ok(tte_token_read(dir, NAME, token) == NULL && strlen(token) == TTE_TOKEN_MAX, "512 bytes and a line end");
	run[TTE_TOKEN_MAX] = 'x';
	write_bytes(NAME, run, TTE_TOKEN_MAX + 1, 0600);
	found("too large", "513 bytes");
	write_bytes(NAME, run, TTE_TOKEN_MAX + 3, 0600);
	found("too large", "515 bytes");
}

static void
test_modes(void)
{
	static const mode_t refused[] = {0640, 0644, 0604, 0660, 0666, 0610, 0601, 0777};
	bool		as_root = geteuid() == 0;
	char		name[32];

	for (int i = 0; i < lengthof(refused); i++)
	{
		if (as_root && refused[i] == 0640)
			continue;			/* see below */
		write_bytes(NAME, "abc", 3, refused[i]);
		snprintf(name, sizeof(name), "mode %04o", refused[i]);
		found("open to group or others", name);
	}
	write_bytes(NAME, "abc", 3, 0400);
	found("abc", "mode 0400");
	write_bytes(NAME, "abc", 3, 0000);
	found(as_root ? "abc" : "not readable by the server", "mode 0000");

	if (!as_root)
		return;

	/* Root can see all cases, in the place of another user as well. */
	write_bytes(NAME, "abc", 3, 0600);
	if (chown(path_of(NAME), 65534, 65534) == 0)
		found("owned by another user than the server's or root", "another owner");
	write_bytes(NAME, "abc", 3, 0640);
	if (chmod(dir, 0755) == 0 && setegid(65534) == 0 && chown(path_of(NAME), 0, 65534) == 0 &&
		seteuid(65534) == 0)
	{
		is_text(look(NAME), "abc", "root's file that the server's group may read");
		if (seteuid(0) == 0 && setegid(0) == 0)
			found("open to group or others", "which is the server's own for root");
	}
}

static void
test_strange_files(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int			fd;
	struct timespec from;
	struct timespec to;

	is_text(look(NAME), "missing", "no file");
	ok(tte_token_read(dir, NAME, token) == tte_token_missing, "which is told from the others by its address");
	ok(mkdir(path_of(NAME), 0700) == 0, "a directory");
	found("not a regular file", "is no file");

	clock_gettime(CLOCK_MONOTONIC, &from);
	ok(mkfifo(path_of(NAME), 0600) == 0, "a pipe");
	found("not a regular file", "is no file");
	clock_gettime(CLOCK_MONOTONIC, &to);
	ok(to.tv_sec - from.tv_sec <= 1, "and does not block");

	write_bytes("other", "abc", 3, 0600);
	ok(symlink("other", path_of(NAME)) == 0, "a symbolic link");
	found("a symbolic link", "is not followed");
	ok(symlink("nowhere", path_of(NAME)) == 0, "one that leads nowhere");
	found("a symbolic link", "is not followed either");
	unlink(path_of("other"));

	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	strlcpy(address.sun_path, path_of(NAME), sizeof(address.sun_path));
	ok(bind(fd, (struct sockaddr *) &address, sizeof(address)) == 0, "a socket");
	found("not a regular file", "is no file");
	close(fd);

	write_file("abc");
	ok(truncate(path_of(NAME), INT64CONST(1) << 30) == 0, "a file of 1 GB");
	found("too large", "is not read");
}

static void
test_names(void)
{
	char		long_name[MAXPGPATH + 1];

	write_bytes("other", "abc", 3, 0600);
	is_text(look("other"), "abc", "the name is the file's");
	is_text(look("../other"), "missing", "a name with a slash has no file");
	is_text(look("x/../other"), "missing", "wherever the slash is");
	is_text(look("."), "not a regular file", "the folder itself");
	is_text(look(".."), "not a regular file", "the folder above");
	is_text(look(""), "not a regular file", "an empty name");
	is_text(look("Other"), "missing", "case matters");
	memset(long_name, 'x', MAXPGPATH);
	long_name[MAXPGPATH] = '\0';
	is_text(look(long_name), "missing", "a name that is too long");
	ok(tte_token_stamp(dir, long_name) == 0, "has no stamp");
	long_name[300] = '\0';
	is_text(look(long_name), "missing", "one that is too long for the file system");
	is_text(tte_token_read("/nonexistent", "other", token), "missing", "no such folder");
	is_text(tte_token_read(path_of("other"), "other", token), "missing", "a file in the folder's place");
	unlink(path_of("other"));
}

static void
test_stamps(void)
{
	struct timespec times[2] = {{0, UTIME_OMIT}, {1000000000, 1}};
	uint64		before;

	ok(tte_token_stamp(dir, NAME) == 0, "no file, no stamp");
	write_file("abc");
	before = tte_token_stamp(dir, NAME);
	ok(before != 0, "a file has one");
	ok(before == tte_token_stamp(dir, NAME), "that stays");
	ok(utimensat(AT_FDCWD, path_of(NAME), times, 0) == 0, "another time");
	ok(before != tte_token_stamp(dir, NAME), "is another stamp");
	before = tte_token_stamp(dir, NAME);
	times[1].tv_nsec = 2;
	ok(utimensat(AT_FDCWD, path_of(NAME), times, 0) == 0 && before != tte_token_stamp(dir, NAME),
	   "a nanosecond is enough");
	before = tte_token_stamp(dir, NAME);
	write_bytes("new", "abc", 3, 0600);
	ok(rename(path_of("new"), path_of(NAME)) == 0 && before != tte_token_stamp(dir, NAME), "a file put in its place");
	before = tte_token_stamp(dir, NAME);
	usleep(20000);				/* longer than a tick of the file system's
								 * clock */
	ok(chmod(path_of(NAME), 0400) == 0 && before != tte_token_stamp(dir, NAME), "another mode");
	unlink(path_of(NAME));
}

/* Is memory at that place left out of core files? */
static bool
is_dumped(const char *place)
{
	FILE	   *maps = fopen("/proc/self/smaps", "r");
	char		line[512];
	unsigned long from;
	unsigned long to;
	bool		here = false;
	bool		dumped = true;

	while (maps != NULL && fgets(line, sizeof(line), maps) != NULL)
	{
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = (unsigned long) place >= from && (unsigned long) place < to;
		else if (here && strncmp(line, "VmFlags:", 8) == 0)
			dumped = strstr(line, " dd") == NULL;
	}
	if (maps != NULL)
		fclose(maps);
	return dumped;
}

static void
test_memory(void)
{
	char	   *one = tte_secret_alloc();
	char	   *other = tte_secret_alloc();

	ok(one != NULL && other != NULL && one != other, "memory for two tokens");
	if (one == NULL || other == NULL)
		return;
	memset(one, 'x', TTE_SECRET_SIZE);
	ok(other[0] == '\0' && other[TTE_SECRET_SIZE - 1] == '\0', "which is empty");
	ok(!is_dumped(one) && !is_dumped(one + TTE_SECRET_SIZE - 1), "is in no core file");
	ok(is_dumped(dir), "as other memory is");
	tte_secret_free(one);
	tte_secret_free(other);
	tte_secret_free(NULL);
	one = tte_secret_alloc();
	ok(one != NULL && one[0] == '\0' && one[TTE_SECRET_SIZE - 1] == '\0' && !is_dumped(one), "memory for another token after that is empty and in no core file");
	tte_secret_free(one);
}

/* At the start of a worker with many sources, and when they are dropped. */
static void
test_many_secrets(void)
{
	char	   *secrets[100];
	bool		empty = true;

	for (int round = 0; round < 2; round++)
	{
		for (int i = 0; i < lengthof(secrets); i++)
		{
			secrets[i] = tte_secret_alloc();
			empty &= secrets[i] != NULL && secrets[i][0] == '\0' && secrets[i][TTE_SECRET_SIZE - 1] == '\0';
			if (secrets[i] != NULL)
				memset(secrets[i], 'x', TTE_SECRET_SIZE);
		}
		for (int i = 0; i < lengthof(secrets); i++)
			tte_secret_free(secrets[i]);
	}
	ok(empty, "memory for a hundred tokens, twice");
}

static int
open_files(void)
{
	DIR		   *list = opendir("/proc/self/fd");
	int			n = 0;

	if (list == NULL)
		return -1;
	while (readdir(list) != NULL)
		n++;
	closedir(list);
	return n;
}

int
main(void)
{
	int			files = open_files();

	if (mkdtemp(dir) == NULL)
		return 1;
	test_contents();
	test_modes();
	test_strange_files();
	test_names();
	test_stamps();
	test_memory();
	test_many_secrets();
	ok(files >= 0 && open_files() == files, "every file has been closed");
	rmdir(dir);
	return tap_end();
}

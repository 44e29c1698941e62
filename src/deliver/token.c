/*-------------------------------------------------------------------------
 *
 * token.c
 *	  Access tokens in files, and in memory.
 *
 * A file outside the data directory is the safest place for a token: no dump, no
 * WAL and no copy of the database contains it.  The rules for the file are those
 * that PostgreSQL has for its TLS key; besides, a symbolic link as the last path
 * component is refused.  The opened file is checked, not its name, so that
 * nobody can replace it in between.  Opening it never blocks, whatever it is.
 *
 * In memory a token has a page of its own, which is neither in a core file nor,
 * as far as the process may lock memory, in swap space.  Each request needs one, so
 * a few are kept when they are freed: to get one from the kernel and to give it
 * back takes as long as to record the request.
 *
 *-------------------------------------------------------------------------
 */
#include "deliver/token.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX	4096
#define KEPT_MAX	8

/* Pages for the next secrets, which are zero. */
static char *kept[KEPT_MAX];
static int	nkept = 0;

const char *const tte_token_missing = "missing";

bool
tte_token_is_valid(const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		if (bytes[i] <= ' ' || bytes[i] > '~')
			return false;
	}
	return len > 0 && len <= TTE_TOKEN_MAX;
}

/* Sets path; returns false if no file can have such a name. */
static bool
file_path(char path[MAXPGPATH], const char *dir, const char *source_name)
{
	if (strchr(source_name, '/') != NULL)
		return false;
	return snprintf(path, MAXPGPATH, "%s/%s", dir, source_name) < MAXPGPATH;
}

static const char *
why_not_opened(void)
{
	switch (errno)
	{
		case ENOENT:
		case ENOTDIR:
		case ENAMETOOLONG:
			return tte_token_missing;
		case ELOOP:
			return "a symbolic link";
		case ENXIO:				/* a socket, or a device that is not there */
			return "not a regular file";
		case EACCES:
		case EPERM:
			return "not readable by the server";
	}
	return "could not be opened";
}

/* Accepts a file of the server's user, without access for others, or of root, who may let the group read it. */
static const char *
why_not_trusted(const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		return "not a regular file";
	if (st->st_uid != geteuid() && st->st_uid != 0)
		return "owned by another user than the server's or root";
	if (st->st_mode & (st->st_uid == geteuid() ? S_IRWXG | S_IRWXO : S_IWGRP | S_IXGRP | S_IRWXO))
		return "open to group or others";
	if (st->st_size > FILE_MAX)
		return "too large";
	return NULL;
}

/* Returns the number of bytes read, at most size; -1 on error. */
static ssize_t
read_all(int fd, char *buffer, size_t size)
{
	size_t		len = 0;

	while (len < size)
	{
		ssize_t		n = read(fd, buffer + len, size - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		len += n;
	}
	return len;
}

/* Copies the token from the file's bytes, without a line end after it. */
static const char *
take_token(const char *bytes, ssize_t len, char *token)
{
	if (len < 0)
		return "could not be read";
	if (len > 0 && bytes[len - 1] == '\n')
		len--;
	if (len == 0)
		return "empty";
	if (len > TTE_TOKEN_MAX)
		return "too large";

	if (!tte_token_is_valid(bytes, len))
		return "bad characters";
	memcpy(token, bytes, len);
	token[len] = '\0';
	return NULL;
}

const char *
tte_token_read(const char *dir, const char *source_name, char token[TTE_TOKEN_MAX + 1])
{
	char		path[MAXPGPATH];
	char		bytes[TTE_TOKEN_MAX + 2];	/* a line end, and one that is too
											 * many */
	struct stat st;
	const char *problem;
	int			fd;

	token[0] = '\0';
	if (!file_path(path, dir, source_name))
		return tte_token_missing;
	fd = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return why_not_opened();
	problem = fstat(fd, &st) < 0 ? "could not be read" : why_not_trusted(&st);
	if (problem == NULL)
	{
		problem = take_token(bytes, read_all(fd, bytes, sizeof(bytes)), token);
		explicit_bzero(bytes, sizeof(bytes));
	}
	close(fd);
	return problem;
}

/* One step of the FNV hash. */
static uint64
mix(uint64 stamp, uint64 part)
{
	return (stamp ^ part) * UINT64CONST(0x100000001b3);
}

uint64
tte_file_stamp(const struct stat *st)
{
	uint64		stamp = UINT64CONST(0xcbf29ce484222325);

	stamp = mix(stamp, st->st_dev);
	stamp = mix(stamp, st->st_ino);
	stamp = mix(stamp, st->st_size);
	stamp = mix(stamp, st->st_mtim.tv_sec);
	stamp = mix(stamp, st->st_mtim.tv_nsec);
	stamp = mix(stamp, st->st_ctim.tv_sec); /* owner and mode */
	return mix(stamp, st->st_ctim.tv_nsec);
}

uint64
tte_token_stamp(const char *dir, const char *source_name)
{
	char		path[MAXPGPATH];
	struct stat st;

	return file_path(path, dir, source_name) && lstat(path, &st) == 0 ? tte_file_stamp(&st) : 0;
}

char *
tte_secret_alloc(void)
{
	char	   *secret;

	if (nkept > 0)
		return kept[--nkept];
	secret = mmap(NULL, TTE_SECRET_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (secret == MAP_FAILED)
		return NULL;
	(void) mlock(secret, TTE_SECRET_SIZE);
	(void) madvise(secret, TTE_SECRET_SIZE, MADV_DONTDUMP);
	return secret;
}

void
tte_secret_free(char *secret)
{
	if (secret == NULL)
		return;
	explicit_bzero(secret, TTE_SECRET_SIZE);
	if (nkept < KEPT_MAX)
		kept[nkept++] = secret;
	else
		munmap(secret, TTE_SECRET_SIZE);
}

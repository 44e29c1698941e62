/*
 * clock.c: a clock that a test can set, for one server.
 *
 * Preloaded into its processes, it moves what gettimeofday() says, which is what
 * PostgreSQL takes for the time of day, by the seconds that stand as a binary
 * number in the file named by TEST_CLOCK.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

static const volatile int64_t *offset;

__attribute__((constructor))
static void
map_offset(void)
{
	const char *path = getenv("TEST_CLOCK");
	int			fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void	   *map = fd >= 0 ? mmap(NULL, sizeof(*offset), PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;

	if (map == MAP_FAILED)
		abort();
	offset = map;
}

int
gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec real;

	clock_gettime(CLOCK_REALTIME, &real);
	now->tv_sec = real.tv_sec + *offset;
	now->tv_usec = real.tv_nsec / 1000;
	return 0;
}

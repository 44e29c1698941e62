/*-------------------------------------------------------------------------
 *
 * waitset.c
 *	  Waiting in background workers and sessions.
 *
 * A descriptor cannot be removed from a WaitEventSet, and one that was closed
 * and opened again may have the same number.  So the wait set has only the
 * latch, the postmaster's death and a private epoll descriptor, as long as the
 * process lives.  The caller's descriptors are added to the epoll descriptor: the
 * kernel removes a closed one by itself, and adding one again is harmless.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <sys/epoll.h>

#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "server/compat.h"
#include "server/waitset.h"

static WaitEventSet *wait_set = NULL;
static int	inner_fd = -1;
static int	watched_fds[2] = {-1, -1};

static void
create_wait_set(void)
{
	WaitEventSet *set;

	if (inner_fd < 0)
	{
		inner_fd = epoll_create1(EPOLL_CLOEXEC);
		if (inner_fd < 0)
			ereport(ERROR,
					(errcode_for_socket_access(),
					 errmsg("could not create an epoll descriptor: %m")));
		ReserveExternalFD();
	}
	set = tte_create_wait_event_set(3);
	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(set, WL_SOCKET_READABLE, inner_fd, NULL, NULL);
	wait_set = set;
}

static void
watch(int *watched, int fd)
{
	struct epoll_event event = {0};

	if (*watched >= 0 && *watched != fd)
		epoll_ctl(inner_fd, EPOLL_CTL_DEL, *watched, NULL);
	*watched = -1;
	if (fd < 0)
		return;
	event.events = EPOLLIN;
	if (epoll_ctl(inner_fd, EPOLL_CTL_ADD, fd, &event) < 0 && errno != EEXIST)
		ereport(ERROR,
				(errcode_for_socket_access(),
				 errmsg("could not watch a descriptor: %m")));
	*watched = fd;
}

void
tte_wait(int fd, int other_fd, long timeout_ms, uint32 wait_event_info)
{
	WaitEvent	event;

	if (wait_set == NULL)
		create_wait_set();
	/* what one of them was may be the number of the other now */
	if (watched_fds[0] == other_fd || watched_fds[1] == fd)
	{
		watch(&watched_fds[0], -1);
		watch(&watched_fds[1], -1);
	}
	watch(&watched_fds[0], fd);
	watch(&watched_fds[1], other_fd);
	(void) WaitEventSetWait(wait_set, timeout_ms, &event, 1, wait_event_info);

	/*
	 * Reset the latch even if another event was reported: it may be set, too,
	 * and the caller checks for all its work after each wait.
	 */
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

void
tte_sleep(long timeout_ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, timeout_ms, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

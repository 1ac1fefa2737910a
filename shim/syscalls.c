/* libc's entry points that hand memory of the program's to the kernel: one table, one shape. The buffer is pinned for
 * the length of the call, so that a page on its way, or away, never meets the kernel (see offload/mem/pin.h). A buffer that
 * is not in a tracked region costs a few nanoseconds; under the move mechanism with privilege nothing is pinned.
 *
 * A thread that is cancelled in the middle of such a call drops its pins on the way out. One that leaves by longjmp leaves them
 * behind: the region then stays where it is, which costs speed and nothing else.
 */
#include <dirent.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/msg.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "offload/offload.h"
#include "shim/hook.h"

#define PINS 16
#define IOVECS 8 /* pinned one by one; of longer lists, the whole address space between the lowest and highest */

struct pins {
	int slot[PINS];
	int n;
};

static void pins_add(struct pins *p, const void *buffer, size_t bytes, bool writes)
{
	int pin = cdm_pin_take((uintptr_t)buffer, bytes, writes);

	if (!pin)
		return;
	if (p->n < PINS)
		p->slot[p->n++] = pin;
	else
		cdm_pin_drop(
			pin); /* it is at home now, and may leave again: a call with that many parts in device memory */
}

static void pins_list(struct pins *p, const struct iovec *iov, size_t count, bool writes)
{
	uintptr_t low = UINTPTR_MAX, high = 0;

	if (!iov)
		return;
	for (size_t i = 0; i < count; i++) {
		uintptr_t a = (uintptr_t)iov[i].iov_base;
		if (count <= IOVECS)
			pins_add(p, iov[i].iov_base, iov[i].iov_len, writes);
		low = a < low ? a : low;
		high = a + iov[i].iov_len > high ? a + iov[i].iov_len : high;
	}
	if (count > IOVECS)
		pins_add(p, (void *)low, high - low, writes);
	pins_add(p, iov, count * sizeof(*iov), false);
}

static void pins_message(struct pins *p, const struct msghdr *m, bool writes)
{
	if (!m)
		return;
	pins_list(p, m->msg_iov, m->msg_iovlen, writes);
	pins_add(p, m->msg_name, m->msg_namelen, writes);
	pins_add(p, m->msg_control, m->msg_controllen, writes);
	pins_add(p, m, sizeof(*m), writes);
}

static void pins_drop(void *arg)
{
	struct pins *p = arg;

	while (p->n > 0)
		cdm_pin_drop(p->slot[--p->n]);
}

/* name, with the pins that `take` adds to held. */
#define PINNED(name, type, params, args, take)                                                                         \
	CDM_EXPORT type name params;                                                                                   \
	CDM_EXPORT type name params                                                                                    \
	{                                                                                                              \
		struct pins held = {.n = 0};                                                                           \
		type r = (type)0;                                                                                      \
		if (cdm_pins_needed)                                                                                   \
			take;                                                                                          \
		if (!held.n)                                                                                           \
			return cdm_next.name args;                                                                     \
		pthread_cleanup_push(pins_drop, &held);                                                                \
		r = cdm_next.name args;                                                                                \
		pthread_cleanup_pop(1);                                                                                \
		return r;                                                                                              \
	}

#define X(name, type, params, args, buffer, bytes, writes)                                                             \
	PINNED(name, type, params, args, pins_add(&held, buffer, bytes, writes))
CDM_BUFFER_HOOKS(X)
#undef X

#define X(name, type, params, args, iov, count, writes)                                                                \
	PINNED(name, type, params, args, pins_list(&held, iov, (size_t)(count), writes))
CDM_VECTOR_HOOKS(X)
#undef X

#define X(name, type, params, args, message, writes)                                                                   \
	PINNED(name, type, params, args, pins_message(&held, message, writes))
CDM_MESSAGE_HOOKS(X)
#undef X

static void pins_messages(struct pins *p, const struct mmsghdr *m, unsigned count, bool writes)
{
	for (unsigned i = 0; m && i < count; i++)
		pins_message(p, &m[i].msg_hdr, writes);
	pins_add(p, m, count * sizeof(*m), true);
}

PINNED(recvmmsg, int, (int fd, struct mmsghdr *m, unsigned count, int flags, struct timespec *timeout),
       (fd, m, count, flags, timeout), pins_messages(&held, m, count, true))
PINNED(sendmmsg, int, (int fd, struct mmsghdr *m, unsigned count, int flags), (fd, m, count, flags),
       pins_messages(&held, m, count, false))

/* The other side is this process, or has addresses that mean nothing here and cost nothing but time. */
static void pins_copies(struct pins *p, const struct iovec *local, size_t locals, const struct iovec *remote,
			size_t remotes, bool writes)
{
	pins_list(p, local, locals, writes);
	pins_list(p, remote, remotes, !writes);
}

PINNED(process_vm_readv, ssize_t,
       (pid_t pid, const struct iovec *local, unsigned long locals, const struct iovec *remote, unsigned long remotes,
	unsigned long flags),
       (pid, local, locals, remote, remotes, flags), pins_copies(&held, local, locals, remote, remotes, true))
PINNED(process_vm_writev, ssize_t,
       (pid_t pid, const struct iovec *local, unsigned long locals, const struct iovec *remote, unsigned long remotes,
	unsigned long flags),
       (pid, local, locals, remote, remotes, flags), pins_copies(&held, local, locals, remote, remotes, false))

/* Requests that outlive the call: the memory stays at home from now on. */
#define X(name, block)                                                                                                 \
	CDM_EXPORT int name(struct block *cb)                                                                          \
	{                                                                                                              \
		if (cdm_pins_needed)                                                                                   \
			cdm_map_keep((const void *)cb->aio_buf, cb->aio_nbytes);                                       \
		return cdm_next.name(cb);                                                                              \
	}
X(aio_read, aiocb)
X(aio_write, aiocb)
X(aio_read64, aiocb64)
X(aio_write64, aiocb64)
#undef X

/* syscall(2): where the numbers say how long a buffer is, all of it, else the page that an argument points to. Arguments
 * that are no pointers point to nothing that is tracked. */
#define ARGUMENTS 6

static size_t buffer_length(long nr, int i, const long *a)
{
	switch (nr) {
	case SYS_read:
	case SYS_write:
	case SYS_pread64:
	case SYS_pwrite64:
	case SYS_recvfrom:
	case SYS_sendto:
		return i == 1 ? (size_t)a[2] : 1;
	case SYS_getrandom:
		return i == 0 ? (size_t)a[1] : 1;
	default:
		return 1;
	}
}

/* Buffers that a ring writes to by itself from now on (linux/io_uring.h: IORING_REGISTER_BUFFERS, and BUFFERS2, whose list
 * stands in a structure: count, flags, a reserved word, the list). */
static void registered_keep(const long *a)
{
	const uint64_t *resources = (const uint64_t *)a[2];
	bool plain = a[1] == 0, indirect = a[1] == 15;

	if ((!plain && !indirect) || !resources)
		return;
	const struct iovec *iov = plain ? (const struct iovec *)a[2] : (const struct iovec *)resources[2];
	unsigned long count = plain ? (unsigned long)a[3] : (uint32_t)resources[0];
	for (unsigned long i = 0; iov && i < count; i++)
		cdm_map_keep(iov[i].iov_base, iov[i].iov_len);
}

static pid_t fork_now(void)
{
	return (pid_t)cdm_next.syscall(SYS_fork, 0, 0, 0, 0, 0, 0);
}

CDM_EXPORT long syscall(long nr, ...)
{
	struct pins held = {.n = 0};
	long a[ARGUMENTS], r;
	va_list ap;

	va_start(ap, nr);
	for (int i = 0; i < ARGUMENTS; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	/* These do not come back here, or not once. */
	bool pins = cdm_pins_needed && nr != SYS_clone && nr != SYS_vfork && nr != SYS_exit && nr != SYS_exit_group &&
		    nr != SYS_rt_sigreturn && nr != SYS_execve;
	if (nr == SYS_fork)
		return cdm_fork_bare(fork_now);
	if (nr == SYS_io_uring_register && cdm_pins_needed)
		registered_keep(a);
	for (int i = 0; pins && i < ARGUMENTS; i++)
		pins_add(&held, (void *)a[i], buffer_length(nr, i, a), true);
	if (!held.n)
		return cdm_next.syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	pthread_cleanup_push(pins_drop, &held);
	r = cdm_next.syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	pthread_cleanup_pop(1);
	return r;
}

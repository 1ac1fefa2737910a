/* libc's entry points that hand memory of the program's to the kernel: one table, one shape. The buffer is pinned for
 * the length of the call, so that a page on its way never meets the kernel (see offload/mem/pin.h). A buffer that is
 * not in a tracked region costs a few nanoseconds; under the move mechanism with privilege nothing is pinned.
 *
 * A thread that is cancelled, or leaves by longjmp, in the middle of such a call leaves its pin behind: the region then
 * stays where it is, which costs speed and nothing else.
 */
#include <dirent.h>
#include <stdarg.h>
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

#define IOVECS 8 /* pinned one by one; of longer lists, the whole address space between the lowest and highest */

#define X(name, type, params, args, buffer, bytes, writes)                                                             \
	CDM_EXPORT type name params;                                                                                   \
	CDM_EXPORT type name params                                                                                    \
	{                                                                                                              \
		if (!cdm_pins_needed)                                                                                  \
			return cdm_next.name args;                                                                     \
		int pin = cdm_pin_take((uintptr_t)(buffer), bytes, writes);                                            \
		type r = cdm_next.name args;                                                                           \
		cdm_pin_drop(pin);                                                                                     \
		return r;                                                                                              \
	}
CDM_BUFFER_HOOKS(X)
#undef X

struct pins {
	int slot[IOVECS];
	int n;
};

static void pins_take(struct pins *p, const struct iovec *iov, int count, bool writes)
{
	uintptr_t low = UINTPTR_MAX, high = 0;

	p->n = 0;
	if (count > IOVECS) {
		for (int i = 0; i < count; i++) {
			uintptr_t a = (uintptr_t)iov[i].iov_base;
			low = a < low ? a : low;
			high = a + iov[i].iov_len > high ? a + iov[i].iov_len : high;
		}
		p->slot[p->n++] = cdm_pin_take(low, high - low, writes);
		return;
	}
	for (int i = 0; i < count; i++)
		p->slot[p->n++] = cdm_pin_take((uintptr_t)iov[i].iov_base, iov[i].iov_len, writes);
}

static void pins_drop(struct pins *p)
{
	while (p->n > 0)
		cdm_pin_drop(p->slot[--p->n]);
}

#define X(name, type, params, args, iov, count, writes)                                                                \
	CDM_EXPORT type name params;                                                                                   \
	CDM_EXPORT type name params                                                                                    \
	{                                                                                                              \
		if (!cdm_pins_needed)                                                                                  \
			return cdm_next.name args;                                                                     \
		struct pins pins;                                                                                      \
		pins_take(&pins, iov, (int)(count), writes);                                                           \
		type r = cdm_next.name args;                                                                           \
		pins_drop(&pins);                                                                                      \
		return r;                                                                                              \
	}
CDM_VECTOR_HOOKS(X)
#undef X

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

CDM_EXPORT long syscall(long nr, ...)
{
	int pin[ARGUMENTS] = {0};
	long a[ARGUMENTS];
	va_list ap;

	va_start(ap, nr);
	for (int i = 0; i < ARGUMENTS; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	/* These do not come back here, or not once. */
	bool pins = cdm_pins_needed && nr != SYS_clone && nr != SYS_vfork && nr != SYS_exit && nr != SYS_exit_group &&
		    nr != SYS_rt_sigreturn && nr != SYS_execve;
	for (int i = 0; pins && i < ARGUMENTS; i++)
		pin[i] = cdm_pin_take((uintptr_t)a[i], buffer_length(nr, i, a), true);
	long r = cdm_next.syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	for (int i = 0; pins && i < ARGUMENTS; i++)
		cdm_pin_drop(pin[i]);
	return r;
}

/* libc's entry points that hand memory of the program's to the kernel: one table, one shape. The buffer is pinned for
 * the length of the call, so that a page on its way never meets the kernel (see offload/mem/pin.h). A buffer that is
 * not in a tracked region costs a few nanoseconds; under the move mechanism with privilege nothing is pinned. The
 * _unlocked variants of stdio are left out: programs that use them do so line by line, and for speed.
 *
 * A thread that is cancelled, or leaves by longjmp, in the middle of such a call leaves its pin behind: the region then
 * stays where it is, which costs speed and nothing else.
 */
#include <stdio.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "offload/offload.h"
#include "shim/hook.h"

#define IOVECS 8 /* pinned one by one; of longer lists, the whole address space between the lowest and highest */

#define X(name, type, params, args, buffer, bytes)                                                                     \
	CDM_EXPORT type name params;                                                                                   \
	CDM_EXPORT type name params                                                                                    \
	{                                                                                                              \
		if (!cdm_pins_needed)                                                                                  \
			return cdm_next.name args;                                                                     \
		int pin = cdm_pin_take((uintptr_t)(buffer), bytes);                                                    \
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

static void pins_take(struct pins *p, const struct iovec *iov, int count)
{
	uintptr_t low = UINTPTR_MAX, high = 0;

	p->n = 0;
	if (count > IOVECS) {
		for (int i = 0; i < count; i++) {
			uintptr_t a = (uintptr_t)iov[i].iov_base;
			low = a < low ? a : low;
			high = a + iov[i].iov_len > high ? a + iov[i].iov_len : high;
		}
		p->slot[p->n++] = cdm_pin_take(low, high - low);
		return;
	}
	for (int i = 0; i < count; i++)
		p->slot[p->n++] = cdm_pin_take((uintptr_t)iov[i].iov_base, iov[i].iov_len);
}

static void pins_drop(struct pins *p)
{
	while (p->n > 0)
		cdm_pin_drop(p->slot[--p->n]);
}

#define X(name, type, params, args, iov, count)                                                                        \
	CDM_EXPORT type name params;                                                                                   \
	CDM_EXPORT type name params                                                                                    \
	{                                                                                                              \
		if (!cdm_pins_needed)                                                                                  \
			return cdm_next.name args;                                                                     \
		struct pins pins;                                                                                      \
		pins_take(&pins, iov, (int)(count));                                                                   \
		type r = cdm_next.name args;                                                                           \
		pins_drop(&pins);                                                                                      \
		return r;                                                                                              \
	}
CDM_VECTOR_HOOKS(X)
#undef X

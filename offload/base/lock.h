/* A futex mutex: 4 bytes, no allocation, no initialiser call (zero is unlocked), resettable in a fork child.
 *
 * Not recursive. Not for signal handlers: a handler that interrupts the holder would wait for itself, so
 * holders that a program's handler could interrupt block signals first (see mem/residency.c).
 */
#ifndef CDM_BASE_LOCK_H
#define CDM_BASE_LOCK_H

#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stddef.h>
#include <time.h>

#include "offload/base/sys.h"

typedef struct {
	_Atomic int word; /* 0 free, 1 held, 2 held and somebody sleeps */
} cdm_lock;

static inline void cdm_futex_wait(_Atomic int *w, int seen)
{
	(void)cdm_sys6(SYS_futex, (long)w, FUTEX_WAIT_PRIVATE, seen, 0, 0, 0);
}
static inline void cdm_futex_wait_ms(_Atomic int *w, int seen, int ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
	(void)cdm_sys6(SYS_futex, (long)w, FUTEX_WAIT_PRIVATE, seen, (long)&t, 0, 0);
}
static inline void cdm_futex_wake(_Atomic int *w, int n)
{
	(void)cdm_sys6(SYS_futex, (long)w, FUTEX_WAKE_PRIVATE, n, 0, 0, 0);
}

static inline int cdm_lock_try(cdm_lock *l)
{
	int free_ = 0;
	return atomic_compare_exchange_strong_explicit(&l->word, &free_, 1, memory_order_acquire, memory_order_relaxed);
}
static inline void cdm_lock_take(cdm_lock *l)
{
	if (cdm_lock_try(l))
		return;
	while (atomic_exchange_explicit(&l->word, 2, memory_order_acquire) != 0)
		cdm_futex_wait(&l->word, 2);
}
static inline void cdm_lock_drop(cdm_lock *l)
{
	if (atomic_exchange_explicit(&l->word, 0, memory_order_release) == 2)
		cdm_futex_wake(&l->word, 1);
}
/* Fork child only: whoever held it does not exist here. */
static inline void cdm_lock_reset(cdm_lock *l)
{
	atomic_store_explicit(&l->word, 0, memory_order_relaxed);
}

#endif

#include "offload/mem/decay.h"

#include <stdatomic.h>
#include <sys/prctl.h>

#include "offload/base/config.h"
#include "offload/base/lock.h"
#include "offload/base/stats.h"
#include "offload/base/sys.h"
#include "offload/base/thread.h"
#include "offload/mem/block.h"
#include "offload/mem/cache.h"

#define PAUSE_MS 50

static _Atomic bool runs;
static struct cdm_thread thread; /* of whoever has set `runs` */
static _Atomic int nobody;       /* what the thread sleeps on: nobody wakes it */

/* Until the oldest block is due, and a little longer. */
CDM_THREAD_CODE static void sleep_until(uint64_t when)
{
	uint64_t now = cdm_now_ns();

	cdm_futex_wait_ms(&nobody, 0, PAUSE_MS + (when > now ? (int)((when - now) / 1000000) : 0));
}

CDM_THREAD_CODE static void thread_main(void)
{
	(void)cdm_sys6(SYS_prctl, PR_SET_NAME, (long)"cdm-decay", 0, 0, 0, 0);
	do {
		for (uint64_t when; (when = cdm_cache_due());) {
			sleep_until(when);
			while (cdm_cache_overdue() && cdm_block_tend())
				;
		}
		atomic_store(&runs, false);
	} while (cdm_cache_due() && !atomic_exchange(&runs, true)); /* freed since the last look */
}

/* The last one has said that it ends: it has a few instructions left. */
static void await_end(void)
{
	while (atomic_load(&thread.tid))
		cdm_sys_yield();
	cdm_thread_forget(&thread);
}

void cdm_decay_watch(void)
{
	if (cdm_cache_bytes() <= CDM_CACHE_ALONE || atomic_load_explicit(&runs, memory_order_relaxed) ||
	    atomic_exchange(&runs, true))
		return;
	if (cdm_config.control) {
		await_end();
		if (cdm_thread_start(&thread, thread_main))
			return;
	}
	cdm_cache_limit(CDM_CACHE_ALONE); /* `runs` stays: not tried again */
}

bool cdm_decay_runs(void)
{
	return atomic_load(&thread.tid) != 0;
}

void cdm_decay_after_fork(void)
{
	cdm_thread_forget(&thread);
	atomic_store(&runs, false);
}

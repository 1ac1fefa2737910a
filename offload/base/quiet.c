#include "offload/base/quiet.h"

#include <stdatomic.h>
#include <string.h>

#include "offload/base/sys.h"

#define DEFERRED 8 /* more than that at once are delivered when they come */
#define FIRST_REAL_TIME 32

bool cdm_defers;

static __thread volatile int holding, count;
static __thread struct {
	int sig;
	siginfo_t info;
} deferred[DEFERRED];

void cdm_signals_hold(void)
{
	holding++;
	atomic_signal_fence(memory_order_seq_cst);
}

bool cdm_signal_defer(int sig, const siginfo_t *info)
{
	if (!holding)
		return false;
	for (int i = 0; i < count; i++)
		if (deferred[i].sig == sig && sig < FIRST_REAL_TIME)
			return true; /* pending already, as in the kernel */
	if (count == DEFERRED)
		return false;
	deferred[count].sig = sig;
	memcpy(&deferred[count].info, info, sizeof(*info));
	count++;
	return true;
}

void cdm_signals_release(void)
{
	siginfo_t info[DEFERRED];
	int sig[DEFERRED], n = count;

	if (holding > 1 || !n) {
		holding--;
		return;
	}
	for (int i = 0; i < n; i++) {
		sig[i] = deferred[i].sig;
		info[i] = deferred[i].info;
	}
	count = 0;
	atomic_signal_fence(memory_order_seq_cst);
	holding--;
	/* The first of them may not come back here. */
	for (int i = 0; i < n; i++)
		cdm_sys6(SYS_rt_tgsigqueueinfo, cdm_sys_getpid(), cdm_sys_gettid(), sig[i], (long)&info[i], 0, 0);
}

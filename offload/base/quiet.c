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

static bool put(int sig, const siginfo_t *info)
{
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

/* The instruction that raised it would raise it again. */
static bool own_fault(int sig, const siginfo_t *info)
{
	return info->si_code > 0 &&
	       (sig == SIGSEGV || sig == SIGBUS || sig == SIGFPE || sig == SIGILL || sig == SIGTRAP || sig == SIGSYS);
}

bool cdm_signal_defer(int sig, const siginfo_t *info)
{
	uint64_t mask;

	if (!holding || own_fault(sig, info))
		return false;
	cdm_sys_block_all(&mask);
	bool kept = put(sig, info);
	cdm_sys_unblock(&mask);
	return kept;
}

void cdm_signals_release(void)
{
	uint64_t mask;

	holding--;
	atomic_signal_fence(memory_order_seq_cst);
	if (holding || !count)
		return;
	cdm_sys_block_all(&mask); /* all are pending before the first is delivered: it may not come back here */
	for (int i = 0; i < count; i++)
		cdm_sys6(SYS_rt_tgsigqueueinfo, cdm_sys_getpid(), cdm_sys_gettid(), deferred[i].sig,
			 (long)&deferred[i].info, 0, 0);
	count = 0;
	cdm_sys_unblock(&mask);
}

void cdm_signals_child(void)
{
	count = 0;
}

#include "shim/sent.h"

#include <stdbool.h>

#include "offload/base/lock.h"
#include "offload/base/quiet.h"
#include "offload/offload.h"
#include "shim/hook.h"

#define SIGNALS 65

static cdm_lock lock; /* guards handler; signals are blocked while it is held */
static struct sigaction handler[SIGNALS];

static bool is_function(const struct sigaction *act)
{
	return act->sa_handler != SIG_DFL && act->sa_handler != SIG_IGN;
}

/* Whoever holds the lock has its signals blocked: it is another thread, and soon done. */
static struct sigaction handler_get(int sig)
{
	uint64_t mask;

	cdm_sys_block_all(&mask);
	cdm_lock_take(&lock);
	struct sigaction sa = handler[sig];
	cdm_lock_drop(&lock);
	cdm_sys_unblock(&mask);
	return sa;
}

void cdm_sent_after_fork(void)
{
	cdm_lock_reset(&lock);
}

static void on_sent(int sig, siginfo_t *info, void *context)
{
	if (cdm_signal_defer(sig, info))
		return;
	struct sigaction sa = handler_get(sig);
	if (sa.sa_flags & SA_RESETHAND) {
		struct sigaction dfl = {.sa_handler = SIG_DFL};
		cdm_next.sigaction(sig, &dfl, NULL);
	}
	if (sa.sa_flags & SA_SIGINFO)
		sa.sa_sigaction(sig, info, context);
	else
		sa.sa_handler(sig);
}

/* Lock held. */
static int set(int sig, const struct sigaction *act)
{
	struct sigaction kernel = *act, was = handler[sig];

	if (!is_function(act))
		return cdm_next.sigaction(sig, act, NULL);
	kernel.sa_sigaction = on_sent;
	kernel.sa_flags = (int)(((unsigned)act->sa_flags | SA_SIGINFO) & ~SA_RESETHAND);
	handler[sig] = *act;
	int r = cdm_next.sigaction(sig, &kernel, NULL);
	if (r)
		handler[sig] = was;
	return r;
}

int cdm_sent_sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	struct sigaction now, wanted;
	uint64_t mask;

	if (sig < 1 || sig >= SIGNALS || cdm_next.sigaction(sig, NULL, &now))
		return cdm_next.sigaction(sig, act, old);
	if (act)
		wanted = *act; /* read before the lock: it may be anywhere */
	cdm_sys_block_all(&mask);
	cdm_lock_take(&lock);
	if (now.sa_sigaction == on_sent)
		now = handler[sig];
	int r = act ? set(sig, &wanted) : 0;
	cdm_lock_drop(&lock);
	cdm_sys_unblock(&mask);
	if (old && !r)
		*old = now;
	return r;
}

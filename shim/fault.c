/* Under the remap mechanism a writer to a page on its way gets SIGSEGV and waits in its own thread.
 *
 *   fault --- a mover write-protected the page --- wait, return: the instruction runs again
 *     `------ anything else --- the program's own disposition, as if libcdm were not there
 *
 * The program's sigaction() and signal() for SIGSEGV change the kept disposition only. SIGSEGV is taken out of the
 * masks that it sets: a fault with the signal blocked would kill the process.
 */
#include "shim/fault.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "offload/base/lock.h"
#include "offload/offload.h"
#include "shim/hook.h"

static _Atomic bool installed;
static cdm_lock lock; /* guards program; signals are blocked while it is held */
static struct sigaction program;

static struct sigaction program_get(void)
{
	uint64_t mask;

	cdm_sys_block_all(&mask);
	cdm_lock_take(&lock);
	struct sigaction sa = program;
	if (program.sa_flags & SA_RESETHAND)
		program.sa_handler = SIG_DFL;
	cdm_lock_drop(&lock);
	cdm_sys_unblock(&mask);
	return sa;
}

static void program_exchange(const struct sigaction *act, struct sigaction *old)
{
	uint64_t mask;

	cdm_sys_block_all(&mask);
	cdm_lock_take(&lock);
	struct sigaction was = program;
	if (act)
		program = *act;
	cdm_lock_drop(&lock);
	cdm_sys_unblock(&mask);
	if (old)
		*old = was;
}

/* The default action: restored, so that the signal does what it would have done. */
static void die(int sig, const siginfo_t *info)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};

	cdm_next.sigaction(sig, &dfl, NULL);
	if (info->si_code <= 0) /* sent by somebody: there is no instruction that would fault again */
		cdm_sys3(SYS_tgkill, cdm_sys_getpid(), cdm_sys_gettid(), sig);
}

/* Hands the signal on with the mask that the kernel would have set. */
static void chain(int sig, siginfo_t *info, void *context)
{
	struct sigaction sa = program_get();
	uint64_t mask;

	if (!(sa.sa_flags & SA_SIGINFO) && sa.sa_handler == SIG_IGN && info->si_code <= 0)
		return;
	if (!(sa.sa_flags & SA_SIGINFO) && (sa.sa_handler == SIG_DFL || sa.sa_handler == SIG_IGN)) {
		die(sig, info);
		return;
	}
	memcpy(&mask, &sa.sa_mask, sizeof(mask));
	mask &= ~((uint64_t)1 << (sig - 1)); /* the handler itself may write to a page on its way */
	cdm_sys6(SYS_rt_sigprocmask, SIG_BLOCK, (long)&mask, 0, 8, 0, 0);
	if (sa.sa_flags & SA_SIGINFO)
		sa.sa_sigaction(sig, info, context);
	else
		sa.sa_handler(sig);
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
	int saved = errno;

	if (info->si_code <= 0 || !cdm_fault((uintptr_t)info->si_addr))
		chain(sig, info, context);
	errno = saved;
}

void cdm_fault_install(void)
{
	struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};

	if (atomic_exchange(&installed, true))
		return;
	cdm_next.sigaction(SIGSEGV, &sa, &program);
}

CDM_EXPORT int sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	struct sigaction open_;

	if (!atomic_load_explicit(&installed, memory_order_relaxed))
		return cdm_next.sigaction(sig, act, old);
	if (sig != SIGSEGV) {
		if (act) {
			open_ = *act;
			sigdelset(&open_.sa_mask, SIGSEGV);
			act = &open_;
		}
		return cdm_next.sigaction(sig, act, old);
	}
	program_exchange(act, old);
	return 0;
}

CDM_EXPORT __sighandler_t signal(int sig, __sighandler_t handler)
{
	struct sigaction act = {.sa_handler = handler, .sa_flags = SA_RESTART}, old;

	if (sig != SIGSEGV || !atomic_load_explicit(&installed, memory_order_relaxed))
		return cdm_next.signal(sig, handler);
	program_exchange(&act, &old);
	return old.sa_handler;
}

/* The program's mask without SIGSEGV, while faults may come. */
static const sigset_t *unblockable(int how, const sigset_t *set, sigset_t *copy)
{
	if (!set || how == SIG_UNBLOCK || !atomic_load_explicit(&installed, memory_order_relaxed))
		return set;
	*copy = *set;
	sigdelset(copy, SIGSEGV);
	return copy;
}

CDM_EXPORT int sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	sigset_t copy;
	return cdm_next.sigprocmask(how, unblockable(how, set, &copy), old);
}

CDM_EXPORT int pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	sigset_t copy;
	return cdm_next.pthread_sigmask(how, unblockable(how, set, &copy), old);
}

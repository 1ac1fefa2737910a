/* The signals that a CPU touch of memory on its way, or on the device, can be: SIGSEGV under mprotect, SIGBUS under
 * userfaultfd. They are answered in the touching thread.
 *
 *   fault --- the engine has something to do with that page --- wait, return: the instruction runs again
 *     `------ anything else --- the program's own disposition, as if libcdm were not there
 *
 * The program's sigaction() and signal() for a signal taken over change the kept disposition only. It is taken out of the
 * masks that the program sets: a fault with the signal blocked would kill the process.
 */
#include "shim/fault.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <ucontext.h>
#include <unistd.h>

#include "offload/base/lock.h"
#include "offload/base/quiet.h"
#include "offload/offload.h"
#include "shim/hook.h"
#include "shim/sent.h"

enum { SEGV, BUS, SIGNALS };

static _Atomic bool installed[SIGNALS];
static _Atomic bool any;                  /* of them */
static cdm_lock lock;                     /* guards program; signals are blocked while it is held */
static struct sigaction program[SIGNALS]; /* the program's dispositions */

/* Its index, or -1: not one of the two, or not taken over. */
static int taken(int sig)
{
	int i = sig == SIGSEGV ? SEGV : sig == SIGBUS ? BUS : -1;
	return i >= 0 && atomic_load_explicit(&installed[i], memory_order_relaxed) ? i : -1;
}

static struct sigaction program_get(int i)
{
	uint64_t mask;

	cdm_sys_block_all(&mask);
	cdm_lock_take(&lock);
	struct sigaction sa = program[i];
	if (sa.sa_flags & SA_RESETHAND)
		program[i].sa_handler = SIG_DFL;
	cdm_lock_drop(&lock);
	cdm_sys_unblock(&mask);
	return sa;
}

void cdm_fault_after_fork(void)
{
	cdm_lock_reset(&lock);
}

static void on_fault(int sig, siginfo_t *info, void *context);

/* libc's signal for pthread_cancel (nptl, 32; sigaddset refuses it): a thread that is cancelled asynchronously must not go while it
 * holds locks of libcdm's. */
static const uint64_t cancel = (uint64_t)1 << 31;

/* The kernel calls libcdm's handler on the stack on which the program's own would run. */
static void kernel_set(int sig, const struct sigaction *of, struct sigaction *old)
{
	struct sigaction sa = {.sa_sigaction = on_fault,
			       .sa_flags = SA_SIGINFO | SA_NODEFER | (of ? of->sa_flags & SA_ONSTACK : 0)};

	memcpy(&sa.sa_mask, &cancel, sizeof(cancel));
	cdm_next.sigaction(sig, &sa, old);
}

static void program_exchange(int i, const struct sigaction *act, struct sigaction *old)
{
	uint64_t mask;

	cdm_sys_block_all(&mask);
	cdm_lock_take(&lock);
	struct sigaction was = program[i];
	if (act) {
		program[i] = *act;
		kernel_set(i == SEGV ? SIGSEGV : SIGBUS, act, NULL);
	}
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
	struct sigaction sa = program_get(sig == SIGSEGV ? SEGV : BUS);
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
	cdm_sys6(SYS_rt_sigprocmask, SIG_UNBLOCK, (long)&cancel, 0, 8, 0, 0);
	if (sa.sa_flags & SA_SIGINFO)
		sa.sa_sigaction(sig, info, context);
	else
		sa.sa_handler(sig);
}

/* Page-fault error code, bit 1: the access was a write (Intel SDM vol. 3, 4.7; kept in the context by
 * arch/x86/mm/fault.c for SIGSEGV and SIGBUS alike). */
static bool is_write(const void *context)
{
	return ((const ucontext_t *)context)->uc_mcontext.gregs[REG_ERR] & 2;
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
	int saved = errno;

	if (info->si_code <= 0 || !cdm_fault((uintptr_t)info->si_addr, is_write(context)))
		chain(sig, info, context);
	errno = saved;
}

void cdm_fault_install(int sig)
{
	int i = sig == SIGSEGV ? SEGV : BUS;

	if (atomic_exchange(&installed[i], true))
		return;
	cdm_next.sigaction(sig, NULL, &program[i]);
	kernel_set(sig, &program[i], NULL);
	atomic_store(&any, true);
}

static bool any_taken(void)
{
	return atomic_load_explicit(&any, memory_order_relaxed);
}

/* A mask without the signals that are taken over. */
static void open_mask(sigset_t *set)
{
	if (taken(SIGSEGV) >= 0)
		sigdelset(set, SIGSEGV);
	if (taken(SIGBUS) >= 0)
		sigdelset(set, SIGBUS);
}

CDM_EXPORT int sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	struct sigaction open_;
	int i = taken(sig);

	if (!any_taken() && !cdm_defers)
		return cdm_next.sigaction(sig, act, old);
	if (i >= 0) {
		program_exchange(i, act, old);
		return 0;
	}
	if (act) {
		open_ = *act;
		open_mask(&open_.sa_mask);
		act = &open_;
	}
	return cdm_defers ? cdm_sent_sigaction(sig, act, old) : cdm_next.sigaction(sig, act, old);
}

CDM_EXPORT __sighandler_t signal(int sig, __sighandler_t handler)
{
	struct sigaction act = {.sa_handler = handler, .sa_flags = SA_RESTART}, old;
	int i = taken(sig);

	if (handler == SIG_ERR)
		return cdm_next.signal(sig, handler);
	if (i < 0 && cdm_defers)
		return sigaction(sig, &act, &old) ? SIG_ERR : old.sa_handler;
	if (i < 0)
		return cdm_next.signal(sig, handler);
	program_exchange(i, &act, &old);
	return old.sa_handler;
}

/* The program's mask without what is taken over. */
static const sigset_t *unblockable(int how, const sigset_t *set, sigset_t *copy)
{
	if (!set || how == SIG_UNBLOCK || !any_taken())
		return set;
	*copy = *set;
	open_mask(copy);
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

/* signal()'s other names, and calls that set a mask for a while. */

__sighandler_t bsd_signal(int sig, __sighandler_t handler); /* glibc declares these two for old standards alone */
int __sigaction(int sig, const struct sigaction *act, struct sigaction *old);

CDM_EXPORT __sighandler_t bsd_signal(int sig, __sighandler_t handler)
{
	return signal(sig, handler);
}

CDM_EXPORT __sighandler_t ssignal(int sig, __sighandler_t handler)
{
	return signal(sig, handler);
}

CDM_EXPORT int __sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	return sigaction(sig, act, old);
}

/* System V's: once, and not blocked meanwhile. */
CDM_EXPORT __sighandler_t __sysv_signal(int sig, __sighandler_t handler)
{
	struct sigaction act = {.sa_handler = handler, .sa_flags = (int)(SA_RESETHAND | SA_NODEFER)}, old;

	return sigaction(sig, &act, &old) ? SIG_ERR : old.sa_handler;
}

CDM_EXPORT __sighandler_t sysv_signal(int sig, __sighandler_t handler)
{
	return __sysv_signal(sig, handler);
}

CDM_EXPORT int sigsuspend(const sigset_t *set)
{
	sigset_t copy;
	return cdm_next.sigsuspend(unblockable(SIG_SETMASK, set, &copy));
}

CDM_EXPORT int pselect(int n, fd_set *r, fd_set *w, fd_set *e, const struct timespec *timeout, const sigset_t *set)
{
	sigset_t copy;
	return cdm_next.pselect(n, r, w, e, timeout, unblockable(SIG_SETMASK, set, &copy));
}

CDM_EXPORT int ppoll(struct pollfd *p, nfds_t n, const struct timespec *timeout, const sigset_t *set)
{
	sigset_t copy;
	int pin = cdm_pins_needed ? cdm_pin_take((uintptr_t)p, n * sizeof(*p), true) : 0;
	int r = cdm_next.ppoll(p, n, timeout, unblockable(SIG_SETMASK, set, &copy));

	cdm_pin_drop(pin);
	return r;
}

CDM_EXPORT int epoll_pwait(int fd, struct epoll_event *p, int n, int timeout, const sigset_t *set)
{
	sigset_t copy;
	int pin = cdm_pins_needed ? cdm_pin_take((uintptr_t)p, (size_t)(n > 0 ? n : 0) * sizeof(*p), true) : 0;
	int r = cdm_next.epoll_pwait(fd, p, n, timeout, unblockable(SIG_SETMASK, set, &copy));

	cdm_pin_drop(pin);
	return r;
}

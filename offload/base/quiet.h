/* Quiet: while a thread holds a lock of libcdm's, or regions of a private device, handlers of the program do not run on it. One
 * that mapped memory, computed, or touched what is away would wait for its own thread; one that left by longjmp would leave
 * everything held.
 *
 * Signals are blocked for the microseconds that a lock takes. A private device's operations take long: blocked, the
 * kernel would give the signals to other threads, which a program that computes on one does not expect. There they are
 * deferred: the shim calls the program's handlers through a function that asks first (cdm_signal_defer).
 *
 * All functions: the calling thread; async-signal-safe.
 */
#ifndef CDM_BASE_QUIET_H
#define CDM_BASE_QUIET_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "offload/base/sys.h"

/* Whether the program's handlers of sent signals ask before they run: set at start, for private devices. */
extern bool cdm_defers;
/* A signal for the calling thread: true when it must not be handled now; it is sent again as soon as it may. */
bool cdm_signal_defer(int sig, const siginfo_t *info);

/* Around what holds regions; they nest. The last release sends the thread what has been deferred. */
void cdm_signals_hold(void);
void cdm_signals_release(void);
/* Fork child: what is deferred was sent to the parent. */
void cdm_signals_child(void);

/* Around a lock: deferred where that is done, else blocked. *mask is the caller's storage. */
static inline void cdm_quiet_enter(uint64_t *mask)
{
	if (cdm_defers)
		cdm_signals_hold();
	else
		cdm_sys_block_all(mask);
}
static inline void cdm_quiet_leave(const uint64_t *mask)
{
	if (cdm_defers)
		cdm_signals_release();
	else
		cdm_sys_unblock(mask);
}

#endif

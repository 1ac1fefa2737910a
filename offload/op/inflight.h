/* Operations in flight, and the gate that keeps them apart from fork and from the device's removal.
 *
 * An operation in flight is counted. Who closes the gate waits until no other thread's operation is left and keeps new ones
 * out. A compute library forked in the middle of a call would leave the child with locks that nobody holds and
 * threads that are not there.
 */
#ifndef CDM_OP_INFLIGHT_H
#define CDM_OP_INFLIGHT_H

#include <stdbool.h>
#include <stdint.h>

/* Around an operation; enter waits while the gate is closed, unless this thread closed it or is in an operation. */
void cdm_inflight_enter(void);
void cdm_inflight_leave(void);
/* Closes the gate and waits for the operations of other threads. Nothing when this thread has closed it already. */
void cdm_inflight_close(void);
/* The same, waiting for ns nanoseconds at most. */
void cdm_inflight_close_within(uint64_t ns);
void cdm_inflight_open(void);
/* No operation is in flight: neither one that a handler which forks has interrupted, nor one that outlasted the wait. */
bool cdm_inflight_drained(void);
/* Fork child. */
void cdm_inflight_child(void);

#endif

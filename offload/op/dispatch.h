/* What the engine's life cycle needs of the dispatcher; calls enter through offload.h. */
#ifndef CDM_OP_DISPATCH_H
#define CDM_OP_DISPATCH_H

#include <stdbool.h>

/* After the configuration is read: chooses the policy and the threshold. */
void cdm_dispatch_init(void);

/* Closes the gate and waits for the operations of other threads. Nothing when this thread has closed it already. */
void cdm_dispatch_fork_prepare(void);
void cdm_dispatch_fork_parent(void);
void cdm_dispatch_fork_child(void);
/* No operation is in flight: neither one that a handler which forks has interrupted, nor one that outlasted the wait. */
bool cdm_dispatch_drained(void);
/* The library is open / must not be used again in this process / its lock was held by nobody who is here. */
bool cdm_dispatch_compute_open(void);
void cdm_dispatch_break_compute(void);
void cdm_dispatch_reset_locks(void);

#endif

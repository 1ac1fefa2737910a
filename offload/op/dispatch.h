/* What the engine's life cycle needs of the dispatcher; calls enter through offload.h. */
#ifndef CDM_OP_DISPATCH_H
#define CDM_OP_DISPATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "offload/offload.h"

/* After the configuration is read: chooses the policy and the threshold. */
void cdm_dispatch_init(void);

/* The flops from which calls of a level are offloaded; UINT64_MAX: none is. */
uint64_t cdm_dispatch_worth(enum cdm_level level);
/* The device is gone, or back: calls run on the host meanwhile. */
void cdm_dispatch_offline(bool is);
bool cdm_dispatch_is_offline(void);
/* The library is open / must not be used again in this process / its lock was held by nobody who is here. */
bool cdm_dispatch_compute_open(void);
/* Opens it, for a call of routine from site, unless another thread is at it. True: it is open. */
bool cdm_dispatch_compute(int routine, const void *site);
void cdm_dispatch_break_compute(void);
void cdm_dispatch_reset_locks(void);

#endif

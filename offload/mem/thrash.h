/* Thrash: a region that goes to the device and leaves it again having been used there once at most, several times in a row,
 * is left on the host for a while (r->skip), each time for longer. What is done with it meanwhile is the policy's
 * business: used in place, or staged.
 *
 * Caller holds the move lock.
 */
#ifndef CDM_MEM_THRASH_H
#define CDM_MEM_THRASH_H

#include "offload/mem/region.h"

/* Pages of r have come to the device, where none were. */
void cdm_thrash_arrived(struct cdm_region *r);
/* r leaves: evicted, or touched by the CPU. copied: it costs a copy. */
void cdm_thrash_left(struct cdm_region *r, bool copied);

/* A refusal that may pass (a pin, a page shared with a child, no memory, thrash): tried again ever more rarely. */
void cdm_back_off(struct cdm_region *r, int least);

#endif

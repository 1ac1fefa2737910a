/* Spares: free memory behind a block, between it and its margin, for it to grow into.
 *
 * A block that grows step by step would fault its pages anew each time, where libc's heap has them. So it moves, while it is
 * small, into a longer free block once (block.c), and what it does not use of that is its spare: mapped, untracked, the
 * first to go when memory is needed. All of them together stay small. Map lock held, but for the two sums.
 */
#ifndef CDM_MEM_SPARE_H
#define CDM_MEM_SPARE_H

#include "offload/mem/region.h"

#define CDM_SPARE_MAX ((size_t)16 << 20) /* of all together */

/* r, which has none, gets a spare. */
void cdm_spare_put(struct cdm_region *r, size_t bytes);
/* r has none any more: what it had. */
size_t cdm_spare_take(struct cdm_region *r);
/* A block that has one, or NULL. */
struct cdm_region *cdm_spare_first(void);
/* Bytes of all; a glance when the map lock is not held. */
size_t cdm_spare_bytes(void);

#endif

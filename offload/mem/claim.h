/* The move lock, and claims: the right to change the pages of one region.
 *
 * One thread at a time moves pages. It holds the move lock, quiet (base/quiet.h), and claims the region (`moving`):
 * whoever is about to change the region's mapping waits for that mark, see cdm_region_settle().
 *
 * busy counts are taken without a lock. An evictor claims first and looks at busy after; an operation counts busy first
 * and looks at `moving` after, so one of the two sees the other. The same holds for pins.
 */
#ifndef CDM_MEM_CLAIM_H
#define CDM_MEM_CLAIM_H

#include "offload/mem/region.h"

/* Takes and drops the move lock; the thread is quiet in between. *mask is the caller's storage. */
void cdm_move_enter(uint64_t *mask);
void cdm_move_leave(const uint64_t *mask);
/* Fork child, whose parent entered. */
void cdm_move_reset(const uint64_t *mask);

enum cdm_claim {
	CDM_CLAIM_OUT, /* pages are to go to the device: not when pinned, kept or tainted, nor where this thread stands */
	CDM_CLAIM_EVICT, /* home, if no operation and no system call uses it */
	CDM_CLAIM_IDLE,  /* home, if no operation uses it */
	CDM_CLAIM_HOME /* home, whoever uses it: operations that run see the program's pages or a copy that is let go */
};
/* False: the region has ended, or what the purpose forbids is the case. Move lock held. */
bool cdm_claim(struct cdm_region *r, uint32_t generation, enum cdm_claim purpose);
void cdm_unclaim(struct cdm_region *r);

#endif

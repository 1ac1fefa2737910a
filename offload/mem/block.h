/* Inside view of the block allocator; the program's view is in offload.h. */
#ifndef CDM_MEM_BLOCK_H
#define CDM_MEM_BLOCK_H

#include "offload/mem/region.h"
#include "offload/offload.h"

/* Gives free blocks that hold device memory back to the kernel, oldest first, until about `bytes` of device
 * memory are free. Returns the bytes freed. Takes the map lock. */
size_t cdm_block_reclaim(size_t bytes);
/* Gives free blocks that are too old, or too much, back to the kernel, a few at a time. False: there are none. No
 * lock held. */
bool cdm_block_tend(void);
/* fork(2), inside the map lock. */
bool cdm_block_interrupted(void); /* as cdm_cache_interrupted() */
void cdm_block_fork_prepare(void);
void cdm_block_fork_parent(void);
void cdm_block_fork_child(void);
bool cdm_block_fork_torn(void); /* as cdm_region_fork_torn() */

#endif

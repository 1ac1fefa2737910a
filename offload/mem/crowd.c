#include "offload/mem/crowd.h"

#include <stdatomic.h>

#include "offload/mem/pages.h"

#define CHECK_EVERY 256 /* questions between two looks at the number of mappings */
#define BLOCKS_FIRST 4096
#define BLOCKS_EVERY 1024

static int until_check;
static bool crowded;

bool cdm_crowded(void)
{
	if (until_check-- > 0)
		return crowded;
	until_check = CHECK_EVERY;
	crowded = cdm_pages_mappings() > cdm_pages_mapping_limit() / 4 * 3;
	return crowded;
}

static _Atomic long until_look = BLOCKS_FIRST;
static _Atomic bool blocks_crowded;

/* A question stands for eight mappings at most, those of a batch of free blocks: the next look comes before the blocks can
 * have gone far past their bound. */
bool cdm_crowd_blocks(void)
{
	if (atomic_fetch_sub_explicit(&until_look, 1, memory_order_relaxed) > 0)
		return atomic_load_explicit(&blocks_crowded, memory_order_relaxed);
	long room = (long)(cdm_pages_mapping_limit() / 2) - (long)cdm_pages_mappings();
	atomic_store_explicit(&blocks_crowded, room < 2 * BLOCKS_EVERY, memory_order_relaxed);
	atomic_store_explicit(&until_look, room < 8 * BLOCKS_EVERY ? BLOCKS_EVERY : room / 8, memory_order_relaxed);
	return atomic_load_explicit(&blocks_crowded, memory_order_relaxed);
}

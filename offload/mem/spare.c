#include "offload/mem/spare.h"

static struct cdm_region *first; /* by next and prev, which no list of free blocks uses meanwhile */
static _Atomic size_t total;

static void total_set(size_t bytes)
{
	atomic_store_explicit(&total, bytes, memory_order_relaxed);
}

void cdm_spare_put(struct cdm_region *r, size_t bytes)
{
	if (!bytes)
		return;
	r->prev = NULL;
	r->next = first;
	if (first)
		first->prev = r;
	first = r;
	r->spare = bytes;
	total_set(cdm_spare_bytes() + bytes);
}

size_t cdm_spare_take(struct cdm_region *r)
{
	size_t bytes = r->spare;

	if (!bytes)
		return 0;
	if (r->prev)
		r->prev->next = r->next;
	else
		first = r->next;
	if (r->next)
		r->next->prev = r->prev;
	r->spare = 0;
	total_set(cdm_spare_bytes() - bytes);
	return bytes;
}

struct cdm_region *cdm_spare_first(void)
{
	return first;
}

size_t cdm_spare_bytes(void)
{
	return atomic_load_explicit(&total, memory_order_relaxed);
}

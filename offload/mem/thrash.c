#include "offload/mem/thrash.h"

#include "offload/base/stats.h"

#define TRIPS 8       /* in vain, in a row */
#define FIRST_REST 15 /* uses that a thrashing region sits out at first */
#define SKIP_MAX 1023

void cdm_back_off(struct cdm_region *r, int least)
{
	int next = 2 * r->skip_next + 1;

	next = next < least ? least : next;
	r->skip_next = next < SKIP_MAX ? next : SKIP_MAX;
	atomic_store_explicit(&r->skip, r->skip_next, memory_order_relaxed);
}

void cdm_thrash_arrived(struct cdm_region *r)
{
	r->flight.arrived = atomic_load_explicit(&r->uses, memory_order_relaxed);
	r->flight.away = true;
}

void cdm_thrash_left(struct cdm_region *r, bool copied)
{
	struct cdm_flight *f = &r->flight;

	if (!f->away) /* the rest of a region that has begun to leave */
		return;
	f->away = false;
	bool in_vain = copied && atomic_load_explicit(&r->uses, memory_order_relaxed) - f->arrived <= 1;
	f->thrash = in_vain ? f->thrash + 1 : 0;
	if (f->thrash < TRIPS)
		return;
	f->thrash = 0;
	cdm_count(&cdm_stats.thrash, 1);
	cdm_back_off(r, FIRST_REST);
}

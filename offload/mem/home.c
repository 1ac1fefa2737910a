/* Home: on request, as a whole when the device goes, and around fork. */
#include <errno.h>

#include "offload/mem/block.h"
#include "offload/mem/claim.h"
#include "offload/mem/device.h"
#include "offload/mem/pin.h"
#include "offload/mem/recall.h"
#include "offload/mem/residency.h"
#include "offload/mem/transit.h"

#define REGIONS 64 /* looked at together */

static uint64_t fork_move_mask, fork_map_mask;
static bool fork_holds = true; /* no other allocator is there */
static bool fork_held;         /* the locks, by the fork that is going on */

static bool coherent(void)
{
	return cdm_device.mem->coherent;
}

static int home_one(struct cdm_region *r)
{
	if (!cdm_claim(r, atomic_load(&r->generation), CDM_CLAIM_HOME))
		return -EBUSY;
	int e = cdm_transit_home(r, r->base, cdm_region_end(r), false);
	cdm_unclaim(r);
	return e;
}

/* Whole regions: a mover changes frames in large pieces. */
static int regions_home(uintptr_t at, uintptr_t end)
{
	uint64_t mask;
	int first = 0;

	cdm_move_enter(&mask);
	while (at < end) {
		cdm_word word;
		at = cdm_pagemap_run(at, end, &word);
		struct cdm_region *r = cdm_region_get(word);
		int e = r && r->resident && cdm_transit_open() ? home_one(r) : 0;
		first = first ? first : e;
	}
	cdm_move_leave(&mask);
	return first;
}

int cdm_residency_home(uintptr_t base, size_t len)
{
	if (coherent())
		return regions_home(base, base + len);
	cdm_recall_range(base, len, true);
	return cdm_residency_away(base, len) ? -EBUSY : 0;
}

/* The bytes that have to come home: all that the device has, or (keep) what it alone has. */
static size_t homeless(const struct cdm_region *r, bool keep)
{
	struct cdm_tally t;

	if (!keep)
		return r->resident;
	cdm_pagemap_tally(&t, r->base, cdm_region_end(r));
	return t.device;
}

/* Regions with such bytes, and their generations; returns how many. */
static int residents(struct cdm_region **who, uint32_t *generation, int max, bool keep)
{
	uint64_t mask;
	int n = 0;

	cdm_map_enter(&mask);
	for (struct cdm_region *r = cdm_region_resident_first(); r && n < max; r = r->res_next) {
		if (!homeless(r, keep))
			continue;
		who[n] = r;
		generation[n++] = atomic_load(&r->generation);
	}
	cdm_map_leave(&mask);
	return n;
}

/* Memory that must not move now (locked by the program, in a system call), on a device whose frames are the host's: the
 * frames stay, and count as the host's. False: this device's are not. */
static bool change_sides(struct cdm_region *r, uint32_t generation)
{
	uint64_t mask;

	if (!cdm_device.mem->interchangeable)
		return false;
	cdm_map_enter(&mask);
	bool ok = atomic_load(&r->generation) == generation && !atomic_load(&r->moving);
	if (ok)
		cdm_region_state(r, r->base, r->len, CDM_HOST, true);
	cdm_map_leave(&mask);
	return ok;
}

/* Brings everything home; keep: where the device may keep a copy. No operation runs. Move lock held. */
static size_t all_home(bool keep)
{
	struct cdm_region *who[REGIONS];
	uint32_t generation[REGIONS];
	size_t before = cdm_device.mem->in_use();
	bool progress = true;
	int n;

	/* A fork child with something there has yet to choose a mechanism. */
	while (progress && (n = residents(who, generation, REGIONS, keep)) > 0 && cdm_transit_open()) {
		progress = false;
		for (int i = 0; i < n; i++) {
			size_t was = homeless(who[i], keep);
			if (!cdm_claim(who[i], generation[i], CDM_CLAIM_IDLE)) {
				bool gone = atomic_load(&who[i]->generation) != generation[i];
				progress = progress || gone || change_sides(who[i], generation[i]);
				continue;
			}
			cdm_transit_home(who[i], who[i]->base, cdm_region_end(who[i]), keep);
			cdm_unclaim(who[i]);
			progress = progress || homeless(who[i], keep) < was;
		}
	}
	size_t now = cdm_device.mem->in_use();
	return before > now ? before - now : 0;
}

size_t cdm_residency_all_home(void)
{
	uint64_t mask;

	cdm_move_enter(&mask);
	size_t n = all_home(false);
	cdm_move_leave(&mask);
	return n;
}

bool cdm_residency_anything(void)
{
	uint64_t mask;

	cdm_map_enter(&mask);
	bool any = cdm_region_resident_first() != NULL;
	cdm_map_leave(&mask);
	return any;
}

/* ---- fork ---- */

void cdm_residency_fork_holds(bool holds)
{
	fork_holds = holds;
}

bool cdm_residency_foreign(void)
{
	return !fork_holds;
}

/* A child would find what only a private device has empty. */
void cdm_residency_fork_prepare(void)
{
	cdm_move_enter(&fork_move_mask);
	if (!coherent())
		all_home(true);
	fork_held = fork_holds && !cdm_block_interrupted();
	if (!fork_held)
		return;
	cdm_region_fork_prepare(&fork_map_mask);
	cdm_block_fork_prepare();
}

void cdm_residency_fork_parent(void)
{
	if (fork_held) {
		cdm_block_fork_parent();
		cdm_region_fork_parent(&fork_map_mask);
	}
	cdm_move_leave(&fork_move_mask);
}

static void fork_child_locks(void)
{
	if (fork_held) {
		cdm_block_fork_child();
		cdm_region_fork_child(&fork_map_mask);
		return;
	}
	bool torn = cdm_region_fork_torn();
	torn |= cdm_block_fork_torn();
	if (torn)
		cdm_map_frozen = true;
}

/* The child's pages of a private device's region: its own copy of what was valid on both sides. */
static void child_region(struct cdm_region *r, void *arg)
{
	(void)arg;
	atomic_store(&r->busy, 0);
	atomic_store(&r->wanted, 0);
	atomic_store(&r->moving, 0);
	if (r->image || r->armed)
		cdm_transit_child(r);
}

/* The child has one thread, its parent's regions, copied on write, and none of the parent's operations. */
void cdm_residency_fork_child(void)
{
	fork_child_locks();
	if (!cdm_map_frozen)
		cdm_region_each(child_region, NULL);
	cdm_transit_forget();
	cdm_pin_after_fork();
	cdm_move_reset(&fork_move_mask);
}

void cdm_residency_fork_bare_prepare(void)
{
	cdm_move_enter(&fork_move_mask);
	all_home(true);
}

void cdm_residency_fork_bare_parent(void)
{
	cdm_move_leave(&fork_move_mask);
}

/* Whoever held the other locks is not here: the tables are read, never written again. */
void cdm_residency_fork_bare_child(void)
{
	cdm_map_frozen = true;
	cdm_transit_forget();
	cdm_pin_after_fork();
	cdm_move_reset(&fork_move_mask);
}

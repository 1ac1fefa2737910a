#include "offload/mem/residency.h"

#include <errno.h>

#include "offload/base/config.h"
#include "offload/base/lock.h"
#include "offload/base/stats.h"
#include "offload/mem/adopt.h"
#include "offload/mem/block.h"
#include "offload/mem/claim.h"
#include "offload/mem/device.h"
#include "offload/mem/image.h"
#include "offload/mem/pin.h"
#include "offload/mem/recall.h"
#include "offload/mem/thrash.h"
#include "offload/mem/transit.h"
#include "offload/mem/uffd.h"

#define CANDIDATES 64
#define REFRESHED 1024 /* at most, for one eviction */

void (*cdm_residency_needs_faults)(int signal);

static _Atomic uint64_t tick;

uint64_t cdm_tick(void)
{
	return atomic_load_explicit(&tick, memory_order_relaxed);
}
const char *cdm_residency_mechanism(void)
{
	return cdm_transit_name();
}

static bool coherent(void)
{
	return cdm_device.mem->coherent;
}

/* A thread that has the signal blocked dies where it should wait, and threads that block all signals are ordinary: so
 * the signal is taken over before the program starts any. */
void cdm_residency_start(void)
{
	bool remap = cdm_config.mechanism == CDM_MECHANISM_REMAP || cdm_uffd_probe();
	int signal = remap ? SIGSEGV : coherent() ? 0 : SIGBUS;

	cdm_pins_needed = true; /* until it is known that they are not */
	if (signal && cdm_residency_needs_faults)
		cdm_residency_needs_faults(signal);
}

void cdm_residency_ready(void)
{
	uint64_t mask;

	cdm_move_enter(&mask);
	(void)cdm_transit_open();
	cdm_move_leave(&mask);
}

/* ---- eviction (move lock held) ---- */

/* However many regions there are: those that have been there longest. What was used meanwhile goes to the other end, where
 * the walk may meet it again, so that cold regions are found behind hot ones. */
static int candidates_list(struct cdm_candidate *c, struct cdm_region **who, uint32_t *generation)
{
	int n = 0, refreshed = 0;
	uint64_t mask;

	cdm_map_enter(&mask);
	for (struct cdm_region *r = cdm_region_resident_last(), *before; r && n < CANDIDATES; r = before) {
		before = r->res_prev;
		if (r->cached || atomic_load(&r->busy) > 0)
			continue;
		if (before && refreshed < REFRESHED && cdm_region_resident_refresh(r)) {
			refreshed++;
			continue;
		}
		who[n] = r;
		generation[n] = atomic_load(&r->generation);
		c[n++] = (struct cdm_candidate){.bytes = r->resident, .uses = r->uses, .age = cdm_tick() - r->last_use};
	}
	cdm_map_leave(&mask);
	return n;
}

static bool evict(struct cdm_region *r, uint32_t generation)
{
	if (!cdm_claim(r, generation, CDM_CLAIM_EVICT))
		return false;
	cdm_thrash_left(r, true);
	int e = cdm_transit_home(r, r->base, cdm_region_end(r), false);
	cdm_unclaim(r);
	cdm_count(&cdm_stats.evictions, 1);
	return !e || coherent(); /* on a private device what did not go still takes its place */
}

/* Sends one region home. False: nobody can go. */
static bool evict_one(const struct cdm_policy *policy)
{
	struct cdm_candidate c[CANDIDATES];
	struct cdm_region *who[CANDIDATES];
	uint32_t generation[CANDIDATES];
	int n = candidates_list(c, who, generation);

	while (n > 0) {
		int v = policy->victim(c, n);
		if (evict(who[v], generation[v]))
			return true;
		n--;
		c[v] = c[n];
		who[v] = who[n];
		generation[v] = generation[n];
	}
	return false;
}

static size_t room(void)
{
	return cdm_device.mem->capacity() - cdm_device.mem->in_use();
}

static int make_room(size_t bytes, const struct cdm_policy *policy)
{
	if (bytes > cdm_device.mem->capacity())
		return -ENOSPC;
	while (room() < bytes) {
		if (cdm_block_reclaim(bytes - room()))
			continue;
		if (!cdm_transit_open() || !evict_one(policy))
			return -ENOSPC;
	}
	return 0;
}

int cdm_residency_make_room(size_t bytes, const struct cdm_policy *policy)
{
	uint64_t mask;

	if (room() >= bytes)
		return 0;
	cdm_move_enter(&mask);
	int e = make_room(bytes, policy);
	cdm_move_leave(&mask);
	return e;
}

/* ---- what calls see ---- */

bool cdm_residency_away(uintptr_t base, size_t len)
{
	struct cdm_tally t;

	cdm_pagemap_tally(&t, cdm_round_down(base, CDM_PAGE), cdm_round_up(base + len, CDM_PAGE));
	return t.device > 0;
}

/* The pages that move with the range: its 2 MiB chunks, clipped to the region. */
static void span_of(const struct cdm_hold *h, uintptr_t *from, uintptr_t *to)
{
	uintptr_t end = cdm_region_end(h->region);

	*from = cdm_round_down(h->base, CDM_HUGE);
	*to = cdm_round_up(h->base + h->len, CDM_HUGE);
	if (*from < h->region->base)
		*from = h->region->base;
	if (*to > end)
		*to = end;
}

/* The region at addr, adopted if need be; its overlap with [addr, end) goes to *to. NULL: not tracked. */
static struct cdm_region *region_at(uintptr_t addr, uintptr_t end, uintptr_t *to, bool *mapped)
{
	struct cdm_region *r = cdm_region_get(cdm_pagemap_get(addr));

	if (!r)
		r = cdm_adopt(addr, mapped);
	uint32_t generation = r ? atomic_load(&r->generation) : 0;
	if (!(generation & 1) || addr < r->base || addr >= cdm_region_end(r)) {
		*to = end;
		return NULL;
	}
	*to = cdm_region_end(r) < end ? cdm_region_end(r) : end;
	return r;
}

/* Clips the hold to the largest part of it that lies in one region. A matrix in .bss may begin in the last page of
 * .data, another mapping. False: some of it is not mapped. */
static bool hold_find(struct cdm_hold *hold)
{
	uintptr_t at = hold->base, end = hold->base + hold->len, to;
	bool mapped = true;

	hold->len = 0;
	for (; at < end && mapped; at = to) {
		struct cdm_region *r = region_at(at, end, &to, &mapped);
		if (!r || to - at <= hold->len)
			continue;
		hold->region = r;
		hold->generation = atomic_load(&r->generation);
		hold->base = at;
		hold->len = to - at;
	}
	return mapped;
}

/* Memory of its own that is the program's alone. What shares its pages with other things (static data, the heap) is not
 * taken from the CPU. */
static bool may_move(const struct cdm_region *r)
{
	if (!r->movable || r->tainted || r->kept)
		return false;
	if (coherent() || r->origin == CDM_ORIGIN_BLOCK)
		return true;
	/* Another allocator's mappings hold everything, locks included, that the kernel looks at on its own. */
	return r->origin == CDM_ORIGIN_MMAP && !cdm_residency_foreign();
}

bool cdm_residency_survey(uintptr_t base, size_t len, bool writes, struct cdm_hold *hold, struct cdm_operand_facts *f)
{
	uintptr_t from = cdm_round_down(base, CDM_PAGE), to = cdm_round_up(base + len, CDM_PAGE);
	struct cdm_tally t;

	*hold = (struct cdm_hold){.base = base, .len = len, .writes = writes};
	if (!hold_find(hold))
		return false;
	cdm_pagemap_tally(&t, from, to);
	f->span = to - from;
	f->resident = t.device + t.shared;
	f->away = coherent() ? 0 : t.device;
	f->movable = hold->region && may_move(hold->region) && (coherent() || (hold->len == len && t.writable));
	f->work = hold->region ? (double)hold->region->work : 0;
	return t.readable && (t.writable || !writes);
}

static void hold_take(struct cdm_hold *h)
{
	atomic_fetch_add(&h->region->busy, 1);
	h->held = true;
}

static void hold_drop(struct cdm_hold *h)
{
	struct cdm_region *r = h->region;

	h->held = false;
	if (atomic_fetch_sub(&r->busy, 1) == 1 && atomic_load(&r->wanted) > 0)
		cdm_futex_wake(&r->busy, INT_MAX);
}

void cdm_residency_hold(struct cdm_hold *hold)
{
	if (hold->region && !hold->held)
		hold_take(hold);
}

/* Every page of the range is on the device as the operation needs it. */
static bool ready(uintptr_t from, uintptr_t to, bool writes)
{
	struct cdm_tally t;

	cdm_pagemap_tally(&t, from, to);
	return t.device + (writes && !coherent() ? 0 : t.shared) == to - from;
}

/* The region still is, and contains, what the survey found: a part of it may have been unmapped since. */
static bool intact(const struct cdm_hold *h)
{
	const struct cdm_region *r = h->region;
	return atomic_load(&((struct cdm_region *)r)->generation) == h->generation && h->base >= r->base &&
	       h->base + h->len <= cdm_region_end(r);
}

static int fetch_claimed(struct cdm_hold *h, const struct cdm_policy *policy)
{
	struct cdm_region *r = h->region;
	struct cdm_tally t;
	uintptr_t from, to;

	span_of(h, &from, &to);
	cdm_pagemap_tally(&t, from, to);
	bool first = !r->resident;
	size_t missing = to - from - t.device - t.shared;
	int e = make_room(missing, policy);
	if (!e)
		e = cdm_transit_out(r, from, to, h->writes);
	if (!e && first)
		cdm_thrash_arrived(r);
	if (!e && missing)
		atomic_store_explicit(&r->work, 0, memory_order_relaxed);
	/* What the mechanism cannot handle today it cannot tomorrow: not tried again on every call. */
	if (e == -EINVAL || e == -EPERM || e == -EFAULT)
		r->movable = false;
	else if (e && e != -ENOSPC)
		cdm_back_off(r, 0);
	else
		r->skip_next /= 2;
	return e;
}

static int fetch_locked(struct cdm_hold *h, const struct cdm_policy *policy)
{
	if (!cdm_transit_open())
		return -ENOSYS;
	if (!cdm_claim(h->region, h->generation, CDM_CLAIM_OUT))
		return -EBUSY;
	int e = intact(h) ? fetch_claimed(h, policy) : -ESTALE;
	cdm_unclaim(h->region);
	if (e == -EBADF || e == -ENOTTY)
		cdm_transit_lost();
	return e;
}

static bool resting(struct cdm_region *r)
{
	if (atomic_load_explicit(&r->skip, memory_order_relaxed) <= 0)
		return false;
	atomic_fetch_sub_explicit(&r->skip, 1, memory_order_relaxed);
	return true;
}

int cdm_residency_acquire(struct cdm_hold *hold, const struct cdm_policy *policy)
{
	struct cdm_region *r = hold->region;
	uintptr_t from, to;
	uint64_t mask;

	if (!r || !may_move(r))
		return -EPERM;
	if (atomic_load(&r->wanted) > 0)
		return -EAGAIN;
	hold_take(hold);
	span_of(hold, &from, &to);
	if (!atomic_load(&r->moving) && ready(from, to, hold->writes) && intact(hold)) {
		struct cdm_caller *self = cdm_caller_get();
		cdm_count_own(self, &self->reused, hold->len);
		return 0;
	}
	int e = intact(hold) ? -EBUSY : -ESTALE;
	if (e == -EBUSY && !resting(r)) {
		cdm_move_enter(&mask);
		e = fetch_locked(hold, policy);
		cdm_move_leave(&mask);
	}
	if (e)
		hold_drop(hold);
	return e;
}

void cdm_residency_wait_wanted(const struct cdm_hold *hold)
{
	int n = hold->region ? atomic_load(&hold->region->wanted) : 0;

	if (n > 0)
		cdm_futex_wait_ms(&hold->region->wanted, n, 10);
}

void *cdm_residency_address(const struct cdm_hold *hold)
{
	return coherent() ? (void *)hold->base : cdm_image_at(hold->region, hold->base);
}

/* The first use of memory that a reused block was born with on the device. */
static void count_born(struct cdm_region *r)
{
	size_t born = atomic_exchange(&r->born, 0);
	if (born)
		cdm_count(&cdm_stats.first_touch, born);
}

/* Work and time of use are advice to the policies: a thread that uses the region at the same instant may overwrite them. */
static void note_use(struct cdm_region *r, const struct cdm_use *use)
{
	uint64_t work = atomic_load_explicit(&r->work, memory_order_relaxed);

	atomic_fetch_add_explicit(&r->uses, 1, memory_order_relaxed);
	atomic_store_explicit(&r->work, work + (uint64_t)(use->flops < 0x1p53 ? use->flops : 0x1p53),
			      memory_order_relaxed);
	atomic_store_explicit(&r->last_use, use->tick, memory_order_relaxed);
	if (atomic_load_explicit(&r->born, memory_order_relaxed))
		count_born(r);
}

struct cdm_use cdm_residency_use(double flops)
{
	return (struct cdm_use){atomic_fetch_add_explicit(&tick, 1, memory_order_relaxed) + 1, flops};
}

void cdm_residency_release(struct cdm_hold *hold, const struct cdm_use *use)
{
	if (!hold->region || !hold->held)
		return;
	if (use)
		note_use(hold->region, use);
	hold_drop(hold);
}

/* Without a look at the pages: a word of the map says it all. Adopted memory, where stacks usually are, never moves. */
void cdm_residency_stack(void)
{
	uintptr_t stack = (uintptr_t)__builtin_frame_address(0);
	struct cdm_region *r = cdm_region_get(cdm_pagemap_get(stack));

	if (r && r->movable && !r->tainted)
		cdm_map_keep((void *)stack, 1);
}

/* ---- what a program asks for ---- */

/* To the device, as an operation would bring it; alone: one that writes. */
static int place_out(uintptr_t base, size_t len, bool alone, const struct cdm_policy *policy)
{
	struct cdm_hold hold;
	struct cdm_operand_facts f;

	if (!cdm_residency_survey(base, len, alone, &hold, &f))
		return hold.region ? -EPERM : -EFAULT;
	if (!f.movable)
		return -EPERM;
	int e = cdm_residency_acquire(&hold, policy);
	if (!e)
		cdm_residency_release(&hold, NULL);
	return e == -EAGAIN || e == -ESTALE ? -EBUSY : e;
}

int cdm_residency_place(uintptr_t base, size_t len, bool to_device, bool alone, const struct cdm_policy *policy)
{
	uintptr_t end = base + len, to;
	int e = 0;

	if (!to_device)
		return cdm_residency_home(base, len);
	for (; base < end; base = to) {
		bool mapped = true;
		region_at(base, end, &to, &mapped);
		int one = mapped ? place_out(base, to - base, alone, policy) : -EFAULT;
		e = e ? e : one;
	}
	return e;
}

int cdm_residency_keep(uintptr_t base, size_t len, bool keep)
{
	uintptr_t end = base + len, to;
	uint64_t mask;

	for (uintptr_t at = base; at < end; at = to) {
		bool mapped = true;
		struct cdm_region *r = region_at(at, end, &to, &mapped);
		if (!mapped)
			return -EFAULT;
		if (!r)
			continue;
		cdm_map_enter(&mask);
		r->kept = keep;
		cdm_map_leave(&mask);
	}
	return keep ? cdm_residency_home(base, len) : 0;
}

int cdm_residency_where(uintptr_t base, size_t len, struct cdm_placement *where)
{
	uintptr_t at = cdm_round_down(base, CDM_PAGE), end = cdm_round_up(base + len, CDM_PAGE);
	struct cdm_region *first = cdm_region_get(cdm_pagemap_get(at));

	struct cdm_tally t;

	cdm_pagemap_tally(&t, at, end);

	*where = (struct cdm_placement){t.untracked,
					t.host,
					t.shared,
					t.device,
					t.moving,
					0,
					first ? (uint64_t)first->id << 32 | first->generation : 0};
	for (uintptr_t to; at < end; at = to) {
		cdm_word word;
		to = cdm_pagemap_run(at, end, &word);
		const struct cdm_region *r = cdm_region_get(word);
		if (r && (r->kept || r->tainted || cdm_pinned(at, to)))
			where->pinned += to - at;
	}
	return 0;
}

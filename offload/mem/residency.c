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

void (*cdm_residency_needs_faults)(int signal);

static bool fork_holds = true; /* no other allocator is there */
static uint64_t fork_move_mask, fork_map_mask;
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

/* ---- eviction (move lock held) ---- */

static int candidates_list(struct cdm_candidate *c, struct cdm_region **who, uint32_t *generation)
{
	uint64_t mask;
	int n = 0;

	cdm_map_enter(&mask);
	for (struct cdm_region *r = cdm_region_resident_first(); r && n < CANDIDATES; r = r->res_next) {
		if (r->cached || atomic_load(&r->busy) > 0)
			continue;
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

/* The bytes of a range by where they are, and what the program may do there. */
struct tally {
	size_t device, shared;
	bool readable, writable;
};

static struct tally tally_of(uintptr_t at, uintptr_t end)
{
	struct tally t = {.readable = true, .writable = true};

	while (at < end) {
		cdm_word word;
		uintptr_t to = cdm_pagemap_run(at, end, &word);
		if (word & CDM_WORD_REGION) {
			t.readable = t.readable && (word & CDM_WORD_READ);
			t.writable = t.writable && (word & CDM_WORD_WRITE);
		}
		t.device += (word & CDM_WORD_STATE) == CDM_DEVICE ? to - at : 0;
		t.shared += (word & CDM_WORD_STATE) == CDM_SHARED ? to - at : 0;
		at = to;
	}
	return t;
}

bool cdm_residency_away(uintptr_t base, size_t len)
{
	return tally_of(cdm_round_down(base, CDM_PAGE), cdm_round_up(base + len, CDM_PAGE)).device > 0;
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
	return r->origin == CDM_ORIGIN_MMAP && fork_holds;
}

bool cdm_residency_survey(uintptr_t base, size_t len, bool writes, struct cdm_hold *hold, struct cdm_operand_facts *f)
{
	uintptr_t from = cdm_round_down(base, CDM_PAGE), to = cdm_round_up(base + len, CDM_PAGE);

	*hold = (struct cdm_hold){.base = base, .len = len, .writes = writes};
	if (!hold_find(hold))
		return false;
	struct tally t = tally_of(from, to);
	f->span = to - from;
	f->resident = t.device + t.shared;
	f->away = coherent() ? 0 : t.device;
	f->movable = hold->region && may_move(hold->region) && (coherent() || (hold->len == len && t.writable));
	f->uses = hold->region ? hold->region->uses : 0;
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
	struct tally t = tally_of(from, to);
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
	uintptr_t from, to;

	span_of(h, &from, &to);
	struct tally t = tally_of(from, to);
	bool first = !r->resident;
	int e = make_room(to - from - t.device - t.shared, policy);
	if (!e)
		e = cdm_transit_out(r, from, to, h->writes);
	if (!e && first)
		cdm_thrash_arrived(r);
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
		cdm_count(&cdm_stats.reused, hold->len);
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

void cdm_residency_release(struct cdm_hold *hold, bool used)
{
	if (!hold->region || !hold->held)
		return;
	if (used) {
		atomic_fetch_add_explicit(&hold->region->uses, 1, memory_order_relaxed);
		atomic_store_explicit(&hold->region->last_use,
				      atomic_fetch_add_explicit(&tick, 1, memory_order_relaxed) + 1,
				      memory_order_relaxed);
		if (atomic_load_explicit(&hold->region->born, memory_order_relaxed))
			count_born(hold->region);
	}
	hold_drop(hold);
}

static int home_one(struct cdm_region *r)
{
	/* A private device's operations use the image, which must not go under them. */
	if (!cdm_claim(r, atomic_load(&r->generation), coherent() ? CDM_CLAIM_HOME : CDM_CLAIM_IDLE))
		return -EBUSY;
	int e = cdm_transit_home(r, r->base, cdm_region_end(r), false);
	cdm_unclaim(r);
	return e;
}

int cdm_residency_home(uintptr_t base, size_t len)
{
	uintptr_t end = base + len;
	uint64_t mask;
	int e = 0;

	if (!coherent())
		cdm_recall_range(base, len, true);
	cdm_move_enter(&mask);
	while (base < end) {
		cdm_word word;
		uintptr_t to = cdm_pagemap_run(base, end, &word);
		struct cdm_region *r = cdm_region_get(word);
		if (r && r->resident && coherent() && cdm_transit_open()) {
			int one = home_one(r);
			e = e ? e : one;
		}
		base = to;
	}
	cdm_move_leave(&mask);
	return e ? e : cdm_residency_away(end - len, len) ? -EBUSY : 0;
}

/* The bytes that have to come home: all that the device has, or (keep) what it alone has. */
static size_t homeless(const struct cdm_region *r, bool keep)
{
	return keep ? tally_of(r->base, cdm_region_end(r)).device : r->resident;
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
	struct cdm_region *who[CANDIDATES];
	uint32_t generation[CANDIDATES];
	size_t before = cdm_device.mem->in_use();
	bool progress = true;
	int n;

	/* A fork child with something there has yet to choose a mechanism. */
	while (progress && (n = residents(who, generation, CANDIDATES, keep)) > 0 && cdm_transit_open()) {
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
		cdm_residency_release(&hold, false);
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

	*where = (struct cdm_placement){.generation = first ? (uint64_t)first->id << 32 | first->generation : 0};
	for (uintptr_t to; at < end; at = to) {
		cdm_word word;
		to = cdm_pagemap_run(at, end, &word);
		struct cdm_region *r = cdm_region_get(word);
		size_t *of[] = {&where->host, &where->shared, &where->device, &where->moving};
		*(r ? of[(word & CDM_WORD_STATE) >> 24] : &where->untracked) += to - at;
		if (r && (r->kept || r->tainted || cdm_pinned(at, to)))
			where->pinned += to - at;
	}
	return 0;
}

/* ---- fork ---- */

void cdm_residency_fork_holds(bool holds)
{
	fork_holds = holds;
}

/* A child would find what only a private device has empty. */
void cdm_residency_fork_prepare(void)
{
	cdm_move_enter(&fork_move_mask);
	if (!coherent())
		all_home(true);
	if (!fork_holds)
		return;
	cdm_region_fork_prepare(&fork_map_mask);
	cdm_block_fork_prepare();
}

void cdm_residency_fork_parent(void)
{
	if (fork_holds) {
		cdm_block_fork_parent();
		cdm_region_fork_parent(&fork_map_mask);
	}
	cdm_move_leave(&fork_move_mask);
}

static void fork_child_locks(void)
{
	if (fork_holds) {
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

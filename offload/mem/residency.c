#include "offload/mem/residency.h"

#include <errno.h>

#include "offload/base/config.h"
#include "offload/base/lock.h"
#include "offload/base/log.h"
#include "offload/base/stats.h"
#include "offload/mem/adopt.h"
#include "offload/mem/block.h"
#include "offload/mem/device.h"
#include "offload/mem/move.h"
#include "offload/mem/pin.h"
#include "offload/mem/uffd.h"

#define CANDIDATES 64
#define SKIP_MAX 1023
#define FAULT_REPEATS 10000 /* faults at one address in a row, none of them explained by a mover */

void (*cdm_residency_needs_faults)(void);

static cdm_lock move_lock;
static uint64_t fork_move_mask, fork_map_mask;
static _Atomic uint64_t tick;
static const struct cdm_mover *mover; /* NULL before the first need */
static bool mover_failed;
static __thread uintptr_t fault_addr;
static __thread int fault_repeats;

uint64_t cdm_tick(void)
{
	return atomic_load_explicit(&tick, memory_order_relaxed);
}
const char *cdm_residency_mechanism(void)
{
	return mover ? mover->name : "none";
}

static void move_enter(uint64_t *mask)
{
	cdm_sys_block_all(mask);
	cdm_lock_take(&move_lock);
}

static void move_leave(const uint64_t *mask)
{
	cdm_lock_drop(&move_lock);
	cdm_sys_unblock(mask);
}

/* ---- the mechanism (move lock held) ---- */

static const struct cdm_mover *mover_try(const struct cdm_mover *m, bool forced)
{
	int r = m->open();

	if (r && forced)
		cdm_log(CDM_LOG_WARN, "CDM_MECHANISM=%s does not work here (error %d); the other one is used", m->name,
			-r);
	return r ? NULL : m;
}

/* Chosen on first need rather than at start: most programs never move a page. */
static const struct cdm_mover *mover_get(void)
{
	bool remap_first = cdm_config.mechanism == CDM_MECHANISM_REMAP;

	if (mover || mover_failed)
		return mover;
	mover = mover_try(remap_first ? &cdm_mover_remap : &cdm_mover_move, cdm_config.mechanism != CDM_MECHANISM_AUTO);
	if (!mover)
		mover = mover_try(remap_first ? &cdm_mover_move : &cdm_mover_remap, false);
	mover_failed = !mover;
	cdm_pins_needed = mover == &cdm_mover_remap || (mover && !cdm_uffd_full());
	if (mover == &cdm_mover_remap && cdm_residency_needs_faults)
		cdm_residency_needs_faults();
	return mover;
}

/* Under remap a thread that has SIGSEGV blocked dies where it should wait, and threads that block all signals are
 * ordinary: so the signal is taken over before the program starts any. */
void cdm_residency_start(void)
{
	bool remap = cdm_config.mechanism == CDM_MECHANISM_REMAP || cdm_uffd_probe();

	cdm_pins_needed = true; /* until it is known that they are not */
	if (remap && cdm_residency_needs_faults)
		cdm_residency_needs_faults();
}

/* ---- marking (map lock taken inside) ---- */

static void region_moving(struct cdm_region *r, bool on)
{
	atomic_store(&r->moving, on);
	if (!on)
		cdm_futex_wake(&r->moving, INT_MAX);
}

/* The calling thread's stack or thread block lies in r (a coroutine, pthread_attr_setstack): the mover would take
 * away the ground it stands on. */
static bool runs_on(const struct cdm_region *r)
{
	uintptr_t stack = (uintptr_t)__builtin_frame_address(0), thread = (uintptr_t)__builtin_thread_pointer();

	return (stack >= r->base && stack < cdm_region_end(r)) || (thread >= r->base && thread < cdm_region_end(r));
}

/* Marks r for the mover. False: it has ended, it must stay, a system call uses it, or (idle wanted) an operation does. */
static bool region_claim(struct cdm_region *r, uint32_t generation, bool idle)
{
	uint64_t mask;

	if (cdm_map_frozen)
		return false;

	cdm_map_enter(&mask);
	bool ok = atomic_load(&r->generation) == generation && cdm_region_live(r) && !runs_on(r) && !r->tainted;
	if (ok)
		atomic_store(&r->moving, 1);
	if (ok &&
	    ((idle && atomic_load(&r->busy) > 0) || (cdm_pins_needed && cdm_pinned(r->base, cdm_region_end(r))))) {
		region_moving(r, false);
		ok = false;
	}
	cdm_map_leave(&mask);
	return ok;
}

static void region_unclaim(struct cdm_region *r)
{
	uint64_t mask;

	cdm_map_enter(&mask);
	region_moving(r, false);
	cdm_map_leave(&mask);
}

static int state_set(struct cdm_region *r, uintptr_t at, size_t len, enum cdm_state state)
{
	uint64_t mask;

	cdm_map_enter(&mask);
	int e = cdm_region_state(r, at, len, state, false);
	cdm_map_leave(&mask);
	return e;
}

/* ---- swaps (move lock held, r claimed) ---- */

/* One mover step over [at, at+len), whose pages are all in the old state. */
static int step(struct cdm_region *r, uintptr_t at, size_t len, bool to_device)
{
	enum cdm_state from = to_device ? CDM_HOST : CDM_RESIDENT, to = to_device ? CDM_RESIDENT : CDM_HOST;
	size_t fresh = 0;

	if (to_device && cdm_device.mem->charge(len))
		return -ENOSPC;
	int e = state_set(r, at, len, CDM_MOVING);
	if (e) {
		if (to_device)
			cdm_device.mem->discharge(len);
		return e;
	}
	e = mover->swap(at, len, to_device, &fresh);
	state_set(r, at, len, e ? from : to);
	if (!e == !to_device)
		cdm_device.mem->discharge(len);
	if (e)
		return e;
	cdm_count(to_device ? &cdm_stats.to_device : &cdm_stats.to_host, len - fresh);
	if (to_device) {
		cdm_count(&cdm_stats.first_touch, fresh);
		r->moved += len - fresh;
	}
	return 0;
}

static uintptr_t step_end(uintptr_t at, uintptr_t end)
{
	uintptr_t to = cdm_round_down(at, mover->batch) + mover->batch;
	return to < end ? to : end;
}

/* Moves the pages of [at, end) that are in state `from`; stops at the first that does not go. */
static int sweep(struct cdm_region *r, uintptr_t at, uintptr_t end, bool to_device)
{
	enum cdm_state from = to_device ? CDM_HOST : CDM_RESIDENT;
	cdm_word need = CDM_WORD_READ | CDM_WORD_WRITE;
	int e = mover->begin(at, end - at);
	uintptr_t first = at;

	if (e) { /* a part may have been registered before the kernel refused the rest */
		mover->end(at, end - at);
		return e;
	}
	while (!e && at < end) {
		cdm_word word;
		uintptr_t to = cdm_pagemap_run(at, step_end(at, end), &word);
		if ((word & CDM_WORD_STATE) == from)
			e = (word & need) == need ? step(r, at, to - at, to_device) : -EACCES;
		at = to;
	}
	mover->end(first, end - first);
	return e;
}

static int region_home(struct cdm_region *r)
{
	int e = sweep(r, r->base, cdm_region_end(r), false);

	if (!e)
		return 0;
	/* Its pages cannot be handled any more, for instance because they were unmapped behind libcdm's back. What
	 * it held is lost to the device's account either way; the program's bytes are where they are. */
	uint64_t mask;
	cdm_map_enter(&mask);
	cdm_region_state(r, r->base, r->len, CDM_HOST, true);
	cdm_map_leave(&mask);
	return e;
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

/* Sends one region home. False: nobody can go. */
static bool evict_one(const struct cdm_policy *policy)
{
	struct cdm_candidate c[CANDIDATES];
	struct cdm_region *who[CANDIDATES];
	uint32_t generation[CANDIDATES];
	int n = candidates_list(c, who, generation);

	while (n > 0) {
		int v = policy->victim(c, n);
		if (region_claim(who[v], generation[v], true)) {
			region_home(who[v]);
			region_unclaim(who[v]);
			cdm_count(&cdm_stats.evictions, 1);
			return true;
		}
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
		if (!mover_get() || !evict_one(policy))
			return -ENOSPC;
	}
	return 0;
}

int cdm_residency_make_room(size_t bytes, const struct cdm_policy *policy)
{
	uint64_t mask;

	if (room() >= bytes)
		return 0;
	move_enter(&mask);
	int e = make_room(bytes, policy);
	move_leave(&mask);
	return e;
}

/* ---- what calls see ---- */

/* Bytes of the region's pages in [at, end) that are resident; *ok: all of them allow the access. */
static size_t resident_in(uintptr_t at, uintptr_t end, bool writes, bool *ok)
{
	cdm_word need = CDM_WORD_READ | (writes ? CDM_WORD_WRITE : 0);
	size_t n = 0;

	while (at < end) {
		cdm_word word;
		uintptr_t to = cdm_pagemap_run(at, end, &word);
		if ((word & CDM_WORD_REGION) && (word & need) != need)
			*ok = false;
		if ((word & CDM_WORD_STATE) == CDM_RESIDENT)
			n += to - at;
		at = to;
	}
	return n;
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

bool cdm_residency_survey(uintptr_t base, size_t len, bool writes, struct cdm_hold *hold, struct cdm_operand_facts *f)
{
	uintptr_t from = cdm_round_down(base, CDM_PAGE), to = cdm_round_up(base + len, CDM_PAGE);
	bool ok = true;

	*hold = (struct cdm_hold){.base = base, .len = len};
	if (!hold_find(hold))
		return false;
	f->span = to - from;
	f->resident = resident_in(from, to, writes, &ok);
	f->movable = hold->region && hold->region->movable;
	f->uses = hold->region ? hold->region->uses : 0;
	return ok;
}

static void hold_take(struct cdm_hold *h)
{
	atomic_fetch_add(&h->region->busy, 1);
	h->held = true;
}

static void hold_drop(struct cdm_hold *h)
{
	atomic_fetch_sub(&h->region->busy, 1);
	h->held = false;
}

void cdm_residency_hold(struct cdm_hold *hold)
{
	if (hold->region && !hold->held)
		hold_take(hold);
}

/* Every page of the range is on the device. */
static bool all_resident(uintptr_t from, uintptr_t to)
{
	bool ok = true;
	return resident_in(from, to, false, &ok) == to - from;
}

/* A refusal that may pass (a pin, a page shared with a child, no memory): tried again ever more rarely. */
static void back_off(struct cdm_region *r)
{
	r->skip_next = r->skip_next < SKIP_MAX ? 2 * r->skip_next + 1 : SKIP_MAX;
	atomic_store_explicit(&r->skip, r->skip_next, memory_order_relaxed);
}

/* The program has closed the mechanism's descriptor: a new one is opened on the next need. */
static void mover_lost(void)
{
	mover->forget();
	mover = NULL;
}

static int fetch_locked(struct cdm_hold *h, const struct cdm_policy *policy)
{
	uintptr_t from, to;

	if (!mover_get())
		return -ENOSYS;
	if (!region_claim(h->region, h->generation, false))
		return -EBUSY;
	span_of(h, &from, &to);
	bool ok = true;
	size_t missing = (to - from) - resident_in(from, to, false, &ok);
	int e = make_room(missing, policy);
	if (!e)
		e = sweep(h->region, from, to, true);
	/* What the mechanism cannot handle today it cannot tomorrow: not tried again on every call. */
	if (e == -EINVAL || e == -EPERM || e == -EFAULT)
		h->region->movable = false;
	else if (e && e != -ENOSPC)
		back_off(h->region);
	else
		h->region->skip_next = 0;
	region_unclaim(h->region);
	if (e == -EBADF || e == -ENOTTY)
		mover_lost();
	return e;
}

int cdm_residency_acquire(struct cdm_hold *hold, const struct cdm_policy *policy)
{
	uintptr_t from, to;
	uint64_t mask;

	if (!hold->region || !hold->region->movable || hold->region->tainted)
		return -EPERM;
	hold_take(hold);
	span_of(hold, &from, &to);
	if (!atomic_load(&hold->region->moving) && all_resident(from, to)) {
		cdm_count(&cdm_stats.reused, hold->len);
		return 0;
	}
	if (atomic_load_explicit(&hold->region->skip, memory_order_relaxed) > 0) {
		atomic_fetch_sub_explicit(&hold->region->skip, 1, memory_order_relaxed);
		hold_drop(hold);
		return -EBUSY;
	}
	move_enter(&mask);
	int e = fetch_locked(hold, policy);
	move_leave(&mask);
	if (e)
		hold_drop(hold);
	return e;
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
	uint32_t generation = atomic_load(&r->generation);

	if (!region_claim(r, generation, false))
		return -ESTALE;
	int e = region_home(r);
	region_unclaim(r);
	return e;
}

int cdm_residency_home(uintptr_t base, size_t len)
{
	uintptr_t end = base + len;
	uint64_t mask;
	int e = 0;

	move_enter(&mask);
	while (base < end) {
		cdm_word word;
		uintptr_t to = cdm_pagemap_run(base, end, &word);
		struct cdm_region *r = cdm_region_get(word);
		if (r && r->resident && mover_get()) {
			int one = home_one(r);
			e = e ? e : one;
		}
		base = to;
	}
	move_leave(&mask);
	return e;
}

bool cdm_residency_fault(uintptr_t addr)
{
	cdm_word word = cdm_pagemap_get(addr);
	cdm_word need = CDM_WORD_READ | CDM_WORD_WRITE;
	struct cdm_region *r = cdm_region_get(word);

	if (!r || mover != &cdm_mover_remap)
		return false;
	/* Memory that was unmapped behind libcdm's back would fault here for ever. */
	if (addr != fault_addr)
		fault_repeats = 0;
	fault_addr = addr;
	if (++fault_repeats > FAULT_REPEATS)
		return false;
	cdm_count(&cdm_stats.host_faults, 1);
	while (atomic_load(&r->moving) && (cdm_pagemap_get(addr) & CDM_WORD_STATE) == CDM_MOVING) {
		fault_repeats = 0;
		cdm_sys_yield();
	}
	/* Not MOVING any more: the program itself may write here, so a swap that just ended was the reason. */
	return (word & need) == need;
}

/* ---- fork ---- */

static bool fork_holds = true;

void cdm_residency_fork_holds(bool holds)
{
	fork_holds = holds;
}

void cdm_residency_fork_prepare(void)
{
	move_enter(&fork_move_mask);
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
	move_leave(&fork_move_mask);
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

/* The child has one thread, its parent's regions, copied on write, and none of the parent's operations. */
void cdm_residency_fork_child(void)
{
	fork_child_locks();
	for (struct cdm_region *r = cdm_map_frozen ? NULL : cdm_region_resident_first(); r; r = r->res_next)
		atomic_store(&r->busy, 0);
	if (mover)
		mover->forget();
	cdm_pin_after_fork();
	mover = NULL; /* chosen anew on need: most children exec */
	mover_failed = false;
	cdm_lock_reset(&move_lock);
	cdm_sys_unblock(&fork_move_mask);
}

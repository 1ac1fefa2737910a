#include "offload/mem/recall.h"

#include <limits.h>

#include "offload/base/lock.h"
#include "offload/base/log.h"
#include "offload/base/quiet.h"
#include "offload/base/stats.h"
#include "offload/mem/claim.h"
#include "offload/mem/device.h"
#include "offload/mem/thrash.h"
#include "offload/mem/transit.h"

#define WINDOW_LEAST ((size_t)64 << 10)
#define WINDOW_FIRST CDM_HUGE
#define WINDOW_MOST ((size_t)32 << 20)
#define FAULT_REPEATS 10000 /* faults at one address in a row, none of them explained */

__thread int cdm_on_device;
static __thread uintptr_t fault_addr;
static __thread int fault_repeats;

/* Memory that was unmapped behind libcdm's back would fault here for ever. */
static bool endless(uintptr_t addr)
{
	if (addr != fault_addr)
		fault_repeats = 0;
	fault_addr = addr;
	return ++fault_repeats > FAULT_REPEATS;
}

/* ---- coherent devices ---- */

/* Under remap a page on its way is write-protected. */
static bool wait_for_mover(struct cdm_region *r, uintptr_t addr)
{
	cdm_word need = CDM_WORD_READ | CDM_WORD_WRITE;

	cdm_count(&cdm_stats.host_faults, 1);
	while (atomic_load(&r->moving) && (cdm_pagemap_get(addr) & CDM_WORD_STATE) == CDM_MOVING) {
		fault_repeats = 0;
		cdm_sys_yield();
	}
	/* Not MOVING any more: the program itself may write here, so a swap that just ended was the reason. */
	return (cdm_pagemap_get(addr) & need) == need;
}

/* ---- private devices ---- */

/* Sets [*from, *to) to what a touch at addr brings home, and remembers the touch. */
static void window_at(struct cdm_region *r, uintptr_t addr, uintptr_t *from, uintptr_t *to)
{
	struct cdm_flight *f = &r->flight;
	uintptr_t end = cdm_region_end(r);

	if (!f->window)
		f->window = WINDOW_FIRST;
	else if (addr >= f->next && addr - f->next < f->window)
		f->window = f->window < WINDOW_MOST ? 2 * f->window : WINDOW_MOST;
	else
		f->window = f->window > WINDOW_LEAST ? f->window / 2 : WINDOW_LEAST;
	size_t unit = f->window < CDM_HUGE ? f->window : CDM_HUGE;
	*from = cdm_round_down(addr, unit);
	*to = *from + f->window;
	*from = *from < r->base ? r->base : *from;
	*to = *to > end ? end : *to;
	f->next = *to;
}

/* Brings the window home. Move lock held, r claimed. */
static int answer(struct cdm_region *r, uintptr_t addr, bool write)
{
	cdm_word state = cdm_pagemap_get(addr) & CDM_WORD_STATE;
	uintptr_t from, to;

	if (state == CDM_HOST || (state == CDM_SHARED && !write)) {
		from = cdm_round_down(addr, CDM_PAGE);
		return state == CDM_HOST ? cdm_transit_fill(r, from, from + CDM_PAGE) : 0;
	}
	fault_repeats = 0;
	cdm_thrash_left(r, state == CDM_DEVICE);
	window_at(r, addr, &from, &to);
	int e = cdm_transit_home(r, from, to, !write);
	state = cdm_pagemap_get(addr) & CDM_WORD_STATE;
	return state == CDM_HOST || (state == CDM_SHARED && !write) ? 0 : e; /* the rest of the window is no matter */
}

/* This thread computes for the device: an operation, which cannot end before it, uses the region. That it touches the
 * program's memory is a mistake of the compute library's, and is let through. */
static bool computes(void)
{
	if (!cdm_on_device && !cdm_device.compute->owns_thread(cdm_sys_gettid()))
		return false;
	cdm_log_once(CDM_LOG_ERROR, "the device's library touched memory of the program");
	return true;
}

/* Waits until no operation uses r. */
static void wait_idle(struct cdm_region *r)
{
	int busy;

	while ((busy = atomic_load(&r->busy)) > 0)
		cdm_futex_wait(&r->busy, busy);
}

static bool allowed(cdm_word word, bool write)
{
	cdm_word need = CDM_WORD_READ | (write ? CDM_WORD_WRITE : 0);
	return (word & need) == need;
}

/* One try. *again: an operation was faster. False: nobody can help. */
static bool try_answer(struct cdm_region *r, uint32_t generation, uintptr_t addr, bool write, bool *again)
{
	bool stray = atomic_load(&r->busy) > 0 && computes();
	uint64_t mask;
	int e = 0;

	if (!stray)
		wait_idle(r);
	cdm_move_enter(&mask);
	bool claimed = cdm_claim(r, generation, stray ? CDM_CLAIM_HOME : CDM_CLAIM_IDLE);
	if (claimed) {
		e = answer(r, addr, write);
		cdm_unclaim(r);
	}
	cdm_move_leave(&mask);
	*again = !claimed && atomic_load(&r->generation) == generation;
	return e == 0;
}

static bool private_fault(struct cdm_region *r, cdm_word word, uintptr_t addr, bool write)
{
	uint32_t generation = atomic_load(&r->generation);
	bool again = true, ok = true;

	if (!(generation & 1) || addr < r->base || addr >= cdm_region_end(r))
		return true; /* it has just ended: the next try meets what is there now */
	if (!allowed(word, write))
		return false;
	cdm_count(&cdm_stats.host_faults, 1);
	cdm_signals_hold(); /* a longjmp from here would leave the region wanted for ever */
	atomic_fetch_add(&r->wanted, 1);
	while (ok && again)
		ok = try_answer(r, generation, addr, write, &again);
	atomic_fetch_sub(&r->wanted, 1);
	cdm_futex_wake(&r->wanted, INT_MAX);
	cdm_signals_release();
	if (!ok)
		cdm_log_once(CDM_LOG_ERROR, "what the device has of %p cannot be brought home", (void *)addr);
	return ok;
}

bool cdm_recall_fault(uintptr_t addr, bool write)
{
	cdm_word word = cdm_pagemap_get(addr);
	struct cdm_region *r = cdm_region_get(word);

	if (!r || endless(addr))
		return false;
	if (cdm_map_frozen) /* its own copy of what the parent had shared with a device */
		return (word & CDM_WORD_STATE) == CDM_SHARED && allowed(word, write) &&
		       !cdm_sys_mprotect((void *)cdm_round_down(addr, CDM_PAGE), CDM_PAGE, PROT_READ | PROT_WRITE);
	if (cdm_transit_guarded())
		return private_fault(r, word, addr, write);
	return write && wait_for_mover(r, addr);
}

/* ---- system calls and changes of mappings ---- */

/* Calls fn for the part of [at, end) in each region that a guard watches, claimed, under the move lock. */
static void each_watched(uintptr_t at, uintptr_t end,
			 void (*fn)(struct cdm_region *r, uintptr_t at, uintptr_t end, int how), int how)
{
	uint64_t mask;

	for (uintptr_t to; at < end; at = to) {
		cdm_word word;
		to = cdm_pagemap_run(at, end, &word);
		struct cdm_region *r = cdm_region_get(word);
		if (!r || !(r->armed || r->image))
			continue;
		uint32_t generation = atomic_load(&r->generation);
		uintptr_t r_end = cdm_region_end(r);
		if (r_end > at)
			to = r_end < end ? r_end : end;
		atomic_fetch_add(&r->wanted, 1);
		bool claimed = false;
		while (!claimed && atomic_load(&r->generation) == generation && (generation & 1)) {
			wait_idle(r);
			cdm_move_enter(&mask);
			claimed = cdm_claim(r, generation, CDM_CLAIM_IDLE);
			if (claimed) {
				fn(r, at, to < cdm_region_end(r) ? to : cdm_region_end(r), how);
				cdm_unclaim(r);
			}
			cdm_move_leave(&mask);
			if (!claimed && cdm_map_frozen)
				break;
		}
		atomic_fetch_sub(&r->wanted, 1);
		cdm_futex_wake(&r->wanted, INT_MAX);
	}
}

static void for_kernel(struct cdm_region *r, uintptr_t at, uintptr_t end, int write)
{
	if (!cdm_transit_home(r, at, end, !write))
		cdm_transit_fill(r, at, end);
}

static void for_change(struct cdm_region *r, uintptr_t at, uintptr_t end, int gone)
{
	if (gone)
		cdm_transit_drop(r, at, end);
	cdm_transit_home(r, r->base, cdm_region_end(r), false);
}

void cdm_recall_range(uintptr_t addr, size_t len, bool write)
{
	each_watched(cdm_round_down(addr, CDM_PAGE), cdm_round_up(addr + len, CDM_PAGE), for_kernel, write);
}

void cdm_recall_for_change(uintptr_t addr, size_t len, bool gone)
{
	each_watched(cdm_round_down(addr, CDM_PAGE), cdm_round_up(addr + len, CDM_PAGE), for_change, gone);
}

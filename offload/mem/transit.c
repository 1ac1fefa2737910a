#include "offload/mem/transit.h"

#include <errno.h>

#include "offload/base/config.h"
#include "offload/base/log.h"
#include "offload/base/stats.h"
#include "offload/mem/device.h"
#include "offload/mem/guard.h"
#include "offload/mem/image.h"
#include "offload/mem/move.h"
#include "offload/mem/pin.h"
#include "offload/mem/residency.h"
#include "offload/mem/uffd.h"

#define COPY_TRIES 3

/* One of the two is set once a mechanism has been found. */
static const struct cdm_mover *mover;
static const struct cdm_guard *guard;
static bool failed;

static bool coherent(void)
{
	return cdm_device.mem->coherent;
}

const char *cdm_transit_name(void)
{
	return mover ? mover->name : guard ? guard->name : "none";
}

bool cdm_transit_guarded(void)
{
	return guard != NULL;
}

/* ---- the mechanism ---- */

static bool try_one(bool remap, bool forced)
{
	const struct cdm_mover *m = remap ? &cdm_mover_remap : &cdm_mover_move;
	const struct cdm_guard *g = remap ? &cdm_guard_mprotect : &cdm_guard_uffd;
	int r = coherent() ? m->open() : g->open();

	if (r && forced)
		cdm_log(CDM_LOG_WARN, "CDM_MECHANISM=%s does not work here (error %d); the other one is used", m->name,
			-r);
	if (r)
		return false;
	if (coherent())
		mover = m;
	else
		guard = g;
	return true;
}

bool cdm_transit_open(void)
{
	bool remap = cdm_config.mechanism == CDM_MECHANISM_REMAP, forced = cdm_config.mechanism != CDM_MECHANISM_AUTO;

	if (mover || guard || failed)
		return !failed;
	failed = !try_one(remap, forced) && !try_one(!remap, false);
	cdm_pins_needed = guard == &cdm_guard_mprotect || mover == &cdm_mover_remap || !cdm_uffd_full();
	int signal = !cdm_pins_needed ? 0 : guard ? guard->signal : mover == &cdm_mover_remap ? SIGSEGV : 0;
	if (signal && cdm_residency_needs_faults)
		cdm_residency_needs_faults(signal);
	return !failed;
}

void cdm_transit_lost(void)
{
	if (mover)
		mover->forget();
	mover = NULL; /* a guard's descriptor watches pages: losing it is handled where it shows */
}

void cdm_transit_forget(void)
{
	if (mover)
		mover->forget();
	if (guard)
		guard->forget();
	mover = NULL;
	guard = NULL; /* chosen anew on need: most children exec */
	failed = false;
}

static int state_set(struct cdm_region *r, uintptr_t at, size_t len, enum cdm_state state)
{
	uint64_t mask;

	cdm_map_enter(&mask);
	int e = cdm_region_state(r, at, len, state, false);
	cdm_map_leave(&mask);
	return e;
}

/* Sets MOVING, charged for the device. */
static int depart(struct cdm_region *r, uintptr_t at, size_t len)
{
	if (cdm_device.mem->charge(len))
		return -ENOSPC;
	int e = state_set(r, at, len, CDM_MOVING);
	if (e)
		cdm_device.mem->discharge(len);
	return e;
}

static void count_out(struct cdm_region *r, size_t len, size_t fresh)
{
	cdm_count(&cdm_stats.to_device, len - fresh);
	cdm_count(&cdm_stats.first_touch, fresh);
	r->moved += len - fresh;
}

/* ---- coherent devices: one step of a mover ---- */

static int swap_out(struct cdm_region *r, uintptr_t at, size_t len)
{
	size_t fresh = 0;
	int e = depart(r, at, len);

	if (e)
		return e;
	e = mover->swap(at, len, true, &fresh);
	state_set(r, at, len, e ? CDM_HOST : CDM_DEVICE);
	if (e)
		cdm_device.mem->discharge(len);
	else
		count_out(r, len, fresh);
	return e;
}

static int swap_home(struct cdm_region *r, uintptr_t at, size_t len)
{
	size_t fresh = 0;
	int e = state_set(r, at, len, CDM_MOVING);

	if (e)
		return e;
	e = mover->swap(at, len, false, &fresh);
	state_set(r, at, len, e ? CDM_DEVICE : CDM_HOST);
	if (e)
		return e;
	cdm_device.mem->discharge(len);
	cdm_count(&cdm_stats.to_host, len - fresh);
	return 0;
}

/* ---- private devices: one step of a guard ---- */

static int guard_out(struct cdm_region *r, uintptr_t at, size_t len, bool write)
{
	size_t fresh = 0;
	void *dva = cdm_image_at(r, at);
	int e = depart(r, at, len);

	if (e)
		return e;
	e = cdm_device.mem->commit(dva, len);
	if (!e)
		e = guard->out(at, len, dva, !write, &fresh);
	if (e)
		cdm_device.mem->decommit(dva, len);
	state_set(r, at, len, e ? CDM_HOST : write ? CDM_DEVICE : CDM_SHARED);
	if (e)
		cdm_device.mem->discharge(len);
	else
		count_out(r, len, fresh);
	return e;
}

static int guard_withhold(struct cdm_region *r, uintptr_t at, size_t len)
{
	int e = state_set(r, at, len,
			  CDM_MOVING); /* not DEVICE: another operation might write before the program's copy is gone */

	if (e)
		return e;
	e = guard->withhold(at, len);
	state_set(r, at, len, e ? CDM_SHARED : CDM_DEVICE);
	return e;
}

/* The device's copy of pages that have just become HOST. */
static void image_leave(struct cdm_region *r, uintptr_t at, size_t len)
{
	cdm_device.mem->decommit(cdm_image_at(r, at), len);
	cdm_device.mem->discharge(len);
}

static int guard_reopen(struct cdm_region *r, uintptr_t at, size_t len)
{
	int e = state_set(r, at, len, CDM_HOST);

	if (e)
		return e;
	e = guard->reopen(at, len);
	if (e)
		state_set(r, at, len, CDM_SHARED);
	else
		image_leave(r, at, len);
	return e;
}

static int guard_home(struct cdm_region *r, uintptr_t at, size_t len, bool keep)
{
	int e = state_set(r, at, len, CDM_MOVING);

	keep = keep && guard->keeps;
	if (e)
		return e;
	e = -EIO;
	for (int i = 0; e && i < COPY_TRIES; i++)
		e = guard->home(at, len, cdm_image_at(r, at), keep);
	state_set(r, at, len, e ? CDM_DEVICE : keep ? CDM_SHARED : CDM_HOST);
	if (e)
		return e;
	if (!keep)
		image_leave(r, at, len);
	cdm_count(&cdm_stats.to_host, len);
	return 0;
}

/* ---- at the limit of mappings ---- */

/* Pages from at on that the program may read and write, whatever their state; returns their end. */
static uintptr_t open_run(const struct cdm_region *r, uintptr_t at)
{
	cdm_word word, need = CDM_WORD_READ | CDM_WORD_WRITE;

	for (uintptr_t to; at < cdm_region_end(r); at = to) {
		to = cdm_pagemap_run(at, cdm_region_end(r), &word);
		if ((word & need) != need)
			break;
	}
	return at;
}

/* What the device has of [at, end) becomes HOST: its bytes first, then all of the range is opened at once. */
static int force_run(struct cdm_region *r, uintptr_t at, uintptr_t end)
{
	cdm_word word;
	int e = 0;

	for (uintptr_t p = at, to; !e && p < end; p = to) {
		to = cdm_pagemap_run(p, end, &word);
		if ((word & CDM_WORD_STATE) == CDM_DEVICE)
			e = guard->force(p, to - p, cdm_image_at(r, p));
	}
	e = e ? e : guard->reopen(at, end - at);
	for (uintptr_t p = at, to; !e && p < end; p = to) {
		to = cdm_pagemap_run(p, end, &word);
		if ((word & CDM_WORD_STATE) == CDM_HOST)
			continue;
		e = state_set(r, p, to - p, CDM_HOST);
		if (!e)
			image_leave(r, p, to - p);
	}
	return e;
}

/* The whole region at once, where a part of it cannot have a mapping of its own. */
static int force_home(struct cdm_region *r)
{
	int e = 0;

	for (uintptr_t at = r->base, to; !e && at < cdm_region_end(r); at = to) {
		to = open_run(r, at);
		if (to > at)
			e = force_run(r, at, to);
		else
			to = at + CDM_PAGE;
	}
	return e;
}

/* ---- sweeps ---- */

static size_t batch(void)
{
	return mover ? mover->batch : guard->batch;
}

static uintptr_t step_end(uintptr_t at, uintptr_t end)
{
	uintptr_t to = cdm_round_down(at, batch()) + batch();
	return to < end ? to : end;
}

static int out_step(struct cdm_region *r, uintptr_t at, size_t len, cdm_word word, bool write)
{
	cdm_word state = word & CDM_WORD_STATE, need = CDM_WORD_READ | CDM_WORD_WRITE;

	if (state == CDM_DEVICE || (state == CDM_SHARED && !write))
		return 0;
	if ((word & need) != need)
		return -EACCES;
	if (mover)
		return swap_out(r, at, len);
	return state == CDM_SHARED ? guard_withhold(r, at, len) : guard_out(r, at, len, write);
}

static int home_step(struct cdm_region *r, uintptr_t at, size_t len, cdm_word word, bool keep)
{
	cdm_word state = word & CDM_WORD_STATE, need = CDM_WORD_READ | CDM_WORD_WRITE;

	if (mover && (word & need) != need)
		return state == CDM_DEVICE
			       ? -EACCES
			       : 0; /* a mover gives its frames full access: these stay, and are written off */
	if (state == CDM_DEVICE)
		return mover ? swap_home(r, at, len) : guard_home(r, at, len, keep);
	return state == CDM_SHARED && !keep ? guard_reopen(r, at, len) : 0;
}

static int sweep_out(struct cdm_region *r, uintptr_t at, uintptr_t end, bool write)
{
	int e = 0;

	while (!e && at < end) {
		cdm_word word;
		uintptr_t to = cdm_pagemap_run(at, step_end(at, end), &word);
		e = out_step(r, at, to - at, word, write);
		at = to;
	}
	return e;
}

static int sweep_home(struct cdm_region *r, uintptr_t at, uintptr_t end, bool keep)
{
	int first = 0;

	while (at < end) {
		cdm_word word;
		uintptr_t to = cdm_pagemap_run(at, step_end(at, end), &word);
		int e = home_step(r, at, to - at, word, keep);
		first = first ? first : e;
		at = to;
	}
	return first;
}

/* Only what goes is watched: the rest of a large region stays as it was. */
static int image_ready(struct cdm_region *r, uintptr_t at, uintptr_t end)
{
	int e = cdm_image_make(r);

	if (e)
		return e;
	r->armed = true; /* even when it fails: a part may be */
	return guard->arm(at, end - at);
}

int cdm_transit_out(struct cdm_region *r, uintptr_t at, uintptr_t end, bool write)
{
	int e;

	if (mover) {
		mover->ready(at, end - at);
		e = mover->begin(at, end - at); /* a part may have been registered before the kernel refused the rest */
		e = e ? e : sweep_out(r, at, end, write);
		mover->end(at, end - at);
		return e;
	}
	e = image_ready(r, at, end);
	if (!e)
		e = sweep_out(r, at, end, write);
	if (e)
		r->holed = true;
	cdm_transit_settle(r);
	return e;
}

/* The pages of a region that cannot be handled any more, for instance because they were unmapped behind libcdm's back.
 * What it held is lost to the device's account either way; the program's bytes are where they are. */
static void write_off(struct cdm_region *r)
{
	uint64_t mask;

	cdm_map_enter(&mask);
	cdm_region_state(r, r->base, r->len, CDM_HOST, true);
	cdm_map_leave(&mask);
}

int cdm_transit_home(struct cdm_region *r, uintptr_t at, uintptr_t end, bool keep)
{
	int e;

	if (mover) {
		e = mover->begin(at, end - at);
		e = e ? e : sweep_home(r, at, end, keep);
		mover->end(at, end - at);
		if (e)
			write_off(r);
		return e;
	}
	if (!r->image)
		return 0;
	e = sweep_home(r, at, end, keep);
	if (e == -ENOMEM && guard->force)
		e = force_home(r);
	cdm_transit_settle(r);
	return e;
}

void cdm_transit_drop(struct cdm_region *r, uintptr_t at, uintptr_t end)
{
	if (!guard || !r->image)
		return;
	for (uintptr_t to; at < end; at = to) {
		cdm_word word;
		to = cdm_pagemap_run(at, step_end(at, end), &word);
		if ((word & CDM_WORD_STATE) == CDM_SHARED) {
			guard_reopen(r, at, to - at);
		} else if ((word & CDM_WORD_STATE) == CDM_DEVICE && !state_set(r, at, to - at, CDM_HOST)) {
			guard->drop(at, to - at);
			image_leave(r, at, to - at);
		}
	}
	cdm_transit_settle(r);
}

int cdm_transit_fill(struct cdm_region *r, uintptr_t at, uintptr_t end)
{
	return guard && r->armed && r->holed ? guard->fill(at, end - at) : 0;
}

/* An operation outlasted the fork's patience, and its regions stayed: the child has inherited the image as it is. */
static void child_home(struct cdm_region *r, uintptr_t at, size_t len)
{
	guard->child(at, len);
	cdm_device.mem->copy_home((void *)at, cdm_image_at(r, at), len);
}

void cdm_transit_child(struct cdm_region *r)
{
	for (uintptr_t at = r->base, to; guard && at < cdm_region_end(r); at = to) {
		cdm_word word;
		to = cdm_pagemap_run(at, cdm_region_end(r), &word);
		if ((word & CDM_WORD_STATE) == CDM_SHARED)
			guard->child(at, to - at);
		else if ((word & CDM_WORD_STATE) == CDM_DEVICE)
			child_home(r, at, to - at);
	}
	cdm_region_state(r, r->base, r->len, CDM_HOST, true);
	r->armed = false; /* by the parent */
	cdm_image_drop(r);
}

void cdm_transit_settle(struct cdm_region *r)
{
	if (!guard || r->resident)
		return;
	if (r->armed)
		guard->disarm(r->base, r->len);
	r->armed = r->holed = false;
	cdm_image_drop(r);
}

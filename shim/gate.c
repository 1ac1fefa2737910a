/* The gate's slow way: calls that may be worth offloading, and whatever the quick look had no answer for. */
#include "shim/gate.h"

#include "offload/base/stats.h"
#include "shim/blas_args.h"
#include "shim/blas_batch.h"
#include "shim/quick.h"
#include "shim/slot.h"

/* libcdm has no original: the call's meaning is all there is to go by. */
static void *without_original(struct cdm_frame *f)
{
	struct cdm_gathered g;
	void *fn = NULL;

	cdm_gather(&g, f);
	enum cdm_verdict verdict = cdm_gather_finish(&g);
	if (f->slot->flags & CDM_SLOT_CBLAS)
		fn = cdm_slot_fortran(f->slot->routine, f->site, f->slot->variant);
	if (!fn && !(f->slot->flags & CDM_SLOT_WIDE)) {
		cdm_inside++;
		fn = cdm_call_fallback(f->slot->routine);
		cdm_inside--;
	}
	if (!fn || g.illegal_order || (verdict == CDM_VERDICT_FORM && g.order)) {
		cdm_slot_missing(f->slot);
		return NULL;
	}
	if (!(f->slot->flags & CDM_SLOT_CBLAS))
		return fn;
	cdm_inside++;
	cdm_call_invoke(fn, &g.call);
	cdm_inside--;
	cdm_gather_return(&g, f);
	return NULL;
}

static void mark(const struct cdm_frame *f)
{
	const struct cdm_slot *slot = f->slot;

	cdm_gate_mark = (struct cdm_mark){
		.key = slot->flags & CDM_SLOT_CBLAS ? cdm_mark_key(slot->routine) : 0,
		.stack = (uintptr_t)f->stack - sizeof(void *),
		.library = slot->library,
		.library_len = slot->library_len,
	};
}

static const enum cdm_stay stays[] = {
	[CDM_VERDICT_INVALID] = CDM_STAY_INVALID,
	[CDM_VERDICT_QUICK] = CDM_STAY_QUICK,
	[CDM_VERDICT_FORM] = CDM_STAY_FORM,
};

static bool is_batch(int routine)
{
	int shape = cdm_blas_shape[routine];

	return shape == CDM_SHAPE_GEMM_BATCH || shape == CDM_SHAPE_GEMM_STRIDED;
}

/* True: done. False: the original is to run, which f->timed says how. */
static bool offload(struct cdm_frame *f)
{
	struct cdm_gathered g;
	int routine = f->slot->routine;

	cdm_gather(&g, f);
	if (is_batch(routine) && cdm_batch_run(&g, f))
		return true;
	enum cdm_verdict verdict = cdm_gather_finish(&g);
	if (verdict != CDM_VERDICT_RUN) {
		cdm_call_stays(routine, stays[verdict]);
		return false;
	}
	if (g.call.flops < (double)atomic_load_explicit(&cdm_min_work[g.call.level], memory_order_relaxed)) {
		cdm_call_stays(routine, CDM_STAY_SMALL);
		return false;
	}
	cdm_inside++;
	if (cdm_call_offload(&g.call)) {
		cdm_gather_return(&g, f);
		cdm_inside--;
		return true;
	}
	if (f->made) {
		cdm_inside--;
		return false;
	}
	/* The calls that a LAPACK routine makes on the host are looked at one by one. */
	f->guarded = !cdm_shapes[cdm_blas_shape[routine]].driver;
	if (!f->guarded)
		cdm_inside--;
	f->timed = 1;
	f->routine = routine;
	f->begun = cdm_call_host_begin();
	return false;
}

/* In a call that a library of the device's computes; or in a handler that has interrupted one, and may wait for its locks. */
static bool nested(void)
{
	const struct cdm_caller *self = cdm_caller_self;

	return cdm_inside > 0 || (self && atomic_load_explicit(&self->busy, memory_order_relaxed));
}

/* The quick look has sent a small call here, to hear whether its slot's are worth forwarding, or to introduce its thread. */
static void decide(struct cdm_slot *slot, const struct cdm_slot *found, const void *site)
{
	const struct cdm_caller *self = cdm_caller_self;

	if (!(slot->flags & CDM_SLOT_QUICK))
		return;
	cdm_quick_start();
	if (nested() || !self || self->shared)
		return;
	if (slot->flags & CDM_SLOT_DECIDED && (self->entered || !(slot->flags & CDM_SLOT_FORWARD)))
		return;
	cdm_inside++;
	bool started = cdm_forward_start(slot->routine, site);
	cdm_inside--;
	if (started && !(slot->flags & CDM_SLOT_DECIDED))
		cdm_slot_decide(slot, found);
}

static void *slow(struct cdm_frame *f)
{
	struct cdm_slot found;

	f->timed = f->guarded = 0;
	f->result = 0;
	f->returns = 'v';
	cdm_slot_find(f->slot, f->site, &found);
	decide(f->slot, &found, f->site);
	f->slot = &found;
	f->words = found.words;
	void *original = atomic_load_explicit(&found.original, memory_order_relaxed);
	if (nested() || (found.flags & CDM_SLOT_FOREIGN) || cdm_mark_covers(&found, f->site, f->stack - 1))
		return original ? original : without_original(f);
	if (offload(f))
		return NULL;
	if (!original) {
		if (f->timed)
			cdm_gate_ended(f);
		f->timed = 0;
		return without_original(f);
	}
	mark(f);
	return original;
}

void *cdm_gate_slow(struct cdm_frame *f)
{
	f->made = 0;
	return slow(f);
}

/* Its original runs when the registers are as they were: nothing is done after it. */
void *cdm_gate_slow_made(struct cdm_frame *f)
{
	f->made = 1;
	return slow(f);
}

void cdm_gate_ended(struct cdm_frame *f)
{
	cdm_call_host_end(f->routine, f->begun);
	if (f->guarded)
		cdm_inside--;
}

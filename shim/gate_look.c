/* The gate's quick look. Compiled without vector registers (Makefile): the caller's are not saved. */
#include "offload/base/stats.h"
#include "shim/gate.h"

__thread struct cdm_mark cdm_gate_mark __attribute__((tls_model("initial-exec")));
__thread struct cdm_slot *cdm_gate_arrived __attribute__((tls_model("initial-exec")));

/* The i-th extent of the call; an empty or illegal one counts as 0. */
static inline uint64_t extent(const struct cdm_regs *r, const struct cdm_slot *slot, int i)
{
	uint64_t v = ((const uint64_t *)r)[slot->dim[i]];
	uint8_t how = slot->flags & (CDM_SLOT_CBLAS | CDM_SLOT_WIDE);
	int64_t n;

	if (__builtin_expect(how == 0, 1))
		n = *(const int32_t *)(uintptr_t)v;
	else if (how == CDM_SLOT_CBLAS)
		n = (int32_t)v;
	else
		n = how == CDM_SLOT_WIDE ? *(const int64_t *)(uintptr_t)v : (int64_t)v;
	return n > 0 ? (uint64_t)n : 0;
}

/* At least the work of the call, or UINT64_MAX. */
static inline uint64_t work_of(const struct cdm_regs *r, const struct cdm_slot *slot)
{
	uint64_t n[3], work;

	if (!slot->dims) /* the reference point below is UINT64_MAX while nothing is offloaded */
		return slot->coef == CDM_COEF_LOOK ? UINT64_MAX - 1 : 0;
	n[0] = extent(r, slot, 0);
	if (__builtin_mul_overflow(n[0], slot->coef, &work))
		return UINT64_MAX;
	if (slot->dims == 1)
		return work;
	n[1] = extent(r, slot, 1);
	if (__builtin_mul_overflow(work, n[1], &work))
		return UINT64_MAX;
	if (slot->dims == 2)
		return work;
	n[2] = slot->dim[2] != CDM_DIM_MAX ? extent(r, slot, 2) : n[0] > n[1] ? n[0] : n[1];
	return __builtin_mul_overflow(work, n[2], &work) ? UINT64_MAX : work;
}

static inline void set_mark(const struct cdm_slot *slot, const void *stack)
{
	struct cdm_mark *mark = &cdm_gate_mark;

	mark->key = 0;
	if (!(slot->flags & CDM_SLOT_CBLAS))
		return;
	mark->key = cdm_mark_key(slot->routine);
	mark->stack = (uintptr_t)stack;
	mark->library = slot->library;
	mark->library_len = slot->library_len;
}

void *cdm_gate_look(const struct cdm_regs *regs, struct cdm_slot *slot)
{
	void *original = atomic_load_explicit(&slot->original, memory_order_acquire);

	if (!original || !cdm_shard_index || (uintptr_t)regs->site - slot->caller >= slot->caller_len)
		return NULL;
	if (slot->flags & (CDM_SLOT_FOREIGN | CDM_SLOT_UNSURE))
		return slot->flags & CDM_SLOT_FOREIGN ? original : NULL;
	if (work_of(regs, slot) >= atomic_load_explicit(&cdm_min_work[slot->level], memory_order_relaxed))
		return NULL;
	cdm_count_stay(slot->routine);
	set_mark(slot, &regs->site);
	return original;
}

int cdm_gate_look_made(const struct cdm_regs *regs, struct cdm_slot *slot)
{
	if (cdm_inside < 0) {
		cdm_gate_arrived = slot;
		return 2;
	}
	if (!atomic_load_explicit(&slot->original, memory_order_acquire))
		return 1;
	if (cdm_inside > 0 || cdm_mark_covers(slot, regs->site, &regs->site))
		return 0;
	return cdm_gate_look(regs, slot) == NULL;
}

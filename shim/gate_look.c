/* The gate's quick look. Compiled without vector registers (Makefile): the caller's are not saved. */
#include "offload/base/stats.h"
#include "shim/gate.h"
#include "shim/quick.h"

__thread struct cdm_mark cdm_gate_mark __attribute__((tls_model("initial-exec")));
__thread struct cdm_slot *cdm_gate_arrived __attribute__((tls_model("initial-exec")));
__thread _Atomic int *cdm_gate_visited __attribute__((tls_model("initial-exec")));

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

/* Calls from elsewhere than the slot's, and the first of a thread, go the slow way. */
static inline void *original_of(const struct cdm_regs *regs, const struct cdm_slot *slot)
{
	void *original = atomic_load_explicit(&slot->original, memory_order_acquire);

	return cdm_caller_self && (uintptr_t)regs->site - slot->caller < slot->caller_len ? original : NULL;
}

static inline bool is_small(const struct cdm_slot *slot, uint64_t work)
{
	return work < atomic_load_explicit(&cdm_min_work[slot->level], memory_order_relaxed);
}

static inline void *stay_if_small(const struct cdm_regs *regs, const struct cdm_slot *slot, uint64_t work,
				  void *original)
{
	if (!is_small(slot, work))
		return NULL;
	cdm_count_stay(cdm_caller_self, slot->routine);
	set_mark(slot, &regs->site);
	return original;
}

/* ---- quick calls ------------------------------------------------------------------------------------------ */

/* Who closes the way has every thread's stores and loads ordered in the kernel (op/forward.h), so the compiler's order is enough here. */
static inline bool visit(struct cdm_caller *self)
{
	atomic_store_explicit(&self->busy, atomic_load_explicit(&self->busy, memory_order_relaxed) + 1,
			      memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&cdm_quick_limit, memory_order_relaxed))
		return true;
	atomic_store_explicit(&self->busy, atomic_load_explicit(&self->busy, memory_order_relaxed) - 1,
			      memory_order_release);
	return false;
}

/* Of the matrix that shapes the call, as plan.c has it. */
static enum cdm_aspect aspect_of(const struct cdm_quick *q)
{
	uint64_t rows = (uint64_t)(q->m ? q->m : q->n), cols = (uint64_t)q->n, least = rows < cols ? rows : cols;

	return cdm_aspect(rows, cols, q->k ? (uint64_t)q->k : least);
}

/* The library's function, to be called; NULL: there is none, or not now. */
static inline void *forward(struct cdm_caller *self, const struct cdm_slot *slot, const struct cdm_quick *q)
{
	const struct cdm_forward *row = &atomic_load_explicit(&cdm_forward_table, memory_order_relaxed)[slot->routine];
	const struct cdm_forward_row *functions = row->by_aspect ? &row->by_aspect[aspect_of(q)] : &row->square;
	void *fn = functions->fn[slot->flags & CDM_SLOT_CBLAS][cdm_forward_class(q->work)];

	if (q->work >= row->team_least && q->work >= row->team_from[aspect_of(q)])
		return NULL;
	/* A handler that has interrupted a forwarded call would wait for a lock that the library holds. */
	if (!fn || atomic_load_explicit(&self->busy, memory_order_relaxed) || !visit(self))
		return NULL;
	cdm_count_kind(self, slot->routine, CDM_STAYS_FORWARDED);
	cdm_gate_mark.key = 0;
	cdm_gate_visited = &self->busy;
	return (void *)((uintptr_t)fn | (uintptr_t)1 << CDM_GATE_VISIT);
}

static inline void *done(struct cdm_caller *self, const struct cdm_slot *slot)
{
	cdm_count_kind(self, slot->routine, CDM_STAYS_TINY);
	cdm_gate_mark.key = 0;
	return (void *)cdm_gate_done;
}

/* Whether it is time to ask if forwarding is worth it: for this slot, or at all; or for the libraries to meet this thread. */
static inline bool undecided(struct cdm_caller *self, const struct cdm_slot *slot, uint64_t work)
{
	if (slot->flags & CDM_SLOT_DECIDED)
		return slot->flags & CDM_SLOT_FORWARD && !self->entered && !self->shared;
	if (self->shared)
		return false;
	if (atomic_load_explicit(&cdm_forward_table, memory_order_relaxed))
		return true;
	work += atomic_load_explicit(&self->work, memory_order_relaxed);
	atomic_store_explicit(&self->work, work, memory_order_relaxed);
	if (work < self->ask)
		return false;
	self->ask = work + atomic_load_explicit(&cdm_forward_ask, memory_order_relaxed) / CDM_FORWARD_ASKS;
	return true;
}

#define OFFLOAD_COST 3000 /* flops of reference BLAS that take as long as offloading a call, 0.4 to 1 us */

/* A call with a list that is read. Apart, so that other calls pay nothing for it. */
static __attribute__((noinline)) void *look_closer(const struct cdm_regs *regs, struct cdm_slot *slot, uint64_t limit,
						   void *original)
{
	struct cdm_caller *self = cdm_caller_self;
	bool visits = slot->flags & CDM_SLOT_FORWARD && self->entered;
	struct cdm_quick q;
	uint64_t work = work_of(regs, slot);
	/* It may be half of that: syrk's. Whoever is small without a closer look, and goes nowhere, needs none. */
	bool wanted = visits || !(slot->flags & CDM_SLOT_DECIDED) || !is_small(slot, work);
	bool read = wanted && cdm_quick_read(&q, regs, slot);
	work = read ? q.work : work;
	void *elsewhere = read && visits && work < limit ? forward(self, slot, &q) : NULL;

	if (elsewhere)
		return elsewhere;
	/* Small calls ask, those of level 2 at any size: they stay until a library has been opened. So do calls that are offloaded but would
	 * cost less forwarded, if only by what it takes to offload them. */
	bool small = is_small(slot, work);
	bool asks = (small || work < limit) && undecided(self, slot, small ? work : OFFLOAD_COST);
	return asks ? NULL : stay_if_small(regs, slot, work, original);
}

void *cdm_gate_look(const struct cdm_regs *regs, struct cdm_slot *slot)
{
	void *original = original_of(regs, slot);
	uint64_t limit = atomic_load_explicit(&cdm_quick_limit, memory_order_relaxed);

	if (__builtin_expect(!original || slot->flags & (CDM_SLOT_FOREIGN | CDM_SLOT_UNSURE), 0))
		return slot->flags & CDM_SLOT_FOREIGN ? original : NULL;
	if (!(slot->flags & CDM_SLOT_QUICK) || !limit)
		return stay_if_small(regs, slot, work_of(regs, slot), original);
	if (cdm_quick_at_once(regs, slot, limit))
		return done(cdm_caller_self, slot);
	return look_closer(regs, slot, limit, original);
}

void *cdm_gate_look_plain(const struct cdm_regs *regs, struct cdm_slot *slot)
{
	void *original = original_of(regs, slot);

	if (__builtin_expect(!original || slot->flags & (CDM_SLOT_FOREIGN | CDM_SLOT_UNSURE), 0))
		return slot->flags & CDM_SLOT_FOREIGN ? original : NULL;
	return stay_if_small(regs, slot, work_of(regs, slot), original);
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
	return cdm_gate_look_plain(regs, slot) == NULL;
}

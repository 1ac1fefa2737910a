#include "offload/mem/pin.h"

#include <stdatomic.h>

#include "offload/base/lock.h"
#include "offload/mem/recall.h"
#include "offload/mem/region.h"
#include "offload/mem/transit.h"
#include "offload/offload.h"

#define PINS 128

bool cdm_pins_needed;

static struct {
	_Atomic uintptr_t from; /* 0: free */
	_Atomic uintptr_t to;
} pin[PINS];
static _Atomic int unlisted; /* pins that found no slot: nothing moves meanwhile */
static _Atomic unsigned hint;

static int slot_take(uintptr_t from, uintptr_t to)
{
	unsigned start = atomic_fetch_add_explicit(&hint, 1, memory_order_relaxed);

	for (unsigned i = 0; i < PINS; i++) {
		unsigned k = (start + i) % PINS;
		uintptr_t none = 0;
		/* `to` follows `from`: until then the slot reads as an empty range or, at worst, a stale longer one. */
		if (atomic_compare_exchange_strong(&pin[k].from, &none, from)) {
			atomic_store(&pin[k].to, to);
			return (int)k + 1;
		}
	}
	atomic_fetch_add(&unlisted, 1);
	return PINS + 1;
}

static void slot_drop(int k)
{
	if (k == PINS + 1) {
		atomic_fetch_sub(&unlisted, 1);
		return;
	}
	atomic_store(&pin[k - 1].to, 0);
	atomic_store(&pin[k - 1].from, 0);
}

bool cdm_pinned(uintptr_t from, uintptr_t to)
{
	if (atomic_load(&unlisted) > 0)
		return true;
	for (int i = 0; i < PINS; i++) {
		uintptr_t a = atomic_load(&pin[i].from);
		if (a && a < to && atomic_load(&pin[i].to) > from)
			return true;
	}
	return false;
}

/* The region in [at, end) that a mover works on, or NULL. */
static struct cdm_region *moving_in(uintptr_t at, uintptr_t end)
{
	while (at < end) {
		cdm_word word;
		at = cdm_pagemap_run(at, end, &word);
		struct cdm_region *r = cdm_region_get(word);
		if (r && atomic_load(&r->moving))
			return r;
	}
	return NULL;
}

/* A private device's pages are brought home under the pin, which keeps them there. */
int cdm_pin_take(uintptr_t addr, size_t n, bool write)
{
	uintptr_t from = cdm_round_down(addr, CDM_PAGE), to = cdm_round_up(addr + n, CDM_PAGE);
	struct cdm_region *r;

	if (!cdm_pins_needed || !addr || to <= from || cdm_pagemap_empty(from, to - from))
		return 0;
	for (;;) {
		int k = slot_take(from, to);
		r = moving_in(from, to);
		if (!r) {
			if (cdm_transit_guarded())
				cdm_recall_range(from, to - from, write);
			return k;
		}
		slot_drop(k);
		cdm_futex_wait(&r->moving, 1);
	}
}

void cdm_pin_drop(int k)
{
	if (k)
		slot_drop(k);
}

void cdm_pin_after_fork(void)
{
	for (int i = 0; i < PINS; i++)
		pin[i].from = pin[i].to = 0;
	unlisted = 0;
}

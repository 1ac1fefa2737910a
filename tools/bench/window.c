/* Areas, windows and the pattern in them. */
#include <stdio.h>

#include "offload/base/sys.h"
#include "tools/bench/mech.h"

#define STEP 0x9e3779b97f4a7c15u

static uint64_t word_of(uint64_t seed, size_t i)
{
	return seed + i * STEP;
}

uint64_t worker_seed(const struct worker *w, size_t slot)
{
	return ((uint64_t)w->id << 48 | (uint64_t)slot << 32 | w->round) * STEP + 1;
}

void pattern_fill(void *p, size_t len, uint64_t seed)
{
	uint64_t *word = p;

	for (size_t i = 0; i < len / 8; i++)
		word[i] = word_of(seed, i);
}

void pattern_touch(void *p, size_t len, uint64_t seed, size_t stride)
{
	volatile uint64_t *word = p;

	for (size_t at = 0; at < len; at += stride)
		word[at / 8] = ~word_of(seed, at / 8);
}

static uint64_t expected(uint64_t seed, size_t i, size_t stride, bool zeros)
{
	if (stride && i * 8 % stride == 0)
		return ~word_of(seed, i);
	return zeros ? 0 : word_of(seed, i);
}

/* The first wrong byte of [at, end), or end. */
static size_t wrong_in(const char *p, size_t at, size_t end, uint64_t seed, size_t stride, bool zeros)
{
	for (; at < end; at += 8) {
		uint64_t differs = *(const uint64_t *)(p + at) ^ expected(seed, at / 8, stride, zeros);
		if (differs)
			return at + (size_t)__builtin_ctzll(differs) / 8;
	}
	return end;
}

/* A page at a time without branches; only a wrong one is looked at word by word. */
static size_t wrong(const char *p, size_t from, size_t to, uint64_t seed, size_t stride, bool zeros)
{
	for (size_t page = from; page < to; page += CDM_PAGE) {
		const uint64_t *word = (const uint64_t *)(p + page);
		uint64_t differs = word[0] ^ expected(seed, page / 8, stride, zeros);
		for (size_t i = 1; i < CDM_PAGE / 8; i++)
			differs |= word[i] ^ (zeros ? 0 : word_of(seed, page / 8 + i));
		if (differs)
			return wrong_in(p, page, page + CDM_PAGE, seed, stride, zeros);
	}
	return to;
}

size_t pattern_wrong(const void *p, size_t from, size_t to, uint64_t seed, size_t stride)
{
	return wrong(p, from, to, seed, stride, false);
}

size_t zeros_wrong(const void *p, size_t len, uint64_t seed, size_t stride)
{
	return wrong(p, 0, len, seed, stride, true);
}

/* Small pages are asked for as such only where nobody is to collapse them. Kernels without huge pages refuse both; that
 * there is no huge page is found in the trial. */
static void advise(const struct cell *c, char *p, size_t len)
{
	if (c->pages == PAGES_HUGE)
		(void)cdm_sys_madvise(p, len, MADV_HUGEPAGE);
	else if (c->condition != COLLAPSING)
		(void)cdm_sys_madvise(p, len, MADV_NOHUGEPAGE);
}

int area_map_at(const struct worker *w, char *p, size_t len)
{
	void *at = cdm_sys_mmap(p, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	if (cdm_sys_failed(at))
		return (int)(intptr_t)at;
	advise(w->team->cell, p, len);
	return 0;
}

int slot_fill(struct worker *w, char *area, size_t slot)
{
	pattern_fill(slot_at(w, area, slot), w->team->cell->bytes, worker_seed(w, slot));
	return 0;
}

int slot_empty(struct worker *w, char *area, size_t slot)
{
	return cdm_sys_madvise(slot_at(w, area, slot), w->team->cell->bytes, MADV_DONTNEED);
}

int slot_refill(struct worker *w, char *area, size_t slot)
{
	int r = w->team->cell->pages == PAGES_HUGE ? slot_empty(w, area, slot) : 0;

	return r ? r : slot_fill(w, area, slot);
}

int reset_source(struct worker *w, size_t slot)
{
	int r = slot_empty(w, w->b, slot);

	return r ? r : slot_refill(w, w->a, slot);
}

static size_t check(struct worker *w, size_t slot, size_t stride)
{
	return pattern_wrong(slot_at(w, w->b, slot), 0, w->team->cell->bytes, worker_seed(w, slot), stride);
}

size_t check_moved(struct worker *w, size_t slot)
{
	return check(w, slot, 0);
}

size_t check_touched_once(struct worker *w, size_t slot)
{
	return check(w, slot, w->team->cell->bytes);
}

size_t check_touched(struct worker *w, size_t slot)
{
	return check(w, slot, touch_stride(w));
}

int touch_once(struct worker *w, size_t slot)
{
	size_t bytes = w->team->cell->bytes;

	pattern_touch(slot_at(w, w->b, slot), bytes, worker_seed(w, slot), bytes);
	return 0;
}

int touch_all(struct worker *w, size_t slot)
{
	pattern_touch(slot_at(w, w->b, slot), w->team->cell->bytes, worker_seed(w, slot), touch_stride(w));
	return 0;
}

size_t huge_bytes(const char *p, size_t len)
{
	char line[512];
	uintptr_t begin, end, from = 0, to = 0, lo = (uintptr_t)p;
	size_t kib, sum = 0;
	FILE *f = fopen("/proc/self/smaps", "re");

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &begin, &end) == 2) {
			from = begin;
			to = end;
			continue;
		}
		if (from < lo + len && to > lo && sscanf(line, "AnonHugePages: %zu", &kib) == 1)
			sum += kib * 1024;
	}
	if (f)
		fclose(f);
	return sum;
}

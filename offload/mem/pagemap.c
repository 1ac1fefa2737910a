#include "offload/mem/pagemap.h"

#include <errno.h>

#include "offload/base/arena.h"

_Atomic(struct cdm_middle *) cdm_map_root[CDM_MAP_ROOT];

static size_t chunk_index(uintptr_t addr)
{
	return (addr >> 21) & (CDM_MAP_MIDDLE - 1);
}
static size_t page_index(uintptr_t addr)
{
	return (addr >> 12) & (CDM_MAP_LEAF - 1);
}

static struct cdm_middle *middle_of(uintptr_t addr)
{
	return addr < CDM_MAP_LIMIT ? atomic_load_explicit(&cdm_map_root[addr >> 35], memory_order_acquire) : NULL;
}

static uintptr_t at_most(uintptr_t a, uintptr_t b)
{
	return a < b ? a : b;
}

static cdm_word word_at(const struct cdm_leaf *leaf, size_t i)
{
	return atomic_load_explicit(&((struct cdm_leaf *)leaf)->page[i], memory_order_relaxed);
}

static uint64_t pair_at(const struct cdm_leaf *leaf, size_t i)
{
	return atomic_load_explicit(&((struct cdm_leaf *)leaf)->pair[i / 2], memory_order_relaxed);
}

static uint64_t twice(cdm_word word)
{
	return word | (uint64_t)word << 32;
}

/* The first page of [i, end) whose word differs, or end. */
static size_t same_until(const struct cdm_leaf *leaf, size_t i, size_t end, cdm_word word)
{
	uint64_t both = twice(word);

	for (; i % 2 && i < end; i++)
		if (word_at(leaf, i) != word)
			return i;
	for (; i + 8 <= end; i += 8)
		if ((pair_at(leaf, i) ^ both) | (pair_at(leaf, i + 2) ^ both) | (pair_at(leaf, i + 4) ^ both) |
		    (pair_at(leaf, i + 6) ^ both))
			break;
	while (i < end && word_at(leaf, i) == word)
		i++;
	return i;
}

static void fill(struct cdm_leaf *leaf, size_t i, size_t end, cdm_word word)
{
	if (i % 2 && i < end)
		atomic_store_explicit(&leaf->page[i++], word, memory_order_relaxed);
	for (; i + 2 <= end; i += 2)
		atomic_store_explicit(&leaf->pair[i / 2], twice(word), memory_order_relaxed);
	if (i < end)
		atomic_store_explicit(&leaf->page[i], word, memory_order_relaxed);
}

static __attribute__((noinline)) uintptr_t leaf_run(const struct cdm_leaf *leaf, uintptr_t addr, uintptr_t end)
{
	size_t from = page_index(addr), last = from + (end - addr) / CDM_PAGE;

	return addr + (same_until(leaf, from + 1, last, word_at(leaf, from)) - from) * CDM_PAGE;
}

/* One step of a run: the end of the part of addr's chunk, or of its whole root entry, that has one word. */
static uintptr_t run_step(uintptr_t addr, uintptr_t end, cdm_word *word)
{
	struct cdm_middle *mid = middle_of(addr);

	*word = 0;
	if (!mid)
		return addr >= CDM_MAP_LIMIT ? end : at_most(end, (addr | (((uintptr_t)1 << 35) - 1)) + 1);
	uint64_t chunk = atomic_load_explicit(&mid->chunk[chunk_index(addr)], memory_order_acquire);
	uintptr_t chunk_end = at_most(end, (addr | (CDM_HUGE - 1)) + 1);
	if (!(chunk & CDM_MAP_MIXED)) {
		*word = (cdm_word)chunk;
		return chunk_end;
	}
	struct cdm_leaf *leaf = atomic_load_explicit(&mid->leaf[chunk_index(addr)], memory_order_relaxed);
	*word = word_at(leaf, page_index(addr));
	return chunk_end - addr == CDM_PAGE ? chunk_end : leaf_run(leaf, addr, chunk_end);
}

uintptr_t cdm_pagemap_run(uintptr_t addr, uintptr_t end, cdm_word *word)
{
	uintptr_t at = run_step(addr, end, word);
	while (at < end) {
		cdm_word next;
		uintptr_t to = run_step(at, end, &next);
		if (next != *word)
			break;
		at = to;
	}
	return at;
}

void cdm_pagemap_tally(struct cdm_tally *t, uintptr_t addr, uintptr_t end)
{
	static const size_t of[] = {/* in the order of the states */
				    offsetof(struct cdm_tally, host), offsetof(struct cdm_tally, shared),
				    offsetof(struct cdm_tally, device), offsetof(struct cdm_tally, moving)};

	*t = (struct cdm_tally){.readable = true, .writable = true};
	while (addr < end) {
		cdm_word word;
		uintptr_t to = cdm_pagemap_run(addr, end, &word);
		size_t at = word ? of[(word & CDM_WORD_STATE) / CDM_SHARED] : offsetof(struct cdm_tally, untracked);
		*(size_t *)((char *)t + at) += to - addr;
		t->readable = t->readable && (!word || (word & CDM_WORD_READ));
		t->writable = t->writable && (!word || (word & CDM_WORD_WRITE));
		addr = to;
	}
}

int cdm_pagemap_empty(uintptr_t addr, size_t len)
{
	cdm_word word;
	uintptr_t at = cdm_round_down(addr, CDM_PAGE), end = cdm_round_up(addr + len, CDM_PAGE);

	if (end <= at) /* nothing, or a length that wraps: the kernel will refuse it */
		return 1;
	if (cdm_pagemap_get(at))
		return 0;
	if (end - at == CDM_PAGE)
		return 1;
	return cdm_pagemap_run(at, end, &word) == end && word == 0;
}

static struct cdm_middle *middle_make(uintptr_t addr)
{
	struct cdm_middle *mid = middle_of(addr);
	if (mid || addr >= CDM_MAP_LIMIT)
		return mid;
	mid = cdm_arena_alloc(sizeof(*mid));
	if (mid)
		atomic_store_explicit(&cdm_map_root[addr >> 35], mid, memory_order_release);
	return mid;
}

/* Turns a chunk into one with a leaf whose pages have the words they had. NULL: no memory. */
static struct cdm_leaf *leaf_make(struct cdm_middle *mid, size_t i)
{
	uint64_t chunk = atomic_load_explicit(&mid->chunk[i], memory_order_relaxed);
	struct cdm_leaf *leaf = atomic_load_explicit(&mid->leaf[i], memory_order_relaxed);

	if (chunk & CDM_MAP_MIXED)
		return leaf;
	if (!leaf) {
		leaf = cdm_arena_alloc(sizeof(*leaf));
		if (!leaf)
			return NULL;
		atomic_store_explicit(&mid->leaf[i], leaf, memory_order_relaxed);
	}
	fill(leaf, 0, CDM_MAP_LEAF, (cdm_word)chunk);
	atomic_store_explicit(&mid->chunk[i], CDM_MAP_MIXED, memory_order_release);
	return leaf;
}

/* Makes the tables that a write to [addr, end) needs, so that the write itself cannot fail half-way. */
static int prepare(uintptr_t addr, uintptr_t end, int make)
{
	for (uintptr_t at = addr; at < end; at = (at | (CDM_HUGE - 1)) + 1) {
		struct cdm_middle *mid = make ? middle_make(at) : middle_of(at);
		if (!mid && make)
			return -ENOMEM;
		int whole = !(at & (CDM_HUGE - 1)) && end - at >= CDM_HUGE;
		if (mid && !whole && !leaf_make(mid, chunk_index(at)))
			return -ENOMEM;
	}
	return 0;
}

static cdm_word merge(cdm_word old, cdm_word mask, cdm_word bits)
{
	return old ? (old & ~mask) | bits : 0;
}

static void write_pages(struct cdm_leaf *leaf, size_t i, size_t end, cdm_word mask, cdm_word bits, int all)
{
	if (all) {
		fill(leaf, i, end, bits);
		return;
	}
	while (i < end) { /* a run of equal words at a time */
		cdm_word old = word_at(leaf, i);
		size_t to = same_until(leaf, i + 1, end, old);
		fill(leaf, i, to, merge(old, mask, bits));
		i = to;
	}
}

/* all: every page gets bits; otherwise tracked pages get (word & ~mask) | bits. */
static int pagemap_write(uintptr_t addr, size_t len, cdm_word mask, cdm_word bits, int all)
{
	uintptr_t end = addr + len;

	if (end < addr || end > CDM_MAP_LIMIT)
		return -ENOMEM;
	int r = prepare(addr, end, all && bits);
	if (r)
		return r;
	for (uintptr_t at = addr, to; at < end; at = to) {
		struct cdm_middle *mid = middle_of(at);
		size_t i = chunk_index(at);
		to = at_most(end, (at | (CDM_HUGE - 1)) + 1);
		if (!mid)
			continue;
		uint64_t chunk = atomic_load_explicit(&mid->chunk[i], memory_order_relaxed);
		int whole = to - at == CDM_HUGE;
		if (whole && (all || !(chunk & CDM_MAP_MIXED))) {
			cdm_word word = all ? bits : merge((cdm_word)chunk, mask, bits);
			atomic_store_explicit(&mid->chunk[i], word ? CDM_MAP_UNIFORM | word : 0, memory_order_release);
		} else {
			write_pages(atomic_load_explicit(&mid->leaf[i], memory_order_relaxed), page_index(at),
				    page_index(at) + (to - at) / CDM_PAGE, mask, bits, all);
		}
	}
	return 0;
}

int cdm_pagemap_set(uintptr_t addr, size_t len, cdm_word word)
{
	return pagemap_write(addr, len, 0, word, 1);
}

int cdm_pagemap_update(uintptr_t addr, size_t len, cdm_word mask, cdm_word bits)
{
	return pagemap_write(addr, len, mask, bits, 0);
}

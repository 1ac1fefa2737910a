/* Blocks: malloc'ed memory of CDM_MIN_ALLOC and more. Each is a mapping and a region of its own.
 *
 * From 2 MiB on a block starts on a 2 MiB boundary and is advised to use huge pages; its last, partial 2 MiB
 * stays in small pages because the mapping ends there, so a block costs no more memory than it has bytes.
 * Behind each block the mapping goes on for CDM_BLOCK_MARGIN bytes, which are not the block's and are never written:
 * kernels of BLAS libraries load whole registers and, walking along a row, the element after the last (OpenBLAS 0.3.21's
 * zgemv reads one leading dimension too far). Behind libc's blocks there is some mapping by luck, here there must be.
 *
 * A freed block keeps its pages, on the device or at home, and serves the next allocation of about its size:
 * an allocate/free loop faults each page once. Free blocks go back to the kernel when they have been idle for
 * DECAY_NS, when there are more than CACHE_MAX bytes of them, or when the device needs their frames.
 *
 * A block of 2 MiB and more is two mappings for the kernel, which allows vm.max_map_count. Where blocks have used their share
 * (crowd.h), later ones lie side by side without advice, as smaller ones do: the kernel sees one mapping. A free block in the
 * middle of such a row is not unmapped then, which would make two of one: it becomes hollow, addresses without memory.
 */
#include "offload/mem/block.h"

#include <errno.h>
#include <string.h>

#include "offload/base/lock.h"
#include "offload/base/stats.h"
#include "offload/mem/crowd.h"
#include "offload/mem/recall.h"
#include "offload/mem/region.h"

#define BINS 128
#define CDM_BLOCK_MARGIN ((size_t)256 << 10)
#define DECAY_NS 10000000000ull
#define CACHE_MAX ((size_t)1 << 30)
#define ZERO_MAX ((size_t)32 << 20) /* a reused block is zeroed by hand up to here, else by fresh pages */
#define PROBES 8
#define WINDOW ((uintptr_t)4 << 40) /* addresses are handed out in a ring of this size */
#define TRIES 16
#define TRIM_BATCH 8
#define LOOKS 2048 /* at free blocks, for some with memory of the device */

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

size_t cdm_min_alloc = SIZE_MAX;

/* Guards the cache below and the `cached` mark of blocks. Taken alone on the fast paths, which make no system call,
 * or inside the map lock; nothing is taken inside it. Signals may come: only malloc and free take it alone, and they
 * are not for signal handlers. */
static cdm_lock cache_lock;
static struct cdm_region *bin[BINS];
static struct cdm_region *oldest, *newest;
static size_t cached_bytes;
static _Atomic uintptr_t window, cursor;

/* ---- the cache of free blocks (cache lock held) ---- */

/* Four bins for each power of two. */
static int bin_of(size_t len)
{
	int top = 63 - __builtin_clzl(len);
	return (top - 12) * 4 + (int)((len >> (top - 2)) & 3);
}

static void cache_put(struct cdm_region *r)
{
	struct cdm_region **head = &bin[bin_of(r->len)];

	r->cached = true;
	r->freed_ns = cdm_now_ns();
	r->prev = NULL;
	r->next = *head;
	if (*head)
		(*head)->prev = r;
	*head = r;
	r->newer = NULL;
	r->older = newest;
	if (newest)
		newest->newer = r;
	else
		oldest = r;
	newest = r;
	if (!r->hollow)
		cached_bytes += r->len;
}

static void cache_remove(struct cdm_region *r)
{
	if (r->prev)
		r->prev->next = r->next;
	else
		bin[bin_of(r->len)] = r->next;
	if (r->next)
		r->next->prev = r->prev;
	if (r->older)
		r->older->newer = r->newer;
	else
		oldest = r->newer;
	if (r->newer)
		r->newer->older = r->older;
	else
		newest = r->older;
	if (!r->hollow)
		cached_bytes -= r->len;
	r->cached = r->hollow = false;
}

static bool fits(const struct cdm_region *r, size_t len, size_t align)
{
	return r->len >= len && r->len - len <= len / 8 && !(r->base & (align - 1)) &&
	       !atomic_load(&((struct cdm_region *)r)->moving);
}

static struct cdm_region *cache_take(size_t len, size_t align)
{
	for (int b = bin_of(len); b < BINS && b <= bin_of(len + len / 8); b++) {
		int probes = 0;
		for (struct cdm_region *r = bin[b]; r && probes < PROBES; r = r->next, probes++) {
			if (!fits(r, len, align))
				continue;
			cache_remove(r);
			return r;
		}
	}
	return NULL;
}

static bool cache_overdue(size_t limit)
{
	return oldest && (cached_bytes > limit || cdm_now_ns() - oldest->freed_ns > DECAY_NS);
}

/* ---- giving free blocks back (both locks held) ---- */

struct trim {
	void *base[TRIM_BATCH];
	size_t len[TRIM_BATCH];
	int n;
	bool crowded;
};

/* The block's memory is on its way to the kernel. */
static void block_end(struct cdm_region *r, struct trim *t)
{
	t->base[t->n] = (void *)r->base;
	t->len[t->n++] = r->len + (r->margin ? CDM_BLOCK_MARGIN : 0);
	cdm_region_cut(r->base, r->len);
}

static bool is_block(uintptr_t addr)
{
	const struct cdm_region *r = cdm_region_get(cdm_pagemap_get(addr));

	return r && r->origin == CDM_ORIGIN_BLOCK;
}

/* Blocks lie on both sides of it, and their mappings and its own may be one. */
static bool in_a_row(const struct cdm_region *r)
{
	return is_block(r->base - CDM_BLOCK_MARGIN - CDM_PAGE) && is_block(cdm_region_end(r) + CDM_BLOCK_MARGIN);
}

/* Its memory goes, its addresses stay in the cache, as if freed just now. False: its memory cannot go. */
static bool hollow_out(struct cdm_region *r)
{
	if (!r->hollow) {
		cdm_region_state(r, r->base, r->len, CDM_HOST, true);
		if (cdm_sys_madvise((void *)r->base, r->len, MADV_DONTNEED))
			return false;
	}
	cache_remove(r);
	r->hollow = true;
	cache_put(r);
	return true;
}

/* True: memory has been freed, or is about to be. */
static bool cache_expel(struct cdm_region *r, struct trim *t)
{
	bool had_memory = !r->hollow;

	if (t->crowded && in_a_row(r) && hollow_out(r))
		return had_memory;
	cache_remove(r);
	block_end(r, t);
	return true;
}

/* The caller unmaps without the locks. */
static void trim_unmap(const struct trim *t)
{
	for (int i = 0; i < t->n; i++)
		if (cdm_sys_munmap(t->base[i], t->len[i])) /* one mapping too many: at least the memory goes */
			cdm_sys_madvise(t->base[i], t->len[i], MADV_DONTNEED);
}

static void trim_enter(uint64_t *mask)
{
	cdm_map_enter(mask);
	cdm_lock_take(&cache_lock);
}

static void trim_leave(const uint64_t *mask)
{
	cdm_lock_drop(&cache_lock);
	cdm_map_leave(mask);
}

/* What is too old or too much. True: something went. */
static bool cache_trim(size_t limit)
{
	struct trim t = {.crowded = cdm_crowd_blocks()};
	bool freed = false;
	uint64_t mask;

	trim_enter(&mask);
	for (int i = 0; i < TRIM_BATCH && cache_overdue(limit) && !atomic_load(&oldest->moving); i++)
		freed |= cache_expel(oldest, &t);
	trim_leave(&mask);
	trim_unmap(&t);
	return freed;
}

size_t cdm_block_reclaim(size_t bytes)
{
	struct trim t = {.crowded = cdm_crowd_blocks()};
	size_t got = 0;
	uint64_t mask;

	trim_enter(&mask);
	struct cdm_region *r = oldest;
	for (int i = 0; r && got < bytes && t.n < TRIM_BATCH && i < LOOKS; i++) {
		struct cdm_region *next = r->newer;
		if (r->resident && !atomic_load(&r->moving)) {
			got += r->resident;
			cache_expel(r, &t);
		}
		r = next;
	}
	trim_leave(&mask);
	trim_unmap(&t);
	return got;
}

void cdm_block_forget(struct cdm_region *r)
{
	cdm_lock_take(&cache_lock);
	if (r->cached)
		cache_remove(r);
	cdm_lock_drop(&cache_lock);
}

void cdm_block_fork_prepare(void)
{
	cdm_lock_take(&cache_lock);
}
void cdm_block_fork_parent(void)
{
	cdm_lock_drop(&cache_lock);
}
void cdm_block_fork_child(void)
{
	cdm_lock_reset(&cache_lock);
}

/* ---- address space ---- */

static uintptr_t window_base(void)
{
	uintptr_t w = atomic_load_explicit(&window, memory_order_acquire);

	if (w)
		return w;
	/* A hole of the ring's size, as the kernel would place it; its bottom end is the last it fills itself. */
	void *p = cdm_sys_mmap(NULL, WINDOW, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (cdm_sys_failed(p))
		return 0;
	cdm_sys_munmap(p, WINDOW);
	w = cdm_round_up((uintptr_t)p, CDM_HUGE);
	uintptr_t none = 0;
	if (atomic_compare_exchange_strong(&window, &none, w))
		return w;
	return none;
}

/* The next address of the ring for len bytes, which a block aligned to 2 MiB has all 2 MiB of to itself. */
static uintptr_t window_next(uintptr_t base, size_t len, size_t align)
{
	size_t step = align >= CDM_HUGE ? cdm_round_up(len, CDM_HUGE) : len;
	uintptr_t at = atomic_load_explicit(&cursor, memory_order_relaxed), from;

	do {
		from = cdm_round_up(at, align);
		if (from < base || from + step > base + WINDOW)
			from = cdm_round_up(base, align);
	} while (!atomic_compare_exchange_weak(&cursor, &at, from + step));
	return from;
}

static void *map_anywhere(size_t len, size_t align, int prot)
{
	char *p = cdm_sys_mmap(NULL, len + align, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (cdm_sys_failed(p))
		return NULL;
	char *at = (char *)cdm_round_up((uintptr_t)p, align);
	if (at > p)
		cdm_sys_munmap(p, (size_t)(at - p));
	cdm_sys_munmap(at + len, align - (size_t)(at - p));
	return at;
}

/* A fresh private mapping of len bytes and the margin; NULL when there is no memory. */
static void *map_fresh(size_t len, size_t align, int prot)
{
	uintptr_t base = window_base();

	len += CDM_BLOCK_MARGIN;
	for (int i = 0; base && len <= WINDOW / 4 && i < TRIES; i++) {
		void *want = (void *)window_next(base, len, align);
		void *p = cdm_sys_mmap(want, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		if (p == want)
			return p;
		if (!cdm_sys_failed(p))
			cdm_sys_munmap(p, len); /* a kernel before 4.17 takes the address for a hint */
		else if (p != (void *)(long)-EEXIST)
			return NULL;
	}
	return map_anywhere(len, align, prot);
}

/* ---- allocation ---- */

/* Length and alignment of the mapping for a request; 0: it cannot be served. */
static size_t block_length(size_t size, size_t *align)
{
	if (size > PTRDIFF_MAX - CDM_HUGE - CDM_BLOCK_MARGIN || *align > ((size_t)1 << 40))
		return 0;
	size_t len = cdm_round_up(size ? size : 1, CDM_PAGE);
	size_t least = len >= CDM_HUGE ? CDM_HUGE : CDM_PAGE;
	if (*align < least)
		*align = least;
	return len;
}

/* The pages of a reused block become fresh zeros; locked ones are zeroed by hand. */
static void pages_drop(struct cdm_region *r)
{
	uint64_t mask;
	int e;

	cdm_map_enter(&mask);
	cdm_region_state(r, r->base, r->len, CDM_HOST, true);
	e = cdm_sys_madvise((void *)r->base, r->len, MADV_DONTNEED);
	cdm_map_leave(&mask);
	if (e)
		memset((void *)r->base, 0, r->len);
}

static void *block_reuse(size_t len, size_t align, bool zero, const void *site)
{
	cdm_lock_take(&cache_lock);
	struct cdm_region *r = cache_take(len, align);
	bool overdue = cache_overdue(CACHE_MAX);
	cdm_lock_drop(&cache_lock);
	if (overdue)
		cache_trim(CACHE_MAX);
	if (!r)
		return NULL;
	atomic_fetch_add(&r->generation, 2);
	r->site = site;
	r->uses = r->last_use = r->moved = 0;
	r->flight = (struct cdm_flight){0};
	r->skip = r->skip_next = 0;
	if (zero && r->len > ZERO_MAX)
		pages_drop(r);
	else if (zero)
		memset((void *)r->base, 0, r->len);
	r->born = r->resident;
	return (void *)r->base;
}

bool cdm_block_fork_torn(void)
{
	bool torn = atomic_load(&cache_lock.word) != 0;

	cdm_lock_reset(&cache_lock);
	return torn;
}

/* Memory for a block: on a 2 MiB boundary and advised where it is large enough, unless there are so many. */
static void *block_map(size_t len, size_t align, size_t wanted)
{
	bool huge = len >= CDM_HUGE && !cdm_crowd_blocks();
	void *p = map_fresh(len, huge || wanted > CDM_PAGE ? align : CDM_PAGE, PROT_READ | PROT_WRITE);

	if (p && huge)
		cdm_sys_madvise(p, len, MADV_HUGEPAGE);
	return p;
}

void *cdm_block_alloc(size_t size, size_t align, bool zero, const void *site)
{
	size_t wanted = align, len = block_length(size, &align);
	uint64_t mask;

	if (!len || cdm_map_frozen)
		return NULL;
	void *p = block_reuse(len, wanted, zero, site);
	if (p)
		return p;
	do
		p = block_map(len, align, wanted);
	while (!p && cache_trim(0)); /* under a limit, what is kept for later may be what is missing now */
	if (!p)
		return NULL;
	cdm_map_enter(&mask);
	struct cdm_region *r =
		cdm_region_create((uintptr_t)p, len, PROT_READ | PROT_WRITE, CDM_ORIGIN_BLOCK, true, site);
	if (r)
		r->margin = true;
	cdm_map_leave(&mask);
	if (r)
		return p;
	cdm_sys_munmap(p, len + CDM_BLOCK_MARGIN);
	return NULL;
}

/* The live block that starts at p, or NULL. Lock-free; for a stable answer the map lock must be held. */
static struct cdm_region *block_find(const void *p)
{
	struct cdm_region *r = cdm_region_get(cdm_pagemap_get((uintptr_t)p));

	if (!r || r->base != (uintptr_t)p || r->origin != CDM_ORIGIN_BLOCK || r->cached || !cdm_region_live(r))
		return NULL;
	return r;
}

size_t cdm_block_size(const void *p)
{
	struct cdm_region *r = block_find(p);
	return r ? r->len : 0;
}

/* A block that the program protected differently, or that lost a part, is not kept for others. */
static bool reusable(const struct cdm_region *r)
{
	cdm_word word, all = CDM_WORD_READ | CDM_WORD_WRITE;

	for (uintptr_t at = r->base; at < cdm_region_end(r);) {
		at = cdm_pagemap_run(at, cdm_region_end(r), &word);
		if ((word & all) != all)
			return false;
	}
	return r->len <= CACHE_MAX && !r->tainted;
}

/* Its use is remembered, or its memory is not for others: that takes the map lock. */
static bool free_slowly(struct cdm_region *r, bool keep)
{
	struct trim t = {.n = 0};
	uint64_t mask;

	cdm_map_enter(&mask);
	cdm_region_settle(r->base, r->len, &mask);
	cdm_region_note(r);
	cdm_lock_take(&cache_lock);
	bool ours = !r->cached;
	if (ours && keep)
		cache_put(r);
	else if (ours)
		block_end(r, &t);
	trim_leave(&mask);
	trim_unmap(&t);
	return ours;
}

bool cdm_block_free(void *p)
{
	struct cdm_region *r = block_find(p);

	if (!r)
		return false;
	if (cdm_map_frozen)
		return true; /* stays mapped for the rest of the child's life */
	if (r->image || r->armed)
		cdm_recall_for_change(r->base, r->len, true);
	bool keep = reusable(r);
	if (!keep || r->uses)
		return free_slowly(r, keep);
	cdm_lock_take(&cache_lock);
	bool ours = !r->cached, overdue = false; /* two threads may free it at once */
	if (ours) {
		cache_put(r);
		overdue = cache_overdue(CACHE_MAX);
	}
	cdm_lock_drop(&cache_lock);
	if (overdue)
		cache_trim(CACHE_MAX);
	return ours;
}

/* ---- realloc ---- */

/* Takes the map lock with no mover on the block and nothing of it on a private device. */
static void block_lock(struct cdm_region *r, uint64_t *mask)
{
	for (;;) {
		cdm_map_enter(mask);
		cdm_region_settle(r->base, r->len, mask);
		if (!r->image && !r->armed)
			return;
		cdm_map_leave(mask);
		cdm_recall_for_change(r->base, r->len, false);
	}
}

static void *realloc_copy(struct cdm_region *r, size_t size, const void *site)
{
	size_t keep = r->len < size ? r->len : size;
	void *old = (void *)r->base;
	void *p = cdm_block_alloc(size, CDM_PAGE, false, site);

	if (!p)
		return NULL;
	memcpy(p, old, keep);
	cdm_block_free(old);
	return p;
}

/* Grows by moving page tables: in place where the addresses are free, else to a fresh range. */
static void *realloc_grow(struct cdm_region *r, size_t len, const void *site)
{
	void *old = (void *)r->base;
	size_t was = r->len, align = len >= CDM_HUGE ? CDM_HUGE : CDM_PAGE;
	uint64_t mask;
	void *to = old, *p = NULL;
	size_t whole = len + CDM_BLOCK_MARGIN;

	block_lock(r, &mask);
	if (r->margin) /* a mapping of its own as soon as the block was advised: the new margin is a part that grows */
		cdm_sys_munmap((char *)old + was, CDM_BLOCK_MARGIN);
	r->margin = false;
	if (!(r->base & (align - 1)))
		p = cdm_sys_mremap(old, was, whole, 0, NULL);
	if (!p || cdm_sys_failed(p)) {
		to = map_fresh(len, align, PROT_NONE);
		p = to ? cdm_sys_mremap(old, was, whole, MREMAP_MAYMOVE | MREMAP_FIXED, to) : NULL;
		if (to && cdm_sys_failed(p)) {
			cdm_sys_munmap(to, whole);
			p = NULL;
		}
	}
	struct cdm_region *moved = p ? cdm_region_rebase((uintptr_t)old, was, (uintptr_t)p, len, site) : NULL;
	if (moved)
		moved->margin = true;
	cdm_map_leave(&mask);
	if (p && len >= CDM_HUGE)
		cdm_sys_madvise(p, len, MADV_HUGEPAGE);
	return p;
}

/* What is cut off begins with the new margin. Only blocks that lose more than that come here. */
static void realloc_shrink(struct cdm_region *r, size_t len)
{
	uintptr_t tail = r->base + len;
	size_t more = r->len - len;
	uint64_t mask;

	block_lock(r, &mask);
	bool margin = r->margin;
	cdm_region_cut(tail, more);
	r->margin = margin;
	cdm_map_leave(&mask);
	if (margin)
		cdm_sys_madvise((void *)tail, CDM_BLOCK_MARGIN, MADV_DONTNEED);
	cdm_sys_munmap((void *)(margin ? tail + CDM_BLOCK_MARGIN : tail), more);
}

void *cdm_block_realloc(void *p, size_t size, const void *site)
{
	struct cdm_region *r = block_find(p);
	size_t align = CDM_PAGE, len = block_length(size, &align);

	if (!r || !len || cdm_map_frozen)
		return NULL;
	bool shrinks = len < r->len / 2 && r->len - len > CDM_BLOCK_MARGIN;
	if (len <= r->len && !shrinks)
		return p;
	if (cdm_crowd_blocks()) { /* whose mapping may be others', too: one more for each end that is cut off */
		void *copy = realloc_copy(r, size, site);
		return copy || !shrinks ? copy : p;
	}
	if (shrinks) {
		realloc_shrink(r, len);
		return p;
	}
	void *to = realloc_grow(r, len, site);
	return to ? to : realloc_copy(r, size, site);
}

/* Blocks: malloc'ed memory of CDM_MIN_ALLOC and more. Each is a mapping and a region of its own.
 *
 * From 2 MiB on a block starts on a 2 MiB boundary and is advised to use huge pages; its last, partial 2 MiB
 * stays in small pages because the mapping ends there, so a block costs no more memory than it has bytes. calloc's
 * blocks are not advised: who asks for zeros may touch little of them (one byte of each 256 KiB of a GiB takes 17 MiB in
 * small pages and 1026 MiB in huge ones), and what the device uses gets huge pages when it moves there.
 * Behind each block the mapping goes on for CDM_BLOCK_MARGIN bytes, which are not the block's and are never written:
 * kernels of BLAS libraries load whole registers and, walking along a row, the element after the last (OpenBLAS 0.3.21's
 * zgemv reads one leading dimension too far). Behind libc's blocks there is some mapping by luck, here there must be.
 *
 * A freed block keeps its pages, on the device or at home (cache.h), and serves the next allocation of about its size: an
 * allocate/free loop faults each page once. One of another size, from half to double, is cut or grown by page tables.
 * A small one that realloc enlarges takes the place of a longer free one, and has the rest of it to grow into (spare.h).
 * Before fresh memory is mapped, as many bytes of free blocks go back to the kernel: what is in use and what is kept are
 * together never more than the program has had in use at one time, and KEEP bytes. Free blocks also go back when they have
 * been idle for CDM_CACHE_NS (decay.h), when there are more than CDM_CACHE_MAX bytes of them, or when the device needs their
 * frames.
 *
 * A block of 2 MiB and more is two mappings for the kernel, which allows vm.max_map_count. Where blocks have used their share
 * (crowd.h), later ones lie side by side without advice, as smaller ones do: the kernel sees one mapping. Then nothing is cut or
 * grown by page tables, and a free block in the middle of such a row is not unmapped, which would make two mappings of one: it
 * becomes hollow, addresses without memory, and a later block of about its size is made there.
 */
#include "offload/mem/block.h"

#include <string.h>

#include "offload/mem/cache.h"
#include "offload/mem/crowd.h"
#include "offload/mem/decay.h"
#include "offload/mem/recall.h"
#include "offload/mem/region.h"
#include "offload/mem/spare.h"
#include "offload/mem/window.h"

#define CDM_BLOCK_MARGIN ((size_t)256 << 10)
#define ZERO_MAX ((size_t)32 << 20) /* a reused block is zeroed by hand up to here; above, zeros are fresh pages */
#define BATCH 8                /* free blocks that go back between two questions whether there are too many mappings */
#define KEEP ((size_t)2 << 20) /* free bytes that do not make room for fresh ones */
#define COPY_MAX ((size_t)8 << 20) /* a larger block is not copied to where it can grow */

size_t cdm_min_alloc = SIZE_MAX;

/* A fresh private mapping of len bytes and the margin; NULL when there is no memory. */
static void *map_fresh(size_t len, size_t align, int prot)
{
	return cdm_window_map(len + CDM_BLOCK_MARGIN, align, prot);
}

/* ---- free blocks go back to the kernel ---- */

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

/* Ends tracking of a block. Its memory is the caller's to unmap, without the locks: *len bytes at the result. Map lock
 * held. */
static void *block_end(struct cdm_region *r, size_t *len)
{
	void *base = (void *)r->base;

	*len = r->len + cdm_spare_take(r) + (r->margin ? CDM_BLOCK_MARGIN : 0);
	cdm_region_cut(r->base, r->len);
	return base;
}

/* Without the locks. */
static void block_unmap(void *base, size_t len)
{
	if (cdm_sys_munmap(base, len)) /* one mapping too many: at least the memory goes */
		cdm_sys_madvise(base, len, MADV_DONTNEED);
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

/* False: its memory cannot go without its addresses. Map lock held. */
static bool hollow_out(struct cdm_region *r)
{
	if (r->hollow)
		return true;
	cdm_region_state(r, r->base, r->len, CDM_HOST, true);
	r->hollow = !cdm_sys_madvise((void *)r->base, r->len, MADV_DONTNEED);
	return r->hollow;
}

/* The memory of a block that was taken out of the cache goes back, and its addresses where that may cost no mapping. */
static void block_return(struct cdm_region *r, bool crowded)
{
	uint32_t generation = atomic_load(&r->generation);
	uint64_t mask;
	void *base = NULL;
	size_t len = 0;

	cdm_map_enter(&mask);
	cdm_region_settle(r->base, r->len, &mask);
	if (atomic_load(&r->generation) != generation)
		; /* the program has mapped over memory it has freed */
	else if (crowded && in_a_row(r) && hollow_out(r))
		cdm_cache_put(r);
	else
		base = block_end(r, &len);
	cdm_map_leave(&mask);
	if (base)
		block_unmap(base, len);
}

/* Unmaps the free bytes at a block's end, and the margin behind them. The new margin is a fresh mapping over its whole 2 MiB, so
 * that no huge page is split where the block ends between two. */
static void tail_unmap(char *tail, size_t bytes, bool margin)
{
	size_t fresh = cdm_round_up((uintptr_t)tail + CDM_BLOCK_MARGIN, CDM_HUGE) - (uintptr_t)tail;

	if (!margin) {
		block_unmap(tail, bytes);
		return;
	}
	fresh = fresh < bytes + CDM_BLOCK_MARGIN ? fresh : bytes + CDM_BLOCK_MARGIN;
	void *p = cdm_sys_mmap(tail, fresh, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (cdm_sys_failed(p))
		cdm_sys_madvise(tail, CDM_BLOCK_MARGIN, MADV_DONTNEED);
	block_unmap(tail + CDM_BLOCK_MARGIN, bytes);
}

/* Map lock held, also while it unmaps: the block's owner may be about to grow. */
static size_t spare_end(struct cdm_region *r)
{
	size_t bytes = cdm_spare_take(r);

	if (bytes)
		tail_unmap((char *)cdm_region_end(r), bytes, r->margin);
	return bytes;
}

/* The first bytes of the spare become the block's; without memory for the page map, all of it goes. Map lock held. */
static bool spare_absorb(struct cdm_region *r, size_t bytes)
{
	size_t had = cdm_spare_take(r);

	bool ok = !bytes || cdm_region_rebase(r->base, r->len, r->base, r->len + bytes, NULL);
	cdm_spare_put(r, ok ? had - bytes : had);
	if (!ok)
		spare_end(r);
	return ok;
}

/* The block is the caller's alone. */
static void block_cut(struct cdm_region *r, size_t len)
{
	uint64_t mask;

	block_lock(r, &mask);
	spare_absorb(r, r->spare);
	size_t more = r->len - len;
	bool margin = r->margin;
	cdm_region_cut(r->base + len, more);
	r->margin = margin;
	cdm_map_leave(&mask);
	tail_unmap((char *)r->base + len, more, margin);
}

/* The free block to go first; one without memory only when the kernel may see two mappings in its place. */
static struct cdm_region *expendable(bool due, bool crowded)
{
	struct cdm_region *r = cdm_cache_oldest(due);

	return r || crowded ? r : cdm_cache_oldest_hollow(due);
}

bool cdm_block_tend(void)
{
	bool crowded = cdm_crowd_blocks();
	struct cdm_region *r;
	int n = 0;

	for (; n < BATCH && (r = expendable(true, crowded)); n++)
		block_return(r, crowded);
	if (crowded && !n)
		cdm_cache_rest();
	return n > 0;
}

/* crowd.h's answer for the n-th of the blocks that go, before: for the one before. */
static bool crowded_at(int n, bool before)
{
	return n % BATCH ? before : cdm_crowd_blocks();
}

static bool enough_kept(void)
{
	return cdm_cache_bytes() + cdm_spare_bytes() > KEEP;
}

static size_t spares_cut(size_t bytes)
{
	struct cdm_region *r;
	size_t got = 0;
	uint64_t mask;

	cdm_map_enter(&mask);
	while (got < bytes && (r = cdm_spare_first()))
		got += spare_end(r);
	cdm_map_leave(&mask);
	return got;
}

/* About as many bytes of free blocks as are going to be mapped, the oldest first. */
static void make_room(size_t bytes)
{
	struct cdm_region *r;
	bool crowded = false;
	int n = 0;

	for (size_t len; bytes && enough_kept() && (r = cdm_cache_oldest(false)); bytes -= len < bytes ? len : bytes) {
		len = r->len;
		crowded = crowded_at(n++, crowded);
		size_t keep = len > bytes && !crowded ? cdm_round_down(len - bytes, CDM_HUGE) : 0;
		if (!keep) {
			block_return(r, crowded);
			continue;
		}
		block_cut(r, keep);
		cdm_cache_put_back(r);
	}
	if (bytes && enough_kept())
		spares_cut(bytes);
}

size_t cdm_block_reclaim(size_t bytes)
{
	struct cdm_region *r;
	bool crowded = false;
	size_t got = 0;

	for (int n = 0; got < bytes && (r = cdm_cache_resident()); n++) {
		crowded = crowded_at(n, crowded);
		got += r->resident;
		block_return(r, crowded);
	}
	return got;
}

bool cdm_block_interrupted(void)
{
	return cdm_cache_interrupted();
}
void cdm_block_fork_prepare(void)
{
	cdm_cache_fork_prepare();
}
void cdm_block_fork_parent(void)
{
	cdm_cache_fork_parent();
}
void cdm_block_fork_child(void)
{
	cdm_cache_fork_child();
	cdm_decay_after_fork();
}
bool cdm_block_fork_torn(void)
{
	cdm_decay_after_fork();
	return cdm_cache_fork_torn();
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

static void *block_grow(struct cdm_region *r, size_t len, size_t align, const void *site);

/* A free block of another size, made to measure. */
static struct cdm_region *block_fit(size_t len, size_t align, const void *site)
{
	struct cdm_region *r = cdm_cache_near(len, align);

	if (r && r->len >= len) {
		block_cut(r, len);
	} else if (r) {
		void *p = block_grow(r, len, align, site);
		if (!p)
			block_return(r, false);
		r = p ? cdm_region_get(cdm_pagemap_get((uintptr_t)p)) : NULL;
	}
	return r;
}

/* A free block begins another life. Nothing here is ordered but the new generation. */
static void *block_renew(struct cdm_region *r, const void *site)
{
	const memory_order any = memory_order_relaxed;

	atomic_fetch_add_explicit(&r->generation, 2, memory_order_release);
	atomic_store_explicit(&r->uses, 0, any);
	atomic_store_explicit(&r->work, 0, any);
	atomic_store_explicit(&r->last_use, 0, any);
	atomic_store_explicit(&r->skip, 0, any);
	atomic_store_explicit(&r->born, atomic_load_explicit(&r->resident, any), any);
	r->site = site;
	r->moved = 0;
	r->flight = (struct cdm_flight){0};
	r->skip_next = 0;
	r->hollow = false;
	return (void *)r->base;
}

static void *block_map(size_t len, size_t align, bool huge)
{
	void *p = map_fresh(len, align, PROT_READ | PROT_WRITE);

	if (p && huge)
		cdm_sys_madvise(p, len, MADV_HUGEPAGE);
	return p;
}

static void *block_track(void *p, size_t len, const void *site)
{
	uint64_t mask;

	cdm_map_enter(&mask);
	struct cdm_region *r =
		cdm_region_create((uintptr_t)p, len, PROT_READ | PROT_WRITE, CDM_ORIGIN_BLOCK, true, site);
	if (r)
		r->margin = true;
	cdm_map_leave(&mask);
	if (r)
		return p;
	block_unmap(p, len + CDM_BLOCK_MARGIN);
	return NULL;
}

/* Fresh pages, in a hollow block or in a mapping of their own. */
static void *block_fresh(size_t len, size_t align, bool huge, bool crowded, const void *site)
{
	struct cdm_region *r;
	void *p;

	make_room(len);
	for (;;) {
		if ((r = cdm_cache_hollow(len, align)))
			return block_renew(r, site);
		if ((p = block_map(len, align, huge)))
			return block_track(p, len, site);
		/* Under a limit, what is kept for later may be what is missing now. */
		if (!(r = expendable(false, crowded)))
			return NULL;
		block_return(r, crowded);
	}
}

void *cdm_block_alloc(size_t size, size_t align, bool zero, const void *site)
{
	size_t least = align > CDM_PAGE ? align : CDM_PAGE, len = block_length(size, &align);
	bool warm = !zero || len <= ZERO_MAX, crowded = false;
	struct cdm_region *r;

	if (!len || cdm_map_frozen)
		return NULL;
	r = warm ? cdm_cache_take(len, least) : NULL;
	if (!r && !(crowded = cdm_crowd_blocks()) && warm)
		r = block_fit(len, align, site);
	if (!r)
		return block_fresh(len, crowded ? least : align, len >= CDM_HUGE && !zero && !crowded, crowded, site);
	if (zero)
		memset((void *)r->base, 0, r->len);
	return block_renew(r, site);
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

/* A block that the program protected differently is not kept for others. */
static bool reusable(const struct cdm_region *r)
{
	return r->len <= CDM_CACHE_MAX && !r->tainted && !r->guarded;
}

/* Its use is remembered, or its memory is not for others: that takes the map lock. */
static bool free_slowly(struct cdm_region *r, bool keep)
{
	uint64_t mask;
	void *base = NULL;
	size_t len = 0;

	cdm_map_enter(&mask);
	cdm_region_settle(r->base, r->len, &mask);
	cdm_region_note(r);
	if (keep)
		spare_absorb(r, r->spare);
	bool ours = keep ? cdm_cache_put(r) : !r->cached;
	if (ours && !keep)
		base = block_end(r, &len);
	cdm_map_leave(&mask);
	if (base)
		block_unmap(base, len);
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
	bool ours = !keep || r->uses || r->spare ? free_slowly(r, keep) : cdm_cache_put(r);
	cdm_decay_watch();
	if (cdm_cache_overdue())
		cdm_block_tend();
	return ours;
}

/* ---- realloc ---- */

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

/* Grows by moving page tables: in place where the addresses are free, else to a fresh range. What is on a coherent device
 * stays there; what is on a private one comes home first, whose image lies at an offset from the block. NULL: it is as it was,
 * but for the margin. */
static void *block_grow(struct cdm_region *r, size_t len, size_t align, const void *site)
{
	void *old = (void *)r->base, *p = NULL;
	uint64_t mask;

	make_room(len - r->len);
	block_lock(r, &mask);
	spare_absorb(r, r->spare);
	size_t was = r->len;
	if (r->margin) /* a mapping of its own as soon as the block was advised: the new margin is a part that grows */
		cdm_sys_munmap((char *)old + was, CDM_BLOCK_MARGIN);
	r->margin = false;
	if (!(r->base & (align - 1)))
		p = cdm_sys_mremap(old, was, len + CDM_BLOCK_MARGIN, 0, NULL);
	if (!p || cdm_sys_failed(p))
		p = cdm_window_move(old, was, len + CDM_BLOCK_MARGIN, align);
	struct cdm_region *moved = p ? cdm_region_rebase((uintptr_t)old, was, (uintptr_t)p, len, site) : NULL;
	if (moved)
		moved->margin = true;
	cdm_map_leave(&mask);
	if (p && len >= CDM_HUGE)
		cdm_sys_madvise(p, len, MADV_HUGEPAGE);
	return p;
}

/* Into its spare. */
static void *grow_on(struct cdm_region *r, size_t len)
{
	uint64_t mask;

	block_lock(r, &mask);
	size_t more = len - r->len;
	bool ok = more <= r->spare && spare_absorb(r, more);
	cdm_map_leave(&mask);
	return ok ? (void *)r->base : NULL;
}

/* Into a longer free block, the rest of which becomes its spare. */
static void *grow_into(struct cdm_region *r, size_t len, size_t align, const void *site)
{
	size_t spared = cdm_spare_bytes();
	uint64_t mask;

	if (r->len > COPY_MAX || spared >= CDM_SPARE_MAX)
		return NULL;
	struct cdm_region *to = cdm_cache_longer(len, len + CDM_SPARE_MAX - spared, align);
	if (!to)
		return NULL;
	memcpy((void *)to->base, (void *)r->base, r->len);
	block_lock(to, &mask);
	size_t rest = to->len - len;
	bool margin = to->margin;
	if (rest)
		cdm_region_cut(to->base + len, rest);
	to->margin = margin;
	cdm_spare_put(to, rest);
	cdm_map_leave(&mask);
	cdm_block_free((void *)r->base);
	return block_renew(to, site);
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
	void *to = shrinks || !r->spare ? NULL : grow_on(r, len);
	if (to)
		return to;
	if (cdm_crowd_blocks()) { /* whose mapping may be others', too: one more for each end that is cut off */
		void *copy = realloc_copy(r, size, site);
		return copy || !shrinks ? copy : p;
	}
	if (shrinks) {
		block_cut(r, len);
		return p;
	}
	if (!r->spare)
		to = grow_into(r, len, align, site);
	if (!to)
		to = block_grow(r, len, align, site);
	return to ? to : realloc_copy(r, size, site);
}

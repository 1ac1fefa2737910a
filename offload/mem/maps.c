/* The program's own mmap family: the system call, and the shadow page map kept in step.
 *
 * Order matters. A range leaves the map before the kernel unmaps it and enters it after the kernel has mapped it,
 * so that another thread that gets the same addresses meanwhile is never overwritten. Calls on memory that nobody
 * tracks go straight to the kernel, without a lock.
 */
#include <errno.h>

#include "offload/base/copy.h"
#include "offload/base/log.h"
#include "offload/mem/recall.h"
#include "offload/mem/region.h"
#include "offload/mem/residency.h"
#include "offload/offload.h"

#define PATIENCE 1000
#define USER_END (((uintptr_t)1 << 47) - CDM_PAGE)

/* Worth a region: private anonymous memory that the program can use as it is, and large enough. Reservations
 * (PROT_NONE) and file mappings are adopted if an operand ever points into them. */
static bool trackable(size_t len, int prot, int flags)
{
	return len >= cdm_min_alloc && (flags & MAP_ANONYMOUS) && (flags & MAP_TYPE) == MAP_PRIVATE &&
	       (prot & (PROT_READ | PROT_WRITE | PROT_EXEC)) == (PROT_READ | PROT_WRITE) &&
	       !(flags & (MAP_HUGETLB | MAP_GROWSDOWN | MAP_LOCKED | MAP_STACK));
}

/* A private device has something of the range, or watches it. */
static bool watched(uintptr_t at, uintptr_t end)
{
	for (cdm_word word; at < end;) {
		at = cdm_pagemap_run(at, end, &word);
		const struct cdm_region *r = cdm_region_get(word);
		if (r && (r->image || r->armed))
			return true;
	}
	return false;
}

/* Takes the map lock with no mover on the range and nothing of it on a private device. gone: the range is about to be
 * unmapped. */
static void range_lock(uintptr_t at, size_t len, bool gone, uint64_t *mask)
{
	for (int i = 0;; i++) {
		cdm_map_enter(mask);
		cdm_region_settle(at, len, mask);
		if (!watched(at, at + len))
			return;
		if (i == PATIENCE) { /* the device does not give it back */
			cdm_log_once(CDM_LOG_ERROR, "memory whose mapping changes cannot be brought home");
			return;
		}
		cdm_map_leave(mask);
		cdm_recall_for_change(at, len, gone);
	}
}

/* Ends tracking of a range that is about to be unmapped or replaced. */
static void range_leave(void *addr, size_t len)
{
	uintptr_t at = (uintptr_t)addr;
	uint64_t mask;

	len = cdm_round_up(len, CDM_PAGE);
	if (cdm_map_frozen || cdm_pagemap_empty(at, len))
		return;
	range_lock(at, len, true, &mask);
	cdm_region_cut(at, len);
	cdm_map_leave(&mask);
}

static bool page_aligned(const void *p)
{
	return !((uintptr_t)p & (CDM_PAGE - 1));
}

/* A range that the kernel can accept; anything else is left to it to refuse, and tracking stays as it is. */
static bool plausible(const void *addr, size_t len)
{
	return page_aligned(addr) && len && (uintptr_t)addr < USER_END && len <= USER_END - (uintptr_t)addr;
}

void *cdm_map_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off, const void *site)
{
	uint64_t mask;

	if ((flags & MAP_FIXED) && plausible(addr, len))
		range_leave(addr, len);
	void *p = cdm_sys_mmap(addr, len, prot, flags, fd, off);
	if (cdm_sys_failed(p))
		return p;
	if (cdm_map_frozen || !trackable(len, prot, flags)) {
		range_leave(p, len); /* what was unmapped there behind libcdm's back */
		return p;
	}
	cdm_map_enter(&mask);
	cdm_region_create((uintptr_t)p, cdm_round_up(len, CDM_PAGE), prot, CDM_ORIGIN_MMAP, true, site);
	cdm_map_leave(&mask);
	return p;
}

int cdm_map_munmap(void *addr, size_t len)
{
	if (plausible(addr, len))
		range_leave(addr, len);
	return cdm_sys_munmap(addr, len);
}

static bool overlap(const void *a, size_t a_len, const void *b, size_t b_len)
{
	return (uintptr_t)a < (uintptr_t)b + b_len && (uintptr_t)b < (uintptr_t)a + a_len;
}

/* A tracked range, whole pages, with the map lock held and no mover on it; gone: its contents go. False: nothing is tracked
 * there. */
static bool range_enter(void *addr, size_t *len, bool gone, uint64_t *mask)
{
	uintptr_t at = (uintptr_t)addr;

	*len = cdm_round_up(*len, CDM_PAGE);
	if (cdm_map_frozen || !plausible(addr, *len) || cdm_pagemap_empty(at, *len))
		return false;
	range_lock(at, *len, gone, mask);
	return true;
}

/* Sets the state HOST in all regions of a range whose pages the kernel has dropped. */
static void range_emptied(uintptr_t at, uintptr_t end)
{
	while (at < end) {
		cdm_word word;
		uintptr_t to = cdm_pagemap_run(at, end, &word);
		struct cdm_region *r = cdm_region_get(word);
		if (r && (word & CDM_WORD_STATE) == CDM_DEVICE)
			cdm_region_state(r, at, to - at, CDM_HOST, true);
		at = to;
	}
}

/* Every page of the range is tracked, readable and writable: then all of it is private anonymous memory. */
static bool plain(uintptr_t at, uintptr_t end)
{
	cdm_word word, need = CDM_WORD_READ | CDM_WORD_WRITE;

	for (; at < end;) {
		at = cdm_pagemap_run(at, end, &word);
		struct cdm_region *r = cdm_region_get(word);
		if (!r || r->tainted || !r->movable || (word & need) != need)
			return false;
	}
	return true;
}

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

/* The addresses behind the range are free: more of the same memory goes there. */
static bool grow_in_place(void *addr, size_t old, size_t len)
{
	uintptr_t at = (uintptr_t)addr, end = at + cdm_round_up(old, CDM_PAGE);
	size_t more = at + cdm_round_up(len, CDM_PAGE) - end;

	if (len <= old || !plain(at, end))
		return false;
	void *p = cdm_sys_mmap((void *)end, more, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (p != (void *)end && !cdm_sys_failed(p))
		cdm_sys_munmap(p, more); /* a kernel before 4.17 takes the address for a hint */
	return p == (void *)end;
}

/* Under the remap mechanism a range that was one mapping may have become several, which mremap refuses: its bytes are
 * copied instead. Map lock held. */
static void *mremap_pieces(void *addr, size_t old, size_t len, int flags, void *to)
{
	int fixed = flags & MREMAP_FIXED ? MAP_FIXED : 0;

	if (!(flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) && grow_in_place(addr, old, len))
		return addr;
	if (!(flags & MREMAP_MAYMOVE) || !plain((uintptr_t)addr, (uintptr_t)addr + cdm_round_up(old, CDM_PAGE)))
		return (void *)(long)(flags & MREMAP_MAYMOVE ? -EFAULT : -ENOMEM);
	void *p = cdm_sys_mmap(fixed ? to : NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | fixed, -1,
			       0);
	if (cdm_sys_failed(p))
		return p;
	cdm_copy_large(p, addr, old < len ? old : len);
	if (flags & MREMAP_DONTUNMAP)
		cdm_sys_madvise(addr, old, MADV_DONTNEED);
	else
		cdm_sys_munmap(addr, old);
	range_emptied((uintptr_t)addr, (uintptr_t)addr + cdm_round_up(old, CDM_PAGE));
	return p;
}

void *cdm_map_mremap(void *addr, size_t old, size_t len, int flags, void *to)
{
	size_t tracked = old ? old : len;
	uint64_t mask;

	if ((flags & MREMAP_FIXED) && (flags & MREMAP_MAYMOVE) && plausible(to, len) && plausible(addr, old) &&
	    !overlap(addr, old, to, len))
		range_leave(to, len);
	if (!range_enter(addr, &tracked, false, &mask))
		return cdm_sys_mremap(addr, old, len, flags, to);
	void *p = cdm_sys_mremap(addr, old, len, flags, to);
	if (p == (void *)(long)-EFAULT)
		p = mremap_pieces(addr, old, len, flags, to);
	if (!cdm_sys_failed(p))
		cdm_region_rebase((uintptr_t)addr, tracked, (uintptr_t)p, cdm_round_up(len, CDM_PAGE), NULL);
	cdm_map_leave(&mask);
	return p;
}

static bool drops_pages(int advice)
{
	return advice == MADV_DONTNEED || advice == MADV_FREE || advice == MADV_REMOVE;
}

/* Advice that leaves no trace in the mapping. Any other (DONTFORK, WIPEONFORK, NOHUGEPAGE, ...) stays with it. */
static bool harmless(int advice)
{
	switch (advice) {
	case MADV_NORMAL:
	case MADV_RANDOM:
	case MADV_SEQUENTIAL:
	case MADV_WILLNEED:
	case MADV_HUGEPAGE:
	case 20: /* MADV_COLD, MADV_PAGEOUT, MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_COLLAPSE */
	case 21:
	case 22:
	case 23:
	case 25:
		return true;
	default:
		return false;
	}
}

/* MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_COLLAPSE: the kernel touches the pages. */
static bool touches(int advice)
{
	return advice == 22 || advice == 23 || advice == 25;
}

int cdm_map_madvise(void *addr, size_t len, int advice)
{
	uint64_t mask;

	size_t tracked = len;

	if (harmless(advice)) {
		if (touches(advice) && page_aligned(addr) && len)
			cdm_recall_range((uintptr_t)addr, len, true);
		return cdm_sys_madvise(addr, len, advice);
	}
	if (!range_enter(addr, &tracked, drops_pages(advice), &mask))
		return cdm_sys_madvise(addr, len, advice);
	int r = cdm_sys_madvise(addr, len, advice);
	if (drops_pages(advice)) /* even when it failed: a part may be gone, and only the account depends on it */
		range_emptied((uintptr_t)addr, (uintptr_t)addr + tracked);
	else
		cdm_region_taint((uintptr_t)addr, tracked);
	cdm_map_leave(&mask);
	return r;
}

int cdm_map_mprotect(void *addr, size_t len, int prot)
{
	cdm_word bits = (prot & PROT_READ ? CDM_WORD_READ : 0) | (prot & PROT_WRITE ? CDM_WORD_WRITE : 0);
	uint64_t mask;

	size_t tracked = len;

	if (!range_enter(addr, &tracked, false, &mask))
		return cdm_sys_mprotect(addr, len, prot);
	int r = cdm_sys_mprotect(addr, len, prot);
	if (r == -ENOMEM) /* a part may have changed: nothing there is moved or computed on any more */
		bits = 0;
	if (!r || r == -ENOMEM)
		cdm_region_protect((uintptr_t)addr, tracked, bits);
	cdm_map_leave(&mask);
	return r;
}

void cdm_map_keep(const void *addr, size_t len)
{
	uintptr_t at = cdm_round_down((uintptr_t)addr, CDM_PAGE);
	size_t tracked = (uintptr_t)addr - at + len;
	const struct cdm_region *r = cdm_region_get(cdm_pagemap_get(at));
	uint64_t mask;

	if (r && r->tainted && cdm_region_end(r) - at >= tracked) /* as for a coroutine's stack, again and again */
		return;
	if (!range_enter((void *)at, &tracked, false, &mask))
		return;
	cdm_region_taint(at, tracked);
	cdm_map_leave(&mask);
}

static void keep_region(struct cdm_region *r, void *arg)
{
	(void)arg;
	r->tainted = true;
}

void cdm_map_keep_all(void)
{
	uint64_t mask;

	cdm_map_enter(&mask);
	cdm_region_each(keep_region, NULL);
	cdm_map_leave(&mask);
	cdm_residency_all_home();
}

/* The program's own mmap family: the system call, and the shadow page map kept in step.
 *
 * Order matters. A range leaves the map before the kernel unmaps it and enters it after the kernel has mapped it,
 * so that another thread that gets the same addresses meanwhile is never overwritten. Calls on memory that nobody
 * tracks go straight to the kernel, without a lock.
 */
#include <errno.h>

#include "offload/mem/region.h"
#include "offload/offload.h"

/* Worth a region: private anonymous memory that the program can use as it is, and large enough. Reservations
 * (PROT_NONE) and file mappings are adopted if an operand ever points into them. */
static bool trackable(size_t len, int prot, int flags)
{
	return len >= cdm_min_alloc && (flags & MAP_ANONYMOUS) && (flags & MAP_TYPE) == MAP_PRIVATE &&
	       (prot & (PROT_READ | PROT_WRITE)) == (PROT_READ | PROT_WRITE) &&
	       !(flags & (MAP_HUGETLB | MAP_GROWSDOWN | MAP_LOCKED));
}

/* Ends tracking of a range that is about to be unmapped or replaced. */
static void range_leave(void *addr, size_t len)
{
	uintptr_t at = (uintptr_t)addr;
	uint64_t mask;

	len = cdm_round_up(len, CDM_PAGE);
	if (cdm_pagemap_empty(at, len))
		return;
	cdm_map_enter(&mask);
	cdm_region_settle(at, len, &mask);
	cdm_region_cut(at, len);
	cdm_map_leave(&mask);
}

static bool page_aligned(const void *p) { return !((uintptr_t)p & (CDM_PAGE - 1)); }

void *cdm_map_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off, const void *site)
{
	uint64_t mask;

	if ((flags & MAP_FIXED) && page_aligned(addr))
		range_leave(addr, len);
	void *p = cdm_sys_mmap(addr, len, prot, flags, fd, off);
	if (cdm_sys_failed(p) || !trackable(len, prot, flags))
		return p;
	cdm_map_enter(&mask);
	cdm_region_create((uintptr_t)p, cdm_round_up(len, CDM_PAGE), prot, CDM_ORIGIN_MMAP, true, site);
	cdm_map_leave(&mask);
	return p;
}

int cdm_map_munmap(void *addr, size_t len)
{
	if (page_aligned(addr) && len)
		range_leave(addr, len);
	return cdm_sys_munmap(addr, len);
}

/* A tracked range, whole pages, with the map lock held and no mover on it; false: nothing is tracked there. */
static bool range_enter(void *addr, size_t *len, uint64_t *mask)
{
	uintptr_t at = (uintptr_t)addr;

	*len = cdm_round_up(*len, CDM_PAGE);
	if (!page_aligned(addr) || cdm_pagemap_empty(at, *len))
		return false;
	cdm_map_enter(mask);
	cdm_region_settle(at, *len, mask);
	return true;
}

void *cdm_map_mremap(void *addr, size_t old, size_t len, int flags, void *to)
{
	size_t tracked = old ? old : len;
	uint64_t mask;

	if ((flags & MREMAP_FIXED) && page_aligned(to))
		range_leave(to, len);
	if (!range_enter(addr, &tracked, &mask))
		return cdm_sys_mremap(addr, old, len, flags, to);
	void *p = cdm_sys_mremap(addr, old, len, flags, to);
	if (!cdm_sys_failed(p))
		cdm_region_rebase((uintptr_t)addr, tracked, (uintptr_t)p, cdm_round_up(len, CDM_PAGE), NULL);
	cdm_map_leave(&mask);
	return p;
}

/* Sets the state HOST in all regions of a range whose pages the kernel has dropped. */
static void range_emptied(uintptr_t at, uintptr_t end)
{
	while (at < end) {
		cdm_word word;
		uintptr_t to = cdm_pagemap_run(at, end, &word);
		struct cdm_region *r = cdm_region_get(word);
		if (r && (word & CDM_WORD_STATE) == CDM_RESIDENT)
			cdm_region_state(r, at, to - at, CDM_HOST, true);
		at = to;
	}
}

static bool drops_pages(int advice)
{
	return advice == MADV_DONTNEED || advice == MADV_FREE || advice == MADV_REMOVE;
}

int cdm_map_madvise(void *addr, size_t len, int advice)
{
	uint64_t mask;

	if (!drops_pages(advice) || !range_enter(addr, &len, &mask))
		return cdm_sys_madvise(addr, len, advice);
	int r = cdm_sys_madvise(addr, len, advice);
	if (!r)
		range_emptied((uintptr_t)addr, (uintptr_t)addr + len);
	cdm_map_leave(&mask);
	return r;
}

int cdm_map_mprotect(void *addr, size_t len, int prot)
{
	cdm_word bits = (prot & PROT_READ ? CDM_WORD_READ : 0) | (prot & PROT_WRITE ? CDM_WORD_WRITE : 0);
	uint64_t mask;

	if (!range_enter(addr, &len, &mask))
		return cdm_sys_mprotect(addr, len, prot);
	int r = cdm_sys_mprotect(addr, len, prot);
	if (!r)
		cdm_pagemap_update((uintptr_t)addr, len, CDM_WORD_READ | CDM_WORD_WRITE, bits);
	cdm_map_leave(&mask);
	return r;
}

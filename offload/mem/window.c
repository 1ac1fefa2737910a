#include "offload/mem/window.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>

#include "offload/base/log.h"
#include "offload/base/sys.h"
#include "offload/mem/pagemap.h"
#include "offload/mem/pages.h"

#define WINDOW ((uintptr_t)4 << 40)
#define TRIES 16

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

static _Atomic uintptr_t window, cursor;

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

void *cdm_window_map(size_t len, size_t align, int prot)
{
	uintptr_t base = window_base();

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

/* ---- page tables ---- */

static bool move_tables(char *from, char *to, size_t len)
{
	return len == 0 || cdm_sys_mremap(from, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to) == (void *)to;
}

/* The same in steps. Under the remap mechanism a block may have become several mappings, each of whole chunks of 2 MiB, which
 * one mremap does not move. False: nothing has changed but to's mapping. */
static bool move_pieces(char *from, char *to, size_t len)
{
	size_t at = 0;

	if (cdm_pages_mappings() + 4 * len / CDM_HUGE > cdm_pages_mapping_limit()) /* the way back must be open */
		return false;
	while (at < len) {
		size_t n = len - at < CDM_HUGE ? len - at : CDM_HUGE;
		if (!move_tables(from + at, to + at, n))
			break;
		at += n;
	}
	if (at == len)
		return true;
	for (size_t back = 0; back < at; back += CDM_HUGE)
		if (!move_tables(to + back, from + back, CDM_HUGE))
			cdm_log(CDM_LOG_ERROR, "realloc: 2 MiB of a block are lost at %p", (void *)(to + back));
	return false;
}

void *cdm_window_move(char *old, size_t was, size_t len, size_t align)
{
	char *to = cdm_window_map(len, align, PROT_NONE);

	if (!to)
		return NULL;
	void *p = cdm_sys_mremap(old, was, len, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	if (p == to)
		return to;
	bool several = p == (void *)(long)-EFAULT; /* the kernel may have unmapped what was there */
	p = cdm_sys_mmap(to, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (p == to && several && move_pieces(old, to, was))
		return to;
	cdm_sys_munmap(to, len);
	return NULL;
}

/* The shadow page map: which region a page belongs to, what state it is in, what the program may do with it.
 *
 *   address bits   47..35      34..21        20..12
 *                  root ----> middle ----> leaf word
 *                  8192       16384          512        one word per 4 KiB page
 *
 * A 2 MiB chunk whose pages are all alike needs no leaf: its word stands in the middle table ("uniform"), so
 * 1 TiB in few regions costs 4 MiB, and a huge page is looked up with two loads. A chunk with different pages
 * points to its leaf: 2 KiB for 2 MiB, 0.1 %.
 *
 * Invariants. Readers take no lock and never block. Writers hold the map lock (mem.h). Tables are never freed
 * and a leaf serves one address for ever, so a reader sees an old or a new word, never foreign memory. Only
 * region.c and residency.c write words.
 */
#ifndef CDM_MEM_PAGEMAP_H
#define CDM_MEM_PAGEMAP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "offload/base/sys.h"

/* A page's word: the region's number, the state, and the program's own protection of the page. 0: untracked. */
typedef uint32_t cdm_word;
#define CDM_WORD_REGION 0x00ffffffu
#define CDM_WORD_STATE 0x03000000u
#define CDM_WORD_READ 0x04000000u
#define CDM_WORD_WRITE 0x08000000u

enum cdm_state { CDM_HOST = 0, CDM_SHARED = 0x01000000, CDM_DEVICE = 0x02000000, CDM_MOVING = 0x03000000 };

#define CDM_MAP_ROOT 8192u
#define CDM_MAP_MIDDLE 16384u
#define CDM_MAP_LEAF 512u
#define CDM_MAP_LIMIT ((uintptr_t)1 << 48)
#define CDM_MAP_UNIFORM ((uint64_t)1 << 63)
#define CDM_MAP_MIXED ((uint64_t)1 << 62)

/* Words are read and written in pairs where many are: each is an old or a new one in any case. */
struct cdm_leaf {
	union {
		_Atomic cdm_word page[CDM_MAP_LEAF];
		_Atomic uint64_t pair[CDM_MAP_LEAF / 2];
	};
};
struct cdm_middle {
	_Atomic uint64_t chunk[CDM_MAP_MIDDLE]; /* 0, or UNIFORM | word, or MIXED */
	_Atomic(struct cdm_leaf *) leaf[CDM_MAP_MIDDLE];
};
extern _Atomic(struct cdm_middle *) cdm_map_root[CDM_MAP_ROOT];

/* The word of the page at addr; 0 when untracked. Lock-free, async-signal-safe. */
static inline cdm_word cdm_pagemap_get(uintptr_t addr)
{
	if (addr >= CDM_MAP_LIMIT)
		return 0;
	struct cdm_middle *mid = atomic_load_explicit(&cdm_map_root[addr >> 35], memory_order_acquire);
	if (!mid)
		return 0;
	size_t i = (addr >> 21) & (CDM_MAP_MIDDLE - 1);
	uint64_t chunk = atomic_load_explicit(&mid->chunk[i], memory_order_acquire);
	if (!(chunk & CDM_MAP_MIXED))
		return (cdm_word)chunk;
	struct cdm_leaf *leaf = atomic_load_explicit(&mid->leaf[i], memory_order_relaxed);
	return atomic_load_explicit(&leaf->page[(addr >> 12) & (CDM_MAP_LEAF - 1)], memory_order_relaxed);
}

/* The longest run of pages from addr that have one word: sets *word, returns the run's end, at most end.
 * addr and end are page-aligned, addr < end. Lock-free. */
uintptr_t cdm_pagemap_run(uintptr_t addr, uintptr_t end, cdm_word *word);
/* The bytes of [addr, end) by state, and whether the program may read and write all of its tracked pages. Lock-free. */
struct cdm_tally {
	size_t host, shared, device, moving, untracked;
	bool readable, writable;
};
void cdm_pagemap_tally(struct cdm_tally *t, uintptr_t addr, uintptr_t end);
/* True when no page of [addr, addr+len) is tracked. Lock-free. */
int cdm_pagemap_empty(uintptr_t addr, size_t len);

/* Writers, under the map lock. set gives every page of [addr, addr+len) the word; 0 or -ENOMEM, and then the
 * map is unchanged. update replaces (word & mask) by bits in pages that are tracked; same errors. */
int cdm_pagemap_set(uintptr_t addr, size_t len, cdm_word word);
int cdm_pagemap_update(uintptr_t addr, size_t len, cdm_word mask, cdm_word bits);

#endif

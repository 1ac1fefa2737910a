/* Regions: the tracked ranges of the program's memory, and the map lock that guards them.
 *
 * Three locks, always taken in this order, the first two with the thread quiet (base/quiet.h: a handler of the
 * program may map or compute, and would wait for the thread that it interrupted):
 *
 *   move lock  (residency.c)  one mover at a time; held across copies, so it may take long
 *   map lock   (here)         the region table and the shadow page map; held for microseconds
 *   cache lock (cache.c)      the free blocks; held for nanoseconds
 *
 * A mover works without the map lock on a region it has marked `moving` under the map lock. Whoever is about to
 * change such a region's mapping waits with cdm_region_settle() until the mark is gone.
 *
 * Invariants, checked by cdm_regions_valid():
 *   - a live region's pages carry its number in the page map, and no other page does;
 *   - regions do not overlap; base and len are multiples of a page;
 *   - resident == number of its pages in state SHARED or DEVICE x 4096; it has an image only while that is > 0 or a mover
 *     works on it (private devices);
 *   - a descriptor is never freed: it is reused with the next generation, so a stale pointer is recognised.
 */
#ifndef CDM_MEM_REGION_H
#define CDM_MEM_REGION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "offload/mem/pagemap.h"

enum cdm_origin { CDM_ORIGIN_BLOCK, CDM_ORIGIN_MMAP, CDM_ORIGIN_STATIC, CDM_ORIGIN_ADOPTED, CDM_ORIGIN_COUNT };
extern const char *const cdm_origin_name[CDM_ORIGIN_COUNT];

/* Of one region: what recall.c and residency.c remember to place it better. Guarded by the move lock. */
struct cdm_flight {
	size_t window;    /* bytes that the next CPU touch brings home; 0: not touched yet */
	uintptr_t next;   /* where a sequential walk would touch next */
	uint64_t arrived; /* r->uses when it last came to an empty device */
	int thrash;       /* times in a row that it left having been used once at most */
	bool away;        /* on the device since `arrived` */
};

struct cdm_region {
	uintptr_t base;
	size_t len;
	uint32_t id;                 /* its number in page words; 0 is none */
	_Atomic uint32_t generation; /* odd while live */
	uint8_t origin;              /* enum cdm_origin */
	bool movable;                /* private anonymous memory that may live on the device */
	bool cached;                 /* a free block: memory kept for the next allocation */
	bool filed;                  /* cached: in a list of the cache's, not in front of them */
	bool hollow;                 /* a free block: its memory has gone back, only its addresses are kept */
	bool margin;                 /* a block: the mapping goes on for CDM_BLOCK_MARGIN bytes behind its end */
	bool guarded;                /* the program has changed the protection of a part */
	bool tainted;                /* advised or locked by the program: neither moved nor reused by others */
	_Atomic int skip;            /* refused of late: so many calls do not try to move it again */
	int skip_next;
	_Atomic int busy;          /* operations that use it: not to be evicted */
	_Atomic int wanted;        /* threads of the CPU that wait for busy to become 0 */
	_Atomic int moving;        /* a mover works on it: not to be remapped */
	bool kept;                 /* CDM_MADV_PIN: stays on the host until told otherwise */
	bool armed;                /* a guard watches some of it */
	bool holed;                /* HOST pages that are watched may have no memory */
	uintptr_t image;           /* private devices: the device's address of its first byte; 0: none */
	struct cdm_flight flight;  /* how it goes to and fro */
	_Atomic size_t resident;   /* bytes on the device */
	_Atomic size_t born;       /* of these, bytes that came with a reused block and were never copied */
	const void *site;          /* who allocated it */
	_Atomic uint64_t uses;     /* by device operations */
	_Atomic uint64_t work;     /* flops of these, since any of it last came to the device */
	_Atomic uint64_t last_use; /* cdm_tick() of the last */
	uint64_t moved;            /* bytes copied to the device over its life */
	_Atomic size_t spare;      /* a block in use: free bytes behind it (spare.h) */
	uint64_t freed_ns;         /* cached: when */
	struct cdm_region *next,
		*prev; /* cached: its bin; unused descriptor: the free list; else: those with a spare */
	struct cdm_region *older, *newer;       /* cached: by time */
	struct cdm_region *res_next, *res_prev; /* resident list, while resident > 0 */
	uint64_t ranked;                        /* there: later uses bring it to the front again */
};

/* Set in a fork child that was born in the middle of a change: the tables are read, never written again. */
extern bool cdm_map_frozen;

/* Takes and drops the map lock; the thread is quiet in between. *mask is the caller's storage. */
void cdm_map_enter(uint64_t *mask);
void cdm_map_leave(const uint64_t *mask);

/* The region with this number (any page word is accepted), live or not; NULL for number 0. Lock-free. */
struct cdm_region *cdm_region_get(cdm_word word);
static inline bool cdm_region_live(const struct cdm_region *r)
{
	return atomic_load_explicit(&((struct cdm_region *)r)->generation, memory_order_acquire) & 1;
}
static inline uintptr_t cdm_region_end(const struct cdm_region *r)
{
	return r->base + r->len;
}

/* All below: map lock held. */

/* A region over [base, base+len), which ends whatever was tracked there; prot as in mmap. NULL: no memory. */
struct cdm_region *cdm_region_create(uintptr_t base, size_t len, int prot, enum cdm_origin origin, bool movable,
				     const void *site);
/* Ends all tracking of [addr, addr+len): regions end, shrink or split; residency of the part ends, its frames
 * are the caller's to unmap or have been unmapped. */
void cdm_region_cut(uintptr_t addr, size_t len);
/* Waits until no mover works on a region in [addr, addr+len); drops and retakes the map lock meanwhile. */
void cdm_region_settle(uintptr_t addr, size_t len, uint64_t *mask);
/* Sets the state of [addr, addr+len), all of it in r, and keeps r->resident, the device's account and the
 * resident list in step. charge: the device's account follows; false when the mover has done so. 0, or -ENOMEM with
 * nothing changed; never fails on a range whose state has been set before. */
int cdm_region_state(struct cdm_region *r, uintptr_t addr, size_t len, enum cdm_state state, bool charge);
/* The program's protection of the range is now that of bits (CDM_WORD_READ, CDM_WORD_WRITE). */
void cdm_region_protect(uintptr_t addr, size_t len, cdm_word bits);
/* Keeps all regions in the range from ever moving and from reuse. */
void cdm_region_taint(uintptr_t addr, size_t len);
/* The memory of [from, from+from_len) has gone to [to, to+to_len), states and all (mremap); the same address
 * means that it grew or shrank in place. Returns the region there, or NULL: untracked. */
struct cdm_region *cdm_region_rebase(uintptr_t from, size_t from_len, uintptr_t to, size_t to_len, const void *site);

/* Calls fn for each live region, cached blocks included, in no order. */
void cdm_region_each(void (*fn)(struct cdm_region *r, void *arg), void *arg);
/* The resident list: regions with resident > 0. The last are those that came first and have not been refreshed. */
struct cdm_region *cdm_region_resident_first(void);
struct cdm_region *cdm_region_resident_last(void);
/* A region of the list that has been used since it came to the front goes there again: true. */
bool cdm_region_resident_refresh(struct cdm_region *r);
/* Checks the invariants; logs and returns false at the first that does not hold. */
bool cdm_regions_valid(void);

/* Remembers r's use for the report before it ends or is reused. */
void cdm_region_note(const struct cdm_region *r);
/* Ended regions that the device used, for the report: the largest movers. Returns how many were written. */
struct cdm_region_past {
	size_t bytes;
	uint64_t uses, moved;
	const void *site;
	uint8_t origin;
};
int cdm_region_past(struct cdm_region_past *out, int max);

void cdm_region_fork_prepare(uint64_t *mask); /* takes the map lock for good */
void cdm_region_fork_parent(const uint64_t *mask);
void cdm_region_fork_child(const uint64_t *mask);
/* Fork child, when prepare did not take the map lock: whether somebody held it. Frees it. */
bool cdm_region_fork_torn(void);

#endif

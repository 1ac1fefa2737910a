/* Executable memory near code. See near.h. */
#include "shim/near.h"

#include <errno.h>
#include <string.h>

#include "offload/base/arena.h"
#include "offload/base/sys.h"
#include "shim/maps.h"

#define REACH (((int64_t)2 << 30) - ((int64_t)1 << 20)) /* of a jmp rel32, with room for what lies around */
#define NEAR ((int64_t)128 << 20)                       /* what one page of stubs serves on either side */

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

/* A page of slots. It is never writable where it is executed: a change is made in a copy, which then takes its place
 * in one mremap(), so that other threads go on executing the other slots. */
struct cdm_near_page {
	struct cdm_near_page *next;
	uintptr_t at; /* 0: not mapped, to be used again */
	uint32_t used;
};
static struct cdm_near_page *pages;
_Static_assert(CDM_PAGE / CDM_NEAR_SLOT == 32, "one bit of cdm_near_page.used for each");

struct gap {
	uintptr_t of, brk, end; /* end: of the mapping before */
	uintptr_t found;
	enum cdm_side side;
};

static int64_t distance(uintptr_t a, uintptr_t b)
{
	return a > b ? (int64_t)(a - b) : (int64_t)(b - a);
}

/* The gap in front of a mapping. Not where the heap or the stack grows. */
static bool look_at_gap(const struct cdm_mapping *m, void *arg)
{
	struct gap *g = arg;
	uintptr_t lo = g->end, hi = m->lo;

	g->end = m->hi;
	if (hi < lo || hi - lo < CDM_PAGE || m->stack || (g->brk >= lo && g->brk < hi))
		return false;
	if (g->side == CDM_BELOW && hi <= g->of)
		g->found = hi - CDM_PAGE;
	if (g->side == CDM_ABOVE && lo > g->of) {
		g->found = lo;
		return true;
	}
	return false;
}

/* Address space for a page in the nearest gap on that side, reserved; 0: none within reach. */
static uintptr_t reserve_near(uintptr_t of, enum cdm_side side)
{
	struct gap g = {.of = of, .end = 0x10000, .side = side};

	for (int attempt = 0; attempt < 4; attempt++) { /* another thread may take it first */
		g.found = 0;
		g.end = 0x10000;
		g.brk = (uintptr_t)cdm_sys3(SYS_brk, 0, 0, 0);
		if (cdm_maps_each(look_at_gap, &g) < 0 || !g.found || distance(g.found, of) > REACH)
			return 0;
		void *p = cdm_sys_mmap((void *)g.found, CDM_PAGE, PROT_NONE,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		if (p == (void *)g.found)
			return g.found;
		if (!cdm_sys_failed(p)) /* an old kernel */
			(void)cdm_sys_munmap(p, CDM_PAGE);
	}
	return 0;
}

/* Changes n bytes of a page; fresh: the page is only reserved yet. */
static int write_page(struct cdm_near_page *page, size_t at, const void *bytes, size_t n, bool fresh)
{
	uint8_t *copy = cdm_sys_mmap(NULL, CDM_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (cdm_sys_failed(copy))
		return -ENOMEM;
	if (fresh)
		memset(copy, 0xcc, CDM_PAGE);
	else
		memcpy(copy, (const void *)page->at, CDM_PAGE);
	memcpy(copy + at, bytes, n);
	int err = cdm_sys_mprotect(copy, CDM_PAGE, PROT_READ | PROT_EXEC);
	if (!err) {
		void *p = cdm_sys_mremap(copy, CDM_PAGE, CDM_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)page->at);
		err = cdm_sys_failed(p) ? (int)(intptr_t)p : 0;
	}
	if (err)
		(void)cdm_sys_munmap(copy, CDM_PAGE);
	return err;
}

static struct cdm_near_page *new_page(uintptr_t near, enum cdm_side side)
{
	struct cdm_near_page *page = pages;

	while (page && page->at)
		page = page->next;
	if (!page) {
		page = cdm_arena_alloc(sizeof(*page));
		if (!page)
			return NULL;
		page->next = pages;
		pages = page;
	}
	uintptr_t at = reserve_near(near, side);
	if (!at)
		return NULL;
	page->at = at;
	page->used = 0;
	if (write_page(page, 0, "\xcc", 1, true)) {
		(void)cdm_sys_munmap((void *)at, CDM_PAGE);
		page->at = 0;
		return NULL;
	}
	return page;
}

/* A page with a free slot on that side of the address. */
static struct cdm_near_page *find_page(uintptr_t near, enum cdm_side side)
{
	struct cdm_near_page *best = NULL;

	for (struct cdm_near_page *p = pages; p; p = p->next)
		if (p->at && p->used != UINT32_MAX && (p->at < near) == (side == CDM_BELOW) &&
		    distance(p->at, near) <= (best ? distance(best->at, near) : NEAR))
			best = p;
	return best ? best : new_page(near, side);
}

bool cdm_near_find(uintptr_t code, enum cdm_side side, struct cdm_near *slot)
{
	slot->page = find_page(code, side);
	if (slot->page)
		slot->index = (unsigned)__builtin_ctz(~slot->page->used);
	return slot->page;
}

uintptr_t cdm_near_address(const struct cdm_near *slot)
{
	return slot->page->at + slot->index * CDM_NEAR_SLOT;
}

int cdm_near_write(const struct cdm_near *slot, const void *bytes, size_t n)
{
	int err = write_page(slot->page, slot->index * CDM_NEAR_SLOT, bytes, n, false);

	if (!err)
		slot->page->used |= 1u << slot->index;
	return err;
}

void cdm_near_free(const struct cdm_near *slot)
{
	slot->page->used &= ~(1u << slot->index);
	if (slot->page->used)
		return;
	(void)cdm_sys_munmap((void *)slot->page->at, CDM_PAGE);
	slot->page->at = 0;
}

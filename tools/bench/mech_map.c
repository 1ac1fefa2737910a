/* Other pages under the same address by way of mappings, and of nodes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "offload/base/sys.h"
#include "tools/bench/mech.h"

#ifndef MFD_CLOEXEC
#define MFD_CLOEXEC 1
#endif

static int remap(struct worker *w, size_t slot, int flags)
{
	size_t bytes = w->team->cell->bytes;
	char *to = slot_at(w, w->b, slot);
	char *at = cdm_sys_mremap(slot_at(w, w->a, slot), bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED | flags, to);

	return cdm_sys_failed(at) ? (int)(intptr_t)at : 0;
}

/* ---- mremap ---- */

/* A new source in the hole that the last one left, and nothing where it goes. */
static int reset_mremap(struct worker *w, size_t slot)
{
	int r = slot_empty(w, w->b, slot);

	if (!r && w->done[slot])
		r = area_map_at(w, slot_at(w, w->a, slot), w->team->cell->bytes);
	return r ? r : slot_refill(w, w->a, slot);
}

static int run_mremap(struct worker *w, size_t slot)
{
	return remap(w, slot, 0);
}

const struct mech mech_mremap = {
	.key = "mremap_fixed",
	.what = "mremap with MREMAP_FIXED over an empty window",
	.pages = PAGES_BOTH,
	.balancing = true,
	.reset = reset_mremap,
	.run = run_mremap,
	.check = check_moved,
};

static const char *probe_dontunmap(const struct machine *m)
{
	char *p = cdm_sys_mmap(NULL, CDM_PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *q =
		cdm_sys_failed(p) ? p : cdm_sys_mremap(p, CDM_PAGE, CDM_PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);

	(void)m;
	if (!cdm_sys_failed(p))
		cdm_sys_munmap(p, CDM_PAGE);
	if (cdm_sys_failed(q))
		return "a kernel without MREMAP_DONTUNMAP (Linux 5.7)";
	cdm_sys_munmap(q, CDM_PAGE);
	return NULL;
}

static int run_dontunmap(struct worker *w, size_t slot)
{
	return remap(w, slot, MREMAP_DONTUNMAP);
}

const struct mech mech_dontunmap = {
	.key = "mremap_dontunmap",
	.what = "mremap with MREMAP_FIXED and MREMAP_DONTUNMAP over an empty window",
	.pages = PAGES_BOTH,
	.probe = probe_dontunmap,
	.reset = reset_source, /* which stays mapped */
	.run = run_dontunmap,
	.check = check_moved,
};

/* ---- pages of a memory file ---- */

static int memfd(void)
{
	return (int)cdm_sys3(SYS_memfd_create, (long)"cdm-bench", MFD_CLOEXEC, 0);
}

static const char *probe_memfd(const struct machine *m)
{
	int fd = memfd();

	(void)m;
	if (fd < 0)
		return "memfd_create is refused";
	cdm_sys_close(fd);
	return NULL;
}

static int open_memfd(struct team *team)
{
	team->fd = memfd();
	if (team->fd < 0)
		return team->fd;
	return (int)cdm_sys3(SYS_ftruncate, team->fd, (long)(team->area * (size_t)team->cell->threads), 0);
}

static off_t offset_of(const struct worker *w, size_t slot)
{
	return (off_t)((size_t)w->id * w->team->area + slot * w->team->cell->bytes);
}

/* The file's view for filling it lies over a. */
static int prepare_memfd(struct worker *w)
{
	void *at = cdm_sys_mmap(w->a, w->team->area, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, w->team->fd,
				offset_of(w, 0));

	return cdm_sys_failed(at) ? (int)(intptr_t)at : 0;
}

static int reset_memfd(struct worker *w, size_t slot)
{
	int r = area_map_at(w, slot_at(w, w->b, slot), w->team->cell->bytes);

	return r ? r : slot_fill(w, w->a, slot);
}

static int run_memfd(struct worker *w, size_t slot)
{
	void *at = cdm_sys_mmap(slot_at(w, w->b, slot), w->team->cell->bytes, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_FIXED | MAP_POPULATE, w->team->fd, offset_of(w, slot));

	return cdm_sys_failed(at) ? (int)(intptr_t)at : 0;
}

const struct mech mech_memfd = {
	.key = "memfd_map_fixed",
	.what = "mmap with MAP_FIXED and MAP_POPULATE of a memory file's pages over a window",
	.pages = PAGES_SMALL,
	.probe = probe_memfd,
	.open = open_memfd,
	.prepare = prepare_memfd,
	.reset = reset_memfd,
	.run = run_memfd,
	.check = check_moved,
};

/* ---- move_pages ---- */

#define MPOL_PREFERRED_NODE 1
#define MPOL_MF_MOVE_OWN 2

/* Where the pages [p, p+n) are, or with `to` their move there; status by page. */
static int pages_call(char *p, size_t n, size_t step, const int *to, int *status)
{
	static _Thread_local void *page[CDM_HUGE / CDM_PAGE];
	static _Thread_local int node[CDM_HUGE / CDM_PAGE];

	for (size_t i = 0; i < n; i++) {
		page[i] = p + i * step;
		node[i] = to ? *to : 0;
		status[i] = -ENOENT;
	}
	return (int)cdm_sys6(SYS_move_pages, 0, (long)n, (long)page, to ? (long)node : 0, (long)status,
			     to ? MPOL_MF_MOVE_OWN : 0);
}

static const char *probe_move_pages(const struct machine *m)
{
	static _Alignas(4096) char page[4096];
	int status, r;

	if (m->memory_nodes < 2)
		return "one NUMA node with memory";
	memset(page, 1, sizeof(page));
	r = pages_call(page, 1, CDM_PAGE, NULL, &status);
	return r || status < 0 ? "move_pages is refused" : NULL;
}

static int move_to(struct worker *w, size_t slot, int node)
{
	static _Thread_local int status[CDM_HUGE / CDM_PAGE];
	size_t step = touch_stride(w), n = w->team->cell->bytes / step;
	int r = pages_call(slot_at(w, w->b, slot), n, step, &node, status);

	if (r > 0) /* so many were not moved */
		return -EBUSY;
	for (size_t i = 0; !r && i < n; i++)
		if (status[i] != node)
			return status[i] == -EACCES ? -EACCES : -EBUSY;
	return r;
}

/* What this thread fills comes from the first node. */
static int prepare_move_pages(struct worker *w)
{
	unsigned long mask = 1ul << w->team->machine->memory_node[0];

	return (int)cdm_sys3(SYS_set_mempolicy, MPOL_PREFERRED_NODE, (long)&mask, 64);
}

static int reset_move_pages(struct worker *w, size_t slot)
{
	int r = slot_empty(w, w->b, slot);

	return r ? r : slot_fill(w, w->b, slot);
}

static int run_move_pages(struct worker *w, size_t slot)
{
	return move_to(w, slot, w->team->machine->memory_node[1]);
}

const struct mech mech_move_pages = {
	.key = "move_pages",
	.what = "move_pages from one NUMA node to another",
	.pages = PAGES_BOTH,
	.probe = probe_move_pages,
	.prepare = prepare_move_pages,
	.reset = reset_move_pages,
	.run = run_move_pages,
	.check = check_moved,
};

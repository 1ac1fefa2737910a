/* The `move` mechanism: UFFDIO_MOVE out of the way, copy, UFFDIO_MOVE into place. See move.h. */
#include <errno.h>

#include "offload/base/copy.h"
#include "offload/base/sys.h"
#include "offload/mem/device.h"
#include "offload/mem/frames.h"
#include "offload/mem/landing.h"
#include "offload/mem/move.h"
#include "offload/mem/pages.h"
#include "offload/mem/uffd.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* A swap of at most one 2 MiB chunk. */
struct swap {
	struct cdm_landing l;
	uintptr_t frame; /* where the new frame is */
	bool frame_slot; /* it came from the full slots, so it holds old bytes */
};

static bool whole(const struct swap *s)
{
	return s->l.len == CDM_HUGE;
}

/* ---- a whole chunk: one 2 MiB frame. Its holes get memory on the device: a matrix with gaps between its columns goes
 * in one piece, where page by page it took ten times as long, and stays on a huge page ---- */

/* A frame that another swap left, or a fresh one of the device's. */
static int frame_take(struct swap *s)
{
	void *p;

	s->frame = cdm_device.mem->interchangeable ? cdm_frames_take_full() : 0;
	s->frame_slot = s->frame != 0;
	if (s->frame)
		return 0;
	int r = cdm_device.mem->reserve(CDM_HUGE, &p);
	if (r)
		return r;
	r = cdm_device.mem->commit(p, CDM_HUGE);
	if (r)
		cdm_device.mem->unreserve(p, CDM_HUGE);
	else
		s->frame = (uintptr_t)p;
	return r;
}

static void frame_drop(struct swap *s, bool left)
{
	if (!s->frame_slot)
		cdm_device.mem->unreserve((void *)s->frame, CDM_HUGE);
	else if (left)
		cdm_frames_put_empty(s->frame);
	else
		cdm_frames_put_drop(s->frame);
}

static void frame_zero(const struct swap *s, size_t from, size_t to)
{
	if (s->frame_slot)
		cdm_zero_large((void *)(s->frame + from * CDM_PAGE), (to - from) * CDM_PAGE);
}

/* The pages that have landed, and zeros for those that had no memory. */
static void frame_fill(const struct swap *s)
{
	size_t pages = s->l.len / CDM_PAGE, done = 0, to;

	for (size_t i = cdm_land_run(&s->l, 0, &to); i < pages; i = cdm_land_run(&s->l, to, &to)) {
		frame_zero(s, done, i);
		cdm_copy_large((void *)(s->frame + i * CDM_PAGE), (void *)(s->l.land + i * CDM_PAGE),
			       (to - i) * CDM_PAGE);
		done = to;
	}
	frame_zero(s, done, pages);
}

static int swap_whole(struct swap *s)
{
	size_t moved = 0;
	int r = frame_take(s);

	if (r) {
		cdm_land_back(&s->l, 0);
		return r;
	}
	frame_fill(s);
	/* Empty as the range is, this frees its table of small pages (PT_RECLAIM, Linux 6.14), and a huge frame can
	 * stay whole. */
	cdm_sys_madvise((void *)s->l.prog, CDM_HUGE, MADV_DONTNEED);
	r = cdm_land_move(s->l.prog, s->frame, CDM_HUGE, &moved);
	if (r) /* what went holds the right bytes; the rest gets its old pages */
		cdm_land_back(&s->l, moved / CDM_PAGE);
	frame_drop(s, !r);
	return r;
}

/* ---- a part of a chunk, or one with holes that goes home: small frames for the pages that exist ---- */

/* One run of pages, [i, to), through the reservation at frame. */
static int swap_run(struct swap *s, size_t i, size_t to, size_t *moved)
{
	size_t at = i * CDM_PAGE, n = (to - i) * CDM_PAGE;

	*moved = 0;
	int r = cdm_device.mem->commit((void *)(s->frame + at), n);
	if (r)
		return r;
	cdm_copy_large((void *)(s->frame + at), (void *)(s->l.land + at), n);
	return cdm_land_move(s->l.prog + at, s->frame + at, n, moved);
}

static int swap_sparse(struct swap *s)
{
	size_t pages = s->l.len / CDM_PAGE, to;
	void *p;
	int r = cdm_device.mem->reserve(s->l.len, &p);

	if (r) {
		cdm_land_back(&s->l, 0);
		return r;
	}
	s->frame = (uintptr_t)p;
	for (size_t i = cdm_land_run(&s->l, 0, &to); !r && i < pages; i = cdm_land_run(&s->l, to, &to)) {
		size_t moved;
		r = swap_run(s, i, to, &moved);
		if (r)
			cdm_land_back(&s->l, i + moved / CDM_PAGE);
	}
	cdm_device.mem->unreserve(p, s->l.len);
	return r;
}

static int swap_landed(struct swap *s, bool to_device, size_t holes)
{
	if (whole(s) && (holes == 0 || to_device))
		return swap_whole(s);
	return holes == s->l.len ? 0 : swap_sparse(s);
}

static int swap_once(uintptr_t addr, size_t len, bool to_device, size_t *fresh)
{
	struct swap s;

	*fresh = 0;
	int r = cdm_land(&s.l, addr, len);
	if (r)
		return r;
	*fresh = cdm_land_holes(&s.l);
	r = swap_landed(&s, to_device, *fresh);
	cdm_land_end(&s.l, !r && cdm_device.mem->interchangeable); /* the old frame serves the next swap */
	return r;
}

/* After a fork in which both sides wrote, a huge page can be left with some of its small pages copied. UFFDIO_MOVE
 * (mm/userfaultfd.c, 6.8 to at least 6.18) asks the page's head whether it is shared, and refuses the rest for
 * ever. MADV_COLLAPSE copies the chunk into a fresh huge page; it declines pages that are pinned, as it should. */
static bool collapse(uintptr_t addr)
{
	cdm_uffd_unregister(addr, CDM_HUGE); /* a registered chunk with holes would not collapse */
	int r = cdm_sys_madvise((void *)addr, CDM_HUGE, MADV_COLLAPSE);
	return !cdm_uffd_register(addr, CDM_HUGE) && !r;
}

static int uffd_swap(uintptr_t addr, size_t len, bool to_device, size_t *fresh)
{
	int r = swap_once(addr, len, to_device, fresh);
	if (r == -EBUSY && len == CDM_HUGE && collapse(addr))
		r = swap_once(addr, len, to_device, fresh);
	return r;
}

/* Small pages go one by one, 10 us each once the process has a second thread to be told (its TLB); the kernel copies them into
 * a huge one for the price of a few dozen. In one call for all chunks: each waits for every CPU's queue of fresh pages. */
static void uffd_ready(uintptr_t addr, size_t len)
{
	uintptr_t from = cdm_round_up(addr, CDM_HUGE), to = cdm_round_down(addr + len, CDM_HUGE), small;

	if (from >= to || !cdm_device.mem->interchangeable || !cdm_pages_small(from, to - from, &small))
		return;
	small = cdm_round_down(small, CDM_HUGE);
	(void)cdm_sys_madvise((void *)small, to - small, MADV_COLLAPSE);
}

static int uffd_open(void)
{
	int r = cdm_uffd_open(CDM_UFFD_WAIT);
	return r ? r : cdm_frames_open();
}

static void uffd_forget(void)
{
	cdm_frames_forget();
	cdm_uffd_forget();
}

const struct cdm_mover cdm_mover_move = {
	.name = "move",
	.batch = CDM_HUGE,
	.open = uffd_open,
	.ready = uffd_ready,
	.begin = cdm_uffd_register,
	.end = cdm_uffd_unregister,
	.swap = uffd_swap,
	.trim = cdm_frames_trim,
	.forget = uffd_forget,
};

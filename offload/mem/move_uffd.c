/* The `move` mechanism: UFFDIO_MOVE out of the way, copy, UFFDIO_MOVE into place. See move.h. */
#include <errno.h>
#include <string.h>

#include "offload/base/copy.h"
#include "offload/base/log.h"
#include "offload/base/sys.h"
#include "offload/mem/device.h"
#include "offload/mem/frames.h"
#include "offload/mem/move.h"
#include "offload/mem/pages.h"
#include "offload/mem/uffd.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#define RETRIES 1000
#define BUSY_RETRIES 20 /* without progress: then it is a pin that lasts (O_DIRECT, io_uring) */

/* A swap of at most one 2 MiB chunk. Page i of the chunk's part is at prog + i * 4096 and lands at land + the same. */
struct swap {
	uintptr_t prog, land, slot;
	size_t len;
	uint64_t here[8]; /* pages that have landed */
	uintptr_t frame;  /* where the new frame is */
	bool frame_slot;  /* it came from the full slots, so it holds old bytes */
};

static bool whole(const struct swap *s)
{
	return s->len == CDM_HUGE;
}

static void mark(uint64_t bits[8], size_t from, size_t to)
{
	for (; from < to; from++)
		bits[from / 64] |= (uint64_t)1 << (from % 64);
}

static bool marked(const uint64_t bits[8], size_t i)
{
	return bits[i / 64] >> (i % 64) & 1;
}

/* The run of equal bits from page i: returns its end. */
static size_t run_end(const uint64_t bits[8], size_t i, size_t pages)
{
	bool v = marked(bits, i);

	while (i < pages && marked(bits, i) == v)
		i++;
	return i;
}

/* Moves, and tries again what the kernel refuses for the moment. EBUSY: a page is shared with a fork child, until
 * a write gives this process its own copy; MADV_POPULATE_WRITE does that and changes nothing. */
static int move_patiently(uintptr_t dst, uintptr_t src, size_t len, size_t *moved)
{
	int r = 0, busy = 0;

	*moved = 0;
	for (int i = 0; i < RETRIES && *moved < len; i++) {
		size_t step;
		r = cdm_uffd_move(dst + *moved, src + *moved, len - *moved, &step);
		*moved += step;
		if (step)
			busy = 0;
		if (r == -EBUSY && busy++ < BUSY_RETRIES)
			cdm_sys_madvise((void *)(src + *moved), len - *moved, MADV_POPULATE_WRITE);
		else if (r && r != -EAGAIN)
			break;
		if (busy > 1 || r == -EAGAIN)
			cdm_sys_yield();
	}
	return *moved == len ? 0 : r;
}

/* Lands the pages that exist from page `done` on, around holes. */
static int land_present(struct swap *s, size_t done)
{
	size_t pages = s->len / CDM_PAGE;
	uint64_t exist[8];
	int r = cdm_pages_present(s->prog, s->len, exist);

	for (size_t i = done, to; !r && i < pages; i = to) {
		size_t moved;
		to = run_end(exist, i, pages);
		if (!marked(exist, i))
			continue;
		r = move_patiently(s->land + i * CDM_PAGE, s->prog + i * CDM_PAGE, (to - i) * CDM_PAGE, &moved);
		mark(s->here, i, i + moved / CDM_PAGE);
	}
	return r;
}

/* Moves the program's pages to the landing slot. Most often all of them are there and go at once. */
static int land(struct swap *s)
{
	size_t moved;
	int r = cdm_uffd_move(s->land, s->prog, s->len, &moved);

	mark(s->here, 0, moved / CDM_PAGE);
	return r ? land_present(s, moved / CDM_PAGE) : 0;
}

/* Puts landed pages from page `from` on back under the program's addresses, whatever it takes. */
static void put_back(struct swap *s, size_t from)
{
	size_t pages = s->len / CDM_PAGE;

	for (size_t i = from, to; i < pages; i = to) {
		size_t moved;
		to = run_end(s->here, i, pages);
		if (!marked(s->here, i))
			continue;
		uintptr_t dst = s->prog + i * CDM_PAGE, src = s->land + i * CDM_PAGE;
		size_t len = (to - i) * CDM_PAGE;
		if (!move_patiently(dst, src, len, &moved))
			continue;
		int r = cdm_uffd_copy(dst + moved, src + moved, len - moved);
		if (r == -EBADF || r == -ENOTTY) /* the descriptor is gone, and with it the registration */
			memcpy((void *)(dst + moved), (void *)(src + moved), len - moved);
		else if (r)
			cdm_log(CDM_LOG_ERROR, "cannot put %zu bytes back at %p", len - moved, (void *)(dst + moved));
	}
}

/* ---- a whole chunk: one 2 MiB frame ---- */

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

/* All of its pages have landed, or none had memory: then the frame is to read as zeros. */
static int swap_whole(struct swap *s)
{
	bool landed = marked(s->here, 0);
	size_t moved = 0;
	int r = frame_take(s);

	if (r) {
		put_back(s, 0);
		return r;
	}
	if (landed)
		cdm_copy_large((void *)s->frame, (void *)s->land, CDM_HUGE);
	else if (s->frame_slot)
		cdm_zero_large((void *)s->frame, CDM_HUGE);
	/* Empty as the range is, this frees its table of small pages (PT_RECLAIM, Linux 6.14), and a huge frame can
	 * stay whole. */
	cdm_sys_madvise((void *)s->prog, CDM_HUGE, MADV_DONTNEED);
	r = move_patiently(s->prog, s->frame, CDM_HUGE, &moved);
	if (r) /* what went holds the right bytes; the rest gets its old pages */
		put_back(s, moved / CDM_PAGE);
	frame_drop(s, !r);
	return r;
}

/* ---- a part of a chunk, or one with holes: small frames for the pages that exist ---- */

/* One run of pages, [i, to), through the reservation at frame. */
static int swap_run(struct swap *s, size_t i, size_t to, size_t *moved)
{
	size_t at = i * CDM_PAGE, n = (to - i) * CDM_PAGE;

	*moved = 0;
	int r = cdm_device.mem->commit((void *)(s->frame + at), n);
	if (r)
		return r;
	cdm_copy_large((void *)(s->frame + at), (void *)(s->land + at), n);
	return move_patiently(s->prog + at, s->frame + at, n, moved);
}

static int swap_sparse(struct swap *s)
{
	size_t pages = s->len / CDM_PAGE;
	void *p;
	int r = cdm_device.mem->reserve(s->len, &p);

	if (r) {
		put_back(s, 0);
		return r;
	}
	s->frame = (uintptr_t)p;
	for (size_t i = 0, to; !r && i < pages; i = to) {
		size_t moved;
		to = run_end(s->here, i, pages);
		if (!marked(s->here, i))
			continue;
		r = swap_run(s, i, to, &moved);
		if (r)
			put_back(s, i + moved / CDM_PAGE);
	}
	cdm_device.mem->unreserve(p, s->len);
	return r;
}

/* The bytes that had no memory. */
static size_t hole_bytes(const struct swap *s)
{
	size_t pages = s->len / CDM_PAGE, n = 0;

	for (size_t i = 0; i < pages; i++)
		n += !marked(s->here, i);
	return n * CDM_PAGE;
}

static int swap_landed(struct swap *s, bool to_device, size_t *fresh)
{
	*fresh = hole_bytes(s);
	if (whole(s) && (*fresh == 0 || (*fresh == s->len && to_device)))
		return swap_whole(s);
	return *fresh == s->len ? 0 : swap_sparse(s);
}

static int swap_once(uintptr_t addr, size_t len, bool to_device, size_t *fresh)
{
	struct swap s = {.prog = addr, .len = len, .slot = cdm_frames_take_empty()};

	*fresh = 0;
	if (!s.slot)
		return -ENOMEM;
	s.land = s.slot + (addr & (CDM_HUGE - 1));
	int r = land(&s);
	if (r)
		put_back(&s, 0);
	else
		r = swap_landed(&s, to_device, fresh);
	if (!r && whole(&s) && *fresh == 0 && cdm_device.mem->interchangeable)
		cdm_frames_put_full(s.slot); /* the old frame serves the next swap */
	else
		cdm_frames_put_drop(s.slot);
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

static int uffd_open(void)
{
	int r = cdm_uffd_open();
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
	.begin = cdm_uffd_register,
	.end = cdm_uffd_unregister,
	.swap = uffd_swap,
	.trim = cdm_frames_trim,
	.forget = uffd_forget,
};

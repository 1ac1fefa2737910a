#include "offload/mem/landing.h"

#include <errno.h>
#include <string.h>

#include "offload/base/log.h"
#include "offload/base/sys.h"
#include "offload/mem/frames.h"
#include "offload/mem/pages.h"
#include "offload/mem/uffd.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#define RETRIES 1000
#define BUSY_RETRIES 20 /* without progress: then it is a pin that lasts (O_DIRECT, io_uring) */

static void mark(uint64_t bits[8], size_t from, size_t to)
{
	for (; from < to; from++)
		bits[from / 64] |= (uint64_t)1 << (from % 64);
}

static bool marked(const uint64_t bits[8], size_t i)
{
	return bits[i / 64] >> (i % 64) & 1;
}

/* The next run of set bits from page i on. */
static size_t run_of(const uint64_t bits[8], size_t i, size_t pages, size_t *to)
{
	while (i < pages && !marked(bits, i))
		i++;
	for (*to = i; *to < pages && marked(bits, *to); ++*to)
		;
	return i;
}

size_t cdm_land_run(const struct cdm_landing *l, size_t i, size_t *to)
{
	return run_of(l->here, i, l->len / CDM_PAGE, to);
}

size_t cdm_land_holes(const struct cdm_landing *l)
{
	size_t pages = l->len / CDM_PAGE, n = 0;

	for (size_t i = 0; i < pages; i++)
		n += !marked(l->here, i);
	return n * CDM_PAGE;
}

/* EBUSY: a page is shared with a fork child, until a write gives this process its own copy; MADV_POPULATE_WRITE does that
 * and changes nothing. */
int cdm_land_move(uintptr_t dst, uintptr_t src, size_t len, size_t *moved)
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

/* Lands the pages that exist from page `done` on, a run at a time, with patience. */
static int land_present(struct cdm_landing *l, size_t done)
{
	size_t pages = l->len / CDM_PAGE, to;
	uint64_t exist[8];
	int r = cdm_pages_present(l->prog, l->len, exist);

	for (size_t i = run_of(exist, done, pages, &to); !r && i < pages; i = run_of(exist, to, pages, &to)) {
		size_t moved;
		r = cdm_land_move(l->land + i * CDM_PAGE, l->prog + i * CDM_PAGE, (to - i) * CDM_PAGE, &moved);
		mark(l->here, i, i + moved / CDM_PAGE);
	}
	return r;
}

/* All that exist from byte `done` on, at once. What has landed is what the landing has; it is asked before, too, so that
 * nothing goes where nobody could tell. *moved: bytes, holes among them. */
static int land_around(struct cdm_landing *l, size_t done, size_t *moved)
{
	uint64_t before[8], after[8];
	int r = cdm_pages_present(l->prog, l->len, before);

	*moved = 0;
	if (r)
		return r;
	r = cdm_uffd_move_around(l->land + done, l->prog + done, l->len - done, moved);
	const uint64_t *landed = cdm_pages_present(l->land, l->len, after) ? before : after;
	for (size_t i = done / CDM_PAGE; i < (done + *moved) / CDM_PAGE; i++)
		if (marked(landed, i))
			mark(l->here, i, i + 1);
	return r;
}

/* Most often all pages are there and go at once. */
static int land(struct cdm_landing *l)
{
	size_t moved, more = 0;
	int r = cdm_uffd_move_straight(l->land, l->prog, l->len, &moved);

	mark(l->here, 0, moved / CDM_PAGE);
	if (r == -ENOENT || r == -EINVAL)
		r = land_around(l, moved, &more);
	return r ? land_present(l, (moved + more) / CDM_PAGE) : 0;
}

int cdm_land(struct cdm_landing *l, uintptr_t addr, size_t len)
{
	*l = (struct cdm_landing){.prog = addr, .len = len, .slot = cdm_frames_take_empty()};
	if (!l->slot)
		return -ENOMEM;
	l->land = l->slot + (addr & (CDM_HUGE - 1));
	int r = land(l);
	if (r) {
		cdm_land_back(l, 0);
		cdm_land_end(l, false);
	}
	return r;
}

void cdm_land_back(const struct cdm_landing *l, size_t from)
{
	size_t pages = l->len / CDM_PAGE, to;

	for (size_t i = cdm_land_run(l, from, &to); i < pages; i = cdm_land_run(l, to, &to)) {
		uintptr_t dst = l->prog + i * CDM_PAGE, src = l->land + i * CDM_PAGE;
		size_t len = (to - i) * CDM_PAGE, moved;
		int no = cdm_land_move(dst, src, len, &moved);
		if (!no)
			continue;
		int r = cdm_uffd_copy(dst + moved, src + moved, len - moved);
		if (r == -EBADF || r == -ENOTTY) /* the descriptor is gone, and with it the registration */
			memcpy((void *)(dst + moved), (void *)(src + moved), len - moved);
		else if (r)
			cdm_log(CDM_LOG_ERROR, "cannot put %zu bytes back at %p (move %d, copy %d)", len - moved,
				(void *)(dst + moved), no, r);
	}
}

void cdm_land_end(const struct cdm_landing *l, bool keep)
{
	if (keep && l->len == CDM_HUGE && !cdm_land_holes(l))
		cdm_frames_put_full(l->slot);
	else
		cdm_frames_put_drop(l->slot);
}

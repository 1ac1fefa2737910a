/* userfaultfd: touches of missing and of write-protected pages, and the calls that end them. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "offload/base/sys.h"
#include "tools/bench/mech.h"

#define MISSING UFFDIO_REGISTER_MODE_MISSING
#define WP UFFDIO_REGISTER_MODE_WP

static const char *text(const char *what, int error)
{
	static char line[128];

	(void)snprintf(line, sizeof(line), "%s: %s", what, strerror(-error));
	return line;
}

/* NULL, or why not. */
static const char *lacks(uint64_t features, const char *missing)
{
	int error;
	uint64_t has = uffd_features(&error);

	if (error)
		return text("userfaultfd", error);
	return (has & features) == features ? NULL : missing;
}

static const char *probe_sigbus(const struct machine *m)
{
	(void)m;
	return lacks(UFFD_FEATURE_SIGBUS, "a kernel without userfaultfd's SIGBUS (Linux 4.14)");
}

static const char *probe_missing(const struct machine *m)
{
	(void)m;
	return lacks(0, "");
}

static const char *probe_wp(const struct machine *m)
{
	(void)m;
	return lacks(UFFD_FEATURE_PAGEFAULT_FLAG_WP, "a kernel without userfaultfd's write protection (Linux 5.7)");
}

/* ---- missing pages ---- */

/* A source, and nothing where it goes. */
static int reset_missing(struct worker *w, size_t slot)
{
	slot_fill(w, w->a, slot);
	return slot_empty(w, w->b, slot);
}

static int copy_slot(struct worker *w, size_t slot)
{
	return uffd_copy(w->team->uffd, slot_at(w, w->b, slot), slot_at(w, w->a, slot), w->team->cell->bytes,
			 &w->again);
}

static int answer_copy(struct worker *w)
{
	return copy_slot(w, w->slot);
}

const struct mech mech_sigbus_copy = {
	.key = "uffd_sigbus_copy",
	.what = "touch of a missing page answered in a SIGBUS handler: UFFDIO_COPY of the window",
	.pages = PAGES_SMALL,
	.features = UFFD_FEATURE_SIGBUS,
	.uffd_mode = MISSING,
	.signal = SIGBUS,
	.probe = probe_sigbus,
	.reset = reset_missing,
	.run = touch_once,
	.answer = answer_copy,
	.check = check_touched_once,
};

const struct mech mech_thread_copy = {
	.key = "uffd_thread_copy",
	.what = "touch of a missing page answered by a handler thread: UFFDIO_COPY of the window",
	.pages = PAGES_SMALL,
	.uffd_mode = MISSING,
	.handler_thread = true,
	.probe = probe_missing,
	.reset = reset_missing,
	.run = touch_once,
	.answer = answer_copy,
	.check = check_touched_once,
};

const struct mech mech_copy = {
	.key = "uffd_copy",
	.what = "UFFDIO_COPY into missing pages",
	.pages = PAGES_SMALL,
	.uffd_mode = MISSING,
	.probe = probe_missing,
	.reset = reset_missing,
	.run = copy_slot,
	.check = check_moved,
};

/* ---- UFFDIO_MOVE ---- */

static const char *probe_move(const struct machine *m)
{
	(void)m;
	return lacks(UFFD_MOVE_FEATURE, "a kernel without UFFDIO_MOVE (Linux 6.8)");
}

static int run_move(struct worker *w, size_t slot)
{
	return uffd_move(w->team->uffd, slot_at(w, w->b, slot), slot_at(w, w->a, slot), w->team->cell->bytes, &w->again,
			 &w->done[slot]);
}

/* What went is there, the rest where it was. */
static size_t check_half_moved(struct worker *w, size_t slot)
{
	size_t went = w->done[slot];
	uint64_t seed = worker_seed(w, slot);
	size_t at = pattern_wrong(slot_at(w, w->b, slot), 0, went, seed, 0);

	return at < went ? at : pattern_wrong(slot_at(w, w->a, slot), went, w->team->cell->bytes, seed, 0);
}

const struct mech mech_move = {
	.key = "uffd_move",
	.what = "UFFDIO_MOVE into missing pages",
	.pages = PAGES_BOTH,
	.balancing = true,
	.features = UFFD_MOVE_FEATURE,
	.uffd_mode = MISSING,
	.probe = probe_move,
	.reset = reset_source,
	.run = run_move,
	.check = check_moved,
	.check_refused = check_half_moved,
};

/* ---- write protection ---- */

/* What is protected still (a slot that was not run) must not meet the filling. */
static int reset_unprotected(struct worker *w, size_t slot)
{
	int r = uffd_protect(w->team->uffd, slot_at(w, w->b, slot), w->team->cell->bytes, false);

	return r ? r : slot_refill(w, w->b, slot);
}

static int reset_wp(struct worker *w, size_t slot)
{
	int r = reset_unprotected(w, slot);

	return r ? r : uffd_protect(w->team->uffd, slot_at(w, w->b, slot), w->team->cell->bytes, true);
}

static int answer_unprotect(struct worker *w)
{
	return uffd_protect(w->team->uffd, slot_at(w, w->b, w->slot), w->team->cell->bytes, false);
}

const struct mech mech_wp_sigbus = {
	.key = "uffd_wp_sigbus",
	.what = "write of a protected page answered in a SIGBUS handler: UFFDIO_WRITEPROTECT off for the window",
	.pages = PAGES_BOTH,
	.features = UFFD_FEATURE_SIGBUS | UFFD_FEATURE_PAGEFAULT_FLAG_WP,
	.uffd_mode = WP,
	.signal = SIGBUS,
	.probe = probe_wp,
	.reset = reset_wp,
	.run = touch_once,
	.answer = answer_unprotect,
	.check = check_touched_once,
};

const struct mech mech_wp_thread = {
	.key = "uffd_wp_thread",
	.what = "write of a protected page answered by a handler thread: UFFDIO_WRITEPROTECT off for the window",
	.pages = PAGES_BOTH,
	.features = UFFD_FEATURE_PAGEFAULT_FLAG_WP,
	.uffd_mode = WP,
	.handler_thread = true,
	.probe = probe_wp,
	.reset = reset_wp,
	.run = touch_once,
	.answer = answer_unprotect,
	.check = check_touched_once,
};

/* ---- asynchronous write protection ---- */

static const char *probe_async(const struct machine *m)
{
	(void)m;
	return lacks(UFFD_WP_ASYNC_FEATURE, "a kernel without userfaultfd's WP_ASYNC (Linux 6.7)");
}

const struct mech mech_wp_async = {
	.key = "uffd_wp_async",
	.what = "write of each page under asynchronous write protection: the kernel notes it",
	.pages = PAGES_BOTH,
	.features = UFFD_WP_ASYNC_FEATURE,
	.uffd_mode = WP,
	.probe = probe_async,
	.reset = reset_wp,
	.run = touch_all,
	.check = check_touched,
};

static int scan(int fd, char *p, size_t len, struct page_region *region)
{
	struct scan_arg a = {
		.size = sizeof(a),
		.flags = SCAN_WP_MATCHING | SCAN_CHECK_WPASYNC,
		.start = (uintptr_t)p,
		.end = (uintptr_t)p + len,
		.vec = (uintptr_t)region,
		.vec_len = 1,
		.category_mask = SCAN_IS_WRITTEN,
		.return_mask = SCAN_IS_WRITTEN,
	};
	return cdm_sys_ioctl(fd, IOC_SCAN, &a);
}

static int open_pagemap(struct team *team)
{
	team->fd = cdm_sys_open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC, 0);
	return team->fd < 0 ? team->fd : 0;
}

static const char *probe_scan(const struct machine *m)
{
	struct scan_arg nothing = {.size = sizeof(nothing)};
	struct team team;

	if (open_pagemap(&team))
		return text("/proc/self/pagemap", team.fd);
	int r = cdm_sys_ioctl(team.fd, IOC_SCAN, &nothing);
	cdm_sys_close(team.fd);
	return r == -ENOTTY ? "a kernel without PAGEMAP_SCAN (Linux 6.7)" : probe_async(m);
}

static int run_scan(struct worker *w, size_t slot)
{
	char *p = slot_at(w, w->b, slot);
	size_t bytes = w->team->cell->bytes;
	struct page_region found = {0, 0, 0};
	int r = scan(w->team->fd, p, bytes, &found);

	if (r < 0)
		return r;
	/* One region from end to end, for all was written. */
	return r == 1 && found.start == (uintptr_t)p && found.end == (uintptr_t)p + bytes ? 0 : -EILSEQ;
}

const struct mech mech_scan = {
	.key = "pagemap_scan_wp",
	.what = "PAGEMAP_SCAN of a written window, which protects it again",
	.pages = PAGES_BOTH,
	.features = UFFD_WP_ASYNC_FEATURE,
	.uffd_mode = WP,
	.probe = probe_scan,
	.open = open_pagemap,
	.reset = reset_unprotected,
	.run = run_scan,
	.check = check_moved,
};

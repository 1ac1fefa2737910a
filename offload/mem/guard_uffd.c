/* The guard of the `move` mechanism. See guard.h. */
#include <errno.h>
#include <signal.h>

#include "offload/base/config.h"
#include "offload/base/log.h"
#include "offload/base/sys.h"
#include "offload/mem/device.h"
#include "offload/mem/frames.h"
#include "offload/mem/guard.h"
#include "offload/mem/landing.h"
#include "offload/mem/pages.h"
#include "offload/mem/uffd.h"
#include "offload/mem/watcher.h"

/* Where fresh frames are filled: not registered, so that touching it is nobody's business. */
static uintptr_t staging;

static int staging_open(void)
{
	char *p = staging ? NULL
			  : cdm_sys_mmap(NULL, 2 * CDM_HUGE, PROT_READ | PROT_WRITE,
					 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (!p)
		return 0;
	if (cdm_sys_failed(p))
		return -ENOMEM;
	staging = cdm_round_up((uintptr_t)p, CDM_HUGE);
	return cdm_sys_madvise((void *)staging, CDM_HUGE, MADV_HUGEPAGE);
}

static int uffd_open(void)
{
	bool thread = cdm_config.touch == CDM_TOUCH_THREAD;
	int r = cdm_uffd_open(thread ? CDM_UFFD_MESSAGES : CDM_UFFD_SIGNALS);

	if (thread && (r || (r = cdm_watcher_start()))) {
		cdm_log(CDM_LOG_WARN, "CDM_TOUCH=thread does not work here (error %d%s): touches are signals", -r,
			r == -EPERM ? ", it needs CAP_SYS_PTRACE or /dev/userfaultfd" : "");
		cdm_config.touch = CDM_TOUCH_SIGNAL;
		cdm_uffd_forget();
		r = cdm_uffd_open(CDM_UFFD_SIGNALS);
	}
	if (!r)
		r = cdm_frames_open();
	return r ? r : staging_open();
}

static void uffd_forget(void)
{
	cdm_frames_forget();
	cdm_watcher_forget();
	cdm_uffd_forget();
}

/* Zero pages into the holes of [addr, addr+len). */
static int fill_holes(uintptr_t addr, size_t len)
{
	size_t filled;
	int r = 0;

	for (size_t at = 0; at < len && (!r || r == -EEXIST || r == -ENOENT); at += filled + (r ? CDM_PAGE : 0))
		r = cdm_uffd_zero(addr + at, len - at, &filled);
	return r == -EEXIST || r == -ENOENT ? 0 : r; /* ENOENT: not registered, the kernel does it by itself */
}

static bool there(const uint64_t exist[8], size_t i)
{
	return exist[i / 64] >> (i % 64) & 1;
}

/* Only the holes are asked for: a page that is there costs a system call of its own to find out. */
static int fill_chunk(uintptr_t addr, size_t len)
{
	size_t pages = len / CDM_PAGE;
	uint64_t exist[8];
	int r = 0;

	if (cdm_pages_present(addr, len, exist))
		return fill_holes(addr, len);
	for (size_t i = 0, to; !r && i < pages; i = to) {
		for (to = i + 1; to < pages && there(exist, to) == there(exist, i); to++)
			;
		if (!there(exist, i))
			r = fill_holes(addr + i * CDM_PAGE, (to - i) * CDM_PAGE);
	}
	return r;
}

static int uffd_fill(uintptr_t addr, size_t len)
{
	int r = 0;

	for (uintptr_t at = addr, to; !r && at < addr + len; at = to) {
		to = cdm_round_down(at, CDM_HUGE) + CDM_HUGE;
		to = to < addr + len ? to : addr + len;
		r = fill_chunk(at, to - at);
	}
	return r;
}

/* Every page is there, none is pinned, and from now on a write is a signal. */
static int out_shared(const struct cdm_landing *l, void *dva)
{
	cdm_land_back(l, 0);
	cdm_land_end(l, false);
	int r = cdm_land_holes(l) ? fill_holes(l->prog, l->len) : 0;
	if (!r)
		r = cdm_uffd_protect(l->prog, l->len, true);
	if (!r)
		r = cdm_device.mem->copy_out(dva, (void *)l->prog, l->len);
	if (r)
		cdm_uffd_protect(l->prog, l->len, false);
	return r;
}

static int out_device(const struct cdm_landing *l, char *dva)
{
	size_t pages = l->len / CDM_PAGE, to;
	int r = 0;

	for (size_t i = cdm_land_run(l, 0, &to); !r && i < pages; i = cdm_land_run(l, to, &to))
		r = cdm_device.mem->copy_out(dva + i * CDM_PAGE, (void *)(l->land + i * CDM_PAGE), (to - i) * CDM_PAGE);
	if (r)
		cdm_land_back(l, 0);
	cdm_land_end(l, !r); /* its frame serves the way home */
	return r;
}

static int uffd_out(uintptr_t addr, size_t len, void *dva, bool keep, size_t *fresh)
{
	struct cdm_landing l;
	int r = cdm_land(&l, addr, len);

	*fresh = r ? 0 : cdm_land_holes(&l);
	return r ? r : keep ? out_shared(&l, dva) : out_device(&l, dva);
}

static int uffd_withhold(uintptr_t addr, size_t len)
{
	return cdm_sys_madvise((void *)addr, len, MADV_DONTNEED);
}

static int uffd_reopen(uintptr_t addr, size_t len)
{
	return cdm_uffd_protect(addr, len, false);
}

/* Moves a filled frame into place; where the kernel will not, it copies. */
static int install(uintptr_t addr, uintptr_t frame, size_t len)
{
	size_t moved;
	int r = cdm_land_move(addr, frame, len, &moved);

	return r ? cdm_uffd_copy(addr + moved, frame + moved, len - moved) : 0;
}

/* Small windows go through a buffer that keeps its pages. Taken out of a huge page that had to be zeroed first and that
 * UFFDIO_MOVE splits, 4 KiB took 1.2 ms. */
#define SMALL ((size_t)512 << 10)
static _Alignas(4096) char bounce[SMALL];

static int home_small(uintptr_t addr, size_t len, const void *dva)
{
	int r = cdm_device.mem->copy_home(bounce, dva, len);

	return r ? r : cdm_uffd_copy(addr, (uintptr_t)bounce, len);
}

static int uffd_home(uintptr_t addr, size_t len, const void *dva, bool keep)
{
	if (len <= SMALL)
		return home_small(addr, len, dva);
	uintptr_t slot = len == CDM_HUGE ? cdm_frames_take_full() : 0;
	uintptr_t frame = slot ? slot : staging + (addr & (CDM_HUGE - 1));

	(void)keep;
	int r = cdm_device.mem->copy_home((void *)frame, dva, len);
	if (!r) {
		if (len ==
		    CDM_HUGE) /* an empty table of small pages goes, and a huge frame stays whole (see move_uffd.c) */
			cdm_sys_madvise((void *)addr, len, MADV_DONTNEED);
		r = install(addr, frame, len);
	}
	if (!slot)
		cdm_sys_madvise((void *)staging, CDM_HUGE, MADV_DONTNEED);
	else
		cdm_frames_put_drop(slot); /* empty, unless it had to be copied */
	return r;
}

/* Without memory they read as zeros as soon as somebody touches them. */
static void uffd_drop(uintptr_t addr, size_t len)
{
	(void)addr;
	(void)len;
}

/* fork() copies neither the registration nor the protection. */
static void uffd_child(uintptr_t addr, size_t len)
{
	(void)addr;
	(void)len;
}

/* A write to a missing page of a range that may have huge pages gets one allocated and zeroed (130 to 190 us) before the
 * kernel looks at the registration (__do_huge_pmd_anonymous_page, to at least 6.18). UFFDIO_MOVE does not mind the flag. */
static int uffd_arm(uintptr_t addr, size_t len)
{
	int r = cdm_uffd_register(addr, len);

	if (!r)
		(void)cdm_sys_madvise((void *)addr, len, MADV_NOHUGEPAGE);
	return r;
}

static void uffd_disarm(uintptr_t addr, size_t len)
{
	cdm_uffd_unregister(addr, len);
	(void)cdm_sys_madvise((void *)addr, len, MADV_HUGEPAGE);
}

const struct cdm_guard cdm_guard_uffd = {
	.name = "move",
	.signal = SIGBUS,
	.batch = CDM_HUGE,
	.open = uffd_open,
	.forget = uffd_forget,
	.arm = uffd_arm,
	.disarm = uffd_disarm,
	.out = uffd_out,
	.withhold = uffd_withhold,
	.reopen = uffd_reopen,
	.home = uffd_home,
	.drop = uffd_drop,
	.fill = uffd_fill,
	.child = uffd_child,
};

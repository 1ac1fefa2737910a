/* The guard of the `remap` mechanism. See guard.h. */
#include <errno.h>
#include <signal.h>

#include "offload/base/config.h"
#include "offload/base/log.h"
#include "offload/base/sys.h"
#include "offload/mem/crowd.h"
#include "offload/mem/device.h"
#include "offload/mem/guard.h"
#include "offload/mem/pages.h"

#define BATCH ((size_t)2 << 20)
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#define READ_WRITE (PROT_READ | PROT_WRITE)

static int staging_open(void);

static int guard_open(void)
{
	if (cdm_config.touch == CDM_TOUCH_THREAD)
		cdm_log(CDM_LOG_WARN, "CDM_TOUCH=thread needs the mechanism `move`: touches are signals");
	return staging_open();
}
static void guard_forget(void) {}

static int guard_arm(uintptr_t addr, size_t len)
{
	(void)addr;
	(void)len;
	return 0;
}

static void guard_disarm(uintptr_t addr, size_t len)
{
	(void)addr;
	(void)len;
}

static int protect(uintptr_t addr, size_t len, int prot)
{
	return cdm_sys_mprotect((void *)addr, len, prot);
}

static int guard_withhold(uintptr_t addr, size_t len)
{
	int r = protect(addr, len, PROT_NONE);

	if (!r)
		r = cdm_sys_madvise((void *)addr, len, MADV_DONTNEED);
	if (r)
		protect(addr, len, PROT_READ);
	return r;
}

static int guard_reopen(uintptr_t addr, size_t len)
{
	return protect(addr, len, READ_WRITE);
}

/* Bytes of the range that never had memory: nothing to copy where that is all of it. */
static size_t holes_of(uintptr_t addr, size_t len)
{
	uint64_t exist[8];
	size_t there = 0;

	if (cdm_pages_present(addr, len, exist))
		return 0;
	for (int i = 0; i < 8; i++)
		there += (size_t)__builtin_popcountll(exist[i]);
	return len - there * CDM_PAGE;
}

static int guard_out(uintptr_t addr, size_t len, void *dva, bool keep, size_t *fresh)
{
	int r = cdm_crowded() ? -ENOSPC : protect(addr, len, PROT_READ);

	*fresh = holes_of(addr, len);
	if (!r && *fresh < len)
		r = cdm_device.mem->copy_out(dva, (void *)addr, len);
	if (!r && !keep)
		r = guard_withhold(addr, len);
	if (r) /* a part may have changed */
		protect(addr, len, READ_WRITE);
	return r;
}

/* Where the bytes that come home are put before they go into place. Reserved early, and anew as soon as the last one has gone:
 * under a limit of the address space there might be none when it is needed. */
static char *staging; /* NULL, or a whole 2 MiB */

static int staging_open(void)
{
	if (staging)
		return 0;
	char *p = cdm_sys_mmap(NULL, 2 * CDM_HUGE, READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (cdm_sys_failed(p))
		return -ENOMEM;
	char *at = (char *)cdm_round_up((uintptr_t)p, CDM_HUGE);
	cdm_sys_munmap(p, (size_t)(at - p));
	cdm_sys_munmap(at + CDM_HUGE, CDM_HUGE - (size_t)(at - p));
	cdm_sys_madvise(at, CDM_HUGE, MADV_HUGEPAGE);
	staging = at;
	return 0;
}

/* What went into place has left a hole in the staging, as large as what it replaced: the limit allows as much again. */
static void staging_mend(char *hole, size_t len)
{
	void *p = cdm_sys_mmap(hole, len, READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE,
			       -1, 0);

	if (p == hole) {
		cdm_sys_madvise(hole, len, MADV_HUGEPAGE);
		return;
	}
	if (!cdm_sys_failed(p)) /* a kernel before 4.17 takes the address for a hint */
		cdm_sys_munmap(p, len);
	cdm_sys_munmap(staging, (size_t)(hole - staging));
	cdm_sys_munmap(hole + len, (size_t)(staging + CDM_HUGE - hole - len));
	staging = NULL;
	staging_open();
}

static int guard_home(uintptr_t addr, size_t len, const void *dva, bool keep)
{
	int r = staging_open();

	if (r)
		return r;
	char *at = staging + (addr & (CDM_HUGE - 1)); /* the same place in its 2 MiB: a huge page stays one */
	r = cdm_device.mem->copy_home(at, dva, len);
	if (!r && keep)
		r = cdm_sys_mprotect(at, len, PROT_READ);
	if (!r) {
		void *to = cdm_sys_mremap(at, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)addr);
		r = to == (void *)addr ? 0 : (int)(long)to;
	}
	if (!r)
		staging_mend(at, len);
	else
		protect((uintptr_t)at, len, READ_WRITE);
	return r;
}

/* /proc/self/mem writes to memory whatever its protection (FOLL_FORCE, mm/gup.c): whoever touches it waits until the range is
 * opened. Through a buffer on the stack, as the device's memory may not be the kernel's to read. */
static int guard_force(uintptr_t addr, size_t len, const void *dva)
{
	char page[CDM_PAGE];
	int fd = cdm_sys_open("/proc/self/mem", O_RDWR | O_CLOEXEC, 0), r = fd < 0 ? fd : 0;

	for (size_t at = 0; !r && at < len; at += CDM_PAGE) {
		r = cdm_device.mem->copy_home(page, (const char *)dva + at, CDM_PAGE);
		if (!r && cdm_sys6(SYS_pwrite64, fd, (long)page, CDM_PAGE, (long)(addr + at), 0, 0) != (long)CDM_PAGE)
			r = -EIO;
	}
	if (fd >= 0)
		cdm_sys_close(fd);
	return r;
}

static void guard_drop(uintptr_t addr, size_t len)
{
	protect(addr, len, READ_WRITE);
}

static int guard_fill(uintptr_t addr, size_t len)
{
	(void)addr;
	(void)len;
	return 0;
}

const struct cdm_guard cdm_guard_mprotect = {
	.name = "remap",
	.signal = SIGSEGV,
	.batch = BATCH,
	.keeps = true,
	.open = guard_open,
	.forget = guard_forget,
	.arm = guard_arm,
	.disarm = guard_disarm,
	.out = guard_out,
	.withhold = guard_withhold,
	.reopen = guard_reopen,
	.home = guard_home,
	.force = guard_force,
	.drop = guard_drop,
	.fill = guard_fill,
	.child = guard_drop,
};

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
#define READ_WRITE (PROT_READ | PROT_WRITE)

static int guard_open(void)
{
	if (cdm_config.touch == CDM_TOUCH_THREAD)
		cdm_log(CDM_LOG_WARN, "CDM_TOUCH=thread needs the mechanism `move`: touches are signals");
	return 0;
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

static int guard_home(uintptr_t addr, size_t len, const void *dva, bool keep)
{
	char *frame =
		cdm_sys_mmap(NULL, len + CDM_HUGE, READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (cdm_sys_failed(frame))
		return -ENOMEM;
	/* At the same offset in its 2 MiB, so that a huge page stays one. */
	char *at = (char *)cdm_round_up((uintptr_t)frame, CDM_HUGE) + (addr & (CDM_HUGE - 1));
	at = at + len > frame + len + CDM_HUGE ? frame : at;
	if (len == CDM_HUGE)
		cdm_sys_madvise(at, len, MADV_HUGEPAGE);
	int r = cdm_device.mem->copy_home(at, dva, len);
	if (!r && keep)
		r = cdm_sys_mprotect(at, len, PROT_READ);
	if (!r) {
		void *to = cdm_sys_mremap(at, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)addr);
		r = to == (void *)addr ? 0 : (int)(long)to;
	}
	/* All of it, or what is left around the part that went. */
	cdm_sys_munmap(frame, (size_t)(at - frame));
	cdm_sys_munmap(r ? at : at + len, (size_t)(frame + len + CDM_HUGE - at) - (r ? 0 : len));
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
	.drop = guard_drop,
	.fill = guard_fill,
	.child = guard_drop,
};

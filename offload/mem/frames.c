#include "offload/mem/frames.h"

#include <errno.h>

#include "offload/base/sys.h"
#include "offload/mem/uffd.h"

#define SLOTS 32    /* 64 MiB of addresses */
#define KEEP_FULL 8 /* at most 16 MiB of memory between moves */

static uintptr_t window;
static uintptr_t empty[SLOTS], full[SLOTS];
static int empties, fulls;

int cdm_frames_open(void)
{
	size_t len = SLOTS * CDM_HUGE;

	if (window)
		return 0;
	char *p = cdm_sys_mmap(NULL, len + CDM_HUGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (cdm_sys_failed(p))
		return -ENOMEM;
	char *at = (char *)cdm_round_up((uintptr_t)p, CDM_HUGE);
	if (at > p)
		cdm_sys_munmap(p, (size_t)(at - p));
	cdm_sys_munmap(at + len, CDM_HUGE - (size_t)(at - p));
	cdm_sys_madvise(at, len, MADV_HUGEPAGE);
	int r = cdm_uffd_register((uintptr_t)at, len);
	if (r) {
		cdm_sys_munmap(at, len);
		return r;
	}
	window = (uintptr_t)at;
	fulls = 0;
	for (empties = 0; empties < SLOTS; empties++)
		empty[empties] = window + (size_t)empties * CDM_HUGE;
	return 0;
}

uintptr_t cdm_frames_take_empty(void)
{
	if (!empties && fulls)
		cdm_frames_put_drop(full[--fulls]);
	return empties ? empty[--empties] : 0;
}

uintptr_t cdm_frames_take_full(void)
{
	return fulls ? full[--fulls] : 0;
}

void cdm_frames_put_empty(uintptr_t slot)
{
	empty[empties++] = slot;
}

void cdm_frames_put_drop(uintptr_t slot)
{
	cdm_sys_madvise((void *)slot, CDM_HUGE, MADV_DONTNEED);
	cdm_frames_put_empty(slot);
}

void cdm_frames_put_full(uintptr_t slot)
{
	if (fulls < KEEP_FULL)
		full[fulls++] = slot;
	else
		cdm_frames_put_drop(slot);
}

void cdm_frames_trim(void)
{
	while (fulls)
		cdm_frames_put_drop(full[--fulls]);
}

void cdm_frames_forget(void)
{
	if (window)
		cdm_sys_munmap((void *)window, SLOTS * CDM_HUGE);
	window = 0;
	empties = fulls = 0;
}

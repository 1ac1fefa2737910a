/* The `remap` mechanism: write-protect, copy, mremap the copy over the original. See move.h.
 *
 * Half of a swap's time is the kernel's zeroing of the new frames: a swap reaches 0.45 x a memcpy between warm pages. The frames
 * that it replaces cannot serve the next one: only mremap over them is atomic, and that frees them; moved away first they
 * would leave a gap in which a reader finds zeros. Tried: 2 MiB populated at a time, so that the copy finds them in the cache,
 * 0.46 with streaming stores and 0.48 with plain ones; plain stores that fault them in, 0.54, but then memory that runs out in
 * the middle kills the program, where populating returns an error and the call runs on the host.
 *
 * Each swap may leave the range a mapping of its own, so the batch is large and the number of mappings is
 * watched: near vm.max_map_count the program's own munmap would fail.
 */
#include <errno.h>
#include <string.h>

#include "offload/base/copy.h"
#include "offload/base/sys.h"
#include "offload/mem/crowd.h"
#include "offload/mem/device.h"
#include "offload/mem/move.h"
#include "offload/mem/pages.h"

#define BATCH ((size_t)32 << 20)

static int remap_open(void)
{
	return 0;
}

static int remap_begin(uintptr_t addr, size_t len)
{
	(void)addr;
	(void)len;
	return cdm_crowded() ? -ENOSPC : 0;
}

static void remap_end(uintptr_t addr, size_t len)
{
	(void)addr;
	(void)len;
}

/* Copies the pages that have memory; the others already read as zeros in the new frame. */
static size_t copy_present(char *to, uintptr_t from, size_t len)
{
	size_t holes = 0;

	for (size_t at = 0, n; at < len; at += n) {
		uint64_t exist[8];
		n = CDM_HUGE - ((from + at) & (CDM_HUGE - 1));
		n = n < len - at ? n : len - at;
		bool known = !cdm_pages_present(from + at, n, exist);
		uint64_t any = 0;
		for (int i = 0; i < 8; i++)
			any |= exist[i];
		if (known && !any)
			holes += n;
		else
			cdm_copy_large(to + at, (void *)(from + at), n);
	}
	return holes;
}

static int remap_swap(uintptr_t addr, size_t len, bool to_device, size_t *fresh)
{
	void *frame, *old = (void *)addr;

	(void)to_device; /* the emulated device's frames are the host's; a bound arena would choose here */
	int r = cdm_device.mem->reserve(len, &frame);
	if (r)
		return r;
	r = cdm_device.mem->commit(frame, len);
	if (!r) {
		r = cdm_sys_mprotect(old, len, PROT_READ);
		if (r) /* a part may have changed */
			cdm_sys_mprotect(old, len, PROT_READ | PROT_WRITE);
	}
	if (r) {
		cdm_device.mem->unreserve(frame, len);
		return r;
	}
	*fresh = copy_present(frame, addr, len);
	void *at = cdm_sys_mremap(frame, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, old);
	if (at == old)
		return 0; /* the reservation went with the pages */
	cdm_sys_mprotect(old, len, PROT_READ | PROT_WRITE);
	cdm_device.mem->unreserve(frame, len);
	return (int)(long)at;
}

static void remap_ready(uintptr_t addr, size_t len)
{
	(void)addr;
	(void)len;
}

static void remap_trim(void) {}
static void remap_forget(void) {}

const struct cdm_mover cdm_mover_remap = {
	.name = "remap",
	.batch = BATCH,
	.open = remap_open,
	.ready = remap_ready,
	.begin = remap_begin,
	.end = remap_end,
	.swap = remap_swap,
	.trim = remap_trim,
	.forget = remap_forget,
};

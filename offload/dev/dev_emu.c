/* The emulated devices' memory: anonymous, 2 MiB-backed memory with an enforced capacity.
 *
 * The kernel is the arena's allocator: a reservation is an inaccessible mapping, committing makes it writable
 * and fills it with (huge) pages. The capacity is a count of bytes, because frames leave their reservation for
 * the program's addresses. Frames are interchangeable with the host's: when a region moves here, the frame that
 * it leaves behind can serve the next arrival, so a steady stream of moves costs copies and no fresh pages.
 *
 * The private device is the same arena without that: its memory stays where it was reserved, at other addresses than
 * the program's, and whoever computes there uses these.
 */
#include <errno.h>
#include <stdatomic.h>

#include "offload/base/copy.h"
#include "offload/base/sys.h"
#include "offload/dev/dev.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static size_t limit;
static _Atomic size_t used, peak;

static int emu_open(size_t capacity)
{
	limit = capacity;
	return 0;
}

static int emu_charge(size_t bytes)
{
	size_t now = atomic_load_explicit(&used, memory_order_relaxed);

	do {
		if (bytes > limit - now)
			return -ENOSPC;
	} while (!atomic_compare_exchange_weak(&used, &now, now + bytes));
	now += bytes;
	size_t top = atomic_load_explicit(&peak, memory_order_relaxed);
	while (now > top && !atomic_compare_exchange_weak(&peak, &top, now))
		;
	return 0;
}

static void emu_discharge(size_t bytes)
{
	atomic_fetch_sub(&used, bytes);
}

static int reserve(size_t len, int prot, void **dva)
{
	size_t align = len >= CDM_HUGE ? CDM_HUGE : CDM_PAGE;
	char *p = cdm_sys_mmap(NULL, len + align, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (cdm_sys_failed(p))
		return -ENOMEM;
	char *at = (char *)cdm_round_up((uintptr_t)p, align);
	if (at > p)
		cdm_sys_munmap(p, (size_t)(at - p));
	cdm_sys_munmap(at + len, align - (size_t)(at - p));
	*dva = at;
	return 0;
}

static int emu_reserve(size_t len, void **dva)
{
	return reserve(len, PROT_NONE, dva);
}

/* Readable all over, as compute libraries read around their operands (see CDM_BLOCK_MARGIN in mem/block.c). */
static int private_reserve(size_t len, void **dva)
{
	int r = reserve(len, PROT_READ | PROT_WRITE, dva);

	if (!r && len >= CDM_HUGE)
		cdm_sys_madvise(*dva, len, MADV_HUGEPAGE);
	return r;
}

static int populate(void *dva, size_t len)
{
	int r = cdm_sys_madvise(dva, len, MADV_POPULATE_WRITE);
	return r == -EINVAL ? 0 : r; /* before 5.14: the first touch does it */
}

static int emu_commit(void *dva, size_t len)
{
	int r = cdm_sys_mprotect(dva, len, PROT_READ | PROT_WRITE);

	if (r)
		return r;
	if (len >= CDM_HUGE)
		cdm_sys_madvise(dva, len, MADV_HUGEPAGE);
	return populate(dva, len);
}

static void emu_decommit(void *dva, size_t len)
{
	cdm_sys_madvise(dva, len, MADV_DONTNEED);
}

static void emu_unreserve(void *dva, size_t len)
{
	cdm_sys_munmap(dva, len);
}

static int emu_copy(void *dst, const void *src, size_t len)
{
	cdm_copy_large(dst, src, len);
	return 0;
}

static size_t emu_capacity(void)
{
	return limit;
}
static size_t emu_in_use(void)
{
	return atomic_load_explicit(&used, memory_order_relaxed);
}
static size_t emu_peak(void)
{
	return atomic_load_explicit(&peak, memory_order_relaxed);
}

const struct cdm_mem_ops cdm_mem_emu = {
	.name = "emu",
	.coherent = true,
	.interchangeable = true,
	.open = emu_open,
	.reserve = emu_reserve,
	.commit = emu_commit,
	.decommit = emu_decommit,
	.unreserve = emu_unreserve,
	.copy_out = emu_copy,
	.copy_home = emu_copy,
	.charge = emu_charge,
	.discharge = emu_discharge,
	.capacity = emu_capacity,
	.in_use = emu_in_use,
	.peak = emu_peak,
};

const struct cdm_mem_ops cdm_mem_emu_private = {
	.name = "emu:private",
	.open = emu_open,
	.reserve = private_reserve,
	.commit = populate,
	.decommit = emu_decommit,
	.unreserve = emu_unreserve,
	.copy_out = emu_copy,
	.copy_home = emu_copy,
	.charge = emu_charge,
	.discharge = emu_discharge,
	.capacity = emu_capacity,
	.in_use = emu_in_use,
	.peak = emu_peak,
};

#include "offload/base/arena.h"

#include <stdatomic.h>
#include <stdint.h>

#include "offload/base/lock.h"
#include "offload/base/sys.h"

/* A bump allocator. [cursor, end) is the unused rest of the current chunk; the first chunk is static, so that a
 * program that libcdm has nothing to do for pays no system call.
 *
 * A thread may fork while another holds the lock, hence the order of the stores in refill(): at any moment
 * [cursor, end) is either empty or memory that nobody owns. */
#define CHUNK ((size_t)1 << 20)
#define ALIGN ((size_t)16)

static char first[16384] __attribute__((aligned(64)));
static cdm_lock lock;
static _Atomic uintptr_t cursor, end;
static _Atomic size_t taken;
static _Atomic int begun;

static char *from_kernel(size_t n)
{
	char *p = cdm_sys_mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (cdm_sys_failed(p))
		return NULL;
	atomic_fetch_add_explicit(&taken, n, memory_order_relaxed);
	return p;
}

static void refill(char *p, size_t n)
{
	atomic_store_explicit(&end, 0, memory_order_release);
	atomic_store_explicit(&cursor, (uintptr_t)p, memory_order_release);
	atomic_store_explicit(&end, (uintptr_t)p + n, memory_order_release);
}

/* n is a multiple of ALIGN and at most CHUNK / 4. Caller holds the lock. */
static void *carve(size_t n)
{
	if (!begun) {
		refill(first, sizeof(first));
		begun = 1;
	}
	if (end < cursor || end - cursor < n) {
		char *p = from_kernel(CHUNK);
		if (!p)
			return NULL;
		refill(p, CHUNK);
	}
	return (void *)atomic_fetch_add_explicit(&cursor, n, memory_order_relaxed);
}

void *cdm_arena_alloc(size_t n)
{
	if (n > SIZE_MAX / 2)
		return NULL;
	n = cdm_round_up(n ? n : 1, ALIGN);
	if (n > CHUNK / 4)
		return from_kernel(cdm_round_up(n, CDM_PAGE));
	cdm_lock_take(&lock);
	void *p = carve(n);
	cdm_lock_drop(&lock);
	return p;
}

size_t cdm_arena_bytes(void)
{
	return atomic_load_explicit(&taken, memory_order_relaxed);
}

void cdm_arena_after_fork(void)
{
	cdm_lock_reset(&lock);
}

/* malloc and friends. Requests below CDM_MIN_ALLOC go to the next allocator untouched: one comparison and a jump.
 *
 * A block of libcdm's starts on a page; nearly no pointer of libc's does. So free(), realloc() and
 * malloc_usable_size() ask the shadow page map about page-aligned pointers only.
 */
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "offload/offload.h"
#include "shim/hook.h"

/* glibc's malloc under its second name. */
extern void *__libc_malloc(size_t n);

#define PAGE_MASK ((uintptr_t)4095)
#define likely(x) __builtin_expect(!!(x), 1)
#define COLD __attribute__((noinline, cold)) /* apart, so that the fast path saves no register */
#define SITE __builtin_return_address(0)

/* Requests from this size are blocks: CDM_MIN_ALLOC once the engine is ready. Never, when another preloaded
 * allocator comes first: it would be handed libcdm's blocks to free. */
static size_t block_from = SIZE_MAX;
static bool malloc_arrives, realloc_arrives; /* the program's calls, seen by cdm_hook_fire() */

void cdm_malloc_start(void)
{
	cdm_hook_fire();
	bool arrive = malloc_arrives && realloc_arrives;
	if (arrive)
		block_from = cdm_min_alloc;
	cdm_engine_fork_holds(arrive && cdm_next.malloc == __libc_malloc);
}

/* An allocation that is not small. SIZE_MAX is nobody's but cdm_hook_fire()'s, before the start. */
static inline void *block_alloc(size_t n, size_t align, bool zero, const void *site, bool *arrives)
{
	if (n == SIZE_MAX)
		*arrives = true;
	return block_from == SIZE_MAX ? NULL : cdm_block_alloc(n, align, zero, site);
}

static inline bool maybe_ours(const void *p)
{
	return !((uintptr_t)p & PAGE_MASK) && p;
}

/* A failing block is tried at libc, which may have small pieces left, and which sets errno. */
static void *block_or(void *block, size_t align, size_t n)
{
	return block ? block : cdm_next.memalign(align, n);
}

static COLD void *malloc_block(size_t n, const void *site)
{
	void *p = block_alloc(n, 1, false, site, &malloc_arrives);
	return p ? p : cdm_next.malloc(n);
}

CDM_EXPORT void *malloc(size_t n)
{
	if (likely(n < block_from))
		return cdm_next.malloc(n);
	return malloc_block(n, SITE);
}

/* What overflows is libc's to refuse. */
static COLD void *calloc_block(size_t n, size_t each, const void *site)
{
	size_t bytes;
	void *p = NULL;

	if (!__builtin_mul_overflow(n, each, &bytes))
		p = cdm_block_alloc(bytes, 1, true, site);
	return p ? p : cdm_next.calloc(n, each);
}

CDM_EXPORT void *calloc(size_t n, size_t each)
{
	size_t bytes;

	if (likely(!__builtin_mul_overflow(n, each, &bytes) && bytes < block_from))
		return cdm_next.calloc(n, each);
	return calloc_block(n, each, SITE);
}

/* A pointer that may be a block's. */
static COLD void free_page(void *p)
{
	int saved = errno;
	bool ours = cdm_block_free(p);

	errno = saved;
	if (!ours)
		cdm_next.free(p);
}

CDM_EXPORT void free(void *p)
{
	if (likely(!maybe_ours(p)))
		cdm_next.free(p);
	else
		free_page(p);
}

/* One of libcdm's blocks moves to libc: it has become small, or libcdm has no memory for it. */
static void *move_to_libc(void *p, size_t n)
{
	size_t had = cdm_block_size(p);
	void *q = cdm_next.malloc(n);

	if (q) {
		memcpy(q, p, had < n ? had : n);
		cdm_block_free(p);
	}
	return q;
}

/* One of libc's grows into a block. */
static void *grow_to_block(void *p, size_t n, const void *site)
{
	void *q = block_alloc(n, 1, false, site, &realloc_arrives);
	size_t had;

	if (!q)
		return cdm_next.realloc(p, n);
	had = cdm_next.malloc_usable_size(p);
	memcpy(q, p, had < n ? had : n);
	cdm_next.free(p);
	return q;
}

static void *realloc_block(void *p, size_t n, const void *site)
{
	void *q;

	if (n == 0) { /* as glibc: frees */
		cdm_block_free(p);
		return NULL;
	}
	q = n < block_from ? NULL : cdm_block_realloc(p, n, site);
	return q ? q : move_to_libc(p, n);
}

static COLD void *realloc_slowly(void *p, size_t n, const void *site)
{
	if (maybe_ours(p) && cdm_block_size(p))
		return realloc_block(p, n, site);
	return n < block_from ? cdm_next.realloc(p, n) : grow_to_block(p, n, site);
}

static inline void *realloc_any(void *p, size_t n, const void *site)
{
	if (likely(!maybe_ours(p) && n < block_from))
		return cdm_next.realloc(p, n);
	return realloc_slowly(p, n, site);
}

CDM_EXPORT void *realloc(void *p, size_t n)
{
	return realloc_any(p, n, SITE);
}

CDM_EXPORT void *reallocarray(void *p, size_t n, size_t each)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, each, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	if (!realloc_arrives)
		return cdm_hook_realloc(p, bytes);
	return realloc_any(p, bytes, SITE);
}

static bool power_of_two(size_t n)
{
	return n && !(n & (n - 1));
}

CDM_EXPORT void *memalign(size_t align, size_t n)
{
	if (likely(n < block_from) || !power_of_two(align))
		return cdm_next.memalign(align, n);
	return block_or(cdm_block_alloc(n, align, false, SITE), align, n);
}

CDM_EXPORT void *aligned_alloc(size_t align, size_t n)
{
	if (likely(n < block_from) || !power_of_two(align))
		return cdm_next.aligned_alloc(align, n);
	return block_or(cdm_block_alloc(n, align, false, SITE), align, n);
}

CDM_EXPORT int posix_memalign(void **out, size_t align, size_t n)
{
	if (likely(n < block_from) || !power_of_two(align) || align % sizeof(void *))
		return cdm_next.posix_memalign(out, align, n);
	void *p = cdm_block_alloc(n, align, false, SITE);
	if (!p)
		return cdm_next.posix_memalign(out, align, n);
	*out = p;
	return 0;
}

CDM_EXPORT void *valloc(size_t n)
{
	if (likely(n < block_from))
		return cdm_next.valloc(n);
	return block_or(cdm_block_alloc(n, PAGE_MASK + 1, false, SITE), PAGE_MASK + 1, n);
}

CDM_EXPORT void *pvalloc(size_t n)
{
	if (likely(n < block_from) || n > PTRDIFF_MAX)
		return cdm_next.pvalloc(n);
	return block_or(cdm_block_alloc((n + PAGE_MASK) & ~PAGE_MASK, PAGE_MASK + 1, false, SITE), PAGE_MASK + 1, n);
}

CDM_EXPORT size_t malloc_usable_size(void *p)
{
	if (__builtin_expect(maybe_ours(p), 0)) {
		size_t n = cdm_block_size(p);
		if (n)
			return n;
	}
	return cdm_next.malloc_usable_size(p);
}

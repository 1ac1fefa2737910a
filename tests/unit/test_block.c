/* Blocks: alignment, reuse, realloc, and the books after a random life. */
#include <stdlib.h>

#include "tests/unit/engine.h"

static void start(void)
{
	engine_start(CDM_MECHANISM_AUTO, CDM_POLICY_FIRST_USE, 64 << 20);
}

TestSuite(block, .init = start);

Test(block, is_aligned_zeroed_and_known)
{
	for (size_t size = 1 << 20; size <= 64 << 20; size = size * 3 / 2 + 1) {
		char *p = cdm_block_alloc(size, 1, true, NULL);
		cr_assert_not_null(p);
		cr_assert_eq((uintptr_t)p % (size >= CDM_HUGE ? CDM_HUGE : CDM_PAGE), 0);
		cr_assert_geq(cdm_block_size(p), size);
		cr_assert_eq(cdm_block_size(p + CDM_PAGE), 0, "only its start is a block");
		for (size_t i = 0; i < size; i += 4093)
			cr_assert_eq(p[i], 0);
		memset(p, 1, size);
		cr_assert(cdm_block_free(p));
		cr_assert_not(cdm_block_free(p), "a second free is refused");
	}
	cr_assert(cdm_regions_valid());
}

Test(block, freed_memory_is_reused_and_calloc_of_it_is_zero)
{
	char *p = cdm_block_alloc(8 << 20, 1, false, NULL);
	memset(p, 1, 8 << 20);
	cdm_block_free(p);
	char *q = cdm_block_alloc(8 << 20, 1, true, NULL);
	cr_assert_eq(p, q);
	for (size_t i = 0; i < 8 << 20; i++)
		cr_assert_eq(q[i], 0);
}

Test(block, impossible_sizes_are_refused)
{
	cr_assert_null(cdm_block_alloc(SIZE_MAX, 1, false, NULL));
	cr_assert_null(cdm_block_alloc(PTRDIFF_MAX, 1, false, NULL));
	cr_assert_null(cdm_block_alloc((size_t)1 << 46, 1, false, NULL));
	cr_assert_null(cdm_block_alloc(1 << 20, (size_t)1 << 50, false, NULL));
}

Test(block, realloc_keeps_the_bytes)
{
	size_t size = 1 << 20;
	unsigned char *p = cdm_block_alloc(size, 1, false, NULL);

	for (size_t i = 0; i < size; i++)
		p[i] = (unsigned char)(i * 7 >> 3);
	for (int round = 0; round < 30; round++) {
		size_t to = (size_t)(1 + (round * 37) % 40) << 20;
		p = cdm_block_realloc(p, to, NULL);
		cr_assert_not_null(p);
		size_t keep = to < size ? to : size;
		for (size_t i = 0; i < keep; i += 61)
			cr_assert_eq(p[i], (unsigned char)(i * 7 >> 3), "round %d byte %zu", round, i);
		for (size_t i = 0; i < to; i++)
			p[i] = (unsigned char)(i * 7 >> 3);
		size = to;
		cr_assert(cdm_regions_valid());
	}
}

Test(block, mappings_split_merge_and_move)
{
	char *p = cdm_map_mmap(NULL, 16 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, NULL);
	memset(p, 3, 16 << 20);
	cr_assert_eq(cdm_map_munmap(p + (4 << 20) + 8192, 1 << 20), 0);
	cr_assert(cdm_regions_valid());
	cr_assert_neq(cdm_region_get(cdm_pagemap_get((uintptr_t)p)),
		      cdm_region_get(cdm_pagemap_get((uintptr_t)p + (12 << 20))));
	cr_assert_eq(cdm_pagemap_get((uintptr_t)p + (4 << 20) + 8192), 0);
	char *q = cdm_map_mremap(p, 4 << 20, 8 << 20, MREMAP_MAYMOVE, NULL);
	cr_assert(!cdm_sys_failed(q));
	cr_assert_eq(q[(4 << 20) - 1], 3);
	cr_assert_eq(q[4 << 20], 0);
	cr_assert(cdm_regions_valid());
	cr_assert_eq(cdm_map_mprotect(q, 1 << 20, PROT_READ), 0);
	cr_assert_eq(cdm_pagemap_get((uintptr_t)q) & CDM_WORD_WRITE, 0);
	cr_assert_neq(cdm_pagemap_get((uintptr_t)q + (1 << 20)) & CDM_WORD_WRITE, 0);
	cr_assert_eq(cdm_map_munmap(q, 8 << 20), 0);
	cr_assert(cdm_pagemap_empty((uintptr_t)q, 8 << 20));
	cr_assert_eq(cdm_map_munmap(p + 1, 100), -22);
	cr_assert(cdm_regions_valid());
}

/* Kernels of BLAS libraries load beyond the last element. */
Test(block, memory_goes_on_behind)
{
	engine_start(CDM_MECHANISM_AUTO, CDM_POLICY_FIRST_USE, (size_t)64 << 20);
	for (size_t size = 1 << 20; size < (size_t)9 << 20; size += 1234567) {
		volatile char *p = cdm_block_alloc(size, 16, false, NULL), *end = p + cdm_block_size((void *)p);
		int sum = 0;
		cr_assert_not_null((void *)p);
		for (size_t i = 0; i < (size_t)256 << 10; i += 4096)
			sum += end[i];
		p = cdm_block_realloc((void *)p, 3 * size, NULL);
		end = p + cdm_block_size((void *)p);
		sum += end[0] + end[(256 << 10) - 1];
		p = cdm_block_realloc((void *)p, size, NULL);
		end = p + cdm_block_size((void *)p);
		sum += end[0] + end[(256 << 10) - 1];
		cr_assert_eq(sum, 0);
		cr_assert(cdm_block_free((void *)p));
	}
	cr_assert(cdm_regions_valid());
}

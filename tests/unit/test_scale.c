/* 1 TiB of address space in 1,000,000 regions: the region table and the page map know each page, stay small, and stay whole
 * through cuts, splits and moves. No memory is behind: neither needs the mapping. What a step costs is counted, not timed, by
 * tests/counts (inside.c): the same number of instructions among 1,000 regions and 1,000,000. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "offload/base/arena.h"
#include "offload/mem/region.h"

#define BASE ((uintptr_t)0x100000000000)
#define FAR (BASE + ((uintptr_t)4 << 40))
#define TIB ((size_t)1 << 40)
#define BOTH (PROT_READ | PROT_WRITE)

/* Under the sanitizers everything costs several times as much: the same in a smaller world. */
#if defined __SANITIZE_ADDRESS__
#define REGIONS 50000u
#elif defined __has_feature
#if __has_feature(address_sanitizer)
#define REGIONS 50000u
#endif
#endif
#ifndef REGIONS
#define REGIONS 1000000u
#endif

static uint32_t *id; /* by place */
static uint32_t seed = 20261121;
static uint64_t mask;

static uint32_t any(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)seed * n >> 32);
}

static void start(void)
{
	printf("seed %u\n", seed);
	id = calloc(REGIONS, sizeof *id);
	cdm_map_enter(&mask);
}

static void finish(void)
{
	cdm_map_leave(&mask);
	cr_assert(cdm_regions_valid());
}

TestSuite(scale, .init = start, .timeout = 170);

static struct cdm_region *make(uintptr_t at, size_t len)
{
	struct cdm_region *r = cdm_region_create(at, len, BOTH, CDM_ORIGIN_MMAP, true, NULL);

	cr_assert_not_null(r);
	return r;
}

/* Regions of len, a multiple of stride's page, at each stride, in an order that jumps about. */
static void populate(size_t stride, size_t len)
{
	for (uint32_t i = 0; i < REGIONS; i++) {
		uint32_t k = (uint32_t)((uint64_t)i * 7919 % REGIONS);
		id[k] = make(BASE + k * stride, len)->id;
	}
}

/* The region, or none, of any page. */
static void check_pages(size_t stride, size_t len, int pages)
{
	while (pages--) {
		uint32_t k = any(REGIONS);
		size_t at = any((uint32_t)(stride / CDM_PAGE)) * CDM_PAGE;
		cdm_word word = cdm_pagemap_get(BASE + k * stride + at);
		cr_assert_eq(word & CDM_WORD_REGION, at < len ? id[k] : 0, "page %zu of place %u", at / CDM_PAGE, k);
		if (at < len)
			cr_assert_eq(cdm_region_get(word)->base, BASE + k * stride);
	}
}

static double share(size_t before, size_t tracked)
{
	return 100.0 * (double)(cdm_arena_bytes() - before) / (double)tracked;
}

Test(scale, a_tebibyte_in_a_million_regions)
{
	size_t before = cdm_arena_bytes(), stride = cdm_round_down(TIB / REGIONS, CDM_PAGE);
	size_t len = stride - CDM_PAGE;

	populate(stride, len);
	check_pages(stride, len, 2000000);
	printf("metadata: %.3f %% of %zu MiB\n", share(before, TIB), TIB >> 20);
	cr_assert_leq(share(before, TIB), 0.2);
	finish();
}

/* Some pages of each are protected or on the device: every 2 MiB need a leaf, and 64 KiB a descriptor. */
Test(scale, many_small_regions_of_mixed_words)
{
	size_t before = cdm_arena_bytes(), len = 64 << 10, tracked = REGIONS * len;

	populate(len, len);
	for (uint32_t k = 0; k < REGIONS; k++) {
		uintptr_t at = BASE + k * len + any(12) * CDM_PAGE;
		cr_assert_eq(cdm_pagemap_update(at, CDM_PAGE, CDM_WORD_WRITE, 0), 0);
		if (k % 3 == 0)
			cr_assert_eq(cdm_region_state(cdm_region_get(id[k]), at, 3 * CDM_PAGE, CDM_DEVICE, false), 0);
	}
	check_pages(len, len, 2000000);
	printf("metadata: %.3f %% of %zu MiB in regions of 64 KiB\n", share(before, tracked), tracked >> 20);
	/* A leaf of 2 KiB for 2 MiB, a descriptor for 64 KiB, and the 1 MiB chunks that these are taken in. */
	cr_assert_leq(share(before, tracked), 0.1 + 100.0 * sizeof(struct cdm_region) / (double)len + 0.06);
	finish();
}

/* A million regions whose middles go, parts of which move, and whose rests are cut, by turns. */
static void change(uint32_t k, size_t stride)
{
	uintptr_t at = BASE + k * stride, to = FAR + k * stride;
	struct cdm_region *r = cdm_region_get(id[k]);

	switch (any(4)) {
	case 0: /* becomes two */
		cdm_region_cut(at + 2 * CDM_PAGE, CDM_PAGE);
		cr_assert_eq(r->len, 2 * CDM_PAGE);
		cr_assert_eq(cdm_pagemap_get(at + 2 * CDM_PAGE), 0);
		cr_assert_neq(cdm_pagemap_get(at + 3 * CDM_PAGE) & CDM_WORD_REGION, id[k]);
		cr_assert_eq(cdm_region_get(cdm_pagemap_get(at + 3 * CDM_PAGE))->base, at + 3 * CDM_PAGE);
		break;
	case 1: /* moves, and grows */
		r = cdm_region_rebase(at, 8 * CDM_PAGE, to, 10 * CDM_PAGE, NULL);
		cr_assert_eq(r->base, to);
		cr_assert_eq(cdm_pagemap_get(to + 9 * CDM_PAGE) & CDM_WORD_REGION, r->id);
		cr_assert(cdm_pagemap_empty(at, 8 * CDM_PAGE));
		cdm_region_cut(to, 10 * CDM_PAGE);
		break;
	case 2: /* is replaced, by one that overlaps its end */
		id[k] = make(at + 4 * CDM_PAGE, 5 * CDM_PAGE)->id;
		cr_assert_eq(r->len, 4 * CDM_PAGE);
		break;
	default: /* goes */
		cdm_region_cut(at, stride);
		cr_assert(cdm_pagemap_empty(at, stride));
	}
	cdm_region_cut(at, stride);
	id[k] = make(at, 8 * CDM_PAGE)->id;
}

Test(scale, a_million_regions_change)
{
	size_t stride = 16 * CDM_PAGE, before;

	populate(stride, 8 * CDM_PAGE);
	for (int i = 0; i < 1000; i++) /* makes the tables at FAR, and spare descriptors */
		change(any(REGIONS), stride);
	before = cdm_arena_bytes();
	for (uint32_t i = 0; i < REGIONS / 4; i++)
		change(any(REGIONS), stride);
	check_pages(stride, 8 * CDM_PAGE, 500000);
	/* New leaves at FAR, but no descriptor is lost. */
	cr_assert_leq(cdm_arena_bytes() - before, REGIONS * stride / 1024 + (1 << 20));
	finish();
}

/* Without memory for a leaf the words of what is cut off stay behind: they are nobody's, and the next cut does not stumble. */
Test(scale, a_cut_without_memory)
{
	struct rlimit none = {1 << 20, RLIM_INFINITY};
	struct cdm_region *r = make(BASE, 4 * CDM_HUGE), *other = make(BASE + 4 * CDM_HUGE, CDM_HUGE);
	uintptr_t cut = BASE + CDM_HUGE + 5 * CDM_PAGE;

	cr_assert_eq(setrlimit(RLIMIT_AS, &none), 0);
	while (cdm_arena_alloc(1024))
		;
	cdm_region_cut(cut, cdm_region_end(other) - cut);
	cr_assert_eq(cdm_region_end(r), cut);
	cdm_region_cut(cut, 2 * CDM_HUGE);
	cr_assert_null(cdm_region_create(cut, CDM_PAGE, BOTH, CDM_ORIGIN_MMAP, true, NULL));
	none.rlim_cur = RLIM_INFINITY;
	cr_assert_eq(setrlimit(RLIMIT_AS, &none), 0);
	other = make(cut, CDM_PAGE);
	cdm_region_cut(cut + CDM_PAGE, 4 * CDM_HUGE);
	cr_assert_eq(cdm_pagemap_get(cut) & CDM_WORD_REGION, other->id);
	cr_assert(cdm_pagemap_empty(cut + CDM_PAGE, 4 * CDM_HUGE));
	cdm_region_cut(BASE, 8 * CDM_HUGE);
	cr_assert(cdm_pagemap_empty(BASE, 8 * CDM_HUGE));
	finish();
}

/* Very many regions: a lookup and a change among 1, 1,000 and 1,000,000 of them over 1 TiB, and blocks among many live ones.
 * A hot set of 64 pages shows what the code costs; pages anywhere show the caches on top: 1 TiB has 524,288 chunks of 16 bytes,
 * 8 MiB of tables, and with a leaf for each another 1 GiB, so that each lookup misses the TLB and the caches up to twice. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "offload/base/arena.h"
#include "offload/base/config.h"
#include "offload/base/stats.h"
#include "offload/mem/block.h"
#include "offload/mem/device.h"
#include "offload/mem/region.h"

#define BASE ((uintptr_t)0x100000000000)
#define TIB ((size_t)1 << 40)
#define LOOKUPS 4000000
#define CHANGES 100000
#define BATCHES 5
#define HOT 64

static uint32_t seed = 1;

static uint64_t any(uint64_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (uint64_t)seed * n >> 32;
}

static double least(double (*once)(uint32_t), uint32_t n)
{
	double best = 1e9;

	for (int i = 0; i < BATCHES; i++) {
		double t = once(n);
		best = t < best ? t : best;
	}
	return best;
}

/* ---- lookups ---- */

static uintptr_t hot[HOT];

static double lookups_hot(uint32_t n)
{
	uint64_t sum = 0, t = cdm_now_ns();

	(void)n;
	for (int i = 0; i < LOOKUPS; i++)
		sum += cdm_pagemap_get(hot[i % HOT]);
	t = cdm_now_ns() - t;
	return sum ? (double)t / LOOKUPS : 1e9;
}

static double lookups_any(uint32_t n)
{
	uint64_t sum = 0, x = seed, t = cdm_now_ns();

	(void)n;
	for (int i = 0; i < LOOKUPS; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		sum += cdm_pagemap_get(BASE + ((x >> 20) & (TIB - 1)));
	}
	t = cdm_now_ns() - t;
	return sum ? (double)t / LOOKUPS : 1e9;
}

/* ---- changes: a region of 64 KiB comes and goes where none was, in a 2 MiB chunk with a leaf ---- */

static double changes(uint32_t n)
{
	uintptr_t gap = BASE + TIB;
	uint64_t t = cdm_now_ns();

	(void)n;
	for (int i = 0; i < CHANGES; i++) {
		uintptr_t at = gap + any(1024) * 2 * (64 << 10);
		if (!cdm_region_create(at, 64 << 10, PROT_READ | PROT_WRITE, CDM_ORIGIN_MMAP, true, NULL))
			exit(1);
		cdm_region_cut(at, 64 << 10);
	}
	return (double)(cdm_now_ns() - t) / CHANGES;
}

/* n regions that fill 1 TiB but for their last page each. */
static void populate(uint32_t n)
{
	size_t stride = cdm_round_down(TIB / n, CDM_PAGE);

	for (uint32_t k = 0; k < n; k++)
		if (!cdm_region_create(BASE + k * stride, stride - CDM_PAGE, PROT_READ | PROT_WRITE, CDM_ORIGIN_MMAP,
				       true, NULL))
			exit(1);
	for (int i = 0; i < HOT; i++)
		hot[i] = BASE + any(TIB / CDM_PAGE) * CDM_PAGE;
}

static void regions(uint32_t n)
{
	size_t before = cdm_arena_bytes();

	populate(n);
	size_t used = cdm_arena_bytes() - before;
	printf("%s|lookup, hot set, %u regions over 1 TiB|%s%.2f|ns\n", n == 1000000 ? "ROW" : "FIGURE", n,
	       n == 1000000 ? "<=|5|" : "", least(lookups_hot, n));
	printf("FIGURE|lookup, any page, %u regions over 1 TiB|%.2f|ns\n", n, least(lookups_any, n));
	printf("FIGURE|region create + cut, among %u|%.0f|ns\n", n, least(changes, n));
	if (n == 1000000)
		printf("ROW|metadata of %u regions / 1 TiB|<=|0.2|%.3f|%%\n", n, 100.0 * (double)used / (double)TIB);
	cdm_region_cut(BASE, TIB);
}

/* ---- blocks: real mappings, side by side ---- */

static void **block;

static double blocks_fresh(uint32_t from, uint32_t to)
{
	uint64_t t = cdm_now_ns();

	for (uint32_t i = from; i < to; i++)
		if (!(block[i] = cdm_block_alloc(1 << 20, 1, false, NULL)))
			exit(1);
	return (double)(cdm_now_ns() - t) / (to - from);
}

/* From the cache and back. */
static double blocks_again(uint32_t n)
{
	uint64_t t = cdm_now_ns();

	for (int i = 0; i < CHANGES; i++) {
		uint32_t k = (uint32_t)any(n);
		cdm_block_free(block[k]);
		block[k] = cdm_block_alloc(1 << 20, 1, false, NULL);
	}
	return (double)(cdm_now_ns() - t) / CHANGES;
}

static void blocks(void)
{
	uint32_t from = 0;

	block = mmap(NULL, 1000000 * sizeof *block, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (uint32_t n = 1000; n <= 1000000; n *= 10) {
		double fresh = blocks_fresh(from, n);
		printf("FIGURE|block of 1 MiB, fresh, up to %u live|%.0f|ns\n", n, fresh);
		printf("FIGURE|block of 1 MiB, freed and reused, %u live|%.0f|ns\n", n, least(blocks_again, n));
		from = n;
	}
}

int main(void)
{
	static const uint32_t counts[] = {1, 1000, 1000000};
	uint64_t mask;

	cdm_device.mem->open((size_t)64 << 20);
	cdm_min_alloc = 1 << 20;
	cdm_map_enter(&mask);
	for (int i = 0; i < 3; i++)
		regions(counts[i]);
	cdm_map_leave(&mask);
	blocks();
	return cdm_regions_valid() ? 0 : 1;
}

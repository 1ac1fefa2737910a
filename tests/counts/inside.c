/* The same for the inside, linked to the engine: lookups in the page map, and what regions cost among K others. Lines that
 * differ in K alone must have the same count: nothing may take longer because there is more to track. */
#include <stdint.h>
#include <stdlib.h>

#include "offload/mem/block.h"
#include "offload/mem/device.h"
#include "offload/mem/region.h"
#include "tests/counts/mark.h"

#define BASE ((uintptr_t)0x100000000000)
#define STRIDE ((uintptr_t)4 * CDM_PAGE) /* two pages of a region, two free ones */
#define MOST 1000000u
#define BOTH (PROT_READ | PROT_WRITE)
enum { N = 500 };

static uint32_t others; /* regions */
static uint32_t seed = 1;
static volatile uintptr_t sink;

/* The place of a region. Those of consecutive numbers are far apart. */
static uintptr_t place(uint32_t number)
{
	return BASE + (uint64_t)number * 7919 % MOST * STRIDE;
}

/* The place of one of the others, any. */
static __attribute__((noinline)) uintptr_t slot(void)
{
	seed = seed * 1664525u + 1013904223u;
	return place((uint32_t)((uint64_t)seed * others >> 32));
}

/* Room for a region of up to 4 MiB, far from the others, whose tables exist after the warm-up. */
static uintptr_t apart(void)
{
	return BASE + ((uintptr_t)1 << 41) + (slot() / STRIDE % 64) * 2 * CDM_HUGE;
}

static struct cdm_region *make(uintptr_t at, size_t len)
{
	struct cdm_region *r = cdm_region_create(at, len, BOTH, CDM_ORIGIN_MMAP, true, NULL);

	if (!r)
		exit(1);
	return r;
}

/* Half of them are on the device. */
static void populate(uint32_t k)
{
	for (; others < k; others++) {
		uintptr_t at = place(others);
		struct cdm_region *r = make(at, 2 * CDM_PAGE);
		if (others & 1)
			cdm_region_state(r, at, 2 * CDM_PAGE, CDM_DEVICE, false);
	}
}

/* ---- paths ---- */

static void nothing(long n)
{
	while (n--)
		sink = slot();
}

static void lookup_mixed(long n)
{
	while (n--)
		sink = cdm_pagemap_get(slot());
}

static void lookup_uniform(long n)
{
	while (n--)
		sink = cdm_pagemap_get(slot() + ((uintptr_t)1 << 40));
}

static void lookup_untracked(long n)
{
	while (n--)
		sink = cdm_pagemap_get(slot() + ((uintptr_t)1 << 42));
}

static void create_cut(long n)
{
	while (n--) {
		uintptr_t at = slot() + 2 * CDM_PAGE;
		make(at, CDM_PAGE);
		cdm_region_cut(at, CDM_PAGE);
	}
}

/* 4 MiB: what malloc and mmap track. */
static void create_cut_large(long n)
{
	while (n--) {
		uintptr_t at = apart();
		make(at, 2 * CDM_HUGE);
		cdm_region_cut(at, 2 * CDM_HUGE);
	}
}

/* A region loses its middle, becomes two, and both go. */
static void split(long n)
{
	while (n--) {
		uintptr_t at = apart() + CDM_PAGE;
		make(at, 3 * CDM_PAGE);
		cdm_region_cut(at + CDM_PAGE, CDM_PAGE);
		cdm_region_cut(at, 3 * CDM_PAGE);
	}
}

static void rebase(long n)
{
	while (n--) {
		uintptr_t at = slot() + 2 * CDM_PAGE, to = apart() + CDM_PAGE;
		make(at, CDM_PAGE);
		cdm_region_rebase(at, CDM_PAGE, to, CDM_PAGE, NULL);
		cdm_region_cut(to, CDM_PAGE);
	}
}

/* To the device and back: onto the resident list and off it. */
static void states(long n)
{
	while (n--) {
		uintptr_t at = slot();
		struct cdm_region *r = cdm_region_get(cdm_pagemap_get(at));
		size_t was = r->resident;
		cdm_region_state(r, at, 2 * CDM_PAGE, was ? CDM_HOST : CDM_DEVICE, false);
		cdm_region_state(r, at, 2 * CDM_PAGE, was ? CDM_DEVICE : CDM_HOST, false);
	}
}

/* ---- blocks: real mappings, none of which is touched ---- */

static void *block[10000];
static uint32_t blocks;

static void take_blocks(uint32_t k)
{
	for (; blocks < k; blocks++)
		if (!(block[blocks] = cdm_block_alloc(1 << 20, 1, false, NULL)))
			exit(1);
}

/* Any of them goes to the cache, and comes back. */
static void reuse(long n)
{
	while (n--) {
		seed = seed * 1664525u + 1013904223u;
		void **p = &block[(uint64_t)seed * blocks >> 32];
		cdm_block_free(*p);
		*p = cdm_block_alloc(1 << 20, 1, false, NULL);
	}
}

/* Fresh ones, and the kernel gets them back: the cache is too small for them. */
static void fresh(long n)
{
	while (n--)
		cdm_block_free(cdm_block_alloc((size_t)2 << 30, 1, false, NULL));
}

/* ---- the table ---- */

static const struct path once[] = {
	{"inside", "nothing", nothing, NULL},
	{"inside", "page map lookup, mixed chunk", lookup_mixed, NULL},
	{"inside", "page map lookup, uniform chunk", lookup_uniform, NULL},
	{"inside", "page map lookup, untracked", lookup_untracked, NULL},
};
static const struct among {
	const char *name;
	void (*run)(long n);
} at_each[] =
	{
		{"region create+cut, 4 KiB, among", create_cut},  {"region create+cut, 4 MiB, among", create_cut_large},
		{"region create+split+cut, among", split},        {"region create+rebase+cut, among", rebase},
		{"region to the device and back, among", states},
},
  of_blocks[] = {
	  {"block freed and reused, among", reuse},
	  {"block fresh and unmapped, among", fresh},
};

static void measure_among(const struct among *a, size_t n, uint32_t k)
{
	char name[80];

	for (; n--; a++) {
		snprintf(name, sizeof name, "%s %u", a->name, k);
		counts_measure(&(struct path){"inside", name, a->run, NULL}, N);
	}
}

static void regions(void)
{
	uint64_t mask;

	cdm_map_enter(&mask);
	populate(1000);
	make(BASE + ((uintptr_t)1 << 40), (size_t)1 << 40);
	for (size_t i = 0; i < sizeof once / sizeof *once; i++)
		counts_measure(&once[i], N);
	cdm_region_cut(BASE + ((uintptr_t)1 << 40), (size_t)1 << 40);
	for (uint32_t k = 1000; k <= MOST; k *= 10) {
		populate(k);
		measure_among(at_each, sizeof at_each / sizeof *at_each, k);
	}
	cdm_map_leave(&mask);
}

int main(void)
{
	regions();
	cdm_device.mem->open((size_t)64 << 20);
	for (uint32_t k = 100; k <= 10000; k *= 10) {
		take_blocks(k);
		measure_among(of_blocks, sizeof of_blocks / sizeof *of_blocks, k);
	}
	return cdm_regions_valid() ? 0 : 1;
}

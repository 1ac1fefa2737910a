/* The shadow page map with 1 TiB tracked: nanoseconds for a warm lookup, and metadata per tracked byte. */
#include <stdio.h>
#include <stdlib.h>

#include "offload/base/arena.h"
#include "offload/base/stats.h"
#include "offload/mem/pagemap.h"

#define BASE ((uintptr_t)0x100000000000)
#define TRACKED ((size_t)1 << 40)
#define LOOKUPS 20000000
#define SPAN ((size_t)64 << 30) /* of it, the lookups fall here: 32,768 chunks, 256 KiB of table */

static double lookups(size_t span)
{
	uint64_t x = 1, sum = 0, t = cdm_now_ns();

	for (int i = 0; i < LOOKUPS; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		sum += cdm_pagemap_get(BASE + ((x >> 20) & (span - 1)));
	}
	t = cdm_now_ns() - t;
	if (!sum)
		exit(1);
	return (double)t / LOOKUPS;
}

int main(void)
{
	size_t before = cdm_arena_bytes();

	/* 512 GiB in regions of 1 GiB, 512 GiB in regions that leave every chunk mixed. */
	for (size_t at = 0; at < TRACKED / 2; at += (size_t)1 << 30)
		cdm_pagemap_set(BASE + at, (size_t)1 << 30, 1 + (cdm_word)(at >> 30));
	for (size_t at = TRACKED / 2; at < TRACKED; at += (size_t)1 << 20)
		cdm_pagemap_set(BASE + at, (size_t)1 << 20, 1 + (cdm_word)(at >> 20));
	printf("ROW|shadow page map: lookup, warm, 1 TiB tracked|<=|5|%.2f|ns\n", lookups(SPAN));
	printf("ROW|shadow page map: metadata / tracked memory|<=|0.2|%.3f|%%\n",
	       100.0 * (double)(cdm_arena_bytes() - before) / (double)TRACKED);
	return 0;
}

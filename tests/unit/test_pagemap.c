/* The shadow page map against a plain array. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "offload/mem/pagemap.h"

#define BASE ((uintptr_t)0x7f0000000000)
#define PAGES 4096 /* 16 MiB: whole chunks and parts of chunks */

static cdm_word model[PAGES];

static void compare(void)
{
	for (size_t i = 0; i < PAGES; i++)
		cr_assert_eq(cdm_pagemap_get(BASE + i * CDM_PAGE), model[i], "page %zu", i);
}

/* A run from any page to any other ends where the array's does. */
static void compare_runs(void)
{
	for (int i = 0; i < 200; i++) {
		size_t from = (size_t)rand() % PAGES, end = from + 1 + (size_t)rand() % (PAGES - from), to = from + 1;
		cdm_word word;
		while (to < end && model[to] == model[from])
			to++;
		cr_assert_eq(cdm_pagemap_run(BASE + from * CDM_PAGE, BASE + end * CDM_PAGE, &word),
			     BASE + to * CDM_PAGE, "pages %zu to %zu", from, end);
		cr_assert_eq(word, model[from]);
		cr_assert_eq(cdm_pagemap_empty(BASE + from * CDM_PAGE, (end - from) * CDM_PAGE),
			     to == end && !model[from]);
	}
}

Test(pagemap, agrees_with_an_array)
{
	unsigned seed = 20261121;

	printf("seed %u\n", seed);
	srand(seed);
	for (int round = 0; round < 2000; round++) {
		size_t from = (size_t)rand() % PAGES, n = 1 + (size_t)rand() % (PAGES - from);
		cdm_word word = rand() % 4 ? 1 + (cdm_word)rand() % 1000 : 0;
		if (rand() % 2) {
			cr_assert_eq(cdm_pagemap_set(BASE + from * CDM_PAGE, n * CDM_PAGE, word), 0);
			for (size_t i = from; i < from + n; i++)
				model[i] = word;
		} else {
			cr_assert_eq(
				cdm_pagemap_update(BASE + from * CDM_PAGE, n * CDM_PAGE, CDM_WORD_STATE, CDM_DEVICE),
				0);
			for (size_t i = from; i < from + n; i++)
				if (model[i])
					model[i] = (model[i] & ~CDM_WORD_STATE) | CDM_DEVICE;
		}
		compare_runs();
		if (round % 50 == 0)
			compare();
	}
	compare();
}

Test(pagemap, runs_are_maximal)
{
	cdm_word word;

	cdm_pagemap_set(BASE, 3 * CDM_HUGE, 7);
	cdm_pagemap_set(BASE + CDM_HUGE + 5 * CDM_PAGE, 2 * CDM_PAGE, 8);
	cr_assert_eq(cdm_pagemap_run(BASE, BASE + 3 * CDM_HUGE, &word), BASE + CDM_HUGE + 5 * CDM_PAGE);
	cr_assert_eq(word, 7);
	cr_assert_eq(cdm_pagemap_run(BASE + CDM_HUGE + 7 * CDM_PAGE, BASE + 3 * CDM_HUGE, &word), BASE + 3 * CDM_HUGE);
	cr_assert_eq(cdm_pagemap_run(BASE + 3 * CDM_HUGE, BASE + ((uintptr_t)1 << 40), &word),
		     BASE + ((uintptr_t)1 << 40));
	cr_assert_eq(word, 0);
	cr_assert(cdm_pagemap_empty(BASE + 3 * CDM_HUGE, (size_t)1 << 40));
	cr_assert_not(cdm_pagemap_empty(BASE + 3 * CDM_HUGE - 1, 2));
}

Test(pagemap, addresses_beyond_the_map_are_untracked)
{
	cr_assert_eq(cdm_pagemap_get(~(uintptr_t)0), 0);
	cr_assert_neq(cdm_pagemap_set(CDM_MAP_LIMIT - CDM_PAGE, 2 * CDM_PAGE, 1), 0);
	cr_assert(cdm_pagemap_empty(CDM_MAP_LIMIT, CDM_PAGE));
	cr_assert(cdm_pagemap_empty(~(uintptr_t)0 - 10, 100), "a wrapping length tracks nothing");
}

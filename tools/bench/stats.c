#include "tools/bench/stats.h"

#include <stdlib.h>

#include "offload/base/stats.h"

static int ascending(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

void stats_of(uint32_t *v, size_t n, struct stats *s)
{
	*s = (struct stats){.samples = n};
	if (!n)
		return;
	qsort(v, n, sizeof(*v), ascending);
	s->min = v[0];
	s->p10 = v[(n - 1) / 10];
	s->p50 = v[(n - 1) / 2];
	s->p90 = v[(n - 1) * 9 / 10];
}

uint64_t stats_clock_ns(void)
{
	uint64_t least = UINT64_MAX;

	for (int i = 0; i < 1000; i++) {
		uint64_t t = cdm_now_ns();
		t = cdm_now_ns() - t;
		least = t < least ? t : least;
	}
	return least;
}

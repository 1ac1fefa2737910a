/* Order statistics of measured times. */
#ifndef CDM_BENCH_STATS_H
#define CDM_BENCH_STATS_H

#include <stddef.h>
#include <stdint.h>

struct stats {
	uint64_t samples, min, p10, p50, p90;
};

/* Sorts v; all zeros where n is 0. */
void stats_of(uint32_t *v, size_t n, struct stats *s);
/* What two readings of the clock with nothing between them differ by, at least; it is taken off what is measured. */
uint64_t stats_clock_ns(void);

#endif

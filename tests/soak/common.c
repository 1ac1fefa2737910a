/* Memory that all threads share: products and counters side by side, so that host and device want the same pages. */
#include <stdatomic.h>
#include <stdlib.h>

#include "tests/soak/soak.h"

/* A matrix of which each thread owns a strip of columns, so that threads' operands share pages; rows from COMMON_N on
 * are counters: each thread's own in its own columns (plain increments), and in the last row everybody's. */
#define COMMON_N 24
#define COMMON_LD 1024
#define COMMON_WORDS ((size_t)THREADS * COMMON_N * COMMON_LD)

static double *common, *common_in;
static uint64_t own[THREADS][COMMON_LD];
static _Atomic uint64_t shared_adds;

bool common_make(void)
{
	common = calloc(COMMON_WORDS, sizeof(double));
	common_in = calloc(COMMON_WORDS, sizeof(double));
	return common && common_in;
}

static uint64_t *counter(int n, int row)
{
	return (uint64_t *)(common + (size_t)n * COMMON_N * COMMON_LD + (size_t)(row % COMMON_N) * COMMON_LD) + row;
}
static _Atomic uint64_t *shared_counter(uint32_t i)
{
	return (_Atomic uint64_t *)(common + (size_t)(i % (THREADS * COMMON_N)) * COMMON_LD) + COMMON_LD - 1;
}

void common_count(struct thread *t)
{
	t->now = "count";
	for (int i = 0; i < 200; i++) {
		int row = COMMON_N + (int)below(t, COMMON_LD - 1 - COMMON_N);
		++*(volatile uint64_t *)counter(t->number, row);
		own[t->number][row]++;
	}
	for (int i = 0; i < 20; i++)
		atomic_fetch_add(shared_counter(draw(t)), 1);
	atomic_fetch_add(&shared_adds, 20);
}

void common_compute(struct thread *t)
{
	int n = COMMON_N, ld = COMMON_LD;
	double *a = common_in + (size_t)t->number * COMMON_N * COMMON_LD,
	       *c = common + (size_t)t->number * COMMON_N * COMMON_LD;
	double factor = 1 + (double)below(t, 1000), zero = 0, ones[COMMON_N * COMMON_N];

	t->now = "common-gemm";
	for (int i = 0; i < COMMON_N * COMMON_N; i++)
		ones[i] = 1;
	for (int j = 0; j < n; j++)
		for (int i = 0; i < n; i++)
			a[i + j * ld] = i;
	dgemm_("N", "N", &n, &n, &n, &factor, a, &ld, ones, &n, &zero, c, &ld);
	for (int j = 0; j < n; j++)
		for (int i = 0; i < n; i++)
			if (c[i + j * ld] != factor * i * n)
				wrong(t, NULL, "common: (%d, %d) is %g, not %g", i, j, c[i + j * ld], factor * i * n);
}

void common_check(struct thread *t)
{
	uint64_t sum = 0;

	t->now = "common-check";
	for (int n = 0; n < THREADS; n++)
		for (int row = COMMON_N; row < COMMON_LD - 1; row++)
			if (*counter(n, row) != own[n][row])
				wrong(t, NULL, "counter %d of thread %d is %lu, not %lu", row, n,
				      (unsigned long)*counter(n, row), (unsigned long)own[n][row]);
	for (uint32_t i = 0; i < THREADS * COMMON_N; i++)
		sum += *shared_counter(i);
	if (sum != shared_adds)
		wrong(t, NULL, "shared counters: %lu, not %lu", (unsigned long)sum, (unsigned long)shared_adds);
}

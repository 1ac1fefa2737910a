/* Long vectors for the scenario programs 27-48: cheap operations of the device on much memory, with exact results. */
#ifndef VECTOR_H
#define VECTOR_H

#include <time.h>

#include "tests/scenarios/scenario.h"

#define MIB 1048576ul
#define ROWS 512      /* counts that bump() takes are multiples of it */
#define COLUMNS 65536 /* and at most this many times that */

double dasum_(const int *n, const double *x, const int *inc);

/* Software emulation: fewer repetitions and less memory, the same cases. */
__attribute__((unused)) static bool is_small(void)
{
	return getenv("SCENARIO_SMALL") != NULL;
}
__attribute__((unused)) static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* What fill() puts there. */
__attribute__((unused)) static double value(size_t i, unsigned seed)
{
	return (double)((i * 7 + seed * 13 + (i >> 9)) % 11) - 5;
}
/* Elements from..count of what was filled from its element 0, each plus more. -1 or the first wrong index. */
__attribute__((unused)) static long differs(const double *x, size_t from, size_t count, unsigned seed, double more)
{
	for (size_t i = from; i < count; i++)
		if (x[i] != value(i, seed) + more)
			return (long)i;
	return -1;
}
#define EXPECT_FROM(x, from, count, seed, more)                                                                        \
	do {                                                                                                           \
		long at_ = differs(x, from, count, seed, more);                                                        \
		CHECK(at_ < 0, "element %ld is %g, not %g", at_, (x)[at_], value((size_t)at_, seed) + (more));         \
	} while (0)
#define EXPECT(x, count, seed, more) EXPECT_FROM(x, 0, count, seed, more)

/* x[i] += 1, by a matrix product: memory that can move to the device moves there. Its other operands are two short
 * vectors on the stack. */
__attribute__((unused)) static void bump(double *x, size_t count)
{
	const int m = ROWS, n = (int)(count / ROWS), k = 1;
	const double one = 1;
	double column[ROWS], row[COLUMNS];

	CHECK(count % ROWS == 0 && n <= COLUMNS);
	for (int i = 0; i < ROWS; i++)
		column[i] = 1;
	for (int i = 0; i < n; i++)
		row[i] = 1;
	dgemm_("N", "N", &m, &n, &k, &one, column, &m, row, &k, &one, x, &m);
}
/* The sum of the absolute values, read by the device. */
__attribute__((unused)) static double device_sum(const double *x, size_t count)
{
	int n = (int)count, one = 1;
	return dasum_(&n, x, &one);
}
/* The same of what was filled, each plus more, computed here. */
__attribute__((unused)) static double sum_of(size_t count, unsigned seed, double more)
{
	double s = 0;
	for (size_t i = 0; i < count; i++) {
		double v = value(i, seed) + more;
		s += v < 0 ? -v : v;
	}
	return s;
}

/* Fills memory and has the device add 1 to it, so that it is on the device alone. Three uses: fewer, again and again, would
 * be going to and fro for nothing, after which libcdm leaves memory on the host. */
__attribute__((unused)) static void load(double *x, size_t count, unsigned seed)
{
	fill(x, count, seed);
	CHECK(device_sum(x, count) == device_sum(x, count));
	bump(x, count);
}
#define resident(x, count, seed)                                                                                       \
	do {                                                                                                           \
		load(x, count, seed);                                                                                  \
		CHECK_WRITTEN(x, (count) * sizeof(double));                                                            \
	} while (0)
__attribute__((unused)) static double *resident_block(size_t bytes, unsigned seed)
{
	double *x = malloc(bytes);
	CHECK(x);
	resident(x, bytes / sizeof(*x), seed);
	return x;
}

/* The statement ends the memory: a private device has room for other memory at once. */
#define CHECK_ENDS(p, n, statement)                                                                                    \
	do {                                                                                                           \
		size_t there_ = on_device(p, n), used_ = (size_t)counters().device_bytes;                              \
		statement;                                                                                             \
		CHECK(!is_private() || counters().device_bytes + there_ <= used_,                                      \
		      "%zu of %zu bytes are still charged", (size_t)counters().device_bytes + there_ - used_, there_); \
	} while (0)

/* Whether the page at p is mapped at all. */
__attribute__((unused)) static bool is_mapped(const void *p)
{
	unsigned char there;
	return !mincore((void *)((uintptr_t)p & ~(PAGE - 1)), PAGE, &there);
}

/* Runs this program once more, with CDM_FAULT=fault and the argument; its exit status must be 0. */
__attribute__((unused)) static void again(const char *fault, const char *argument)
{
	pid_t pid = fork();
	if (!pid) {
		setenv("CDM_FAULT", fault, 1);
		execl("/proc/self/exe", "again", argument, (char *)NULL);
		_exit(126);
	}
	int status;
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	CHECK(status == 0, "with CDM_FAULT=%s, %s: status %#x", fault, argument, (unsigned)status);
}

#endif

/* LU factorizations of one order for a while, each of the same matrix and with the same result, but for rounding.
 *
 *   crowd SECONDS N
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/prog/check.h"

void dgetrf_(const int *, const int *, double *, const int *, int *, int *);

static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 1;
	int n = argc > 2 ? atoi(argv[2]) : 128, info;
	size_t count = (size_t)n * (size_t)n, bytes = count * sizeof(double);
	double *a = malloc(bytes), *lu = malloc(bytes), *first = malloc(bytes);
	int *pivots = malloc((size_t)n * sizeof *pivots);
	unsigned seed = 1;

	for (size_t i = 0; i < count; i++)
		a[i] = (double)((seed = seed * 1103515245u + 12345u) >> 8) / 16777216 + (i % (size_t)(n + 1) ? 0 : n);
	long calls = 0;
	for (double until = now() + seconds; now() < until || !calls; calls++) {
		memcpy(lu, a, bytes);
		dgetrf_(&n, &n, lu, &n, pivots, &info);
		CHECK(info == 0);
		if (!calls)
			memcpy(first, lu, bytes);
		for (size_t i = 0; i < count; i += 97)
			CHECK(fabs(lu[i] - first[i]) < 1e-10 * n);
	}
	printf("%ld calls\n", calls);
	free(a), free(lu), free(first), free(pivots);
	return check_end("crowd");
}

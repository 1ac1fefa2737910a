/* OpenBLAS 0.3.21 with the core type Cooperlake, its own choice on CPUs with AVX-512 and BF16: scasum of 12 elements and more is
 * wrong, by a sixth at 12. LAPACK's tests of chsein fail for it. Its other core types are right, SkylakeX among them, which has the
 * same kernels else. */
#include "offload/dev/blas_check.h"

#include <stdint.h>

enum { MOST = 64 };

typedef float float_sum(const int64_t *n, const float *x, const int64_t *inc);
typedef double double_sum(const int64_t *n, const double *x, const int64_t *inc);

/* Of n elements of `parts` numbers each, all of which are small whole numbers of either sign: every order of additions is exact. */
static int sum_of(int64_t n, int parts)
{
	int sum = 0;

	for (int i = 0; i < (int)n * parts; i++)
		sum += i % 7 + 1;
	return sum;
}

static bool floats_right(const struct cdm_blas_library *lib, const char *name, int parts)
{
	float_sum *asum = (float_sum *)cdm_blas_entry(lib, name);
	const int64_t one = 1;
	float x[2 * MOST];

	for (int i = 0; i < 2 * MOST; i++)
		x[i] = (float)(i % 3 ? i % 7 + 1 : -(i % 7 + 1));
	for (int64_t n = 1; asum && n <= MOST; n++)
		if (asum(&n, x, &one) != (float)sum_of(n, parts))
			return false;
	return true;
}

static bool doubles_right(const struct cdm_blas_library *lib, const char *name, int parts)
{
	double_sum *asum = (double_sum *)cdm_blas_entry(lib, name);
	const int64_t one = 1;
	double x[2 * MOST];

	for (int i = 0; i < 2 * MOST; i++)
		x[i] = i % 3 ? i % 7 + 1 : -(i % 7 + 1);
	for (int64_t n = 1; asum && n <= MOST; n++)
		if (asum(&n, x, &one) != sum_of(n, parts))
			return false;
	return true;
}

/* Where sasum seems wrong, functions of type REAL may return a double, as f2c's do: then scasum cannot be judged. */
bool cdm_blas_adds_up(const struct cdm_blas_library *lib)
{
	bool judged = floats_right(lib, "sasum", 1);

	return doubles_right(lib, "dasum", 1) && doubles_right(lib, "dzasum", 2) &&
	       (!judged || floats_right(lib, "scasum", 2));
}

/* D = A (B A) by CBLAS, `rounds` times, checked with a random vector: D x = A (B (A x)).
 *
 * usage: gemm_c [n [rounds]]
 */
#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

static void fill(double *a, size_t count, unsigned seed)
{
	unsigned long state = seed;
	for (size_t i = 0; i < count; i++) {
		state = state * 6364136223846793005ul + 1442695040888963407ul;
		a[i] = (double)(state >> 33) / 2147483648.0 - 0.5;
	}
}

static double norm(const double *v, size_t count)
{
	double sum = 0;
	for (size_t i = 0; i < count; i++)
		sum += v[i] * v[i];
	return sqrt(sum);
}

/* y = A x, row-major, without BLAS. */
static void apply(const double *a, const double *x, double *y, int n)
{
	for (int i = 0; i < n; i++) {
		double sum = 0;
		for (int j = 0; j < n; j++)
			sum += a[(size_t)i * (size_t)n + (size_t)j] * x[j];
		y[i] = sum;
	}
}

static double residual(const double *a, const double *b, const double *d, int n)
{
	double *x = malloc(3 * (size_t)n * sizeof *x), *y = x + n, *z = y + n;
	if (!x)
		return 1;
	fill(x, (size_t)n, 7);
	apply(a, x, y, n);
	apply(b, y, z, n);
	apply(a, z, y, n);
	apply(d, x, z, n);
	for (int i = 0; i < n; i++)
		z[i] -= y[i];
	double r = norm(z, (size_t)n) / norm(y, (size_t)n);
	free(x);
	return r;
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 1000, rounds = argc > 2 ? atoi(argv[2]) : 1;
	size_t count = (size_t)n * (size_t)n;
	double *a = malloc(count * sizeof *a), *b = malloc(count * sizeof *b);
	double *c = malloc(count * sizeof *c), *d = malloc(count * sizeof *d);
	if (!a || !b || !c || !d || n < 1)
		return 2;
	fill(a, count, 1);
	fill(b, count, 2);
	double t = now();
	for (int r = 0; r < rounds; r++) {
		cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1, b, n, a, n, 0, c, n);
		cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1, a, n, c, n, 0, d, n);
	}
	t = now() - t;
	double res = residual(a, b, d, n);
	printf("gemm_c n=%d residual=%.1e\nchecksum=%.15e\nseconds=%.6f\n", n, res, norm(d, count), t);
	free(a), free(b), free(c), free(d);
	return !(res < 1e-12 * n);
}

/* A program of one file with its own dgemm_, as old codes have it. The compiler sees caller and callee together and keeps values
 * across the call in registers that dgemm_ leaves alone: a patched dgemm_ must leave them alone, too. */
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) void dgemm_(const char *ta, const char *tb, const int *m, const int *n, const int *k,
				      const double *alpha, const double *a, const int *lda, const double *b, const int *ldb,
				      const double *beta, double *c, const int *ldc)
{
	(void)ta, (void)tb;
	for (int j = 0; j < *n; j++)
		for (int i = 0; i < *m; i++) {
			double sum = 0;
			for (int l = 0; l < *k; l++)
				sum += a[i + (long)l * *lda] * b[l + (long)j * *ldb];
			c[i + (long)j * *ldc] = *alpha * sum + (*beta != 0 ? *beta * c[i + (long)j * *ldc] : 0);
		}
}

__attribute__((noinline)) void dscal_(const int *n, const double *alpha, double *x, const int *inc)
{
	for (int i = 0; i < *n; i++)
		x[(long)i * *inc] *= *alpha;
}

int main(void)
{
	int n = 150, one = 1;
	double alpha = 1, beta = 0, half = 0.5, *a = malloc(n * n * 8), *b = malloc(n * n * 8), *c = malloc(n * n * 8);
	double w[12], sum = 0;

	for (int i = 0; i < n * n; i++)
		a[i] = i % 7 - 3, b[i] = i % 5 - 2;
	for (int i = 0; i < 12; i++)
		w[i] = a[i] * 1.5;
	double k0 = w[0] + a[3], k1 = w[1] * a[4], k2 = w[2] - a[5], k3 = w[3] + b[1], k4 = w[4] * b[2], k5 = w[5] - b[3];
	for (int round = 0; round < 6; round++) {
		dgemm_("N", "N", &n, &n, &n, &alpha, a, &n, b, &n, &beta, c, &n);
		dscal_(&n, &half, c, &one);
		k0 += k1 + k2, k1 -= k3, k2 += k4 * k5, k3 += 1, k4 -= c[round], k5 += c[round + n];
	}
	for (int i = 0; i < n * n; i++)
		sum += c[i] * (i % 3);
	printf("%g %g %g %g %g %g %g\nCALLS 12\n", k0, k1, k2, k3, k4, k5, sum);
	return 0;
}

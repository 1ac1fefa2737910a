/* No scenario: one product that moves memory, so that the report says which device and which mechanism are in force.
 * The memory is malloc'ed and large enough for a region of its own. */
#include <stdlib.h>

void dgemm_(const char *ta, const char *tb, const int *m, const int *n, const int *k, const double *alpha,
	    const double *a, const int *lda, const double *b, const int *ldb, const double *beta, double *c,
	    const int *ldc);

int main(void)
{
	enum { M = 4096, N = 64, K = 8 };
	const int m = M, n = N, k = K;
	const double one = 1, zero = 0;
	double *a = malloc(sizeof(*a) * M * K), *b = malloc(sizeof(*b) * K * N), *c = malloc(sizeof(*c) * M * N);

	for (int i = 0; i < M * K; i++)
		a[i] = 1;
	for (int i = 0; i < K * N; i++)
		b[i] = 1;
	dgemm_("N", "N", &m, &n, &k, &one, a, &m, b, &k, &zero, c, &m);
	for (int i = 0; i < M * N; i++)
		if (c[i] != K)
			return 1;
	return 0;
}

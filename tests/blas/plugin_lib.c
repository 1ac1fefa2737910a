/* A plugin that brings its BLAS along: only its own scope knows the library. */
#include <stddef.h>

void cblas_dgemm(int order, int ta, int tb, int m, int n, int k, double alpha, const double *a, int lda,
		 const double *b, int ldb, double beta, double *c, int ldc);
void dgemm_(const char *ta, const char *tb, const int *m, const int *n, const int *k, const double *alpha,
	    const double *a, const int *lda, const double *b, const int *ldb, const double *beta, double *c,
	    const int *ldc, size_t ta_len, size_t tb_len);

/* 2 * 3 by way of CBLAS, + 2 * 3 by way of Fortran, in turn, rounds times. */
double plugin_run(int rounds);
double plugin_run(int rounds)
{
	const double a = 2, b = 3, one = 1;
	const int n = 1;
	double c = 0;

	for (int i = 0; i < rounds; i++) {
		cblas_dgemm(102, 111, 111, 1, 1, 1, 1, &a, 1, &b, 1, 0, &c, 1);
		dgemm_("N", "N", &n, &n, &n, &one, &a, &n, &b, &n, &one, &c, &n, 1, 1);
	}
	return c;
}

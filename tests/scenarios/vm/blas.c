/* The BLAS of the virtual machine in software that scripts/old-kernel.sh starts, the program's and the device's: the routines that
 * the scenario programs call. It skips zeros, so that products with the identity, most of theirs, take a hundredth of the time. */
#include <stddef.h>

#define API __attribute__((visibility("default")))

API void dgemm_(const char *ta, const char *tb, const int *m, const int *n, const int *k, const double *alpha,
		const double *a, const int *lda, const double *b, const int *ldb, const double *beta, double *c,
		const int *ldc);
API double dasum_(const int *n, const double *x, const int *inc);
API void dcopy_(const int *n, const double *x, const int *incx, double *y, const int *incy);

static double at(const double *x, int ld, char trans, int i, int j)
{
	return trans == 'N' || trans == 'n' ? x[i + (ptrdiff_t)j * ld] : x[j + (ptrdiff_t)i * ld];
}

static void scale(double *column, int m, double beta)
{
	for (int i = 0; i < m && beta != 1; i++)
		column[i] = beta == 0 ? 0 : beta * column[i];
}

void dgemm_(const char *ta, const char *tb, const int *m, const int *n, const int *k, const double *alpha,
	    const double *a, const int *lda, const double *b, const int *ldb, const double *beta, double *c,
	    const int *ldc)
{
	for (int j = 0; j < *n; j++) {
		double *column = c + (ptrdiff_t)j * *ldc;
		scale(column, *m, *beta);
		for (int l = 0; l < *k; l++) {
			double f = *alpha * at(b, *ldb, *tb, l, j);
			for (int i = 0; i < *m && f != 0; i++)
				column[i] += f * at(a, *lda, *ta, i, l);
		}
	}
}

double dasum_(const int *n, const double *x, const int *inc)
{
	double s = 0;

	for (int i = 0; i < *n; i++)
		s += x[(ptrdiff_t)i * *inc] < 0 ? -x[(ptrdiff_t)i * *inc] : x[(ptrdiff_t)i * *inc];
	return s;
}

void dcopy_(const int *n, const double *x, const int *incx, double *y, const int *incy)
{
	for (int i = 0; i < *n; i++) /* increments > 0 */
		y[(ptrdiff_t)i * *incy] = x[(ptrdiff_t)i * *incx];
}

/* A library with 64-bit integers under names that do not say so: a leading dimension beyond 32 bits must be read as what it
 * is. The matrix is address space that is hardly touched. */
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>

void dgemm_(const char *, const char *, const int64_t *, const int64_t *, const int64_t *, const double *, const double *,
	    const int64_t *, const double *, const int64_t *, const double *, double *, const int64_t *);
void cblas_dgemm(int, int, int, int64_t, int64_t, int64_t, double, const double *, int64_t, const double *, int64_t, double,
		 double *, int64_t);

int main(void)
{
	enum { M = 300 };
	static double c[2 * M];
	int64_t m = M, n = 2, ld = ((int64_t)1 << 32) + M;
	double b[4] = {1, 0, 0, 1}, one = 1, zero = 0;
	double *a = mmap(0, (size_t)(ld + m) * 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (a == MAP_FAILED)
		return 77;
	for (int i = 0; i < M; i++)
		a[i] = i, a[ld + i] = -i;
	dgemm_("N", "N", &m, &n, &n, &one, a, &ld, b, &n, &zero, c, &m);
	printf("dgemm_ %g %g\n", c[M - 1], c[2 * M - 1]);
	for (int i = 0; i < 2 * M; i++)
		c[i] = 0;
	cblas_dgemm(102, 111, 111, m, n, n, 1, a, ld, b, n, 0, c, m);
	printf("cblas_dgemm %g %g\nCALLS 2\n", c[M - 1], c[2 * M - 1]);
	return 0;
}

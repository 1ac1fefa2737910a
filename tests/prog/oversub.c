/* C_i = A_i B_i over `sets` triples, `rounds` times round. The entries are small integers, so that the products
 * are exact: every C_i is compared with its row sums A_i (B_i 1), before and after the host writes into A_i.
 *
 * usage: oversub [sets [n [rounds]]]
 */
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>

static int n = 512;

static void fill(double *a, unsigned seed)
{
	for (size_t i = 0; i < (size_t)n * (size_t)n; i++)
		a[i] = (double)((seed = seed * 1103515245u + 12345u) >> 28) - 8;
}

static int right(const double *a, const double *b, const double *c, double *v)
{
	for (int i = 0; i < n; i++) {
		v[i] = 0;
		for (int j = 0; j < n; j++)
			v[i] += b[(size_t)i * (size_t)n + (size_t)j];
	}
	for (int i = 0; i < n; i++) {
		double want = 0, got = 0;
		for (int j = 0; j < n; j++) {
			want += a[(size_t)i * (size_t)n + (size_t)j] * v[j];
			got += c[(size_t)i * (size_t)n + (size_t)j];
		}
		if (want != got)
			return 0;
	}
	return 1;
}

int main(int argc, char **argv)
{
	int sets = argc > 1 ? atoi(argv[1]) : 32, rounds = argc > 3 ? atoi(argv[3]) : 3, wrong = 0;
	n = argc > 2 ? atoi(argv[2]) : n;
	size_t bytes = (size_t)n * (size_t)n * sizeof(double);
	double **m = calloc((size_t)sets * 3 + 1, sizeof *m), *v = malloc((size_t)n * sizeof *v);
	for (int i = 0; i < 3 * sets; i++) {
		if (!(m[i] = malloc(bytes)))
			return 2;
		fill(m[i], (unsigned)i);
	}
	for (int r = 0; r < rounds; r++)
		for (int i = 0; i < sets; i++) {
			double *a = m[3 * i], *b = m[3 * i + 1], *c = m[3 * i + 2];
			a[(size_t)r * (size_t)n] = r + i;
			cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1, a, n, b, n, 0, c, n);
			wrong += !right(a, b, c, v);
		}
	for (int i = 0; i < sets; i++)
		wrong += !right(m[3 * i], m[3 * i + 1], m[3 * i + 2], v);
	printf("%d wrong of %d products, working set %zu MiB\n", wrong, sets * rounds, 3 * (size_t)sets * bytes >> 20);
	for (int i = 0; i < 3 * sets; i++)
		free(m[i]);
	free(m), free(v);
	return wrong != 0;
}

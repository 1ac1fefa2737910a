/* k-means: the distances of a block of points to all centres by one product, |p - c|^2 = |p|^2 - 2 p.c + |c|^2, in memory that
 * is allocated for the block and freed again. Checked: the sum of distances never grows, and some are computed directly.
 *
 * usage: kmeans [points [dimensions [centres [rounds]]]]
 */
#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BLOCK = 8192 };

struct kmeans {
	int n, d, k;
	double *points, *centres, *sums;
	int *nearest, *count;
};

static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

static double *row(double *m, int i, int d)
{
	return m + (size_t)i * (size_t)d;
}

static double square(const double *v, int d)
{
	double sum = 0;
	for (int i = 0; i < d; i++)
		sum += v[i] * v[i];
	return sum;
}

/* Points around k places. */
static void fill(struct kmeans *s)
{
	unsigned long state = 1;

	for (int i = 0; i < s->n; i++)
		for (int j = 0; j < s->d; j++) {
			state = state * 6364136223846793005ul + 1442695040888963407ul;
			double noise = (double)(state >> 33) / 2147483648.0 - 0.5;
			row(s->points, i, s->d)[j] = 2 * noise + (double)((i % s->k * 31 + j * 17) % 23) / 23;
		}
	for (int c = 0; c < s->k; c++)
		memcpy(row(s->centres, c, s->d), row(s->points, c, s->d), (size_t)s->d * sizeof(double));
}

/* Each point of the block to its nearest centre; the sum of distances, negative without memory. */
static double assign(struct kmeans *s, int first, int count, const double *centre_squares)
{
	double *dots = malloc((size_t)count * (size_t)s->k * sizeof *dots), sum = 0;
	double *block = row(s->points, first, s->d);

	if (!dots)
		return -1;
	cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, count, s->k, s->d, -2, block, s->d, s->centres, s->d, 0,
		    dots, s->k);
	for (int i = 0; i < count; i++) {
		const double *dot = row(dots, i, s->k);
		int best = 0;
		for (int c = 1; c < s->k; c++)
			if (dot[c] + centre_squares[c] < dot[best] + centre_squares[best])
				best = c;
		s->nearest[first + i] = best;
		sum += dot[best] + centre_squares[best] + square(row(block, i, s->d), s->d);
	}
	free(dots);
	return sum;
}

static double assign_all(struct kmeans *s)
{
	double *squares = malloc((size_t)s->k * sizeof *squares), sum = 0;

	if (!squares)
		return -1;
	for (int c = 0; c < s->k; c++)
		squares[c] = square(row(s->centres, c, s->d), s->d);
	for (int i = 0; i < s->n && sum >= 0; i += BLOCK) {
		double part = assign(s, i, s->n - i < BLOCK ? s->n - i : BLOCK, squares);
		sum = part < 0 ? -1 : sum + part;
	}
	free(squares);
	return sum;
}

static void move_centres(struct kmeans *s)
{
	memset(s->sums, 0, (size_t)s->k * (size_t)s->d * sizeof *s->sums);
	memset(s->count, 0, (size_t)s->k * sizeof *s->count);
	for (int i = 0; i < s->n; i++) {
		int c = s->nearest[i];
		s->count[c]++;
		for (int j = 0; j < s->d; j++)
			row(s->sums, c, s->d)[j] += row(s->points, i, s->d)[j];
	}
	for (int c = 0; c < s->k; c++)
		for (int j = 0; j < s->d && s->count[c]; j++)
			row(s->centres, c, s->d)[j] = row(s->sums, c, s->d)[j] / s->count[c];
}

/* Of some points: how much nearer another centre is than theirs, at most. */
static double residual(struct kmeans *s)
{
	double worst = 0;

	for (int i = 0; i < s->n; i += s->n / 16 + 1) {
		double least = INFINITY, own = 0;
		for (int c = 0; c < s->k; c++) {
			double sum = 0;
			for (int j = 0; j < s->d; j++)
				sum += pow(row(s->points, i, s->d)[j] - row(s->centres, c, s->d)[j], 2);
			least = sum < least ? sum : least;
			own = c == s->nearest[i] ? sum : own;
		}
		worst = fmax(worst, (own - least) / own);
	}
	return worst;
}

int main(int argc, char **argv)
{
	struct kmeans s = {20000, 64, 64, 0, 0, 0, 0, 0};
	int rounds = argc > 4 ? atoi(argv[4]) : 8;
	double sum = INFINITY, res = 0;

	s.n = argc > 1 ? atoi(argv[1]) : s.n;
	s.d = argc > 2 ? atoi(argv[2]) : s.d;
	s.k = argc > 3 ? atoi(argv[3]) : s.k;
	if (s.d < 1 || s.k < 1 || s.n < s.k || rounds < 1)
		return 2;
	s.points = malloc((size_t)s.n * (size_t)s.d * sizeof(double));
	s.centres = malloc((size_t)s.k * (size_t)s.d * sizeof(double));
	s.sums = malloc((size_t)s.k * (size_t)s.d * sizeof(double));
	s.nearest = malloc((size_t)s.n * sizeof(int));
	s.count = malloc((size_t)s.k * sizeof(int));
	if (!s.points || !s.centres || !s.sums || !s.nearest || !s.count)
		return 2;
	fill(&s);
	double t = now();
	for (int i = 0; i < rounds; i++) {
		double next = assign_all(&s);
		if (next < 0 || next > sum * (1 + 1e-12))
			return 1;
		sum = next;
		res = residual(&s);
		if (i + 1 < rounds)
			move_centres(&s);
	}
	t = now() - t;
	printf("kmeans points=%d dimensions=%d centres=%d residual=%.1e\n", s.n, s.d, s.k, res);
	printf("checksum=%.12e\nseconds=%.6f\n", sum, t);
	free(s.points), free(s.centres), free(s.sums), free(s.nearest), free(s.count);
	return !(res < 1e-10);
}

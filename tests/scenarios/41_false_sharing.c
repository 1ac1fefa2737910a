/* CPU threads write memory that lies between the columns of a matrix, before and behind it, in the same pages, while the
 * device computes with it: no write of either is lost. */
#include <stdatomic.h>

#include "tests/scenarios/vector.h"

enum { M = 300, LD = 512, COLS = 512, WRITERS = 3 };

static double *matrix;
static _Atomic long *pad[COLS];
static atomic_bool stop;
static long done[WRITERS];

/* Adds 1 to one word behind each column in turn. */
static void *writer(void *arg)
{
	int me = (int)(intptr_t)arg;
	long n = 0;

	for (; !atomic_load(&stop); n++)
		atomic_fetch_add(pad[(n * 7 + me) % COLS], 1);
	done[me] = n;
	return NULL;
}

int main(void)
{
	const int m = M, n = COLS, k = 1, ld = LD, rounds = is_small() ? 10 : 100;
	const double one = 1;
	double column[M], row[COLS];
	pthread_t thread[WRITERS];
	size_t count = (size_t)LD * COLS;

	matrix = malloc(count * sizeof(*matrix));
	CHECK(matrix);
	memset(matrix, 0, count * sizeof(*matrix));
	for (int i = 0; i < M; i++)
		column[i] = 1;
	for (int j = 0; j < COLS; j++) {
		row[j] = 1;
		pad[j] = (_Atomic long *)&matrix[(size_t)j * LD + M + (size_t)j % (LD - M)];
	}
	struct cdm_counters before = counters();
	for (int i = 0; i < WRITERS; i++)
		CHECK(!pthread_create(&thread[i], NULL, writer, (void *)(intptr_t)i));
	for (int i = 0; i < rounds; i++)
		dgemm_("N", "N", &m, &n, &k, &one, column, &m, row, &k, &one, matrix, &ld);
	atomic_store(&stop, true);
	long all = 0, found = 0;
	for (int i = 0; i < WRITERS; i++) {
		CHECK(!pthread_join(thread[i], NULL));
		all += done[i];
	}
	struct cdm_counters c = since(&before);
	CHECK(c.calls == (uint64_t)rounds && c.offloaded + c.declined >= c.calls, COUNT_FORMAT, COUNT_ARGS(c));
	CHECK(c.offloaded > 0, COUNT_FORMAT, COUNT_ARGS(c));
	for (int j = 0; j < COLS; j++) {
		found += atomic_load(pad[j]);
		for (int i = 0; i < M; i++)
			CHECK(matrix[i + j * LD] == rounds, "(%d, %d) is %g", i, j, matrix[i + j * LD]);
		for (int i = M; i < LD; i++)
			CHECK(&matrix[i + j * LD] == (double *)pad[j] || matrix[i + j * LD] == 0, "padding (%d, %d)", i,
			      j);
	}
	CHECK(found == all, "%ld of %ld writes are lost", all - found, all);
	printf("%ld writes beside %d operations\n", all, rounds);
	free(matrix);
	return 0;
}

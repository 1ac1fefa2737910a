/* One thread forks again and again while three others are inside dgemm. Every product, in the parent and in every
 * child, is compared with the one computed by hand: the entries are small integers, so it is exact.
 *
 * usage: fork_compute [forks [n]]      exit status 0: all right; ended by SIGALRM: it hangs
 */
#include <cblas.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 3
static int n = 200;
static double *a, *b, *want;
static atomic_int stop, wrong;
static atomic_long products;

static double *matrix(void)
{
	/* Large enough to be a region of its own. */
	double *m = malloc((size_t)n * (size_t)n * sizeof *m + (2 << 20));
	if (!m)
		_exit(3);
	return m;
}

static void inputs(void)
{
	unsigned seed = 1;
	for (int i = 0; i < n * n; i++) {
		a[i] = (double)((seed = seed * 1103515245u + 12345u) >> 28) - 8;
		b[i] = (double)((seed = seed * 1103515245u + 12345u) >> 28) - 8;
		want[i] = 0;
	}
	for (int i = 0; i < n; i++)
		for (int k = 0; k < n; k++)
			for (int j = 0; j < n; j++)
				want[i * n + j] += a[i * n + k] * b[k * n + j];
}

static int product_is_right(double *c)
{
	memset(c, 0xff, (size_t)n * (size_t)n * sizeof *c);
	cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1, a, n, b, n, 0, c, n);
	return memcmp(c, want, (size_t)n * (size_t)n * sizeof *c) == 0;
}

static void *compute(void *unused)
{
	double *c = matrix();
	while (!stop) {
		wrong += !product_is_right(c);
		products++;
	}
	free(c);
	return unused;
}

/* Computes into a matrix of its own and one that it inherited; now and then with a child of its own. */
static int child(double *inherited, int generation)
{
	double *own = matrix();
	int bad = !product_is_right(own) + !product_is_right(inherited);
	if (generation % 50 == 7) {
		int status = 1;
		pid_t pid = fork();
		if (pid == 0)
			_exit(child(inherited, 0));
		bad += waitpid(pid, &status, 0) != pid || status != 0;
	}
	free(own);
	return bad != 0;
}

int main(int argc, char **argv)
{
	int forks = argc > 1 ? atoi(argv[1]) : 200, failed = 0;
	n = argc > 2 ? atoi(argv[2]) : n;
	alarm(100);
	a = matrix(), b = matrix(), want = matrix();
	inputs();
	double *inherited = matrix();
	wrong += !product_is_right(inherited);
	pthread_t thread[THREADS];
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&thread[i], NULL, compute, NULL))
			return 3;
	for (int i = 0; i < forks; i++) {
		int status = 1;
		pid_t pid = fork();
		if (pid == 0) {
			alarm(60);
			_exit(child(inherited, i));
		}
		failed += pid < 0 || waitpid(pid, &status, 0) != pid || status != 0;
		if (pid > 0 && status)
			fprintf(stderr, "child %d: wait status %#x\n", i, (unsigned)status);
	}
	stop = 1;
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	wrong += !product_is_right(inherited);
	printf("%d forks, %d children failed; parent: %ld products, %d wrong\n", forks, failed, (long)products,
	       (int)wrong);
	return failed != 0 || wrong != 0;
}

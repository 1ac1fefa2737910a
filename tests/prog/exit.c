/* exit() or exec from one of four threads that compute: tests/prog/exit.sh. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void dgemm_(const char *ta, const char *tb, const int *m, const int *n, const int *k, const double *alpha,
	    const double *a, const int *lda, const double *b, const int *ldb, const double *beta, double *c,
	    const int *ldc);

enum { N = 500, THREADS = 4, CALLS = 200, LAST = 15 };

static double *a, *b, *c;
static int leaves_by_exec;

static void leave(void)
{
	char *const args[] = {"/bin/echo", "another program", NULL};

	if (leaves_by_exec)
		execv(args[0], args);
	exit(7);
}

static void *work(void *arg)
{
	long t = (long)arg;
	int n = N;
	double one = 1, zero = 0;

	for (int i = 0; i < CALLS; i++) {
		dgemm_("N", "N", &n, &n, &n, &one, a, &n, b, &n, &zero, c + (size_t)t * N * N, &n);
		if (t == 2 && i == LAST)
			leave();
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread[THREADS];

	leaves_by_exec = argc > 1 && !strcmp(argv[1], "exec");
	a = calloc(N * N, sizeof(*a));
	b = calloc(N * N, sizeof(*b));
	c = malloc((size_t)THREADS * N * N * sizeof(*c));
	if (!a || !b || !c)
		return 1;
	for (long t = 0; t < THREADS; t++)
		pthread_create(&thread[t], NULL, work, (void *)t);
	for (int t = 0; t < THREADS; t++)
		pthread_join(thread[t], NULL);
	return 1;
}

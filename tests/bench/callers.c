/* Threads that all call BLAS on matrices of their own, and how much they get done together.
 *
 *   callers THREADS gemm|getrf|mixed N
 *
 * prints "ready" after each thread has made every kind of call, and has made them for WARM seconds (what a library or libcdm does
 * at first, once, is the programs' and the start-up's rows to measure), reads a line "BEGIN END" (seconds of CLOCK_MONOTONIC),
 * works from BEGIN to END, and prints the Gflop done in between. A call that END cuts counts for the part before it; all
 * threads go on until each has passed END, so that nobody is measured on an idle machine. Exit status 3: a wrong result.
 *
 *   gemm    C = A B, order N
 *   getrf   of a matrix whose pivots are its diagonal, order N
 *   mixed   both, of orders N/4 to N, each thread beginning elsewhere
 */
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

void dgemm_(const char *, const char *, const int *, const int *, const int *, const double *, const double *,
	    const int *, const double *, const int *, const double *, double *, const int *, size_t, size_t);
void dgetrf_(const int *, const int *, double *, const int *, int *, int *);

#define WARM 0.2

enum { MAX_THREADS = 256, MAX_N = 4096, MAX_STEPS = 6 };

struct step {
	int factor; /* getrf, else gemm */
	int n;
};

static struct step steps[MAX_STEPS];
static int nsteps, order;
static double begin_at, end_at;
static pthread_barrier_t warm, go;
static int threads, crossed; /* how many are past END */

struct caller {
	pthread_t thread;
	int index, *pivots;
	double *a, *b, *c, gflop;
	int wrong;
};

static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

static double gflop(struct step s)
{
	double n = s.n;
	return (s.factor ? 2.0 / 3 : 2.0) * n * n * n * 1e-9;
}

static void call(struct caller *t, struct step s)
{
	const double one = 1, zero = 0;
	int info;

	if (!s.factor) {
		dgemm_("N", "N", &s.n, &s.n, &s.n, &one, t->a, &s.n, t->b, &s.n, &zero, t->c, &s.n, 1, 1);
		return;
	}
	memcpy(t->c, t->a, (size_t)s.n * (size_t)s.n * sizeof *t->c);
	for (int i = 0; i < s.n; i++)
		t->c[(size_t)i * (size_t)(s.n + 1)] += s.n;
	dgetrf_(&s.n, &s.n, t->c, &s.n, t->pivots, &info);
	t->wrong |= info != 0;
}

/* Element (i, j) of the product, or of L U, against the one that was computed. */
static int element_wrong(const struct caller *t, struct step s, int i, int j)
{
	size_t n = (size_t)s.n, row = (size_t)i, col = (size_t)j;
	double sum = 0, is;

	if (!s.factor) {
		for (size_t k = 0; k < n; k++)
			sum += t->a[row + k * n] * t->b[k + col * n];
		is = t->c[row + col * n];
	} else {
		for (size_t k = 0; k <= row && k <= col; k++)
			sum += (k == row ? 1 : t->c[row + k * n]) * t->c[k + col * n];
		is = t->a[row + col * n] + (i == j ? s.n : 0);
	}
	return !(fabs(sum - is) < 1e-9 * s.n);
}

static int result_wrong(const struct caller *t, struct step s)
{
	int wrong = 0;
	for (int i = 0; i < 16; i++)
		wrong |= element_wrong(t, s, i * 7919 % s.n, i * 104729 % s.n);
	return wrong;
}

static int fill(struct caller *t)
{
	size_t count = (size_t)order * (size_t)order, bytes = count * sizeof(double);
	unsigned state = (unsigned)t->index + 1;

	t->a = malloc(bytes);
	t->b = malloc(bytes);
	t->c = malloc(bytes);
	t->pivots = malloc((size_t)order * sizeof *t->pivots);
	if (!t->a || !t->b || !t->c || !t->pivots)
		return 0;
	for (size_t i = 0; i < count; i++) {
		state = state * 1664525u + 1013904223u;
		t->a[i] = (double)(state >> 8) / 16777216 - 0.5;
		state = state * 1664525u + 1013904223u;
		t->b[i] = (double)(state >> 8) / 16777216 - 0.5;
	}
	return 1;
}

/* The step whose result is in c. */
static int work(struct caller *t)
{
	int passed = 0, step = t->index % nsteps, last = nsteps - 1;

	while (__atomic_load_n(&crossed, __ATOMIC_RELAXED) < threads) {
		double from = now();
		call(t, steps[step]);
		double to = now();
		if (from < end_at)
			t->gflop += gflop(steps[step]) * (to <= end_at ? 1 : (end_at - from) / (to - from));
		if (to >= end_at && !passed) {
			passed = 1;
			__atomic_fetch_add(&crossed, 1, __ATOMIC_RELAXED);
		}
		last = step;
		step = (step + 1) % nsteps;
	}
	return last;
}

static void *run(void *arg)
{
	struct caller *t = arg;

	if (!fill(t))
		exit(2);
	for (int i = 0; i < nsteps; i++) {
		call(t, steps[i]);
		t->wrong |= result_wrong(t, steps[i]);
	}
	for (double until = now() + WARM; now() < until;)
		for (int i = 0; i < nsteps; i++)
			call(t, steps[i]);
	pthread_barrier_wait(&warm);
	pthread_barrier_wait(&go);
	struct timespec at = {(time_t)begin_at, (long)((begin_at - floor(begin_at)) * 1e9)};
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
	t->wrong |= result_wrong(t, steps[work(t)]);
	return NULL;
}

static int plan(const char *kind, int n)
{
	const struct step mixed[MAX_STEPS] = {{0, n}, {1, n / 2}, {0, n / 4}, {1, n}, {0, n / 2}, {1, n / 4}};

	order = n;
	nsteps = 1;
	if (!strcmp(kind, "mixed")) {
		nsteps = MAX_STEPS;
		memcpy(steps, mixed, sizeof steps);
	} else {
		steps[0] = (struct step){!strcmp(kind, "getrf"), n};
	}
	return !strcmp(kind, "mixed") || !strcmp(kind, "gemm") || !strcmp(kind, "getrf");
}

int main(int argc, char **argv)
{
	static struct caller callers[MAX_THREADS];
	char line[128];
	double sum = 0;
	int wrong = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	threads = argc == 4 ? atoi(argv[1]) : 0;
	int n = argc == 4 ? atoi(argv[3]) : 0;
	if (threads < 1 || threads > MAX_THREADS || n < 16 || n > MAX_N || !plan(argv[2], n)) {
		fprintf(stderr, "usage: callers THREADS gemm|getrf|mixed N\n");
		return 2;
	}
	pthread_barrier_init(&warm, NULL, (unsigned)threads + 1);
	pthread_barrier_init(&go, NULL, (unsigned)threads + 1);
	for (int i = 0; i < threads; i++) {
		callers[i].index = i;
		if (pthread_create(&callers[i].thread, NULL, run, &callers[i]))
			return 2;
	}
	pthread_barrier_wait(&warm);
	printf("ready\n");
	fflush(stdout);
	if (!fgets(line, sizeof line, stdin) || sscanf(line, "%lf %lf", &begin_at, &end_at) != 2)
		return 2;
	pthread_barrier_wait(&go);
	for (int i = 0; i < threads; i++) {
		pthread_join(callers[i].thread, NULL);
		sum += callers[i].gflop;
		wrong |= callers[i].wrong;
	}
	printf("%.6f\n", sum);
	return wrong ? 3 : 0;
}

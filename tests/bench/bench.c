/* Measures itself, so that the same binary runs with and without the preload. Each mode prints one number, the
 * median over its repetitions, on a line of its own; work of one thread is measured in CPU time. bench.py
 * alternates the runs and compares.
 *
 *   bench spawn LIB COUNT PROGRAM   ms that LD_PRELOAD=LIB adds to running PROGRAM (run without the preload)
 *   bench small                     ns for malloc + free of 16 to 200 bytes
 *   bench large BYTES COUNT         ns for malloc, a write to each byte, free
 *   bench gemm TYPE N COUNT CALLS   ns for one TYPE (s, d, z) gemm of order N, in COUNT batches of CALLS
 *   bench cgemm d N COUNT CALLS     the same for cblas_dgemm, N up to 8
 *   bench dot d N COUNT CALLS       the same for ddot, N up to 8
 */
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef void gemm_fn(const char *, const char *, const int *, const int *, const int *, const void *, const void *,
		     const int *, const void *, const int *, const void *, void *, const int *);
extern gemm_fn sgemm_, dgemm_, zgemm_;
double ddot_(const int *, const double *, const int *, const double *, const int *);
void cblas_dgemm(int, int, int, int, int, int, double, const double *, int, const double *, int, double, double *, int);
extern char **environ;

static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* For work of one thread: other programs on the machine do not count. */
static double cpu(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
	double d = *(const double *)a - *(const double *)b;
	return (d > 0) - (d < 0);
}
static double median(double *v, int n)
{
	qsort(v, (size_t)n, sizeof *v, ascending);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static double spawn_once(char *program, char **env)
{
	char *argv[] = {program, NULL};
	pid_t pid;
	int status;
	double begin = now();
	if (posix_spawn(&pid, program, NULL, NULL, argv, env) || waitpid(pid, &status, 0) != pid)
		exit(2);
	return now() - begin;
}

static double spawn(const char *lib, int count, char *program)
{
	char preload[4096];
	snprintf(preload, sizeof preload, "LD_PRELOAD=%s", lib);
	char *plain[] = {NULL}, *with[] = {preload, NULL};
	double *added = calloc((size_t)count, sizeof *added);
	for (int i = 0; i < count; i++) {
		double first = spawn_once(program, i % 2 ? with : plain);
		double second = spawn_once(program, i % 2 ? plain : with);
		added[i] = (i % 2 ? first - second : second - first) / 1e6;
	}
	return median(added, count);
}

static double small_blocks(void)
{
	enum { LIVE = 64, PAIRS = 200000, BATCHES = 15 };
	double ns[BATCHES];
	void *live[LIVE] = {0};
	uint32_t seed = 1;
	for (int b = 0; b < BATCHES; b++) {
		double begin = cpu();
		for (int i = 0; i < PAIRS; i++) {
			seed = seed * 1664525u + 1013904223u;
			void **slot = &live[seed >> 26];
			free(*slot);
			*slot = malloc(16 + (seed >> 12) % 185);
			*(volatile char *)*slot = 1;
		}
		ns[b] = (cpu() - begin) / PAIRS;
	}
	for (int i = 0; i < LIVE; i++)
		free(live[i]);
	return median(ns, BATCHES);
}

static double large_blocks(size_t bytes, int count)
{
	double *ns = calloc((size_t)count, sizeof *ns);
	for (int i = -2; i < count; i++) {
		double begin = cpu();
		char *p = malloc(bytes);
		memset(p, i, bytes);
		__asm__ volatile("" ::"r"(p) : "memory"); /* nor may the compiler drop the pair */
		free(p);
		if (i >= 0)
			ns[i] = cpu() - begin;
	}
	return median(ns, count);
}

static double *matrix(size_t n, size_t elem)
{
	size_t bytes = n * n * elem;
	double *m = malloc(bytes < (2 << 20) ? 2 << 20 : bytes);
	for (size_t i = 0; i < bytes / sizeof(float); i++)
		((float *)m)[i] = 0;
	for (size_t i = 0; elem > 4 && i < bytes / sizeof(double); i++)
		m[i] = (double)(i % 1013) / 1013;
	for (size_t i = 0; elem == 4 && i < n * n; i++)
		((float *)m)[i] = (float)(i % 1013) / 1013;
	return m;
}

static double gemm(char type, int n, int count, int calls)
{
	double (*time_of)(void) = n <= 32 ? cpu : now; /* libraries use one thread for these */
	size_t elem = type == 's' ? 4 : type == 'd' ? 8 : 16;
	gemm_fn *call = type == 's' ? sgemm_ : type == 'd' ? dgemm_ : zgemm_;
	const double done[2] = {1, 0}, dzero[2] = {0, 0};
	const float sone = 1, szero = 0;
	const void *one = type == 's' ? (const void *)&sone : done, *zero = type == 's' ? (const void *)&szero : dzero;
	void *a = matrix((size_t)n, elem), *b = matrix((size_t)n, elem), *c = matrix((size_t)n, elem);
	double *ns = calloc((size_t)count, sizeof *ns);
	for (int i = -2; i < count; i++) {
		double begin = time_of();
		for (int j = 0; j < calls; j++)
			call("N", "N", &n, &n, &n, one, a, &n, b, &n, zero, c, &n);
		if (i >= 0)
			ns[i] = (time_of() - begin) / calls;
	}
	return median(ns, count);
}

/* n elements each, cheap calls. */
static double dot(int n, int count, int calls)
{
	double x[8] = {1, 2, 3}, *ns = calloc((size_t)count, sizeof *ns);
	volatile double sum = 0;
	int one = 1;

	for (int i = -2; i < count; i++) {
		double begin = cpu();
		for (int j = 0; j < calls; j++)
			sum += ddot_(&n, x, &one, x, &one);
		if (i >= 0)
			ns[i] = (cpu() - begin) / calls;
	}
	return median(ns, count);
}

static double cblas(int n, int count, int calls)
{
	double a[64] = {1}, b[64] = {2}, c[64], *ns = calloc((size_t)count, sizeof *ns);

	for (int i = -2; i < count; i++) {
		double begin = cpu();
		for (int j = 0; j < calls; j++)
			cblas_dgemm(102, 111, 111, n, n, n, 1, a, n, b, n, 0, c, n);
		if (i >= 0)
			ns[i] = (cpu() - begin) / calls;
	}
	return median(ns, count);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	double result;
	if (!strcmp(mode, "spawn") && argc == 5)
		result = spawn(argv[2], atoi(argv[3]), argv[4]);
	else if (!strcmp(mode, "small"))
		result = small_blocks();
	else if (!strcmp(mode, "large") && argc == 4)
		result = large_blocks((size_t)atol(argv[2]), atoi(argv[3]));
	else if (!strcmp(mode, "gemm") && argc == 6)
		result = gemm(argv[2][0], atoi(argv[3]), atoi(argv[4]), atoi(argv[5]));
	else if (!strcmp(mode, "dot") && argc == 6)
		result = dot(atoi(argv[3]), atoi(argv[4]), atoi(argv[5]));
	else if (!strcmp(mode, "cgemm") && argc == 6)
		result = cblas(atoi(argv[3]), atoi(argv[4]), atoi(argv[5]));
	else
		return 2;
	printf("%.3f\n", result);
	return 0;
}

/* Compute on a BLAS library opened at run time: products against plain loops, results of functions, LAPACK, integers of both
 * widths, threads, fork, and what the program must not notice. That each routine gets the arguments it should is
 * test_blas_args.c's. */
#include <complex.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "offload/base/config.h"
#include "offload/base/lock.h"
#include "offload/dev/dev.h"
#include "shim/gate.h"

static const struct cdm_routine table[CDM_BLAS_COUNT] = {
#define CDM_ROUTINE(name, type, shape, doors) [CDM_BLAS_##name] = {#name, CDM_##type},
#include "shim/blas.def"
};

static char dir[64];
static volatile sig_atomic_t children;

static void on_child(int sig)
{
	(void)sig;
	children++;
}

/* A cache of the test's own; the tool, if it is built, beside this program, where an installed one would be. */
static void use_tool(void)
{
	char self[512], tool[600], link[600];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	cr_assert_gt(n, 0);
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	snprintf(tool, sizeof(tool), "%s/../../cdm", self);
	snprintf(link, sizeof(link), "%s/cdm", self);
	if (!access(tool, X_OK) && access(link, X_OK))
		(void)!symlink("../../cdm", link);
}

static void set_up(void)
{
	strcpy(dir, "/tmp/cdm-compute-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	setenv("XDG_CACHE_HOME", dir, 1);
	signal(SIGCHLD, on_child);
	cdm_engine_routines(table, CDM_BLAS_COUNT);
}

static void tear_down(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	cr_assert_eq(system(command), 0);
}

TestSuite(compute, .init = set_up, .fini = tear_down, .timeout = 60);

static void open_device(void)
{
	cr_assert_eq(cdm_compute_blas.open(), 0);
	cr_assert(cdm_compute_blas.supports(CDM_BLAS_dgemm));
}

/* ---- calls ------------------------------------------------------------------------------------------- */

/* A letter, an integer, or an address, as the list says; nothing for info, which comes last. */
static struct cdm_call call_of(int routine, char returns, const char *args, ...)
{
	struct cdm_call c = {.routine = routine, .returns = returns, .args = args, .count = (uint8_t)strlen(args)};
	va_list ap;

	va_start(ap, args);
	for (int i = 0; i < c.count; i++)
		if (args[i] == 'L') {
			c.letter[i] = (char)va_arg(ap, int);
			c.letters++;
		} else if (args[i] == 'N') {
			c.n[i] = va_arg(ap, int);
		} else if (args[i] != 'O') {
			c.arg[i] = va_arg(ap, void *);
		}
	va_end(ap);
	return c;
}

/* c has its place: integers and letters are passed as addresses in it. */
static int run(struct cdm_call *c)
{
	for (int i = 0; i < c->count; i++)
		if (strchr("NO", c->args[i]))
			c->arg[i] = &c->n[i];
		else if (c->args[i] == 'L')
			c->arg[i] = &c->letter[i];
	return cdm_compute_blas.run(c);
}

static void add_integers(struct cdm_call *c, int arg, int64_t n, enum cdm_access access)
{
	c->op[c->operands++] = (struct cdm_operand){.base = c->arg[arg],
						    .rows = n,
						    .cols = 1,
						    .ld = n,
						    .elem = c->wide ? 8 : 4,
						    .access = (uint8_t)access,
						    .arg = (uint8_t)arg,
						    .ld_arg = CDM_NO_ARG,
						    .integers = true};
}

/* ---- products, in complex double ---------------------------------------------------------------------- */

enum { M = 23, N = 17, K = 31, LD = 37, CELLS = LD * LD };

typedef complex double number;

static number draw(bool real)
{
	/* What every type represents alike. */
	double re = (float)(drand48() - 0.5), im = (float)(drand48() - 0.5);
	return real ? re : re + im * I;
}

static void store(void *to, size_t i, enum cdm_scalar t, number v)
{
	switch (t) {
	case CDM_S:
		((float *)to)[i] = (float)creal(v);
		break;
	case CDM_D:
		((double *)to)[i] = creal(v);
		break;
	case CDM_C:
		((complex float *)to)[i] = (complex float)v;
		break;
	default:
		((number *)to)[i] = v;
	}
}

static number fetch(const void *from, size_t i, enum cdm_scalar t)
{
	switch (t) {
	case CDM_S:
		return ((const float *)from)[i];
	case CDM_D:
		return ((const double *)from)[i];
	case CDM_C:
		return ((const complex float *)from)[i];
	default:
		return ((const number *)from)[i];
	}
}

/* op(A)(i, j) */
static number element(const void *a, enum cdm_scalar t, char trans, int i, int j)
{
	number v = fetch(a, (size_t)(trans == 'N' ? i + j * LD : j + i * LD), t);
	return trans == 'C' ? conj(v) : v;
}

static void check_gemm(int routine, char ta, char tb)
{
	static _Alignas(64) char a[CELLS * 16], b[CELLS * 16], c[CELLS * 16], was[CELLS * 16];
	enum cdm_scalar t = table[routine].type;
	bool single = t == CDM_S || t == CDM_C, real = t < CDM_C;
	number alpha = draw(real), beta = draw(real), scalars[2];
	struct cdm_call call =
		call_of(routine, 'v', "LLNNNSMNMNSMN", ta, tb, M, N, K, &scalars[0], a, LD, b, LD, &scalars[1], c, LD);

	store(&scalars[0], 0, t, alpha);
	store(&scalars[1], 0, t, beta);
	for (size_t i = 0; i < CELLS; i++) {
		store(a, i, t, draw(real));
		store(b, i, t, draw(real));
		store(c, i, t, draw(real));
	}
	memcpy(was, c, sizeof(c));
	cr_assert_eq(run(&call), 0);
	for (int j = 0; j < LD; j++)
		for (int i = 0; i < LD; i++) {
			number want = fetch(was, (size_t)(i + j * LD), t), sum = 0;
			for (int l = 0; i < M && j < N && l < K; l++)
				sum += element(a, t, ta, i, l) * element(b, t, tb, l, j);
			if (i < M && j < N)
				want = alpha * sum + beta * want;
			number got = fetch(c, (size_t)(i + j * LD), t);
			cr_assert(cabs(got - want) < (single ? 2e-4 : 1e-12), "%s %c%c: (%d, %d) is %g%+gi, not %g%+gi",
				  table[routine].name, ta, tb, i, j, creal(got), cimag(got), creal(want), cimag(want));
		}
}

Test(compute, products)
{
	open_device();
	for (int routine = CDM_BLAS_sgemm; routine <= CDM_BLAS_zgemm; routine++) {
		cr_assert_not_null(cdm_compute_blas.entry(routine));
		for (int i = 0; i < 9; i++)
			check_gemm(routine, "NTC"[i / 3], "NTC"[i % 3]);
	}
}

/* ---- functions ---------------------------------------------------------------------------------------- */

Test(compute, results_of_functions)
{
	float s[] = {1, 2, -3, 0.5f};
	double d[] = {3, -4, 0, 12};
	struct cdm_call c;

	open_device();
	c = call_of(CDM_BLAS_sdot, 's', "NMNMN", 4, s, 1, s, 1);
	cr_assert(!run(&c) && c.result.s == 14.25f);
	c = call_of(CDM_BLAS_ddot, 'd', "NMNMN", 4, d, 1, d, -1);
	cr_assert(!run(&c) && c.result.d == 72);
	c = call_of(CDM_BLAS_cdotc, 'c', "NMNMN", 1, s, 1, s + 2, 1);
	cr_assert(!run(&c) && c.result.c[0] == -2 && c.result.c[1] == 6.5f);
	c = call_of(CDM_BLAS_zdotc, 'z', "NMNMN", 1, d, 1, d + 2, 1);
	cr_assert(!run(&c) && c.result.z[0] == -48 && c.result.z[1] == 36);
	c = call_of(CDM_BLAS_zdotu, 'z', "NMNMN", 1, d, 1, d + 2, 1);
	cr_assert(!run(&c) && c.result.z[0] == 48 && c.result.z[1] == 36);
	c = call_of(CDM_BLAS_idamax, 'i', "NMN", 4, d, 1);
	cr_assert(!run(&c) && c.result.i == 4);
	c = call_of(CDM_BLAS_snrm2, 's', "NMN", 2, (float[]){3, 4}, 1);
	cr_assert(!run(&c) && fabsf(c.result.s - 5) < 1e-5f);
	c = call_of(CDM_BLAS_dznrm2, 'd', "NMN", 2, d, 1);
	cr_assert(!run(&c) && fabs(c.result.d - 13) < 1e-12);
	c = call_of(CDM_BLAS_dsdot, 'd', "NMNMN", 2, (float[]){1e10f, 1}, 1, (float[]){1e10f, 1}, 1);
	cr_assert(!run(&c) && c.result.d == 1e10 * 1e10 + 1);
}

/* ---- LAPACK ------------------------------------------------------------------------------------------- */

enum { ORDER = 150 }; /* in blocks */

static double *matrix_make(int columns)
{
	double *a = malloc((size_t)(ORDER * columns) * sizeof(double));

	for (int i = 0; i < ORDER * columns; i++)
		a[i] = drand48() - 0.5 + (columns == ORDER && i % (ORDER + 1) == 0 ? 3 : 0);
	return a;
}

/* A X = B by dgesv, X multiplied back; pivots of the caller's width, whatever the library's. */
static void solve(bool wide)
{
	int64_t wide_pivots[ORDER + 1];
	int32_t narrow[ORDER + 1];
	double *a = matrix_make(ORDER), *b = matrix_make(2), *lu = malloc(ORDER * ORDER * sizeof(*a));
	double *x = malloc(2 * ORDER * sizeof(*x));
	struct cdm_call c = call_of(CDM_BLAS_dgesv, 'v', "NNMNIMNO", ORDER, 2, lu, ORDER,
				    wide ? (void *)wide_pivots : narrow, x, ORDER);

	memcpy(lu, a, ORDER * ORDER * sizeof(*a));
	memcpy(x, b, 2 * ORDER * sizeof(*x));
	wide_pivots[ORDER] = narrow[ORDER] = 77;
	c.wide = wide;
	c.n[7] = 99;
	add_integers(&c, 4, ORDER, CDM_W);
	cr_assert_eq(run(&c), 0);
	cr_assert_eq(c.n[7], 0);
	for (int i = 0; i < ORDER; i++) {
		int64_t p = wide ? wide_pivots[i] : narrow[i];
		cr_assert(p > i && p <= ORDER);
	}
	cr_assert(wide ? wide_pivots[ORDER] == 77 : narrow[ORDER] == 77);
	for (int j = 0; j < 2; j++)
		for (int i = 0; i < ORDER; i++) {
			double sum = -b[i + j * ORDER];
			for (int k = 0; k < ORDER; k++)
				sum += a[i + k * ORDER] * x[k + j * ORDER];
			cr_assert_lt(fabs(sum), 1e-10);
		}
	/* The same factors and pivots, read. */
	memcpy(x, b, 2 * ORDER * sizeof(*x));
	struct cdm_call again =
		call_of(CDM_BLAS_dgetrs, 'v', "LNNMNIMNO", 'N', ORDER, 2, lu, ORDER, c.arg[4], x, ORDER);
	again.wide = wide;
	add_integers(&again, 5, ORDER, CDM_R);
	cr_assert_eq(run(&again), 0);
	double sum = -b[0];
	for (int k = 0; k < ORDER; k++)
		sum += a[k * ORDER] * x[k];
	cr_assert_lt(fabs(sum), 1e-10);
	free(a);
	free(b);
	free(lu);
	free(x);
}

Test(compute, pivots_of_both_widths)
{
	open_device();
	solve(false);
	solve(true);
}

/* Info is whole in 64 bits, of either sign: not positive definite from the third row on; nothing wrong. */
Test(compute, info)
{
	double a[] = {4, 0, 0, 0, 4, 0, 0, 0, -1};
	struct cdm_call c = call_of(CDM_BLAS_dpotrf, 'v', "LNMNO", 'L', 3, a, 3);

	open_device();
	c.n[4] = INT64_C(0x7777777777777777);
	cr_assert(!run(&c) && c.n[4] == 3);
	c = call_of(CDM_BLAS_dpotrf, 'v', "LNMNO", 'L', 2, (double[]){4, 2, 0, 10}, 2);
	c.n[4] = -1;
	cr_assert(!run(&c) && c.n[4] == 0);
}

/* Ten eigenvalues of a diagonal matrix in disorder. */
Test(compute, eigenvalues)
{
	double a[100] = {0}, w[10], work[400];
	struct cdm_call c = call_of(CDM_BLAS_dsyev, 'v', "LLNMNMMNO", 'V', 'U', 10, a, 10, w, work, 400);

	open_device();
	for (int i = 0; i < 10; i++)
		a[11 * i] = i * 7 % 10;
	cr_assert(!run(&c) && c.n[8] == 0);
	for (int i = 0; i < 10; i++) {
		cr_assert_lt(fabs(w[i] - i), 1e-12);
		cr_assert_lt(fabs(fabs(a[i * 3 % 10 + 10 * i]) - 1), 1e-12);
	}
}

/* ---- one square dgemm --------------------------------------------------------------------------------- */

struct square {
	int64_t n;
	double alpha, beta, *a, *b, *c;
	struct cdm_call call;
};

static void make_square(struct square *s, int64_t n)
{
	size_t cells = (size_t)(n * n);

	*s = (struct square){.n = n, .alpha = 1};
	s->a = malloc(3 * cells * sizeof(double));
	s->b = s->a + cells;
	s->c = s->b + cells;
	for (int64_t i = 0; i < n * n; i++) {
		s->a[i] = (double)(i % 7);
		s->b[i] = (double)(i % 5);
	}
	s->call = call_of(CDM_BLAS_dgemm, 'v', "LLNNNSMNMNSMN", 'N', 'N', (int)n, (int)n, (int)n, &s->alpha, s->a,
			  (int)n, s->b, (int)n, &s->beta, s->c, (int)n);
}

/* Small integers: exact in every order of summation. */
static bool square_is_right(const struct square *s)
{
	for (int64_t j = 0; j < s->n; j += s->n / 9 + 1)
		for (int64_t i = 0; i < s->n; i++) {
			double sum = 0;
			for (int64_t k = 0; k < s->n; k++)
				sum += s->a[i + k * s->n] * s->b[k + j * s->n];
			if (s->c[i + j * s->n] != sum)
				return false;
		}
	return true;
}

static bool compute(struct square *s)
{
	memset(s->c, 0xff, (size_t)(s->n * s->n) * sizeof(double));
	return run(&s->call) == 0 && square_is_right(s);
}

Test(compute, sizes_beyond_the_library)
{
	struct square s;

	open_device();
	make_square(&s, 8);
	memset(s.c, 0x5a, 8 * 8 * sizeof(double));
	s.call.n[9] = (int64_t)1 << 31;
	cr_assert_eq(run(&s.call), -EOVERFLOW);
	s.call.n[9] = 8;
	s.call.n[4] = (int64_t)1 << 40;
	cr_assert_eq(run(&s.call), -EOVERFLOW);
	for (int i = 0; i < 8 * 8 * (int)sizeof(double); i++)
		cr_assert_eq(((char *)s.c)[i], 0x5a);
	s.call.routine = -1;
	cr_assert_lt(run(&s.call), 0);
	s.call.routine = CDM_BLAS_COUNT;
	cr_assert_lt(run(&s.call), 0);
	cr_assert_null(cdm_compute_blas.entry(10000));
	cr_assert_not(cdm_compute_blas.supports(-1));
	free(s.a);
}

static void *compute_often(void *arg)
{
	struct square s;

	make_square(&s, (int64_t)(intptr_t)arg);
	for (int i = 0; i < 20; i++)
		if (!compute(&s))
			return (void *)"wrong";
	free(s.a);
	return NULL;
}

Test(compute, eight_threads_at_once)
{
	pthread_t t[8];
	void *wrong;

	open_device();
	for (intptr_t i = 0; i < 8; i++)
		cr_assert_eq(pthread_create(&t[i], NULL, compute_often, (void *)(90 + 20 * i)), 0);
	for (int i = 0; i < 8; i++) {
		cr_assert_eq(pthread_join(t[i], &wrong), 0);
		cr_assert_null(wrong);
	}
}

/* ---- fork ---------------------------------------------------------------------------------------------- */

static cdm_lock running; /* the engine's promise: no call during a fork */
static _Atomic int stop, wrongs, rounds;

static void *compute_on(void *arg)
{
	struct square s;

	(void)arg;
	make_square(&s, 200);
	while (!stop) {
		cdm_lock_take(&running);
		wrongs += !compute(&s);
		cdm_lock_drop(&running);
		rounds++;
	}
	free(s.a);
	return NULL;
}

static int forked_compute(void)
{
	struct square s;
	pid_t pid;

	cdm_lock_take(&running);
	cdm_compute_blas.fork_prepare();
	pid = fork();
	if (pid == 0) {
		cdm_compute_blas.fork_child();
		alarm(20);
		make_square(&s, 300);
		_exit(compute(&s) && compute(&s) ? 0 : 1);
	}
	cdm_lock_drop(&running);
	return pid;
}

static void fork_often(int times)
{
	pthread_t t;
	int status;

	open_device();
	cr_assert_eq(pthread_create(&t, NULL, compute_on, NULL), 0);
	while (rounds < 3)
		usleep(1000);
	for (int i = 0; i < times; i++) {
		pid_t pid = forked_compute();
		cr_assert_gt(pid, 0);
		while (waitpid(pid, &status, 0) < 0)
			cr_assert_eq(errno, EINTR);
		cr_assert_eq(status, 0, "round %d: status %x", i, status);
	}
	stop = 1;
	pthread_join(t, NULL);
	cr_assert_eq(wrongs, 0);
}

Test(compute, fork_while_another_thread_computes)
{
	cdm_config.threads = 2;
	fork_often(40);
}

Test(compute, fork_with_blis)
{
	cdm_config.threads = 2;
	cdm_config.blas = "blis";
	fork_often(10);
}

/* ---- what the program must not notice ------------------------------------------------------------------- */

Test(compute, nothing_to_notice)
{
	unsetenv("OPENBLAS_CORETYPE");
	unsetenv("OPENBLAS_NUM_THREADS");
	use_tool();
	children = 0;
	open_device();
	cr_assert_eq(children, 0);
	errno = 0;
	cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1);
	cr_assert_eq(errno, ECHILD);
	cr_assert_null(getenv("OPENBLAS_CORETYPE"));
	cr_assert_null(getenv("OPENBLAS_NUM_THREADS"));
	cr_assert_gt(cdm_compute_blas.crossover(), 1e3);
	cr_assert_lt(cdm_compute_blas.crossover(), 1e9);
	cr_assert_gt(strlen(cdm_compute_blas.describe()), 8);
}

Test(compute, forced_library_that_does_not_exist)
{
	cdm_config.blas = "/nonexistent";
	open_device();
}

Test(compute, forced_netlib)
{
	struct square s;

	cdm_config.blas = "netlib";
	open_device();
	cr_assert_null(strstr(cdm_compute_blas.describe(), "OpenBLAS"));
	make_square(&s, 50);
	cr_assert(compute(&s));
	free(s.a);
}

/* The signal masks of threads with an identifier above last, which is set to the largest seen; their number. */
static int masks_of_threads(int *last, unsigned long long *masks, int max)
{
	char path[300], line[128];
	int n = 0, most = *last;
	struct dirent *e;
	DIR *d = opendir("/proc/self/task");

	while ((e = readdir(d))) {
		int tid = atoi(e->d_name);
		most = tid > most ? tid : most;
		snprintf(path, sizeof(path), "/proc/self/task/%d/status", tid);
		FILE *f = tid > *last && n < max ? fopen(path, "r") : NULL;
		while (f && fgets(line, sizeof(line), f))
			n += sscanf(line, "SigBlk: %llx", &masks[n]) == 1;
		if (f)
			fclose(f);
	}
	closedir(d);
	*last = most;
	return n;
}

/* A library thread must never take a signal of the program, but its own faults, also after a fork has restarted it. */
Test(compute, workers_take_no_signals)
{
	unsigned long long mask[64];
	struct square s;
	int last = 0;

	cdm_config.threads = 2;
	masks_of_threads(&last, mask, 0);
	open_device();
	if (strstr(cdm_compute_blas.describe(), "namespace"))
		cr_skip("not isolated here");
	make_square(&s, 400);
	for (int again = 0; again < 2; again++) {
		int before = last;
		cr_assert(compute(&s));
		int n = masks_of_threads(&last, mask, 64);
		cr_assert(n > 0 || !strstr(cdm_compute_blas.describe(), "OpenBLAS"));
		for (int i = 0; i < n; i++) {
			cr_assert(mask[i] >> (SIGALRM - 1) & mask[i] >> (SIGCHLD - 1) & mask[i] >> (SIGINT - 1) & 1);
			cr_assert_not(mask[i] >> (SIGSEGV - 1) & 1, "%llx", mask[i]);
		}
		last = before;
		cdm_compute_blas.fork_prepare();
	}
	free(s.a);
}

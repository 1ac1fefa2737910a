/* Compute on a BLAS library opened at run time: every routine against plain loops, threads, fork, and what the program
 * must not notice. */
#include <complex.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "offload/base/config.h"
#include "offload/base/lock.h"
#include "offload/dev/dev.h"

#define ROUTINE(p, T)                                                                                                  \
	{#p "gemm", CDM_GEMM, T}, {#p "gemmt", CDM_GEMMT, T}, {#p "symm", CDM_SYMM, T}, {#p "syrk", CDM_SYRK, T},      \
		{#p "syr2k", CDM_SYR2K, T}, {#p "trmm", CDM_TRMM, T},                                                  \
	{                                                                                                              \
#p "trsm", CDM_TRSM, T                                                                                 \
	}
#define HERMITIAN(p, T)                                                                                                \
	{#p "hemm", CDM_HEMM, T}, {#p "herk", CDM_HERK, T},                                                            \
	{                                                                                                              \
#p "her2k", CDM_HER2K, T                                                                               \
	}

static const struct cdm_routine table[] = {
	ROUTINE(s, CDM_S),   ROUTINE(d, CDM_D),   ROUTINE(c, CDM_C),       ROUTINE(z, CDM_Z),
	HERMITIAN(c, CDM_C), HERMITIAN(z, CDM_Z), {NULL, CDM_GEMM, CDM_S},
};
enum { DGEMM = 7 };

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
	cdm_engine_routines(table, (int)(sizeof(table) / sizeof(*table)) - 1);
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
	cr_assert(cdm_compute_blas.supports(DGEMM));
}

/* ---- reference: everything in complex double --------------------------------------------------------- */

enum { M = 23, N = 17, K = 31, LD = 37, CELLS = LD * LD };

typedef complex double number;

struct matrix {
	number at[CELLS]; /* column-major, leading dimension LD */
};

static number draw(bool real)
{
	double re = drand48() - 0.5, im = drand48() - 0.5;
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

/* op(A)(i, j) of a general matrix. */
static number general(const struct matrix *a, char trans, int i, int j)
{
	number v = trans == 'N' ? a->at[i + j * LD] : a->at[j + i * LD];
	return trans == 'C' ? conj(v) : v;
}

/* Element (i, j) of a symmetric or Hermitian matrix of which one triangle is stored. */
static number symmetric(const struct matrix *a, char uplo, bool hermitian, int i, int j)
{
	bool stored = uplo == 'U' ? i <= j : i >= j;
	number v = stored ? a->at[i + j * LD] : a->at[j + i * LD];
	if (hermitian && i == j)
		return creal(v);
	return hermitian && !stored ? conj(v) : v;
}

/* op(A)(i, j) of a triangular matrix. */
static number triangular(const struct matrix *a, char uplo, char trans, char diag, int i, int j)
{
	int r = trans == 'N' ? i : j, c = trans == 'N' ? j : i;
	if (r == c && diag == 'U')
		return 1;
	if (uplo == 'U' ? r > c : r < c)
		return 0;
	number v = a->at[r + c * LD];
	return trans == 'C' ? conj(v) : v;
}

struct test_case {
	const struct cdm_routine *r;
	struct cdm_call call;
	struct matrix a, b, c, want;
	number alpha, beta;
};

static number product(const struct test_case *t, const struct matrix *x, char tx, const struct matrix *y, char ty,
		      int i, int j)
{
	number sum = 0;
	for (int l = 0; l < t->call.k; l++)
		sum += general(x, tx, i, l) * general(y, ty, l, j);
	return sum;
}

static char opposite(const struct test_case *t)
{
	bool hermitian = t->r->family == CDM_HERK || t->r->family == CDM_HER2K;
	return t->call.transa == 'N' ? hermitian ? 'C' : 'T' : 'N';
}

/* The new value of C(i, j), or of B(i, j) for TRMM and, as what must come out when multiplied back, TRSM. */
static number expected(const struct test_case *t, int i, int j)
{
	const struct cdm_call *q = &t->call;
	number sum = 0, old = t->beta * t->c.at[i + j * LD];

	switch (t->r->family) {
	case CDM_GEMM:
	case CDM_GEMMT:
		return t->alpha * product(t, &t->a, q->transa, &t->b, q->transb, i, j) + old;
	case CDM_SYMM:
	case CDM_HEMM:
		for (int l = 0; l < (q->side == 'L' ? q->m : q->n); l++)
			sum += q->side == 'L'
				       ? symmetric(&t->a, q->uplo, t->r->family == CDM_HEMM, i, l) * t->b.at[l + j * LD]
				       : t->b.at[i + l * LD] *
						 symmetric(&t->a, q->uplo, t->r->family == CDM_HEMM, l, j);
		return t->alpha * sum + old;
	case CDM_SYRK:
	case CDM_HERK:
		return t->alpha * product(t, &t->a, q->transa, &t->a, opposite(t), i, j) + old;
	case CDM_SYR2K:
	case CDM_HER2K:
		sum = t->alpha * product(t, &t->a, q->transa, &t->b, opposite(t), i, j);
		return sum +
		       (t->r->family == CDM_HER2K ? conj(t->alpha) : t->alpha) *
			       product(t, &t->b, q->transa, &t->a, opposite(t), i, j) +
		       old;
	default:
		for (int l = 0; l < (q->side == 'L' ? q->m : q->n); l++)
			sum += q->side == 'L'
				       ? triangular(&t->a, q->uplo, q->transa, q->diag, i, l) * t->b.at[l + j * LD]
				       : t->b.at[i + l * LD] * triangular(&t->a, q->uplo, q->transa, q->diag, l, j);
		return t->alpha * sum;
	}
}

static bool updated(const struct cdm_call *q, enum cdm_family f, int i, int j)
{
	bool square = f == CDM_GEMMT || f == CDM_SYRK || f == CDM_HERK || f == CDM_SYR2K || f == CDM_HER2K;
	if (i >= (square ? q->n : q->m) || j >= q->n)
		return false;
	return !square || (q->uplo == 'U' ? i <= j : i >= j);
}

/* Runs t on the device and compares the whole output array, padding and untouched triangle included. */
static void run_case(struct test_case *t)
{
	enum cdm_scalar T = t->r->type;
	enum cdm_family f = t->r->family;
	bool single = T == CDM_S || T == CDM_C, inplace = f == CDM_TRMM || f == CDM_TRSM;
	bool real_scalars = f == CDM_HERK, real_beta = real_scalars || f == CDM_HER2K;
	static _Alignas(64) char a[CELLS * 16], b[CELLS * 16], c[CELLS * 16];
	char alpha[16], beta[16];
	struct matrix *out = inplace ? &t->b : &t->c;
	char *memory = inplace ? b : c;

	for (int i = 0; i < CELLS; i++) {
		store(a, (size_t)i, T, t->a.at[i]);
		store(b, (size_t)i, T, t->b.at[i]);
		store(c, (size_t)i, T, t->c.at[i]);
	}
	store(alpha, 0, real_scalars ? single ? CDM_S : CDM_D : T, t->alpha);
	store(beta, 0, real_beta ? single ? CDM_S : CDM_D : T, t->beta);
	t->call.alpha = alpha;
	t->call.beta = inplace ? NULL : beta;
	bool rank = f == CDM_SYRK || f == CDM_HERK;
	t->call.operands = rank || inplace ? 2 : 3;
	void *base[3] = {a, rank ? c : b, c};
	for (int i = 0; i < t->call.operands; i++) {
		t->call.op[i].base = base[i];
		t->call.op[i].ld = LD;
	}
	t->want = *out;
	if (f != CDM_TRSM)
		for (int j = 0; j < LD; j++)
			for (int i = 0; i < LD; i++)
				if (updated(&t->call, f, i, j))
					t->want.at[i + j * LD] = expected(t, i, j);
	cr_assert_eq(cdm_compute_blas.run(&t->call), 0, "%s", t->r->name);
	struct matrix got;
	for (int i = 0; i < CELLS; i++)
		got.at[i] = fetch(memory, (size_t)i, T);
	if (f == CDM_TRSM) { /* op(A) X = alpha B: put X back in */
		number al = t->alpha;
		t->b = got;
		t->alpha = 1;
		for (int j = 0; j < LD; j++)
			for (int i = 0; i < LD; i++)
				if (updated(&t->call, f, i, j)) {
					got.at[i + j * LD] = expected(t, i, j);
					t->want.at[i + j * LD] *= al;
				}
	}
	for (int i = 0; i < CELLS; i++)
		cr_assert(cabs(got.at[i] - t->want.at[i]) < (single ? 2e-4 : 1e-12),
			  "%s %c%c%c%c%c: element %d is %g%+gi, not %g%+gi", t->r->name, t->call.side ?: '-',
			  t->call.uplo ?: '-', t->call.transa ?: '-', t->call.transb ?: '-', t->call.diag ?: '-', i,
			  creal(got.at[i]), cimag(got.at[i]), creal(t->want.at[i]), cimag(t->want.at[i]));
}

/* Values that every type represents alike, so that the references of s and c need no rounding of their own. */
static number rounded(number v)
{
	return (float)creal(v) + (float)cimag(v) * I;
}

static void fill_case(struct test_case *t)
{
	bool real = t->r->type == CDM_S || t->r->type == CDM_D;

	for (int i = 0; i < CELLS; i++) {
		t->a.at[i] = rounded(draw(real));
		t->b.at[i] = rounded(draw(real));
		t->c.at[i] = rounded(draw(real));
	}
	if (t->r->family == CDM_TRSM) /* well conditioned, also with a unit diagonal */
		for (int i = 0; i < LD; i++)
			for (int j = 0; j < LD; j++)
				t->a.at[i + j * LD] =
					rounded(i == j ? 2 + t->a.at[i + j * LD] : t->a.at[i + j * LD] / 16);
	if (t->r->family == CDM_HERK || t->r->family == CDM_HER2K)
		for (int i = 0; i < LD; i++)
			t->c.at[i + i * LD] = creal(t->c.at[i + i * LD]);
	t->alpha = rounded(draw(real || t->r->family == CDM_HERK));
	t->beta = rounded(draw(real || t->r->family == CDM_HERK || t->r->family == CDM_HER2K));
}

/* Which letters a family has: side, uplo, transa, transb, diag. */
static const char *letters(const struct cdm_routine *r, int which)
{
	static const char *const have[CDM_FAMILY_COUNT] = {
		[CDM_GEMM] = "..tt.", [CDM_GEMMT] = ".utt.", [CDM_SYMM] = "su...",  [CDM_HEMM] = "su...",
		[CDM_SYRK] = ".uT..", [CDM_HERK] = ".uH..",  [CDM_SYR2K] = ".uT..", [CDM_HER2K] = ".uH..",
		[CDM_TRMM] = "sut.d", [CDM_TRSM] = "sut.d",
	};
	switch (have[r->family][which]) {
	case 's':
		return "LR";
	case 'u':
		return "UL";
	case 't':
		return "NTC";
	case 'T':
		return "NT";
	case 'H':
		return "NC";
	case 'd':
		return "NU";
	default:
		return NULL;
	}
}

static void try_letters(struct test_case *t, int which)
{
	char *slot[] = {&t->call.side, &t->call.uplo, &t->call.transa, &t->call.transb, &t->call.diag};

	if (which == 5) {
		fill_case(t);
		run_case(t);
		return;
	}
	const char *all = letters(t->r, which);
	for (const char *l = all ? all : "\0"; l == (all ? all : l) || *l; l++) {
		*slot[which] = all ? *l : 0;
		try_letters(t, which + 1);
		if (!all)
			break;
	}
}

Test(compute, every_routine_and_letter)
{
	static struct test_case t;

	open_device();
	for (int r = 0; table[r].name; r++) {
		if (table[r].family == CDM_GEMMT && !cdm_compute_blas.supports(r))
			continue;
		cr_assert(cdm_compute_blas.supports(r), "%s", table[r].name);
		cr_assert_not_null(cdm_compute_blas.entry(r));
		memset(&t, 0, sizeof(t));
		t.r = &table[r];
		t.call = (struct cdm_call){.routine = r, .m = M, .n = N, .k = K};
		try_letters(&t, 0);
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
	s->call = (struct cdm_call){.routine = DGEMM,
				    .transa = 'N',
				    .transb = 'N',
				    .m = n,
				    .n = n,
				    .k = n,
				    .alpha = &s->alpha,
				    .beta = &s->beta,
				    .operands = 3};
	void *base[] = {s->a, s->b, s->c};
	for (int i = 0; i < 3; i++) {
		s->call.op[i].base = base[i];
		s->call.op[i].ld = n;
	}
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
	return cdm_compute_blas.run(&s->call) == 0 && square_is_right(s);
}

Test(compute, sizes_beyond_the_library)
{
	struct square s;

	open_device();
	make_square(&s, 8);
	s.call.op[1].ld = (int64_t)1 << 31;
	cr_assert_eq(cdm_compute_blas.run(&s.call), -EOVERFLOW);
	s.call.op[1].ld = 8;
	s.call.k = (int64_t)1 << 40;
	cr_assert_eq(cdm_compute_blas.run(&s.call), -EOVERFLOW);
	s.call.routine = -1;
	cr_assert_lt(cdm_compute_blas.run(&s.call), 0);
	cr_assert_null(cdm_compute_blas.entry(10000));
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

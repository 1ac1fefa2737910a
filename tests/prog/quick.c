/* Small calls of every routine that the gate reads by itself, in every form.
 *
 *   quick results SEED CALLS FILE   random calls, legal and illegal ones; results, infos and what xerbla was told go to FILE
 *   quick forks CHILDREN            three threads make small calls while the main thread forks; each child makes some, too
 *   quick turns THREADS CALLS       so many threads make so many small calls each, one thread after the other
 *
 * Seeds are printed by the script. The program knows nothing of libcdm.
 */
#include <complex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Dimensions: up to MOST, or one up to LONG and the others up to SHORT. Operands fit into ELEMENTS with their gaps. */
enum { MOST = 48, LONG = 300, SHORT = 6, GAP = 2, ELEMENTS = 2560, BEYOND = 64 };

/* clang-format off */
#define TYPES(X) X(s) X(d) X(c) X(z)
#define DECLARE(t) extern void t##gemm_(), t##gemv_(), t##syrk_(), t##trsm_(), t##trmm_(), t##getrf_(), t##potrf_(), \
	cblas_##t##gemm(), cblas_##t##gemv(), cblas_##t##syrk(), cblas_##t##trsm();
TYPES(DECLARE)
extern void cherk_(), zherk_(), cblas_cherk(), cblas_zherk();
typedef void fn();
enum { GEMM, GEMV, SYRK, TRSM, TRMM, GETRF, POTRF, HERK, C_GEMM, C_GEMV, C_SYRK, C_TRSM, C_HERK, ROUTINES };
#define ROW(t) {t##gemm_, t##gemv_, t##syrk_, t##trsm_, t##trmm_, t##getrf_, t##potrf_, NULL, \
	cblas_##t##gemm, cblas_##t##gemv, cblas_##t##syrk, cblas_##t##trsm, NULL},
static fn *table[4][ROUTINES] = {TYPES(ROW)};
/* clang-format on */

static uint32_t seed;
static uint32_t draw(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)seed * n) >> 32);
}

/* ---- operands ------------------------------------------------------------------------------------------------ */

static const size_t sizes[] = {4, 8, 8, 16};
static char a[ELEMENTS * 16], b[ELEMENTS * 16], c[ELEMENTS * 16];
static int pivots[MOST], told, told_routine;

/* LAPACK's and BLAS's own would end the program. */
void xerbla_(const char *name, const int *argument, size_t length)
{
	told = *argument;
	told_routine = length > 1 ? name[1] : 0;
}
void cblas_xerbla(int argument, const char *routine, const char *form, ...)
{
	(void)form;
	told = argument;
	told_routine = routine[7];
}

static void fill(char *at, int type, int ld, double diagonal)
{
	for (int i = 0; i < ELEMENTS * (type >= 2 ? 2 : 1); i++) {
		double v = (double)draw(2001) / 1000 - 1;
		if (type & 1)
			((double *)at)[i] = v;
		else
			((float *)at)[i] = (float)v;
	}
	for (int i = 0; diagonal != 0 && i * (ld + 1) < ELEMENTS; i++) {
		int at_i = i * (ld + 1) * (type >= 2 ? 2 : 1);
		if (type & 1)
			((double *)at)[at_i] += diagonal;
		else
			((float *)at)[at_i] += (float)diagonal;
		if (type == 3)
			((double *)at)[at_i + 1] = 0;
		if (type == 2)
			((float *)at)[at_i + 1] = 0;
	}
}

/* ---- one call -------------------------------------------------------------------------------------------------- */

/* A call goes wrong in one place, now and then. */
struct call {
	int type, routine, m, n, k, lda, ldb, ldc, used, one, order;
	char side, uplo, trans, trans_b, diag;
	int side_c, uplo_c, trans_c, trans_bc, diag_c;
	void *alpha, *beta;
	double d[2];
	float s[2];
};

static char option(const char *letters, int *number, int first)
{
	uint32_t i = draw((uint32_t)strlen(letters));

	*number = first + (int)i;
	return draw(2) ? letters[i] : (char)(letters[i] | 0x20);
}

static int is_solve(int routine)
{
	return routine == TRSM || routine == C_TRSM || routine == TRMM;
}

static int is_rank(int routine)
{
	return routine == SYRK || routine == HERK || routine == C_SYRK || routine == C_HERK;
}

static int dimension(int most)
{
	return 1 + (int)draw((uint32_t)most);
}

static void choose_dimensions(struct call *q)
{
	int most = draw(3) ? 12 : MOST, *d[] = {&q->m, &q->n, &q->k};

	if (draw(4) == 0)
		most = SHORT;
	for (int i = 0; i < 3; i++)
		*d[i] = dimension(most);
	if (most != SHORT)
		return;
	*d[draw(3)] = dimension(LONG);
	int *order = is_solve(q->routine) ? d[(q->side & 0xdf) == 'R'] : d[1];
	if ((is_solve(q->routine) || is_rank(q->routine) || q->routine == POTRF) && *order > MOST)
		*order = dimension(MOST);
}

static int leading(const struct call *q, int rows, int columns)
{
	int row_major = q->routine >= C_GEMM && q->order == 101;

	return (row_major ? columns : rows) + (int)draw(GAP + 1);
}

/* As the operands lie: those of the Fortran call, or of the CBLAS call in its order. */
static void choose_leading(struct call *q)
{
	int m = q->m, n = q->n, k = q->k, plain = (q->trans & 0xdf) == 'N', plain_b = (q->trans_b & 0xdf) == 'N';

	if (q->routine == GEMM || q->routine == C_GEMM)
		q->lda = plain ? leading(q, m, k) : leading(q, k, m);
	else if (is_rank(q->routine))
		m = n, q->lda = plain ? leading(q, n, k) : leading(q, k, n);
	else if (is_solve(q->routine))
		k = (q->side & 0xdf) == 'L' ? m : n, q->lda = leading(q, k, k);
	else
		m = q->routine == POTRF ? n : m, q->lda = leading(q, m, n);
	q->ldb = plain_b ? leading(q, k, n) : leading(q, n, k);
	q->ldc = leading(q, m, n);
	q->used = q->ldc * (q->routine >= C_GEMM && q->order == 101 ? m : n) + BEYOND;
	q->used = q->routine == GEMV || q->routine == C_GEMV || q->used > ELEMENTS ? ELEMENTS : q->used;
}

static void choose(struct call *q)
{
	static const double scalars[] = {0, 1, -0.5};
	static double alpha[2], beta[2];
	static float alpha_s[2], beta_s[2];

	memset(q, 0, sizeof *q);
	q->type = (int)draw(4);
	do
		q->routine = (int)draw(ROUTINES);
	while (!table[q->type][q->routine]);
	q->one = draw(4) ? 1 : (int)draw(3) + 1;
	q->order = 101 + (int)draw(2);
	q->side = option("LR", &q->side_c, 141);
	q->uplo = option("UL", &q->uplo_c, 121);
	q->trans = option("NTC", &q->trans_c, 111);
	q->trans_b = option("NTC", &q->trans_bc, 111);
	q->diag = option("NU", &q->diag_c, 131);
	choose_dimensions(q);
	choose_leading(q);
	alpha[0] = alpha_s[0] = (float)(q->d[0] = q->s[0] = (float)scalars[draw(3)]);
	beta[0] = beta_s[0] = (float)(q->d[1] = q->s[1] = (float)scalars[draw(3)]);
	alpha[1] = alpha_s[1] = q->routine == HERK || q->routine == C_HERK ? 0 : 0.25f;
	q->alpha = q->type & 1 ? (void *)alpha : (void *)alpha_s;
	q->beta = q->type & 1 ? (void *)beta : (void *)beta_s;
	if (draw(12) ||
	    (q->routine == C_GEMV && q->type >= 2)) /* reference CBLAS loops for ever over a negative size */
		return;
	switch (draw(5)) { /* illegal */
	case 0:
		q->lda = q->ldb = q->ldc = 0;
		break;
	case 1:
		q->m = -1;
		break;
	case 2:
		q->n = -1;
		break;
	case 3:
		q->trans = 'X', q->trans_c = 99;
		break;
	default:
		q->uplo = '?', q->uplo_c = 0;
	}
}

#define V(type_of, x) (*(type_of *)(x))

static void call_cblas(const struct call *q, fn *f)
{
	int t = q->type, o = q->order, lda = q->lda, ldb = q->ldb, ldc = q->ldc;
	double da = q->d[0], db = q->d[1];
	float sa = q->s[0], sb = q->s[1];
	void (*g)(int, int, int, int, int, int, double, void *, int, void *, int, double, void *, int) = (void *)f;
	void (*gs)(int, int, int, int, int, int, float, void *, int, void *, int, float, void *, int) = (void *)f;
	void (*v)(int, int, int, int, double, void *, int, void *, int, double, void *, int) = (void *)f;
	void (*vs)(int, int, int, int, float, void *, int, void *, int, float, void *, int) = (void *)f;
	void (*r)(int, int, int, int, int, double, void *, int, double, void *, int) = (void *)f;
	void (*rs)(int, int, int, int, int, float, void *, int, float, void *, int) = (void *)f;
	void (*l)(int, int, int, int, int, int, int, double, void *, int, void *, int) = (void *)f;
	void (*ls)(int, int, int, int, int, int, int, float, void *, int, void *, int) = (void *)f;

	switch (q->routine) {
	case C_GEMM:
		if (t >= 2)
			f(o, q->trans_c, q->trans_bc, q->m, q->n, q->k, q->alpha, a, lda, b, ldb, q->beta, c, ldc);
		else if (t)
			g(o, q->trans_c, q->trans_bc, q->m, q->n, q->k, da, a, lda, b, ldb, db, c, ldc);
		else
			gs(o, q->trans_c, q->trans_bc, q->m, q->n, q->k, sa, a, lda, b, ldb, sb, c, ldc);
		break;
	case C_GEMV:
		if (t >= 2)
			f(o, q->trans_c, q->m, q->n, q->alpha, a, lda, b, q->one, q->beta, c, q->one);
		else if (t)
			v(o, q->trans_c, q->m, q->n, da, a, lda, b, q->one, db, c, q->one);
		else
			vs(o, q->trans_c, q->m, q->n, sa, a, lda, b, q->one, sb, c, q->one);
		break;
	case C_SYRK:
		if (t >= 2)
			f(o, q->uplo_c, q->trans_c, q->n, q->k, q->alpha, a, lda, q->beta, c, ldc);
		else if (t)
			r(o, q->uplo_c, q->trans_c, q->n, q->k, da, a, lda, db, c, ldc);
		else
			rs(o, q->uplo_c, q->trans_c, q->n, q->k, sa, a, lda, sb, c, ldc);
		break;
	case C_HERK:
		if (t == 3)
			r(o, q->uplo_c, q->trans_c, q->n, q->k, da, a, lda, db, c, ldc);
		else
			rs(o, q->uplo_c, q->trans_c, q->n, q->k, sa, a, lda, sb, c, ldc);
		break;
	default:
		if (t >= 2)
			f(o, q->side_c, q->uplo_c, q->trans_c, q->diag_c, q->m, q->n, q->alpha, a, lda, c, ldc);
		else if (t)
			l(o, q->side_c, q->uplo_c, q->trans_c, q->diag_c, q->m, q->n, da, a, lda, c, ldc);
		else
			ls(o, q->side_c, q->uplo_c, q->trans_c, q->diag_c, q->m, q->n, sa, a, lda, c, ldc);
	}
}

/* Returns LAPACK's info. */
static int call(const struct call *q)
{
	int m = q->m, n = q->n, k = q->k, lda = q->lda, ldb = q->ldb, ldc = q->ldc, info = 0;
	fn *f = table[q->type][q->routine];

	switch (q->routine) {
	case GEMM:
		f(&q->trans, &q->trans_b, &m, &n, &k, q->alpha, a, &lda, b, &ldb, q->beta, c, &ldc, (size_t)1,
		  (size_t)1);
		break;
	case GEMV:
		f(&q->trans, &m, &n, q->alpha, a, &lda, b, &q->one, q->beta, c, &q->one, (size_t)1);
		break;
	case SYRK:
	case HERK:
		f(&q->uplo, &q->trans, &n, &k, q->alpha, a, &lda, q->beta, c, &ldc, (size_t)1, (size_t)1);
		break;
	case TRSM:
	case TRMM:
		f(&q->side, &q->uplo, &q->trans, &q->diag, &m, &n, q->alpha, a, &lda, c, &ldc, (size_t)1, (size_t)1,
		  (size_t)1, (size_t)1);
		break;
	case GETRF:
		f(&m, &n, c, &ldc, pivots, &info);
		break;
	case POTRF:
		f(&q->uplo, &n, c, &ldc, &info, (size_t)1);
		break;
	default:
		call_cblas(q, f);
	}
	return info;
}

static atomic_int stop;

/* Small products, one that is computed at once and a longer one that is not; the number of wrong elements. */
static int multiply(int rounds)
{
	enum { AREA = LONG * 8 };
	static const int shapes[][3] = {{20, 20, 20}, {LONG, 8, 8}};
	static __thread double x[AREA], y[AREA], z[AREA];
	double one = 1, zero = 0;
	int wrong = 0;

	for (int i = 0; i < AREA; i++)
		x[i] = 1, y[i] = 2;
	for (int r = 0; r < rounds; r++) {
		int m = shapes[r & 1][0], n = shapes[r & 1][1], k = shapes[r & 1][2];
		table[1][GEMM]("N", "N", &m, &n, &k, &one, x, &m, y, &k, &zero, z, &m, (size_t)1, (size_t)1);
		for (int i = 0; i < m * n; i++)
			wrong += z[i] != 2.0 * k;
	}
	return wrong;
}

/* One record for each call: what it was, what came of it. */
static int results(uint32_t start, int calls, const char *path)
{
	FILE *file = fopen(path, "w");
	struct call q;

	if (multiply(12000)) /* enough work to find a better library */
		return 1;
	seed = start;
	for (int i = 0; file && i < calls; i++) {
		choose(&q);
		fill(a, q.type, q.lda, is_solve(q.routine) ? MOST : 0);
		fill(b, q.type, q.ldb, 0);
		fill(c, q.type, q.ldc, q.routine == POTRF || q.routine == GETRF ? (draw(5) ? MOST : 0.01) : 0);
		memset(pivots, 0, sizeof pivots);
		told = told_routine = 0;
		int info = call(&q);
		int64_t head[] = {q.type, q.routine, told, told_routine, info, q.routine == POTRF && info > 0, q.used};
		/* Where a factorization stops, the rest is the library's own affair. */
		if (head[5])
			memset(c, 0, sizeof c);
		fwrite(head, sizeof head, 1, file);
		fwrite(pivots, sizeof pivots, 1, file);
		fwrite(c, sizes[q.type], (size_t)q.used, file);
	}
	return !file || fclose(file);
}

/* ---- forks ------------------------------------------------------------------------------------------------------ */

static void *compute(void *wrong)
{
	while (!atomic_load(&stop))
		*(int *)wrong += multiply(50);
	return NULL;
}

static int forks(int children)
{
	pthread_t thread[3];
	int wrong[3] = {0}, failed = multiply(12000); /* enough work to find a better library */

	for (int i = 0; i < 3; i++)
		pthread_create(&thread[i], NULL, compute, &wrong[i]);
	for (int i = 0; i < children; i++) {
		int status;
		pid_t pid = fork();
		if (pid == 0)
			_exit(multiply(100) != 0);
		failed += pid < 0 || waitpid(pid, &status, 0) != pid || status != 0;
	}
	atomic_store(&stop, 1);
	for (int i = 0; i < 3; i++) {
		pthread_join(thread[i], NULL);
		failed += wrong[i] != 0;
	}
	printf("%d children, %d failures\n", children, failed);
	return failed != 0;
}

/* ---- in turns --------------------------------------------------------------------------------------------------- */

static int share;

static void *compute_share(void *wrong)
{
	*(int *)wrong = multiply(share);
	return NULL;
}

static int in_turns(int threads)
{
	int failed = 0;

	for (int i = 0; i < threads; i++) {
		pthread_t thread;
		int wrong = 0;
		failed += pthread_create(&thread, NULL, compute_share, &wrong) || pthread_join(thread, NULL) || wrong;
	}
	return failed != 0;
}

int main(int argc, char **argv)
{
	table[2][HERK] = cherk_, table[3][HERK] = zherk_;
	table[2][C_HERK] = cblas_cherk, table[3][C_HERK] = cblas_zherk;
	if (argc == 5 && !strcmp(argv[1], "results"))
		return results((uint32_t)strtoul(argv[2], NULL, 0), atoi(argv[3]), argv[4]);
	if (argc == 3 && !strcmp(argv[1], "forks"))
		return forks(atoi(argv[2]));
	share = argc == 4 ? atoi(argv[3]) : 0;
	if (argc == 4 && !strcmp(argv[1], "turns"))
		return in_turns(atoi(argv[2]));
	return 2;
}

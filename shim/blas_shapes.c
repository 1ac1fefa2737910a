/* What the argument lists mean: legality, operands, work.
 *
 * Reference BLAS and LAPACK reject a letter outside its set, a negative size, a leading dimension below max(1, rows), in
 * level 2 an increment of zero, and too little workspace. Whatever is not certainly legal is left to the program's own
 * library, so a check here may be stricter than the reference's, never laxer.
 *
 * Work counts additions and multiplications with alpha and beta not counted, after LAPACK Working Note 41; complex types
 * count four times as much (6 for a product, 2 for a sum, in place of 1 and 1). Where the note has no formula
 * (eigenvalues, SVD) the leading terms of Golub and Van Loan's tables stand.
 */
#include "shim/blas_shapes.h"

#include <string.h>

#include "shim/gate.h"

struct cdm_fill {
	struct cdm_call *c;
	bool complex, legal, quick, form;
	uint8_t elem, real; /* bytes of an element, and of its real part */
};

/* ---- reading the list ------------------------------------------------------------------------------- */

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}
static int64_t most(int64_t a, int64_t b)
{
	return a > b ? a : b;
}
static int64_t num(const struct cdm_fill *f, int i)
{
	return f->c->n[i];
}
static double real_num(const struct cdm_fill *f, int i)
{
	return (double)f->c->n[i];
}

/* The letter at i, which must be one of set. */
static char letter(struct cdm_fill *f, int i, const char *set)
{
	char l = f->c->letter[i];

	f->legal &= l && strchr(set, l);
	return l;
}

/* TRANS of a routine in which transpose and conjugate transpose are both legal. */
static char trans(struct cdm_fill *f, int i)
{
	return letter(f, i, "NTC");
}

/* A scalar that is not there is that of an empty call, which the reference does not read. */
static bool is_zero(struct cdm_fill *f, int i, bool complex)
{
	if (!f->c->arg[i]) {
		f->quick = true;
		return false;
	}
	if (f->real == sizeof(float)) {
		const float *s = f->c->arg[i];
		return s[0] == 0 && (!complex || s[1] == 0);
	}
	const double *d = f->c->arg[i];
	return d[0] == 0 && (!complex || d[1] == 0);
}

/* With alpha zero the inputs are not referenced (they may be null pointers), and the output is scaled at most. */
static void alpha(struct cdm_fill *f, int i)
{
	f->quick |= is_zero(f, i, f->complex && f->c->args[i] == 'S');
}

/* The reference does not read the output when beta is zero. */
static enum cdm_access beta(struct cdm_fill *f, int i)
{
	return is_zero(f, i, f->complex && f->c->args[i] == 'S') ? CDM_W : CDM_RW;
}

/* ---- operands --------------------------------------------------------------------------------------- */

static struct cdm_operand *operand(struct cdm_fill *f, int arg, int64_t rows, int64_t cols, int64_t ld, int elem,
				   enum cdm_access access)
{
	struct cdm_operand *o = &f->c->op[f->c->operands++];

	*o = (struct cdm_operand){
		.base = f->c->arg[arg],
		.rows = rows,
		.cols = cols,
		.ld = ld,
		.elem = (uint8_t)elem,
		.access = (uint8_t)access,
		.arg = (uint8_t)arg,
		.ld_arg = CDM_NO_ARG,
	};
	return o;
}

/* A matrix at arg, its leading dimension behind it. */
static void matrix(struct cdm_fill *f, int arg, int64_t rows, int64_t cols, enum cdm_access access, char tri)
{
	int64_t ld = num(f, arg + 1);
	struct cdm_operand *o = operand(f, arg, rows, cols, ld, f->elem, access);

	o->tri = tri;
	o->ld_arg = (uint8_t)(arg + 1);
	f->legal &= rows >= 0 && cols >= 0 && ld >= (rows > 1 ? rows : 1);
}

/* A matrix whose op() is rows x cols. */
static void matrix_op(struct cdm_fill *f, int arg, char trans, int64_t rows, int64_t cols)
{
	if (trans == 'N')
		matrix(f, arg, rows, cols, CDM_R, 0);
	else
		matrix(f, arg, cols, rows, CDM_R, 0);
}

/* A vector at arg, its increment behind it. */
static void vector(struct cdm_fill *f, int arg, int64_t n, enum cdm_access access)
{
	int64_t inc = num(f, arg + 1);
	struct cdm_operand *o = operand(f, arg, 1, n, inc < 0 ? -inc : inc, f->elem, access);

	o->ld_arg = (uint8_t)(arg + 1);
	f->legal &= n >= 0;
	/* Level 2 rejects an increment of zero; level 1 goes round on one element. Complex kernels that walk backwards
	 * (OpenBLAS 0.3.21's zdotc) read in front of the vector, which the reference does not. */
	f->form |= inc == 0 || inc == INT64_MIN || (inc < 0 && f->complex);
}

/* count elements in a row at arg: packed matrices, tau, eigenvalues. */
static void array(struct cdm_fill *f, int arg, int64_t count, int elem, enum cdm_access access)
{
	operand(f, arg, count, 1, most(count, 1), elem, access);
	f->legal &= count >= 0;
}

static int64_t packed(int64_t n)
{
	return n * (n + 1) / 2;
}

static void integers(struct cdm_fill *f, int arg, int64_t count, enum cdm_access access)
{
	operand(f, arg, count, 1, most(count, 1), f->c->wide ? 8 : 4, access)->integers = true;
}

/* Workspace at arg of as many elements as the argument size says, and at least least_size. -1 asks how many. */
static void work(struct cdm_fill *f, int arg, int size, int elem, int64_t least_size)
{
	int64_t n = num(f, size);

	operand(f, arg, most(n, 1), 1, most(n, 1), elem, CDM_W)->scratch = true;
	f->quick |= n == -1;
	f->legal &= n == -1 || n >= most(least_size, 1);
}

static void work_fixed(struct cdm_fill *f, int arg, int64_t count, int elem)
{
	operand(f, arg, most(count, 1), 1, most(count, 1), elem, CDM_W)->scratch = true;
}

static void work_integers(struct cdm_fill *f, int arg, int64_t count)
{
	integers(f, arg, most(count, 1), CDM_W);
	f->c->op[f->c->operands - 1].scratch = true;
}

static void flops(struct cdm_fill *f, double n)
{
	f->c->flops = f->complex ? 4 * n : n;
}

/* ---- level 3 ---------------------------------------------------------------------------------------- */

/* transa transb m n k alpha a lda b ldb beta c ldc */
static void fill_GEMM(struct cdm_fill *f)
{
	int64_t m = num(f, 2), n = num(f, 3), k = num(f, 4);

	matrix_op(f, 6, trans(f, 0), m, k);
	matrix_op(f, 8, trans(f, 1), k, n);
	matrix(f, 11, m, n, beta(f, 10), 0);
	alpha(f, 5);
	flops(f, 2.0 * (double)m * (double)n * (double)k);
}

/* uplo transa transb n k alpha a lda b ldb beta c ldc: one triangle of GEMM's result */
static void fill_GEMMT(struct cdm_fill *f)
{
	int64_t n = num(f, 3), k = num(f, 4);
	char uplo = letter(f, 0, "UL");

	matrix_op(f, 6, trans(f, 1), n, k);
	matrix_op(f, 8, trans(f, 2), k, n);
	matrix(f, 11, n, n, beta(f, 10), uplo);
	alpha(f, 5);
	flops(f, (double)k * (double)n * (double)(n + 1));
}

/* side uplo m n alpha a lda b ldb beta c ldc */
static void fill_SYMM(struct cdm_fill *f)
{
	int64_t m = num(f, 2), n = num(f, 3);
	int64_t order = letter(f, 0, "LR") == 'L' ? m : n;

	matrix(f, 5, order, order, CDM_R, letter(f, 1, "UL"));
	matrix(f, 7, m, n, CDM_R, 0);
	matrix(f, 10, m, n, beta(f, 9), 0);
	alpha(f, 4);
	flops(f, 2.0 * (double)m * (double)n * (double)order);
}

static const char *rank_letters(const struct cdm_fill *f, bool hermitian)
{
	return hermitian ? "NC" : f->complex ? "NT" : "NTC";
}

/* uplo trans n k alpha a lda beta c ldc */
static void rank_k(struct cdm_fill *f, bool hermitian)
{
	int64_t n = num(f, 2), k = num(f, 3);
	char uplo = letter(f, 0, "UL");

	matrix_op(f, 5, letter(f, 1, rank_letters(f, hermitian)), n, k);
	matrix(f, 8, n, n, beta(f, 7), uplo);
	alpha(f, 4);
	flops(f, (double)k * (double)n * (double)(n + 1));
}
static void fill_SYRK(struct cdm_fill *f)
{
	rank_k(f, false);
}
static void fill_HERK(struct cdm_fill *f)
{
	rank_k(f, true);
}

/* uplo trans n k alpha a lda b ldb beta c ldc */
static void rank_2k(struct cdm_fill *f, bool hermitian)
{
	int64_t n = num(f, 2), k = num(f, 3);
	char uplo = letter(f, 0, "UL"), op = letter(f, 1, rank_letters(f, hermitian));

	matrix_op(f, 5, op, n, k);
	matrix_op(f, 7, op, n, k);
	matrix(f, 10, n, n, beta(f, 9), uplo);
	alpha(f, 4);
	flops(f, 2.0 * (double)k * (double)n * (double)n + (double)n);
}
static void fill_SYR2K(struct cdm_fill *f)
{
	rank_2k(f, false);
}
static void fill_HER2K(struct cdm_fill *f)
{
	rank_2k(f, true);
}

/* side uplo transa diag m n alpha a lda b ldb */
static void fill_TRMM(struct cdm_fill *f)
{
	int64_t m = num(f, 4), n = num(f, 5);
	int64_t order = letter(f, 0, "LR") == 'L' ? m : n;

	trans(f, 2);
	letter(f, 3, "UN");
	matrix(f, 7, order, order, CDM_R, letter(f, 1, "UL"));
	matrix(f, 9, m, n, CDM_RW, 0);
	alpha(f, 6);
	flops(f, (double)m * (double)n * (double)order);
}

/* Batches: shim/blas_batch.c takes them apart. */
static void fill_GEMM_BATCH(struct cdm_fill *f)
{
	f->form = true;
}
static void fill_GEMM_STRIDED(struct cdm_fill *f)
{
	f->form = true;
}

/* ---- level 2 ---------------------------------------------------------------------------------------- */

/* trans m n [kl ku] alpha a lda x incx beta y incy; rows of a as stored */
static void matrix_vector(struct cdm_fill *f, int at, int64_t rows)
{
	char op = trans(f, 0);
	int64_t m = num(f, 1), n = num(f, 2);

	matrix(f, at + 1, rows, n, CDM_R, 0);
	vector(f, at + 3, op == 'N' ? n : m, CDM_R);
	vector(f, at + 6, op == 'N' ? m : n, beta(f, at + 5));
	alpha(f, at);
	f->legal &= m >= 0;
	f->quick |= m == 0;
	flops(f, 2.0 * (double)rows * (double)n);
}
static void fill_GEMV(struct cdm_fill *f)
{
	matrix_vector(f, 3, num(f, 1));
}
static void fill_GBMV(struct cdm_fill *f)
{
	f->legal &= num(f, 3) >= 0 && num(f, 4) >= 0;
	matrix_vector(f, 5, num(f, 3) + num(f, 4) + 1);
	flops(f, 2.0 * (double)(num(f, 3) + num(f, 4) + 1) * (double)least(num(f, 1), num(f, 2)));
}

/* uplo n [k] alpha a lda x incx beta y incy; a is not packed when rows > 0 */
static void symmetric_vector(struct cdm_fill *f, int at, int64_t rows, char tri)
{
	int64_t n = num(f, 1);
	int x = at + (rows < 0 ? 2 : 3);

	letter(f, 0, "UL");
	if (rows < 0)
		array(f, at + 1, packed(n), f->elem, CDM_R);
	else
		matrix(f, at + 1, rows, n, CDM_R, tri);
	vector(f, x, n, CDM_R);
	vector(f, x + 3, n, beta(f, x + 2));
	alpha(f, at);
	flops(f, 2.0 * (double)n * (rows < 0 || tri ? (double)n : 2.0 * (double)rows));
}
static void fill_SYMV(struct cdm_fill *f)
{
	symmetric_vector(f, 2, num(f, 1), f->c->letter[0]);
}
static void fill_SBMV(struct cdm_fill *f)
{
	f->legal &= num(f, 2) >= 0;
	symmetric_vector(f, 3, num(f, 2) + 1, 0);
}
static void fill_SPMV(struct cdm_fill *f)
{
	symmetric_vector(f, 2, -1, 0);
}
#define fill_HEMV fill_SYMV
#define fill_HBMV fill_SBMV
#define fill_HPMV fill_SPMV

/* uplo trans diag n [k] a [lda] x incx */
static int64_t triangular(struct cdm_fill *f)
{
	letter(f, 0, "UL");
	trans(f, 1);
	letter(f, 2, "UN");
	return num(f, 3);
}
static void fill_TRMV(struct cdm_fill *f)
{
	int64_t n = triangular(f);

	matrix(f, 4, n, n, CDM_R, f->c->letter[0]);
	vector(f, 6, n, CDM_RW);
	flops(f, (double)n * (double)n);
}
static void fill_TBMV(struct cdm_fill *f)
{
	int64_t n = triangular(f), k = num(f, 4);

	f->legal &= k >= 0;
	matrix(f, 5, k + 1, n, CDM_R, 0);
	vector(f, 7, n, CDM_RW);
	flops(f, 2.0 * (double)n * (double)(k + 1));
}
static void fill_TPMV(struct cdm_fill *f)
{
	int64_t n = triangular(f);

	array(f, 4, packed(n), f->elem, CDM_R);
	vector(f, 5, n, CDM_RW);
	flops(f, (double)n * (double)n);
}

/* m n alpha x incx y incy a lda */
static void fill_GER(struct cdm_fill *f)
{
	int64_t m = num(f, 0), n = num(f, 1);

	vector(f, 3, m, CDM_R);
	vector(f, 5, n, CDM_R);
	matrix(f, 7, m, n, CDM_RW, 0);
	alpha(f, 2);
	flops(f, 2.0 * (double)m * (double)n);
}
#define fill_GERC fill_GER

/* uplo n alpha x incx [y incy] a [lda] */
static void rank_one(struct cdm_fill *f, bool two, bool full)
{
	int64_t n = num(f, 1);
	int a = two ? 7 : 5;
	char uplo = letter(f, 0, "UL");

	vector(f, 3, n, CDM_R);
	if (two)
		vector(f, 5, n, CDM_R);
	if (full)
		matrix(f, a, n, n, CDM_RW, uplo);
	else
		array(f, a, packed(n), f->elem, CDM_RW);
	alpha(f, 2);
	flops(f, (two ? 2.0 : 1.0) * (double)n * (double)n);
}
static void fill_SYR(struct cdm_fill *f)
{
	rank_one(f, false, true);
}
static void fill_SPR(struct cdm_fill *f)
{
	rank_one(f, false, false);
}
static void fill_SYR2(struct cdm_fill *f)
{
	rank_one(f, true, true);
}
static void fill_SPR2(struct cdm_fill *f)
{
	rank_one(f, true, false);
}
#define fill_HER fill_SYR
#define fill_HPR fill_SPR
#define fill_HER2 fill_SYR2
#define fill_HPR2 fill_SPR2

/* ---- level 1 ---------------------------------------------------------------------------------------- */

/* n ... x incx at x, y incy at y (or 0: none); per element per operations. Two vectors that overlap without being one
 * are left to the original, whose order of operations decides. */
static void level1(struct cdm_fill *f, int x, enum cdm_access ax, int y, enum cdm_access ay, double per)
{
	int64_t n = num(f, 0);

	f->quick |= n <= 0;
	n = most(n, 0);
	vector(f, x, n, ax);
	if (y) {
		vector(f, y, n, ay);
		const struct cdm_operand *a = &f->c->op[0], *b = &f->c->op[1];
		uintptr_t pa = (uintptr_t)a->base, pb = (uintptr_t)b->base;
		uintptr_t la = (uintptr_t)(n * a->ld * a->elem), lb = (uintptr_t)(n * b->ld * b->elem);
		bool same = pa == pb && num(f, x + 1) == num(f, y + 1);
		f->form |= !same && pa < pb + lb && pb < pa + la;
	}
	flops(f, per * (double)n);
}
static void fill_SWAP(struct cdm_fill *f)
{
	level1(f, 1, CDM_RW, 3, CDM_RW, 1);
}
static void fill_COPY(struct cdm_fill *f)
{
	level1(f, 1, CDM_R, 3, CDM_W, 1);
}
static void fill_AXPY(struct cdm_fill *f)
{
	level1(f, 2, CDM_R, 4, CDM_RW, 2);
	alpha(f, 1);
}
/* n alpha x incx beta y incy */
static void fill_AXPBY(struct cdm_fill *f)
{
	level1(f, 2, CDM_R, 5, CDM_RW, 3);
}
/* NaN times zero: the reference multiplies, later libraries store zeros. The original decides. */
static void fill_SCAL(struct cdm_fill *f)
{
	level1(f, 2, CDM_RW, 0, CDM_R, 1);
	alpha(f, 1);
	f->quick |= num(f, 3) <= 0; /* the reference does nothing then */
}
#define fill_RSCAL fill_SCAL
static void fill_DOT(struct cdm_fill *f)
{
	level1(f, 1, CDM_R, 3, CDM_R, 2);
}
#define fill_DOTC fill_DOT
#define fill_DSDOT fill_DOT
/* n sb x incx y incy */
static void fill_SDSDOT(struct cdm_fill *f)
{
	level1(f, 2, CDM_R, 4, CDM_R, 2);
}
/* Negative increments: the reference returns 0 in some versions, computes in others. */
static void fill_NRM2(struct cdm_fill *f)
{
	level1(f, 1, CDM_R, 0, CDM_R, 2);
	f->form |= num(f, 2) < 0;
}
#define fill_ASUM fill_NRM2
#define fill_IAMAX fill_NRM2
/* n x incx y incy c s; one vector twice is changed twice */
static void fill_ROT(struct cdm_fill *f)
{
	level1(f, 1, CDM_RW, 3, CDM_RW, 6);
	f->form |= f->c->op[0].base == f->c->op[1].base;
}
#define fill_RROT fill_ROT
/* n x incx y incy param */
static void fill_ROTM(struct cdm_fill *f)
{
	level1(f, 1, CDM_RW, 3, CDM_RW, 4);
	f->form |= f->c->op[0].base == f->c->op[1].base;
}
/* A handful of scalars: nothing for a device. */
static void fill_ROTG(struct cdm_fill *f)
{
	f->form = true;
}
#define fill_ROTMG fill_ROTG

/* order trans rows cols alpha a lda b ldb */
static void fill_OMATCOPY(struct cdm_fill *f)
{
	bool row = letter(f, 0, "RC") == 'R', flip = strchr("TC", letter(f, 1, "NTCR")) != NULL;
	int64_t m = num(f, row ? 3 : 2), n = num(f, row ? 2 : 3);

	matrix(f, 5, m, n, CDM_R, 0);
	matrix(f, 7, flip ? n : m, flip ? m : n, CDM_W, 0);
	flops(f, (double)m * (double)n);
}
/* order trans rows cols alpha a lda ldb: in and out of different shape, in one place */
static void fill_IMATCOPY(struct cdm_fill *f)
{
	f->form = true;
}

/* ---- LAPACK: systems -------------------------------------------------------------------------------- */

static double cube(double n)
{
	return n * n * n;
}

static double flops_getrf(double m, double n)
{
	double k = m < n ? m : n;

	return 2 * (m * n * k - (m + n) * k * k / 2 + cube(k) / 3);
}

/* m n a lda ipiv info */
static void fill_GETRF(struct cdm_fill *f)
{
	int64_t m = num(f, 0), n = num(f, 1);

	matrix(f, 2, m, n, CDM_RW, 0);
	integers(f, 4, least(m, n), CDM_W);
	flops(f, flops_getrf((double)m, (double)n));
}

/* trans n nrhs a lda ipiv b ldb info */
static void fill_GETRS(struct cdm_fill *f)
{
	int64_t n = num(f, 1), nrhs = num(f, 2);

	trans(f, 0);
	matrix(f, 3, n, n, CDM_R, 0);
	integers(f, 5, n, CDM_R);
	matrix(f, 6, n, nrhs, CDM_RW, 0);
	flops(f, 2.0 * (double)n * (double)n * (double)nrhs);
}

/* n nrhs a lda ipiv b ldb info */
static void fill_GESV(struct cdm_fill *f)
{
	int64_t n = num(f, 0), nrhs = num(f, 1);

	matrix(f, 2, n, n, CDM_RW, 0);
	integers(f, 4, n, CDM_W);
	matrix(f, 5, n, nrhs, CDM_RW, 0);
	flops(f, flops_getrf((double)n, (double)n) + 2.0 * (double)n * (double)n * (double)nrhs);
}

/* n a lda ipiv work lwork info */
static void fill_GETRI(struct cdm_fill *f)
{
	int64_t n = num(f, 0);

	matrix(f, 1, n, n, CDM_RW, 0);
	integers(f, 3, n, CDM_R);
	work(f, 4, 5, f->elem, n);
	flops(f, 4.0 / 3 * cube((double)n));
}

/* uplo n a lda info; the inverse takes twice the work of the factorization */
static void fill_POTRF(struct cdm_fill *f)
{
	int64_t n = num(f, 1);

	matrix(f, 2, n, n, CDM_RW, letter(f, 0, "UL"));
	flops(f, cube((double)n) / 3);
}

/* uplo n nrhs a lda b ldb info */
static void cholesky_solve(struct cdm_fill *f, enum cdm_access a, double factorize)
{
	int64_t n = num(f, 1), nrhs = num(f, 2);

	matrix(f, 3, n, n, a, letter(f, 0, "UL"));
	matrix(f, 5, n, nrhs, CDM_RW, 0);
	flops(f, factorize + 2.0 * (double)n * (double)n * (double)nrhs);
}
static void fill_POTRS(struct cdm_fill *f)
{
	cholesky_solve(f, CDM_R, 0);
}
static void fill_POSV(struct cdm_fill *f)
{
	cholesky_solve(f, CDM_RW, cube(real_num(f, 1)) / 3);
}

/* uplo diag n a lda info */
static void fill_TRTRI(struct cdm_fill *f)
{
	int64_t n = num(f, 2);

	letter(f, 1, "UN");
	matrix(f, 3, n, n, CDM_RW, letter(f, 0, "UL"));
	flops(f, cube((double)n) / 3);
}

/* uplo trans diag n nrhs a lda b ldb info */
static void fill_TRTRS(struct cdm_fill *f)
{
	int64_t n = num(f, 3), nrhs = num(f, 4);

	trans(f, 1);
	letter(f, 2, "UN");
	matrix(f, 5, n, n, CDM_R, letter(f, 0, "UL"));
	matrix(f, 7, n, nrhs, CDM_RW, 0);
	flops(f, (double)n * (double)n * (double)nrhs);
}

/* ---- LAPACK: orthogonal factorizations -------------------------------------------------------------- */

static double flops_geqrf(double m, double n)
{
	double large = m > n ? m : n, small = m > n ? n : m;

	return 2 * large * small * small - 2.0 / 3 * cube(small);
}

/* m n a lda tau work lwork info */
static void fill_GEQRF(struct cdm_fill *f)
{
	int64_t m = num(f, 0), n = num(f, 1);

	matrix(f, 2, m, n, CDM_RW, 0);
	array(f, 4, least(m, n), f->elem, CDM_W);
	work(f, 5, 6, f->elem, n);
	flops(f, flops_geqrf((double)m, (double)n));
}

/* m n k a lda tau work lwork info */
static void fill_ORGQR(struct cdm_fill *f)
{
	int64_t m = num(f, 0), n = num(f, 1), k = num(f, 2);
	double dm = (double)m, dn = (double)n, dk = (double)k;

	matrix(f, 3, m, n, CDM_RW, 0);
	array(f, 5, k, f->elem, CDM_R);
	work(f, 6, 7, f->elem, n);
	f->legal &= n <= m && k <= n;
	flops(f, 4 * dm * dn * dk - 2 * (dm + dn) * dk * dk + 4.0 / 3 * cube(dk));
}

/* side trans m n k a lda tau c ldc work lwork info */
static void fill_ORMQR(struct cdm_fill *f)
{
	int64_t m = num(f, 2), n = num(f, 3), k = num(f, 4);
	bool left = letter(f, 0, "LR") == 'L';
	int64_t order = left ? m : n, other = left ? n : m;
	double dm = (double)m, dn = (double)n, dk = (double)k;

	letter(f, 1, f->complex ? "NC" : "NT");
	matrix(f, 5, order, k, CDM_RW, 0); /* written and restored on the way */
	array(f, 7, k, f->elem, CDM_R);
	matrix(f, 8, m, n, CDM_RW, 0);
	work(f, 10, 11, f->elem, other);
	f->legal &= k <= order;
	flops(f, 4 * dm * dn * dk - 2 * (double)other * dk * dk);
}

/* trans m n nrhs a lda b ldb work lwork info */
static void fill_GELS(struct cdm_fill *f)
{
	int64_t m = num(f, 1), n = num(f, 2), nrhs = num(f, 3), k = least(m, n);

	letter(f, 0, f->complex ? "NC" : "NT");
	matrix(f, 4, m, n, CDM_RW, 0);
	matrix(f, 6, most(m, n), nrhs, CDM_RW, 0);
	work(f, 8, 9, f->elem, k + most(k, nrhs));
	flops(f, flops_geqrf((double)m, (double)n) + 4.0 * (double)m * (double)n * (double)nrhs);
}

/* ---- LAPACK: eigenvalues and singular values -------------------------------------------------------- */

/* jobz uplo n a lda w ... */
static int64_t symmetric_eigen(struct cdm_fill *f)
{
	int64_t n = num(f, 2);
	bool vectors = letter(f, 0, "NV") == 'V';

	letter(f, 1, "UL");
	matrix(f, 3, n, n, CDM_RW, 0); /* the other triangle is written for vectors only, never read */
	array(f, 5, n, f->real, CDM_W);
	flops(f, (vectors ? 9 : 4.0 / 3) * cube((double)n));
	return n;
}
static void fill_SYEV(struct cdm_fill *f)
{
	int64_t n = symmetric_eigen(f);

	work(f, 6, 7, f->elem, 3 * n - 1);
}
static void fill_HEEV(struct cdm_fill *f)
{
	int64_t n = symmetric_eigen(f);

	work(f, 6, 7, f->elem, 2 * n - 1);
	work_fixed(f, 8, 3 * n - 2, f->real);
}
/* ... w work lwork iwork liwork info */
static void fill_SYEVD(struct cdm_fill *f)
{
	int64_t n = symmetric_eigen(f);
	bool vectors = f->c->letter[0] == 'V';

	work(f, 6, 7, f->elem, n <= 1 ? 1 : vectors ? 1 + 6 * n + 2 * n * n : 2 * n + 1);
	work_integers(f, 8, num(f, 9));
	f->quick |= num(f, 9) == -1;
	f->legal &= num(f, 9) == -1 || num(f, 9) >= (n > 1 && vectors ? 3 + 5 * n : 1);
}
/* ... w work lwork rwork lrwork iwork liwork info */
static void fill_HEEVD(struct cdm_fill *f)
{
	int64_t n = symmetric_eigen(f);
	bool vectors = f->c->letter[0] == 'V';

	work(f, 6, 7, f->elem, n <= 1 ? 1 : vectors ? 2 * n + n * n : n + 1);
	work(f, 8, 9, f->real, n <= 1 ? 1 : vectors ? 1 + 5 * n + 2 * n * n : n);
	work_integers(f, 10, num(f, 11));
	f->quick |= num(f, 11) == -1;
	f->legal &= num(f, 11) == -1 || num(f, 11) >= (n > 1 && vectors ? 3 + 5 * n : 1);
}

/* U (m x columns) and VT (rows x n) at their places, as far as they are referenced; the leading dimensions are checked
 * as if they were. */
static void singular_vectors(struct cdm_fill *f, int u, int64_t columns, int64_t rows, int64_t m, int64_t n)
{
	if (columns)
		matrix(f, u, m, columns, CDM_W, 0);
	if (rows)
		matrix(f, u + 2, rows, n, CDM_W, 0);
	f->legal &= num(f, u + 1) >= 1 && num(f, u + 3) >= 1;
}

static double flops_svd(double m, double n, bool vectors)
{
	double large = m > n ? m : n, small = m > n ? n : m;

	return vectors ? 14 * large * small * small + 8 * cube(small)
		       : 4 * large * small * small - 4.0 / 3 * cube(small);
}

/* jobu jobvt m n a lda s u ldu vt ldvt work lwork [rwork] info */
static void singular_values(struct cdm_fill *f)
{
	char jobu = letter(f, 0, "ASON"), jobvt = letter(f, 1, "ASON");
	int64_t m = num(f, 2), n = num(f, 3), k = least(m, n);

	f->legal &= jobu != 'O' || jobvt != 'O';
	matrix(f, 4, m, n, CDM_RW, 0);
	array(f, 6, k, f->real, CDM_W);
	singular_vectors(f, 7, jobu == 'A' ? m : jobu == 'S' ? k : 0, jobvt == 'A' ? n : jobvt == 'S' ? k : 0, m, n);
	/* A matrix much longer than wide is factorized first, which takes less if its long side's vectors are not wanted. */
	work(f, 11, 12, f->elem, (m >= n ? jobu : jobvt) == 'N' ? 5 * k : most(3 * k + most(m, n), 5 * k));
	flops(f, flops_svd((double)m, (double)n, jobu != 'N' || jobvt != 'N'));
}
static void fill_GESVD(struct cdm_fill *f)
{
	singular_values(f);
}
static void fill_CGESVD(struct cdm_fill *f)
{
	singular_values(f);
	work_fixed(f, 13, 5 * least(num(f, 2), num(f, 3)), f->real);
}

/* jobz m n a lda s u ldu vt ldvt work lwork [rwork] iwork info */
static void divide_and_conquer(struct cdm_fill *f, int64_t least_work)
{
	char job = letter(f, 0, "ASON");
	int64_t m = num(f, 1), n = num(f, 2), k = least(m, n);
	bool u = job == 'A' || job == 'S' || (job == 'O' && m < n),
	     vt = job == 'A' || job == 'S' || (job == 'O' && m >= n);

	matrix(f, 3, m, n, CDM_RW, 0);
	array(f, 5, k, f->real, CDM_W);
	singular_vectors(f, 6, u ? (job == 'S' ? k : m) : 0, vt ? (job == 'S' ? k : n) : 0, m, n);
	work(f, 10, 11, f->elem, least_work);
	flops(f, flops_svd((double)m, (double)n, job != 'N'));
}
/* The minima that the code of LAPACK checks. Those in its documentation are larger than what it answers when asked. */
static int64_t least_gesdd(char job, int64_t large, int64_t k)
{
	int64_t bd = 3 * k * k + 4 * k;

	if (large >= k * 11 / 6)
		return job == 'N'   ? 8 * k
		       : job == 'O' ? bd + 2 * k * k + 3 * k
		       : job == 'S' ? bd + k * k + 3 * k
				    : k * k + most(3 * k + bd, k + large);
	return 3 * k + most(large, job == 'N' ? 7 * k : job == 'O' ? k * k + bd : bd);
}
static int64_t least_cgesdd(char job, int64_t large, int64_t k)
{
	if (large >= k * 17 / 9)
		return job == 'N'   ? 3 * k
		       : job == 'O' ? 2 * k * k + 3 * k
		       : job == 'S' ? k * k + 3 * k
				    : k * k + most(3 * k, k + large);
	return 2 * k + large + (job == 'O' ? k * k : 0);
}
static void fill_GESDD(struct cdm_fill *f)
{
	int64_t k = least(num(f, 1), num(f, 2)), large = most(num(f, 1), num(f, 2));

	divide_and_conquer(f, least_gesdd(f->c->letter[0], large, k));
	work_integers(f, 12, 8 * k);
}
static void fill_CGESDD(struct cdm_fill *f)
{
	int64_t k = least(num(f, 1), num(f, 2)), large = most(num(f, 1), num(f, 2));

	divide_and_conquer(f, least_cgesdd(f->c->letter[0], large, k));
	work_fixed(f, 12, f->c->letter[0] == 'N' ? 7 * k : most(5 * k * k + 7 * k, 2 * large * k + 2 * k * k + k),
		   f->real);
	work_integers(f, 13, 8 * k);
}

/* jobvl jobvr n a lda ...; vl at v */
static int64_t general_eigen(struct cdm_fill *f, int v)
{
	int64_t n = num(f, 2);
	bool left = letter(f, 0, "NV") == 'V', right = letter(f, 1, "NV") == 'V';

	matrix(f, 3, n, n, CDM_RW, 0);
	if (left)
		matrix(f, v, n, n, CDM_W, 0);
	if (right)
		matrix(f, v + 2, n, n, CDM_W, 0);
	f->legal &= num(f, v + 1) >= 1 && num(f, v + 3) >= 1;
	flops(f, (left || right ? 25.0 : 10.0) * cube((double)n));
	return n;
}
/* jobvl jobvr n a lda wr wi vl ldvl vr ldvr work lwork info */
static void fill_GEEV(struct cdm_fill *f)
{
	int64_t n = general_eigen(f, 7);

	array(f, 5, n, f->elem, CDM_W);
	array(f, 6, n, f->elem, CDM_W);
	work(f, 11, 12, f->elem, 4 * n);
}
/* jobvl jobvr n a lda w vl ldvl vr ldvr work lwork rwork info */
static void fill_CGEEV(struct cdm_fill *f)
{
	int64_t n = general_eigen(f, 6);

	array(f, 5, n, f->elem, CDM_W);
	work(f, 10, 11, f->elem, 2 * n);
	work_fixed(f, 12, 2 * n, f->real);
}

/* ---- the table -------------------------------------------------------------------------------------- */

#define ONE CDM_DIM_ONE
#define MAX CDM_DIM_MAX
#define SHAPE(id, list, res, lev, row, c, ...)                                                                         \
	[CDM_SHAPE_##id] = {.args = list,                                                                              \
			    .result = res,                                                                             \
			    .level = CDM_LEVEL_##lev,                                                                  \
			    .row_major = CDM_ROW_##row,                                                                \
			    .coef = c,                                                                                 \
			    .dim = {__VA_ARGS__},                                                                      \
			    .fill = fill_##id}
#define LAPACK(id, list, c, ...)                                                                                       \
	[CDM_SHAPE_##id] = {                                                                                           \
		.args = list, .result = 'v', .driver = true, .coef = c, .dim = {__VA_ARGS__}, .fill = fill_##id}

/* clang-format off */
const struct cdm_shape cdm_shapes[CDM_SHAPE_COUNT] = {
	SHAPE(GEMM,         "LLNNNSMNMNSMN",        'v', MATRIX, GEMM,  2, 2, 3, 4),
	SHAPE(GEMMT,        "LLLNNSMNMNSMN",        'v', MATRIX, GEMMT, 2, 3, 3, 4),
	SHAPE(SYMM,         "LLNNSMNMNSMN",         'v', MATRIX, SIDE,  2, 2, 3, MAX),
	SHAPE(SYRK,         "LLNNSMNSMN",           'v', MATRIX, RANK,  2, 2, 2, 3),
	SHAPE(HERK,         "LLNNRMNRMN",           'v', MATRIX, RANK,  2, 2, 2, 3),
	SHAPE(SYR2K,        "LLNNSMNMNSMN",         'v', MATRIX, RANK,  3, 2, 2, 3),
	SHAPE(HER2K,        "LLNNSMNMNRMN",         'v', MATRIX, RANK,  3, 2, 2, 3),
	SHAPE(TRMM,         "LLLLNNSMNMN",          'v', MATRIX, SIDE,  1, 4, 5, MAX),
	SHAPE(GEMM_BATCH,   "MMMMMMMMMMMMMNM",      'v', MATRIX, HOST,  CDM_COEF_LOOK, ONE, ONE, ONE),
	SHAPE(GEMM_STRIDED, "LLNNNSMNNMNNSMNNN",    'v', MATRIX, HOST,  2, 2, 3, 4),

	SHAPE(GEMV,         "LNNSMNMNSMN",          'v', VECTOR, GEMV,  2, 1, 2, ONE),
	SHAPE(GBMV,         "LNNNNSMNMNSMN",        'v', VECTOR, GEMV,  2, 2, 7, ONE),
	SHAPE(TRMV,         "LLLNMNMN",             'v', VECTOR, TR,    1, 3, 3, ONE),
	SHAPE(TBMV,         "LLLNNMNMN",            'v', VECTOR, TR,    2, 3, 6, ONE),
	SHAPE(TPMV,         "LLLNMMN",              'v', VECTOR, TR,    1, 3, 3, ONE),
	SHAPE(SYMV,         "LNSMNMNSMN",           'v', VECTOR, UPLO,  2, 1, 1, ONE),
	SHAPE(SBMV,         "LNNSMNMNSMN",          'v', VECTOR, UPLO,  4, 1, 5, ONE),
	SHAPE(SPMV,         "LNSMMNSMN",            'v', VECTOR, UPLO,  2, 1, 1, ONE),
	SHAPE(HEMV,         "LNSMNMNSMN",           'v', VECTOR, HOST,  2, 1, 1, ONE),
	SHAPE(HBMV,         "LNNSMNMNSMN",          'v', VECTOR, HOST,  4, 1, 5, ONE),
	SHAPE(HPMV,         "LNSMMNSMN",            'v', VECTOR, HOST,  2, 1, 1, ONE),
	SHAPE(GER,          "NNSMNMNMN",            'v', VECTOR, GER,   2, 0, 1, ONE),
	SHAPE(GERC,         "NNSMNMNMN",            'v', VECTOR, HOST,  2, 0, 1, ONE),
	SHAPE(SYR,          "LNSMNMN",              'v', VECTOR, UPLO,  1, 1, 1, ONE),
	SHAPE(SPR,          "LNSMNM",               'v', VECTOR, UPLO,  1, 1, 1, ONE),
	SHAPE(SYR2,         "LNSMNMNMN",            'v', VECTOR, UPLO,  2, 1, 1, ONE),
	SHAPE(SPR2,         "LNSMNMNM",             'v', VECTOR, UPLO,  2, 1, 1, ONE),
	SHAPE(HER,          "LNRMNMN",              'v', VECTOR, HOST,  1, 1, 1, ONE),
	SHAPE(HPR,          "LNRMNM",               'v', VECTOR, HOST,  1, 1, 1, ONE),
	SHAPE(HER2,         "LNSMNMNMN",            'v', VECTOR, HOST,  2, 1, 1, ONE),
	SHAPE(HPR2,         "LNSMNMNM",             'v', VECTOR, HOST,  2, 1, 1, ONE),

	SHAPE(SWAP,         "NMNMN",                'v', VECTOR, NONE,  1, 0, ONE, ONE),
	SHAPE(COPY,         "NMNMN",                'v', VECTOR, NONE,  1, 0, ONE, ONE),
	SHAPE(AXPY,         "NSMNMN",               'v', VECTOR, NONE,  2, 0, ONE, ONE),
	SHAPE(AXPBY,        "NSMNSMN",              'v', VECTOR, NONE,  3, 0, ONE, ONE),
	SHAPE(SCAL,         "NSMN",                 'v', VECTOR, NONE,  1, 0, ONE, ONE),
	SHAPE(RSCAL,        "NRMN",                 'v', VECTOR, NONE,  1, 0, ONE, ONE),
	SHAPE(DOT,          "NMNMN",                't', VECTOR, NONE,  2, 0, ONE, ONE),
	SHAPE(DOTC,         "NMNMN",                't', VECTOR, NONE,  2, 0, ONE, ONE),
	SHAPE(NRM2,         "NMN",                  'r', VECTOR, NONE,  2, 0, ONE, ONE),
	SHAPE(ASUM,         "NMN",                  'r', VECTOR, NONE,  2, 0, ONE, ONE),
	SHAPE(IAMAX,        "NMN",                  'i', VECTOR, NONE,  2, 0, ONE, ONE),
	SHAPE(SDSDOT,       "NSMNMN",               't', VECTOR, NONE,  2, 0, ONE, ONE),
	SHAPE(DSDOT,        "NMNMN",                'd', VECTOR, NONE,  2, 0, ONE, ONE),
	SHAPE(ROT,          "NMNMNSS",              'v', VECTOR, NONE,  6, 0, ONE, ONE),
	SHAPE(RROT,         "NMNMNRR",              'v', VECTOR, NONE,  6, 0, ONE, ONE),
	SHAPE(ROTM,         "NMNMNM",               'v', VECTOR, NONE,  4, 0, ONE, ONE),
	SHAPE(ROTG,         "MMMM",                 'v', VECTOR, NONE,  0, ONE, ONE, ONE),
	SHAPE(ROTMG,        "MMMSM",                'v', VECTOR, NONE,  0, ONE, ONE, ONE),
	SHAPE(OMATCOPY,     "LLNNSMNMN",            'v', VECTOR, NONE,  1, 2, 3, ONE),
	SHAPE(IMATCOPY,     "LLNNSMNN",             'v', VECTOR, NONE,  1, 2, 3, ONE),

	LAPACK(GETRF,       "NNMNIO",               2, 0, 1, MAX),
	LAPACK(GETRS,       "LNNMNIMNO",            2, 1, 1, 2),
	LAPACK(GESV,        "NNMNIMNO",             CDM_COEF_LOOK, ONE, ONE, ONE),
	LAPACK(GETRI,       "NMNIMNO",              2, 0, 0, 0),
	LAPACK(POTRF,       "LNMNO",                1, 1, 1, 1),
	LAPACK(POTRS,       "LNNMNMNO",             2, 1, 1, 2),
	LAPACK(POSV,        "LNNMNMNO",             CDM_COEF_LOOK, ONE, ONE, ONE),
	LAPACK(TRTRI,       "LLNMNO",               1, 2, 2, 2),
	LAPACK(TRTRS,       "LLLNNMNMNO",           1, 3, 3, 4),
	LAPACK(GEQRF,       "NNMNMMNO",             2, 0, 1, MAX),
	LAPACK(ORGQR,       "NNNMNMMNO",            4, 0, 1, MAX),
	LAPACK(ORMQR,       "LLNNNMNMMNMNO",        4, 2, 3, MAX),
	LAPACK(GELS,        "LNNNMNMNMNO",          CDM_COEF_LOOK, ONE, ONE, ONE),
	LAPACK(SYEV,        "LLNMNMMNO",            9, 2, 2, 2),
	LAPACK(HEEV,        "LLNMNMMNMO",           9, 2, 2, 2),
	LAPACK(SYEVD,       "LLNMNMMNINO",          9, 2, 2, 2),
	LAPACK(HEEVD,       "LLNMNMMNMNINO",        9, 2, 2, 2),
	LAPACK(GESVD,       "LLNNMNMMNMNMNO",       22, 2, 3, MAX),
	LAPACK(CGESVD,      "LLNNMNMMNMNMNMO",      22, 2, 3, MAX),
	LAPACK(GESDD,       "LNNMNMMNMNMNIO",       22, 1, 2, MAX),
	LAPACK(CGESDD,      "LNNMNMMNMNMNMIO",      22, 1, 2, MAX),
	LAPACK(GEEV,        "LLNMNMMMNMNMNO",       25, 2, 2, 2),
	LAPACK(CGEEV,       "LLNMNMMNMNMNMO",       25, 2, 2, 2),
};

const uint8_t cdm_blas_shape[CDM_BLAS_COUNT] = {
#define CDM_ROUTINE(name, type, shape, doors) [CDM_BLAS_##name] = CDM_SHAPE_##shape,
#include "shim/blas.def"
};
/* clang-format on */

enum cdm_verdict cdm_shape_fill(struct cdm_call *call)
{
	const struct cdm_routine *r = &cdm_blas_table[call->routine];
	struct cdm_fill f = {.c = call, .legal = true};

	f.elem = (uint8_t)cdm_scalar_size(r->type);
	f.complex = cdm_scalar_complex(r->type);
	f.real = f.complex ? f.elem / 2 : f.elem;
	call->operands = 0;
	call->flops = 0;
	cdm_shapes[cdm_blas_shape[call->routine]].fill(&f);
	if (!f.legal)
		return CDM_VERDICT_INVALID;
	for (int i = 0; i < call->operands; i++)
		f.quick |= call->op[i].rows == 0 || call->op[i].cols == 0;
	return f.quick ? CDM_VERDICT_QUICK : f.form ? CDM_VERDICT_FORM : CDM_VERDICT_RUN;
}

/* ---- row-major -------------------------------------------------------------------------------------- */

static void swap_args(struct cdm_call *c, int i, int j)
{
	void *arg = c->arg[i];
	int64_t n = c->n[i];
	char l = c->letter[i];

	if (c->args[i] == 'M') {
		c->arg[i] = c->arg[j];
		c->arg[j] = arg;
	}
	c->n[i] = c->n[j];
	c->n[j] = n;
	c->letter[i] = c->letter[j];
	c->letter[j] = l;
}

static void flip(struct cdm_call *c, int i, char one, char two)
{
	char *l = &c->letter[i];

	*l = *l == one ? two : *l == two ? one : *l;
}

/* N becomes with; T and C become N where they are legal. A letter that is not stays so, for the check to find. */
static bool flip_trans(struct cdm_call *c, int i, char with, const char *legal)
{
	char *l = &c->letter[i];

	if (*l == 'N')
		*l = with;
	else if (*l && strchr(legal, *l))
		*l = 'N';
	else
		return false;
	return true;
}

static void conjugate(struct cdm_call *c, int i, double scratch[2])
{
	if (cdm_blas_table[c->routine].type == CDM_C) {
		float *to = (float *)scratch;
		const float *from = c->arg[i];
		to[0] = from[0];
		to[1] = -from[1];
	} else {
		const double *from = c->arg[i];
		scratch[0] = from[0];
		scratch[1] = -from[1];
	}
	c->arg[i] = scratch;
}

/* HER2K's alpha is conjugated: alpha A B* + conj(alpha) B A* transposes to conj(alpha) A'* B' + alpha B'* A'. */
static void transpose_rank(struct cdm_call *c, double scratch[2])
{
	int shape = cdm_blas_shape[c->routine];
	bool hermitian = shape == CDM_SHAPE_HERK || shape == CDM_SHAPE_HER2K;
	bool complex = cdm_scalar_complex(cdm_blas_table[c->routine].type);

	flip(c, 0, 'U', 'L');
	flip_trans(c, 1, hermitian ? 'C' : 'T', hermitian ? "C" : complex ? "T" : "TC");
	if (shape == CDM_SHAPE_HER2K)
		conjugate(c, 4, scratch);
}

enum cdm_verdict cdm_shape_transpose(struct cdm_call *c, double scratch[2])
{
	const struct cdm_shape *s = &cdm_shapes[cdm_blas_shape[c->routine]];
	bool complex = cdm_scalar_complex(cdm_blas_table[c->routine].type);
	int n;

	switch ((enum cdm_row_major)s->row_major) {
	case CDM_ROW_NONE:
		break;
	case CDM_ROW_HOST:
		return CDM_VERDICT_FORM;
	case CDM_ROW_GEMM:
	case CDM_ROW_GEMMT:
		n = s->row_major == CDM_ROW_GEMMT;
		if (n)
			flip(c, 0, 'U', 'L');
		else
			swap_args(c, 2, 3);
		swap_args(c, n, n + 1);
		swap_args(c, 6, 8);
		swap_args(c, 7, 9);
		break;
	case CDM_ROW_SIDE:
		n = (int)(strchr(s->args, 'N') - s->args);
		flip(c, 0, 'L', 'R');
		flip(c, 1, 'U', 'L');
		swap_args(c, n, n + 1);
		break;
	case CDM_ROW_RANK:
		transpose_rank(c, scratch);
		break;
	case CDM_ROW_GEMV:
		if (complex && c->letter[0] == 'C')
			return CDM_VERDICT_FORM;
		flip_trans(c, 0, 'T', "TC");
		swap_args(c, 1, 2);
		if (s->args[3] == 'N')
			swap_args(c, 3, 4);
		break;
	case CDM_ROW_TR:
		if (complex && c->letter[1] == 'C')
			return CDM_VERDICT_FORM;
		flip_trans(c, 1, 'T', "TC");
		flip(c, 0, 'U', 'L');
		break;
	case CDM_ROW_UPLO:
		flip(c, 0, 'U', 'L');
		break;
	case CDM_ROW_GER:
		swap_args(c, 0, 1);
		swap_args(c, 3, 5);
		swap_args(c, 4, 6);
		break;
	}
	return CDM_VERDICT_RUN;
}

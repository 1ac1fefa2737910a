/* The shapes of BLAS, levels 1 to 3. */
#include "shim/blas_fill.h"

/* ---- level 3 ---------------------------------------------------------------------------------------- */

/* transa transb m n k alpha a lda b ldb beta c ldc */
void cdm_fill_GEMM(struct cdm_fill *f)
{
	int64_t m = num(f, 2), n = num(f, 3), k = num(f, 4);

	matrix_op(f, 6, trans(f, 0), m, k);
	matrix_op(f, 8, trans(f, 1), k, n);
	matrix(f, 11, m, n, beta(f, 10), 0);
	alpha(f, 5);
	flops(f, 2.0 * (double)m * (double)n * (double)k);
}

/* uplo transa transb n k alpha a lda b ldb beta c ldc: one triangle of GEMM's result */
void cdm_fill_GEMMT(struct cdm_fill *f)
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
void cdm_fill_SYMM(struct cdm_fill *f)
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
void cdm_fill_SYRK(struct cdm_fill *f)
{
	rank_k(f, false);
}
void cdm_fill_HERK(struct cdm_fill *f)
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
void cdm_fill_SYR2K(struct cdm_fill *f)
{
	rank_2k(f, false);
}
void cdm_fill_HER2K(struct cdm_fill *f)
{
	rank_2k(f, true);
}

/* side uplo transa diag m n alpha a lda b ldb */
void cdm_fill_TRMM(struct cdm_fill *f)
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
void cdm_fill_GEMM_BATCH(struct cdm_fill *f)
{
	f->form = true;
}
void cdm_fill_GEMM_STRIDED(struct cdm_fill *f)
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
void cdm_fill_GEMV(struct cdm_fill *f)
{
	matrix_vector(f, 3, num(f, 1));
}
void cdm_fill_GBMV(struct cdm_fill *f)
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
void cdm_fill_SYMV(struct cdm_fill *f)
{
	symmetric_vector(f, 2, num(f, 1), f->c->letter[0]);
}
void cdm_fill_SBMV(struct cdm_fill *f)
{
	f->legal &= num(f, 2) >= 0;
	symmetric_vector(f, 3, num(f, 2) + 1, 0);
}
void cdm_fill_SPMV(struct cdm_fill *f)
{
	symmetric_vector(f, 2, -1, 0);
}

/* uplo trans diag n [k] a [lda] x incx */
static int64_t triangular(struct cdm_fill *f)
{
	letter(f, 0, "UL");
	trans(f, 1);
	letter(f, 2, "UN");
	return num(f, 3);
}
void cdm_fill_TRMV(struct cdm_fill *f)
{
	int64_t n = triangular(f);

	matrix(f, 4, n, n, CDM_R, f->c->letter[0]);
	vector(f, 6, n, CDM_RW);
	flops(f, (double)n * (double)n);
}
void cdm_fill_TBMV(struct cdm_fill *f)
{
	int64_t n = triangular(f), k = num(f, 4);

	f->legal &= k >= 0;
	matrix(f, 5, k + 1, n, CDM_R, 0);
	vector(f, 7, n, CDM_RW);
	flops(f, 2.0 * (double)n * (double)(k + 1));
}
void cdm_fill_TPMV(struct cdm_fill *f)
{
	int64_t n = triangular(f);

	array(f, 4, packed(n), f->elem, CDM_R);
	vector(f, 5, n, CDM_RW);
	flops(f, (double)n * (double)n);
}

/* m n alpha x incx y incy a lda */
void cdm_fill_GER(struct cdm_fill *f)
{
	int64_t m = num(f, 0), n = num(f, 1);

	vector(f, 3, m, CDM_R);
	vector(f, 5, n, CDM_R);
	matrix(f, 7, m, n, CDM_RW, 0);
	alpha(f, 2);
	flops(f, 2.0 * (double)m * (double)n);
}

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
void cdm_fill_SYR(struct cdm_fill *f)
{
	rank_one(f, false, true);
}
void cdm_fill_SPR(struct cdm_fill *f)
{
	rank_one(f, false, false);
}
void cdm_fill_SYR2(struct cdm_fill *f)
{
	rank_one(f, true, true);
}
void cdm_fill_SPR2(struct cdm_fill *f)
{
	rank_one(f, true, false);
}

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
void cdm_fill_SWAP(struct cdm_fill *f)
{
	level1(f, 1, CDM_RW, 3, CDM_RW, 1);
}
void cdm_fill_COPY(struct cdm_fill *f)
{
	level1(f, 1, CDM_R, 3, CDM_W, 1);
}
void cdm_fill_AXPY(struct cdm_fill *f)
{
	level1(f, 2, CDM_R, 4, CDM_RW, 2);
	alpha(f, 1);
}
/* n alpha x incx beta y incy */
void cdm_fill_AXPBY(struct cdm_fill *f)
{
	level1(f, 2, CDM_R, 5, CDM_RW, 3);
}
/* NaN times zero: the reference multiplies, later libraries store zeros. The original decides. */
void cdm_fill_SCAL(struct cdm_fill *f)
{
	level1(f, 2, CDM_RW, 0, CDM_R, 1);
	alpha(f, 1);
	f->quick |= num(f, 3) <= 0; /* the reference does nothing then */
}
void cdm_fill_DOT(struct cdm_fill *f)
{
	level1(f, 1, CDM_R, 3, CDM_R, 2);
}
/* n sb x incx y incy */
void cdm_fill_SDSDOT(struct cdm_fill *f)
{
	level1(f, 2, CDM_R, 4, CDM_R, 2);
}
/* Negative increments: the reference returns 0 in some versions, computes in others. */
void cdm_fill_NRM2(struct cdm_fill *f)
{
	level1(f, 1, CDM_R, 0, CDM_R, 2);
	f->form |= num(f, 2) < 0;
}
/* n x incx y incy c s; one vector twice is changed twice */
void cdm_fill_ROT(struct cdm_fill *f)
{
	level1(f, 1, CDM_RW, 3, CDM_RW, 6);
	f->form |= f->c->op[0].base == f->c->op[1].base;
}
/* n x incx y incy param */
void cdm_fill_ROTM(struct cdm_fill *f)
{
	level1(f, 1, CDM_RW, 3, CDM_RW, 4);
	f->form |= f->c->op[0].base == f->c->op[1].base;
}
/* A handful of scalars: nothing for a device. */
void cdm_fill_ROTG(struct cdm_fill *f)
{
	f->form = true;
}

/* order trans rows cols alpha a lda b ldb */
void cdm_fill_OMATCOPY(struct cdm_fill *f)
{
	bool row = letter(f, 0, "RC") == 'R', flip = strchr("TC", letter(f, 1, "NTCR")) != NULL;
	int64_t m = num(f, row ? 3 : 2), n = num(f, row ? 2 : 3);

	matrix(f, 5, m, n, CDM_R, 0);
	matrix(f, 7, flip ? n : m, flip ? m : n, CDM_W, 0);
	flops(f, (double)m * (double)n);
}
/* order trans rows cols alpha a lda ldb: in and out of different shape, in one place */
void cdm_fill_IMATCOPY(struct cdm_fill *f)
{
	f->form = true;
}

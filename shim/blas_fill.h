/* What the functions that fill in a shape share: reading the list, checking it, describing operands. Private to shim/blas_*.c.
 *
 * Reference BLAS and LAPACK reject a letter outside its set, a negative size, a leading dimension below max(1, rows), in
 * level 2 an increment of zero, and too little workspace. Whatever is not certainly legal is left to the program's own
 * library, so a check here may be stricter than the reference's, never laxer.
 *
 * Work counts additions and multiplications with alpha and beta not counted, after LAPACK Working Note 41; complex types
 * count four times as much (6 for a product, 2 for a sum, in place of 1 and 1). Where the note has no formula
 * (eigenvalues, SVD) the leading terms of Golub and Van Loan's tables stand.
 */
#ifndef CDM_SHIM_BLAS_FILL_H
#define CDM_SHIM_BLAS_FILL_H

#include <string.h>

#include "shim/blas_shapes.h"

struct cdm_fill {
	struct cdm_call *c;
	bool complex, legal, quick, form;
	uint8_t elem, real; /* bytes of an element, and of its real part */
};

/* clang-format off */
/* Each checks the arguments of its shape as the reference does, describes the operands and counts the work. */
#define X(id) void cdm_fill_##id(struct cdm_fill *f);
CDM_SHAPES(X)
#undef X
/* Shapes that differ in nothing a check sees. */
#define cdm_fill_HEMV cdm_fill_SYMV
#define cdm_fill_HBMV cdm_fill_SBMV
#define cdm_fill_HPMV cdm_fill_SPMV
#define cdm_fill_GERC cdm_fill_GER
#define cdm_fill_HER cdm_fill_SYR
#define cdm_fill_HPR cdm_fill_SPR
#define cdm_fill_HER2 cdm_fill_SYR2
#define cdm_fill_HPR2 cdm_fill_SPR2
#define cdm_fill_RSCAL cdm_fill_SCAL
#define cdm_fill_DOTC cdm_fill_DOT
#define cdm_fill_DSDOT cdm_fill_DOT
#define cdm_fill_ASUM cdm_fill_NRM2
#define cdm_fill_IAMAX cdm_fill_NRM2
#define cdm_fill_RROT cdm_fill_ROT
#define cdm_fill_ROTMG cdm_fill_ROTG
/* clang-format on */

/* ---- reading the list ------------------------------------------------------------------------------- */

static inline int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}
static inline int64_t most(int64_t a, int64_t b)
{
	return a > b ? a : b;
}
static inline int64_t num(const struct cdm_fill *f, int i)
{
	return f->c->n[i];
}
static inline double real_num(const struct cdm_fill *f, int i)
{
	return (double)f->c->n[i];
}

/* The letter at i, which must be one of set. */
static inline char letter(struct cdm_fill *f, int i, const char *set)
{
	char l = f->c->letter[i];

	f->legal &= l && strchr(set, l);
	return l;
}

/* TRANS of a routine in which transpose and conjugate transpose are both legal. */
static inline char trans(struct cdm_fill *f, int i)
{
	return letter(f, i, "NTC");
}

/* A scalar that is not there is that of an empty call, which the reference does not read. */
static inline bool is_zero(struct cdm_fill *f, int i, bool complex)
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
static inline void alpha(struct cdm_fill *f, int i)
{
	f->quick |= is_zero(f, i, f->complex && f->c->args[i] == 'S');
}

/* The reference does not read the output when beta is zero. */
static inline enum cdm_access beta(struct cdm_fill *f, int i)
{
	return is_zero(f, i, f->complex && f->c->args[i] == 'S') ? CDM_W : CDM_RW;
}

/* ---- operands --------------------------------------------------------------------------------------- */

static inline struct cdm_operand *operand(struct cdm_fill *f, int arg, int64_t rows, int64_t cols, int64_t ld, int elem,
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
static inline void matrix(struct cdm_fill *f, int arg, int64_t rows, int64_t cols, enum cdm_access access, char tri)
{
	int64_t ld = num(f, arg + 1);
	struct cdm_operand *o = operand(f, arg, rows, cols, ld, f->elem, access);

	o->tri = tri;
	o->ld_arg = (uint8_t)(arg + 1);
	f->legal &= rows >= 0 && cols >= 0 && ld >= (rows > 1 ? rows : 1);
}

/* A matrix whose op() is rows x cols. */
static inline void matrix_op(struct cdm_fill *f, int arg, char trans, int64_t rows, int64_t cols)
{
	if (trans == 'N')
		matrix(f, arg, rows, cols, CDM_R, 0);
	else
		matrix(f, arg, cols, rows, CDM_R, 0);
}

/* A vector at arg, its increment behind it. */
static inline void vector(struct cdm_fill *f, int arg, int64_t n, enum cdm_access access)
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
static inline void array(struct cdm_fill *f, int arg, int64_t count, int elem, enum cdm_access access)
{
	operand(f, arg, count, 1, most(count, 1), elem, access);
	f->legal &= count >= 0;
}

static inline int64_t packed(int64_t n)
{
	return n * (n + 1) / 2;
}

static inline void integers(struct cdm_fill *f, int arg, int64_t count, enum cdm_access access)
{
	operand(f, arg, count, 1, most(count, 1), f->c->wide ? 8 : 4, access)->integers = true;
}

/* Workspace at arg of as many elements as the argument size says, and at least least_size. -1 asks how many. */
static inline void work(struct cdm_fill *f, int arg, int size, int elem, int64_t least_size)
{
	int64_t n = num(f, size);

	operand(f, arg, most(n, 1), 1, most(n, 1), elem, CDM_W)->scratch = true;
	f->quick |= n == -1;
	f->legal &= n == -1 || n >= most(least_size, 1);
}

static inline void work_fixed(struct cdm_fill *f, int arg, int64_t count, int elem)
{
	operand(f, arg, most(count, 1), 1, most(count, 1), elem, CDM_W)->scratch = true;
}

static inline void work_integers(struct cdm_fill *f, int arg, int64_t count)
{
	integers(f, arg, most(count, 1), CDM_W);
	f->c->op[f->c->operands - 1].scratch = true;
}

static inline void flops(struct cdm_fill *f, double n)
{
	f->c->flops = f->complex ? 4 * n : n;
}

#endif

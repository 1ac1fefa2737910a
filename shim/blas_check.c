/* Argument validation, and the normalised call.
 *
 * Reference BLAS rejects a letter outside its set, a negative size, and a leading dimension below max(1, rows) of
 * its matrix. Every size is an extent of some operand, so checking letters and operands checks everything.
 */
#include "shim/blas.h"

#include <string.h>

static char upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static bool one_of(char c, const char *set)
{
	return c && strchr(set, c);
}

/* Appends an operand; false when reference BLAS finds it illegal. */
static bool operand(struct cdm_call *call, const void *base, int64_t rows, int64_t cols, int ld, char tri)
{
	uint8_t elem = (uint8_t)cdm_scalar_size(cdm_blas_table[call->routine].type);

	call->op[call->operands++] = (struct cdm_operand){
		.base = (void *)(uintptr_t)base,
		.rows = rows,
		.cols = cols,
		.ld = ld,
		.elem = elem,
		.access = CDM_R,
		.tri = tri,
	};
	return rows >= 0 && cols >= 0 && ld >= (rows > 1 ? rows : 1);
}

/* A matrix whose op() is rows x cols. */
static bool operand_op(struct cdm_call *call, char trans, const void *base, int64_t rows, int64_t cols, int ld)
{
	return trans == 'N' ? operand(call, base, rows, cols, ld, 0) : operand(call, base, cols, rows, ld, 0);
}

/* GEMMT is GEMM with m == n and C a triangle; GEMM's uplo is 0. */
static bool fill_gemm(struct cdm_call *call, const struct cdm_blas_args *a)
{
	int64_t m = call->uplo ? call->n : call->m;

	return operand_op(call, call->transa, a->a, m, call->k, a->lda) &&
	       operand_op(call, call->transb, a->b, call->k, call->n, a->ldb) &&
	       operand(call, a->c, m, call->n, a->ldc, call->uplo);
}

static bool fill_symm(struct cdm_call *call, const struct cdm_blas_args *a)
{
	int64_t order = call->side == 'L' ? call->m : call->n;

	return operand(call, a->a, order, order, a->lda, call->uplo) &&
	       operand(call, a->b, call->m, call->n, a->ldb, 0) && operand(call, a->c, call->m, call->n, a->ldc, 0);
}

static bool fill_syrk(struct cdm_call *call, const struct cdm_blas_args *a, bool two)
{
	return operand_op(call, call->transa, a->a, call->n, call->k, a->lda) &&
	       (!two || operand_op(call, call->transa, a->b, call->n, call->k, a->ldb)) &&
	       operand(call, a->c, call->n, call->n, a->ldc, call->uplo);
}

static bool fill_trmm(struct cdm_call *call, const struct cdm_blas_args *a)
{
	int64_t order = call->side == 'L' ? call->m : call->n;

	return operand(call, a->a, order, order, a->lda, call->uplo) &&
	       operand(call, a->b, call->m, call->n, a->ldb, 0);
}

static bool legal_letters(const struct cdm_call *call, enum cdm_blas_shape shape)
{
	const char *trans = cdm_blas_traits[call->routine].trans;
	bool has_side = shape == CDM_SHAPE_SYMM || shape == CDM_SHAPE_TRMM;
	bool has_transb = shape == CDM_SHAPE_GEMM || shape == CDM_SHAPE_GEMMT;

	return (!has_side || one_of(call->side, "LR")) && (shape == CDM_SHAPE_GEMM || one_of(call->uplo, "UL")) &&
	       (shape == CDM_SHAPE_SYMM || one_of(call->transa, trans)) &&
	       (!has_transb || one_of(call->transb, trans)) && (shape != CDM_SHAPE_TRMM || one_of(call->diag, "UN"));
}

static bool fill_operands(struct cdm_call *call, const struct cdm_blas_args *args, enum cdm_blas_shape shape)
{
	switch (shape) {
	case CDM_SHAPE_GEMM:
	case CDM_SHAPE_GEMMT:
		return fill_gemm(call, args);
	case CDM_SHAPE_SYMM:
		return fill_symm(call, args);
	case CDM_SHAPE_SYRK:
		return fill_syrk(call, args, false);
	case CDM_SHAPE_SYR2K:
		return fill_syrk(call, args, true);
	case CDM_SHAPE_TRMM:
		return fill_trmm(call, args);
	}
	return false;
}

static bool is_zero(const void *scalar, enum cdm_scalar type, bool real)
{
	bool complex = !real && type >= CDM_C;

	if (type == CDM_S || type == CDM_C) {
		const float *f = scalar;
		return f[0] == 0 && (!complex || f[1] == 0);
	}
	const double *d = scalar;
	return d[0] == 0 && (!complex || d[1] == 0);
}

/* With no product to form, the inputs are not referenced (they may be null pointers), and C is scaled at most:
 * reference BLAS returns at once or does so. Not worth a trip to a device. */
static bool nothing_to_form(const struct cdm_call *call)
{
	for (int i = 0; i < call->operands; i++)
		if (call->op[i].rows == 0 || call->op[i].cols == 0)
			return true;
	return is_zero(call->alpha, cdm_blas_table[call->routine].type, cdm_blas_traits[call->routine].real_alpha);
}

/* The last operand is the output; reference BLAS does not read C when beta is zero. */
static void set_output(struct cdm_call *call)
{
	bool overwritten = call->beta && is_zero(call->beta, cdm_blas_table[call->routine].type,
						 cdm_blas_traits[call->routine].real_beta);

	call->op[call->operands - 1].access = overwritten ? CDM_W : CDM_RW;
}

enum cdm_blas_verdict cdm_blas_normalise(struct cdm_call *call, int routine, const struct cdm_blas_args *args)
{
	enum cdm_blas_shape shape = cdm_blas_traits[routine].shape;

	*call = (struct cdm_call){
		.routine = routine,
		.side = upper(args->side),
		.uplo = upper(args->uplo),
		.transa = upper(args->transa),
		.transb = upper(args->transb),
		.diag = upper(args->diag),
		.m = args->m,
		.n = args->n,
		.k = args->k,
		.alpha = args->alpha,
		.beta = args->beta,
	};
	if (!legal_letters(call, shape) || !fill_operands(call, args, shape))
		return CDM_BLAS_INVALID;
	if (nothing_to_form(call))
		return CDM_BLAS_QUICK;
	set_output(call);
	return CDM_BLAS_RUN;
}

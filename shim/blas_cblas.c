/* The CBLAS entry points: row- and column-major, enumerations and real scalars by value.
 *
 * A row-major matrix is its transpose stored by columns. The calls below become column-major ones on the
 * transposes:
 *
 *   C = op(A) op(B)        C' = op(B)' op(A)'     operands change places, and m with n
 *   C = A B, A symmetric   C' = B' A'             left becomes right, upper becomes lower
 *   C = op(A) op(A)*       C' = op(A)*' op(A)'    upper becomes lower, trans becomes notrans and back
 *
 * HER2K's alpha is conjugated: alpha A B* + conj(alpha) B A* transposes to conj(alpha) A'* B' + alpha B'* A'.
 */
#include "shim/blas.h"

/* The numbers of the CBLAS header. */
enum { ROW_MAJOR = 101, COL_MAJOR = 102, NO_TRANS = 111, TRANS, CONJ_TRANS, UPPER = 121, LOWER, NON_UNIT = 131, UNIT };
enum { LEFT_SIDE = 141, RIGHT_SIDE };

static char letter_side(int e)
{
	return e == LEFT_SIDE ? 'L' : e == RIGHT_SIDE ? 'R' : 0;
}
static char letter_uplo(int e)
{
	return e == UPPER ? 'U' : e == LOWER ? 'L' : 0;
}
static char letter_diag(int e)
{
	return e == UNIT ? 'U' : e == NON_UNIT ? 'N' : 0;
}
static char letter_transa(int e)
{
	return e == NO_TRANS ? 'N' : e == TRANS ? 'T' : e == CONJ_TRANS ? 'C' : 0;
}
static char letter_transb(int e)
{
	return letter_transa(e);
}

static char other(char c, char one, char two)
{
	return c == one ? two : c == two ? one : c;
}

#define SWAP(x, y)                                                                                                     \
	do {                                                                                                           \
		__typeof__(x) swap_ = (x);                                                                             \
		(x) = (y);                                                                                             \
		(y) = swap_;                                                                                           \
	} while (0)

static void swap_operands(struct cdm_blas_args *args)
{
	SWAP(args->transa, args->transb);
	SWAP(args->a, args->b);
	SWAP(args->lda, args->ldb);
}

static bool is_hermitian(int routine)
{
	return cdm_blas_table[routine].family == CDM_HERK || cdm_blas_table[routine].family == CDM_HER2K;
}

/* A letter that is not legal here stays so, for validation to find. */
static void flip_trans(struct cdm_blas_args *args, int routine)
{
	const char *legal = cdm_blas_traits[routine].trans;

	if (args->transa == 'N')
		args->transa = is_hermitian(routine) ? 'C' : 'T';
	else
		for (; *legal; legal++)
			if (*legal == args->transa) {
				args->transa = 'N';
				return;
			}
}

static void conjugate_alpha(struct cdm_blas_args *args, int routine)
{
	if (cdm_blas_table[routine].type == CDM_C) {
		float *to = (float *)args->scalar;
		const float *from = args->alpha;

		to[0] = from[0];
		to[1] = -from[1];
	} else {
		const double *from = args->alpha;

		args->scalar[0] = from[0];
		args->scalar[1] = -from[1];
	}
	args->alpha = args->scalar;
}

static void transpose(struct cdm_blas_args *args, int routine)
{
	args->uplo = other(args->uplo, 'U', 'L');
	args->side = other(args->side, 'L', 'R');
	switch ((enum cdm_blas_shape)cdm_blas_traits[routine].shape) {
	case CDM_SHAPE_GEMM:
		SWAP(args->m, args->n);
		swap_operands(args);
		break;
	case CDM_SHAPE_GEMMT:
		swap_operands(args);
		break;
	case CDM_SHAPE_SYMM:
	case CDM_SHAPE_TRMM:
		SWAP(args->m, args->n);
		break;
	case CDM_SHAPE_SYR2K:
		if (is_hermitian(routine))
			conjugate_alpha(args, routine);
		flip_trans(args, routine);
		break;
	case CDM_SHAPE_SYRK:
		flip_trans(args, routine);
		break;
	}
}

/* Makes args what Fortran means. An unknown order becomes a call that validation refuses. */
static void apply_order(struct cdm_blas_args *args, int routine, int order)
{
	if (order == ROW_MAJOR)
		transpose(args, routine);
	else if (order != COL_MAJOR)
		args->lda = -1;
}

/* clang-format off */
/* How scalars travel: f and d by value, p by pointer. By kind (T, R) and type. */
#define SCALAR_T_s f
#define SCALAR_T_d d
#define SCALAR_T_c p
#define SCALAR_T_z p
#define SCALAR_R_c f
#define SCALAR_R_z d

#define DECLARE_f(x)	      float x
#define DECLARE_d(x)	      double x
#define DECLARE_p(x)	      const void *x
#define GATHER_f(x)	      .x = &x
#define GATHER_d(x)	      .x = &x
#define GATHER_p(x)	      .x = x

/* Sizes are declared with the width of a register and read as int, so that the original of a declined call gets
 * what the caller passed, whichever width the two have agreed on. */
#define DECLARE_LETTER(x)     int x
#define DECLARE_SIZE(x)	      long x
#define DECLARE_IN(x, ld)     const void *x, long ld
#define DECLARE_OUT(x, ld)    void *x, long ld
#define DECLARE(shape, alpha, beta) DECLARE_(shape, alpha, beta)
#define DECLARE_(shape, alpha, beta) int order, \
	CDM_ARGS_##shape(DECLARE_LETTER, DECLARE_SIZE, DECLARE_##alpha, DECLARE_IN, DECLARE_##beta, DECLARE_OUT)

#define PASS_ONE(x)	      x
#define PASS_MATRIX(x, ld)    x, ld
#define PASS(shape) order, CDM_ARGS_##shape(PASS_ONE, PASS_ONE, PASS_ONE, PASS_MATRIX, PASS_ONE, PASS_MATRIX)

#define GATHER_LETTER(x)      .x = letter_##x(x)
#define GATHER_SIZE(x)	      .x = (int)x
#define GATHER_MATRIX(x, ld)  .x = x, .ld = (int)ld
#define GATHER(shape, alpha, beta) GATHER_(shape, alpha, beta)
#define GATHER_(shape, alpha, beta) \
	CDM_ARGS_##shape(GATHER_LETTER, GATHER_SIZE, GATHER_##alpha, GATHER_MATRIX, GATHER_##beta, GATHER_MATRIX)

#define VALUE(x)	      (int)x
#define LEFT(x)		      (x == LEFT_SIDE)

#define RUN_ORIGINAL(t, name, shape, site) do { \
	original_##t##name *original_ = (original_##t##name *)cdm_host(&cdm_blas_cblas[CDM_BLAS_##t##name], site); \
	if (__builtin_expect(original_ != NULL, 1)) \
		original_(PASS(shape)); \
	else \
		missing_##t##name(PASS(shape), site); \
} while (0)

#define ENTRY(t, T, name, shape, alpha, beta) \
	ENTRY_(t, T, name, shape, SCALAR_##alpha##_##t, SCALAR_##beta##_##t)
#define ENTRY_(t, T, name, shape, alpha, beta) \
	typedef void original_##t##name(DECLARE(shape, alpha, beta)); \
	CDM_EXPORT original_##t##name cblas_##t##name; \
	static __attribute__((noinline, cold)) void missing_##t##name(DECLARE(shape, alpha, beta), const void *site) \
	{ \
		struct cdm_blas_args args = { GATHER(shape, alpha, beta) }; \
		apply_order(&args, CDM_BLAS_##t##name, order); \
		cdm_blas_by_fortran(CDM_BLAS_##t##name, &args, site); \
	} \
	static __attribute__((noinline)) void large_##t##name(DECLARE(shape, alpha, beta), double flops, \
							      const void *site) \
	{ \
		struct cdm_blas_args args = { GATHER(shape, alpha, beta) }; \
		struct cdm_blas_turn turn; \
		apply_order(&args, CDM_BLAS_##t##name, order); \
		if (cdm_blas_offload(&turn, CDM_BLAS_##t##name, &args, flops, site)) \
			return; \
		cdm_blas_counted = !turn.timed; \
		RUN_ORIGINAL(t, name, shape, site); \
		cdm_blas_counted = false; \
		cdm_blas_ended(&turn); \
	} \
	void cblas_##t##name(DECLARE(shape, alpha, beta)) \
	{ \
		const void *site = __builtin_return_address(0); \
		if (cdm_inside > 0) { \
			RUN_ORIGINAL(t, name, shape, site); \
			return; \
		} \
		double flops = CDM_COST_##t * cdm_work_##name(CDM_WORK_##shape(VALUE, LEFT)); \
		if (!cdm_blas_too_small(flops)) { \
			large_##t##name(PASS(shape), flops, site); \
			return; \
		} \
		cdm_call_stays(CDM_BLAS_##t##name, CDM_STAY_SMALL); \
		cdm_blas_counted = true; \
		RUN_ORIGINAL(t, name, shape, site); \
		cdm_blas_counted = false; \
	}
#define CDM_BLAS(name, family, shape, types, alpha, beta, ...) CDM_EACH_##types(ENTRY, name, shape, alpha, beta)
#include "shim/blas.def"
#undef CDM_BLAS
/* clang-format on */

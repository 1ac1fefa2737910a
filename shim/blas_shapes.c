/* The argument lists, one row each. A new one: a row here, and its function in blas_fill.c or blas_fill_lapack.c. */
#include "shim/blas_fill.h"
#include "shim/gate.h"

#define ONE CDM_DIM_ONE
#define MAX CDM_DIM_MAX
#define SHAPE(id, list, res, lev, row, c, ...)                                                                         \
	[CDM_SHAPE_##id] = {.args = list,                                                                              \
			    .result = res,                                                                             \
			    .level = CDM_LEVEL_##lev,                                                                  \
			    .row_major = CDM_ROW_##row,                                                                \
			    .coef = c,                                                                                 \
			    .dim = {__VA_ARGS__},                                                                      \
			    .fill = cdm_fill_##id}
#define LAPACK(id, list, c, ...)                                                                                       \
	[CDM_SHAPE_##id] = {                                                                                           \
		.args = list, .result = 'v', .driver = true, .coef = c, .dim = {__VA_ARGS__}, .fill = cdm_fill_##id}

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
	LAPACK(GEQP3,       "NNMNIMMNO",            2, 0, 1, MAX),
	LAPACK(CGEQP3,      "NNMNIMMNMO",           2, 0, 1, MAX),
	LAPACK(GELSY,       "NNNMNMNIROMNO",        CDM_COEF_LOOK, ONE, ONE, ONE),
	LAPACK(CGELSY,      "NNNMNMNIROMNMO",       CDM_COEF_LOOK, ONE, ONE, ONE),
	LAPACK(GELSD,       "NNNMNMNMROMNIO",       CDM_COEF_LOOK, ONE, ONE, ONE),
	LAPACK(CGELSD,      "NNNMNMNMROMNMIO",      CDM_COEF_LOOK, ONE, ONE, ONE),
	LAPACK(SYEVR,       "LLLNMNRRJJROMMNIMNINO",   9, 3, 3, 3),
	LAPACK(HEEVR,       "LLLNMNRRJJROMMNIMNMNINO", 9, 3, 3, 3),
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

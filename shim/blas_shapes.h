/* The argument lists of blas.def's shapes, and the types they come in.
 *
 * A list is written once, in the order that Fortran and CBLAS share (CBLAS puts the storage order in front). Its
 * user hands in one macro per kind of argument and so gets a parameter list, the arguments of a call, or the
 * initialisers of struct cdm_blas_args:
 *   LETTER(x)   SIDE, UPLO, TRANS, DIAG       SIZE(x)        M, N, K
 *   ALPHA(x)    BETA(x)                       IN(x, ld)      a matrix that is read, and its leading dimension
 *                                             OUT(x, ld)     the matrix that is written
 */
#ifndef CDM_SHIM_BLAS_SHAPES_H
#define CDM_SHIM_BLAS_SHAPES_H

/* clang-format off */
#define CDM_ARGS_GEMM(LETTER, SIZE, ALPHA, IN, BETA, OUT) \
	LETTER(transa), LETTER(transb), SIZE(m), SIZE(n), SIZE(k), ALPHA(alpha), IN(a, lda), IN(b, ldb), BETA(beta), \
	OUT(c, ldc)
#define CDM_ARGS_GEMMT(LETTER, SIZE, ALPHA, IN, BETA, OUT) \
	LETTER(uplo), LETTER(transa), LETTER(transb), SIZE(n), SIZE(k), ALPHA(alpha), IN(a, lda), IN(b, ldb), \
	BETA(beta), OUT(c, ldc)
#define CDM_ARGS_SYMM(LETTER, SIZE, ALPHA, IN, BETA, OUT) \
	LETTER(side), LETTER(uplo), SIZE(m), SIZE(n), ALPHA(alpha), IN(a, lda), IN(b, ldb), BETA(beta), OUT(c, ldc)
#define CDM_ARGS_SYRK(LETTER, SIZE, ALPHA, IN, BETA, OUT) \
	LETTER(uplo), LETTER(transa), SIZE(n), SIZE(k), ALPHA(alpha), IN(a, lda), BETA(beta), OUT(c, ldc)
#define CDM_ARGS_SYR2K(LETTER, SIZE, ALPHA, IN, BETA, OUT) \
	LETTER(uplo), LETTER(transa), SIZE(n), SIZE(k), ALPHA(alpha), IN(a, lda), IN(b, ldb), BETA(beta), OUT(c, ldc)
#define CDM_ARGS_TRMM(LETTER, SIZE, ALPHA, IN, BETA, OUT) \
	LETTER(side), LETTER(uplo), LETTER(transa), LETTER(diag), SIZE(m), SIZE(n), ALPHA(alpha), IN(a, lda), \
	OUT(b, ldb)

/* x once per letter: the string lengths that a Fortran compiler passes behind the list. */
#define CDM_HIDDEN_GEMM(x)  x, x
#define CDM_HIDDEN_GEMMT(x) x, x, x
#define CDM_HIDDEN_SYMM(x)  x, x
#define CDM_HIDDEN_SYRK(x)  x, x
#define CDM_HIDDEN_SYR2K(x) x, x
#define CDM_HIDDEN_TRMM(x)  x, x, x, x

/* The arguments of a cdm_work_NAME(), given how to read a size and whether SIDE is 'L'. */
#define CDM_WORK_GEMM(VALUE, LEFT)  0, VALUE(m), VALUE(n), VALUE(k)
#define CDM_WORK_GEMMT(VALUE, LEFT) 0, 0, VALUE(n), VALUE(k)
#define CDM_WORK_SYMM(VALUE, LEFT)  LEFT(side), VALUE(m), VALUE(n), 0
#define CDM_WORK_SYRK(VALUE, LEFT)  0, 0, VALUE(n), VALUE(k)
#define CDM_WORK_SYR2K(VALUE, LEFT) 0, 0, VALUE(n), VALUE(k)
#define CDM_WORK_TRMM(VALUE, LEFT)  LEFT(side), VALUE(m), VALUE(n), 0

/* M(letter, TYPE, ...) for each type of a row, in the order of enum cdm_scalar. */
#define CDM_EACH_SDCZ(M, ...) M(s, S, __VA_ARGS__) M(d, D, __VA_ARGS__) CDM_EACH_CZ(M, __VA_ARGS__)
#define CDM_EACH_CZ(M, ...)   M(c, C, __VA_ARGS__) M(z, Z, __VA_ARGS__)

/* Real operations in one of the type. */
#define CDM_COST_s 1.0
#define CDM_COST_d 1.0
#define CDM_COST_c 4.0
#define CDM_COST_z 4.0
/* clang-format on */

#endif

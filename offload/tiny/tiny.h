/* BLAS and LAPACK routines for matrices so small that entering a library costs more than the arithmetic.
 *
 * Pure leaf functions: no locks, no allocation, no static state that changes, no errno. They may run in any thread, in a signal
 * handler, in a fork's child. They need AVX2 and FMA: cdm_tiny_usable() says whether this CPU has them, and nothing
 * else of this file may be called where it does not.
 *
 * The caller has checked the arguments: matrices are column-major, options are the letters of BLAS in either case,
 * leading dimensions and increments are legal, dimensions are from 1 to what is said below. Strides are in elements. Not one
 * byte outside of an operand's elements is read or written: not the padding between columns, not the triangle that is
 * not named, not the rest beyond the last column. Operands do not overlap, as BLAS demands. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* Largest dimensions. They bound the stack that is used: 28 KiB. */
#define CDM_TINY_ORDER 32   /* of a triangle that is solved with or factored, and of the rows that getrf eliminates */
#define CDM_TINY_AREA 1024  /* elements that getrf eliminates; the rest of the rows is solved for */
#define CDM_TINY_LONG 256   /* all others, but for */
#define CDM_TINY_VECTOR 512 /* those of gemv and getrf, and the right-hand sides of trsm from the left */

enum cdm_tiny_routine {
	CDM_TINY_GEMM,
	CDM_TINY_GEMV,
	CDM_TINY_SYRK, /* and herk */
	CDM_TINY_TRSM,
	CDM_TINY_GETRF,
	CDM_TINY_POTRF,
	CDM_TINY_ROUTINES,
};
enum cdm_tiny_type { CDM_TINY_S, CDM_TINY_D, CDM_TINY_C, CDM_TINY_Z, CDM_TINY_TYPES };

/* Where a routine of this file is faster than the libraries, as measured; all numbers are inclusive.
 *
 *	 from, to   the largest dimension of the call
 *	 order	    gemm: m, where op(A) is not A; syrk: n; trsm: the triangle's order; getrf: m; potrf: n
 *	 work	    gemm: m n k; syrk: n n k; gemv, trsm, getrf: m n
 *
 * gemm also has at most CDM_TINY_RESULT elements of C: libraries are faster where few terms go to each of many. */
#define CDM_TINY_RESULT 6400
struct cdm_tiny_limit {
	unsigned short from, to, order;
	unsigned work;
};
extern const struct cdm_tiny_limit cdm_tiny_limits[CDM_TINY_ROUTINES][CDM_TINY_TYPES];

/* This CPU can run the functions below. */
bool cdm_tiny_usable(void);

/* C = alpha op(A) op(B) + beta C, op(A) of m x k, op(B) of k x n. */
typedef void cdm_tiny_gemm_fn(int transa, int transb, int m, int n, int k, const void *alpha, const void *a,
			      ptrdiff_t lda, const void *b, ptrdiff_t ldb, const void *beta, void *c, ptrdiff_t ldc);
extern cdm_tiny_gemm_fn cdm_tiny_sgemm, cdm_tiny_dgemm, cdm_tiny_cgemm, cdm_tiny_zgemm;

/* y = alpha op(A) x + beta y, A of m x n. */
typedef void cdm_tiny_gemv_fn(int trans, int m, int n, const void *alpha, const void *a, ptrdiff_t lda, const void *x,
			      ptrdiff_t incx, const void *beta, void *y, ptrdiff_t incy);
extern cdm_tiny_gemv_fn cdm_tiny_sgemv, cdm_tiny_dgemv, cdm_tiny_cgemv, cdm_tiny_zgemv;

/* The triangle `uplo` of C = alpha op(A) op(A)^T + beta C, C of n x n, op(A) of n x k. syrk takes N or T (C, too, for real
 * types). herk has the conjugate transpose instead and takes N or C; its alpha and beta are real numbers. */
typedef void cdm_tiny_rank_fn(int uplo, int trans, int n, int k, const void *alpha, const void *a, ptrdiff_t lda,
			      const void *beta, void *c, ptrdiff_t ldc);
extern cdm_tiny_rank_fn cdm_tiny_ssyrk, cdm_tiny_dsyrk, cdm_tiny_csyrk, cdm_tiny_zsyrk, cdm_tiny_cherk, cdm_tiny_zherk;

/* B = alpha op(A)^-1 B (side L), B = alpha B op(A)^-1 (side R), B of m x n. */
typedef void cdm_tiny_trsm_fn(int side, int uplo, int trans, int diag, int m, int n, const void *alpha, const void *a,
			      ptrdiff_t lda, void *b, ptrdiff_t ldb);
extern cdm_tiny_trsm_fn cdm_tiny_strsm, cdm_tiny_dtrsm, cdm_tiny_ctrsm, cdm_tiny_ztrsm;

/* A = P L U, A of m x n. Returns info: 0, or the first column whose pivot is zero, from 1. ipiv counts from 1 and holds
 * the reference's pivots: the first row of the largest |re| + |im|. */
typedef int cdm_tiny_getrf_fn(int m, int n, void *a, ptrdiff_t lda, int *ipiv);
extern cdm_tiny_getrf_fn cdm_tiny_sgetrf, cdm_tiny_dgetrf, cdm_tiny_cgetrf, cdm_tiny_zgetrf;

/* A = L L^H (uplo L) or U^H U (U), of the named triangle. Returns info: 0, or k where the leading minor of order k is not
 * positive (or NaN); the factor of the leading k - 1 columns is then in its place, and the rest is as it was. */
typedef int cdm_tiny_potrf_fn(int uplo, int n, void *a, ptrdiff_t lda);
extern cdm_tiny_potrf_fn cdm_tiny_spotrf, cdm_tiny_dpotrf, cdm_tiny_cpotrf, cdm_tiny_zpotrf;

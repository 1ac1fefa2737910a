/* BLAS and LAPACK routines for matrices so small that entering a library costs more than the arithmetic.
 *
 * Pure leaf functions: no locks, no allocation, no static state that changes, no errno. They may run in any thread, in a signal
 * handler, in a fork's child. There is a set of them for AVX2 with FMA and one for AVX-512: cdm_tiny_set() has those that this CPU
 * can run.
 *
 * The caller has checked the arguments: matrices are column-major, options are the letters of BLAS in either case,
 * leading dimensions and increments are legal, dimensions are from 1 to what is said below. Strides are in elements. Not one
 * byte outside of an operand's elements is read or written: not the padding between columns, not the triangle that is
 * not named, not the rest beyond the last column. Operands do not overlap, as BLAS demands. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* Largest dimensions. They bound the stack that is used: 28 KiB. */
#define CDM_TINY_ORDER 32   /* of a block that is solved with or factored, and of the rows that getrf eliminates, */
#define CDM_TINY_BLOCKS 256 /* of a triangle of such blocks, and of the rows if the set's `tall` is not 0 */
#define CDM_TINY_AREA 1024  /* elements that getrf eliminates; the rest of the rows is solved for */
#define CDM_TINY_LONG 256   /* all others, but for the depth of syrk and herk, which may be any, and for */
#define CDM_TINY_VECTOR 512 /* those of gemv and getrf, and the right-hand sides of trsm from the left */
#define CDM_TINY_TALL 3072  /* elements of a matrix with more rows than CDM_TINY_BLOCKS that getrf eliminates, */
#define CDM_TINY_THIN 8     /* with that many columns */

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

/* C = alpha op(A) op(B) + beta C, op(A) of m x k, op(B) of k x n. */
typedef void cdm_tiny_gemm_fn(int transa, int transb, int m, int n, int k, const void *alpha, const void *a,
			      ptrdiff_t lda, const void *b, ptrdiff_t ldb, const void *beta, void *c, ptrdiff_t ldc);

/* y = alpha op(A) x + beta y, A of m x n. */
typedef void cdm_tiny_gemv_fn(int trans, int m, int n, const void *alpha, const void *a, ptrdiff_t lda, const void *x,
			      ptrdiff_t incx, const void *beta, void *y, ptrdiff_t incy);

/* The triangle `uplo` of C = alpha op(A) op(A)^T + beta C, C of n x n, op(A) of n x k. syrk takes N or T (C, too, for real
 * types). herk has the conjugate transpose instead and takes N or C; its alpha and beta are real numbers. */
typedef void cdm_tiny_rank_fn(int uplo, int trans, int n, int k, const void *alpha, const void *a, ptrdiff_t lda,
			      const void *beta, void *c, ptrdiff_t ldc);

/* B = alpha op(A)^-1 B (side L), B = alpha B op(A)^-1 (side R), B of m x n. */
typedef void cdm_tiny_trsm_fn(int side, int uplo, int trans, int diag, int m, int n, const void *alpha, const void *a,
			      ptrdiff_t lda, void *b, ptrdiff_t ldb);

/* A = P L U, A of m x n. Returns info: 0, or the first column whose pivot is zero, from 1. ipiv counts from 1 and holds
 * the reference's pivots: the first row of the largest |re| + |im|. */
typedef int cdm_tiny_getrf_fn(int m, int n, void *a, ptrdiff_t lda, int *ipiv);

/* A = L L^H (uplo L) or U^H U (U), of the named triangle. Returns info: 0, or k where the leading minor of order k is not
 * positive (or NaN); the factor of order k - 1 is then in its place. */
typedef int cdm_tiny_potrf_fn(int uplo, int n, void *a, ptrdiff_t lda);

/* The routines for one type. */
struct cdm_tiny_kernels {
	cdm_tiny_gemm_fn *gemm;
	cdm_tiny_gemv_fn *gemv;
	cdm_tiny_rank_fn *syrk, *herk; /* herk: null for real types */
	cdm_tiny_trsm_fn *trsm;
	cdm_tiny_getrf_fn *getrf;
	cdm_tiny_potrf_fn *potrf;
};

/* The routines for an instruction set. */
struct cdm_tiny_set {
	const char *name;
	unsigned needs; /* enum cdm_cpu */
	struct cdm_tiny_kernels of[CDM_TINY_TYPES];
	const struct cdm_tiny_limit (*limits)[CDM_TINY_TYPES]; /* for each routine */
	/* getrf: elements of matrices with more rows than its `order` and at most CDM_TINY_THIN columns; 0: none. */
	unsigned short tall[CDM_TINY_TYPES];
};

/* Those that this CPU can run, the best one first; null beyond the last. */
const struct cdm_tiny_set *cdm_tiny_set(int i);

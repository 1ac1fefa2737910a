/* The lists of quick calls: what each argument is, and whether the call is legal. Included where no vector register may be used
 * (Makefile): the caller's are not saved, but for two scalars. */
#ifndef CDM_SHIM_QUICK_READ_H
#define CDM_SHIM_QUICK_READ_H

#include "shim/quick.h"

/* The i-th word of the list, by the rule that integers and addresses follow. */
static inline uint64_t word(const struct cdm_regs *r, int i)
{
	return i < 6 ? r->gp[i] : r->stack[i - 6];
}
static inline void *address(const struct cdm_regs *r, int i)
{
	return (void *)(uintptr_t)word(r, i); // NOLINT: an address as the program passed it
}
/* Fortran's. */
static inline int integer(const struct cdm_regs *r, int i)
{
	return *(const int *)address(r, i);
}
static inline char letter(const struct cdm_regs *r, int i)
{
	return (char)(*(const char *)address(r, i) & 0xdf);
}
/* CBLAS's: integers by value, and numbers for letters. */
static inline int value(const struct cdm_regs *r, int i)
{
	return (int)(uint32_t)word(r, i);
}
static inline char pick(uint32_t number, uint32_t first, const char *letters, uint32_t n)
{
	return number - first < n ? letters[number - first] : 0;
}
static inline char transpose(const struct cdm_regs *r, int i)
{
	return pick((uint32_t)value(r, i), 111, "NTC", 3);
}
static inline char triangle(const struct cdm_regs *r, int i, bool flip)
{
	return pick((uint32_t)value(r, i), 121, flip ? "LU" : "UL", 2);
}

enum { ROW_MAJOR = 101, COL_MAJOR = 102 };
static inline bool row_major(const struct cdm_regs *r)
{
	return value(r, 0) == ROW_MAJOR;
}
static inline bool ordered(const struct cdm_regs *r)
{
	return value(r, 0) == ROW_MAJOR || value(r, 0) == COL_MAJOR;
}
/* Real scalars came in vector registers, which lie below the rest. */
static inline const void *scalar(const struct cdm_regs *r, int i)
{
	return (const uint64_t *)r - CDM_REGS_SCALARS + i;
}

static inline bool is_trans(char c)
{
	return c == 'N' || c == 'T' || c == 'C';
}
static inline bool is_uplo(char c)
{
	return c == 'U' || c == 'L';
}
/* From 1 to CDM_QUICK_MOST. */
static inline bool is_extent(int n)
{
	return (unsigned)n - 1 < CDM_QUICK_MOST;
}
static inline uint64_t product(int a, int b, int c)
{
	return (uint64_t)(unsigned)a * (unsigned)b * (unsigned)c;
}
static inline int larger(int a, int b)
{
	return a > b ? a : b;
}
static inline void swap(int *a, int *b)
{
	int t = *a;
	*a = *b;
	*b = t;
}

/* ---- gemm ------------------------------------------------------------------------------------------------- */

static inline void gemm_fortran(struct cdm_quick *q, const struct cdm_regs *r)
{
	q->trans = letter(r, 0);
	q->trans_b = letter(r, 1);
	q->m = integer(r, 2);
	q->n = integer(r, 3);
	q->k = integer(r, 4);
	q->alpha = address(r, 5);
	q->a = address(r, 6);
	q->lda = integer(r, 7);
	q->b = address(r, 8);
	q->ldb = integer(r, 9);
	q->beta = address(r, 10);
	q->c = address(r, 11);
	q->ldc = integer(r, 12);
}

/* Each _cblas(), and so _read(), is false where the storage order is none. */
static inline bool gemm_cblas(struct cdm_quick *q, const struct cdm_regs *r, bool complex)
{
	int a = complex ? 7 : 6, first = row_major(r) ? 1 : 0, s = complex ? 1 : 0;
	int at_a = a + 2 * first, at_b = a + 2 - 2 * first; /* C' = B' A' */

	q->trans = transpose(r, 1 + first);
	q->trans_b = transpose(r, 2 - first);
	q->m = value(r, 3 + first);
	q->n = value(r, 4 - first);
	q->k = value(r, 5);
	q->alpha = complex ? address(r, 6) : scalar(r, 0);
	q->a = address(r, at_a);
	q->lda = value(r, at_a + 1);
	q->b = address(r, at_b);
	q->ldb = value(r, at_b + 1);
	q->beta = complex ? address(r, a + 4) : scalar(r, 1);
	q->c = address(r, a + 4 + s);
	q->ldc = value(r, a + 5 + s);
	return ordered(r);
}

static inline bool gemm_read(struct cdm_quick *q, const struct cdm_regs *r, const struct cdm_slot *slot, bool complex)
{
	if (slot->flags & CDM_SLOT_CBLAS)
		return gemm_cblas(q, r, complex);
	gemm_fortran(q, r);
	return true;
}

static inline bool gemm_legal(struct cdm_quick *q)
{
	q->work = product(q->m, q->n, q->k);
	return is_trans(q->trans) && is_trans(q->trans_b) && is_extent(q->m) && is_extent(q->n) && is_extent(q->k) &&
	       q->lda >= (q->trans == 'N' ? q->m : q->k) && q->ldb >= (q->trans_b == 'N' ? q->k : q->n) &&
	       q->ldc >= q->m;
}

/* ---- gemv ------------------------------------------------------------------------------------------------- */

static inline void gemv_fortran(struct cdm_quick *q, const struct cdm_regs *r)
{
	q->trans = letter(r, 0);
	q->m = integer(r, 1);
	q->n = integer(r, 2);
	q->alpha = address(r, 3);
	q->a = address(r, 4);
	q->lda = integer(r, 5);
	q->b = address(r, 6);
	q->ldb = integer(r, 7);
	q->beta = address(r, 8);
	q->c = address(r, 9);
	q->ldc = integer(r, 10);
	q->k = 0;
}

/* The conjugate of a row-major matrix is none of the column-major forms. */
static inline bool gemv_cblas(struct cdm_quick *q, const struct cdm_regs *r, bool complex)
{
	int a = complex ? 5 : 4, row = row_major(r) ? 1 : 0, s = complex ? 1 : 0;
	char trans = transpose(r, 1);

	if (row)
		trans = trans == 'N' ? 'T' : trans == 'T' || (trans == 'C' && !complex) ? 'N' : 0;
	q->trans = trans;
	q->m = value(r, 2 + row);
	q->n = value(r, 3 - row);
	q->alpha = complex ? address(r, 4) : scalar(r, 0);
	q->a = address(r, a);
	q->lda = value(r, a + 1);
	q->b = address(r, a + 2);
	q->ldb = value(r, a + 3);
	q->beta = complex ? address(r, a + 4) : scalar(r, 1);
	q->c = address(r, a + 4 + s);
	q->ldc = value(r, a + 5 + s);
	q->k = 0;
	return ordered(r);
}

static inline bool gemv_read(struct cdm_quick *q, const struct cdm_regs *r, const struct cdm_slot *slot, bool complex)
{
	if (slot->flags & CDM_SLOT_CBLAS)
		return gemv_cblas(q, r, complex);
	gemv_fortran(q, r);
	return true;
}

static inline bool gemv_legal(struct cdm_quick *q)
{
	q->work = product(q->m, q->n, 1);
	return is_trans(q->trans) && is_extent(q->m) && is_extent(q->n) && q->lda >= q->m && q->ldb && q->ldc;
}

/* ---- syrk, herk ---------------------------------------------------------------------------------------------- */

static inline void rank_fortran(struct cdm_quick *q, const struct cdm_regs *r)
{
	q->uplo = letter(r, 0);
	q->trans = letter(r, 1);
	q->n = integer(r, 2);
	q->k = integer(r, 3);
	q->alpha = address(r, 4);
	q->a = address(r, 5);
	q->lda = integer(r, 6);
	q->beta = address(r, 7);
	q->c = address(r, 8);
	q->ldc = integer(r, 9);
	q->m = 0;
}

/* Real syrk knows both transposes for one, complex syrk has no conjugate, herk nothing else. Libraries disagree on the rest. */
static inline bool rank_transpose(char trans, bool complex, bool hermitian)
{
	return trans == 'N' || (trans == 'T' && !hermitian) || (trans == 'C' && (hermitian || !complex));
}

/* by_address: alpha and beta are complex. A transpose that is not legal is left for rank_legal(). */
static inline bool rank_cblas(struct cdm_quick *q, const struct cdm_regs *r, bool by_address, bool hermitian)
{
	int a = by_address ? 6 : 5, s = by_address ? 1 : 0;
	char trans = transpose(r, 2);

	if (row_major(r) && rank_transpose(trans, by_address, hermitian))
		trans = trans != 'N' ? 'N' : hermitian ? 'C' : 'T';
	q->uplo = triangle(r, 1, row_major(r));
	q->trans = trans;
	q->n = value(r, 3);
	q->k = value(r, 4);
	q->alpha = by_address ? address(r, 5) : scalar(r, 0);
	q->a = address(r, a);
	q->lda = value(r, a + 1);
	q->beta = by_address ? address(r, a + 2) : scalar(r, 1);
	q->c = address(r, a + 2 + s);
	q->ldc = value(r, a + 3 + s);
	q->m = 0;
	return ordered(r);
}

static inline bool rank_read(struct cdm_quick *q, const struct cdm_regs *r, const struct cdm_slot *slot, bool complex,
			     bool hermitian)
{
	if (slot->flags & CDM_SLOT_CBLAS)
		return rank_cblas(q, r, complex && !hermitian, hermitian);
	rank_fortran(q, r);
	return true;
}

static inline bool rank_legal(struct cdm_quick *q, bool complex, bool hermitian)
{
	q->work = (product(q->n, q->n, q->k) + 1) / 2; /* of a square: blas_shapes.h says at most */
	return is_uplo(q->uplo) && rank_transpose(q->trans, complex, hermitian) && is_extent(q->n) && is_extent(q->k) &&
	       q->lda >= (q->trans == 'N' ? q->n : q->k) && q->ldc >= q->n;
}

/* ---- trsm, trmm ------------------------------------------------------------------------------------------------ */

static inline void solve_fortran(struct cdm_quick *q, const struct cdm_regs *r)
{
	q->side = letter(r, 0);
	q->uplo = letter(r, 1);
	q->trans = letter(r, 2);
	q->diag = letter(r, 3);
	q->m = integer(r, 4);
	q->n = integer(r, 5);
	q->alpha = address(r, 6);
	q->a = address(r, 7);
	q->lda = integer(r, 8);
	q->b = address(r, 9);
	q->ldb = integer(r, 10);
	q->k = 0;
}

static inline bool solve_cblas(struct cdm_quick *q, const struct cdm_regs *r, bool complex)
{
	bool row = row_major(r);
	int a = complex ? 8 : 7;

	q->side = pick((uint32_t)value(r, 1), 141, row ? "RL" : "LR", 2);
	q->uplo = triangle(r, 2, row);
	q->trans = transpose(r, 3);
	q->diag = pick((uint32_t)value(r, 4), 131, "NU", 2);
	q->m = value(r, 5);
	q->n = value(r, 6);
	q->alpha = complex ? address(r, 7) : scalar(r, 0);
	q->a = address(r, a);
	q->lda = value(r, a + 1);
	q->b = address(r, a + 2);
	q->ldb = value(r, a + 3);
	q->k = 0;
	if (row)
		swap(&q->m, &q->n);
	return ordered(r);
}

static inline bool solve_read(struct cdm_quick *q, const struct cdm_regs *r, const struct cdm_slot *slot, bool complex)
{
	if (slot->flags & CDM_SLOT_CBLAS)
		return solve_cblas(q, r, complex);
	solve_fortran(q, r);
	return true;
}

static inline bool solve_legal(struct cdm_quick *q)
{
	q->work = product(q->m, q->n, q->side == 'L' ? q->m : q->n);
	return (q->side == 'L' || q->side == 'R') && is_uplo(q->uplo) && is_trans(q->trans) &&
	       (q->diag == 'N' || q->diag == 'U') && is_extent(q->m) && is_extent(q->n) &&
	       q->lda >= (q->side == 'L' ? q->m : q->n) && q->ldb >= q->m;
}

/* ---- factorizations ---------------------------------------------------------------------------------------------- */

static inline bool getrf(struct cdm_quick *q, const struct cdm_regs *r)
{
	q->m = integer(r, 0);
	q->n = integer(r, 1);
	q->a = address(r, 2);
	q->lda = integer(r, 3);
	q->pivots = address(r, 4);
	q->info = address(r, 5);
	q->k = 0;
	int least = q->m < q->n ? q->m : q->n;
	q->work = product(least, least, larger(q->m, q->n) - least / 3) / 2 + 1;
	return is_extent(q->m) && is_extent(q->n) && q->lda >= q->m;
}

static inline bool potrf(struct cdm_quick *q, const struct cdm_regs *r)
{
	q->uplo = letter(r, 0);
	q->n = integer(r, 1);
	q->a = address(r, 2);
	q->lda = integer(r, 3);
	q->info = address(r, 4);
	q->m = 0;
	q->k = 0;
	q->work = product(q->n, q->n, q->n) / 3 + 1;
	return is_uplo(q->uplo) && is_extent(q->n) && q->lda >= q->n;
}

#endif

/* Calls any routine of blas.def, in either convention, from one description of its arguments. */
#ifndef CDM_TESTS_BLAS_CALL_H
#define CDM_TESTS_BLAS_CALL_H

#include "shim/blas.h"

/* Letters as Fortran has them, whichever convention the call is made in; scalars and matrices by address. */
struct raw {
	char side, uplo, transa, transb, diag;
	int m, n, k, lda, ldb, ldc;
	const void *alpha, *beta, *a;
	void *b, *c;
};

/* clang-format off */
#define F_LETTER(x)	  const char *
#define F_SIZE(x)	  const int *
#define F_SCALAR(x)	  const void *
#define F_MATRIX(x, ld)	  const void *, const int *
#define F_OUT(x, ld)	  void *, const int *
#define F_TYPES(shape)	  CDM_ARGS_##shape(F_LETTER, F_SIZE, F_SCALAR, F_MATRIX, F_SCALAR, F_OUT)
#define P_VALUE(x)	  &r->x
#define P_SCALAR(x)	  r->x
#define P_MATRIX(x, ld)	  r->x, &r->ld
#define P_VALUES(shape)	  CDM_ARGS_##shape(P_VALUE, P_VALUE, P_SCALAR, P_MATRIX, P_SCALAR, P_MATRIX)

#define V_T_s f
#define V_T_d d
#define V_T_c p
#define V_T_z p
#define V_R_c f
#define V_R_z d
#define TYPE_f(x)	  float
#define TYPE_d(x)	  double
#define TYPE_p(x)	  const void *
#define PASS_f(x)	  *(const float *)r->x
#define PASS_d(x)	  *(const double *)r->x
#define PASS_p(x)	  r->x
#define C_INT(x)	  int
#define C_MATRIX(x, ld)	  const void *, int
#define C_OUT(x, ld)	  void *, int
#define C_LETTER(x)	  number_##x(r->x)
#define C_SIZE(x)	  r->x
#define C_PASS(x, ld)	  r->x, r->ld

static int number_side(char c) { return c == 'L' ? 141 : c == 'R' ? 142 : c; }
static int number_uplo(char c) { return c == 'U' ? 121 : c == 'L' ? 122 : c; }
static int number_diag(char c) { return c == 'N' ? 131 : c == 'U' ? 132 : c; }
static int number_transa(char c) { return c == 'N' ? 111 : c == 'T' ? 112 : c == 'C' ? 113 : c; }
static int number_transb(char c) { return number_transa(c); }

#define NO_TAIL_CALL() __asm__ volatile("")

#define CALLERS(t, T, name, shape, alpha, beta) CALLERS_(t, name, shape, V_##alpha##_##t, V_##beta##_##t)
#define CALLERS_(t, name, shape, alpha, beta) CALLERS__(t, name, shape, alpha, beta)
#define CALLERS__(t, name, shape, alpha, beta) \
	static void fortran_##t##name(void *fn, const struct raw *r) \
	{ \
		((void (*)(F_TYPES(shape), CDM_HIDDEN_##shape(size_t)))fn)(P_VALUES(shape), CDM_HIDDEN_##shape(1)); \
		NO_TAIL_CALL(); \
	} \
	static void cblas_call_##t##name(void *fn, int order, const struct raw *r) \
	{ \
		((void (*)(int, CDM_ARGS_##shape(C_INT, C_INT, TYPE_##alpha, C_MATRIX, TYPE_##beta, C_OUT)))fn) \
			(order, CDM_ARGS_##shape(C_LETTER, C_SIZE, PASS_##alpha, C_PASS, PASS_##beta, C_PASS)); \
		NO_TAIL_CALL(); \
	} \
	void t##name##_(void); \
	void cblas_##t##name(void);
#define CDM_BLAS(name, family, shape, types, alpha, beta, ...) CDM_EACH_##types(CALLERS, name, shape, alpha, beta)
#include "shim/blas.def"
#undef CDM_BLAS

/* volatile, so that calls are calls and return addresses known. */
static const volatile struct {
	void (*fortran)(void *fn, const struct raw *r);
	void (*cblas)(void *fn, int order, const struct raw *r);
	void *own_fortran, *own_cblas;
} callers[CDM_BLAS_COUNT] = {
#define CALLERS_ROW(t, T, name) \
	[CDM_BLAS_##t##name] = { fortran_##t##name, cblas_call_##t##name, (void *)t##name##_, (void *)cblas_##t##name },
#define CDM_BLAS(name, family, shape, types, ...) CDM_EACH_##types(CALLERS_ROW, name)
#include "shim/blas.def"
#undef CDM_BLAS
};
/* clang-format on */

enum convention { FORTRAN, CBLAS_ROW = 101, CBLAS_COL = 102 };

static void call_own(int routine, enum convention how, const struct raw *r)
{
	if (how == FORTRAN)
		callers[routine].fortran(callers[routine].own_fortran, r);
	else
		callers[routine].cblas(callers[routine].own_cblas, (int)how, r);
}

#endif

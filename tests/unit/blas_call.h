/* Calls any entry point in any of the conventions: words in the order of Fortran's or CBLAS's list, and scalars in vector
 * registers. System V AMD64 ABI 3.2.3: the two kinds do not get in each other's way, and whoever takes fewer of them does
 * not see the rest. */
#ifndef CDM_TESTS_BLAS_CALL_H
#define CDM_TESTS_BLAS_CALL_H

#include <stdint.h>
#include <string.h>

#include "shim/gate.h"

enum { WORDS = 32, DOUBLES = 8 };

struct words {
	uint64_t word[WORDS];
	double xmm[DOUBLES];
	int words, doubles;
};

union value {
	float s;
	double d;
	float _Complex c;
	double _Complex z;
	int64_t i;
	char bytes[16];
};

#define D8 D4, D4
#define D4 double, double, double, double
#define W32 W8, W8, W8, W8
#define W8 uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t
#define X4(i) x[i], x[i + 1], x[i + 2], x[i + 3]
#define V8(i) v[i], v[i + 1], v[i + 2], v[i + 3], v[i + 4], v[i + 5], v[i + 6], v[i + 7]
#define CALL(T) ((T(*)(D8, W32))fn)(X4(0), X4(4), V8(0), V8(8), V8(16), V8(24))

/* returns: 'v' nothing, 's' 'd' 'c' 'z' a value of that type, 'i' the integer register. */
static __attribute__((noinline, unused)) void invoke(void *fn, char returns, const struct words *w, union value *r)
{
	const uint64_t *v = w->word;
	const double *x = w->xmm;

	switch (returns) {
	case 's':
		r->s = CALL(float);
		break;
	case 'd':
		r->d = CALL(double);
		break;
	case 'c':
		r->c = CALL(float _Complex);
		break;
	case 'z':
		r->z = CALL(double _Complex);
		break;
	case 'i':
		r->i = CALL(int64_t);
		break;
	default:
		CALL(void);
		__asm__ volatile(""); /* a call, not a jump: the return address is in here */
	}
}

static inline void push(struct words *w, uint64_t v)
{
	w->word[w->words++] = v;
}
static inline void push_address(struct words *w, const void *p)
{
	push(w, (uint64_t)(uintptr_t)p);
}

/* libcdm's own entry points, by routine and enum cdm_variant. */
#define DECLARE(name, variant) void name(void);
#define ENTRY(name, variant) [CDM_VARIANT_##variant] = (void *)name,
#define NAMES_F(X, name) CDM_FORTRAN_NAMES(X, name)
#define NAMES_FC(X, name) CDM_FORTRAN_NAMES(X, name) CDM_CBLAS_NAMES(X, name)
#define NAMES_FS(X, name) CDM_FORTRAN_NAMES(X, name) CDM_CBLAS_NAMES(X, name##_sub)
/* clang-format off */
#define CDM_ROUTINE(name, type, shape, doors) NAMES_##doors(DECLARE, name)
#include "shim/blas.def"
static void *const own_entry[CDM_BLAS_COUNT][CDM_VARIANTS] = {
#define CDM_ROUTINE(name, type, shape, doors) [CDM_BLAS_##name] = { NAMES_##doors(ENTRY, name) },
#include "shim/blas.def"
};
/* clang-format on */

#endif

/* What the tests of the kernels for tiny matrices share: random operands of any type between unmapped pages, with all bytes around
 * their elements watched, and comparison with sums in long double. CDM_TEST_SEED repeats a run. */
#pragma once
#include <criterion/criterion.h>
#include <complex.h>
#include <fenv.h>
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "offload/tiny/tiny.h"

typedef long double _Complex num;

static const char types[] = "sdcz";
static const size_t sizes[] = {4, 8, 8, 16};
static const double epsilon[] = {FLT_EPSILON, DBL_EPSILON, FLT_EPSILON, DBL_EPSILON};
#define IS_COMPLEX(type) ((type) >= CDM_TINY_C)

/* ---- random numbers ---- */

static uint64_t seed;

static inline uint32_t below(uint32_t limit)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33) % limit;
}

static inline int size(void)
{
	return 1 + (int)below(CDM_TINY_ORDER);
}

/* Up to most, and so that as many times the product of the others is no more than work. */
static inline int side(int most, int others, int work)
{
	return 1 + (int)below((uint32_t)(work / others < most ? work / others : most));
}

/* Three dimensions, mostly one or two long and one short. */
static inline void thin(int most, int work, int d[3])
{
	uint32_t first = below(3), next = 1 + below(2);

	d[first] = side(most, 1, work);
	d[(first + next) % 3] = side(most, d[first], work);
	d[(first + 3 - next) % 3] = side(most, d[first] * d[(first + next) % 3], work);
}

static inline double uniform(void)
{
	return (double)below(1u << 30) / (1 << 29) - 1;
}

static inline num number(int type)
{
	return (num)uniform() + (IS_COMPLEX(type) ? uniform() * I : 0);
}

static inline void start(void)
{
	const char *given = getenv("CDM_TEST_SEED");

	seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
	printf("CDM_TEST_SEED=%llu\n", (unsigned long long)seed);
	if (!cdm_tiny_set(0))
		cr_skip_test("this CPU lacks AVX2 or FMA");
}

/* The kernels under test. EACH_SET: all that this CPU can run. */
static const struct cdm_tiny_set *set;
#define EACH_SET for (int s_ = 0; (set = cdm_tiny_set(s_)); s_++)

/* ---- operands between unmapped pages ---- */

#define SPACE ((size_t)2 << 20)
#define GUARD ((size_t)4096)
#define ELEMENTS ((size_t)64 << 10)

struct matrix {
	int type, m, n;
	ptrdiff_t ld;
	char *space;  /* SPACE bytes between two guards */
	char *window; /* those that are watched, at its beginning or end */
	char *copy;   /* what they held before the call */
	size_t watched;
	char *p;
	num *was; /* m x n, no gaps */
};

static inline void map_space(struct matrix *x)
{
	if (x->space)
		return;
	x->space = mmap(NULL, SPACE + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(x->space, MAP_FAILED);
	x->space += GUARD;
	cr_assert_eq(mprotect(x->space, SPACE, PROT_READ | PROT_WRITE), 0);
	x->copy = malloc(SPACE);
	x->was = malloc(sizeof(num) * ELEMENTS);
}

static inline void *element(const struct matrix *x, int i, int j)
{
	return x->p + (size_t)(i + j * x->ld) * sizes[x->type];
}

static inline num read_number(int type, const void *p)
{
	switch (type) {
	case CDM_TINY_S:
		return *(const float *)p;
	case CDM_TINY_D:
		return *(const double *)p;
	case CDM_TINY_C:
		return __builtin_complex((long double)((const float *)p)[0], (long double)((const float *)p)[1]);
	default:
		return __builtin_complex((long double)((const double *)p)[0], (long double)((const double *)p)[1]);
	}
}

static inline void write_number(int type, void *p, num x)
{
	switch (type) {
	case CDM_TINY_S:
		*(float *)p = (float)creall(x);
		break;
	case CDM_TINY_D:
		*(double *)p = (double)creall(x);
		break;
	case CDM_TINY_C:
		((float *)p)[0] = (float)creall(x), ((float *)p)[1] = (float)cimagl(x);
		break;
	default:
		((double *)p)[0] = (double)creall(x), ((double *)p)[1] = (double)cimagl(x);
	}
}

static inline num at(const struct matrix *x, int i, int j)
{
	return read_number(x->type, element(x, i, j));
}

static inline num was(const struct matrix *x, int i, int j)
{
	return x->was[i + j * x->m];
}

static inline void put(struct matrix *x, int i, int j, num v)
{
	write_number(x->type, element(x, i, j), v);
}

/* An m x n matrix of random numbers; all bytes around its elements are ones, which read as NaN. */
static inline void make_ld(struct matrix *x, int type, int m, int n, ptrdiff_t ld)
{
	size_t bytes;

	map_space(x);
	x->type = type, x->m = m, x->n = n, x->ld = ld;
	bytes = (size_t)((n - 1) * ld + m) * sizes[type];
	cr_assert_leq(bytes, SPACE);
	cr_assert_leq((size_t)m * (size_t)n, ELEMENTS);
	x->watched = bytes + GUARD < SPACE ? bytes + GUARD : SPACE;
	x->p = x->window = x->space;
	if (below(2)) {
		x->window += SPACE - x->watched;
		x->p += SPACE - bytes;
	}
	memset(x->window, 0xff, x->watched);
	for (int j = 0; j < n; j++)
		for (int i = 0; i < m; i++)
			put(x, i, j, number(type));
}

static inline void make(struct matrix *x, int type, int m, int n)
{
	make_ld(x, type, m, n, m + (below(2) ? below(9) : 0));
}

/* What the stack held before must not matter: signalling NaNs would raise FE_INVALID. */
static __attribute__((noinline, unused)) void dirty_stack(int type)
{
	volatile uint64_t junk[6000];

	for (size_t i = 0; i < sizeof(junk) / sizeof(*junk); i++)
		junk[i] = sizes[type] == 4 || type == CDM_TINY_C ? 0x7fa000007fa00000 : 0x7ff4000000000000;
}

/* Remembers all matrices as they are before the call. */
static inline void before(int count, struct matrix **all)
{
	for (int i = 0; i < count; i++) {
		struct matrix *x = all[i];

		memcpy(x->copy, x->window, x->watched);
		for (int c = 0; c < x->n; c++)
			for (int r = 0; r < x->m; r++)
				x->was[r + c * x->m] = at(x, r, c);
	}
	dirty_stack(all[0]->type);
	feclearexcept(FE_ALL_EXCEPT);
}

static inline void no_exceptions(const char *what)
{
	cr_assert_eq(fetestexcept(FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW), 0, "%s raises floating-point exceptions",
		     what);
}

/* Nothing has changed but the elements that the call may write: all, none, or a triangle. */
static inline void untouched(const struct matrix *x, char writes, const char *what)
{
	for (int j = 0; j < x->n; j++)
		for (int i = 0; i < x->m; i++)
			if (writes == 'A' || (writes == 'L' && i >= j) || (writes == 'U' && i <= j)) {
				char *e = element(x, i, j);

				memcpy(x->copy + (e - x->window), e, sizes[x->type]);
			}
	cr_assert_eq(memcmp(x->window, x->copy, x->watched), 0, "%s writes where it must not", what);
}

/* Within `units` rounding errors of what was added up, whose absolute values sum up to `mass`. */
static inline void expect_near(int type, num got, num want, long double mass, double units, const char *what)
{
	long double error = cabsl(got - want), bound = units * (IS_COMPLEX(type) ? 4 : 1) * epsilon[type] * mass;

	if (!(error <= bound))
		cr_assert_fail("%s: %Lg%+Lgi, expected %Lg%+Lgi: off by %Lg, allowed %Lg", what, creall(got),
			       cimagl(got), creall(want), cimagl(want), error, bound);
}

static inline num op(const struct matrix *a, char trans, int i, int j)
{
	num x = trans == 'N' ? was(a, i, j) : was(a, j, i);

	return trans == 'C' ? conjl(x) : x;
}

/* 0 and 1 often. */
static inline num factor(int type)
{
	switch (below(4)) {
	case 0:
		return 0;
	case 1:
		return 1;
	default:
		return number(type);
	}
}

/* In the case of the letter the caller uses. */
static inline int letter(char c)
{
	return below(2) ? c : c | 0x20;
}

struct value {
	char bytes[16];
	num x; /* as rounded */
};

static inline struct value value(int type, num x)
{
	struct value v;

	write_number(type, v.bytes, x);
	v.x = read_number(type, v.bytes);
	return v;
}

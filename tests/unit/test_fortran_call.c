/* One call for all routines: what a function in Fortran's convention finds, and what comes back. */
#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "offload/dev/fortran_call.h"

static struct {
	int calls;
	void *arg[8];
	size_t length[2];
	int64_t n;
} seen;

static struct cdm_call call_of(const char *args, char returns)
{
	struct cdm_call c = {.args = args, .returns = returns, .count = (uint8_t)strlen(args)};

	for (int i = 0; i < c.count; i++)
		c.letters += args[i] == 'L';
	return c;
}

/* Integers at their own places. */
static void point_inside(struct cdm_call *c)
{
	for (int i = 0; i < c->count; i++)
		if (strchr("NO", c->args[i]))
			c->arg[i] = &c->n[i];
		else if (c->args[i] == 'L')
			c->arg[i] = &c->letter[i];
}

static void note(char *uplo, void *n, void *alpha, void *a, void *trans, size_t uplo_len, size_t trans_len)
{
	seen.calls++;
	memcpy(seen.arg, (void *[]){uplo, n, alpha, a, trans}, 5 * sizeof(void *));
	seen.length[0] = uplo_len;
	seen.length[1] = trans_len;
}

Test(fortran_call, arguments_and_lengths)
{
	double alpha = 1, a = 2;
	struct cdm_call c = call_of("LNSML", 'v');

	point_inside(&c);
	c.arg[2] = &alpha;
	c.arg[3] = &a;
	cr_assert_eq(cdm_fortran_call((void *)note, &c, false), 0);
	cr_assert_eq(seen.calls, 1);
	for (int i = 0; i < 5; i++)
		cr_assert_eq(seen.arg[i], c.arg[i]);
	cr_assert(seen.length[0] == 1 && seen.length[1] == 1);
}

/* ---- results ---------------------------------------------------------------------------------------- */

static float single_of(void)
{
	return 1.5f;
}
static double double_of(void)
{
	return 2.5;
}
static float _Complex complex_of(void)
{
	return __builtin_complex(3.5f, -4.5f);
}
static double _Complex double_complex_of(void)
{
	return __builtin_complex(5.5, -6.5);
}
static int64_t integer_of(void)
{
	return -7 & 0xffffffffffff; /* -7 to a caller that takes 32 bits */
}

Test(fortran_call, results)
{
	struct cdm_call c = call_of("", 's');

	cr_assert_eq(cdm_fortran_call((void *)single_of, &c, false), 0);
	cr_assert_eq(c.result.s, 1.5f);
	c.returns = 'd';
	cr_assert_eq(cdm_fortran_call((void *)double_of, &c, false), 0);
	cr_assert_eq(c.result.d, 2.5);
	c.returns = 'c';
	cr_assert_eq(cdm_fortran_call((void *)complex_of, &c, false), 0);
	cr_assert(c.result.c[0] == 3.5f && c.result.c[1] == -4.5f);
	c.returns = 'z';
	cr_assert_eq(cdm_fortran_call((void *)double_complex_of, &c, false), 0);
	cr_assert(c.result.z[0] == 5.5 && c.result.z[1] == -6.5);
	c.returns = 'i';
	cr_assert_eq(cdm_fortran_call((void *)integer_of, &c, false), 0);
	cr_assert_eq(c.result.i, -7);
	c.wide = true;
	cr_assert_eq(cdm_fortran_call((void *)integer_of, &c, true), 0);
	cr_assert_eq(c.result.i, -7 & 0xffffffffffff);
}

/* ---- integers --------------------------------------------------------------------------------------- */

/* n, and integers: the second array is the first one negated, and info minus the first element. */
static void negate32(const int32_t *n, const int32_t *in, int32_t *out, int32_t *info)
{
	seen.calls++;
	seen.n = *n;
	for (int i = 0; i < *n; i++)
		out[i] = -in[i];
	*info = -in[0];
}
static void negate64(const int64_t *n, const int64_t *in, int64_t *out, int64_t *info)
{
	seen.calls++;
	seen.n = *n;
	for (int64_t i = 0; i < *n; i++)
		out[i] = -in[i];
	*info = -in[0];
}

enum { MANY = 3000 }; /* more than a page holds */

static void check_integers(bool caller, bool library)
{
	static int64_t in64[MANY + 1], out64[MANY + 1];
	static int32_t in32[MANY + 1], out32[MANY + 1];
	struct cdm_call c = call_of("NIIO", 'v');

	for (int i = 0; i <= MANY; i++) {
		in32[i] = (int32_t)(in64[i] = i % 2 ? -i : i + 5);
		out32[i] = (int32_t)(out64[i] = 77);
	}
	point_inside(&c);
	c.wide = caller;
	c.n[0] = MANY;
	c.operands = 2;
	for (int i = 0; i < 2; i++) {
		c.arg[1 + i] = caller ? i ? (void *)out64 : (void *)in64 : i ? (void *)out32 : (void *)in32;
		c.op[i] = (struct cdm_operand){.base = c.arg[1 + i],
					       .rows = MANY,
					       .cols = 1,
					       .ld = MANY,
					       .elem = caller ? 8 : 4,
					       .access = i ? CDM_W : CDM_R,
					       .arg = (uint8_t)(1 + i),
					       .ld_arg = CDM_NO_ARG,
					       .integers = true};
	}
	cr_assert_eq(cdm_fortran_call(library ? (void *)negate64 : (void *)negate32, &c, library), 0);
	cr_assert_eq(seen.n, MANY);
	for (int i = 0; i < MANY; i++) {
		cr_assert_eq(caller ? in64[i] : in32[i], i % 2 ? -i : i + 5);
		cr_assert_eq(caller ? out64[i] : out32[i], i % 2 ? i : -i - 5);
	}
	cr_assert_eq(caller ? out64[MANY] : out32[MANY], 77);
	cr_assert_eq(c.n[3], -5); /* the sign of info */
}

Test(fortran_call, integers_of_either_width)
{
	for (int i = 0; i < 4; i++)
		check_integers(i & 1, i & 2);
	cr_assert_eq(seen.calls, 4);
}

/* Workspace is given room, and nothing of it comes back. */
Test(fortran_call, workspace_of_integers)
{
	int64_t in[2] = {4, 5}, work[2] = {1, 2};
	struct cdm_call c = call_of("NIIO", 'v');

	point_inside(&c);
	c.wide = true;
	c.n[0] = 2;
	c.operands = 2;
	c.arg[1] = in;
	c.arg[2] = work;
	c.op[0] = (struct cdm_operand){
		.base = in, .rows = 2, .cols = 1, .elem = 8, .access = CDM_R, .arg = 1, .integers = true};
	c.op[1] = (struct cdm_operand){.base = work,
				       .rows = 2,
				       .cols = 1,
				       .elem = 8,
				       .access = CDM_W,
				       .arg = 2,
				       .integers = true,
				       .scratch = true};
	cr_assert_eq(cdm_fortran_call((void *)negate32, &c, false), 0);
	cr_assert(work[0] == 1 && work[1] == 2 && c.n[3] == -4);
}

Test(fortran_call, sizes_beyond_32_bits)
{
	struct cdm_call c = call_of("NIIO", 'v');

	point_inside(&c);
	c.wide = true;
	int64_t sizes[] = {(int64_t)INT_MAX + 1, (int64_t)INT_MIN - 1, INT64_MAX, INT64_MIN};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		c.n[0] = sizes[i];
		cr_assert_eq(cdm_fortran_call((void *)negate32, &c, false), -EOVERFLOW);
	}
	cr_assert_eq(seen.calls, 0);
	c.n[0] = INT64_MIN;
	int64_t in = 3, out;
	c.arg[1] = &in;
	c.arg[2] = &out;
	cr_assert_eq(cdm_fortran_call((void *)negate64, &c, true), 0);
	cr_assert(seen.n == INT64_MIN && c.n[3] == -3);
}

/* One call by libcdm's entry point and by the library that would have run without it: what must be the same, and what is
 * expected to stay on the host. */
#ifndef CDM_TESTS_BLAS_CHECK_H
#define CDM_TESTS_BLAS_CHECK_H

#include "tests/unit/blas_engine.h"

static const int variants[WAYS] = {CDM_VARIANT_F, CDM_VARIANT_C, CDM_VARIANT_C, CDM_VARIANT_F_U64U, CDM_VARIANT_C_64U};

static char returned_by(int routine, enum way way)
{
	return is_cblas(way) && rows[routine].doors[1] == 'S' ? 'v' : returns_of(routine);
}

static void call_own(const struct test_case *t, enum way way, struct memory *m, union value *r)
{
	struct words w = words_of(t, m, way);

	invoke(own_entry[t->routine][variants[way]], returned_by(t->routine, way), &w, r);
}

/* cblas_?gemm, and the other triangle as it was. The list is gemmt's less uplo, with n for m. */
static void reference_gemmt(const struct test_case *t, struct memory *m, struct words *w)
{
	int gemm = t->routine - CDM_BLAS_sgemmt + CDM_BLAS_sgemm;
	size_t size = cdm_scalar_size(cdm_blas_table[gemm].type);
	int64_t n = t->n[3], ldc = t->n[12];
	char *c = m->at[11], *was = malloc(array_bytes(t, 11));

	memcpy(was, c, array_bytes(t, 11));
	for (int i = 1; i < 4; i++)
		w->word[i] = w->word[i + 1];
	invoke(library_symbol("cblas_%s", gemm), 'v', w, NULL);
	for (int64_t i = 0; i < n; i++)
		for (int64_t j = 0; j < n; j++) {
			size_t at = (size_t)(t->row ? i * ldc + j : i + j * ldc) * size;
			if (t->letter[0] == 'U' ? i > j : i < j)
				memcpy(c + at, was + at, size);
		}
	free(was);
}

static void *reference_of(const struct test_case *t, enum way way)
{
	if (!is_cblas(way))
		return fortran_of(t->routine);
	if (has_shape(t->routine, "GEMMT"))
		return (void *)reference_gemmt;
	return library_symbol(rows[t->routine].doors[1] == 'S' ? "cblas_%s_sub" : "cblas_%s", t->routine);
}

/* What there is without libcdm; the libraries have 32-bit integers. */
static void call_reference(const struct test_case *t, enum way way, struct memory *m, union value *r)
{
	enum way narrow = way == FORTRAN_64 ? FORTRAN : way == CBLAS_64 ? CBLAS_COL : way;
	struct words w = words_of(t, m, narrow);
	void *fn = reference_of(t, narrow);

	cr_assert_not_null(fn, "%s", cdm_blas_table[t->routine].name);
	if (fn == (void *)reference_gemmt)
		reference_gemmt(t, m, &w);
	else
		invoke(fn, returned_by(t->routine, narrow), &w, r);
}

/* Forms that stay on the host, though there is something to compute. */
static const struct {
	const char *why, *routines;
} forms[] = {
	{"always", "srotg drotg crotg zrotg srotmg drotmg simatcopy dimatcopy cimatcopy zimatcopy"},
	{"by rows", "chemv zhemv chbmv zhbmv chpmv zhpmv cgerc zgerc cher zher chpr zhpr cher2 zher2 chpr2 zhpr2"},
	{"by rows, conjugate transpose",
	 "cgemv zgemv cgbmv zgbmv ctrmv ztrmv ctrsv ztrsv ctbmv ztbmv ctbsv ztbsv ctpmv "
	 "ztpmv ctpsv ztpsv"},
	{"negative increment", "snrm2 dnrm2 scnrm2 dznrm2 sasum dasum scasum dzasum isamax idamax icamax izamax"},
	{"negative increment",
	 "cgemv zgemv cgbmv zgbmv ctrmv ztrmv ctrsv ztrsv ctbmv ztbmv ctbsv ztbsv ctpmv ztpmv ctpsv ztpsv "
	 "chemv zhemv chbmv zhbmv chpmv zhpmv cgeru zgeru cgerc zgerc cher zher chpr zhpr cher2 zher2 "
	 "chpr2 zhpr2 cswap zswap ccopy zcopy caxpy zaxpy caxpby zaxpby cdotu zdotu cdotc zdotc csrot "
	 "zdrot"},
	{"one vector, changed twice", "srot drot csrot zdrot srotm drotm"},
	{"eigenvalues in an interval", "ssyevr dsyevr cheevr zheevr"},
};

static bool is_listed(int form, int routine)
{
	return has_word(forms[form].routines, cdm_blas_table[routine].name);
}

static bool has_negative_increment(const struct test_case *t)
{
	for (int i = 0; i < t->count; i++)
		if (t->kind[i] == 'i' && t->n[i] < 0)
			return true;
	return false;
}

static bool is_form(const struct test_case *t)
{
	int x = second_vector(t) - 2;
	bool same = t->alias == 0 && t->n[x + 1] == t->n[x + 3];

	return is_listed(0, t->routine) || (t->row && is_listed(1, t->routine)) ||
	       (t->row && (t->letter[0] == 'C' || t->letter[1] == 'C') && is_listed(2, t->routine)) ||
	       (has_negative_increment(t) && (is_listed(3, t->routine) || is_listed(4, t->routine))) ||
	       (same && is_listed(5, t->routine)) || (t->letter[1] == 'V' && is_listed(6, t->routine)) ||
	       (t->alias >= 0 && !same);
}

static bool is_quick(const struct test_case *t)
{
	return has_empty(t) || t->alpha_zero;
}

/* Sizes of workspace as LAPACK recommends them; asking is left to the original. */
static void ask_for_workspace(struct test_case *t, enum way way)
{
	struct memory own, reference;
	union value r;
	int quick = engine.stays[CDM_STAY_QUICK], offloaded = engine.offloaded;

	if (!strchr(t->kind, 'W'))
		return;
	for (int i = 0; i < t->count; i++)
		if (strchr("WGZ", t->kind[i]))
			t->n[i] = -1;
	memory_make(&own, t, false);
	memory_make(&reference, t, false);
	call_reference(t, FORTRAN, &reference, &r);
	if (way == FORTRAN) {
		call_own(t, FORTRAN, &own, &r);
		same_memory(t, way, &own, &reference);
		cr_assert(engine.stays[CDM_STAY_QUICK] == quick + 1 && engine.offloaded == offloaded);
	}
	for (int i = 1; i < t->count; i++)
		if (strchr("WGZ", t->kind[i])) {
			double n = t->kind[i] == 'Z' ? (double)((int32_t *)reference.at[i - 1])[0]
						     : get(reference.at[i - 1], t->routine, 0);
			t->n[i] = (n < 1 ? 1 : (int64_t)n) + below(3);
			cr_assert(n >= 0 && t->n[i] <= WORK_CELLS, "%s: %g", cdm_blas_table[t->routine].name, n);
		}
	memory_free(&own);
	memory_free(&reference);
}

/* The quick look goes on work that is at least the call's: with as much demanded the engine hears of it, with more it does
 * not. */
static void check_threshold(const struct test_case *t, enum way way)
{
	struct memory m;
	union value r;
	int offloaded = engine.offloaded, small = engine.stays[CDM_STAY_SMALL] + seen_at_a_glance(t->routine);

	for (int more = 0; more < 2; more++) {
		memory_make(&m, t, is_wide(way));
		atomic_store(&cdm_min_work[engine.last.level], (uint64_t)engine.last.flops + (uint64_t)more);
		call_own(t, way, &m, &r);
		memory_free(&m);
	}
	atomic_store(&cdm_min_work[engine.last.level], 0);
	cr_assert_eq(engine.offloaded, offloaded + 1, "%s: %g", cdm_blas_table[t->routine].name, engine.last.flops);
	cr_assert_eq(engine.stays[CDM_STAY_SMALL] + seen_at_a_glance(t->routine), small + 1, "%s",
		     cdm_blas_table[t->routine].name);
}

static void check(const struct test_case *t, enum way way)
{
	struct memory own, reference;
	union value got = {.i = 0}, want = {.i = 0};
	int offloaded = engine.offloaded, quick = engine.stays[CDM_STAY_QUICK], form = engine.stays[CDM_STAY_FORM];
	int invalid = engine.stays[CDM_STAY_INVALID];
	char what[512];

	describe(t, way, what, sizeof(what));
	memory_make(&own, t, is_wide(way));
	memory_make(&reference, t, false);
	call_reference(t, way, &reference, &want);
	call_own(t, way, &own, &got);
	same_memory(t, way, &own, &reference);
	same_value(t, way, &got, &want);
	memory_free(&own);
	memory_free(&reference);
	cr_assert_eq(cdm_inside, 0);
	quick = engine.stays[CDM_STAY_QUICK] - quick;
	form = engine.stays[CDM_STAY_FORM] - form;
	invalid = engine.stays[CDM_STAY_INVALID] - invalid;
	if (is_quick(t) || is_form(t))
		cr_assert_eq(engine.offloaded, offloaded, "%s", what);
	else if (!engine.refuse)
		cr_assert_eq(engine.offloaded, offloaded + 1, "%s", what);
	if (engine.offloaded > offloaded && t->beta_zero)
		cr_assert_eq(engine.last.op[engine.last.operands - 1].access, CDM_W, "%s", what);
	cr_assert_eq(quick + form + invalid, is_quick(t) || is_form(t), "%s", what);
	cr_assert((is_quick(t) || !quick) && (is_form(t) || !form), "%s", what);
	/* LAPACK asks for less workspace where there is nothing to do. */
	cr_assert(!invalid || (is_lapack(t->routine) && has_empty(t)), "%s", what);
}

#endif

/* Every routine of blas.def through libcdm's own entry points, against netlib called directly in the same convention: what
 * the engine of blas_engine.h computes, what stays on the host and why, and what nobody may notice. */
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

#include "shim/slot.h"
#include "tests/unit/blas_batch.h"
#include "tests/unit/blas_check.h"

TestSuite(blas_args, .fini = engine_end, .timeout = 100);

static void in_scope(void)
{
	open_libraries(RTLD_GLOBAL);
}
/* As a plugin has its libraries: libcdm finds no original. */
static void out_of_scope(void)
{
	open_libraries(RTLD_LOCAL);
}

static bool has_way(int routine, enum way way)
{
	return *rows[routine].list && (!is_cblas(way) || !is_lapack(routine)) && fortran_of(routine) &&
	       !(is_wide(way) && is_listed(0, routine));
}

/* Where no original is to be found, only what the engine computes; hidden: or what the engine's library does instead. */
static void case_for(struct test_case *t, int routine, enum way way, int limit, bool hidden)
{
	for (;;) {
		case_make(t, routine, way, limit);
		if (is_wide(way) ? !is_quick(t) && !is_form(t) : !hidden || !has_order(routine) || !is_form(t))
			return;
		case_free(t);
	}
}

static void sweep_routine(int routine, enum way way, int limit, int times, bool hidden)
{
	struct test_case t;

	for (int i = 0; i < times; i++) {
		case_for(&t, routine, way, limit, hidden);
		ask_for_workspace(&t, way);
		check(&t, way);
		if (!is_quick(&t) && !is_form(&t) && !engine.refuse && !hidden && !is_wide(way) && t.alias < 0)
			check_threshold(&t, way);
		case_free(&t);
	}
}

static void sweep(enum way way, int limit, int times, bool hidden)
{
	int routines = 0, offloaded = engine.offloaded;

	for (int routine = 0; routine < CDM_BLAS_COUNT; routine++)
		if (has_way(routine, way) && (limit < 10 || is_lapack(routine)) &&
		    !(hidden && way == CBLAS_ROW && is_listed(1, routine))) {
			sweep_routine(routine, way, limit, times, hidden);
			routines++;
		}
	fprintf(stderr, "%s: %d routines, %d calls computed by the engine\n", way_names[way], routines,
		engine.offloaded - offloaded);
	cr_assert_eq(engine.logged, 0, "%s", engine.missing);
}

Test(blas_args, fortran, .init = in_scope)
{
	sweep(FORTRAN, 7, 100, false);
}
Test(blas_args, cblas_column_major, .init = in_scope)
{
	sweep(CBLAS_COL, 7, 100, false);
}
Test(blas_args, cblas_row_major, .init = in_scope)
{
	sweep(CBLAS_ROW, 7, 100, false);
}
Test(blas_args, fortran_64, .init = in_scope)
{
	sweep(FORTRAN_64, 7, 60, false);
}
Test(blas_args, cblas_64, .init = in_scope)
{
	sweep(CBLAS_64, 7, 60, false);
}

/* Large enough for LAPACK to work in blocks. */
Test(blas_args, lapack_in_blocks, .init = in_scope)
{
	sweep(FORTRAN, 72, 6, false);
	sweep(FORTRAN_64, 72, 3, false);
}

Test(blas_args, refused_calls_run_on_the_host, .init = in_scope)
{
	engine.refuse = true;
	sweep(FORTRAN, 7, 20, false);
	sweep(CBLAS_COL, 7, 20, false);
	sweep(CBLAS_ROW, 7, 20, false);
	cr_assert_gt(engine.begun, 5000);
}

Test(blas_args, calls_reach_the_engines_library, .init = out_of_scope)
{
	for (int refuse = 0; refuse < 2; refuse++) {
		engine.refuse = refuse;
		sweep(FORTRAN, 7, 20, true);
		sweep(CBLAS_COL, 7, 20, true);
		sweep(CBLAS_ROW, 7, 20, true);
	}
}

/* ---- illegal arguments ------------------------------------------------------------------------------ */

static const char *bad_letters(const struct test_case *t, char kind)
{
	bool complex = is_complex(t->routine);

	return kind == 'Y' || (kind == 'h' && complex) ? "?T" : (kind == 'y' && complex) || kind == 'h' ? "?C" : "?";
}

/* The n-th way to make argument i illegal, i = -1: the order; false: there is none. */
static bool spoil(struct test_case *t, enum way way, int i, int n)
{
	static const int others[] = {['s'] = 121, ['u'] = 131, ['t'] = 121, ['y'] = 121, ['Y'] = 112, ['d'] = 111};
	char k = i < 0 ? 0 : t->kind[i];

	if (i < 0) {
		t->order = n ? 103 : 111;
		return n < 2 && is_cblas(way) && has_order(t->routine);
	}
	if (is_letter(k) && is_cblas(way)) {
		t->number[i] = n ? others[(int)k] : 999;
		return n < 2;
	}
	if (is_letter(k))
		return (t->letter[i] = bad_letters(t, k)[n]);
	if (n == 1 && has_shape(t->routine, "ORGQR ORMQR") && (k == 'k' || (k == 'n' && t->kind[0] == 'm'))) {
		/* Q has more columns than rows, or fewer than there are reflectors. */
		t->n[i] = 1 + (t->kind[0] == 's' ? dim(t, 'L') : t->size[k == 'k' ? 'n' : 'm']);
		return true;
	}
	if (strchr("mnkrpq", k))
		t->n[i] = -1;
	else if (k == 'l')
		t->n[i] = t->least[i] - 1;
	else if (strchr("WGZ", k) || (k == 'i' && has_order(t->routine)))
		t->n[i] = 0;
	else
		return false;
	return n == 0;
}

/* Legal, and every argument is one that matters. */
static void case_to_spoil(struct test_case *t, int routine, enum way way)
{
	bool matters;

	do {
		case_free(t);
		case_make(t, routine, way, 7);
		ask_for_workspace(t, way);
		matters = !is_quick(t);
		for (const char *c = "mnkr"; *c; c++)
			matters &= t->size[(int)*c] > 1;
		for (int i = 0; i < t->count; i++)
			matters &= (t->kind[i] != 'j' || t->letter[i] == 'V') &&
				   (t->kind[i] != 'J' || t->letter[i] == 'A');
	} while (!matters);
}

/* netlib's CBLAS leaves copies of vectors behind then. */
static void leaks_of_library(bool begin)
{
#ifdef __SANITIZE_ADDRESS__
	begin ? __lsan_disable() : __lsan_enable();
#else
	(void)begin;
#endif
}

/* The number that xerbla hears, or NONE. Afterwards nothing is held. */
enum { NONE = -1 };
static int number_caught(const struct test_case *t, enum way way, bool own)
{
	static struct memory m;
	static union value r;

	memory_make(&m, t, false);
	caught.number = NONE;
	caught.name[0] = 0;
	caught.armed = true;
	leaks_of_library(true);
	if (!setjmp(caught.back)) {
		if (own)
			call_own(t, way, &m, &r);
		else
			call_reference(t, way, &m, &r);
	}
	leaks_of_library(false);
	caught.armed = false;
	memory_free(&m);
	cr_assert_eq(cdm_inside, 0);
	return caught.number;
}

/* Whether the reference rejects the call; its CBLAS takes a few that Fortran would not, and those are left to it, too. */
static bool check_spoiled(const struct test_case *t, enum way way)
{
	int invalid = engine.stays[CDM_STAY_INVALID] + engine.stays[CDM_STAY_FORM], offloaded = engine.offloaded;
	int number = number_caught(t, way, false), calls = caught.calls;
	char name[sizeof(caught.name)], what[512];

	describe(t, way, what, sizeof(what));
	memcpy(name, caught.name, sizeof(name));
	cr_assert_eq(number_caught(t, way, true), number, "%s: %d, not %d", what, caught.number, number);
	cr_assert_str_eq(caught.name, name, "%s", what);
	cr_assert_eq(caught.calls - calls, number != NONE);
	cr_assert_eq(engine.offloaded, offloaded, "%s", what);
	cr_assert_eq(engine.stays[CDM_STAY_INVALID] + engine.stays[CDM_STAY_FORM], invalid + 1, "%s", what);
	return number != NONE;
}

static void spoil_all(int routine, enum way way, int count[2])
{
	struct test_case good = {.count = 0}, t;

	case_to_spoil(&good, routine, way);
	for (int i = -1; i < good.count; i++)
		for (int n = 0; t = good, spoil(&t, way, i, n); n++)
			count[check_spoiled(&t, way)]++;
	case_free(&good);
}

static void spoil_every_routine(enum way way)
{
	int count[2] = {0, 0}; /* accepted, rejected */

	for (int routine = 0; routine < CDM_BLAS_COUNT; routine++)
		for (int i = 0; i < 4 && has_way(routine, way) && library_symbol("%s_", routine); i++)
			if (has_order(routine) || is_lapack(routine)) /* level 1 checks nothing */
				spoil_all(routine, way, count);
	fprintf(stderr, "%s: %d calls rejected, %d accepted\n", way_names[way], count[1], count[0]);
	cr_assert_leq(count[0], way == CBLAS_ROW ? count[1] / 20 : 0);
}

Test(blas_args, illegal_fortran, .init = in_scope)
{
	spoil_every_routine(FORTRAN);
}
Test(blas_args, illegal_cblas_column_major, .init = in_scope)
{
	spoil_every_routine(CBLAS_COL);
}
Test(blas_args, illegal_cblas_row_major, .init = in_scope)
{
	spoil_every_routine(CBLAS_ROW);
}

/* ---- originals of the test's own -------------------------------------------------------------------- */

static struct {
	int calls, inside;
	struct words w;
	void *nested; /* an entry point that the original calls in turn with the same words */
	bool leaves;
} seen;

/* Entered with as many words as any list has: what is there is what the caller passed. Its results are in all registers
 * that can have one. */
__attribute__((noinline)) static void note(const uint64_t *word, const double *xmm)
{
	seen.calls++;
	seen.inside = cdm_inside;
	memcpy(seen.w.word, word, sizeof(seen.w.word));
	memcpy(seen.w.xmm, xmm, sizeof(seen.w.xmm));
}
#define WORD(i) uint64_t v##i
static double _Complex original(double x0, double x1, double x2, double x3, double x4, double x5, double x6, double x7,
				WORD(0), WORD(1), WORD(2), WORD(3), WORD(4), WORD(5), WORD(6), WORD(7), WORD(8),
				WORD(9), WORD(10), WORD(11), WORD(12), WORD(13), WORD(14), WORD(15), WORD(16), WORD(17),
				WORD(18), WORD(19), WORD(20), WORD(21), WORD(22), WORD(23), WORD(24), WORD(25))
{
	struct words w = {.word = {v0,  v1,  v2,  v3,  v4,  v5,  v6,  v7,  v8,  v9,  v10, v11, v12,
				   v13, v14, v15, v16, v17, v18, v19, v20, v21, v22, v23, v24, v25},
			  .xmm = {x0, x1, x2, x3, x4, x5, x6, x7}};
	double _Complex z;
	double parts[2] = {3, 4};
	union value r;

	note(w.word, w.xmm);
	if (seen.leaves)
		longjmp(caught.back, 1);
	if (seen.nested)
		invoke(seen.nested, 'v', &w, &r);
	memcpy(&z, parts, sizeof(z));
	return z;
}
static int64_t original_integer(int64_t *n)
{
	seen.calls++;
	(void)n;
	return 0x123456789abc;
}

/* An entry point with an original of the test's: made at run time, or libcdm's own. */
static void *door(int routine, int variant, void *to, bool made)
{
	struct cdm_slot *own = &cdm_slots[routine * CDM_VARIANTS + variant];
	void *stub = NULL;
	struct cdm_slot *slot = cdm_slot_door(routine, variant, to, 0, 0, &stub);

	cr_assert_not_null(slot);
	cdm_slot_set_original(slot, to);
	if (made)
		return stub;
	memcpy((void *)own, (const void *)slot, sizeof(*own));
	return own_entry[routine][variant];
}

static void expect_passed(const struct words *w, const char *what)
{
	for (int i = 0; i < w->words; i++)
		cr_assert_eq(seen.w.word[i], w->word[i], "%s: word %d", what, i);
	cr_assert_eq(memcmp(seen.w.xmm, w->xmm, sizeof(w->xmm)), 0, "%s: vector registers", what);
}

enum { SMALL, REFUSED, NESTED, DONE };

static void pass(const struct test_case *t, enum way way, bool made, int how)
{
	struct memory m;
	union value r;
	char what[512];
	int begun = engine.begun;
	bool timed = how == REFUSED && !made;

	describe(t, way, what, sizeof(what));
	memory_make(&m, t, is_wide(way));
	struct words w = words_of(t, &m, way);
	for (int i = 0; i < CDM_LEVELS; i++)
		atomic_store(&cdm_min_work[i], how == SMALL ? UINT64_MAX : 0);
	cdm_inside = how == NESTED;
	seen.calls = 0;
	invoke(door(t->routine, variants[way], (void *)original, made), 'z', &w, &r);
	cr_assert_eq(seen.calls, 1, "%s", what);
	cr_assert(__real__ r.z == 3 && __imag__ r.z == 4, "%s", what);
	cr_assert_eq(cdm_inside, how == NESTED);
	cr_assert_eq(engine.begun - begun, timed, "%s", what);
	cr_assert_eq(engine.ended, engine.begun, "%s", what);
	cr_assert_eq(seen.inside, how == NESTED || (timed && !is_lapack(t->routine)), "%s", what);
	cdm_inside = 0;
	expect_passed(&w, what);
	memory_free(&m);
}

/* All registers and the stack, whichever way a call takes; results on the way back. */
static void pass_all(bool made)
{
	struct test_case t = {.count = 0};

	engine.refuse = true;
	for (int routine = 0; routine < CDM_BLAS_COUNT; routine++)
		for (enum way way = 0; way < WAYS; way++) {
			if (!has_way(routine, way) || way == CBLAS_ROW)
				continue;
			do {
				case_free(&t);
				case_make(&t, routine, way == CBLAS_64 ? CBLAS_COL : way, 7);
			} while ((is_quick(&t) || is_form(&t)) && !is_listed(0, routine));
			for (int how = is_listed(0, routine) ? NESTED : SMALL; how < DONE; how++)
				pass(&t, way, made, how);
			case_free(&t);
		}
}

Test(blas_args, originals_see_what_the_caller_passed, .init = in_scope)
{
	pass_all(false);
}
/* Nothing is done after these originals: they are not timed. */
Test(blas_args, originals_behind_doors_made_at_run_time, .init = in_scope)
{
	pass_all(true);
}

/* dgemm of order one, as a caller has it. */
static struct words one_by_one(double *x, bool cblas)
{
	static int one[2] = {1, 0};
	struct words w = {.words = 0};
	uint64_t by_value[] = {102, 111, 111, 1, 1, 1};

	for (int i = 0; i < (cblas ? 6 : 2); i++)
		cblas ? push(&w, by_value[i]) : push_address(&w, "N");
	for (int i = 0; i < (cblas ? 0 : 3); i++)
		push_address(&w, one);
	if (!cblas)
		push_address(&w, x);
	for (int i = 0; i < 3; i++) {
		if (i == 2 && !cblas)
			push_address(&w, x);
		push_address(&w, x);
		cblas ? push(&w, 1) : push_address(&w, one);
	}
	w.xmm[0] = w.xmm[1] = *x;
	push(&w, 1);
	push(&w, 1);
	return w;
}

/* CBLAS in terms of Fortran, as netlib's is: one call, counted once, whether it is small or refused. */
Test(blas_args, a_nested_call_is_not_counted, .init = in_scope)
{
	double x = 1;
	union value r;
	struct words w = one_by_one(&x, true), f = one_by_one(&x, false);
	void *cblas = door(CDM_BLAS_dgemm, CDM_VARIANT_C, (void *)original, false);
	void *fortran = door(CDM_BLAS_dgemm, CDM_VARIANT_F, (void *)original_integer, false);

	engine.refuse = true;
	invoke(fortran, 'v', &f, &r);
	cr_assert_eq(engine.begun, 1);
	seen.nested = fortran;
	for (int i = 0; i < 3; i++) {
		atomic_store(&cdm_min_work[CDM_LEVEL_MATRIX], i ? 1000000 : 0);
		seen.calls = 0;
		invoke(cblas, 'v', &w, &r);
		cr_assert_eq(seen.calls, 2);
		cr_assert_eq(engine.begun, 2);
		cr_assert_eq(engine.stays[CDM_STAY_SMALL] + seen_at_a_glance(CDM_BLAS_dgemm), i);
	}
	invoke(fortran, 'v', &f, &r);
	cr_assert_eq(engine.stays[CDM_STAY_SMALL] + seen_at_a_glance(CDM_BLAS_dgemm), 3);
}

/* What an original leaves by longjmp() is not held: a call of its kind, and of another, is seen afterwards. */
Test(blas_args, originals_may_leave, .init = in_scope)
{
	double x = 1;
	union value r;
	struct words w = one_by_one(&x, true), f = one_by_one(&x, false);
	void *cblas = door(CDM_BLAS_dgemm, CDM_VARIANT_C, (void *)original, true);
	void *fortran = door(CDM_BLAS_dgemm, CDM_VARIANT_F, (void *)original, true);

	for (int illegal = 0; illegal < 2; illegal++) {
		int offloaded = engine.offloaded;

		seen.leaves = true;
		w.word[1] = illegal ? 0 : 111; /* or too small */
		atomic_store(&cdm_min_work[CDM_LEVEL_MATRIX], illegal ? 0 : 1000);
		if (!setjmp(caught.back))
			invoke(cblas, 'v', &w, &r);
		cr_assert_eq(cdm_inside, 0);
		if (!setjmp(caught.back))
			invoke(fortran, 'v', &f, &r);
		cr_assert_eq(cdm_inside, 0);
		seen.leaves = false;
		atomic_store(&cdm_min_work[CDM_LEVEL_MATRIX], 0);
		w.word[1] = 111;
		invoke(cblas, 'v', &w, &r);
		invoke(fortran, 'v', &f, &r);
		cr_assert_eq(engine.offloaded, offloaded + 2 + illegal);
	}
}

/* Whatever it is, it is not counted, and nobody looks at its arguments. */
Test(blas_args, a_function_of_the_same_name, .init = in_scope)
{
	void *stub = door(CDM_BLAS_idamax, CDM_VARIANT_F_BARE, (void *)original_integer, true);
	int64_t (*idamax)(void *) = (int64_t(*)(void *))stub;

	cr_assert_eq(idamax(NULL), 0x123456789abc);
	cr_assert_eq(idamax((void *)1), 0x123456789abc);
	cr_assert_eq(engine.stays[0] + engine.stays[1] + engine.stays[2] + engine.stays[3], 0);
}

/* Code may begin anywhere: a compiler that saves space aligns nothing. */
__asm__(".text\n"
	".balign 16\n"
	"nop\n"
	"odd_original: jmp *original_at(%rip)\n");
int64_t odd_original(int64_t *n);
int64_t (*original_at)(int64_t *n) = original_integer;

Test(blas_args, originals_at_odd_addresses, .init = in_scope)
{
	double x[4] = {1, 2, -4, 3};
	struct words w = {.words = 0};
	union value r;

	volatile uintptr_t at = (uintptr_t)odd_original; /* the compiler takes functions to be aligned */
	cr_assert(at & 1);
	push(&w, 4);
	push_address(&w, x);
	push(&w, 1);
	atomic_store(&cdm_min_work[CDM_LEVEL_VECTOR], 1000);
	for (int i = 0; i < 3; i++) {
		invoke(door(CDM_BLAS_idamax, CDM_VARIANT_C, (void *)odd_original, false), 'i', &w, &r);
		cr_assert_eq(r.i, 0x123456789abc);
	}
}

/* Above 2^31 an index of CBLAS is whole, and counts from 0. */
Test(blas_args, integer_results, .init = in_scope)
{
	double x[4] = {1, 2, -4, 3};
	struct words w = {.words = 0};
	union value r;

	engine.refuse = true;
	push(&w, 4);
	push_address(&w, x);
	push(&w, 1);
	for (int i = 0; i < 2; i++) {
		invoke(door(CDM_BLAS_idamax, CDM_VARIANT_C, (void *)original_integer, false), 'i', &w, &r);
		cr_assert_eq(r.i, 0x123456789abc);
		atomic_store(&cdm_min_work[CDM_LEVEL_VECTOR], 1000);
	}
	cr_assert_eq(engine.begun, 1);
}

Test(blas_args, no_original_at_all)
{
	static const struct {
		int variant;
		const char *name;
	} ways[] = {{CDM_VARIANT_F, "dgemm_"}, {CDM_VARIANT_C, "cblas_dgemm"}};
	double x = 2;
	union value r;

	engine.no_original = true;
	engine.refuse = true;
	for (int i = 0; i < 4; i++) {
		struct words w = one_by_one(&x, i / 2);
		atomic_store(&cdm_min_work[CDM_LEVEL_MATRIX], i & 1 ? UINT64_MAX : 0);
		invoke(own_entry[CDM_BLAS_dgemm][ways[i / 2].variant], 'v', &w, &r);
		cr_assert_eq(engine.logged, 1 + i / 2);
		cr_assert_str_eq(engine.missing, ways[i / 2].name);
	}
	cr_assert_eq(x, 2);
	cr_assert_eq(engine.begun, 2);
	cr_assert_eq(engine.stays[CDM_STAY_SMALL], 2);
}

/* ---- batches ---------------------------------------------------------------------------------------- */

static void check_batch(int gemm, enum way way, bool strided)
{
	static struct batch b;
	static double c[2][2 * PRODUCTS * STRIDE];
	int routine = gemm - CDM_BLAS_sgemm + (strided ? CDM_BLAS_sgemm_batch_strided : CDM_BLAS_sgemm_batch);
	int offloaded = engine.offloaded;
	struct words w;
	union value r;

	b = (struct batch){.gemm = gemm, .way = way};
	for (int i = 0; i < 2; i++) {
		put(b.alpha, gemm, i, number());
		put(b.beta, gemm, i, number());
	}
	for (int i = 0; i < 2 * PRODUCTS * STRIDE; i++) {
		put(b.a, gemm, i, number());
		put(b.b, gemm, i, number());
		put(c[0], gemm, i, number());
	}
	memcpy(c[1], c[0], sizeof(c[0]));
	for (int i = 0; i < PRODUCTS; i++) {
		w = product_words(&b, c[0], i);
		invoke(library_symbol(is_cblas(way) ? "cblas_%s" : "%s_", gemm), 'v', &w, &r);
	}
	w = strided ? product_words(&b, c[1], -1) : grouped_words(&b, c[1]);
	invoke(own_entry[routine][variants[way]], 'v', &w, &r);
	cr_assert_eq(memcmp(c[0], c[1], sizeof(c[0])), 0, "%s, %s", cdm_blas_table[routine].name, way_names[way]);
	cr_assert_eq(engine.offloaded - offloaded, engine.refuse ? 0 : PRODUCTS);
}

/* Product by product. */
Test(blas_args, batches, .init = in_scope)
{
	static const int gemms[] = {CDM_BLAS_dgemm, CDM_BLAS_zgemm};

	for (int i = 0; i < 8; i++)
		for (enum way way = FORTRAN; way <= CBLAS_ROW; way++) {
			engine.refuse = i & 4;
			check_batch(gemms[i & 1], way, i & 2);
		}
	/* The quick look, where the program's library has batches: each product does as much as is demanded. */
	engine.refuse = false;
	door(CDM_BLAS_dgemm_batch, CDM_VARIANT_F, (void *)original, false);
	door(CDM_BLAS_dgemm_batch_strided, CDM_VARIANT_F, (void *)original, false);
	atomic_store(&cdm_min_work[CDM_LEVEL_MATRIX], 2 * M * N * K);
	check_batch(CDM_BLAS_dgemm, FORTRAN, false);
	check_batch(CDM_BLAS_dgemm, FORTRAN, true);
}

/* What calibration makes of its measurements: who goes on, who is first, and the plan. Times are made up; nothing is measured. */
#include <criterion/criterion.h>
#include <string.h>

#include "tools/rank.h"
#include "tools/survey.h"

static struct contender of(bool lapack, double small, double large)
{
	return (struct contender){.m = {.lapack = lapack, .pid = 1}, .small = small, .large = large};
}

/* Much faster as it seems: on a busy machine it does, and factorizations would stay on the host. */
Test(calibrate, a_library_without_lapack_is_not_first)
{
	struct contender list[] = {of(false, 1, 10), of(true, 3.9, 39), of(true, 3, 30)};

	cr_assert_eq(rank_first(list, 3), &list[2]);
	list[2].large = 0; /* not measured */
	cr_assert_eq(rank_first(list, 3), &list[1]);
	list[1].large = 50; /* no use for anything */
	cr_assert_eq(rank_first(list, 3), &list[0]);
	list[1].large = 39;
	list[1].m.pid = 0; /* ended */
	cr_assert_eq(rank_first(list, 3), &list[0], "nobody else is left");
	list[0].small = 0;
	cr_assert_null(rank_first(list, 3));
}

Test(calibrate, the_large_order_counts_three_times)
{
	struct contender list[] = {of(true, 1, 12), of(true, 2, 10), of(true, 1.5, 9)};

	cr_assert_eq(rank_first(list, 3), &list[2]);
	list[2].large = 13;
	cr_assert_eq(rank_first(list, 3), &list[0]);
}

Test(calibrate, those_with_lapack_compete_among_themselves)
{
	struct contender list[] = {of(false, 1, 0), of(false, 1, 0), of(false, 1, 0), of(false, 1, 0),
				   of(false, 2, 0), of(true, 9, 0),  of(true, 35, 0), of(true, 37, 0)};

	for (int i = 0; i < 4; i++)
		cr_assert(rank_finalist(list, 8, &list[i]));
	cr_assert_not(rank_finalist(list, 8, &list[4]), "the fifth");
	cr_assert(rank_finalist(list, 8, &list[5]));
	cr_assert(rank_finalist(list, 8, &list[6]));
	cr_assert_not(rank_finalist(list, 8, &list[7]), "far behind the best with LAPACK");
	list[4].small = 5;
	cr_assert(rank_hopeless(list, 8, &list[4]));
	cr_assert_not(rank_hopeless(list, 8, &list[5]));
}

/* ---- the plan ------------------------------------------------------------------------------------------ */

enum { WITH_TEAM, WITH_ONE, BARE_ONE, BARE_TEAM, MEASURED = 9 };

/* LU and Cholesky exist in the first library only; the bare one's products take `bare` times as long. */
static struct survey survey_of(double bare)
{
	static struct measured with = {.library = "/with", .lapack = true}, without = {.library = "/bare"};
	struct survey s = {.candidate = {{&with, 2}, {&with, 1}, {&without, 1}, {&without, 2}}, .candidates = 4};

	for (int f = 0; f < CDM_FAMILIES; f++)
		for (int size = 0; size < MEASURED; size++) {
			float *t = s.seconds[f][CDM_D][CDM_SQUARE][size];
			double one = survey_work(f, CDM_D, CDM_SQUARE, size) / 1e10, team = one / 2 + 10e-6;
			bool lapack = f >= CDM_FAMILY_GETRF;
			t[WITH_TEAM] = (float)team;
			t[WITH_ONE] = (float)one;
			t[BARE_TEAM] = lapack ? 0 : (float)(team * bare);
			t[BARE_ONE] = lapack ? 0 : (float)(one * bare);
		}
	return s;
}

static const struct cdm_setting *chosen(const struct cdm_plan *p, int family, int size)
{
	return &p->setting[cdm_plan_setting(p, family, CDM_Z, CDM_DEEP, cdm_plan_work(size), false)];
}

Test(calibrate, products_of_the_faster_library)
{
	struct survey s = survey_of(0.5);
	struct cdm_plan p;

	survey_plan(&s, &p);
	cr_assert(cdm_plan_is_valid(&p));
	cr_assert_str_eq(p.setting[0].library, "/with");
	cr_assert_eq(p.setting[0].threads, 2);
	for (int size = 0; size < CDM_CLASSES; size++) {
		cr_assert_str_eq(chosen(&p, CDM_FAMILY_GEMM, size)->library, "/bare", "class %d", size);
		cr_assert_str_eq(chosen(&p, CDM_FAMILY_GETRF, size)->library, "/with", "class %d", size);
	}
	/* Beyond what was measured, too, with all threads. */
	cr_assert_eq(chosen(&p, CDM_FAMILY_GEMM, 0)->threads, 1);
	cr_assert_eq(chosen(&p, CDM_FAMILY_GEMM, CDM_CLASSES - 1)->threads, 2);
	cr_assert_eq(chosen(&p, CDM_FAMILY_GETRF, CDM_CLASSES - 1)->threads, 2);
}

Test(calibrate, a_library_that_brings_little_is_not_opened)
{
	struct survey s = survey_of(0.97);
	struct cdm_plan p;

	survey_plan(&s, &p);
	cr_assert_eq(p.settings, 2);
	for (int i = 0; i < p.settings; i++)
		cr_assert_str_eq(p.setting[i].library, "/with");
}

/* A second core type takes the bare library's places; by: how many times as long it takes, for one thread and for the team. */
static struct survey survey_of_cores(double by(int family, int size, int threads))
{
	static struct measured other = {.library = "/with", .asked = "Haswell", .lapack = true};
	struct survey s = survey_of(1);

	s.candidate[BARE_ONE] = (struct candidate){&other, 1};
	s.candidate[BARE_TEAM] = (struct candidate){&other, 2};
	for (int f = 0; f < CDM_FAMILIES; f++)
		for (int size = 0; size < MEASURED; size++) {
			float *t = s.seconds[f][CDM_D][CDM_SQUARE][size];
			t[BARE_ONE] = t[WITH_ONE] * (float)by(f, size, 1);
			t[BARE_TEAM] = t[WITH_TEAM] * (float)by(f, size, 2);
		}
	return s;
}

static double solves_faster_products_slower(int family, int size, int threads)
{
	(void)threads;
	return family == CDM_FAMILY_TRSM ? 0.5 : family == CDM_FAMILY_GEMM && size > 5 ? 2 : 1;
}

/* Products of the sizes that the team computes are half as fast with the other core type: in a mean over all calls only its solves
 * count, and it was the only one that calls beside others had. */
Test(calibrate, calls_beside_others_have_the_first_library)
{
	struct survey s = survey_of_cores(solves_faster_products_slower);
	struct cdm_plan p;

	s.detailed = true;
	survey_plan(&s, &p);
	cr_assert(cdm_plan_is_valid(&p));
	cr_assert_eq(p.settings, 4);
	for (int size = 0; size < CDM_CLASSES; size++) {
		int product = p.alone[CDM_FAMILY_GEMM][CDM_D][CDM_SQUARE][size];
		int solve = p.alone[CDM_FAMILY_TRSM][CDM_D][CDM_SQUARE][size];
		cr_assert(size <= 5 || !p.setting[product].core[0], "class %d", size);
		cr_assert_str_eq(p.setting[solve].core, "Haswell", "class %d", size);
		cr_assert_str_eq(chosen(&p, CDM_FAMILY_TRSM, size)->core, "Haswell", "class %d", size);
	}
	s.detailed = false; /* three points say less of a team, nine still enough of one thread */
	survey_plan(&s, &p);
	cr_assert_eq(p.settings, 3);
	cr_assert_eq(p.setting[2].threads, 1);
	cr_assert_str_eq(p.setting[2].core, "Haswell");
}

static double solves_faster_by_20(int family, int size, int threads)
{
	(void)size, (void)threads;
	return family == CDM_FAMILY_TRSM ? 1 / 1.2 : 1;
}
static double solves_faster_by_7(int family, int size, int threads)
{
	(void)size, (void)threads;
	return family == CDM_FAMILY_TRSM ? 1 / 1.07 : 1;
}
static double one_thread_faster_by_40(int family, int size, int threads)
{
	(void)family, (void)size;
	return threads == 1 ? 1 / 1.4 : 1;
}

static int settings_of(double by(int family, int size, int threads), bool detailed, bool disturbed, float team)
{
	struct survey s = survey_of_cores(by);
	struct cdm_plan p;

	s.detailed = detailed;
	s.disturbed = disturbed;
	for (int f = 0; f < CDM_FAMILIES; f++)
		for (int size = 0; size < MEASURED; size++) {
			s.seconds[f][CDM_D][CDM_SQUARE][size][WITH_TEAM] *= team;
			s.seconds[f][CDM_D][CDM_SQUARE][size][BARE_TEAM] *= team;
		}
	survey_plan(&s, &p);
	cr_assert(cdm_plan_is_valid(&p));
	return p.settings;
}

Test(calibrate, what_is_worth_opening)
{
	cr_assert_gt(settings_of(solves_faster_by_20, true, false, 1), 2);
	cr_assert_eq(settings_of(solves_faster_by_20, false, false, 1), 2, "a brief survey is not so sure");
	cr_assert_eq(settings_of(solves_faster_by_20, true, true, 1), 2, "nor a disturbed one");
	cr_assert_eq(settings_of(solves_faster_by_7, true, false, 1), 2);
	/* Where a team of many threads is ten times as fast, calls beside others are still on one. */
	cr_assert_eq(settings_of(one_thread_faster_by_40, true, false, 0.1f), 3);
	cr_assert_eq(settings_of(one_thread_faster_by_40, false, false, 0.1f), 3);
}

/* By 5 %; it is 2 % worse in everything else, and one of its measurements was disturbed. */
Test(calibrate, the_core_type_that_is_best_in_products)
{
	static struct measured better = {.library = "/with", .asked = "Haswell", .lapack = true};
	struct survey s = survey_of(1);
	struct cdm_plan p;

	s.candidate[4] = (struct candidate){&better, 1};
	s.candidate[5] = (struct candidate){&better, 2};
	s.candidates = 6;
	s.detailed = true;
	for (int f = 0; f < CDM_FAMILIES; f++)
		for (int size = 0; size < MEASURED; size++) {
			float *t = s.seconds[f][CDM_D][CDM_SQUARE][size], by = f != CDM_FAMILY_GEMM ? 1.02f
									       : size == 5          ? 1.2f
												    : 0.95f;
			t[4] = t[WITH_ONE] * by;
			t[5] = t[WITH_TEAM] * by;
		}
	survey_plan(&s, &p);
	cr_assert_eq(p.settings, 2);
	cr_assert_str_eq(p.setting[0].core, "Haswell");
	cr_assert_eq(p.setting[0].threads, 2);
	cr_assert_str_eq(p.setting[1].core, "Haswell");
	cr_assert_eq(p.setting[1].threads, 1);
	s.detailed = false; /* the few points that were measured say less than the ranking */
	survey_plan(&s, &p);
	cr_assert_str_eq(p.setting[0].core, "");
}

static double solves_faster_while_small(int family, int size, int threads)
{
	(void)threads;
	return family == CDM_FAMILY_TRSM ? (size < MEASURED - 1 ? 0.6 : 0.95) : family == CDM_FAMILY_GEMM ? 1.3 : 1;
}

/* With the other core type; its lead is nearly gone at the largest class, and it is behind in products. */
Test(calibrate, what_was_not_measured_is_more_like_products)
{
	struct survey s = survey_of_cores(solves_faster_while_small);
	struct cdm_plan p;

	s.detailed = true;
	survey_plan(&s, &p);
	cr_assert_eq(p.settings, 4);
	for (int size = 0; size < CDM_CLASSES; size++) {
		int alone = p.alone[CDM_FAMILY_TRSM][CDM_D][CDM_SQUARE][size];
		cr_assert_str_eq(p.setting[alone].core, size < MEASURED ? "Haswell" : "", "class %d", size);
	}
	s = survey_of_cores(solves_faster_products_slower); /* there it does not keep up */
	s.detailed = true;
	survey_plan(&s, &p);
	cr_assert_str_eq(chosen(&p, CDM_FAMILY_TRSM, CDM_CLASSES - 1)->core, "Haswell");
}

/* Each is measured where it is looked up, and at sides that programs have, where there is room. */
Test(calibrate, points_of_a_class)
{
	struct point p;

	for (int f = 0; f < CDM_FAMILIES; f++)
		for (int type = 0; type < 4; type++)
			for (int aspect = 0; aspect < CDM_ASPECTS; aspect++)
				for (int size = 0; size < CDM_CLASSES; size++) {
					if (!survey_point(f, type, aspect, size, &p))
						continue;
					cr_assert(p.m > 0 && p.n > 0 && p.k > 0 && p.m <= POINT_MOST &&
						  p.n <= POINT_MOST && p.k <= POINT_MOST);
					if (p.m < POINT_MOST && p.n < POINT_MOST && p.k < POINT_MOST && size > 2)
						cr_assert_eq(cdm_plan_class(survey_work(f, type, aspect, size)), size,
							     "%d %d %d %d: %d x %d x %d", f, type, aspect, size, p.m,
							     p.n, p.k);
				}
	survey_point(CDM_FAMILY_GEMM, CDM_D, CDM_TALL, 6, &p);
	cr_assert(p.m == 400 && p.n == 32 && p.k == 32);
}

/* It is slower by 15 % everywhere, and the faster one was disturbed once. */
Test(calibrate, a_disturbed_class_chooses_no_library)
{
	struct survey s = survey_of(0.85);
	struct cdm_plan p;

	s.seconds[CDM_FAMILY_GEMM][CDM_D][CDM_SQUARE][4][BARE_ONE] *= 2.2f;
	survey_plan(&s, &p);
	for (int size = 0; size < CDM_CLASSES; size++)
		cr_assert_str_eq(p.setting[p.alone[CDM_FAMILY_GEMM][CDM_D][CDM_SQUARE][size]].library, "/bare",
				 "class %d", size);
}

/* ---- from which work on the team computes --------------------------------------------------------------- */

static double team_from(const struct survey *s)
{
	struct cdm_plan p;

	survey_plan(s, &p);
	cr_assert_eq(p.setting[0].threads, 2);
	cr_assert_eq(p.team_from[CDM_FAMILY_GEMM][CDM_S][CDM_TALL], p.team_from[CDM_FAMILY_GEMM][CDM_D][CDM_SQUARE]);
	return (double)p.team_from[CDM_FAMILY_GEMM][CDM_D][CDM_SQUARE];
}

/* The times cross where one = 1.03 (one / 2 + 10 us + 1 us). */
Test(calibrate, the_team_starts_where_the_times_cross)
{
	struct survey s = survey_of(1);
	double cross = 1.03 * 11e-6 * 1e10 / (1 - 1.03 / 2);

	cr_assert_lt(team_from(&s), 1.3 * cross);
	cr_assert_gt(team_from(&s), cross / 1.3);
}

/* One thread was, at a small class; or the team, at a large one. */
Test(calibrate, a_disturbed_class_moves_nothing)
{
	struct survey s = survey_of(1);
	double from = team_from(&s);
	int tried = 0;

	for (int size = 0; size < MEASURED; size++) {
		double work = cdm_plan_work(size);
		float *t = s.seconds[CDM_FAMILY_GEMM][CDM_D][CDM_SQUARE][size], good[SURVEY_MAX];
		if (work > from / 16 && work < from * 4)
			continue;
		memcpy(good, t, sizeof(good));
		t[work < from ? WITH_ONE : WITH_TEAM] *= 30;
		cr_assert_float_eq(team_from(&s), from, 1, "class %d", size);
		memcpy(t, good, sizeof(good));
		tried++;
	}
	cr_assert_gt(tried, 4);
}

Test(calibrate, a_team_that_is_never_better_has_what_was_not_measured)
{
	struct survey s = survey_of(1);

	s.candidates = 2; /* the bare library's team would be opened */
	for (int size = 0; size < MEASURED; size++)
		s.seconds[CDM_FAMILY_GEMM][CDM_D][CDM_SQUARE][size][WITH_TEAM] = 1;
	cr_assert_eq(team_from(&s), (double)cdm_plan_least(MEASURED));
	for (int size = 0; size < MEASURED; size++) /* it sat out */
		s.seconds[CDM_FAMILY_GEMM][CDM_D][CDM_SQUARE][size][WITH_TEAM] = 0;
	s.seconds[CDM_FAMILY_GEMM][CDM_D][CDM_SQUARE][MEASURED - 1][WITH_TEAM] = 1e-9f;
	cr_assert_gt(team_from(&s), cdm_plan_work(MEASURED - 2));
	cr_assert_lt(team_from(&s), cdm_plan_work(MEASURED - 1));
}

/* ---- from which work on calls are offloaded -------------------------------------------------------------- */

Test(calibrate, work_of_a_time)
{
	struct survey s = survey_of(1), none = {.candidates = 4};

	cr_assert_eq(survey_flops(&none, 1e-6), 0);
	/* One thread's times, which grow as the work does, up to where the team's are shorter. */
	cr_assert_float_eq(survey_flops(&s, 2.5e-6), 2.5e-6 * 1e10, 10);
	cr_assert_float_eq(survey_flops(&s, 1e-9), 1e-9 * 1e10, 1e-3, "less than was measured");
	cr_assert_gt(survey_flops(&s, 1), 0.9 * 2e10, "more");
	cr_assert_leq(survey_flops(&s, 1), 2e10);
	double team = survey_flops(&s, 300e-6);
	cr_assert_float_eq(team / 2e10 + 10e-6, 300e-6, 10e-6);
}

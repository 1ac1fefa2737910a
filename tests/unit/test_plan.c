/* The plan, the threads that fit, the CPUs that there are: pure functions. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "offload/dev/cpus.h"
#include "offload/dev/fit.h"
#include "offload/dev/plan.h"

Test(plan, families)
{
	cr_assert_eq(cdm_plan_family("dgemm"), CDM_FAMILY_GEMM);
	cr_assert_eq(cdm_plan_family("zhemm"), CDM_FAMILY_GEMM);
	cr_assert_eq(cdm_plan_family("strmm"), CDM_FAMILY_TRSM);
	cr_assert_eq(cdm_plan_family("cher2k"), CDM_FAMILY_SYRK);
	cr_assert_eq(cdm_plan_family("dgesv"), CDM_FAMILY_GETRF);
	cr_assert_eq(cdm_plan_family("dgem"), -1); /* no part of a name */
	cr_assert_eq(cdm_plan_family("demm"), -1);
	cr_assert_eq(cdm_plan_family("dsyevd"), -1);
	cr_assert_eq(cdm_plan_family("d"), -1);
	cr_assert_eq(cdm_plan_family(""), -1);
}

Test(plan, classes)
{
	cr_assert_eq(cdm_plan_class(0), 0);
	cr_assert_eq(cdm_plan_class(-1), 0);
	cr_assert_eq(cdm_plan_class(255), 0);
	cr_assert_eq(cdm_plan_class(256), 1);
	cr_assert_eq(cdm_plan_class(1e300), CDM_CLASSES - 1);
	for (int i = 0; i < CDM_CLASSES; i++) {
		cr_assert_eq(cdm_plan_class(cdm_plan_work(i)), i);
		cr_assert_eq(cdm_plan_class(cdm_plan_work(i) / 2), i);
		cr_assert(i == 0 || cdm_plan_class(cdm_plan_work(i) / 2 - 1) == i - 1);
	}
}

Test(plan, aspects)
{
	cr_assert_eq(cdm_aspect(100, 100, 100), CDM_SQUARE);
	cr_assert_eq(cdm_aspect(399, 100, 100), CDM_SQUARE);
	cr_assert_eq(cdm_aspect(400, 100, 100), CDM_TALL);
	cr_assert_eq(cdm_aspect(100, 400, 1), CDM_WIDE);
	cr_assert_eq(cdm_aspect(100, 100, 400), CDM_DEEP);
	cr_assert_eq(cdm_aspect(100, 100, 25), CDM_FLAT);
}

Test(plan, simple_plans_are_valid)
{
	struct cdm_setting s = {.library = "/l", .threads = 4};
	struct cdm_plan p;

	cdm_plan_simple(&p, &s);
	cr_assert(cdm_plan_is_valid(&p));
	cr_assert_eq(p.settings, 2);
	cr_assert_eq(p.setting[p.alone[0][0][0][0]].threads, 1);
	p.team[1][1][1][1] = 2;
	cr_assert(!cdm_plan_is_valid(&p));
	s.threads = 1;
	cdm_plan_simple(&p, &s);
	cr_assert(cdm_plan_is_valid(&p));
	cr_assert_eq(p.settings, 1);
}

/* ---- threads that fit */

/* Calls of a millisecond. */
static void calls(struct cdm_fit *fit, int n, int want, double share)
{
	bool starved = cdm_fit_starved(1000000, (uint64_t)(share * 1000000));

	while (n--)
		cdm_fit_observe(fit, want, starved ? CDM_FIT_DISTURBED : CDM_FIT_CALM, 1000000);
}

Test(fit, undisturbed_calls_keep_all_threads)
{
	struct cdm_fit fit = {0};

	calls(&fit, 1000, 8, 0.99);
	cr_assert_eq(cdm_fit_threads(&fit, 8), 8);
	cr_assert(cdm_fit_at_rest(&fit));
	calls(&fit, 1, 8, 0.2); /* one bad call is nothing */
	cr_assert(!cdm_fit_at_rest(&fit));
	calls(&fit, 1, 8, 0.99);
	cr_assert_eq(cdm_fit_threads(&fit, 8), 8);
	cr_assert(cdm_fit_at_rest(&fit));
}

Test(fit, starved_teams_shrink_and_come_back)
{
	struct cdm_fit fit = {0};

	calls(&fit, 2, 8, 0.5);
	cr_assert_eq(cdm_fit_threads(&fit, 8), 4);
	calls(&fit, 2, 8, 0.5);
	cr_assert_eq(cdm_fit_threads(&fit, 8), 2);
	calls(&fit, 200, 8, 0.5);
	cr_assert_eq(cdm_fit_threads(&fit, 8), 1);
	cr_assert_eq(cdm_fit_threads(&fit, 0), 1);
	cr_assert(!cdm_fit_at_rest(&fit));
	calls(&fit, 3 * CDM_FIT_PATIENCE_MAX / 1000000, 8, 1);
	cr_assert_eq(cdm_fit_threads(&fit, 8), 8);
	cr_assert(!cdm_fit_at_rest(&fit)); /* all threads on trial */
	calls(&fit, CDM_FIT_PATIENCE_MAX / 1000000, 8, 1);
	cr_assert(cdm_fit_at_rest(&fit));
}

Test(fit, patience_grows_with_each_failure)
{
	struct cdm_fit fit = {0};
	int until[3];

	for (int i = 0; i < 3; i++) {
		calls(&fit, 2, 2, 0.5);
		cr_assert_eq(cdm_fit_threads(&fit, 2), 1);
		for (until[i] = 0; cdm_fit_threads(&fit, 2) == 1; until[i]++)
			calls(&fit, 1, 2, 1);
	}
	cr_assert_gt(until[1], until[0]);
	cr_assert_gt(until[2], until[1]);
}

/* Threads that take turns of some milliseconds on a CPU: whatever the calls, no while without a disturbance is long enough. */
Test(fit, where_threads_outnumber_cpus_the_team_stays_small)
{
	struct cdm_fit fit = {0};

	calls(&fit, 2, 2, 0.5);
	for (int turn = 0; turn < 1000; turn++) {
		for (int i = 0; i < 40; i++)
			cdm_fit_observe(&fit, 2, CDM_FIT_CALM, 100000);
		cdm_fit_observe(&fit, 2, CDM_FIT_RESTLESS, 4000000);
		cr_assert_eq(cdm_fit_threads(&fit, 2), 1, "turn %d", turn);
	}
	cdm_fit_observe(&fit, 2, CDM_FIT_CALM, 1000000000); /* one call proves little, however long */
	cr_assert_eq(cdm_fit_threads(&fit, 2), 1);
	cdm_fit_observe(&fit, 2, CDM_FIT_CALM, 1);
	cr_assert_eq(cdm_fit_threads(&fit, 2), 2);
}

Test(fit, slow_calls_are_seen_by_their_pace)
{
	float pace = 0;

	cr_assert(!cdm_fit_slow(&pace, 1e6, 100000, 1)); /* the first of its kind */
	cr_assert(!cdm_fit_slow(&pace, 2e6, 500000, 1));
	cr_assert(!cdm_fit_slow(&pace, 1e6, 400000, 1));
	cr_assert(cdm_fit_slow(&pace, 1e6, 700000, 1));
	cr_assert(!cdm_fit_slow(&pace, 1e6, 90000, 1)); /* better than ever */
	cr_assert(cdm_fit_slow(&pace, 1e6, 560000, 1));
	cr_assert(!cdm_fit_slow(&pace, 1e6, 560000, 0.5)); /* half of the threads */
	cr_assert(cdm_fit_slow(&pace, 1e6, 1200000, 0.5));
	for (int i = 0; i < 100; i++) /* what is never reached again is forgotten */
		cdm_fit_slow(&pace, 1e6, 560000, 1);
	cr_assert(!cdm_fit_slow(&pace, 1e6, 560000, 1));
}

/* ---- what the user has set */

Test(cpus, wanted_threads)
{
	static const char *const names[] = {"OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS",
					    "OMP_NUM_THREADS"};

	for (int i = 0; i < 4; i++)
		unsetenv(names[i]);
	cr_assert_eq(cdm_wanted_threads(), 0);
	setenv("OMP_NUM_THREADS", "3,2", 1); /* nested levels: the first counts */
	cr_assert_eq(cdm_wanted_threads(), 3);
	setenv("OPENBLAS_NUM_THREADS", "1", 1);
	cr_assert_eq(cdm_wanted_threads(), 1);
	setenv("OPENBLAS_NUM_THREADS", "many", 1);
	cr_assert_eq(cdm_wanted_threads(), 3);
	setenv("OPENBLAS_NUM_THREADS", "0", 1);
	cr_assert_eq(cdm_wanted_threads(), 3);
	setenv("OPENBLAS_NUM_THREADS", "99999999999999999999999", 1);
	cr_assert_eq(cdm_wanted_threads(), 1024);
	cr_assert_geq(cdm_allowed_cpus(), 1);
}

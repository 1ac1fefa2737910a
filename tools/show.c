#include "tools/show.h"

#include <stdio.h>
#include <string.h>

#include "offload/dev/dev.h"

void show_progress(double share)
{
	enum { WIDTH = 40 };
	static int before = -1;
	int percent = (int)(share * 100);
	char bar[WIDTH + 1];

	if (percent == before)
		return;
	before = percent;
	memset(bar, ' ', WIDTH);
	memset(bar, '#', (size_t)(share * WIDTH));
	bar[WIDTH] = '\0';
	if (percent < 100)
		fprintf(stderr, "\rmeasuring [%s] %3d%%", bar, percent);
	else
		fprintf(stderr, "\r%*s\r", WIDTH + 20, "");
	fflush(stderr);
}

static void show_settings(const struct cdm_plan *plan)
{
	printf("\nsettings\n");
	for (int i = 0; i < plan->settings; i++) {
		const struct cdm_setting *s = &plan->setting[i];
		printf("  %c  %2d thread%s %-14s %s\n", 'A' + i, s->threads, s->threads == 1 ? ", " : "s,",
		       s->core[0] ? s->core : "-", s->library);
	}
}

static void show_orders(void)
{
	struct point p;

	printf("\nthe fastest at square shapes; below, orders of dgemm\n%12s", "");
	for (int c = 0; c < CDM_CLASSES; c++)
		if (survey_point(CDM_FAMILY_GEMM, CDM_D, CDM_SQUARE, c, &p))
			printf(" %4d", p.n);
	printf("\n");
}

static void show_row(const struct cdm_plan *plan, int family, int type)
{
	printf("  %c%-9s", "sdcz"[type], cdm_family_name[family]);
	for (int c = 0; c < CDM_CLASSES; c++) {
		double work = cdm_plan_work(c);
		int best = cdm_plan_setting(plan, family, type, CDM_SQUARE, work, false);
		int one = cdm_plan_setting(plan, family, type, CDM_SQUARE, work, true);
		if (best == one)
			printf("    %c", 'A' + best);
		else
			printf("  %c/%c", 'A' + best, 'A' + one);
	}
	printf("\n");
}

void show_survey(const struct survey *s, const struct cdm_plan *plan)
{
	show_settings(plan);
	show_orders();
	for (int f = 0; f < CDM_FAMILIES; f++)
		for (int t = 0; t < 4; t++)
			if (s->detailed || t == CDM_D)
				show_row(plan, f, t);
	printf("  (A/B: A with the machine to itself, B beside other calls)\n");
}

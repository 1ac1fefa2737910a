/* The survey's measurements: every candidate at every point. */
#include <math.h>

#include "offload/base/stats.h"
#include "offload/dev/dev.h"
#include "tools/survey.h"

enum {
	CLASSES_BRIEF = 9, /* up to some 8 Mflop: 0.2 ms on one core */
	CLASSES_DETAILED = 11,
	PASSES = 2, /* over all points: a disturbance can outlast all rounds of a point */
	ROUNDS = 2, /* of each pass */
	ROUNDS_DETAILED = 4,
	ROUNDS_LONG = 2, /* of calls of a millisecond and more */
	LONG_FROM = 9,   /* class */
	SURE_ROUNDS = 2, /* for all; further ones, for those that are near the best */
	BRIEF_US = 150,
	DETAILED_US = 400,
	RESUME = 3, /* classes after which one that was far behind is tried again */
};
#define BEHIND 1.3 /* times the best: not measured a second time */

double survey_best(const struct survey *s, const float *seconds)
{
	double best = INFINITY;

	for (int c = 0; c < s->candidates; c++)
		if (seconds[c] > 0 && seconds[c] < best)
			best = seconds[c];
	return best;
}

static bool late(const struct survey *s)
{
	return cdm_now_ns() > s->soft;
}

static void measure_once(struct survey *s, const struct point *p, float *seconds, int c)
{
	struct candidate *who = &s->candidate[c];
	double t = measure_point(who->process, p, who->threads, s->detailed ? DETAILED_US : BRIEF_US, s->hard);

	if (t > 0 && (seconds[c] <= 0 || t < seconds[c]))
		seconds[c] = (float)t;
}

/* More where one thread and the team are close: a team's call of 20 us takes 13 or 25, by turns. */
static int rounds_of(const struct survey *s, int size)
{
	bool close = size >= SURVEY_TEAM_FROM - 2 && size <= SURVEY_TEAM_FROM + 1;

	return !s->detailed ? ROUNDS : size >= LONG_FROM ? ROUNDS_LONG : close ? 2 * ROUNDS_DETAILED : ROUNDS_DETAILED;
}

/* In turns: what disturbs the machine for a moment disturbs all, and who was disturbed alone has a second chance. resume: candidates
 * that sit out, and how long. */
static void measure_candidates(struct survey *s, const struct point *p, int size, float *seconds, int *resume)
{
	bool in[SURVEY_MAX];

	for (int c = 0; c < s->candidates; c++)
		in[c] = !resume[c] || --resume[c] == 0;
	for (int round = 0; round < rounds_of(s, size); round++) {
		double best = survey_best(s, seconds);
		for (int c = 0; c < s->candidates; c++)
			if (in[c] && (round < SURE_ROUNDS || seconds[c] < BEHIND * best))
				measure_once(s, p, seconds, c);
	}
	for (int c = 0; c < s->candidates; c++)
		if (seconds[c] > SURVEY_FAR_BEHIND * survey_best(s, seconds))
			resume[c] = RESUME;
}

struct progress {
	int done, all;
};

typedef int sitting_out[CDM_FAMILIES][4][CDM_ASPECTS][SURVEY_MAX];

static void survey_class(struct survey *s, int size, sitting_out resume, struct progress *so_far)
{
	struct point p;

	for (int f = 0; f < CDM_FAMILIES; f++)
		for (int t = 0; t < 4; t++)
			for (int a = 0; a < CDM_ASPECTS; a++) {
				if ((!s->detailed && (t != CDM_D || a != CDM_SQUARE)) || late(s) ||
				    !survey_point(f, t, a, size, &p))
					continue;
				measure_candidates(s, &p, size, s->seconds[f][t][a][size], resume[f][t][a]);
				if (s->progress)
					s->progress((double)++so_far->done / so_far->all);
			}
}

static int points_of_class(const struct survey *s)
{
	struct point p;
	int n = 0;

	for (int f = 0; f < CDM_FAMILIES; f++)
		for (int a = 0; a < CDM_ASPECTS; a++)
			n += survey_point(f, CDM_D, a, 0, &p) && (s->detailed || a == CDM_SQUARE);
	return s->detailed ? 4 * n : n;
}

void survey_run(struct survey *s)
{
	static sitting_out resume[PASSES];
	int classes = s->detailed ? CLASSES_DETAILED : CLASSES_BRIEF;
	struct progress so_far = {.all = PASSES * classes * points_of_class(s)};

	for (int pass = 0; pass < PASSES; pass++)
		for (int size = 0; size < classes; size++)
			survey_class(s, size, resume[pass], &so_far);
}

/* Between two classes both work and time grow by powers. From above, as what is disturbed seems to take longer. */
double survey_flops(const struct survey *s, double seconds)
{
	const float(*square)[SURVEY_MAX] = s->seconds[CDM_FAMILY_GEMM][CDM_D][CDM_SQUARE];
	double work = 0, time = 0; /* of the class above */

	for (int size = CDM_CLASSES - 1; size >= 0; size--) {
		double t = survey_best(s, square[size]), w = survey_work(CDM_FAMILY_GEMM, CDM_D, CDM_SQUARE, size);
		if (isinf(t))
			continue;
		if (t < seconds)
			return work > 0 ? w * pow(work / w, log(seconds / t) / log(time / t)) : w * seconds / t;
		work = w;
		time = t;
	}
	return work > 0 ? work * seconds / time : 0;
}

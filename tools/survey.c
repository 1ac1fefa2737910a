#include "tools/survey.h"

#include <math.h>
#include <string.h>

#include "offload/base/fmt.h"
#include "offload/base/stats.h"
#include "offload/dev/calibrate.h"
#include "offload/dev/dev.h"

enum {
	THIN = 16,         /* the long side of a tall or wide shape, in short sides */
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
	TEAM_FROM = 7, /* the first class, 1 Mflop and more, that is for several threads where nothing was measured */
	RESUME = 3,    /* classes after which one that was far behind is tried again */
};
#define BEHIND 1.3          /* times the best: not measured a second time */
#define FAR_BEHIND 4.0      /* not measured for the next classes of the family, either */
#define PREFER 1.03         /* one thread is taken when it is no slower than this */
#define PREFER_EARLIER 1.03 /* a later setting must be faster by this: it may never have to be opened */
#define PREFER_ALIKE 1.04   /* one core type for all, unless another brings more than this */
#define PREFER_BUSY 0.85    /* or, on a busy machine, than this */
#define GAIN_MOST 0.4       /* a factor of 1.5; what is disturbed is more often the team */
#define LOSS_MOST 0.3
#define WORTH_OPENING 1.10 /* mean gain that pays for another library, or core type; noise alone makes 1.05 */

/* ---- points ------------------------------------------------------------------------------------------- */

static int at_least_1(double v)
{
	return v < 1 ? 1 : v > POINT_MOST ? POINT_MOST : (int)(v + 0.5);
}

/* Sides in multiples of one length, and the work of a unit cube: work = factor * length^3 (gemv: length^2). */
struct form {
	int m, n, k;
	double factor;
};

static bool form_of(int family, int aspect, struct form *f)
{
	static const struct form product[CDM_ASPECTS] = {
		{1, 1, 1, 2}, {THIN, 1, 1, 2 * THIN}, {1, THIN, 1, 2 * THIN}, {1, 1, THIN, 2 * THIN}, {8, 8, 1, 128}};
	static const struct form rank[CDM_ASPECTS] = {{1, 1, 1, 1}, {0}, {0}, {1, 1, THIN, THIN}, {8, 8, 1, 64}};
	static const struct form solve[CDM_ASPECTS] = {{1, 1, 1, 1}, {THIN, 1, 1, THIN * THIN}, {1, THIN, 1, THIN}};
	static const struct form vector[CDM_ASPECTS] = {{1, 1, 1, 2}, {THIN, 1, 1, 2 * THIN}, {1, THIN, 1, 2 * THIN}};
	static const struct form lu[CDM_ASPECTS] = {
		{1, 1, 1, 2.0 / 3}, {THIN, 1, 1, THIN - 1.0 / 3}, {1, THIN, 1, THIN - 1.0 / 3}};
	static const struct form cholesky[CDM_ASPECTS] = {{1, 1, 1, 1.0 / 3}};
	static const struct form qr[CDM_ASPECTS] = {
		{1, 1, 1, 4.0 / 3}, {THIN, 1, 1, 2 * (THIN - 1.0 / 3)}, {1, THIN, 1, 2 * (THIN - 1.0 / 3)}};
	static const struct form *const forms[CDM_FAMILIES] = {
		[CDM_FAMILY_GEMM] = product, [CDM_FAMILY_TRSM] = solve, [CDM_FAMILY_SYRK] = rank,
		[CDM_FAMILY_GEMV] = vector,  [CDM_FAMILY_GETRF] = lu,   [CDM_FAMILY_POTRF] = cholesky,
		[CDM_FAMILY_GEQRF] = qr,
	};

	*f = forms[family][aspect];
	return f->m != 0;
}

/* Both tables have the same routines in the same order. */
#define X(id, name) _Static_assert((int)CDM_FAMILY_##id == (int)POINT_##name, "plan.h and point.h");
CDM_FAMILIES_TABLE(X)
#undef X

bool survey_point(int family, int type, int aspect, int size, struct point *p)
{
	struct form f;

	if (!form_of(family, aspect, &f))
		return false;
	double work = cdm_plan_work(size) / (cdm_scalar_complex((enum cdm_scalar)type) ? 4 : 1) / f.factor;
	double length = family == CDM_FAMILY_GEMV ? sqrt(work) : cbrt(work);
	*p = (struct point){.routine = family,
			    .type = type,
			    .m = at_least_1(f.m * length),
			    .n = at_least_1(f.n * length),
			    .k = at_least_1(f.k * length)};
	return true;
}

/* ---- measuring ---------------------------------------------------------------------------------------- */

static double best_of(const struct survey *s, const float *seconds)
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

static int rounds_of(const struct survey *s, int size)
{
	return !s->detailed ? ROUNDS : size >= LONG_FROM ? ROUNDS_LONG : ROUNDS_DETAILED;
}

/* In turns: what disturbs the machine for a moment disturbs all, and who was disturbed alone has a second chance. resume: candidates
 * that sit out, and how long. */
static void measure_candidates(struct survey *s, const struct point *p, int size, float *seconds, int *resume)
{
	bool in[SURVEY_MAX];

	for (int c = 0; c < s->candidates; c++)
		in[c] = !resume[c] || --resume[c] == 0;
	for (int round = 0; round < rounds_of(s, size); round++) {
		double best = best_of(s, seconds);
		for (int c = 0; c < s->candidates; c++)
			if (in[c] && (round < SURE_ROUNDS || seconds[c] < BEHIND * best))
				measure_once(s, p, seconds, c);
	}
	for (int c = 0; c < s->candidates; c++)
		if (seconds[c] > FAR_BEHIND * best_of(s, seconds))
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
		double t = best_of(s, square[size]), w = cdm_plan_work(size);
		if (isinf(t))
			continue;
		if (t < seconds)
			return work > 0 ? w * pow(work / w, log(seconds / t) / log(time / t)) : w * seconds / t;
		work = w;
		time = t;
	}
	return work > 0 ? work * seconds / time : 0;
}

/* ---- choosing ----------------------------------------------------------------------------------------- */

/* Calls fn for every point that was measured. */
static void each_point(const struct survey *s, void (*fn)(const struct survey *s, const float *seconds, void *arg),
		       void *arg)
{
	const float(*seconds)[SURVEY_MAX] = (const float(*)[SURVEY_MAX])s->seconds;

	for (size_t i = 0; i < sizeof(s->seconds) / sizeof(*seconds); i++)
		if (!isinf(best_of(s, seconds[i])))
			fn(s, seconds[i], arg);
}

struct gain {
	unsigned kept; /* bit per candidate */
	int with;
	double sum;
	int points;
};

/* The best time of some candidates; INFINITY: none of them was measured there. */
static double best_kept(const struct survey *s, const float *seconds, unsigned kept)
{
	double best = INFINITY;

	for (int c = 0; c < s->candidates; c++)
		if (kept & 1u << c && seconds[c] > 0 && seconds[c] < best)
			best = seconds[c];
	return best;
}

/* A candidate that sat out was far behind. */
static void add_gain(const struct survey *s, const float *seconds, void *arg)
{
	struct gain *g = arg;
	double least = best_of(s, seconds) * FAR_BEHIND, before = best_kept(s, seconds, g->kept);
	double after = best_kept(s, seconds, g->kept | 1u << g->with);

	g->sum += log((before < least ? before : least) / (after < least ? after : least));
	g->points++;
}

/* How many times as fast, in the geometric mean, everything gets with one more candidate. */
static double gain_of(const struct survey *s, unsigned kept, int with)
{
	struct gain g = {.kept = kept, .with = with};

	each_point(s, add_gain, &g);
	return g.points ? exp(g.sum / g.points) : 1;
}

/* The same code as the first candidate's, but for the number of threads. */
static bool like_first(const struct survey *s, int c)
{
	const struct measured *first = s->candidate[0].process, *p = s->candidate[c].process;

	return !strcmp(first->library, p->library) && !strcmp(first->asked, p->asked);
}

static int best_addition(const struct survey *s, unsigned kept, bool one_thread, double *gain)
{
	int best = -1;

	*gain = 0;
	for (int c = 0; c < s->candidates; c++) {
		if (kept & 1u << c || (one_thread && s->candidate[c].threads != 1))
			continue;
		double g = gain_of(s, kept, c) * (like_first(s, c) ? PREFER_ALIKE : 1);
		if (g > *gain) {
			*gain = g;
			best = c;
		}
	}
	return best;
}

static void keep(const struct survey *s, int c, struct cdm_plan *plan, int *order)
{
	struct cdm_setting *to = &plan->setting[plan->settings];

	cdm_fmt(to->library, sizeof(to->library), "%s", s->candidate[c].process->library);
	cdm_fmt(to->core, sizeof(to->core), "%s", s->candidate[c].process->asked);
	to->threads = s->candidate[c].threads;
	order[plan->settings++] = c;
}

/* The first candidate, the best of those with one thread, and whoever else brings enough. order: setting -> candidate. */
static void choose_settings(const struct survey *s, struct cdm_plan *plan, int *order)
{
	unsigned kept = 1;
	double gain;

	keep(s, 0, plan, order);
	while (plan->settings < CDM_SETTINGS) {
		bool need_single = plan->settings == 1 && s->candidate[0].threads > 1;
		int c = best_addition(s, kept, need_single, &gain);
		if (c < 0 || (!need_single && gain < WORTH_OPENING))
			return;
		kept |= 1u << c;
		keep(s, c, plan, order);
	}
}

/* A call for several threads is an operation of the device; one for a single thread is forwarded while it is small. */
static double cost(const struct survey *s, const struct cdm_plan *plan, int setting, double seconds)
{
	if (plan->setting[setting].threads == 1)
		return seconds;
	return (seconds + CDM_DISPATCH_S) * (s->disturbed ? PREFER_BUSY : PREFER);
}

/* The fastest setting with so many threads at a point. -1: none of them was measured there. */
static int winner(const struct survey *s, const struct cdm_plan *plan, const int *order, const float *seconds,
		  int threads)
{
	int best = -1;
	double least = INFINITY;

	for (int i = 0; i < plan->settings; i++) {
		double t = seconds[order[i]];
		if (t <= 0 || plan->setting[i].threads != threads)
			continue;
		t = cost(s, plan, i, t);
		if (t * (best >= 0 ? PREFER_EARLIER : 1) < least) {
			least = t;
			best = i;
		}
	}
	return best;
}

/* The measurements that stand for a type and an aspect: their own, or double's, or the square's. */
static const float (*stand_in(const struct survey *s, int f, int t, int a))[SURVEY_MAX]
{
	const int types[] = {t, CDM_D}, aspects[] = {a, CDM_SQUARE};

	for (int i = 0; i < 2; i++)
		for (int j = 0; j < 2; j++)
			if (!isinf(best_of(s, s->seconds[f][types[j]][aspects[i]][0])))
				return s->seconds[f][types[j]][aspects[i]];
	return s->seconds[f][CDM_D][CDM_SQUARE];
}

/* One row of a table, for settings with so many threads. Above what was measured the largest class counts on. */
static void fill_row(const struct survey *s, const struct cdm_plan *plan, const int *order,
		     const float (*seconds)[SURVEY_MAX], int threads, uint8_t *row)
{
	int at = threads == 1 ? cdm_plan_first_alone(plan) : 0;

	for (int size = 0; size < CDM_CLASSES; size++) {
		int fastest = winner(s, plan, order, seconds[size], threads);
		at = fastest >= 0 ? fastest : at;
		row[size] = (uint8_t)at;
	}
}

/* The logarithm of how many times as fast as one thread the team is. Bounded: one disturbed measurement is not to outweigh the
 * others. False: neither was measured. Who alone was not had sat out, far behind. */
static bool team_gain(const struct survey *s, const struct cdm_plan *plan, const int *order, const float *seconds,
		      double *gain)
{
	int one = winner(s, plan, order, seconds, 1), team = winner(s, plan, order, seconds, plan->setting[0].threads);

	if (one < 0 && team < 0)
		return false;
	if (one < 0 || team < 0)
		*gain = one < 0 ? GAIN_MOST : -LOSS_MOST;
	else
		*gain = log(cost(s, plan, one, seconds[order[one]]) / cost(s, plan, team, seconds[order[team]]));
	*gain = fmax(-LOSS_MOST, fmin(GAIN_MOST, *gain));
	return true;
}

/* The work from which the team computes: a single threshold for all classes, where the sum of what is gained above it is
 * largest, so that a class that was disturbed does not stand out; between the two classes there, as the gains change sign. */
static uint64_t team_start(const struct survey *s, const struct cdm_plan *plan, const int *order,
			   const float (*seconds)[SURVEY_MAX])
{
	double gain[CDM_CLASSES], sum = 0, most = 0;
	int measured = CDM_CLASSES, cut;

	while (measured > 0 && !team_gain(s, plan, order, seconds[measured - 1], &gain[measured - 1]))
		measured--;
	cut = measured;
	for (int size = measured - 1; size >= 0; size--) {
		if (!team_gain(s, plan, order, seconds[size], &gain[size]))
			gain[size] = 0;
		sum += gain[size];
		if (sum > most) {
			most = sum;
			cut = size;
		}
	}
	if (cut == measured)
		return cdm_plan_least(cut > TEAM_FROM ? cut : TEAM_FROM);
	if (cut == 0)
		return 0;
	double before = gain[cut - 1], after = gain[cut]; /* below 0 or 0; above 0 */
	return (uint64_t)(cdm_plan_work(cut - 1) * pow(cdm_plan_work(1) / cdm_plan_work(0), before / (before - after)));
}

void survey_plan(const struct survey *s, struct cdm_plan *plan)
{
	int order[CDM_SETTINGS];

	memset(plan, 0, sizeof(*plan));
	choose_settings(s, plan, order);
	for (int f = 0; f < CDM_FAMILIES; f++)
		for (int t = 0; t < 4; t++)
			for (int a = 0; a < CDM_ASPECTS; a++) {
				const float(*seconds)[SURVEY_MAX] = stand_in(s, f, t, a);
				fill_row(s, plan, order, seconds, plan->setting[0].threads, plan->team[f][t][a]);
				fill_row(s, plan, order, seconds, 1, plan->alone[f][t][a]);
				if (plan->setting[0].threads > 1)
					plan->team_from[f][t][a] = team_start(s, plan, order, seconds);
			}
}

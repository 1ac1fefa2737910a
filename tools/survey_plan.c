/* The plan that follows from a survey: the settings worth having, and who computes what. */
#include <math.h>
#include <string.h>

#include "offload/base/fmt.h"
#include "offload/dev/calibrate.h"
#include "offload/dev/dev.h"
#include "tools/survey.h"

#define PREFER 1.03         /* one thread is taken when it is no slower than this */
#define PREFER_EARLIER 1.03 /* a later setting must be faster by this: it may never have to be opened */
#define PREFER_RANKED 1.01  /* the core type that was ranked first */
#define PREFER_BUSY 0.85    /* or, on a busy machine, than this */
#define KEEPS_UP 1.1        /* times the fastest; what size will make of that is not known */
#define GAIN_MOST 0.4       /* a factor of 1.5; what is disturbed is more often the team */
#define LOSS_MOST 0.3
/* Mean gains that pay for another library, or core type: in one family of routines, whose calls it is opened for; and in all. Two
 * alike differ by up to 1.03 by noise, by more in a brief survey: it has nine points of a family. Three of these are of the size that
 * a team is for, so that a mean over them is to be three times as far from 1. */
#define WORTH_OPENING 1.10
#define WORTH_OPENING_BRIEF 1.25
#define WORTH_OPENING_ALL 1.06
#define BRIEF_TEAM 3

static double median(double a, double b, double c)
{
	return fmax(fmin(a, b), fmin(fmax(a, b), c));
}

/* The best of those with as many threads as a candidate. */
static double best_alike(const struct survey *s, const float *seconds, int c)
{
	double best = INFINITY;

	for (int other = 0; other < s->candidates; other++)
		if (s->candidate[other].threads == s->candidate[c].threads && seconds[other] > 0)
			best = fmin(best, seconds[other]);
	return best;
}

/* How a candidate compares to those at a class; 0: nothing was measured there. Whoever sat out was far behind. */
static double ratio_at(const struct survey *s, const float (*row)[SURVEY_MAX], int size, int c)
{
	double best = size < 0 || size >= CDM_CLASSES ? INFINITY : best_alike(s, row[size], c);

	if (isinf(best))
		return 0;
	return row[size][c] > 0 ? fmin(row[size][c] / best, SURVEY_FAR_BEHIND) : SURVEY_FAR_BEHIND;
}

/* The time of a candidate at a class, or 0. How it compares to the best with as many threads is the median of three classes': kernels
 * change slowly with the size, what disturbs a measurement does not. */
static double steady(const struct survey *s, const float (*row)[SURVEY_MAX], int size, int c)
{
	double below = ratio_at(s, row, size - 1, c), own = ratio_at(s, row, size, c),
	       above = ratio_at(s, row, size + 1, c);

	if (row[size][c] <= 0)
		return 0;
	return best_alike(s, row[size], c) * (below > 0 && above > 0 ? median(below, own, above) : own);
}

/* Sets of candidates: bit per candidate. */
static unsigned everybody(const struct survey *s)
{
	return (1u << s->candidates) - 1;
}

static unsigned those_alone(const struct survey *s, unsigned of)
{
	unsigned alone = 0;

	for (int c = 0; c < s->candidates; c++)
		alone |= s->candidate[c].threads == 1 ? of & 1u << c : 0;
	return alone;
}

/* The best time of those kept, at most SURVEY_FAR_BEHIND the best of the pool, in which they compete. INFINITY: nobody of the
 * pool was measured. */
static double best_kept(const struct survey *s, const float (*row)[SURVEY_MAX], int size, unsigned kept, unsigned pool)
{
	double best = INFINITY, mine = INFINITY;

	for (int c = 0; c < s->candidates; c++) {
		double t = row[size][c] > 0 && (pool | kept) & 1u << c ? steady(s, row, size, c) : 0;
		best = t > 0 && t < best ? t : best;
		mine = t > 0 && t < mine && kept & 1u << c ? t : mine;
	}
	return fmin(mine, best * SURVEY_FAR_BEHIND);
}

struct mean {
	double sum;
	int points;
};

/* Adds the classes of one row, from `from` on. */
static void add_row(const struct survey *s, const float (*row)[SURVEY_MAX], int from, unsigned kept, unsigned pool,
		    struct mean *to)
{
	for (int size = from; size < CDM_CLASSES; size++) {
		double t = best_kept(s, row, size, kept, pool);
		if (!isinf(t)) {
			to->sum += log(t);
			to->points++;
		}
	}
}

static double geometric(const struct mean *m)
{
	return m->points ? exp(m->sum / m->points) : 1;
}

/* The geometric mean of their best times in a family, over the classes from `from` on that were measured. */
static double family_mean(const struct survey *s, int family, int from, unsigned kept, unsigned pool)
{
	struct mean m = {0};

	for (int t = 0; t < 4; t++)
		for (int a = 0; a < CDM_ASPECTS; a++)
			add_row(s, s->seconds[family][t][a], from, kept, pool, &m);
	return geometric(&m);
}

/* The same of one candidate, over large products. */
static double product_mean(const struct survey *s, int c)
{
	struct mean m = {0};

	for (int t = 0; t < 4; t++)
		for (int a = 0; a < CDM_ASPECTS; a++)
			add_row(s, s->seconds[CDM_FAMILY_GEMM][t][a], SURVEY_TEAM_FROM, 1u << c, everybody(s), &m);
	return geometric(&m);
}

/* The first candidate's library with the core type that has the best products, in which all others spend their time. The few calls
 * that ranked core types do not show some percent, nor does a mean over everything, where most rows are equal and noise decides. A
 * brief survey knows no more than they. */
static int first_of(const struct survey *s)
{
	const struct candidate *ranked = &s->candidate[0];
	double least = product_mean(s, 0) / PREFER_RANKED;
	int first = 0;

	for (int c = 1; s->detailed && c < s->candidates; c++) {
		double mean = product_mean(s, c);
		if (s->candidate[c].threads == ranked->threads &&
		    !strcmp(s->candidate[c].process->library, ranked->process->library) && mean < least) {
			first = c;
			least = mean;
		}
	}
	return first;
}

/* The same code as the first one's, on one thread. -1: there is none, or it is the first. */
static int single_of(const struct survey *s, int first)
{
	for (int c = 0; c < s->candidates; c++)
		if (c != first && s->candidate[c].threads == 1 &&
		    s->candidate[c].process == s->candidate[first].process)
			return c;
	return -1;
}

/* How many times as fast a family's calls become by one more: those of the pool's settings. A team is for larger calls. */
static double family_gain(const struct survey *s, int family, unsigned kept, int c, unsigned pool)
{
	int from = s->candidate[c].threads > 1 ? SURVEY_TEAM_FROM - 1 : 0;

	return family_mean(s, family, from, kept & pool, pool) /
	       family_mean(s, family, from, (kept | 1u << c) & pool, pool);
}

/* What it brings to one family of routines, or to all, as a multiple of what is worth opening it. */
static double worth(const struct survey *s, unsigned kept, int c, unsigned pool)
{
	bool sure = s->detailed && !s->disturbed;
	double scale = !sure && s->candidate[c].threads > 1 ? BRIEF_TEAM : 1, most = 0, all = 1;

	for (int f = 0; f < CDM_FAMILIES; f++) {
		double gain = family_gain(s, f, kept, c, pool);
		most = fmax(most, gain);
		all *= gain;
	}
	most /= pow(sure ? WORTH_OPENING : WORTH_OPENING_BRIEF, scale);
	return fmax(most, pow(all, 1.0 / CDM_FAMILIES) / pow(WORTH_OPENING_ALL, scale));
}

/* By what calls gain that have the machine to themselves, and may use any setting, or those beside others, which use settings with
 * one thread. -1: nobody is worth it. */
static int best_addition(const struct survey *s, unsigned kept)
{
	double most = 1;
	int best = -1;

	for (int c = 0; c < s->candidates; c++) {
		if (kept & 1u << c)
			continue;
		double w = worth(s, kept, c, everybody(s));
		if (s->candidate[c].threads == 1)
			w = fmax(w, worth(s, kept, c, those_alone(s, everybody(s))));
		if (w > most) {
			most = w;
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

/* The first, with all threads and with one, and whoever else brings enough. order: setting -> candidate. */
static void choose_settings(const struct survey *s, struct cdm_plan *plan, int *order)
{
	int c = first_of(s), single = single_of(s, c);
	unsigned kept = 1u << c;

	keep(s, c, plan, order);
	if (single >= 0) {
		kept |= 1u << single;
		keep(s, single, plan, order);
	}
	while (plan->settings < CDM_SETTINGS && (c = best_addition(s, kept)) >= 0) {
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
static int winner(const struct survey *s, const struct cdm_plan *plan, const int *order, const float (*row)[SURVEY_MAX],
		  int size, int threads)
{
	int best = -1;
	double least = INFINITY;

	for (int i = 0; i < plan->settings; i++) {
		double t = steady(s, row, size, order[i]);
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

struct row {
	int family, type, aspect;
	const float (*seconds)[SURVEY_MAX]; /* by class and candidate */
};

/* The measurements that stand for a type and an aspect: their own, or double's, or the square's. */
static struct row stand_in(const struct survey *s, int f, int t, int a)
{
	const int types[] = {t, CDM_D}, aspects[] = {a, CDM_SQUARE};

	for (int i = 0; i < 2; i++)
		for (int j = 0; j < 2; j++)
			if (!isinf(survey_best(s, s->seconds[f][types[j]][aspects[i]][0])))
				return (struct row){f, types[j], aspects[i], s->seconds[f][types[j]][aspects[i]]};
	return (struct row){f, CDM_D, CDM_SQUARE, s->seconds[f][CDM_D][CDM_SQUARE]};
}

/* The largest class of a row that was measured with so many threads; -1: none. */
static int largest(const struct survey *s, const struct cdm_plan *plan, const int *order, const struct row *r,
		   int threads)
{
	int size = CDM_CLASSES - 1;

	while (size >= 0 && winner(s, plan, order, r->seconds, size, threads) < 0)
		size--;
	return size;
}

/* Whose calls above the largest measured class are: the larger, the more is done in products. So it is the fastest at the largest of
 * those, if it keeps up with the row's own. */
static int beyond(const struct survey *s, const struct cdm_plan *plan, const int *order, const struct row *r, int size,
		  int own)
{
	struct row products = stand_in(s, CDM_FAMILY_GEMM, r->type, CDM_SQUARE);
	if (r->family == CDM_FAMILY_GEMV) /* the larger, the more it waits for memory */
		return own;
	int threads = plan->setting[own].threads, last = largest(s, plan, order, &products, threads);
	int best = last < 0 ? own : winner(s, plan, order, products.seconds, last, threads);
	double t = steady(s, r->seconds, size, order[best]);

	return t > 0 && t <= KEEPS_UP * steady(s, r->seconds, size, order[own]) ? best : own;
}

/* One row of a table, for settings with so many threads. */
static void fill_row(const struct survey *s, const struct cdm_plan *plan, const int *order, const struct row *r,
		     int threads, uint8_t *to)
{
	int at = threads == 1 ? cdm_plan_first_alone(plan) : 0, last = largest(s, plan, order, r, threads);

	for (int size = 0; size < CDM_CLASSES; size++) {
		int fastest = winner(s, plan, order, r->seconds, size, threads);
		at = fastest >= 0 ? fastest : at;
		to[size] = (uint8_t)at;
		if (size == last)
			at = beyond(s, plan, order, r, size, at);
	}
}

/* The logarithm of how many times as fast as one thread the team is. Bounded: one disturbed measurement is not to outweigh the
 * others. False: neither was measured. Who alone was not had sat out, far behind. */
static bool team_gain(const struct survey *s, const struct cdm_plan *plan, const int *order, const struct row *r,
		      int size, double *gain)
{
	int one = winner(s, plan, order, r->seconds, size, 1);
	int team = winner(s, plan, order, r->seconds, size, plan->setting[0].threads);
	const float *seconds = r->seconds[size];

	if (one < 0 && team < 0)
		return false;
	if (one < 0 || team < 0)
		*gain = one < 0 ? GAIN_MOST : -LOSS_MOST;
	else
		*gain = log(cost(s, plan, one, seconds[order[one]]) / cost(s, plan, team, seconds[order[team]]));
	*gain = fmax(-LOSS_MOST, fmin(GAIN_MOST, *gain));
	return true;
}

/* The gains by class, without those that stand out from both of their neighbours: a disturbance. A step stays where it is.
 * From above, where a team is worth most. The classes up to the last that was measured. */
static int team_gains(const struct survey *s, const struct cdm_plan *plan, const int *order, const struct row *r,
		      double *gain)
{
	double raw[CDM_CLASSES] = {0};
	int measured = 0;

	for (int size = 0; size < CDM_CLASSES; size++)
		if (team_gain(s, plan, order, r, size, &raw[size]))
			measured = size + 1;
	for (int size = measured - 1; size >= 0; size--) {
		bool inside = size > 0 && size < measured - 1;
		gain[size] = inside ? median(raw[size - 1], raw[size], gain[size + 1]) : raw[size];
	}
	return measured;
}

/* The work from which the team computes: a single threshold for all classes, where the sum of what is gained above it is
 * largest; between the two classes there, as the gains change sign. */
static uint64_t team_start(const struct survey *s, const struct cdm_plan *plan, const int *order, const struct row *r)
{
	double gain[CDM_CLASSES], sum = 0, largest = 0;
	int measured = team_gains(s, plan, order, r, gain), cut = measured;

	for (int size = measured - 1; size >= 0; size--) {
		sum += gain[size];
		if (sum > largest) {
			largest = sum;
			cut = size;
		}
	}
	if (cut == measured)
		return cdm_plan_least(cut > SURVEY_TEAM_FROM ? cut : SURVEY_TEAM_FROM);
	if (cut == 0)
		return 0;
	double before = gain[cut - 1], after = gain[cut]; /* below 0 or 0; above 0 */
	double least = survey_work(r->family, r->type, r->aspect, cut - 1);
	double most = survey_work(r->family, r->type, r->aspect, cut);
	return (uint64_t)(least * pow(most / least, before / (before - after)));
}

void survey_plan(const struct survey *s, struct cdm_plan *plan)
{
	int order[CDM_SETTINGS];

	memset(plan, 0, sizeof(*plan));
	choose_settings(s, plan, order);
	for (int f = 0; f < CDM_FAMILIES; f++)
		for (int t = 0; t < 4; t++)
			for (int a = 0; a < CDM_ASPECTS; a++) {
				const struct row r = stand_in(s, f, t, a);
				fill_row(s, plan, order, &r, plan->setting[0].threads, plan->team[f][t][a]);
				fill_row(s, plan, order, &r, 1, plan->alone[f][t][a]);
				if (plan->setting[0].threads > 1)
					plan->team_from[f][t][a] = team_start(s, plan, order, &r);
			}
}

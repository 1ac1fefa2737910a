/* The survey: every setting at points that stand for the classes of the plan, and the plan that follows. */
#ifndef CDM_TOOLS_SURVEY_H
#define CDM_TOOLS_SURVEY_H

#include <stdbool.h>
#include <stdint.h>

#include "offload/dev/plan.h"
#include "tools/measure.h"

#define SURVEY_MAX 16
#define SURVEY_FAR_BEHIND 4.0 /* times the best: not measured for the next classes of the family */
/* The first class, 1 Mflop and more, that is for several threads where nothing was measured. */
#define SURVEY_TEAM_FROM 7

/* A library in a process that runs, and a number of threads. */
struct candidate {
	struct measured *process;
	int threads;
};

struct survey {
	struct candidate candidate[SURVEY_MAX]; /* [0]: of the plan's first library, with all its threads */
	int candidates;
	bool detailed;                  /* all types and aspects, and larger classes */
	bool disturbed;                 /* others kept the CPUs busy: a team seems slower than it is */
	uint64_t soft, hard;            /* ns: start no more; wait no longer */
	void (*progress)(double share); /* called after each point; NULL: nobody wants to know */
	float seconds[CDM_FAMILIES][4][CDM_ASPECTS][CDM_CLASSES][SURVEY_MAX]; /* best; 0: not measured */
};

void survey_run(struct survey *s);
/* The best time of a point, by candidate. INFINITY: it was not measured. */
double survey_best(const struct survey *s, const float *seconds);
/* The work of a square product, in double, that takes the fastest candidate so long. 0: nothing was measured. */
double survey_flops(const struct survey *s, double seconds);
/* The settings worth having, at most CDM_SETTINGS, and who computes what. */
void survey_plan(const struct survey *s, struct cdm_plan *plan);
/* The shape that stands for a class. False: the family has no such aspect. */
bool survey_point(int family, int type, int aspect, int size, struct point *p);
/* Its flops, which are not quite cdm_plan_work(size). 0: there is no such shape. */
double survey_work(int family, int type, int aspect, int size);

#endif

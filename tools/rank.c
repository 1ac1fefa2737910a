#include "tools/rank.h"

#include <math.h>
#include <stddef.h>

#define FINALISTS 4
#define FAR_BEHIND 0.25 /* of the best at the small order */
#define ALONE 4.0       /* by which a library without LAPACK must be faster than those with it */

/* The best of all, or of those with LAPACK. */
static double best_of(const struct contender *list, int n, bool lapack)
{
	double best = INFINITY;

	for (int i = 0; i < n; i++)
		if (list[i].small > 0 && (list[i].m.lapack || !lapack) && list[i].small < best)
			best = list[i].small;
	return best;
}

double rank_best_small(const struct contender *list, int n)
{
	return best_of(list, n, false);
}

bool rank_hopeless(const struct contender *list, int n, const struct contender *c)
{
	return c->small * FAR_BEHIND > best_of(list, n, c->m.lapack);
}

bool rank_finalist(const struct contender *list, int n, const struct contender *c)
{
	int faster = 0;

	for (int i = 0; i < n; i++)
		faster += list[i].m.pid && (list[i].m.lapack || !c->m.lapack) && list[i].small < c->small;
	return faster < FINALISTS && !rank_hopeless(list, n, c);
}

static bool measured(const struct contender *c)
{
	return c->m.pid && c->small > 0 && c->large > 0;
}

static double score(const struct contender *c)
{
	return (c->m.lapack ? 1 : ALONE) * pow(c->small, 0.25) * pow(c->large, 0.75);
}

struct contender *rank_first(struct contender *list, int n)
{
	struct contender *first = NULL;

	for (int i = 0; i < n; i++) {
		struct contender *c = &list[i];
		if (measured(c) && (!first || score(c) < score(first)))
			first = c;
	}
	return first;
}

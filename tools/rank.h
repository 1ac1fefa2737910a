/* Which of the measured libraries goes on, and which is the plan's first: pure functions of what was measured.
 *
 * A library without LAPACK (BLIS) is not the first unless all with LAPACK are several times slower: factorizations would stay with the
 * program's own library, for a gain that is noise on a busy machine. Where its products are faster, the survey adds it to the plan.
 */
#ifndef CDM_TOOLS_RANK_H
#define CDM_TOOLS_RANK_H

#include <stdbool.h>

#include "tools/measure.h"

/* m.pid is not 0 while the contender goes on. */
struct contender {
	struct measured m;
	double small, large; /* best seconds of one product of either order, the same for all; 0: not measured */
	int error;           /* 0, or a negative errno: it cannot be used */
};

/* The least time at the small order. INFINITY: nobody was measured. */
double rank_best_small(const struct contender *list, int n);
/* Far behind the fastest at the small order, among those with LAPACK if it has it. */
bool rank_hopeless(const struct contender *list, int n, const struct contender *c);
/* Among the first four at the small order: of all, or of those with LAPACK. */
bool rank_finalist(const struct contender *list, int n, const struct contender *c);
/* The first, by both orders, the large one counting three times. NULL: nobody was measured at both. */
struct contender *rank_first(struct contender *list, int n);

#endif

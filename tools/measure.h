/* One candidate configuration in a process of its own: a library that crashes or hangs takes nothing else along.
 *
 * The process is stopped (SIGSTOP) while it has nothing to do: idle workers of a BLAS library spin for a while and
 * would slow down the next candidate's measurement.
 */
#ifndef CDM_TOOLS_MEASURE_H
#define CDM_TOOLS_MEASURE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "offload/dev/blas_find.h"
#include "tools/point.h"

struct measured {
	const char *library;
	char asked[32], core[32]; /* core type asked for, and the one that the library reports */
	char name[160];           /* as cdm_blas_describe() */
	bool lapack;              /* it has LAPACK, too */
	pid_t pid;                /* 0: ended */
	int to, from;             /* pipes */
};

/* Starts a process with the library and core type ("": its own guess) and checks one small result. 0, or a negative
 * errno: the library cannot be used so. deadline as from cdm_now_ns(). */
int measure_start(struct measured *m, const char *library, const char *core, int threads, uint64_t deadline);
/* The best time in seconds of one call, as point_measure(). Negative: the library lacks the routine; or it crashed, or went past
 * the deadline, and the process has ended. */
double measure_point(struct measured *m, const struct point *point, int threads, double budget_us, uint64_t deadline);
/* The same of square dgemm calls of order n. */
double measure_dgemm(struct measured *m, int n, int threads, int budget_us, uint64_t deadline);
void measure_end(struct measured *m);

#endif

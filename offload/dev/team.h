/* Threads that fit: who computes with how many.
 *
 * One call at a time has the team, all threads of the first setting, less one for each call that runs beside it. The others run alone, on
 * one thread each, in a library of their own: they neither wait for the team nor start one that the cores have no room for.
 * Where there are cores enough for the callers to take turns with all of them, they do.
 * Long calls that are alone take turns, as many at once as the team has threads.
 * The calling thread's affinity is asked for once in 32 calls.
 *
 * Thread-safe. A caller holds the team while it computes and waits for nothing then: least of all for the loader, whose lock may be
 * that of a caller who waits for the team. One that never comes back (longjmp) is waited for once, 10 s.
 * A turn that its thread has left in this way ends with that thread's next call.
 */
#ifndef CDM_DEV_TEAM_H
#define CDM_DEV_TEAM_H

#include <stdbool.h>
#include <stdint.h>

#include "offload/base/stats.h"
#include "offload/dev/plan.h"

struct cdm_seat {
	int want, threads; /* threads > 1: the team is the caller's */
	bool insisted;     /* the team is the caller's, with the threads that its library has at the moment */
	int kind;          /* of call: those of one kind have one pace */
	double flops;      /* of the call; 0: it is not watched */
	bool sampled;      /* when it began: */
	uint64_t cpu;      /* the thread's time on a CPU, ns */
	long away;         /* and how often it had lost it */
};

#define CDM_TEAM_KINDS (CDM_MAX_ROUTINES * CDM_CLASSES * CDM_ASPECTS)

/* want: the threads that would be best with the machine to oneself. kind: 0 to CDM_TEAM_KINDS - 1. */
void cdm_team_enter(struct cdm_seat *seat, int want, int kind);
/* Gets the team for a caller who has one thread, but no other library than the team's. False: it cannot be had. */
bool cdm_team_insist(struct cdm_seat *seat);
/* The call begins now, or when it is its turn: those that are long, and alone, are at most `want` at once. Nothing but computing comes
 * between this and cdm_team_leave(). */
void cdm_team_begin(struct cdm_seat *seat, double flops);
/* wall: ns that it has taken; 0: it has not been computed. */
void cdm_team_leave(const struct cdm_seat *seat, uint64_t wall);
/* Fork child: nobody computes. */
void cdm_team_child(void);

#endif

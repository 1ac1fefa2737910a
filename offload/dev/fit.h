/* How many threads pay while others use the CPUs, too: other programs, or the program's own threads.
 *
 * A team waits for its slowest member. So when the calling thread finds that it was kept from its CPU for a good part of a
 * call, that it has given it away time and again in a call (it waited for a member that had none, and yielded), or that a
 * call took several times as long as its like have taken before (a member was kept from its CPU, and the
 * others span), the next calls get half the threads; after a while without that, twice as many are tried again, and the while
 * becomes longer each time that this fails. It is time spent in calls, more of it than the kernel leaves to a thread at a turn: where
 * threads outnumber the CPUs no such while passes. Pure; no locks, clocks or system calls: the caller measures.
 */
#ifndef CDM_DEV_FIT_H
#define CDM_DEV_FIT_H

#include <stdbool.h>
#include <stdint.h>

#define CDM_FIT_STARVED 0.15       /* of a call's time without a CPU */
#define CDM_FIT_SLOW 6             /* times the best pace of calls like it: shapes and options make 2 or 3 */
#define CDM_FIT_FORGET 1.01        /* by which a pace that is not reached is believed less, call by call */
#define CDM_FIT_STRIKES 2          /* such calls in a row, before the team shrinks */
#define CDM_FIT_TURN 2000000u      /* ns, somewhat less than the kernel gives a thread at a time */
#define CDM_FIT_PATIENCE 10000000u /* ns of undisturbed calls, two at least, before it grows again */
#define CDM_FIT_PATIENCE_MAX 640000000u

/* Zero is the start: as many threads as are asked for. */
struct cdm_fit {
	int halvings;            /* of the threads asked for */
	int strikes, calls;      /* disturbed ones, undisturbed ones since the last of the other kind */
	uint64_t calm, patience; /* ns */
};

enum cdm_fit_seen {
	CDM_FIT_CALM,
	CDM_FIT_RESTLESS, /* in a call on one thread, or since the last: it loses its CPU again and again, no while has passed */
	CDM_FIT_DISTURBED, /* others were in its way */
};

/* Of want threads, those that pay now: 1 to want. */
int cdm_fit_threads(const struct cdm_fit *fit, int want);
/* Nothing disturbs the calls, nor has lately: one more that is calm changes nothing. */
bool cdm_fit_at_rest(const struct cdm_fit *fit);
/* A call that wanted so many threads has ended after wall ns. */
void cdm_fit_observe(struct cdm_fit *fit, int want, enum cdm_fit_seen seen, uint64_t wall);
/* Whether a thread that had a CPU for cpu of wall ns was kept from it. */
bool cdm_fit_starved(uint64_t wall, uint64_t cpu);
/* Whether a call of flops that took wall ns was slow. *pace, ns per flop: the best of calls like it, 0 before the first. share: of the
 * threads that it wanted; calls with fewer may take longer by as much. */
bool cdm_fit_slow(float *pace, double flops, uint64_t wall, double share);

#endif

#include "offload/dev/team.h"

#include <stdatomic.h>
#include <time.h>

#include "offload/base/config.h"
#include "offload/base/lock.h"
#include "offload/base/stats.h"
#include "offload/dev/cpus.h"
#include "offload/dev/fit.h"

#define WATCHED 2e6      /* flops: some 20 us at least, 200 times what the clock costs */
#define WATCHED_CPU 20e6 /* the same for the thread's clock, a system call */
#define LONG 500e6       /* order 630, 9 MiB of operands */
#define PATIENCE_NS 10000000000u

static cdm_lock team;
static _Atomic int alone;         /* calls that run on one thread */
static _Atomic int waiting;       /* for the team */
static _Atomic int turns, queued; /* long calls among those alone that compute; that wait for it */
static _Atomic int left;          /* that have ended */
static __thread bool has_turn;
static _Atomic bool lost; /* whoever has the team has kept it for so long that he may have left by longjmp */
static struct cdm_fit fit;
static float pace[2][CDM_TEAM_KINDS]; /* of calls that were alone; that had the team */
static cdm_lock fit_lock;             /* guards both */

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int fitting(int want)
{
	cdm_lock_take(&fit_lock);
	int n = cdm_fit_threads(&fit, want);
	cdm_lock_drop(&fit_lock);
	return n;
}

/* The calling thread's; asked for anew every so many calls, as a system call is a tenth of what a small operation costs. */
static int allowed_cpus(void)
{
	enum { CALLS = 32 };
	static __thread int cpus, left;

	if (left-- <= 0) {
		left = CALLS;
		cpus = cdm_allowed_cpus();
	}
	return cpus;
}

/* With the callers there are, each has two CPUs or more: then turns with all of them beat one CPU each. */
static bool worth_waiting(int cpus)
{
	return !atomic_load(&lost) && 2 * (atomic_load(&alone) + atomic_load(&waiting) + 2) <= cpus;
}

static bool wait_for_team(void)
{
	uint64_t begun = cdm_now_ns();
	bool had;

	atomic_fetch_add(&waiting, 1);
	while (!(had = atomic_exchange(&team.word, 2) == 0) && !atomic_load(&lost))
		if (cdm_now_ns() - begun < PATIENCE_NS)
			cdm_futex_wait_ms(&team.word, 2, 1000);
		else
			atomic_store(&lost, true);
	atomic_fetch_sub(&waiting, 1);
	return had;
}

static void drop_team(void)
{
	atomic_store(&lost, false);
	cdm_lock_drop(&team);
}

static bool take_team(int cpus)
{
	if (cdm_lock_try(&team))
		return true;
	return worth_waiting(cpus) && wait_for_team();
}

/* The caller's threads; more than 1: it holds the team. */
static int grant(int want)
{
	if (want < 2)
		return 1;
	int cpus = cdm_config.threads ? want : allowed_cpus(), n = fitting(want);

	if (n < 2 || cpus < 2 || !take_team(cpus))
		return 1;
	int room = cpus - atomic_load(&alone);
	n = n < room ? n : room;
	if (n > 1)
		return n;
	drop_team();
	return 1;
}

/* Long calls that are alone take turns: those that share a CPU throw each other's operands out of its caches. `most` is the same for
 * all callers, whatever CPUs each may use: who is bound to one does not wait for who is bound to another. Nothing else depends on
 * turns: a caller that has seen nobody leave for too long goes without. */
static void take_turn(int most)
{
	uint64_t begun = cdm_now_ns();
	int seen = atomic_load(&left);

	atomic_fetch_add(&queued, 1);
	while (!has_turn && cdm_now_ns() - begun < PATIENCE_NS) {
		int n = atomic_load(&turns);
		if (n < most)
			has_turn = atomic_compare_exchange_weak(&turns, &n, n + 1);
		else
			cdm_futex_wait_ms(&turns, n, 1000);
		if (seen != atomic_load(&left)) {
			seen = atomic_load(&left);
			begun = cdm_now_ns();
		}
	}
	atomic_fetch_sub(&queued, 1);
}

/* After any call of the thread: it may have left an earlier one by longjmp. */
static void drop_turn(void)
{
	if (!has_turn)
		return;
	has_turn = false;
	atomic_fetch_add(&left, 1);
	atomic_fetch_sub(&turns, 1);
	if (atomic_load(&queued))
		cdm_futex_wake(&turns, 1);
}

void cdm_team_enter(struct cdm_seat *seat, int want, int kind)
{
	*seat = (struct cdm_seat){.want = want, .threads = grant(want), .kind = kind};
	if (seat->threads == 1)
		atomic_fetch_add(&alone, 1);
}

void cdm_team_begin(struct cdm_seat *seat, double flops)
{
	if (seat->want < 2 || flops < WATCHED)
		return;
	if (seat->threads == 1 && flops >= LONG)
		take_turn(seat->want);
	seat->flops = flops;
	seat->wall = cdm_now_ns();
	seat->cpu = flops >= WATCHED_CPU ? cpu_ns() : 0;
}

bool cdm_team_insist(struct cdm_seat *seat)
{
	if (seat->threads > 1 || (!cdm_lock_try(&team) && !wait_for_team()))
		return seat->threads > 1;
	atomic_fetch_sub(&alone, 1);
	seat->insisted = true;
	seat->flops = 0; /* its time would tell nothing */
	return true;
}

static void observe(const struct cdm_seat *seat)
{
	uint64_t wall = cdm_now_ns() - seat->wall;
	bool team = seat->threads > 1, starved = seat->cpu && cdm_fit_starved(wall, cpu_ns() - seat->cpu);

	if (!cdm_lock_try(&fit_lock))
		return;
	float *best = &pace[team][seat->kind];
	bool slow =
		cdm_fit_slow(best, seat->flops, wall) && (team || (double)wall - *best * seat->flops > CDM_FIT_TURN);
	enum cdm_fit_seen seen = starved || (slow && team) ? CDM_FIT_DISTURBED : slow ? CDM_FIT_RESTLESS : CDM_FIT_CALM;
	cdm_fit_observe(&fit, seat->want, seen, wall);
	cdm_lock_drop(&fit_lock);
}

void cdm_team_leave(const struct cdm_seat *seat)
{
	if (seat->flops > 0)
		observe(seat);
	drop_turn();
	if (seat->threads > 1 || seat->insisted)
		drop_team();
	else
		atomic_fetch_sub(&alone, 1);
}

void cdm_team_child(void)
{
	cdm_lock_reset(&team);
	cdm_lock_reset(&fit_lock);
	atomic_store(&alone, 0);
	atomic_store(&waiting, 0);
	has_turn = false;
	atomic_store(&turns, 0);
	atomic_store(&queued, 0);
	atomic_store(&lost, false);
}

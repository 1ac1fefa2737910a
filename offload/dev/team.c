#include "offload/dev/team.h"

#include <stdatomic.h>
#include <sys/resource.h>
#include <time.h>

#include "offload/base/config.h"
#include "offload/base/lock.h"
#include "offload/base/stats.h"
#include "offload/dev/cpus.h"
#include "offload/dev/fit.h"

/* Where threads outnumber the CPUs, each loses its own so often in this time: the kernel's turns are of 3 to 10 ms. */
#define SENT_AWAY 2
#define SENT_AWAY_NS 40000000u
#define LONG 500e6 /* order 630, 9 MiB of operands */
#define PATIENCE_NS 10000000000u

static cdm_lock team;
static _Atomic int alone;         /* calls that run on one thread */
static _Atomic int waiting;       /* for the team */
static _Atomic int turns, queued; /* long calls among those alone that compute; that wait for it */
static _Atomic int left;          /* that have ended */
static __thread bool has_turn;
static _Atomic bool lost; /* whoever has the team has kept it for so long that he may have left by longjmp */
static struct cdm_fit fit;
static cdm_lock fit_lock;                  /* guards it */
static _Atomic int halvings;               /* fit's, for those without the lock */
static _Atomic bool uneasy;                /* fit is not at rest */
static _Atomic float pace[CDM_TEAM_KINDS]; /* of calls that had the team */
static __thread bool settled;              /* nothing has been in the way of the thread's last calls with the team */

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* How often the calling thread has lost its CPU to others. A system call of 0.2 us. */
static long times_sent_away(void)
{
	struct rusage u;

	return getrusage(RUSAGE_THREAD, &u) ? 0 : u.ru_nivcsw;
}

/* Whether it has, as often as where threads outnumber the CPUs, in the last while of that length that is over. */
static bool is_crowded(void)
{
	static __thread uint64_t since;
	static __thread long before;
	static __thread bool crowded;
	uint64_t now = cdm_now_ns();

	if (since && now - since < SENT_AWAY_NS)
		return crowded;
	long times = times_sent_away();
	crowded = since && (uint64_t)(times - before) * SENT_AWAY_NS >= SENT_AWAY * (now - since);
	before = times;
	since = now;
	return crowded;
}

static int fitting(int want)
{
	struct cdm_fit now = {.halvings = atomic_load_explicit(&halvings, memory_order_relaxed)};

	return cdm_fit_threads(&now, want);
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
	if (seat->want < 2 || seat->insisted) /* the time of a call that has insisted would tell nothing */
		return;
	if (seat->threads == 1 && flops >= LONG)
		take_turn(seat->want);
	seat->flops = flops;
	seat->sampled = seat->threads > 1 && !settled;
	if (!seat->sampled)
		return;
	seat->away = times_sent_away();
	seat->cpu = cpu_ns();
}

bool cdm_team_insist(struct cdm_seat *seat)
{
	if (seat->threads > 1 || (!cdm_lock_try(&team) && !wait_for_team()))
		return seat->threads > 1;
	atomic_fetch_sub(&alone, 1);
	seat->insisted = true;
	return true;
}

/* The caller was kept from its CPU, and did not just sleep; or it spins, and hands the CPU to and fro, as a member of the team gets none. */
static bool was_disturbed(const struct cdm_seat *seat, uint64_t wall)
{
	long times = times_sent_away() - seat->away;

	return times > 0 && (cdm_fit_starved(wall, cpu_ns() - seat->cpu) ||
			     (wall > CDM_FIT_TURN && (uint64_t)times * CDM_FIT_TURN >= wall));
}

/* Of a call with the team. To know what a thread has had of its CPU takes two system calls at either end, and to read its clock settles
 * the kernel's account: a turn on the CPU that is over ends there, not at the next tick. Shorter turns, colder caches: 32 threads on
 * 2 CPUs that ask in every call lose 5 % (dgemm of order 256). So it is asked after a call that gives cause to. */
static enum cdm_fit_seen team_seen(const struct cdm_seat *seat, uint64_t wall)
{
	_Atomic float *best = &pace[seat->kind];
	float known = atomic_load_explicit(best, memory_order_relaxed);
	bool slow = cdm_fit_slow(&known, seat->flops, wall, (double)seat->threads / seat->want);
	bool disturbed = seat->sampled && was_disturbed(seat, wall);

	atomic_store_explicit(best, known, memory_order_relaxed);
	settled = !disturbed && !(wall > CDM_FIT_TURN && is_crowded());
	return disturbed || slow ? CDM_FIT_DISTURBED : CDM_FIT_CALM;
}

static enum cdm_fit_seen alone_seen(uint64_t wall)
{
	return wall > CDM_FIT_TURN && is_crowded() ? CDM_FIT_RESTLESS : CDM_FIT_CALM;
}

static void tell(enum cdm_fit_seen seen, int want, uint64_t wall)
{
	if (!cdm_lock_try(&fit_lock))
		return;
	cdm_fit_observe(&fit, want, seen, wall);
	atomic_store_explicit(&halvings, fit.halvings, memory_order_relaxed);
	atomic_store_explicit(&uneasy, !cdm_fit_at_rest(&fit), memory_order_relaxed);
	cdm_lock_drop(&fit_lock);
}

static void observe(const struct cdm_seat *seat, uint64_t wall)
{
	enum cdm_fit_seen seen = seat->threads > 1 ? team_seen(seat, wall) : alone_seen(wall);

	if (seen != CDM_FIT_CALM || atomic_load_explicit(&uneasy, memory_order_relaxed))
		tell(seen, seat->want, wall);
}

void cdm_team_leave(const struct cdm_seat *seat, uint64_t wall)
{
	if (seat->flops > 0 && wall)
		observe(seat, wall);
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

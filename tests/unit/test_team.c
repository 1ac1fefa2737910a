/* Callers that are alone: the long ones take turns, one for each CPU. Nothing is computed. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "offload/dev/team.h"

enum { THREADS = 8, ROUNDS = 40 };
#define SHORT_FLOPS 3e6
#define LONG_FLOPS 1e9

static _Atomic int inside, most, done;
static struct cdm_seat team;
static int cpus;

/* Two CPUs at most, so that nobody waits for the team, which is taken. */
static void start(void)
{
	cpu_set_t all, two;
	int n = 0;

	sched_getaffinity(0, sizeof(all), &all);
	CPU_ZERO(&two);
	for (int i = 0; i < CPU_SETSIZE && n < 2; i++)
		if (CPU_ISSET(i, &all)) {
			CPU_SET(i, &two);
			n++;
		}
	cr_assert_eq(sched_setaffinity(0, sizeof(two), &two), 0);
	cpus = n;
	cdm_team_enter(&team, 2, 0);
	cdm_team_begin(&team, SHORT_FLOPS);
	cr_assert_eq(team.threads, cpus);
}

TestSuite(team, .init = start, .timeout = 60);

static void begin(struct cdm_seat *seat, double flops)
{
	cdm_team_enter(seat, 2, 0);
	cr_assert_eq(seat->threads, 1);
	cdm_team_begin(seat, flops);
}

static void *long_calls(void *unused)
{
	struct timespec nap = {.tv_nsec = 200000};
	struct cdm_seat seat;

	for (int i = 0; i < ROUNDS; i++) {
		begin(&seat, LONG_FLOPS);
		int n = atomic_fetch_add(&inside, 1) + 1, before = atomic_load(&most);
		while (n > before && !atomic_compare_exchange_weak(&most, &before, n))
			;
		nanosleep(&nap, NULL);
		atomic_fetch_sub(&inside, 1);
		cdm_team_leave(&seat);
		atomic_fetch_add(&done, 1);
	}
	return unused;
}

Test(team, long_calls_are_as_many_as_there_are_cpus)
{
	pthread_t t[THREADS];

	for (int i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&t[i], NULL, long_calls, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	cr_assert_eq(done, THREADS * ROUNDS);
	cr_assert_eq(most, cpus);
}

Test(team, short_calls_wait_for_nobody)
{
	struct cdm_seat held[2], seat;

	for (int i = 0; i < cpus; i++) {
		begin(&held[i], LONG_FLOPS);
		cr_assert(held[i].turn);
	}
	begin(&seat, SHORT_FLOPS);
	cr_assert_not(seat.turn);
	cdm_team_leave(&seat);
	for (int i = 0; i < cpus; i++)
		cdm_team_leave(&held[i]);
	begin(&seat, LONG_FLOPS);
	cr_assert(seat.turn, "those that were given back");
	cdm_team_leave(&seat);
}

Test(team, a_forked_child_has_all_turns)
{
	struct cdm_seat held[2], seat;
	int status;

	for (int i = 0; i < cpus; i++)
		begin(&held[i], LONG_FLOPS);
	pid_t child = fork();
	if (!child) {
		alarm(8); /* the patience with a turn that never ends is longer */
		cdm_team_child();
		cdm_team_enter(&team, 2, 0);
		begin(&seat, LONG_FLOPS);
		_exit(seat.turn ? 0 : 1);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert_eq(status, 0);
}

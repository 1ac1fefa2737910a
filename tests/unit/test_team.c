/* Callers that are alone: the long ones take turns. Nothing is computed. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "offload/dev/team.h"

enum { THREADS = 8, ROUNDS = 40, TURNS = 2, PATIENCE_S = 10 };
#define SHORT_FLOPS 3e6
#define LONG_FLOPS 1e9

static _Atomic int inside, most, done;
static struct cdm_seat team;

/* Two CPUs at most, so that nobody waits for the team, which is taken. Whoever waits for a turn that he should have is killed: he would
 * get it without, later. */
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
	cdm_team_enter(&team, TURNS, 0);
	cdm_team_begin(&team, SHORT_FLOPS);
	alarm(PATIENCE_S - 2);
}

TestSuite(team, .init = start, .timeout = 60);

static void begin(struct cdm_seat *seat, double flops)
{
	cdm_team_enter(seat, TURNS, 0);
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
		cdm_team_leave(&seat, 0);
		atomic_fetch_add(&done, 1);
	}
	return unused;
}

Test(team, long_calls_take_turns)
{
	pthread_t t[THREADS];

	for (int i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&t[i], NULL, long_calls, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	cr_assert_eq(done, THREADS * ROUNDS);
	cr_assert_eq(most, TURNS);
}

/* A thread in a long call, bound to one CPU, until it is told to end. */
struct holder {
	pthread_t thread;
	sem_t begun, end;
};

static void *hold(void *arg)
{
	struct holder *h = arg;
	struct cdm_seat seat;
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
	begin(&seat, LONG_FLOPS);
	sem_post(&h->begun);
	sem_wait(&h->end);
	cdm_team_leave(&seat, 0);
	return NULL;
}

static void start_holder(struct holder *h)
{
	sem_init(&h->begun, 0, 0);
	sem_init(&h->end, 0, 0);
	cr_assert_eq(pthread_create(&h->thread, NULL, hold, h), 0);
	sem_wait(&h->begun);
}

static void end_holder(struct holder *h)
{
	sem_post(&h->end);
	pthread_join(h->thread, NULL);
}

static void start_holders(struct holder h[TURNS])
{
	for (int i = 0; i < TURNS; i++)
		start_holder(&h[i]);
}

static void end_holders(struct holder h[TURNS])
{
	for (int i = 0; i < TURNS; i++)
		end_holder(&h[i]);
}

Test(team, who_is_bound_to_a_cpu_has_a_turn_beside_others)
{
	struct holder h[TURNS];

	start_holders(h);
	end_holders(h);
}

Test(team, short_calls_wait_for_nobody)
{
	struct holder h[TURNS];
	struct cdm_seat seat;

	start_holders(h);
	begin(&seat, SHORT_FLOPS);
	cdm_team_leave(&seat, 0);
	end_holders(h);
	begin(&seat, LONG_FLOPS);
	cdm_team_leave(&seat, 0);
}

/* By longjmp. */
Test(team, a_turn_that_was_left_ends_with_the_next_call)
{
	struct holder h[TURNS];
	struct cdm_seat seat;

	begin(&seat, LONG_FLOPS);
	begin(&seat, LONG_FLOPS);
	start_holder(&h[0]);
	end_holder(&h[0]);
	begin(&seat, SHORT_FLOPS);
	cdm_team_leave(&seat, 0);
	start_holders(h);
	end_holders(h);
}

Test(team, a_forked_child_has_all_turns)
{
	struct holder h[TURNS];
	struct cdm_seat seat;
	int status;

	start_holders(h);
	pid_t child = fork();
	if (!child) {
		alarm(PATIENCE_S - 2);
		cdm_team_child();
		cdm_team_enter(&team, TURNS, 0);
		start_holders(h);
		begin(&seat, SHORT_FLOPS);
		_exit(0);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert_eq(status, 0);
	end_holders(h);
}

/* Conditions other than quiet. */
#include <errno.h>
#include <time.h>

#include "offload/base/sys.h"
#include "tools/bench/mech.h"

static void rest(long us)
{
	struct timespec t = {0, us * 1000};

	(void)cdm_sys3(SYS_nanosleep, (long)&t, 0, 0);
}

/* Bare system calls: no handler of pthread_atfork, nobody's lock. */
static int child(void)
{
	long pid = cdm_sys6(SYS_clone, SIGCHLD, 0, 0, 0, 0, 0);

	if (pid)
		return (int)pid;
	rest(200);
	for (;;)
		(void)cdm_sys3(SYS_exit_group, 0, 0, 0);
}

static void *fork_on(void *arg)
{
	struct team *team = arg;

	while (!team->stop) {
		int pid = child();
		if (pid < 0)
			team_fail(team, "fork", pid);
		team->events++;
		while (cdm_sys6(SYS_wait4, pid, 0, 0, 0, 0, 0) == -EINTR)
			;
		rest(200);
	}
	return NULL;
}

static void collapse(struct team *team, char *area)
{
	for (size_t at = 0; !team->stop && at < team->area; at += CDM_HUGE)
		if (cdm_sys_madvise(area + at, CDM_HUGE, MADV_COLLAPSE))
			team->events_none++;
		else
			team->events++;
}

static void *collapse_on(void *arg)
{
	struct team *team = arg;

	while (!team->stop) {
		for (int i = 0; i < team->cell->threads; i++) {
			collapse(team, team->worker[i].a);
			collapse(team, team->worker[i].b);
		}
		rest(100);
	}
	return NULL;
}

static const char hints[] = "numa_hint_faults";

bool disturb_start(struct team *team, pthread_t *thread)
{
	static void *(*const by[CONDITIONS])(void *) = {[FORKING] = fork_on, [COLLAPSING] = collapse_on};
	enum condition c = team->cell->condition;

	if (c == BALANCING)
		team->events = machine_vmstat(hints);
	if (!by[c])
		return false;
	int error = pthread_create(thread, NULL, by[c], team);
	if (error)
		team_fail(team, "pthread_create", -error);
	return true;
}

void disturb_end(struct team *team)
{
	if (team->cell->condition == BALANCING)
		team->events = machine_vmstat(hints) - team->events;
}

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

/* ---- NUMA balancing ---- */

static const char hints[] = "numa_hint_faults";

enum { POLICY_DEFAULT, POLICY_PREFERRED }; /* linux/mempolicy.h */

/* New memory comes from a node on which this thread does not run. */
static int place_far(const struct machine *m)
{
	unsigned here = 0, cpu;
	unsigned long mask = 0;

	(void)cdm_sys3(SYS_getcpu, (long)&cpu, (long)&here, 0);
	for (int i = 0; !mask && i < m->memory_nodes; i++)
		if ((unsigned)m->memory_node[i] != here && m->memory_node[i] < 63)
			mask = 1ul << m->memory_node[i];
	return mask ? (int)cdm_sys3(SYS_set_mempolicy, POLICY_PREFERRED, (long)&mask, 64) : -ENODEV;
}

void disturb_prepare(struct team *team)
{
	int error = team->cell->condition == BALANCING ? place_far(team->machine) : 0;

	if (error)
		team_fail(team, "set_mempolicy", error);
}

/* Balancing leaves the memory of a process with a policy alone: the default comes back. */
static void balance(struct team *team)
{
	int error = (int)cdm_sys3(SYS_set_mempolicy, POLICY_DEFAULT, 0, 0);

	if (error)
		team_fail(team, "set_mempolicy", error);
	team->events = machine_vmstat(hints);
}

bool disturb_start(struct team *team, pthread_t *thread)
{
	static void *(*const by[CONDITIONS])(void *) = {[FORKING] = fork_on, [COLLAPSING] = collapse_on};
	enum condition c = team->cell->condition;

	if (c == BALANCING)
		balance(team);
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

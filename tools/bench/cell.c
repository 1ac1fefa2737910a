/* A cell in a process of its own: one that crashes, hangs or is killed takes nothing along and leaves nothing. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "offload/base/stats.h"
#include "offload/base/sys.h"
#include "tools/bench/mech.h"

#define GRACE_NS 30000000000u

const char *condition_name(enum condition c)
{
	static const char *const names[CONDITIONS] = {"quiet", "forking", "collapsing", "balancing"};
	return names[c];
}

static _Noreturn void cell_process(const struct cell *c, const struct machine *m, struct result *r, pid_t parent)
{
	struct team team = {.cell = c, .machine = m, .result = r, .uffd = -1, .fd = -1};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	team_run(&team);
	_exit(0);
}

/* False: it went past its time. A pipe of which it holds the other end tells that it has ended. */
static bool wait_end(int ended, uint64_t ns)
{
	struct pollfd p = {.fd = ended, .events = POLLIN};
	uint64_t end = cdm_now_ns() + ns, now;

	while ((now = cdm_now_ns()) < end)
		if (poll(&p, 1, (int)((end - now) / 1000000) + 1) > 0)
			return true;
	return false;
}

static void why_not(struct result *r, int status)
{
	if (r->measured)
		return;
	if (r->where && !r->error)
		(void)snprintf(r->why, sizeof(r->why), "%s", r->where);
	else if (r->where)
		(void)snprintf(r->why, sizeof(r->why), "%s: %s", r->where, strerror(r->error));
	else if (WIFSIGNALED(status))
		(void)snprintf(r->why, sizeof(r->why), "its process was ended by signal %d", WTERMSIG(status));
	else
		(void)snprintf(r->why, sizeof(r->why), "its process ended without a result");
	r->crashed = !r->where;
}

static void watch(const struct cell *c, struct result *r, pid_t pid, int ended)
{
	int status = 0;
	bool in_time = wait_end(ended, c->warm_ns + c->slice_ns + GRACE_NS);

	if (!in_time)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	why_not(r, status);
	if (!in_time)
		(void)snprintf(r->why, sizeof(r->why), "it did not end in time");
}

static int measure(const struct cell *c, const struct machine *m, struct result *r)
{
	int pipes[2];
	pid_t parent = getpid();

	if (pipe2(pipes, O_CLOEXEC))
		return -errno;
	pid_t pid = fork();
	if (!pid)
		cell_process(c, m, r, parent);
	int error = -errno;
	close(pipes[1]);
	if (pid > 0)
		watch(c, r, pid, pipes[0]);
	close(pipes[0]);
	return pid > 0 ? 0 : error;
}

void cell_measure(const struct cell *c, const struct machine *m, struct result *r)
{
	struct result *shared =
		cdm_sys_mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int error = cdm_sys_failed(shared) ? -ENOMEM : 0;

	*r = (struct result){.mappings = INT_MIN};
	if (!error)
		error = measure(c, m, shared);
	if (!error)
		*r = *shared;
	else
		(void)snprintf(r->why, sizeof(r->why), "no process: %s", strerror(-error));
	if (!cdm_sys_failed(shared))
		cdm_sys_munmap(shared, sizeof(*r));
}

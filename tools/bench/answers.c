/* Who answers a touch: the touching thread in a signal handler, or one thread that reads messages. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "tools/bench/mech.h"

static __thread struct worker *me;

void answers_worker(struct worker *w)
{
	me = w;
}

static bool in_window(const struct worker *w, uintptr_t addr)
{
	return addr - (uintptr_t)slot_at(w, w->b, w->slot) < w->team->cell->bytes;
}

static void answer(struct worker *w)
{
	int r = w->team->cell->mech->answer(w);

	if (r)
		team_fail(w->team, "answer to a touch", r);
}

static void on_touch(int sig, siginfo_t *info, void *context)
{
	(void)context;
	if (me && in_window(me, (uintptr_t)info->si_addr))
		answer(me);
	else /* a mistake of ours: it happens again, and ends the process */
		signal(sig, SIG_DFL);
}

static void message(struct team *team, const struct uffd_msg *m)
{
	if (m->event != UFFD_EVENT_PAGEFAULT)
		return;
	for (int i = 0; i < team->cell->threads; i++)
		if (in_window(&team->worker[i], m->arg.pagefault.address)) {
			answer(&team->worker[i]);
			return;
		}
	team_fail(team, "message of a touch elsewhere", -EFAULT);
}

static void *listen_on(void *arg)
{
	struct team *team = arg;
	struct pollfd p = {.fd = team->uffd, .events = POLLIN};
	struct uffd_msg m;

	for (;;) {
		(void)poll(&p, 1, -1);
		ssize_t n = read(team->uffd, &m, sizeof(m));
		if (n == sizeof(m))
			message(team, &m);
		else if (n < 0 && errno != EAGAIN && errno != EINTR)
			team_fail(team, "userfaultfd's messages", -errno);
	}
	return NULL;
}

/* The thread ends with the process. */
static int start_listening(struct team *team)
{
	pthread_t thread;
	int error = pthread_create(&thread, NULL, listen_on, team);

	return error ? -error : pthread_detach(thread);
}

int answers_start(struct team *team)
{
	const struct mech *mech = team->cell->mech;
	struct sigaction sa = {.sa_sigaction = on_touch, .sa_flags = SA_SIGINFO | SA_NODEFER};

	if (mech->signal && sigaction(mech->signal, &sa, NULL))
		return -errno;
	return mech->handler_thread ? start_listening(team) : 0;
}

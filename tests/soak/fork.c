/* Fork in the middle of what all threads do. */
#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/soak/soak.h"

_Atomic long forks;

static void child_main(struct thread *t)
{
	alarm(STUCK_S);
	t->child = true;
	errors = 0;
	for (int i = 0; i < SLOTS; i++)
		if (t->block[i].p)
			check_some(t, &t->block[i]);
	for (int i = 0; i < 4; i++) {
		struct block *b = &t->block[below(t, SLOTS)];
		if (!b->p)
			continue;
		if (one_in(t, 2))
			write_some(t, b);
		else
			compute(t, b);
		check_some(t, b);
	}
	fflush(stdout);
	_exit(errors ? 1 : 0);
}

void fork_one(struct thread *t)
{
	int status = 0;

	t->now = "fork";
	pid_t child = fork();
	if (!child)
		child_main(t);
	if (child < 0)
		return;
	draw(t); /* another sequence than the child's */
	for (int i = 0; i < 3; i++) {
		struct block *b = &t->block[below(t, SLOTS)];
		if (!b->p)
			continue;
		write_some(t, b);
		check_some(t, b);
	}
	t->now = "waitpid";
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (status)
		wrong(t, NULL, "a forked child ended with status %#x", (unsigned)status);
	forks++;
}

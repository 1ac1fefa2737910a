/* A signal at any instruction: a handler that forks comes at the first, second, third ... instruction of an operation, which ends all
 * the same, in the parent and in the child.
 *
 *   anywhere OPERATION MOST    operations: fork, malloc, small; up to so many instructions
 *
 * The environment's PRELOAD is what the program under test is preloaded with.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/prog/check.h"

#define PATIENCE 5 /* seconds: a fork waits 0.1 s for small calls */
/* A product that is forwarded: too long to be computed at once, too little work for the device. */
#define LONG 300
#define SHORT 8

extern void dgemm_(const char *ta, const char *tb, const int *m, const int *n, const int *k, const double *alpha,
		   const double *a, const int *lda, const double *b, const int *ldb, const double *beta, double *c,
		   const int *ldc);

/* ---- the program under test ---------------------------------------------------------------------------------- */

static int in_child;

static void fork_and_wait(void)
{
	pid_t pid = fork();

	if (pid == 0)
		in_child++;
	else
		waitpid(pid, NULL, 0);
}

static void on_signal(int signal)
{
	(void)signal;
	fork_and_wait();
}

static void block(void)
{
	char *p = malloc((size_t)2 << 20);

	*(volatile char *)p = 1;
	free(p);
}

static void small(void)
{
	static double a[LONG * SHORT], b[SHORT * SHORT], c[LONG * SHORT];
	double one = 1, zero = 0;
	int m = LONG, n = SHORT;

	dgemm_("N", "N", &m, &n, &n, &one, a, &m, b, &n, &zero, c, &m);
}

static void operate(const char *operation)
{
	struct sigaction act = {.sa_handler = on_signal};
	void (*run)(void) = !strcmp(operation, "fork") ? fork_and_wait : !strcmp(operation, "malloc") ? block : small;

	for (int i = 0; i < 20000 && run == small; i++) /* until it is forwarded */
		small();
	run();
	if (in_child)
		_exit(0);
	sigaction(SIGALRM, &act, NULL);
	signal(SIGUSR1, SIG_IGN); /* stops who is traced */
	ptrace(PTRACE_TRACEME, 0, 0, 0);
	for (;;) {
		raise(SIGUSR1);
		run();
		if (in_child)
			_exit(0);
	}
}

/* ---- who steps it ------------------------------------------------------------------------------------------------ */

static pid_t tested;

static void too_late(int signal)
{
	(void)signal;
	kill(tested, SIGKILL);
}

static int stopped_by(void)
{
	int status;

	return waitpid(tested, &status, 0) == tested && WIFSTOPPED(status) ? WSTOPSIG(status) : 0;
}

/* To the end of the operation, past what else stops it. */
static int comes_back(void)
{
	int status = 0;

	alarm(PATIENCE);
	while (waitpid(tested, &status, 0) == tested && WIFSTOPPED(status) && WSTOPSIG(status) != SIGUSR1)
		ptrace(PTRACE_CONT, tested, 0, (long)WSTOPSIG(status));
	alarm(0);

	return WIFSTOPPED(status);
}

/* Whether the operation ended. *past: before the signal came. */
static int interrupt_at(int step, int *past)
{
	int signal = SIGTRAP;

	for (int i = 0; i <= step && (signal == SIGTRAP || signal == SIGCHLD); i++) {
		ptrace(PTRACE_SINGLESTEP, tested, 0, signal == SIGTRAP ? 0L : (long)signal);
		signal = stopped_by();
	}
	*past = signal == SIGUSR1;
	if (signal != SIGTRAP && signal != SIGCHLD)
		return *past;
	ptrace(PTRACE_CONT, tested, 0, (long)SIGALRM);
	return comes_back();
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	if (!strcmp(argv[1], "under"))
		operate(argv[2]);
	tested = fork();
	if (tested == 0) {
		if (getenv("PRELOAD"))
			setenv("LD_PRELOAD", getenv("PRELOAD"), 1);
		execl(argv[0], argv[0], "under", argv[1], NULL);
		_exit(127);
	}
	signal(SIGALRM, too_late);
	int step = 0, steps = atoi(argv[2]), past = 0;
	CHECK(stopped_by() == SIGUSR1);
	while (step < steps && !past && interrupt_at(step, &past))
		step++;

	CHECK(step == steps || past);
	printf("%s: %d instructions\n", argv[1], step);
	kill(tested, SIGKILL);
	waitpid(tested, NULL, 0);
	return check_end("anywhere");
}

/* An operand that may not be read (PROT_NONE), before and after it has been on the device: the call is declined,
 * memory and device stay as they were, and the program meets its own SIGSEGV, which it may handle and then go on. */
#include "tests/scenarios/scenario.h"

enum { N = 512 };
static const size_t bytes = sizeof(double) * N * N;
static double *a, *b, *c;
static volatile sig_atomic_t signals;

/* As programs with lazy memory do: the page becomes readable and the access is repeated. */
static void make_readable(int sig, siginfo_t *info, void *context)
{
	char *at = info->si_addr;

	(void)sig, (void)context;
	if (signals++ || at < (char *)a || at >= (char *)a + bytes || mprotect(a, bytes, PROT_READ | PROT_WRITE))
		_exit(3);
}

static void declined(const char *when)
{
	struct cdm_counters before = counters();
	double *was = malloc(bytes);

	memcpy(was, c, bytes);
	CHECK(!mprotect(a, bytes, PROT_NONE));
	pid_t pid = fork();
	if (!pid) {
		multiply(N, N, a, b, c);
		_exit(0);
	}
	child_killed(pid, SIGSEGV);

	/* A touch of its own is the program's, too. */
	pid = fork();
	if (!pid)
		_exit(*(volatile double *)a == 1);
	child_killed(pid, SIGSEGV);
	CHECK(!memcmp(was, c, bytes), "%s: C has changed", when);

	struct sigaction act = {.sa_sigaction = make_readable, .sa_flags = SA_SIGINFO}, old;
	CHECK(!sigaction(SIGSEGV, &act, &old));
	signals = 0;
	multiply(N, N, a, b, c);
	CHECK(!sigaction(SIGSEGV, &old, NULL));
	struct cdm_counters k = since(&before);
	CHECK(signals == 1, "%s: %d signals", when, (int)signals);
	CHECK(k.calls == 1 && k.declined == 1 && k.offloaded == 0, "%s: " COUNT_FORMAT, when, COUNT_ARGS(k));
	CHECK(k.to_device == 0 && k.staged == 0, "%s: " COUNT_FORMAT, when, COUNT_ARGS(k));
	CHECK(!memcmp(a, c, bytes), "%s: the host's result is wrong", when);
	free(was);
}

int main(void)
{
	a = map_private(bytes, false);
	b = map_private(bytes, false);
	c = map_private(bytes, false);
	fill(a, (size_t)N * N, 1);
	identity(b, N, N);
	memset(c, 5, bytes);
	declined("at home");
	CHECK(on_device(a, bytes) == 0);

	struct cdm_counters before = counters();
	multiply(N, N, a, b, c);
	CHECK(since(&before).offloaded == 1);
	CHECK(on_device(a, bytes) == bytes);
	declined("after the device had it");

	before = counters();
	fill(a, (size_t)N * N, 2);
	multiply(N, N, a, b, c);
	CHECK(since(&before).offloaded == 1, "readable again, yet declined");
	CHECK(!memcmp(a, c, bytes));
	return 0;
}

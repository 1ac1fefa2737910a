/* An output operand that may only be read, before and after it has been on the device: the call is declined, the
 * memory stays as it is and the program meets its own SIGSEGV. As an input the same memory is fine, and after
 * mprotect as an output. */
#include "tests/scenarios/scenario.h"

enum { N = 512 };
static const size_t bytes = sizeof(double) * N * N;
static double *a, *b, *c, *was;
static volatile sig_atomic_t signals;
static bool intact; /* C was as before when the signal came */

static void make_writable(int sig, siginfo_t *info, void *context)
{
	char *at = info->si_addr;

	(void)sig, (void)context;
	if (signals++ || at < (char *)c || at >= (char *)c + bytes)
		_exit(3);
	intact = !memcmp(c, was, bytes);
	if (mprotect(c, bytes, PROT_READ | PROT_WRITE))
		_exit(4);
}

static void declined(const char *when)
{
	memcpy(was, c, bytes);
	CHECK(!mprotect(c, bytes, PROT_READ));
	pid_t pid = fork();
	if (!pid) {
		multiply(N, N, a, b, c);
		_exit(0);
	}
	child_killed(pid, SIGSEGV);
	pid = fork();
	if (!pid) {
		*(volatile double *)c = 1;
		_exit(0);
	}
	child_killed(pid, SIGSEGV);

	struct sigaction act = {.sa_sigaction = make_writable, .sa_flags = SA_SIGINFO}, old;
	struct cdm_counters before = counters();
	CHECK(!sigaction(SIGSEGV, &act, &old));
	signals = 0;
	multiply(N, N, a, b, c);
	CHECK(!sigaction(SIGSEGV, &old, NULL));
	struct cdm_counters k = since(&before);
	CHECK(signals == 1 && intact, "%s: %d signals", when, (int)signals);
	CHECK(k.calls == 1 && k.declined == 1 && k.offloaded == 0, "%s: " COUNT_FORMAT, when, COUNT_ARGS(k));
	CHECK(k.to_device == 0 && k.staged == 0, "%s: " COUNT_FORMAT, when, COUNT_ARGS(k));
	CHECK(!memcmp(a, c, bytes), "%s: the host's result is wrong", when);
}

int main(void)
{
	a = map_private(bytes, false);
	b = map_private(bytes, false);
	c = map_private(bytes, false);
	was = malloc(bytes);
	double *d = malloc(bytes);
	fill(a, (size_t)N * N, 1);
	identity(b, N, N);
	memset(c, 5, bytes);
	declined("at home");
	CHECK(on_device(c, bytes) == 0);

	fill(a, (size_t)N * N, 2);
	struct cdm_counters before = counters();
	multiply(N, N, a, b, c);
	CHECK(since(&before).offloaded == 1, "writable again, yet declined");
	CHECK_WRITTEN(c, bytes);
	CHECK(!memcmp(a, c, bytes));
	fill(a, (size_t)N * N, 3);
	multiply(N, N, a, b, c);
	fill(a, (size_t)N * N, 4);
	declined("after the device had it");

	/* Read-only memory is a good input. */
	CHECK(!mprotect(c, bytes, PROT_READ));
	before = counters();
	multiply(N, N, c, b, d);
	struct cdm_counters k = since(&before);
	CHECK(k.offloaded == 1 && k.declined == 0, COUNT_FORMAT, COUNT_ARGS(k));
	CHECK(!memcmp(a, c, bytes) && !memcmp(a, d, bytes));
	CHECK(!strncmp(permissions(c), "r--", 3), "C is %s now", permissions(c));
	CHECK(!mprotect(c, bytes, PROT_READ | PROT_WRITE));
	memset(c, 1, bytes);
	free(was);
	free(d);
	return 0;
}

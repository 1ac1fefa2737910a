/* mprotect(PROT_READ) of what is on the device: a later device write is declined and the program meets its own
 * SIGSEGV; device and CPU reads are right. Writable again, the device writes again. PROT_NONE and back loses nothing
 * either. */
#include "tests/scenarios/scenario.h"

enum { N = 512 };
static const size_t bytes = sizeof(double) * N * N;
static double *a, *b, *c, *d;
static volatile sig_atomic_t signals;

static void allow(int sig, siginfo_t *info, void *context)
{
	char *at = info->si_addr;

	(void)sig, (void)context;
	if (signals++ || at < (char *)c || at >= (char *)c + bytes || mprotect(c, bytes, PROT_READ | PROT_WRITE))
		_exit(3);
}

static void run(double *memory)
{
	c = memory;
	fill(a, (size_t)N * N, 1);
	multiply(N, N, a, b, c);
	CHECK_WRITTEN(c, bytes);
	CHECK(!mprotect(c, bytes, PROT_READ));
	CHECK(!strncmp(permissions(c), "r--p", 4), "%s", permissions(c));

	/* Reads, first by the device. */
	struct cdm_counters before = counters(), k;
	multiply(N, N, c, b, d);
	k = since(&before);
	CHECK(k.offloaded == 1 && k.declined == 0, COUNT_FORMAT, COUNT_ARGS(k));
	CHECK(!memcmp(d, a, bytes) && !memcmp(c, a, bytes), "read-only: what was there is gone");

	/* Writes: by the CPU, and by the device. */
	pid_t pid = fork();
	if (!pid) {
		((volatile double *)c)[N] = 1;
		_exit(0);
	}
	child_killed(pid, SIGSEGV);
	fill(a, (size_t)N * N, 2);
	struct sigaction act = {.sa_sigaction = allow, .sa_flags = SA_SIGINFO}, old;
	CHECK(!sigaction(SIGSEGV, &act, &old));
	before = counters();
	signals = 0;
	multiply(N, N, a, b, c);
	k = since(&before);
	CHECK(!sigaction(SIGSEGV, &old, NULL));
	CHECK(k.declined == 1 && k.offloaded == 0 && k.to_device == 0 && k.staged == 0, COUNT_FORMAT, COUNT_ARGS(k));
	CHECK(signals == 1, "%d signals", (int)signals);
	CHECK(!memcmp(c, a, bytes), "the host's result");

	/* Writable again, by the handler. */
	fill(a, (size_t)N * N, 3);
	before = counters();
	multiply(N, N, a, b, c);
	k = since(&before);
	CHECK(k.offloaded == 1 && k.declined == 0, COUNT_FORMAT, COUNT_ARGS(k));
	CHECK_WRITTEN(c, bytes);
	CHECK(!mprotect(c, bytes, PROT_NONE));
	pid = fork();
	if (!pid)
		_exit(((volatile double *)c)[1] == 0);
	child_killed(pid, SIGSEGV);
	CHECK(!mprotect(c, bytes, PROT_READ | PROT_WRITE));
	CHECK(!memcmp(c, a, bytes), "PROT_NONE: what was there is gone");

	/* One page of it. */
	multiply(N, N, a, b, c);
	CHECK(!mprotect((char *)c + 9 * PAGE, PAGE, PROT_READ));
	before = counters();
	pid = fork();
	if (!pid) {
		multiply(N, N, a, b, c);
		_exit(0);
	}
	child_killed(pid, SIGSEGV);
	CHECK(!memcmp(c, a, bytes));
	CHECK(!mprotect((char *)c + 9 * PAGE, PAGE, PROT_READ | PROT_WRITE));
	multiply_add(N, N, a, b, c);
	CHECK(since(&before).offloaded == 1);
	for (size_t i = 0; i < (size_t)N * N; i++)
		CHECK(c[i] == 2 * a[i]);
}

int main(void)
{
	a = malloc(bytes);
	b = malloc(bytes);
	d = malloc(bytes);
	identity(b, N, N);
	run(map_private(bytes, false));
	run(map_private(bytes, true));
	double *block = aligned_alloc(PAGE, bytes);
	run(block);
	free(block);
	return 0;
}

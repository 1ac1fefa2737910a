/* fork, {moved, not} x {huge, small pages}: the child reads what its parent moved to the device, and what its own
 * device writes leaves the parent's memory as it was; the parent's later device writes leave the child's. */
#include "tests/scenarios/scenario.h"

enum { N = 512 };
static const size_t bytes = sizeof(double) * N * N;

static void child(double *a, double *b, double *c, const double *expected, int parent_is_done)
{
	struct cdm_counters before = counters();
	char go;

	CHECK(!is_private() || on_device(a, bytes) + on_device(c, bytes) == 0, "a child has nothing on the device");
	CHECK(!memcmp(c, expected, bytes), "the child reads something else");
	CHECK(read(parent_is_done, &go, 1) == 1);
	CHECK(!memcmp(c, expected, bytes), "the child sees what its parent wrote after the fork");
	for (size_t i = 0; i < (size_t)N * N; i++)
		a[i] += 100;
	multiply(N, N, a, b, c);
	struct cdm_counters k = since(&before);
	CHECK(k.offloaded == 1, COUNT_FORMAT, COUNT_ARGS(k));
	CHECK(!memcmp(a, c, bytes));
	_exit(0);
}

static void run(bool moved, bool huge)
{
	double *a = map_private(bytes, huge), *b = map_private(bytes, huge), *c = map_private(bytes, huge);
	double *expected = malloc(bytes);
	int done[2];

	fill(a, (size_t)N * N, 1);
	identity(b, N, N);
	memset(c, 0, bytes);
	if (moved) {
		multiply(N, N, a, b, c);
		CHECK_WRITTEN(c, bytes);
	}
	memcpy(expected, moved ? a : c, bytes);
	CHECK(!pipe(done));
	pid_t pid = fork();
	if (!pid)
		child(a, b, c, expected, done[0]);
	fill(a, (size_t)N * N, 2);
	struct cdm_counters before = counters();
	multiply(N, N, a, b, c);
	struct cdm_counters k = since(&before);
	CHECK(k.offloaded == 1, COUNT_FORMAT, COUNT_ARGS(k));
	memcpy(expected, a, bytes);
	CHECK(write(done[1], "", 1) == 1);
	child_passed(pid);
	CHECK(!memcmp(a, expected, bytes) && !memcmp(c, expected, bytes),
	      "the child's device write reached its parent");
	multiply_add(N, N, a, b, c); /* and again, without the child */
	for (size_t i = 0; i < (size_t)N * N; i++)
		CHECK(c[i] == 2 * expected[i]);
	close(done[0]);
	close(done[1]);
	munmap(a, bytes);
	munmap(b, bytes);
	munmap(c, bytes);
	free(expected);
}

int main(void)
{
	for (int i = 0; i < 4; i++)
		run(i & 1, i & 2);
	return 0;
}

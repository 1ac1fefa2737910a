/* MAP_SHARED memory: a child's device write is visible to its parent, and the parent's to the child. Such memory does
 * not move: a coherent device uses it in place, a private one stages it. */
#include "tests/scenarios/scenario.h"

enum { N = 512 };
static const size_t bytes = sizeof(double) * N * N;

static double *map_shared(void)
{
	double *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED);
	return p;
}

static void compute(double *a, double *b, double *c)
{
	struct cdm_counters before = counters();

	multiply(N, N, a, b, c);
	struct cdm_counters k = since(&before);
	CHECK(k.offloaded == 1 && k.declined == 0, COUNT_FORMAT, COUNT_ARGS(k));
	CHECK(k.staged >= (is_private() ? 2 * bytes : 0), COUNT_FORMAT, COUNT_ARGS(k)); /* A and C, if not twice C */
	/* What is staged is copied, too; B alone may move. */
	CHECK(k.to_device + k.first_touch <= bytes + k.staged && k.to_host <= k.staged, COUNT_FORMAT, COUNT_ARGS(k));
	CHECK_HOME(a, bytes);
	CHECK_HOME(c, bytes);
}

int main(void)
{
	double *a = map_shared(), *c = map_shared(), *b = malloc(bytes);
	int there[2], back[2];
	char go;

	CHECK(!pipe(there) && !pipe(back));
	identity(b, N, N);
	fill(a, (size_t)N * N, 1);
	pid_t pid = fork();
	if (!pid) {
		compute(a, b, c);
		CHECK(write(there[1], "", 1) == 1 && read(back[0], &go, 1) == 1);
		double *expected = malloc(bytes);
		fill(expected, (size_t)N * N, 2);
		CHECK(!memcmp(c, expected, bytes), "the child does not see its parent's device write");
		_exit(0);
	}
	close(there[1]);
	close(back[0]);
	CHECK(read(there[0], &go, 1) == 1, "the child has failed");
	CHECK(!memcmp(a, c, bytes), "the parent does not see its child's device write");
	fill(a, (size_t)N * N, 2);
	compute(a, b, c);
	CHECK(write(back[1], "", 1) == 1);
	child_passed(pid);
	return 0;
}

/* fork while memory is on the device: parent and child each increment it, by the device and by the CPU, at the same
 * time, and neither sees what the other does. A grandchild, too. */
#include "tests/scenarios/scenario.h"

enum { M = 1024, N = 512, STEPS = 8 };
static const size_t bytes = sizeof(double) * M * N;
static double *u, *v;

static void expect(const double *c, double factor, double added, const char *who)
{
	for (int j = 0; j < N; j++)
		for (int i = 0; i < M; i++) {
			double want = factor * u[i] * v[j] + added;
			CHECK(c[i + (size_t)j * M] == want, "%s: (%d, %d) is %g, not %g", who, i, j,
			      c[i + (size_t)j * M], want);
		}
}

/* Each step adds u * v' on the device and a number on the CPU. */
static void steps(double *c, double number, const char *who)
{
	for (int s = 0; s < STEPS; s++) {
		struct cdm_counters before = counters();
		outer(M, N, u, v, 1, c);
		CHECK(since(&before).offloaded == 1, "%s, step %d: not offloaded", who, s);
		for (size_t i = 0; i < (size_t)M * N; i++)
			c[i] += number;
	}
}

static void run(double *c)
{
	for (size_t i = 0; i < (size_t)M * N; i++)
		c[i] = 0;
	outer(M, N, u, v, 1, c);
	CHECK_WRITTEN(c, bytes);
	pid_t pid = fork();
	if (!pid) {
		CHECK(!is_private() || on_device(c, bytes) == 0, "a child has nothing on the device");
		steps(c, 3, "child");
		pid_t second = fork();
		if (!second) {
			steps(c, 100, "grandchild");
			expect(c, 1 + 2 * STEPS, STEPS * 103.0, "grandchild");
			_exit(0);
		}
		steps(c, 3, "child");
		expect(c, 1 + 2 * STEPS, STEPS * 6.0, "child");
		child_passed(second);
		_exit(0);
	}
	steps(c, 5, "parent");
	expect(c, 1 + STEPS, STEPS * 5.0, "parent");
	steps(c, 5, "parent");
	child_passed(pid);
	expect(c, 1 + 2 * STEPS, STEPS * 10.0, "parent, at the end");
	/* So much to and fro may have left it at home for a while. */
	outer(M, N, u, v, 0, c);
	if (!counters().thrash)
		CHECK_WRITTEN(c, bytes);
	expect(c, 1, 0, "parent, once more");
}

int main(void)
{
	u = malloc(M * sizeof(*u));
	v = malloc(N * sizeof(*v));
	fill(u, M, 1);
	fill(v, N, 2);
	run(map_private(bytes, false));
	run(map_private(bytes, true));
	run(malloc(bytes));
	return 0;
}

/* fork with memory on the device: the parent writes, the child sees what was there before, and the other way round; the
 * child starts with nothing on the device, and both compute. */
#include "tests/scenarios/vector.h"

static void child_looks(double *x, size_t count, int from_parent, int to_parent)
{
	char c;
	CHECK(read(from_parent, &c, 1) == 1); /* the parent has written */
	if (is_private())
		CHECK_HOME(x, count * sizeof(*x));
	EXPECT(x, count, 1, 1);
	CHECK(device_sum(x, count) == sum_of(count, 1, 1), "the child's device reads something else");
	bump(x, count);
	for (size_t i = 0; i < count; i += 100)
		x[i] = -7;
	CHECK(write(to_parent, "", 1) == 1);
	_exit(0);
}

static void family(double *x, size_t bytes)
{
	size_t count = bytes / sizeof(*x);
	int to_child[2], to_parent[2];
	char c;

	CHECK(!pipe(to_child) && !pipe(to_parent));
	resident(x, count, 1);
	struct cdm_counters before = counters();
	pid_t pid = fork();
	if (!pid)
		child_looks(x, count, to_child[0], to_parent[1]);
	struct cdm_counters k = since(&before);
	if (is_private()) {
		CHECK(where(x, bytes).device == 0, "the child would read nothing");
		CHECK(k.to_host >= bytes, COUNT_FORMAT, COUNT_ARGS(k));
	}
	for (size_t i = 0; i < count; i += 3)
		x[i] += 5;
	CHECK(write(to_child[1], "", 1) == 1 && read(to_parent[0], &c, 1) == 1);
	child_passed(pid);
	for (size_t i = 0; i < count; i += 3)
		x[i] -= 5;
	EXPECT(x, count, 1, 1);
	bump(x, count);
	EXPECT(x, count, 1, 2);
	close(to_child[0]), close(to_child[1]), close(to_parent[0]), close(to_parent[1]);
}

int main(void)
{
	size_t bytes = 6 * MIB;
	double *x = malloc(bytes);

	for (int i = 0; i < 3; i++)
		family(x, bytes);
	free(x);
	for (int huge = 0; huge < 2; huge++) {
		x = map_private(bytes, huge);
		family(x, bytes);
		CHECK(!munmap(x, bytes));
	}
	return 0;
}

/* Operands in initialised and uninitialised static data, in constants, on the stacks of main and of a thread, and in the middle
 * of the small heap: right results, neighbours untouched. On a private device they are staged and never move.
 */
#include <alloca.h>

#include "tests/scenarios/vector.h"

enum { COUNT = 3 * 65536, BYTES = COUNT * 8 }; /* 1.5 MiB */

static double initialised[COUNT] = {1, 2, 3};
static double uninitialised[COUNT];
static const double constant[ROWS] = {[0 ... ROWS - 1] = 1};

/* x += 1 by the device, with guards around it. On a private device it stays where it is. */
static void use(double *x, size_t count, const char *what)
{
	struct cdm_counters before = counters();

	fill(x, count, 1);
	for (int i = 1; i <= 3; i++) {
		bump(x, count);
		EXPECT(x, count, 1, i);
		double was = x[i];
		x[i] = was < 0 ? was - 10 : was + 10;
		CHECK(device_sum(x, count) == sum_of(count, 1, i) + 10, "%s", what);
		x[i] = was;
	}
	struct cdm_counters k = since(&before);
	CHECK(k.offloaded == 6, "%s: " COUNT_FORMAT, what, COUNT_ARGS(k));
	if (is_private()) {
		CHECK(on_device(x, count * sizeof(*x)) == 0, "%s is on the device", what);
		CHECK(k.staged >= 6 * count * sizeof(*x), "%s: " COUNT_FORMAT, what, COUNT_ARGS(k));
		CHECK(k.to_device + k.to_host == k.staged && k.first_touch == 0, "%s: " COUNT_FORMAT, what,
		      COUNT_ARGS(k));
	}
}

static void on_stack(const char *what)
{
	double before[8] = {7, 7, 7, 7, 7, 7, 7, 7};
	double *x = alloca(BYTES / 2);

	use(x, COUNT / 2, what);
	for (int i = 0; i < 8; i++)
		CHECK(before[i] == 7);
}
static void *thread(void *arg)
{
	on_stack(arg);
	return NULL;
}

/* 512 KiB and 4 KiB blocks among each other's neighbours. */
static void small_heap(void)
{
	enum { BLOCKS = 64 };
	char *block[BLOCKS];

	for (int i = 0; i < BLOCKS; i++) {
		block[i] = malloc(ROWS * 8);
		CHECK(block[i]);
		memset(block[i], i, ROWS * 8);
	}
	use((double *)(void *)block[BLOCKS / 2], ROWS, "a small block");
	for (int i = 0; i < BLOCKS; i++) {
		for (size_t j = 0; i != BLOCKS / 2 && j < ROWS * 8; j++)
			CHECK(block[i][j] == i, "block %d, byte %zu", i, j);
		free(block[i]);
	}
	double *x = malloc(524288);
	CHECK(x);
	use(x, 65536, "a block below the tracking limit");
	free(x);
}

int main(void)
{
	pthread_t t;
	const int m = ROWS, n = 1, k = 1;
	const double one = 1, zero = 0;
	double y[ROWS];

	use(initialised, COUNT, "initialised data");
	use(uninitialised, COUNT, "uninitialised data");
	use(uninitialised + 1024, COUNT / 3, "a part of uninitialised data");
	dgemm_("N", "N", &m, &n, &k, &one, constant, &m, &one, &k, &zero, y, &m);
	for (int i = 0; i < ROWS; i++)
		CHECK(y[i] == 1 && constant[i] == 1);
	on_stack("main's stack");
	CHECK(!pthread_create(&t, NULL, thread, "a thread's stack") && !pthread_join(t, NULL));
	small_heap();
	return 0;
}

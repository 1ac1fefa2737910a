/* The device writes memory that nobody has touched: nothing is copied there, and the CPU sees every element. */
#include "tests/scenarios/scenario.h"

enum { N = 512 };
static const size_t bytes = sizeof(double) * N * N;

static void run(double *c, double *a, double *b, bool fresh)
{
	struct cdm_counters before = counters();

	multiply(N, N, a, b, c);
	struct cdm_counters k = since(&before);
	CHECK(k.offloaded == 1 && k.declined == 0, COUNT_FORMAT, COUNT_ARGS(k));
	CHECK_WRITTEN(c, bytes);
	CHECK(!fresh || k.first_touch >= bytes, COUNT_FORMAT, COUNT_ARGS(k));
	CHECK(k.to_device <= 2 * bytes && k.staged == 0 && k.host_faults == 0, COUNT_FORMAT, COUNT_ARGS(k));
	struct cdm_counters faults = counters();
	CHECK(!memcmp(a, c, bytes), "the CPU does not see what the device wrote");
	k = since(&faults);
	if (is_private()) { /* it came home for that, in one window */
		CHECK(k.to_host == bytes && k.host_faults == 1, COUNT_FORMAT, COUNT_ARGS(k));
		CHECK(where(c, bytes).device == 0);
	} else {
		CHECK(k.to_host == 0 && k.host_faults == 0, COUNT_FORMAT, COUNT_ARGS(k));
		CHECK(where(c, bytes).device == bytes);
	}
}

int main(void)
{
	double *a = map_private(bytes, false), *b = map_private(bytes, false), *c = map_private(bytes, false);
	double *huge = map_private(bytes, true);

	fill(a, (size_t)N * N, 1);
	identity(b, N, N);
	run(c, a, b, true);
	run(huge, a, b, true);
	double *block = malloc(bytes);
	run(block, a, b, true);
	/* Elements that the device does not write: rows of padding keep what the CPU put there. */
	enum { M = 384 };
	for (size_t i = 0; i < (size_t)N * N; i++)
		c[i] = 77;
	multiply(M, N, a, b, c);
	for (int j = 0; j < N; j++)
		for (int i = 0; i < N; i++) {
			size_t at = (size_t)i + (size_t)j * N;
			CHECK(c[at] == (i < M && j < M ? a[at] : 77), "(%d, %d) is %g", i, j, c[at]);
		}
	free(block);
	return 0;
}

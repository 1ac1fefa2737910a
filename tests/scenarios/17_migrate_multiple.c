/* Ten round trips, home by a CPU touch and on request in turn, with CPU and device writes: exact results, no mapping
 * and no device memory more than after the second. A region that goes to and fro may be left at home for a while
 * (counted). */
#include "tests/scenarios/scenario.h"

enum { M = 1024, N = 1024, ROUNDS = 10 };
static const size_t bytes = sizeof(double) * M * N;

static void run(double *c, const double *u, const double *v)
{
	struct cdm_counters start = counters(), k;
	int maps = 0;
	size_t device = 0;

	memset(c, 0, bytes);
	for (int round = 1; round <= ROUNDS; round++) {
		struct cdm_counters before = counters();
		outer(M, N, u, v, 1, c);
		k = since(&before);
		CHECK(k.offloaded == 1 && k.declined == 0, "round %d: " COUNT_FORMAT, round, COUNT_ARGS(k));
		if (!counters().thrash)
			CHECK_WRITTEN(c, bytes);
		if (round == 2) {
			maps = mappings();
			device = counters().device_bytes;
		}
		if (round & 1 || !is_private())
			CHECK(!cdm_prefetch(c, bytes, CDM_TO_HOST));
		for (size_t i = 0; i < (size_t)M * N; i++)
			c[i] += 1;
		CHECK_HOME(c, bytes);
		for (size_t i = 0; i < (size_t)M * N; i += 61)
			CHECK(c[i] == round * (u[i % M] * v[i / M] + 1), "round %d: element %zu", round, i);
	}
	k = since(&start);
	CHECK(k.to_device + k.first_touch + k.staged >= ROUNDS * bytes, COUNT_FORMAT, COUNT_ARGS(k));
	CHECK(k.to_host + k.staged >= ROUNDS * bytes, COUNT_FORMAT, COUNT_ARGS(k));
	CHECK(k.thrash || k.staged < bytes, COUNT_FORMAT, COUNT_ARGS(k));
	outer(M, N, u, v, 1, c);
	CHECK(mappings() <= maps + 2, "%d mappings, %d after the second round", mappings(), maps);
	/* When it is left at home, it is staged, in a buffer that is kept. */
	CHECK(counters().device_bytes <= (k.thrash ? 2 * device : device) + HUGE, "%zu KiB, %zu after the second round",
	      (size_t)counters().device_bytes >> 10, device >> 10);
	for (size_t i = 0; i < (size_t)M * N; i++)
		CHECK(c[i] == ROUNDS * (u[i % M] * v[i / M] + 1) + u[i % M] * v[i / M]);
}

int main(void)
{
	double *u = malloc(M * sizeof(*u)), *v = malloc(N * sizeof(*v));

	fill(u, M, 1);
	fill(v, N, 2);
	run(map_private(bytes, false), u, v);
	run(map_private(bytes, true), u, v);
	run(malloc(bytes), u, v);
	return 0;
}

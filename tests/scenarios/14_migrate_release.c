/* The device goes away: the CPU reads correct data, calls run on the host, declined. It comes back: they are
 * offloaded. */
#include "tests/scenarios/scenario.h"

enum { N = 512, SETS = 4 };
static const size_t bytes = sizeof(double) * N * N;

int main(void)
{
	double *a[SETS], *b = malloc(bytes), *c[SETS], *expected = malloc(bytes);
	struct cdm_counters before, k;

	CHECK(cdm_offline && cdm_online, "libcdm is not preloaded");
	identity(b, N, N);
	for (int i = 0; i < SETS; i++) {
		a[i] = i & 1 ? malloc(bytes) : map_private(bytes, i & 2);
		c[i] = i & 1 ? malloc(bytes) : map_private(bytes, i & 2);
		fill(a[i], (size_t)N * N, (unsigned)i);
		multiply(N, N, a[i], b, c[i]);
	}
	k = counters();
	CHECK(k.offloaded == SETS && k.device_bytes >= (2 * SETS + 1) * bytes, "%zu bytes", (size_t)k.device_bytes);

	for (int round = 0; round < 3; round++) {
		before = counters();
		int e = cdm_offline();
		CHECK(e == 0, "offline: %d", e);
		k = since(&before);
		CHECK(k.device_bytes == 0, "%zu KiB left on the device", (size_t)k.device_bytes >> 10);
		CHECK(k.to_host >= SETS * bytes, COUNT_FORMAT, COUNT_ARGS(k));
		for (int i = 0; i < SETS; i++) {
			CHECK_HOME(a[i], bytes);
			CHECK_HOME(c[i], bytes);
			fill(expected, (size_t)N * N, (unsigned)i + 10u * (unsigned)round);
			CHECK(!memcmp(a[i], expected, bytes) && !memcmp(c[i], expected, bytes), "set %d", i);
		}
		CHECK(since(&before).host_faults == 0, "a fault though all is at home");
		CHECK(cdm_prefetch(c[0], bytes, CDM_TO_DEVICE) == -ENODEV);

		before = counters();
		for (int i = 0; i < SETS; i++) {
			fill(a[i], (size_t)N * N, (unsigned)i + 10u * (unsigned)round + 10);
			multiply(N, N, a[i], b, c[i]);
			CHECK(!memcmp(a[i], c[i], bytes), "set %d, on the host", i);
		}
		k = since(&before);
		CHECK(k.declined == SETS && k.offloaded == 0 && k.to_device == 0 && k.staged == 0, COUNT_FORMAT,
		      COUNT_ARGS(k));
		CHECK(k.device_bytes == 0);

		before = counters();
		e = cdm_online();
		CHECK(e == 0, "online: %d", e);
		for (int i = 0; i < SETS; i++) {
			memset(c[i], 0, bytes);
			multiply(N, N, a[i], b, c[i]);
			CHECK_READ(a[i], bytes);
			CHECK_WRITTEN(c[i], bytes);
		}
		k = since(&before);
		CHECK(k.offloaded == SETS && k.declined == 0, COUNT_FORMAT, COUNT_ARGS(k));
	}
	for (int i = 0; i < SETS; i++)
		CHECK(!memcmp(a[i], c[i], bytes), "set %d, on the device again", i);
	return 0;
}

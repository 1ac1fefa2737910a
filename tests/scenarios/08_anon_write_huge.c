/* The device writes memory in pages of 2 MiB: they stay whole on the way there and back. */
#include "tests/scenarios/scenario.h"

enum { N = 1024 };
static const size_t bytes = sizeof(double) * N * N;

int main(void)
{
	double *a = map_private(bytes, true), *b = map_private(bytes, true), *c = map_private(bytes, true);

	fill(a, (size_t)N * N, 1);
	identity(b, N, N);
	memset(c, 1, bytes);
	if (huge_bytes(a, bytes) != bytes || huge_bytes(c, bytes) != bytes)
		refused("the kernel gives no pages of 2 MiB here");
	for (int round = 0; round < 3; round++) {
		struct cdm_counters before = counters();
		multiply(N, N, a, b, c);
		struct cdm_counters k = since(&before);
		CHECK(k.offloaded == 1, COUNT_FORMAT, COUNT_ARGS(k));
		CHECK(k.to_device >= (round ? bytes : 3 * bytes) || (!is_private() && round), COUNT_FORMAT,
		      COUNT_ARGS(k));
		CHECK_WRITTEN(c, bytes);
		if (!is_private())
			CHECK(huge_bytes(c, bytes) == bytes, "on the device: %zu KiB in huge pages",
			      huge_bytes(c, bytes) >> 10);
		CHECK(huge_bytes(a, bytes) == bytes, "A, on the device: %zu KiB in huge pages",
		      huge_bytes(a, bytes) >> 10);
		CHECK(!memcmp(a, c, bytes), "A x I is not A");
		CHECK(!cdm_prefetch(c, bytes, CDM_TO_HOST) && !cdm_prefetch(a, bytes, CDM_TO_HOST));
		CHECK(where(c, bytes).device == 0 && where(a, bytes).device == 0);
		for (size_t i = 0; i < (size_t)N * N; i++)
			a[i] += 1; /* all of A, so that it is touched as a program does */
		CHECK(huge_bytes(c, bytes) == bytes, "back: %zu KiB in huge pages", huge_bytes(c, bytes) >> 10);
		CHECK(huge_bytes(a, bytes) == bytes, "A, back: %zu KiB in huge pages", huge_bytes(a, bytes) >> 10);
	}
	return 0;
}

/* All pages of the operands move; the device sees the data; everything comes home on request, whole. */
#include "tests/scenarios/scenario.h"

int main(void)
{
	enum { N = 1024 };
	size_t bytes = (size_t)N * N * sizeof(double);
	double *a = malloc(bytes), *b = malloc(bytes), *c = malloc(bytes);

	fill(a, (size_t)N * N, 1);
	identity(b, N, N);
	memset(c, 0, bytes);
	multiply(N, N, a, b, c);
	struct cdm_counters k = counters();
	CHECK(k.offloaded == 1, "%lu offloaded", (unsigned long)k.offloaded);
	CHECK(on_device(a, bytes) == bytes && on_device(b, bytes) == bytes && on_device(c, bytes) == bytes);
	CHECK(k.to_device + k.first_touch >= 3 * bytes);
	if (is_private())
		CHECK(where(c, bytes).device == bytes, "the result is valid on the host before a touch");
	CHECK(!cdm_prefetch(c, bytes, CDM_TO_HOST));
	CHECK(where(c, bytes).host + where(c, bytes).shared == bytes);
	CHECK(!memcmp(a, c, bytes), "A x I is not A");
	CHECK(counters().to_host >= bytes);
	free(a);
	free(b);
	free(c);
	CHECK(counters().device_bytes == 0 || !is_private(), "freed memory is still charged");
	return 0;
}

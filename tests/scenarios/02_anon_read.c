/* The device reads a range of which a third was written, a third only read (the kernel's zero page) and a third never
 * touched. It sees the data and zeros, and so does the CPU afterwards; what the CPU writes then, the device sees
 * next. */
#include "tests/scenarios/scenario.h"

enum { N = 768 };
static const size_t bytes = sizeof(double) * N * N, third = sizeof(double) * N * N / 3;

static void run(bool huge)
{
	double *a = map_private(bytes, huge), *b = map_private(bytes, huge), *c = map_private(bytes, huge);
	const size_t part = third / sizeof(double);
	double sum = 0;

	fill(a, part, 3);
	for (size_t i = part; i < 2 * part; i += PAGE / sizeof(double))
		sum += *(volatile double *)&a[i];
	CHECK(sum == 0);
	identity(b, N, N);
	struct cdm_counters before = counters();
	multiply(N, N, a, b, c);
	struct cdm_counters k = since(&before);
	CHECK(k.calls == 1 && k.offloaded == 1 && k.declined == 0, COUNT_FORMAT, COUNT_ARGS(k));
	CHECK(k.staged == 0, COUNT_FORMAT, COUNT_ARGS(k));
	CHECK(on_device(a, bytes) == bytes, "A is not on the device");
	CHECK_WRITTEN(c, bytes);
	/* A's third and B were copied; nobody had touched C, nor the other end of A. */
	CHECK(k.to_device >= bytes + third, COUNT_FORMAT, COUNT_ARGS(k));
	CHECK(k.first_touch >= bytes, COUNT_FORMAT, COUNT_ARGS(k));
	CHECK(k.to_device + k.first_touch == 3 * bytes, COUNT_FORMAT, COUNT_ARGS(k));

	double *whole = malloc(bytes);
	memset(whole, 0, bytes);
	fill(whole, part, 3);
	CHECK(!memcmp(c, whole, bytes), "the device has read something else");
	CHECK(!memcmp(a, whole, bytes), "the CPU reads something else");
	fill(a + part, 2 * part, 4);
	fill(whole + part, 2 * part, 4);
	multiply(N, N, a, b, c);
	CHECK(counters().offloaded == before.offloaded + 2);
	CHECK(!memcmp(c, whole, bytes), "the device has read what was there before");
	free(whole);
	munmap(a, bytes);
	munmap(b, bytes);
	munmap(c, bytes);
}

int main(void)
{
	run(false);
	run(true);
	return 0;
}

/* Moving 512 KiB to 256 MiB in huge and small pages, to the device and home, printed as a ratio to memcpy in the same run.
 * Only the data and the places are asserted: the bars are make bench's.
 * env: CDM_MIN_ALLOC=256K
 * limit: 120
 */
#include "tests/scenarios/vector.h"

/* One round trip of filled memory; adds the times. */
static void trip(double *x, size_t bytes, unsigned seed, double *out, double *home)
{
	size_t count = bytes / sizeof(*x);

	fill(x, count, seed);
	double begin = seconds();
	CHECK(!cdm_prefetch(x, bytes, CDM_TO_DEVICE));
	*out += seconds() - begin;
	CHECK(on_device(x, bytes) == bytes);
	bump(x, count);
	CHECK_WRITTEN(x, bytes);
	begin = seconds();
	CHECK(!cdm_prefetch(x, bytes, CDM_TO_HOST));
	*home += seconds() - begin;
	CHECK(where(x, bytes).device == 0);
	EXPECT(x, count, seed, 1);
}

static double copy_time(size_t bytes, int times)
{
	char *a = map_private(bytes, true), *b = map_private(bytes, true);
	double best = 0;

	memset(a, 1, bytes);
	memset(b, 2, bytes);
	double begin = seconds();
	for (int i = 0; i < times; i++)
		memcpy(i & 1 ? a : b, i & 1 ? b : a, bytes);
	best = seconds() - begin;
	CHECK(!munmap(a, bytes) && !munmap(b, bytes));
	return best;
}

static void measure(size_t bytes, bool huge)
{
	int times = bytes >= 64 * MIB ? 1 : 3;
	double out = 0, home = 0, copy = copy_time(bytes, times);
	double *x = map_private(bytes, huge);

	for (int i = 0; i < times; i++)
		trip(x, bytes, (unsigned)i, &out, &home);
	printf("%6zu KiB, %s pages: out %5.2f, home %5.2f x memcpy (%.1f GB/s)\n", bytes >> 10,
	       huge ? "huge " : "small", copy / out, copy / home, (double)bytes * times / copy / 1e9);
	CHECK(!munmap(x, bytes));
}

int main(void)
{
	size_t most = is_small() ? 8 * MIB : 256 * MIB;

	for (size_t bytes = MIB / 2; bytes <= most; bytes *= is_small() ? 4 : 8) {
		measure(bytes, true);
		measure(bytes, false);
	}
	if (!is_small()) {
		measure(most, true);
		measure(most, false);
	}
	return 0;
}

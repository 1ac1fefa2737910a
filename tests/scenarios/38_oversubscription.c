/* A working set of four times the device: the least valuable memory is evicted, the device is never overfull, and all results
 * are right. An operand that is larger than the device stays on the host.
 * env: CDM_DEVICE_MEM=32M
 */
#include "tests/scenarios/vector.h"

enum { BLOCKS = 32, BYTES = 4 << 20, COUNT = BYTES / 8 };

static size_t resident_now(double *x[])
{
	size_t n = 0;
	for (int i = 0; i < BLOCKS; i++)
		n += on_device(x[i], BYTES);
	return n;
}

/* Round and round, and then to and fro between a few: whichever is on the device. */
static void compute(double *x[], int *bumps, size_t capacity)
{
	int rounds = is_small() ? 2 : 4;

	for (int round = 0; round < rounds; round++) {
		for (int i = 0; i < BLOCKS; i++) {
			bump(x[i], COUNT);
			bumps[i]++;
			CHECK(counters().device_bytes <= capacity);
		}
		CHECK(resident_now(x) <= capacity);
	}
	srand(1);
	for (int k = 0; k < 2 * BLOCKS; k++) {
		int i = rand() % BLOCKS, j = rand() % BLOCKS;
		bump(x[i], COUNT);
		bumps[i]++;
		CHECK(device_sum(x[j], COUNT) == sum_of(COUNT, (unsigned)j, bumps[j]));
		x[j][k]++, x[j][k]--;
	}
}

static void too_large(size_t capacity)
{
	size_t bytes = 2 * capacity, count = bytes / sizeof(double);
	double *x = malloc(bytes);
	struct cdm_counters before = counters();

	CHECK(x);
	fill(x, count, 9);
	bump(x, count);
	struct cdm_counters k = since(&before);
	if (is_private())
		CHECK(k.declined >= 1 && !k.offloaded, COUNT_FORMAT, COUNT_ARGS(k));
	CHECK(on_device(x, bytes) <= capacity);
	EXPECT(x, count, 9, 1);
	free(x);
}

int main(void)
{
	double *x[BLOCKS];
	int bumps[BLOCKS] = {0};
	struct cdm_counters k = counters();
	size_t capacity = (size_t)k.device_capacity;

	CHECK(capacity == 32 * MIB, "the device has %zu bytes", capacity);
	for (int i = 0; i < BLOCKS; i++) {
		x[i] = malloc(BYTES);
		CHECK(x[i]);
		fill(x[i], COUNT, (unsigned)i);
	}
	compute(x, bumps, capacity);
	for (int i = 0; i < BLOCKS; i++)
		EXPECT(x[i], COUNT, (unsigned)i, bumps[i]);
	k = counters();
	CHECK(k.device_peak <= capacity, "%zu of %zu bytes", (size_t)k.device_peak, capacity);
	CHECK(k.evictions > 0, "nothing was evicted");
	CHECK(k.offloaded > 0 && k.to_device > 0);
	for (int i = 0; i < BLOCKS; i++)
		CHECK_ENDS(x[i], BYTES, free(x[i]));
	too_large(capacity);
	return 0;
}

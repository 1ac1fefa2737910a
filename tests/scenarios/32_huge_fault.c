/* The CPU touches memory that is on the device, in pages of 2 MiB: it comes home in windows, right, with few faults; a read
 * may keep the device's copy, a write never does. */
#include "tests/scenarios/vector.h"

static void sequential(double *x, size_t count)
{
	size_t bytes = count * sizeof(*x);

	resident(x, count, 5);
	struct cdm_counters before = counters();
	EXPECT(x, count, 5, 1);
	struct cdm_counters k = since(&before);
	if (is_private()) {
		CHECK(k.host_faults >= 1 && k.host_faults <= bytes / HUGE, COUNT_FORMAT, COUNT_ARGS(k));
		CHECK(k.to_host == bytes, COUNT_FORMAT, COUNT_ARGS(k));
		CHECK(where(x, bytes).device == 0);
	} else {
		CHECK(k.to_host == 0 && where(x, bytes).device == bytes,
		      "a coherent device's memory moved for the CPU");
	}
}

/* Every 37th page, from the end: each comes home with no more than its surroundings. */
static void scattered(double *x, size_t count)
{
	size_t step = 37 * PAGE / sizeof(*x);

	resident(x, count, 6);
	for (size_t i = count - 1; i > step; i -= step)
		CHECK(x[i] == value(i, 6) + 1, "element %zu is %g", i, x[i]);
	for (size_t i = count - 1; i > step; i -= step)
		x[i] += 10;
	bump(x, count);
	for (size_t i = count - 1; i > step; i -= step)
		x[i] -= 10;
	EXPECT(x, count, 6, 2);
}

/* One write: the page is the host's alone, and the device sees it. */
static void one_write(double *x, size_t count)
{
	size_t at = count / 2 + 3;

	resident(x, count, 7);
	x[at] = 1000;
	struct cdm_where w = where(x + at, 8);
	if (is_private())
		CHECK(w.host == PAGE, WHERE_FORMAT, WHERE_ARGS(w));
	CHECK(where(x, PAGE).device == PAGE, "one touch brought all of it home");
	bump(x, count);
	CHECK(x[at] == 1001, "%g", x[at]);
	x[at] = value(at, 7) + 2;
	EXPECT(x, count, 7, 2);
}

int main(void)
{
	size_t bytes = 32 * MIB, count = bytes / sizeof(double);

	for (int huge = 1; huge >= 0; huge--) {
		double *x = map_private(bytes, huge);
		sequential(x, count);
		scattered(x, count);
		CHECK(!munmap(x, bytes));
		x = map_private(bytes, huge); /* how it will be touched cannot be known */
		one_write(x, count);
		CHECK(!munmap(x, bytes));
	}
	return 0;
}

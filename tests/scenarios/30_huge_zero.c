/* Memory that was only read, so that the kernel's zero pages (small ones and the huge one) are mapped, goes out and back;
 * and the zero pages themselves stay zero. */
#include "tests/scenarios/vector.h"

static double touch(const double *x, size_t count)
{
	double s = 0;
	for (size_t i = 0; i < count; i += PAGE / sizeof(*x))
		s += x[i];
	return s;
}

static void out_and_back(bool huge)
{
	size_t bytes = 8 * MIB, count = bytes / sizeof(double);
	double *x = map_private(bytes, huge), *other = map_private(bytes, huge);

	CHECK(touch(x, count) == 0 && touch(other, count) == 0);
	CHECK(device_sum(x, count) == 0);
	CHECK(touch(x, count) == 0);
	bump(x, count);
	CHECK_WRITTEN(x, bytes);
	CHECK(touch(other, count) == 0, "the zero page was written");
	for (size_t i = 0; i < count; i++)
		CHECK(x[i] == 1, "element %zu is %g", i, x[i]);

	/* Read on the device, written by the CPU afterwards. */
	CHECK(!cdm_prefetch(other, bytes, CDM_TO_DEVICE));
	CHECK(on_device(other, bytes) == bytes);
	CHECK(touch(other, count) == 0);
	fill(other, count, 4);
	bump(other, count);
	EXPECT(other, count, 4, 1);
	CHECK(!munmap(x, bytes) && !munmap(other, bytes));
}

int main(void)
{
	out_and_back(true);
	out_and_back(false);
	return 0;
}

/* Memory that nobody has touched, in pages of 2 MiB, goes to the device and comes back: zeros, and nothing was copied out. */
#include "tests/scenarios/vector.h"

static bool all_zero(const double *x, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (x[i] != 0)
			return false;
	return true;
}

int main(void)
{
	size_t bytes = 8 * MIB, count = bytes / sizeof(double);

	/* There and back on request. */
	double *x = map_private(bytes, true);
	struct cdm_counters before = counters();
	CHECK(!cdm_prefetch(x, bytes, CDM_TO_DEVICE));
	CHECK(on_device(x, bytes) == bytes, "%zu bytes there", on_device(x, bytes));
	CHECK(since(&before).to_device == 0, "pages without memory were copied");
	CHECK(device_sum(x, count) == 0);
	CHECK(!cdm_prefetch(x, bytes, CDM_TO_HOST));
	CHECK_HOME(x, bytes);
	CHECK(all_zero(x, count));
	CHECK(!munmap(x, bytes));

	/* Written there first. */
	x = map_private(bytes, true);
	before = counters();
	bump(x, count);
	struct cdm_counters k = since(&before);
	CHECK_WRITTEN(x, bytes);
	CHECK(k.to_device <= k.staged && k.first_touch >= bytes, COUNT_FORMAT, COUNT_ARGS(k));
	for (size_t i = 0; i < count; i++)
		CHECK(x[i] == 1, "element %zu is %g", i, x[i]);
	CHECK(!munmap(x, bytes));

	/* One page has memory, the others have none. */
	x = map_private(bytes, true);
	madvise(x, bytes, MADV_NOHUGEPAGE);
	x[count / 2] = 3;
	bump(x, count);
	for (size_t i = 0; i < count; i++)
		CHECK(x[i] == (i == count / 2 ? 4 : 1), "element %zu is %g", i, x[i]);
	CHECK(!munmap(x, bytes));
	return 0;
}

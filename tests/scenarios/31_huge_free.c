/* MADV_FREE and MADV_DONTNEED before the memory moves and while it is on the device. After MADV_FREE each page holds what it
 * held or zeros, until it is written; after MADV_DONTNEED, zeros at once. */
#include "tests/scenarios/vector.h"

enum { PER_PAGE = 512 };

/* Each page is whole or empty, plus more. */
static void whole_or_empty(const double *x, size_t count, unsigned seed, double was, double more)
{
	for (size_t page = 0; page < count; page += PER_PAGE) {
		size_t held = 0, empty = 0;
		for (size_t i = page; i < page + PER_PAGE; i++) {
			held += x[i] == value(i, seed) + was + more;
			empty += x[i] == more;
		}
		CHECK(held == PER_PAGE || empty == PER_PAGE, "page %zu: %zu elements as before, %zu empty",
		      page / PER_PAGE, held, empty);
	}
}
static void empty(const double *x, size_t count, double more)
{
	for (size_t i = 0; i < count; i++)
		CHECK(x[i] == more, "element %zu is %g, not %g", i, x[i], more);
}

static void lazily(double *x, size_t count)
{
	size_t bytes = count * sizeof(*x);

	fill(x, count, 2);
	CHECK(!madvise(x, bytes, MADV_FREE));
	bump(x, count);
	whole_or_empty(x, count, 2, 0, 1);

	resident(x, count, 2);
	CHECK(!madvise(x, bytes, MADV_FREE));
	whole_or_empty(x, count, 2, 1, 0);
	bump(x, count);
	whole_or_empty(x, count, 2, 1, 1);

	/* Written after the advice: kept. */
	resident(x, count, 2);
	CHECK(!madvise(x, bytes, MADV_FREE));
	fill(x, count, 3);
	bump(x, count);
	EXPECT(x, count, 3, 1);
}

static void at_once(double *x, size_t count)
{
	size_t bytes = count * sizeof(*x), part = count / 4;

	resident(x, count, 2);
	CHECK(!madvise(x, bytes, MADV_DONTNEED));
	empty(x, count, 0);
	bump(x, count);
	empty(x, count, 1);

	resident(x, count, 2);
	size_t used = (size_t)counters().device_bytes;
	CHECK(!madvise(x + part, part * sizeof(*x), MADV_DONTNEED));
	if (is_private())
		CHECK(counters().device_bytes <= used - part * sizeof(*x), "memory that was given up is still charged");
	empty(x + part, part, 0);
	EXPECT(x, part, 2, 1);
	EXPECT_FROM(x, 2 * part, count, 2, 1);
	bump(x, count);
	empty(x + part, part, 1);
	EXPECT_FROM(x, 2 * part, count, 2, 2);
}

/* Memory of its own for each: what is about to leave the device again and again is left on the host. */
static void all(double *(*memory)(size_t), void (*end)(double *, size_t))
{
	void (*const test[])(double *, size_t) = {lazily, at_once};
	size_t bytes = 8 * MIB;

	for (int i = 0; i < 2; i++) {
		double *x = memory(bytes);
		CHECK(x);
		test[i](x, bytes / sizeof(*x));
		end(x, bytes);
	}
}

static double *huge_pages(size_t bytes)
{
	return map_private(bytes, true);
}
static double *small_pages(size_t bytes)
{
	return map_private(bytes, false);
}
static double *block(size_t bytes)
{
	return aligned_alloc(PAGE, bytes);
}
static void unmap(double *x, size_t bytes)
{
	CHECK(!munmap(x, bytes));
}
static void free_block(double *x, size_t bytes)
{
	(void)bytes;
	free(x);
}

int main(void)
{
	all(huge_pages, unmap);
	all(small_pages, unmap);
	all(block, free_block);
	return 0;
}

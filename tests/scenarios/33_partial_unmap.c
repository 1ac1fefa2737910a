/* munmap of 1 MiB, at the start, in the middle and at the end of a mapping that is on the device: the rest is right and goes
 * on being used, the hole is a hole, and what is mapped there anew is empty. */
#include "tests/scenarios/vector.h"

enum { HOLE = 1048576 };

static void check_hole(char *hole)
{
	for (size_t i = 0; i < HOLE; i += PAGE)
		CHECK(!is_mapped(hole + i), "page %zu of the hole is there", i / PAGE);
	CHECK(where(hole, HOLE).untracked == HOLE);
}

/* Keeps others, libcdm among them, from mapping something there. */
static void reserve_hole(char *hole)
{
	CHECK(mmap(hole, HOLE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == hole);
}

static void fill_hole(char *hole)
{
	double *x = (double *)(void *)hole;
	size_t count = HOLE / sizeof(*x);

	CHECK(!mprotect(hole, HOLE, PROT_READ | PROT_WRITE));
	CHECK(on_device(x, HOLE) == 0, "new memory is on the device before it was used there");
	CHECK(device_sum(x, count) == 0, "the device reads what was unmapped");
	for (size_t i = 0; i < count; i++)
		CHECK(x[i] == 0, "element %zu of new memory is %g", i, x[i]);
	bump(x, count);
	for (size_t i = 0; i < count; i++)
		CHECK(x[i] == 1, "element %zu of new memory is %g", i, x[i]);
}

/* The elements outside the hole, plus more; then once more through the device. */
static void check_rest(double *x, size_t count, size_t hole, double more)
{
	size_t end = hole + HOLE / sizeof(*x);

	EXPECT(x, hole, 1, more);
	EXPECT_FROM(x, end, count, 1, more);
	if (hole) {
		bump(x, hole);
		EXPECT(x, hole, 1, more + 1);
	}
	if (end < count) {
		bump(x + end, count - end);
		EXPECT_FROM(x, end, count, 1, more + 1);
	}
}

static void unmap_at(size_t offset, bool huge, bool touched)
{
	size_t bytes = 8 * MIB, count = bytes / sizeof(double);
	double *x = map_private(bytes, huge);
	char *hole = (char *)x + offset;

	resident(x, count, 1);
	if (touched) /* some of it is home */
		CHECK(*(volatile double *)hole == value(offset / sizeof(*x), 1) + 1);
	CHECK_ENDS(hole, HOLE, CHECK(!munmap(hole, HOLE)));
	check_hole(hole);
	reserve_hole(hole);
	check_rest(x, count, offset / sizeof(*x), 1);
	fill_hole(hole);
	CHECK_ENDS(x, bytes, CHECK(!munmap(x, bytes)));
}

int main(void)
{
	const size_t offsets[] = {0, 3 * MIB, 3 * MIB + 4 * PAGE, 7 * MIB};

	for (int i = 0; i < 4; i++)
		for (int kind = 0; kind < 4; kind++)
			unmap_at(offsets[i], kind & 1, kind & 2);
	return 0;
}

/* mremap in all its forms, before the memory moves and while it is on the device, of all of a mapping and of a part of it at
 * three offsets: contents follow, the old addresses end (or are empty), and the device goes on at the new ones. */
#include "tests/scenarios/vector.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

enum form { GROW, SHRINK, MAYMOVE, MUST_MOVE, FIXED, DONTUNMAP, FORMS };
static const char *const name[] = {"grow in place",   "shrink", "grow, may move",
				   "grow, must move", "fixed",  "dontunmap"};

enum { BYTES = 6 << 20, SPACE = 16 << 20, PER_MIB = (1 << 20) / 8 };

/* Address space for a destination, reserved: nobody else maps something there. */
static char *space(size_t bytes)
{
	char *p = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(p != MAP_FAILED);
	return p;
}

static void is_gone(char *p, size_t from, size_t to)
{
	for (size_t i = from; i < to; i += PAGE)
		CHECK(!is_mapped(p + i), "the old page %zu is still there", i / PAGE);
	CHECK(from >= to || where(p + from, to - from).untracked == to - from);
}
static void is_empty(double *x, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		CHECK(x[i] == 0, "element %zu is %g, not 0", i, x[i]);
}

/* Elements that were filled with an offset. */
static void follows(const double *x, size_t count, size_t offset, double more)
{
	for (size_t i = 0; i < count; i++)
		CHECK(x[i] == value(offset + i, 1) + more, "element %zu is %g, not %g", i, x[i],
		      value(offset + i, 1) + more);
}

/* A mapping of BYTES; behind it room to grow, or a page that keeps it from growing in place. */
static void cut(char *p, bool room)
{
	size_t keep = room ? BYTES : BYTES + PAGE;
	CHECK(!munmap(p + keep, SPACE - keep));
}
static char *mapping(bool room)
{
	char *p = map_private(SPACE, false);
	cut(p, room);
	return p;
}

static void whole(enum form form, bool moved)
{
	char *p = map_private(SPACE, false), *to = NULL;
	double *x = (double *)p;
	size_t count = BYTES / sizeof(*x), bytes = form == SHRINK ? BYTES / 2 : form < FIXED ? BYTES + 2 * MIB : BYTES;
	int flags = form == MAYMOVE || form == MUST_MOVE ? MREMAP_MAYMOVE
		    : form == FIXED                      ? MREMAP_MAYMOVE | MREMAP_FIXED
		    : form == DONTUNMAP                  ? MREMAP_MAYMOVE | MREMAP_DONTUNMAP
							 : 0;

	fill(x, count, 1);
	if (moved) {
		bump(x, count);
		CHECK_WRITTEN(x, BYTES);
	}
	if (form == FIXED)
		to = space(bytes);
	cut(p, form != MUST_MOVE); /* only now, so that nobody else takes the room */
	char *q = mremap(p, BYTES, bytes, flags, to);
	CHECK(q != MAP_FAILED, "%s: %s", name[form], strerror(errno));
	CHECK((form != GROW && form != SHRINK) || q == p);
	CHECK(form != FIXED || q == to);
	CHECK((form != MUST_MOVE && form != DONTUNMAP) || q != p);

	/* At once: libcdm, too, may map something where nothing is. */
	if (form == SHRINK)
		is_gone(p, bytes, BYTES);
	if (form == MUST_MOVE || form == FIXED)
		is_gone(p, 0, BYTES);
	double *y = (double *)q;
	size_t kept = bytes < BYTES ? bytes : BYTES;
	follows(y, kept / sizeof(*y), 0, moved);
	is_empty(y, kept / sizeof(*y), bytes / sizeof(*y));
	bump(y, bytes / sizeof(*y));
	CHECK_WRITTEN(y, bytes);
	follows(y, kept / sizeof(*y), 0, moved + 1);
	if (form == DONTUNMAP) {
		CHECK(is_mapped(p));
		is_empty(x, 0, count);
		fill(x, count, 3);
		bump(x, count); /* on the device or where it is */
		EXPECT(x, count, 3, 1);
		CHECK(!munmap(x, BYTES));
	}
	CHECK_ENDS(q, bytes, CHECK(!munmap(q, bytes)));
	if (form == MUST_MOVE)
		CHECK(!munmap(p + BYTES, PAGE));
}

/* One MiB of it moves elsewhere; the rest stays. */
static void part(size_t offset, int flags, bool moved)
{
	char *p = mapping(true), *to = space(MIB);
	double *x = (double *)p, *y = (double *)to;
	size_t count = BYTES / sizeof(*x), at = offset / sizeof(*x);

	fill(x, count, 1);
	if (moved)
		bump(x, count);
	CHECK(mremap(p + offset, MIB, MIB, MREMAP_MAYMOVE | MREMAP_FIXED | flags, to) == to, "%s", strerror(errno));
	if (!(flags & MREMAP_DONTUNMAP))
		is_gone(p, offset, offset + MIB);
	follows(y, PER_MIB, at, moved);
	follows(x, at, 0, moved);
	follows(x + at + PER_MIB, count - at - PER_MIB, at + PER_MIB, moved);
	if (flags & MREMAP_DONTUNMAP)
		is_empty(x, at, at + PER_MIB);

	bump(y, PER_MIB);
	follows(y, PER_MIB, at, moved + 1);
	if (at) {
		bump(x, at);
		follows(x, at, 0, moved + 1);
	}
	CHECK_ENDS(to, MIB, CHECK(!munmap(to, MIB)));
	CHECK_ENDS(p, BYTES, CHECK(!munmap(p, BYTES)));
}

/* Onto memory that is itself on the device: that one ends. */
static void onto(void)
{
	char *p = map_private(BYTES, false), *to = map_private(BYTES, false);
	size_t count = BYTES / sizeof(double);

	resident((double *)p, count, 1);
	resident((double *)to, count, 2);
	CHECK(mremap(p, BYTES, BYTES, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
	is_gone(p, 0, BYTES);
	follows((double *)to, count, 0, 1);
	bump((double *)to, count);
	follows((double *)to, count, 0, 2);
	CHECK(!munmap(to, BYTES));
}

/* What the kernel refuses changes nothing. */
static void refusals(void)
{
	char *p = mapping(false);
	size_t count = BYTES / sizeof(double);

	resident((double *)p, count, 1);
	errno = 0;
	CHECK(mremap(p, BYTES, BYTES + 2 * MIB, 0) == MAP_FAILED && errno == ENOMEM);
	CHECK(mremap(p, BYTES, BYTES, MREMAP_MAYMOVE | MREMAP_FIXED, p + PAGE) == MAP_FAILED && errno == EINVAL);
	CHECK(mremap(p + 1, BYTES, BYTES, MREMAP_MAYMOVE) == MAP_FAILED && errno == EINVAL);
	follows((double *)p, count, 0, 1);
	bump((double *)p, count);
	follows((double *)p, count, 0, 2);
	CHECK(!munmap(p, BYTES + PAGE));
}

int main(void)
{
	const size_t offsets[] = {0, 2 * MIB + 3 * PAGE, 5 * MIB};

	for (int moved = 0; moved < 2; moved++) {
		for (int form = 0; form < FORMS; form++)
			whole(form, moved);
		for (int i = 0; i < 3; i++) {
			part(offsets[i], 0, moved);
			part(offsets[i], MREMAP_DONTUNMAP, moved);
		}
	}
	onto();
	refusals();
	return 0;
}

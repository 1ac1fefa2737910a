/* realloc across the tracking limit and of memory on the device, malloc_usable_size, aligned allocation, malloc(0), calloc of
 * memory that was on the device, and the C++ allocation functions: contents follow, sizes and alignments hold. */
#include <dlfcn.h>
#include <malloc.h>

#include "tests/scenarios/vector.h"

static size_t rounded(size_t bytes)
{
	return bytes / 8 / ROWS * ROWS;
}

/* From size to size; what fits is on the device before each step. */
static void chain(void)
{
	static const size_t sizes[] = {100 << 10,     900 << 10, 1 << 20, 3 << 20, (3 << 20) + 12345, 40 << 20, 8 << 20,
				       (1 << 20) + 8, 512 << 10, 2 << 20, 5000,    64 << 20,          1 << 20};
	double *x = malloc(sizes[0]);
	size_t count = rounded(sizes[0]);

	CHECK(x);
	fill(x, count, 1);
	for (size_t i = 1; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		if (is_small() && sizes[i] > 8 * MIB)
			continue;
		fill(x, count, (unsigned)i);
		if (count)
			bump(x, count);
		double *y = realloc(x, sizes[i]);
		CHECK(y && malloc_usable_size(y) >= sizes[i]);
		size_t now = rounded(sizes[i]);
		EXPECT(y, now < count ? now : count, (unsigned)i, 1);
		x = y;
		count = now;
		if (count) {
			memset(x, 0, sizes[i]);
			bump(x, count);
			for (size_t j = 0; j < count; j++)
				CHECK(x[j] == 1);
		}
	}
	CHECK_ENDS(x, count * 8, free(x));
}

/* In place or not, a block that grew or moved is another generation or the same memory. */
static void generations(void)
{
	double *x = resident_block(2 * MIB, 1);
	uint64_t first = where(x, PAGE).generation;

	CHECK(first != 0);
	free(x);
	x = resident_block(2 * MIB, 2);
	CHECK(where(x, PAGE).generation != first, "freed and allocated anew");
	first = where(x, PAGE).generation;
	double *y = realloc(x, 64 * MIB);
	CHECK(y);
	EXPECT(y, 2 * MIB / 8, 2, 1);
	if (y != x)
		CHECK(where(y, PAGE).generation != first);
	free(y);
}

/* All usable bytes are the program's. */
static void usable(void)
{
	static const size_t sizes[] = {0, 1, 24, 4000, 1 << 20, (1 << 20) + 1, (3 << 20) - 8, 5 << 20};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		char *p = malloc(sizes[i]), *q = malloc(sizes[i]);
		CHECK(p && q && p != q);
		size_t n = malloc_usable_size(p), m = malloc_usable_size(q);
		CHECK(n >= sizes[i] && m >= sizes[i]);
		memset(p, 1, n);
		memset(q, 2, m);
		if (n >= MIB) {
			memset(p, 0, n);
			bump((double *)(void *)p, rounded(n));
			CHECK(malloc_usable_size(p) == n);
			CHECK(((double *)(void *)p)[0] == 1 && ((double *)(void *)p)[rounded(n) - 1] == 1);
		} else {
			for (size_t j = 0; j < n; j++)
				CHECK(p[j] == 1);
		}
		for (size_t j = 0; j < m; j++)
			CHECK(q[j] == 2);
		free(p), free(q);
	}
	CHECK(malloc_usable_size(NULL) == 0);
	free(NULL);
}

static void aligned(void)
{
	for (size_t align = 64; align <= 4 * MIB; align *= 8) {
		void *p[4] = {aligned_alloc(align, 4 * MIB), NULL, memalign(align, 2 * MIB), valloc(2 * MIB)};
		CHECK(!posix_memalign(&p[1], align, 2 * MIB + 100));
		for (int i = 0; i < 4; i++) {
			CHECK(p[i] && (uintptr_t)p[i] % (i == 3 ? PAGE : align) == 0, "way %d, alignment %zu", i,
			      align);
			resident(p[i], 2 * MIB / 8, (unsigned)i);
		}
		p[2] = realloc(p[2], 4 * MIB);
		CHECK(p[2]);
		for (int i = 0; i < 4; i++) {
			EXPECT((double *)p[i], 2 * MIB / 8, (unsigned)i, 1);
			free(p[i]);
		}
	}
	void *p;
	CHECK(posix_memalign(&p, 3, MIB) == EINVAL);
}

/* Memory that comes back from the allocator is empty where that was promised, to both sides. */
static void cleared(void)
{
	for (int i = 0; i < 10; i++) {
		size_t bytes = (size_t)(2 + i % 3) * MIB, count = bytes / 8;
		free(resident_block(bytes, 3));
		double *x = i & 1 ? calloc(count, 8) : calloc(1, bytes);
		CHECK(x);
		CHECK(device_sum(x, count) == 0, "calloc: the device reads something");
		for (size_t j = 0; j < count; j++)
			CHECK(x[j] == 0, "calloc: element %zu is %g", j, x[j]);
		bump(x, count);
		free(x);
	}
	volatile size_t huge = SIZE_MAX / 4, whole = SIZE_MAX - PAGE;
	CHECK(!calloc(huge, 8) && errno == ENOMEM);
	CHECK(!malloc(whole) && errno == ENOMEM);
	double *x = resident_block(2 * MIB, 4);
	CHECK(!realloc(x, whole / 2) && errno == ENOMEM);
	CHECK(!reallocarray(x, huge, 8) && errno == ENOMEM);
	EXPECT(x, 2 * MIB / 8, 4, 1);
	free(x);
}

/* operator new and the sized delete, from the C++ library. */
static void cplusplus(void)
{
	void *library = dlopen("libstdc++.so.6", RTLD_NOW);
	if (!library) {
		printf("no libstdc++: without C++\n");
		return;
	}
	void *(*new)(size_t), (*delete)(void *), (*sized)(void *, size_t), *(*new_aligned)(size_t, size_t),
		(*sized_aligned)(void *, size_t, size_t);
	*(void **)&new = dlsym(library, "_Znam");
	*(void **)&delete = dlsym(library, "_ZdaPv");
	*(void **)&sized = dlsym(library, "_ZdaPvm");
	*(void **)&new_aligned = dlsym(library, "_ZnamSt11align_val_t");
	*(void **)&sized_aligned = dlsym(library, "_ZdaPvmSt11align_val_t");
	CHECK(new &&delete &&sized &&new_aligned &&sized_aligned);
	for (int i = 0; i < 8; i++) {
		double *x = new (2 * MIB), *y = new (3 * MIB), *z = new_aligned(2 * MIB, 4096);
		resident(x, 2 * MIB / 8, 1);
		resident(y, 3 * MIB / 8, 2);
		resident(z, 2 * MIB / 8, 3);
		EXPECT(x, 2 * MIB / 8, 1, 1);
		CHECK_ENDS(x, 2 * MIB, delete (x));
		EXPECT(y, 3 * MIB / 8, 2, 1);
		CHECK_ENDS(y, 3 * MIB, sized(y, 3 * MIB));
		EXPECT(z, 2 * MIB / 8, 3, 1);
		CHECK_ENDS(z, 2 * MIB, sized_aligned(z, 2 * MIB, 4096));
	}
}

/* cdm_alloc() and malloc in each other's company. */
static void own(void)
{
	double *x = cdm_alloc(3 * MIB), *y = cdm_alloc(3 * MIB), *z = cdm_alloc(100);
	size_t count = 3 * MIB / 8;

	CHECK(x && y && z && (uintptr_t)x % HUGE == 0 && (uintptr_t)z % PAGE == 0);
	CHECK(malloc_usable_size(x) >= 3 * MIB);
	CHECK(device_sum(x, count) == 0);
	for (size_t i = 0; i < count; i++)
		CHECK(x[i] == 0);
	resident(x, count, 1);
	x = realloc(x, 6 * MIB);
	CHECK(x);
	EXPECT(x, count, 1, 1);
	free(x);
	bump(y, count);
	CHECK(y[count - 1] == 1);
	cdm_free(y);
	cdm_free(z);
	cdm_free(NULL);
	void *p = malloc(2 * MIB);
	cdm_free(p);
}

int main(void)
{
	chain();
	generations();
	usable();
	aligned();
	cleared();
	cplusplus();
	own();
	return 0;
}

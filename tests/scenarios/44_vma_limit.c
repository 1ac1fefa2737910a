/* The program has nearly as many mappings as it may have: libcdm then does not move memory rather than take the last ones,
 * the program's own mmap, munmap and mprotect go on working, and all results are right.
 * limit: 120
 */
#include "tests/scenarios/vector.h"

enum { BLOCKS = 32, BYTES = 2 << 20, COUNT = BYTES / 8, SLACK = 400, OWN = 100 };

static long limit(void)
{
	FILE *f = fopen("/proc/sys/vm/max_map_count", "r");
	long n = 0;

	CHECK(f && fscanf(f, "%ld", &n) == 1);
	fclose(f);
	return n;
}

/* Pages with every second one read-only: a mapping each. Uses all but SLACK. */
static void crowd(long max)
{
	size_t pages = (size_t)(max - mappings() - SLACK);
	char *p = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(p != MAP_FAILED);
	for (size_t i = 1; i < pages; i += 2)
		CHECK(!mprotect(p + i * PAGE, PAGE, PROT_READ), "%s after %zu pages", strerror(errno), i);
}

/* Adds OWN mappings and takes them away, in ways that need one more in between. */
static void own_calls(void)
{
	static char *p[OWN];

	for (int i = 0; i < OWN; i++) {
		p[i] = mmap(NULL, 3 * PAGE, i & 1 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		CHECK(p[i] != MAP_FAILED, "mmap %d: %s; %d mappings", i, strerror(errno), mappings());
	}
	for (int i = 0; i < OWN; i++) {
		CHECK(!mprotect(p[i] + PAGE, PAGE, PROT_READ | PROT_WRITE), "mprotect %d: %s; %d mappings", i,
		      strerror(errno), mappings());
		CHECK(!munmap(p[i] + PAGE, PAGE), "munmap %d: %s; %d mappings", i, strerror(errno), mappings());
		CHECK(!munmap(p[i], 3 * PAGE));
	}
}

int main(void)
{
	long max = limit();
	double *x[BLOCKS];

	if (max > 300000)
		refused("vm.max_map_count is too high to come near it");
	for (int i = 0; i < BLOCKS; i++) {
		x[i] = i & 1 ? map_private(BYTES, false) : malloc(BYTES);
		CHECK(x[i]);
		fill(x[i], COUNT, (unsigned)i);
	}
	bump(x[0], COUNT);
	CHECK_WRITTEN(x[0], BYTES);
	crowd(max);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < BLOCKS; i++) {
			bump(x[i], COUNT);
			/* Single pages come home from the middle of it. */
			x[i][COUNT / 2 + round * 5120] += 1, x[i][COUNT / 2 + round * 5120] -= 1;
			bump(x[i], COUNT);
		}
		own_calls();
		CHECK(mappings() < max - OWN, "%d of %ld mappings", mappings(), max);
	}
	for (int i = 0; i < BLOCKS; i++)
		EXPECT(x[i], COUNT, (unsigned)i, 6 + (i == 0));
	own_calls();
	struct cdm_counters k = counters();
	CHECK(k.offloaded + k.declined >= k.calls && k.calls >= 6 * BLOCKS, COUNT_FORMAT, COUNT_ARGS(k));
	for (int i = 0; i < BLOCKS; i++) {
		if (i & 1)
			CHECK(!munmap(x[i], BYTES), "%s", strerror(errno));
		else
			free(x[i]);
	}
	own_calls();
	return 0;
}

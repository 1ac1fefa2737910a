/* Memory is allocated, used by the device, and ended, in every way a program can do it, ten times at one address: the
 * device never sees what was there before, and a query names a new generation. */
#include "tests/scenarios/scenario.h"

enum { N = 512, ROUNDS = 10 };
static const size_t bytes = sizeof(double) * N * N;
static double *eye, *out, *expected;

static void device_sees(const double *a, const double *want, const char *what, int round)
{
	struct cdm_counters before = counters();

	multiply(N, N, a, eye, out);
	struct cdm_counters k = since(&before);
	CHECK(k.offloaded == 1, "%s, round %d: " COUNT_FORMAT, what, round, COUNT_ARGS(k));
	CHECK(!memcmp(out, want, bytes), "%s, round %d: stale", what, round);
}

/* The device has the only copy of p. */
static void make_device_only(double *p)
{
	memset(out, 7, bytes);
	multiply(N, N, out, eye, p);
	CHECK_WRITTEN(p, bytes);
}

/* Memory of zeros after p has ended and begun again; the generation must have changed, if it ended. */
static void fresh(double *p, uint64_t was, const char *what, int round)
{
	uint64_t now = where(p, bytes).generation;

	memset(expected, 0, bytes);
	CHECK(!was || now != was, "%s, round %d: generation %llu again", what, round, (unsigned long long)now);
	device_sees(p, expected, what, round);
	CHECK(!memcmp(p, expected, bytes), "%s, round %d: the CPU sees something else", what, round);
	fill(p, (size_t)N * N, (unsigned)round);
	fill(expected, (size_t)N * N, (unsigned)round);
	device_sees(p, expected, what, round);
	make_device_only(p);
}

static double *map_at(double *at)
{
	double *p = mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK(p == at);
	return p;
}

int main(void)
{
	double *p = map_private(bytes, false), *elsewhere = map_private(bytes, false), *block = NULL;
	int same = 0;

	eye = malloc(bytes);
	out = malloc(bytes);
	expected = malloc(bytes);
	identity(eye, N, N);
	make_device_only(p);
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t was = where(p, bytes).generation;
		CHECK(was != 0);
		CHECK(!munmap(p, bytes));
		CHECK(where(p, bytes).device + where(p, bytes).shared == 0, "unmapped memory on the device");
		CHECK(where(p, bytes).generation == 0, "unmapped memory has a generation");
		map_at(p);
		fresh(p, was, "munmap", round);

		was = where(p, bytes).generation;
		map_at(p);
		fresh(p, was, "mmap over it", round);

		CHECK(!madvise(p, bytes, MADV_DONTNEED));
		CHECK_HOME(p, bytes);
		fresh(p, 0, "MADV_DONTNEED", round);

		was = where(p, bytes).generation;
		double *away = mremap(p, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, elsewhere);
		CHECK(away == elsewhere);
		map_at(p); /* before anybody else finds the hole */
		memset(expected, 7, bytes);
		CHECK(!memcmp(away, expected, bytes), "mremap, round %d: lost", round);
		map_at(elsewhere);
		fresh(p, was, "mremap", round);

		double *again = malloc(bytes);
		same += again == block;
		block = again;
		fill(block, (size_t)N * N, (unsigned)round + 20);
		fill(expected, (size_t)N * N, (unsigned)round + 20);
		device_sees(block, expected, "malloc", round);
		make_device_only(block);
		was = where(block, bytes).generation;
		free(block);
		double *zero = calloc(1, bytes);
		CHECK(zero != block || where(zero, bytes).generation != was, "calloc, round %d: the same generation",
		      round);
		memset(expected, 0, bytes);
		device_sees(zero, expected, "calloc", round);
		free(zero);
	}
	printf("malloc gave the same address %d times\n", same);
	return 0;
}

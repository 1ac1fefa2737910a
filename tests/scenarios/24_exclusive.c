/* Atomic additions by the CPU and device writes to the same pages at the same time: the CPU's numbers lie between the
 * columns of the device's output (ld > m) and behind its last element. Not one addition is lost, no result torn. */
#include "tests/scenarios/scenario.h"

enum { M = 384, LD = 512, CALLS = 40, ADDERS = 2 };
static const size_t bytes = sizeof(double) * LD * LD;
static double *c;
static _Atomic bool done;

struct adder {
	uint64_t added;
	unsigned seed;
};

/* The counter of column j: 1 KiB of padding behind it, the first 8 bytes. */
static uint64_t *slot(unsigned j)
{
	return (uint64_t *)(void *)(c + M + (size_t)(j % LD) * LD);
}

static void *adds(void *arg)
{
	struct adder *me = arg;

	for (unsigned n = me->seed; !done; n = n * 1664525u + 1013904223u) {
		__atomic_fetch_add(slot(n >> 8), 1, __ATOMIC_SEQ_CST);
		me->added++;
		if (n >> 28 == 0) /* leave the device a chance */
			usleep(n >> 8 & 1023);
	}
	return NULL;
}

static void run(bool huge, bool accumulate, bool shared)
{
	const int m = M, ld = LD;
	const double one = 1, beta = accumulate;
	size_t small = sizeof(double) * M * M;
	double *a = map_private(bytes, huge), *b = map_private(bytes, huge);
	struct adder adder[ADDERS] = {{.seed = 1}, {.seed = 77}};
	pthread_t thread[ADDERS];
	uint64_t sum = 0, added = 0;

	c = map_private(bytes, huge);
	if (shared) /* staged by a private device, which then writes it while others do */
		c = mmap(c, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK(c != MAP_FAILED);
	memset(c, 0, bytes);
	fill(a, small / sizeof(double), 1);
	identity(b, M, M);
	done = false;
	struct cdm_counters before = counters();
	for (int i = 0; i < ADDERS; i++)
		CHECK(!pthread_create(&thread[i], NULL, adds, &adder[i]));
	for (int call = 0; call < CALLS; call++)
		dgemm_("N", "N", &m, &m, &m, &one, a, &m, b, &m, &beta, c, &ld);
	done = true;
	for (int i = 0; i < ADDERS; i++) {
		CHECK(!pthread_join(thread[i], NULL));
		added += adder[i].added;
	}
	struct cdm_counters k = since(&before);
	CHECK(k.calls == CALLS && k.offloaded == CALLS, COUNT_FORMAT, COUNT_ARGS(k));
	CHECK(!shared || !is_private() || k.staged >= CALLS * small, COUNT_FORMAT, COUNT_ARGS(k));
	CHECK(k.to_device > 0 && (!is_private() || k.thrash || k.to_device >= bytes), COUNT_FORMAT, COUNT_ARGS(k));
	for (unsigned j = 0; j < LD; j++)
		sum += *slot(j);
	CHECK(added > CALLS && sum == added, "%llu of %llu additions are there", (unsigned long long)sum,
	      (unsigned long long)added);
	for (int j = 0; j < M; j++)
		for (int i = 0; i < M; i++) {
			double want = a[i + (size_t)j * M] * (accumulate ? CALLS : 1);
			CHECK(c[i + (size_t)j * LD] == want, "(%d, %d) is %g, not %g", i, j, c[i + (size_t)j * LD],
			      want);
		}
	for (int j = 0; j < LD; j++)
		for (int i = M + 1; i < LD; i++)
			CHECK(c[i + (size_t)j * LD] == 0, "padding (%d, %d) was written", i, j);
	munmap(a, bytes);
	munmap(b, bytes);
	munmap(c, bytes);
}

int main(void)
{
	for (int i = 0; i < 4; i++)
		run(i & 1, i & 2, false);
	run(false, false, true);
	run(false, true, true);
	return 0;
}

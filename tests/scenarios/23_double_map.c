/* Two, then four threads compute with one input at the same time: all of them on the device, and it moves there
 * once. */
#include "tests/scenarios/scenario.h"

enum { N = 512, THREADS = 4, CALLS = 5 };
static const size_t bytes = sizeof(double) * N * N;
static double *a, *b[THREADS], *c[THREADS];
static pthread_barrier_t begin;

static void *reader(void *arg)
{
	size_t i = (size_t)arg;

	pthread_barrier_wait(&begin);
	for (int call = 0; call < CALLS; call++)
		multiply(N, N, a, b[i], c[i]);
	return NULL;
}

static void run(size_t threads, unsigned seed)
{
	pthread_t thread[THREADS];

	fill(a, (size_t)N * N, seed); /* the device's copy, if any, is no longer right */
	for (size_t i = 0; i < threads; i++) {
		identity(b[i], N, N);
		for (int j = 0; j < N; j++)
			b[i][j + (size_t)j * N] = (double)i + 2;
		memset(c[i], 0, bytes);
		CHECK(!cdm_prefetch(b[i], bytes, CDM_TO_HOST) && !cdm_prefetch(c[i], bytes, CDM_TO_HOST));
	}
	CHECK(!cdm_prefetch(a, bytes, CDM_TO_HOST));
	CHECK(!pthread_barrier_init(&begin, NULL, (unsigned)threads));
	struct cdm_counters before = counters();
	for (size_t i = 0; i < threads; i++)
		CHECK(!pthread_create(&thread[i], NULL, reader, (void *)i));
	for (size_t i = 0; i < threads; i++)
		CHECK(!pthread_join(thread[i], NULL));
	struct cdm_counters k = since(&before);
	CHECK(k.calls == threads * CALLS && k.offloaded == k.calls, COUNT_FORMAT, COUNT_ARGS(k));
	CHECK(k.to_device + k.first_touch == (1 + 2 * threads) * bytes, "one move for each matrix: " COUNT_FORMAT,
	      COUNT_ARGS(k));
	CHECK(k.to_host == 0 && k.staged == 0, COUNT_FORMAT, COUNT_ARGS(k));
	CHECK_READ(a, bytes);
	for (size_t i = 0; i < threads; i++) {
		CHECK_READ(b[i], bytes);
		CHECK_WRITTEN(c[i], bytes);
		for (size_t e = 0; e < (size_t)N * N; e++)
			CHECK(c[i][e] == a[e] * ((double)i + 2), "thread %zu, element %zu", i, e);
	}
	pthread_barrier_destroy(&begin);
}

int main(void)
{
	a = map_private(bytes, true);
	for (size_t i = 0; i < THREADS; i++) {
		b[i] = map_private(bytes, i & 1);
		c[i] = map_private(bytes, i & 2);
		memset(c[i], 1, bytes);
	}
	identity(a, N, N);
	multiply(N, N, a, a, c[0]); /* the library is open from here on */
	for (unsigned round = 0; round < 4; round++)
		run(round & 1 ? THREADS : 2, round);
	return 0;
}

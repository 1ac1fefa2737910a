/* The device is taken away and given back while eight threads compute: operations in flight end, all data is home when
 * cdm_offline() returns, calls go on on the host, and no result is wrong. The time is printed beside that of one copy. */
#include <stdatomic.h>

#include "tests/scenarios/vector.h"

enum { THREADS = 8, BYTES = 4 << 20, COUNT = BYTES / 8 };

static double *block[THREADS];
static long bumps[THREADS];
static atomic_bool stop;

static void *work(void *arg)
{
	int me = (int)(intptr_t)arg;

	while (!atomic_load(&stop)) {
		bump(block[me], COUNT);
		bumps[me]++;
		size_t at = (size_t)bumps[me] * 4099 % COUNT;
		CHECK(block[me][at] == value(at, (unsigned)me) + (double)bumps[me], "thread %d, call %ld", me,
		      bumps[me]);
	}
	return NULL;
}

static void pause_ms(int ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000l};
	nanosleep(&t, NULL);
}

/* Waits until the calls of the threads, counted as offloaded or declined, are ten more. */
static void more_calls(bool offloaded)
{
	struct cdm_counters before = counters(), k;
	for (int i = 0; i < 3000; i++) {
		k = since(&before);
		if ((offloaded ? k.offloaded : k.declined) >= 10)
			return;
		pause_ms(10);
	}
	CHECK(false, "the threads stand still: " COUNT_FORMAT, COUNT_ARGS(k));
}

static double copy_time(void)
{
	char *a = malloc(THREADS * (size_t)BYTES), *b = malloc(THREADS * (size_t)BYTES);
	CHECK(a && b);
	memset(a, 1, THREADS * (size_t)BYTES);
	memset(b, 2, THREADS * (size_t)BYTES);
	double begin = seconds();
	memcpy(a, b, THREADS * (size_t)BYTES);
	double took = seconds() - begin;
	CHECK(a[BYTES] == 2);
	free(a), free(b);
	return took;
}

static void away_and_back(double copy)
{
	double begin = seconds();
	CHECK(!cdm_offline());
	double took = seconds() - begin;
	CHECK(counters().device_bytes == 0, "%zu bytes are still there", (size_t)counters().device_bytes);
	for (int i = 0; i < THREADS; i++)
		CHECK(on_device(block[i], BYTES) == 0);
	CHECK(cdm_prefetch(block[0], BYTES, CDM_TO_DEVICE) == -ENODEV);
	uint64_t offloaded = counters().offloaded;
	more_calls(false);
	CHECK(counters().offloaded == offloaded, "a call ran on a device that is not there");
	CHECK(counters().device_bytes == 0);
	CHECK(!cdm_online());
	more_calls(true);
	printf("home in %.1f ms, one copy of all is %.1f ms\n", took * 1e3, copy * 1e3);
}

int main(void)
{
	pthread_t thread[THREADS];
	double copy = copy_time();

	for (int i = 0; i < THREADS; i++) {
		block[i] = malloc(BYTES);
		CHECK(block[i]);
		fill(block[i], COUNT, (unsigned)i);
	}
	for (int i = 0; i < THREADS; i++)
		CHECK(!pthread_create(&thread[i], NULL, work, (void *)(intptr_t)i));
	more_calls(true);
	for (int i = 0; i < (is_small() ? 3 : 10); i++)
		away_and_back(copy);

	/* Twice. */
	CHECK(!cdm_offline() && !cdm_offline() && !cdm_online() && !cdm_online());
	more_calls(true);
	atomic_store(&stop, true);
	for (int i = 0; i < THREADS; i++)
		CHECK(!pthread_join(thread[i], NULL));
	for (int i = 0; i < THREADS; i++)
		EXPECT(block[i], COUNT, (unsigned)i, (double)bumps[i]);
	return 0;
}

/* munmap of half of a range while the device, called by another thread, works on the other half: right results, the
 * half is gone at once, its device memory is given back, and the rest goes on. Then the same with free() of a
 * neighbour. */
#include "tests/scenarios/scenario.h"

enum { N = 512, ROUNDS = 12, CALLS = 6 };
static const size_t bytes = sizeof(double) * N * N, half = 4 * sizeof(double) * N * N;

struct reader {
	double *a, *b, *c;
	pthread_barrier_t *begin;
	int good;
};

static void *device_reads(void *arg)
{
	struct reader *r = arg;

	pthread_barrier_wait(r->begin);
	for (int i = 0; i < CALLS; i++) {
		double *a = r->a + (size_t)(i % 4) * N * N;
		multiply(N, N, a, r->b, r->c);
		r->good += !memcmp(a, r->c, bytes);
	}
	return NULL;
}

static void round_of(int round, bool low, double *b, double *c)
{
	size_t base = counters().device_bytes;
	char *range = map_private(2 * half, round & 2), *gone = low ? range : range + half;
	double *kept = (double *)(low ? range + half : range);
	pthread_barrier_t begin;
	struct reader r = {.a = kept, .b = b, .c = c, .begin = &begin};
	pthread_t thread;
	unsigned char core;

	fill((double *)(void *)range, 2 * half / sizeof(double), (unsigned)round);
	if (round & 4)
		CHECK(!cdm_prefetch(range, 2 * half, CDM_TO_DEVICE));
	struct cdm_counters before = counters();
	CHECK(!pthread_barrier_init(&begin, NULL, 2));
	CHECK(!pthread_create(&thread, NULL, device_reads, &r));
	pthread_barrier_wait(&begin);
	usleep((useconds_t)(round * 700));
	CHECK(!munmap(gone, half));
	CHECK(mincore(gone, PAGE, &core) == -1 && errno == ENOMEM, "it is still mapped");
	struct cdm_where w = where(gone, half);
	CHECK(w.untracked == half, WHERE_FORMAT, WHERE_ARGS(w));
	CHECK(!pthread_join(thread, NULL));
	struct cdm_counters k = since(&before);
	CHECK(r.good == CALLS, "round %d: %d of %d results are right", round, r.good, CALLS);
	CHECK(k.offloaded == CALLS && k.declined == 0, COUNT_FORMAT, COUNT_ARGS(k));
	for (size_t i = 0; i < 4; i++) /* the change of the mapping may have brought it home */
		multiply(N, N, kept + i * N * N, b, c);
	CHECK_READ(kept, half);
	pid_t pid = fork(); /* the CPU meets what it must meet there */
	if (!pid)
		_exit(*(volatile char *)gone);
	child_killed(pid, SIGSEGV);
	CHECK(!munmap(kept, half));
	CHECK(counters().device_bytes <= base + 2 * bytes + HUGE, "unmapped memory is still charged: %zu KiB",
	      (size_t)counters().device_bytes >> 10);
	pthread_barrier_destroy(&begin);
}

/* Blocks side by side, one of which ends. */
static void blocks(int round, double *b, double *c)
{
	double *x = malloc(bytes), *kept = malloc(4 * bytes), *y = malloc(bytes);
	pthread_barrier_t begin;
	struct reader r = {.a = kept, .b = b, .c = c, .begin = &begin};
	pthread_t thread;

	fill(kept, 4 * (size_t)N * N, (unsigned)round);
	fill(x, (size_t)N * N, 1);
	CHECK(!cdm_prefetch(x, bytes, CDM_TO_DEVICE));
	CHECK(!pthread_barrier_init(&begin, NULL, 2));
	CHECK(!pthread_create(&thread, NULL, device_reads, &r));
	pthread_barrier_wait(&begin);
	free(x);
	free(y);
	CHECK(!pthread_join(thread, NULL));
	CHECK(r.good == CALLS, "round %d: %d of %d results are right", round, r.good, CALLS);
	free(kept);
	pthread_barrier_destroy(&begin);
}

int main(void)
{
	double *b = malloc(bytes), *c = malloc(bytes);

	identity(b, N, N);
	multiply(N, N, b, b, c); /* the library is open from here on */
	for (int round = 0; round < ROUNDS; round++) {
		round_of(round, round & 1, b, c);
		blocks(round, b, c);
	}
	return 0;
}

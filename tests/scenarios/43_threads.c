/* Eight threads read overlapping blocks of one matrix and write blocks of another; threads come and go; some are cancelled in
 * the middle of an operation, of a touch or of a read(2) into memory on the device; one leaves main's way with pthread_exit. */
#include <stdatomic.h>

#include "tests/scenarios/vector.h"

enum { THREADS = 8, N = 512, K = 64, WIDTH = N / THREADS };

static double *a, *b, *c; /* N x N; c is written in strips of WIDTH columns */
static int rounds;

/* C's strip += A(:, from..from+K) B(from..from+K, strip). */
static void strip(int me, int from)
{
	const int m = N, n = WIDTH, k = K, ld = N;
	const double one = 1;
	dgemm_("N", "N", &m, &n, &k, &one, a + (size_t)from * N, &ld, b + from + (size_t)me * WIDTH * N, &ld, &one,
	       c + (size_t)me * WIDTH * N, &ld);
}

static void *whole(void *arg)
{
	int me = (int)(intptr_t)arg;
	for (int i = 0; i < rounds; i++) {
		strip(me, (me + i) * 32 % (N - K));
		/* The CPU writes and reads in another thread's neighbourhood: its own last column. */
		double *own = c + ((size_t)me * WIDTH + WIDTH - 1) * N + me;
		*own += 1;
	}
	if (me & 1)
		pthread_exit(NULL);
	return NULL;
}

/* b is all ones, so element (i, j) of C counts the columns of A that were added. */
static void overlapping(void)
{
	size_t count = (size_t)N * N;
	pthread_t thread[THREADS];

	memset(c, 0, count * sizeof(*c));
	for (int i = 0; i < THREADS; i++)
		CHECK(!pthread_create(&thread[i], NULL, whole, (void *)(intptr_t)i));
	for (int i = 0; i < THREADS; i++)
		CHECK(!pthread_join(thread[i], NULL));
	for (int me = 0; me < THREADS; me++) {
		for (int i = 0; i < N; i++) {
			double sum = 0;
			for (int r = 0; r < rounds; r++)
				for (int k = 0; k < K; k++)
					sum += a[i + (size_t)((me + r) * 32 % (N - K) + k) * N];
			for (int j = me * WIDTH; j < (me + 1) * WIDTH; j++) {
				double more = j == (me + 1) * WIDTH - 1 && i == me ? rounds : 0;
				CHECK(c[i + (size_t)j * N] == sum + more, "(%d, %d) is %g, not %g", i, j,
				      c[i + (size_t)j * N], sum + more);
			}
		}
	}
}

enum { BYTES = 4 << 20, COUNT = BYTES / 8 };
static double *shared;
static int end[2];
static atomic_int ready;

/* Reads from an empty pipe into memory on the device: a cancellation point. */
static void *reads(void *arg)
{
	(void)arg;
	atomic_fetch_add(&ready, 1);
	CHECK(read(end[0], shared + COUNT / 2, 800) < 0);
	return NULL;
}
/* Computes and touches, and can be cancelled at once, but not inside the library, which is not made for that. */
static void *touches(void *arg)
{
	const volatile double *x = shared;
	(void)arg;
	atomic_fetch_add(&ready, 1);
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	for (;;)
		for (size_t i = 0; i < COUNT; i += 512)
			(void)x[i];
	return NULL;
}
static void *computes(void *arg)
{
	double *own = arg;
	atomic_fetch_add(&ready, 1);
	for (;;) {
		bump(own, COUNT);
		pthread_testcancel();
	}
	return NULL;
}

static void cancelled(void *(*function)(void *), double *own)
{
	pthread_t thread;
	void *result;

	atomic_store(&ready, 0);
	CHECK(!pthread_create(&thread, NULL, function, own));
	while (!atomic_load(&ready))
		sched_yield();
	usleep(5000);
	CHECK(!pthread_cancel(thread) && !pthread_join(thread, &result) && result == PTHREAD_CANCELED);
}

static void cancellation(void)
{
	double *own = resident_block(BYTES, 2);

	shared = resident_block(BYTES, 1);
	CHECK(!pipe(end));
	for (int i = 0; i < (is_small() ? 4 : 20); i++) {
		cancelled(reads, NULL);
		EXPECT(shared, COUNT, 1, 1 + i);
		cancelled(touches, NULL);
		bump(shared, COUNT);
		EXPECT(shared, COUNT, 1, 2 + i);
		cancelled(computes, own);
		double more = own[0] - value(0, 2);
		CHECK(more >= 1);
		EXPECT(own, COUNT, 2, more);
	}
	free(own);
	free(shared);
}

/* Many threads, each of which computes once. */
static void *once(void *arg)
{
	double *x = arg;
	bump(x, COUNT / 4);
	return NULL;
}
static void come_and_go(void)
{
	for (int i = 0; i < (is_small() ? 3 : 20); i++) {
		double *x = malloc(BYTES);
		pthread_t thread[4];
		CHECK(x);
		fill(x, COUNT, 3);
		for (int t = 0; t < 4; t++)
			CHECK(!pthread_create(&thread[t], NULL, once, x + t * (COUNT / 4)));
		for (int t = 0; t < 4; t++)
			CHECK(!pthread_join(thread[t], NULL));
		EXPECT(x, COUNT, 3, 1);
		free(x);
	}
}

static void *last(void *arg)
{
	(void)arg;
	double *x = resident_block(BYTES, 4);
	EXPECT(x, COUNT, 4, 1);
	usleep(20000); /* main has gone */
	bump(x, COUNT);
	EXPECT(x, COUNT, 4, 2);
	exit(0);
}

int main(void)
{
	size_t count = (size_t)N * N;
	pthread_t thread;

	rounds = is_small() ? 4 : 40;
	a = malloc(count * 8), b = malloc(count * 8), c = malloc(count * 8);
	CHECK(a && b && c);
	fill(a, count, 1);
	for (size_t i = 0; i < count; i++)
		b[i] = 1;
	for (int i = 0; i < (is_small() ? 1 : 5); i++)
		overlapping();
	cancellation();
	come_and_go();
	CHECK(counters().offloaded > 0);
	CHECK(!pthread_create(&thread, NULL, last, NULL));
	pthread_exit(NULL);
}

/* Soak: 8 threads allocate, free, resize, remap, advise, protect, do I/O, fork and compute at random, and check all
 * that memory holds, while the device is small, comes and goes.
 *
 * usage: soak [seconds [seed]]
 *
 * It runs without libcdm, too, which tests the test; with SOAK_DEVICE=1 libcdm must be there, and move and evict.
 *
 * Contents. Every element of a block is known at any time: base + layers. The base is a pattern of small integers made
 * from the block's seed and the element's index; a layer is a range or a rectangle that was overwritten since, by the
 * CPU, by the kernel or by a device operation whose result is again known per element (a product with a scaled,
 * shifted identity). Sums and products of small integers are exact, so a wrong bit is an error.
 *
 * Growth. Work goes in rounds of ROUND_MS. After each, all threads have freed all they had and stand still, and the
 * mappings (lines of /proc/self/maps) and the resident memory are sampled. In a run long enough for that, the median
 * of the last third of the samples may exceed the median of the first third (after WARM_UP_MS) by MAPS_SLACK and
 * RSS_SLACK. In the end every run rests for IDLE_S, so that libcdm gives back what it keeps for reuse, and what is
 * left then may exceed what was there after the first rounds' worth of libraries and stacks by MAPS_LEFT and RSS_LEFT.
 * See growth.c.
 *
 * The last line of a good run is "soak: ... 0 errors". An error prints what was found where, and what was last done to
 * the block. A thread that does nothing for STUCK_S is an error, too.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/soak/soak.h"

static struct thread thread[THREADS];
static _Atomic long offlines;
static atomic_int stop, round_over;
static pthread_barrier_t barrier;

static void deed(struct thread *t)
{
	struct block *b = &t->block[below(t, SLOTS)];

	if (!b->p) {
		allocate(t, b);
		return;
	}
	switch (draw(t) % 16) {
	case 0:
	case 1:
		release(t, b);
		break;
	case 2:
		resize(t, b);
		break;
	case 3:
		advise(t, b);
		break;
	case 4:
		protect(t, b);
		break;
	case 5:
	case 6:
	case 7:
		io(t, b);
		break;
	case 8:
		write_some(t, b);
		check_some(t, b);
		break;
	case 9:
		common_count(t);
		common_compute(t);
		break;
	case 10:
		if (one_in(t, 8))
			fork_one(t);
		else
			check_some(t, b);
		break;
	default:
		compute(t, b);
	}
}

static void *worker(void *arg)
{
	struct thread *t = arg;

	while (!stop) {
		while (!round_over) {
			deed(t);
			t->deeds++;
		}
		for (int i = 0; i < SLOTS; i++)
			release(t, &t->block[i]);
		t->now = "rest";
		pthread_barrier_wait(&barrier); /* all is freed */
		pthread_barrier_wait(&barrier); /* it has been measured */
	}
	return NULL;
}

void nap(int ms)
{
	struct timespec left = {ms / 1000, ms % 1000 * 1000000l};
	while (nanosleep(&left, &left) && errno == EINTR)
		;
}

/* The device goes and comes. After offline nothing is there. */
static void *controller(void *arg)
{
	struct thread *t = arg;

	while (!stop) {
		nap(300 + (int)below(t, 1500));
		if (!cdm_offline)
			continue;
		int e = cdm_offline();
		if (e)
			wrong(t, NULL, "offline: error %d", -e);
		nap((int)below(t, 60));
		e = cdm_online();
		if (e)
			wrong(t, NULL, "online: error %d", -e);
		offlines++;
	}
	return NULL;
}

static void stuck(void)
{
	printf("ERROR: a thread does not go on; threads are in:");
	for (int i = 0; i < THREADS; i++)
		printf(" %s", thread[i].now);
	printf("\n");
	fflush(stdout);
	_exit(3);
}

/* Waits until the round is over and everybody rests. Deeds are watched. */
static void round_run(int ms)
{
	static long seen[THREADS];
	static int still[THREADS];

	for (; ms > 0; ms -= 500) {
		nap(ms < 500 ? ms : 500);
		for (int i = 0; i < THREADS; i++) {
			still[i] = thread[i].deeds == seen[i] ? still[i] + 1 : 0;
			seen[i] = thread[i].deeds;
			if (still[i] * 500 > STUCK_S * 1000)
				stuck();
		}
	}
	round_over = 1;
}

static void on_alarm(int sig)
{
	(void)sig;
	stuck();
}

static void rounds_run(int seconds)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	for (time_t end = now.tv_sec + seconds; now.tv_sec < end && errors < ERRORS_SHOWN;
	     clock_gettime(CLOCK_MONOTONIC, &now)) {
		round_run(ROUND_MS);
		alarm(STUCK_S);
		pthread_barrier_wait(&barrier);
		alarm(0);
		growth_sample();
		common_check(&thread[0]);
		clock_gettime(CLOCK_MONOTONIC, &now);
		stop = now.tv_sec >= end || errors >= ERRORS_SHOWN;
		round_over = 0;
		pthread_barrier_wait(&barrier);
	}
}

static void thread_init(struct thread *t, int number, uint64_t seed)
{
	t->number = number;
	t->random = seed * 0x9e3779b97f4a7c15u + (uint64_t)number * 0xbf58476d1ce4e5b9u;
	t->now = "start";
	if (pipe(t->pipe) || socketpair(AF_UNIX, SOCK_DGRAM, 0, t->pair)) {
		perror("soak");
		exit(2);
	}
}

static void counters_show(void)
{
	struct cdm_counters k;

	if (!getenv("SOAK_DEVICE"))
		return;
	if (!cdm_counters || cdm_counters(&k, sizeof(k))) {
		wrong(&thread[0], NULL, "libcdm is not there");
		return;
	}
	printf("soak: %lu calls, %lu offloaded, %lu MiB out, %lu MiB home, %lu MiB staged, %lu host faults, %lu "
	       "evictions, %lu thrash, peak %lu of %lu MiB\n",
	       k.calls, k.offloaded, k.to_device >> 20, k.to_host >> 20, k.staged >> 20, k.host_faults, k.evictions,
	       k.thrash, k.device_peak >> 20, k.device_capacity >> 20);
	if (k.device_peak > k.device_capacity)
		wrong(&thread[0], NULL, "more on the device than it has");
	/* A run without work for the device proves nothing. */
	if (!k.offloaded || !k.to_device || !k.to_host || !k.evictions)
		wrong(&thread[0], NULL, "nothing was offloaded, moved or evicted");
}

int main(int argc, char **argv)
{
	int seconds = argc > 1 ? atoi(argv[1]) : 30;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL) * 1000003 + (uint64_t)getpid();
	static struct thread control;
	long deeds = 0;

	printf("soak: seed %lu, %d s\n", (unsigned long)seed, seconds);
	fflush(stdout);
	signal(SIGALRM, on_alarm);
	if (!pattern_file_open())
		return 2;
	device_open();
	if (!common_make())
		return 2;
	growth_start();
	pthread_barrier_init(&barrier, NULL, THREADS + 1);
	thread_init(&control, THREADS, seed);
	for (int i = 0; i < THREADS; i++) {
		thread_init(&thread[i], i, seed);
		pthread_create(&thread[i].id, NULL, worker, &thread[i]);
	}
	pthread_create(&control.id, NULL, controller, &control);
	rounds_run(seconds);
	stop = 1;
	for (int i = 0; i < THREADS; i++) {
		pthread_join(thread[i].id, NULL);
		deeds += thread[i].deeds;
	}
	pthread_join(control.id, NULL);
	growth_check(&control);
	idle_check(&control);
	counters_show();
	printf("soak: seed %lu, %ld deeds, %ld products, %ld forks, %ld times offline, %ld errors\n",
	       (unsigned long)seed, deeds, (long)products, (long)forks, (long)offlines, (long)errors);
	return errors != 0;
}

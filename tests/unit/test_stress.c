/* Four threads write to and compute on overlapping blocks while regions move out and home.
 *
 * One block of memory is four column strips of one matrix with a large leading dimension. Rows [0, N) belong to the
 * matrices, rows [N, LD) to counters, so every page holds both. Each thread, at random: increments its own counters
 * (plain loads and stores: a lost write shows as a lower count), increments shared counters atomically, multiplies
 * into its own strip and checks every element. A fifth thread sends the block home again and again, so that the
 * next call moves it out. CDM_TEST_SECONDS sets the time for each mechanism (60). */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <criterion/parameterized.h>

#include "tests/unit/engine.h"

#define THREADS 4
#define N 24
#define LD 4096 /* a column is 32 KiB: the block is 3 MiB of strips and counters */

static double *block, *other;
static _Atomic int stop;
static uint64_t own[THREADS][LD]; /* what each counter of each thread must be */
static _Atomic uint64_t shared_adds;
static _Atomic long calls, wrong, moves;

static double *strip(int t)
{
	return block + (size_t)t * N * LD;
}
static uint64_t *counter(int t, int row)
{
	return (uint64_t *)(strip(t) + (row % N) * LD) + row;
}
static _Atomic uint64_t *shared(int i)
{
	return (_Atomic uint64_t *)(block + (size_t)(i % (THREADS * N)) * LD) + LD - 1;
}

static uint32_t draw(uint64_t *x)
{
	*x = *x * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*x >> 33);
}

static void add(int t, uint64_t *x)
{
	for (int i = 0; i < 2000; i++) {
		int row = N + (int)(draw(x) % (LD - 1 - N));
		++*(volatile uint64_t *)counter(t, row);
		own[t][row]++;
		if (i % 16 == 0) {
			atomic_fetch_add(shared((int)draw(x)), 1);
			atomic_fetch_add(&shared_adds, 1);
		}
	}
}

/* C = A B with constant A and B in the other block: every element of C is N * a. */
static void compute(int t, uint64_t *x)
{
	double a = 1 + draw(x) % 1000;
	double *A = other + (size_t)t * 2 * N * LD, *B = A + (size_t)N * LD, *C = strip(t);

	for (int j = 0; j < N; j++)
		for (int i = 0; i < N; i++)
			A[i + j * LD] = a, B[i + j * LD] = 1;
	struct cdm_call call = gemm(A, B, C, N, LD);
	if (!cdm_call_offload(&call))
		return;
	atomic_fetch_add(&calls, 1);
	for (int j = 0; j < N; j++)
		for (int i = 0; i < N; i++)
			if (C[i + j * LD] != N * a)
				atomic_fetch_add(&wrong, 1);
}

static void *worker(void *arg)
{
	int t = (int)(intptr_t)arg;
	uint64_t x = 42 + (uint64_t)t;

	while (!stop) {
		add(t, &x);
		compute(t, &x);
	}
	return NULL;
}

static void *mover(void *arg)
{
	(void)arg;
	while (!stop) {
		cdm_residency_home((uintptr_t)block, cdm_block_size(block));
		cdm_residency_home((uintptr_t)other, cdm_block_size(other));
		atomic_fetch_add(&moves, 1);
		cdm_sys_yield();
	}
	return NULL;
}

static void check(void)
{
	uint64_t sum = 0;

	for (int t = 0; t < THREADS; t++)
		for (int row = N; row < LD - 1; row++)
			cr_assert_eq(*counter(t, row), own[t][row], "thread %d row %d", t, row);
	for (int i = 0; i < THREADS * N; i++)
		sum += *shared(i);
	cr_assert_eq(sum, shared_adds, "%lu atomic updates lost", (unsigned long)(shared_adds - sum));
	cr_assert_eq(wrong, 0, "%ld wrong elements", (long)wrong);
}

static unsigned seconds(void)
{
	const char *s = getenv("CDM_TEST_SECONDS");
	return s ? (unsigned)atoi(s) : 60;
}

struct cell {
	int device, mechanism;
};

ParameterizedTestParameters(stress, no_update_is_lost)
{
	static struct cell cells[] = {{CDM_DEVICE_EMU, CDM_MECHANISM_MOVE},
				      {CDM_DEVICE_EMU, CDM_MECHANISM_REMAP},
				      {CDM_DEVICE_EMU_PRIVATE, CDM_MECHANISM_MOVE},
				      {CDM_DEVICE_EMU_PRIVATE, CDM_MECHANISM_REMAP}};
	return cr_make_param_array(struct cell, cells, 4);
}

ParameterizedTest(struct cell *cell, stress, no_update_is_lost)
{
	pthread_t thread[THREADS + 1];
	struct timespec left = {.tv_sec = seconds()};
	size_t bytes = (size_t)THREADS * N * LD * 8;

	engine_start_on(cell->device, cell->mechanism, CDM_POLICY_FIRST_USE, 64 << 20);
	block = cdm_block_alloc(bytes, 1, true, NULL);
	other = cdm_block_alloc(2 * bytes, 1, true, NULL);
	for (int t = 0; t < THREADS; t++)
		pthread_create(&thread[t], NULL, worker, (void *)(intptr_t)t);
	pthread_create(&thread[THREADS], NULL, mover, NULL);
	while (nanosleep(&left, &left))
		;
	stop = 1;
	for (int t = 0; t <= THREADS; t++)
		pthread_join(thread[t], NULL);
	check();
	cr_assert(cdm_regions_valid());
	cr_assert_str_eq(cdm_residency_mechanism(), mechanism_name(cell->mechanism));
	cr_assert_gt(cdm_counted(&cdm_stats.to_host), 0);
	fprintf(stderr,
		"%s %s, %u s, seeds 42-45: %ld calls, %lu MiB out, %lu MiB home, %lu host faults, 0 lost of %lu\n",
		cdm_device.mem->name, mechanism_name(cell->mechanism), seconds(), (long)calls,
		(unsigned long)(cdm_counted(&cdm_stats.to_device) >> 20),
		(unsigned long)(cdm_counted(&cdm_stats.to_host) >> 20),
		(unsigned long)cdm_counted(&cdm_stats.host_faults), (unsigned long)shared_adds * 16);
}

/* The arena hands out distinct, zeroed, aligned memory, also to threads and after fork. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "offload/base/arena.h"

static bool zeroed(const unsigned char *p, size_t n)
{
	while (n && !p[n - 1])
		n--;
	return n == 0;
}

Test(arena, aligned_zeroed_and_distinct)
{
	enum { N = 2000 };
	static unsigned char *block[N];
	for (size_t i = 0; i < N; i++) {
		block[i] = cdm_arena_alloc(i);
		cr_assert_not_null(block[i]);
		cr_assert_eq((uintptr_t)block[i] % 16, 0);
		cr_assert(zeroed(block[i], i));
		memset(block[i], (int)(i % 255 + 1), i);
	}
	for (size_t i = 0; i < N; i++)
		for (size_t j = 0; j < i; j++)
			cr_assert_eq(block[i][j], i % 255 + 1);
}

Test(arena, large_blocks_and_refusal)
{
	unsigned char *p = cdm_arena_alloc((size_t)64 << 20);
	cr_assert_not_null(p);
	p[0] = p[((size_t)64 << 20) - 1] = 1;
	cr_assert_geq(cdm_arena_bytes(), (size_t)64 << 20);
	cr_assert_null(cdm_arena_alloc(SIZE_MAX));
	cr_assert_null(cdm_arena_alloc((size_t)1 << 60));
	cr_assert_not_null(cdm_arena_alloc(16));
}

Test(arena, small_use_takes_nothing_from_the_kernel)
{
	cr_assert_not_null(cdm_arena_alloc(4096));
	cr_assert_eq(cdm_arena_bytes(), 0);
}

enum { THREADS = 4, BLOCKS = 4000, SIZE = 100 };

static void *fill(void *arg)
{
	unsigned char id = (unsigned char)(uintptr_t)arg;
	unsigned char **mine = malloc(BLOCKS * sizeof(*mine));
	for (int i = 0; i < BLOCKS; i++) {
		mine[i] = cdm_arena_alloc(SIZE);
		if (!mine[i] || !zeroed(mine[i], SIZE))
			return NULL;
		memset(mine[i], id, SIZE);
	}
	uintptr_t good = 1;
	for (int i = 0; i < BLOCKS; i++)
		for (int j = 0; j < SIZE; j++)
			good &= mine[i][j] == id;
	free(mine);
	return (void *)good;
}

Test(arena, threads)
{
	pthread_t t[THREADS];
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, fill, (void *)(i + 1));
	for (int i = 0; i < THREADS; i++) {
		void *good;
		pthread_join(t[i], &good);
		cr_assert_not_null(good);
	}
}

static void *churn(void *stop)
{
	while (!*(volatile int *)stop)
		if (!cdm_arena_alloc(2000))
			break;
	return NULL;
}

/* A child forked at any moment of another thread's allocation can allocate. */
Test(arena, fork_during_allocation, .timeout = 60)
{
	volatile int stop = 0;
	pthread_t t;
	pthread_create(&t, NULL, churn, (void *)&stop);
	for (int i = 0; i < 100; i++) {
		int status;
		pid_t child = fork();
		if (!child) {
			cdm_arena_after_fork();
			alarm(10);
			_exit(fill((void *)7) ? 0 : 1);
		}
		waitpid(child, &status, 0);
		cr_assert_eq(status, 0);
	}
	stop = 1;
	pthread_join(t, NULL);
}

/* Random allocation from 4 threads with contents checked; blocks change hands, and children are forked meanwhile.
 *
 * usage: stress [seconds [seed]]
 */
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/prog/check.h"

#define THREADS 4
#define SLOTS 24
#define EXCHANGE 16

/* At the start of each block; the rest holds words that follow from seed and position. */
struct block {
	uint64_t seed;
	size_t size;
};

static _Atomic(struct block *) exchange[EXCHANGE];
static atomic_int stop;
static atomic_long operations;

static uint64_t draw(uint64_t *state)
{
	*state ^= *state << 13, *state ^= *state >> 7, *state ^= *state << 17;
	return *state;
}

/* Log-uniform from 32 bytes to 4 MiB, and often right at the limit of 1 MiB. */
static size_t draw_size(uint64_t *state)
{
	uint64_t r = draw(state);
	if (r % 8 == 0)
		return ((size_t)1 << 20) - 64 + (r >> 8) % 128;
	size_t base = (size_t)32 << ((r >> 8) % 17);
	return base + (r >> 20) % base;
}

static void paint(struct block *b, size_t size, uint64_t seed)
{
	uint64_t *w = (uint64_t *)b;
	*b = (struct block){seed, size};
	for (size_t i = 2; i < size / 8; i += i < 512 ? 1 : 61)
		w[i] = seed * (i | 1);
}
static int painted(const struct block *b, size_t upto)
{
	const uint64_t *w = (const uint64_t *)b;
	for (size_t i = 2; i < upto / 8; i += i < 512 ? 1 : 61)
		if (w[i] != b->seed * (i | 1))
			return 0;
	return 1;
}

static struct block *fresh(uint64_t *state)
{
	size_t size = draw_size(state), zeros = 0;
	uint64_t r = draw(state);
	struct block *b = NULL;
	if (r % 5 == 0) {
		b = calloc(1, size);
		for (size_t i = 0; b && i < size; i += 509)
			zeros += ((char *)b)[i] != 0;
		CHECK(zeros == 0);
	} else if (r % 5 == 1) {
		size_t align = (size_t)16 << ((r >> 8) % 12);
		CHECK(posix_memalign((void **)&b, align, size) == 0 && (uintptr_t)b % align == 0);
	} else {
		b = malloc(size);
	}
	CHECK(b && malloc_usable_size(b) >= size);
	if (b)
		paint(b, size, r | 1);
	return b;
}

static void retire(struct block *b)
{
	if (!b)
		return;
	CHECK(painted(b, b->size));
	free(b);
}

static struct block *resize(struct block *b, uint64_t *state)
{
	size_t size = draw_size(state), less = b->size < size ? b->size : size;
	struct block *c = realloc(b, size);
	CHECK(c && painted(c, less));
	if (c)
		paint(c, size, c->seed);
	return c;
}

static void map_and_unmap(uint64_t *state)
{
	size_t size = (draw_size(state) + 3 * 4096) & ~(size_t)4095;
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED && p[0] == 0 && p[size - 1] == 0);
	memset(p, 1, size);
	CHECK(munmap(p + 4096, 4096) == 0 && munmap(p, 4096) == 0 && munmap(p + 8192, size - 8192) == 0);
}

static void one(struct block **slot, uint64_t *state)
{
	uint64_t r = draw(state);
	struct block **s = &slot[r % SLOTS];
	switch ((r >> 8) % 8) {
	case 0:
		retire(*s);
		*s = NULL;
		break;
	case 1:
		*s = atomic_exchange(&exchange[(r >> 16) % EXCHANGE], *s);
		break;
	case 2:
		map_and_unmap(state);
		break;
	case 3:
	case 4:
		if (*s)
			*s = resize(*s, state);
		break;
	default:
		retire(*s);
		*s = fresh(state);
	}
	operations++;
}

static void *worker(void *arg)
{
	uint64_t state = (uint64_t)(uintptr_t)arg;
	struct block *slot[SLOTS] = {0};
	while (!stop)
		one(slot, &state);
	for (int i = 0; i < SLOTS; i++)
		retire(slot[i]);
	return NULL;
}

/* The child allocates on its own; what it inherited is in its place. */
static void fork_one(struct block *kept, uint64_t *state)
{
	pid_t child = fork();
	if (child == 0) {
		struct block *slot[SLOTS] = {0};
		for (int i = 0; i < 200; i++)
			one(slot, state);
		CHECK(painted(kept, kept->size));
		_exit(check_failures != 0);
	}
	int status = 1;
	CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}

int main(int argc, char **argv)
{
	int seconds = argc > 1 ? atoi(argv[1]) : 5, forks = 0;
	uint64_t state = (argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL)) | 1;
	printf("seed %llu\n", (unsigned long long)state);
	fflush(stdout);
	struct block *kept = malloc(5 << 20);
	paint(kept, 5 << 20, 12345);
	pthread_t thread[THREADS];
	for (int i = 0; i < THREADS; i++)
		pthread_create(&thread[i], NULL, worker, (void *)(uintptr_t)(draw(&state) | 1));
	for (time_t end = time(NULL) + seconds; time(NULL) < end; forks++) {
		usleep(50000);
		fork_one(kept, &state);
	}
	stop = 1;
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	for (int i = 0; i < EXCHANGE; i++)
		retire(exchange[i]);
	retire(kept);
	printf("%ld operations, %d forks\n", (long)operations, forks);
	return check_end("stress");
}

/* Patterns of allocation, each a run of its own, with and without the preload; memory.py alternates the runs and compares.
 *
 *   memory                             lists what memory.py runs: PATTERN BYTES COUNT, one a line
 *   memory PATTERN BYTES COUNT         prints the CPU time of one round in ns and the peak resident set in KiB
 *   memory PATTERN BYTES COUNT SECONDS the same, then sleeps, without a call, and prints what is resident in KiB
 *
 * All memory is freed at the end. CPU time is the whole process's, the kernel's share included: other programs on the machine
 * do not count.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define SLOTS 8

/* Out of the compiler's sight. */
static void *(*volatile make)(size_t) = malloc;
static void *(*volatile make_zero)(size_t, size_t) = calloc;
static void *(*volatile resize)(void *, size_t) = realloc;

static double cpu(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* A line of /proc/self/status, in KiB, without an allocation. */
static long status(const char *name)
{
	char text[4096];
	int fd = open("/proc/self/status", O_RDONLY);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	close(fd);
	text[n > 0 ? n : 0] = 0;
	char *at = strstr(text, name);
	return at ? atol(at + strlen(name)) : -1;
}

static size_t next(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return *seed >> 33;
}

/* Writes n bytes; the compiler may not drop it when the memory is freed next. */
static char *touch(char *p, int value, size_t n)
{
	memset(p, value, n);
	__asm__ volatile("" ::"r"(p) : "memory");
	return p;
}

static void *checked(void *p)
{
	if (!p)
		exit(3);
	return p;
}

/* ---- the patterns: one round each ---- */

static void loop(size_t bytes)
{
	char *p = checked(make(bytes));
	touch(p, 1, bytes);
	free(p);
}

static void bare(size_t bytes)
{
	char *p = checked(make(bytes));
	*(volatile char *)p = 1;
	free(p);
}

static void zeroed(size_t bytes)
{
	char *p = checked(make_zero(bytes / 16 + 1, 16));
	touch(p, 1, bytes);
	free(p);
}

/* One byte of each 256 KiB, as in a hash table or an array that is used here and there. */
static void sparse(size_t bytes)
{
	char *p = checked(make_zero(1, bytes));
	for (size_t i = 0; i < bytes; i += 256 * KIB)
		p[i] = 1;
	free(p);
}

/* From 1 MiB to bytes by 1.5; what is new is touched. */
static void grow(size_t bytes)
{
	size_t had = 0, n = MIB;
	char *p = NULL;
	for (; n <= bytes; had = n, n = n * 3 / 2) {
		p = checked(resize(p, n));
		touch(p + had, 1, n - had);
	}
	free(p);
}

/* Each block a little larger than the one before. */
static void ascend(size_t bytes)
{
	for (size_t n = MIB; n <= bytes; n += n / 5)
		loop(n);
}
static void descend(size_t bytes)
{
	for (size_t n = bytes; n >= MIB; n -= n / 6)
		loop(n);
}

/* Random sizes from 1 MiB to bytes; SLOTS are alive. */
static void random_sizes(size_t bytes, uint64_t seed, int count)
{
	char *live[SLOTS] = {NULL};
	for (int i = 0; i < count; i++) {
		char **slot = &live[next(&seed) % SLOTS];
		size_t n = MIB + next(&seed) % (bytes - MIB);
		free(*slot);
		*slot = checked(make(n));
		touch(*slot, i, n);
	}
	for (int i = 0; i < SLOTS; i++)
		free(live[i]);
}
static void mixed(size_t bytes)
{
	random_sizes(bytes, 7, 40);
}

struct work {
	size_t bytes;
	uint64_t seed;
};
static void *work(void *arg)
{
	struct work *w = arg;
	random_sizes(w->bytes, w->seed, 40);
	return NULL;
}
static void threads(size_t bytes)
{
	struct work w[2] = {{bytes, 3}, {bytes, 5}};
	pthread_t t[2];
	for (int i = 0; i < 2; i++)
		if (pthread_create(&t[i], NULL, work, &w[i]))
			exit(3);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
}

/* Many alive at once, then none. */
static void wave(size_t bytes)
{
	char *p[64];
	for (size_t i = 0; i < 64; i++)
		p[i] = touch(checked(make(bytes / 64 + i * 12345)), 1, bytes / 64 + i * 12345);
	for (size_t i = 0; i < 64; i++)
		free(p[i]);
}

static const struct {
	const char *name;
	void (*round)(size_t bytes);
} patterns[] = {{"loop", loop},     {"bare", bare},       {"calloc", zeroed}, {"sparse", sparse},   {"grow", grow},
		{"ascend", ascend}, {"descend", descend}, {"mixed", mixed},   {"threads", threads}, {"wave", wave}};
enum { PATTERNS = sizeof(patterns) / sizeof(patterns[0]) };

static void list(void)
{
	static const size_t size[] = {16,       100,      1000,     4096,        100000,    512 * KIB, MIB - 1,
				      MIB,      1500000,  2 * MIB,  3 * MIB + 1, 4 * MIB,   8 * MIB,   10000001,
				      16 * MIB, 31 * MIB, 33 * MIB, 64 * MIB,    100000007, 256 * MIB, 1024 * MIB};
	for (size_t i = 0; i < sizeof(size) / sizeof(size[0]); i++) {
		size_t count = 256 * MIB / (size[i] + 2000) + 2;
		printf("loop %zu %zu\n", size[i], count);
		if (size[i] == 100 || size[i] == MIB || size[i] == 8 * MIB || size[i] == 64 * MIB)
			printf("bare %zu %zu\ncalloc %zu %zu\n", size[i], count < 20000 ? 20000 : count, size[i],
			       count);
	}
	printf("sparse %zu 20\nsparse %zu 3\ngrow %zu 40\ngrow %zu 8\ngrow %zu 2\nascend %zu 2\ndescend %zu 2\n",
	       16 * MIB, 1024 * MIB, 8 * MIB, 64 * MIB, 512 * MIB, 64 * MIB, 64 * MIB);
	printf("mixed %zu 2\nmixed %zu 2\nthreads %zu 2\nwave %zu 3\n", 64 * MIB, 24 * MIB, 32 * MIB, 512 * MIB);
}

int main(int argc, char **argv)
{
	int which = 0;

	if (argc < 4) {
		list();
		return argc == 1 ? 0 : 2;
	}
	while (which < PATTERNS && strcmp(argv[1], patterns[which].name))
		which++;
	if (which == PATTERNS)
		return 2;
	size_t bytes = strtoull(argv[2], NULL, 10);
	int count = atoi(argv[3]);
	double begin = cpu();
	for (int i = 0; i < count; i++)
		patterns[which].round(bytes);
	double ns = (cpu() - begin) / count;
	printf("%.1f %ld", ns, status("VmHWM:"));
	fflush(stdout);
	if (argc > 4) {
		sleep((unsigned)atoi(argv[4]));
		printf(" %ld", status("VmRSS:"));
	}
	printf("\n");
	return 0;
}

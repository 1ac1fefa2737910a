/* Growth: the mappings and the resident memory, after each round and in the end. */
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/soak/soak.h"

#define WARM_UP_MS 15000
/* Between rounds libcdm holds free blocks for reuse: those of the last 10 s, at most what was in use at once, some 100
 * MiB, and how much of it varies with what was drawn. A page lost in each deed would be 48 MiB after a minute. */
#define RSS_SLACK (48l << 20)
#define MAPS_SLACK 96
#define IDLE_S 11 /* free blocks go back to the kernel after 10 s */
/* What stays for good: libraries that are opened on first need and their buffers, arenas of libc, frames for moves. */
#define RSS_LEFT (48l << 20) /* seen: 7 to 27 MiB, without libcdm 11 */
#define MAPS_LEFT 128        /* seen: 95 to 101 with two compute libraries, without libcdm 50 */

#define SAMPLES 4096

static long maps_at[SAMPLES], rss_at[SAMPLES];
static int samples;
static long maps_at_start, rss_at_start;

static long maps_lines(void)
{
	int fd = open("/proc/self/maps", O_RDONLY), c = 0;
	char buffer[16384];
	long lines = 0;

	for (ssize_t n; (n = read(fd, buffer, sizeof(buffer))) > 0;)
		for (c = 0; c < n; c++)
			lines += buffer[c] == '\n';
	close(fd);
	return lines;
}

static long rss(void)
{
	char line[128];
	long size = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (f && fgets(line, sizeof(line), f))
		sscanf(line, "%ld %ld", &size, &resident);
	if (f)
		fclose(f);
	return resident * (long)PAGE;
}

void growth_start(void)
{
	maps_at_start = maps_lines();
	rss_at_start = rss();
}

void growth_sample(void)
{
	if (samples == SAMPLES) { /* an hour and more: every second one is enough */
		for (int i = 0; i < SAMPLES / 2; i++)
			maps_at[i] = maps_at[2 * i], rss_at[i] = rss_at[2 * i];
		samples = SAMPLES / 2;
	}
	malloc_trim(0); /* what libc keeps for itself is not ours to judge */
	maps_at[samples] = maps_lines();
	rss_at[samples++] = rss();
}

static int compare(const void *a, const void *b)
{
	long x = *(const long *)a, y = *(const long *)b;
	return (x > y) - (x < y);
}

static long median(const long *v, int from, int to)
{
	long copy[SAMPLES];

	memcpy(copy, v + from, (size_t)(to - from) * sizeof(long));
	qsort(copy, (size_t)(to - from), sizeof(long), compare);
	return copy[(to - from) / 2];
}

void growth_check(struct thread *t)
{
	int warm = WARM_UP_MS / ROUND_MS, n = samples - warm, third = n / 3;

	t->now = "growth";
	if (n < 6)
		return;
	long maps0 = median(maps_at, warm, warm + third), maps1 = median(maps_at, samples - third, samples);
	long rss0 = median(rss_at, warm, warm + third), rss1 = median(rss_at, samples - third, samples);
	printf("soak: %d rounds; mappings %ld at first, %ld at last; memory %ld MiB at first, %ld MiB at last\n",
	       samples, maps0, maps1, rss0 >> 20, rss1 >> 20);
	if (maps1 > maps0 + MAPS_SLACK)
		wrong(t, NULL, "mappings grew from %ld to %ld", maps0, maps1);
	if (rss1 > rss0 + RSS_SLACK)
		wrong(t, NULL, "memory grew from %ld to %ld MiB", rss0 >> 20, rss1 >> 20);
}

/* What is kept for reuse goes back to the kernel in the end. */
void idle_check(struct thread *t)
{
	t->now = "idle";
	printf("soak: at rest\n"); /* the next one may start */
	fflush(stdout);
	nap(IDLE_S * 1000);
	for (int i = 0; i < 100; i++) { /* each gives some back of what is overdue */
		void *volatile p = malloc(3 << 20);
		free(p);
	}
	malloc_trim(0);
	long maps1 = maps_lines(), rss1 = rss();
	printf("soak: mappings %ld at the start, %ld in the end; memory %ld MiB, %ld MiB\n", maps_at_start, maps1,
	       rss_at_start >> 20, rss1 >> 20);
	if (maps1 > maps_at_start + MAPS_LEFT)
		wrong(t, NULL, "%ld mappings are left, %ld at the start", maps1, maps_at_start);
	if (rss1 > rss_at_start + RSS_LEFT)
		wrong(t, NULL, "%ld MiB are left, %ld at the start", rss1 >> 20, rss_at_start >> 20);
}

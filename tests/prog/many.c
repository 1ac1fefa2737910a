/* More live blocks than the kernel allows mappings: malloc goes on where libc's does, and the program's own mappings find
 * room. Prints what could be allocated, which is not to be less than without libcdm.
 *
 *   many COUNT BYTES [MAPPINGS]     at most MAPPINGS of /proc/self/maps in use at any time
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "tests/prog/check.h"

enum { OWN = 50, PAGE = 4096 };

static long most, count, bytes;
static char **block;

static long mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	long n = 0;

	CHECK(f != NULL);
	for (int c; (c = getc(f)) != EOF;)
		n += c == '\n';
	fclose(f);
	return n;
}

/* Mappings that merge with no other, which are split, and go. */
static void own_calls(const char *when)
{
	char *p[OWN];

	for (int i = 0; i < OWN; i++) {
		p[i] = mmap(NULL, 3 * PAGE, i & 1 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		CHECK(p[i] != MAP_FAILED);
		CHECK(!mprotect(p[i] + PAGE, PAGE, PROT_READ | PROT_WRITE));
	}
	for (int i = 0; i < OWN; i++)
		CHECK(!munmap(p[i] + PAGE, PAGE) && !munmap(p[i], 3 * PAGE));
	long n = mappings();
	printf("%s: %ld mappings\n", when, n);
	CHECK(n <= most);
}

/* Not those that may have 2 MiB pages: a single byte would take one. */
static void touch(long i)
{
	if (bytes < 2 << 20)
		block[i][bytes - 1] = (char)i;
}

static void check(long i)
{
	if (bytes < 2 << 20)
		CHECK(block[i][bytes - 1] == (char)i);
}

static void take(long i)
{
	block[i] = malloc((size_t)bytes);
	if (!block[i])
		fprintf(stderr, "no memory for block %ld; %ld mappings\n", i, mappings()), exit(1);
	touch(i);
}

static void drop(long from, long step)
{
	for (long i = from; i < count; i += step) {
		check(i);
		free(block[i]);
	}
}

static void grow(long from, long step, long n)
{
	for (long i = from; i < count && n--; i += step) {
		check(i);
		block[i] = realloc(block[i], (size_t)bytes * 2);
		block[i] = realloc(block[i], (size_t)bytes / 4 * 3);
		block[i] = realloc(block[i], (size_t)bytes);
		CHECK(block[i] != NULL);
		touch(i);
	}
}

int main(int argc, char **argv)
{
	CHECK(argc >= 3);
	count = atol(argv[1]);
	bytes = atol(argv[2]);
	most = argc > 3 ? atol(argv[3]) : 1 << 20;
	block = calloc((size_t)count, sizeof *block);
	for (long i = 0; i < count; i++)
		take(i);
	own_calls("all live");
	drop(0, 2);
	own_calls("every second freed");
	for (long i = 0; i < count; i += 2)
		take(i);
	own_calls("all live again");
	grow(1, 2, 1000);
	own_calls("some reallocated");
	drop(1, 2);
	drop(0, 2);
	own_calls("none");
	free(block);
	return check_end("many");
}

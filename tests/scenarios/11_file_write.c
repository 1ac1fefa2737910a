/* The device writes a file through its shared mapping: pread agrees when the call returns. A private mapping's file
 * stays as it was. Bytes beside the operand stay, too. */
#include "tests/scenarios/scenario.h"

enum { N = 512, OFFSET = 24 };
static const size_t bytes = sizeof(double) * N * N, length = sizeof(double) * N * N + PAGE;

static void check_file(int fd, const double *expected, const char *what)
{
	double *now = malloc(bytes);
	char edge[OFFSET];

	CHECK(pread(fd, now, bytes, OFFSET) == (ssize_t)bytes);
	CHECK(!memcmp(now, expected, bytes), "the file differs: %s", what);
	CHECK(pread(fd, edge, OFFSET, 0) == OFFSET && edge[0] == 'e' && edge[OFFSET - 1] == 'e', "before: %s", what);
	CHECK(pread(fd, edge, 1, (off_t)(OFFSET + bytes)) == 1 && edge[0] == 'e', "behind: %s", what);
	free(now);
}

static void run(int flags)
{
	char path[] = "/tmp/scenario_XXXXXX";
	int fd = mkstemp(path);
	double *a = malloc(bytes), *b = malloc(bytes), *expected = malloc(bytes);

	CHECK(fd >= 0 && !unlink(path));
	memset(a, 'e', bytes);
	CHECK(write(fd, a, bytes) == (ssize_t)bytes && write(fd, a, PAGE) == (ssize_t)PAGE);
	char *map = mmap(NULL, length, PROT_READ | PROT_WRITE, flags, fd, 0);
	CHECK(map != MAP_FAILED);
	double *c = (double *)(map + OFFSET); /* not even aligned to a cache line */
	memcpy(expected, a, bytes);
	fill(a, (size_t)N * N, 1);
	identity(b, N, N);

	struct cdm_counters before = counters();
	multiply(N, N, a, b, c);
	struct cdm_counters k = since(&before);
	CHECK(k.offloaded == 1 && k.declined == 0, COUNT_FORMAT, COUNT_ARGS(k));
	CHECK(k.staged >= (is_private() ? bytes : 0), COUNT_FORMAT, COUNT_ARGS(k));
	CHECK_HOME(map, length);
	check_file(fd, flags == MAP_SHARED ? a : expected, flags == MAP_SHARED ? "shared" : "private");
	CHECK(!memcmp(c, a, bytes));

	multiply_add(N, N, a, b, c); /* reads it, too */
	for (size_t i = 0; i < (size_t)N * N; i++)
		a[i] *= 2;
	check_file(fd, flags == MAP_SHARED ? a : expected, "added");
	CHECK(!memcmp(c, a, bytes));
	munmap(map, length);
	check_file(fd, flags == MAP_SHARED ? a : expected, "unmapped");
	close(fd);
	free(a);
	free(b);
	free(expected);
}

int main(void)
{
	run(MAP_SHARED);
	run(MAP_PRIVATE);
	return 0;
}

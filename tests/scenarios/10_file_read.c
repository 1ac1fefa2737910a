/* The device reads a file through its mapping: shared and private, writable and read-only. The mapping does not
 * move. */
#include "tests/scenarios/scenario.h"

enum { N = 512 };
static const size_t bytes = sizeof(double) * N * N;

static int file_of(const double *data)
{
	char path[] = "/tmp/scenario_XXXXXX";
	int fd = mkstemp(path);

	CHECK(fd >= 0 && !unlink(path));
	CHECK(write(fd, data, bytes) == (ssize_t)bytes);
	return fd;
}

static void run(const double *data, const double *b, int prot, int flags)
{
	int fd = file_of(data);
	double *a = mmap(NULL, bytes, prot, flags, fd, 0), *c = malloc(bytes);

	CHECK(a != MAP_FAILED);
	memset(c, 0, bytes);
	struct cdm_counters before = counters();
	multiply(N, N, a, b, c);
	struct cdm_counters k = since(&before);
	CHECK(k.offloaded == 1 && k.declined == 0, COUNT_FORMAT, COUNT_ARGS(k));
	CHECK(k.staged >= (is_private() ? bytes : 0), COUNT_FORMAT, COUNT_ARGS(k));
	CHECK_HOME(a, bytes);
	CHECK(!memcmp(data, c, bytes), "the device has not read the file");

	/* Another writer of the file: what a shared mapping shows, the device sees. */
	double nine = 9;
	CHECK(pwrite(fd, &nine, sizeof(nine), 4096) == sizeof(nine));
	multiply(N, N, a, b, c);
	CHECK(c[512] == ((volatile double *)a)[512], "the device sees %g, the CPU %g", c[512], a[512]);
	CHECK(flags == MAP_PRIVATE || c[512] == 9);
	int e = cdm_prefetch(a, bytes, CDM_TO_DEVICE);
	CHECK(e == -EPERM, "moving a file's mapping: %d", e);
	free(c);
	munmap(a, bytes);
	close(fd);
}

int main(void)
{
	double *data = malloc(bytes), *b = malloc(bytes);

	fill(data, (size_t)N * N, 1);
	identity(b, N, N);
	run(data, b, PROT_READ | PROT_WRITE, MAP_SHARED);
	run(data, b, PROT_READ, MAP_SHARED);
	run(data, b, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	run(data, b, PROT_READ, MAP_PRIVATE);
	return 0;
}

/* Mappings of a driver's as operands: used in place, staged, or declined, never moved, and the data is right. Tried
 * are the kernel's vdso (read only), io_uring's submission entries, secret memory that nothing but the CPU can reach,
 * and shared /dev/zero; of these a machine has some. Then /dev/cdm0, libcdm's own emulated device, whose memory is
 * born there. */
#include "tests/scenarios/scenario.h"

#include <linux/io_uring.h>
#include <sys/auxv.h>
#include <sys/syscall.h>

enum { N = 256 };
static const size_t bytes = sizeof(double) * N * N;
static double *a, *eye;

void dcopy_(const int *n, const double *x, const int *incx, double *y, const int *incy);

/* C = A * I there, then D = C * I from there. Ends the mapping. */
static void operand(double *c, const char *what, bool moves)
{
	double *d = malloc(bytes);
	struct cdm_counters before = counters();

	multiply(N, N, a, eye, c);
	CHECK(!memcmp(a, c, bytes), "%s: as an output", what);
	c[5] = 77;
	multiply(N, N, c, eye, d);
	CHECK(d[5] == 77 && !memcmp(d + 6, a + 6, bytes - 6 * sizeof(double)), "%s: as an input", what);
	struct cdm_counters k = since(&before);
	CHECK(k.calls == 2 && k.offloaded + k.declined == 2, "%s: " COUNT_FORMAT, what, COUNT_ARGS(k));
	if (!moves)
		CHECK_HOME(c, bytes);
	printf("%s: %s%s\n", what, k.offloaded ? "offloaded" : "declined", k.staged ? ", staged" : "");
	free(d);
	munmap(c, bytes);
}

static void *map_at_fd(int fd, off_t at)
{
	if (fd < 0)
		return MAP_FAILED;
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, at);
	close(fd);
	return p;
}

static void *submission_entries(void)
{
	struct io_uring_params params = {0};
	return map_at_fd((int)syscall(SYS_io_uring_setup, 32768 / 4, &params), IORING_OFF_SQES); /* 64 bytes each */
}

static void *secret_memory(void)
{
	int fd = (int)syscall(SYS_memfd_secret, 0);
	if (fd >= 0 && ftruncate(fd, (off_t)bytes)) {
		close(fd);
		fd = -1;
	}
	return map_at_fd(fd, 0);
}

/* The kernel's code page as a vector of numbers. */
static int vdso(void)
{
	const int n = 512, one = 1;
	const double *code = (const void *)getauxval(AT_SYSINFO_EHDR);
	double *copy = malloc(bytes);

	if (!code)
		return 0;
	CHECK(*(const char *)(code) == 0x7f);
	struct cdm_counters before = counters();
	dcopy_(&n, code, &one, copy, &one);
	struct cdm_counters k = since(&before);
	CHECK(!memcmp(code, copy, sizeof(double) * 512), "vdso: as an input");
	CHECK(k.calls == 1 && k.to_device <= HUGE, COUNT_FORMAT, COUNT_ARGS(k));
	CHECK(where(code, PAGE).device + where(code, PAGE).shared == 0);
	printf("vdso: %s%s\n", k.offloaded ? "offloaded" : "declined", k.staged ? ", staged" : "");
	free(copy);
	return 1;
}

static void own_device(void)
{
	const size_t size = 4 * HUGE;
	int fd = open("/dev/cdm0", O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0, "/dev/cdm0: %s", strerror(errno));
	struct cdm_counters before = counters();
	double *c = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	CHECK(c != MAP_FAILED, "/dev/cdm0: %s", strerror(errno));
	close(fd);
	CHECK_WRITTEN(c, size);
	struct cdm_counters k = since(&before);
	CHECK(k.to_device == 0 && k.device_bytes >= before.device_bytes + size, COUNT_FORMAT, COUNT_ARGS(k));
	multiply(N, N, a, eye, c);
	CHECK_WRITTEN(c, size);
	k = since(&before);
	CHECK(k.offloaded == 1 && k.staged <= 2 * bytes && k.host_faults == 0, COUNT_FORMAT, COUNT_ARGS(k));
	CHECK(k.first_touch >= size, "born there, and not counted: " COUNT_FORMAT, COUNT_ARGS(k));
	CHECK(!memcmp(a, c, bytes));
	for (size_t i = bytes / sizeof(double); i < size / sizeof(double); i++)
		CHECK(c[i] == 0, "element %zu is %g", i, c[i]);
	CHECK(!munmap(c, size));
	CHECK(counters().device_bytes <= before.device_bytes + HUGE, "unmapped and still charged");
}

int main(void)
{
	int tried = 0;
	void *p;

	a = malloc(bytes);
	eye = malloc(bytes);
	fill(a, (size_t)N * N, 1);
	identity(eye, N, N);
	tried += vdso();
	if ((p = submission_entries()) != MAP_FAILED)
		tried++, operand(p, "io_uring", false);
	if ((p = secret_memory()) != MAP_FAILED)
		tried++, operand(p, "secret memory", false);
	if ((p = map_at_fd(open("/dev/zero", O_RDWR | O_CLOEXEC), 0)) != MAP_FAILED)
		tried++, operand(p, "/dev/zero", false);
	own_device();
	if (!tried)
		refused("the machine has none of the mappings that this tries");
	return 0;
}

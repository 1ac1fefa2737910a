/* Pages of 2 MiB report as such in smaps and follow mprotect, at home, on the device and back again. */
#include "tests/scenarios/scenario.h"

enum { N = 1024 };
static const size_t bytes = sizeof(double) * N * N, half = sizeof(double) * N * N / 2;

static void dies_writing(volatile char *p)
{
	pid_t pid = fork();
	if (!pid) {
		*p = 1;
		_exit(0);
	}
	child_killed(pid, SIGSEGV);
}

int main(void)
{
	double *a = map_private(bytes, true), *eye = malloc(bytes), *c = map_private(bytes, true);

	fill(a, (size_t)N * N, 1);
	memset(c, 0, bytes);
	identity(eye, N, N);
	if (huge_bytes(a, bytes) != bytes || huge_bytes(c, bytes) != bytes)
		refused("the kernel gives no pages of 2 MiB here");
	multiply(N, N, a, eye, c);
	CHECK_WRITTEN(c, bytes);
	if (!is_private())
		CHECK(huge_bytes(c, bytes) == bytes, "on the device: %zu KiB", huge_bytes(c, bytes) >> 10);

	/* Half of it read-only, on the device. */
	CHECK(!mprotect(c, half, PROT_READ));
	CHECK(!strncmp(permissions(c), "r--p", 4), "%s", permissions(c));
	CHECK(!memcmp(a, c, bytes), "after mprotect");
	CHECK(!strncmp(permissions(c), "r--p", 4), "%s", permissions(c));
	CHECK(huge_bytes(c, half) == half && huge_bytes(c, bytes) == bytes, "read-only: %zu KiB, %zu in all",
	      huge_bytes(c, half) >> 10, huge_bytes(c, bytes) >> 10);
	dies_writing((char *)c + half - 1);
	((volatile char *)c)[half] = ((volatile char *)c)[half];
	CHECK(!strncmp(permissions((char *)c + half), "rw-p", 4), "the other half: %s", permissions((char *)c + half));

	/* As an input that is fine; it stays whole, and read-only. */
	double *d = malloc(bytes);
	struct cdm_counters before = counters();
	multiply(N, N, c, eye, d);
	CHECK(since(&before).offloaded == 1 && !memcmp(a, d, bytes));
	CHECK(!strncmp(permissions(c), "r--p", 4), "%s", permissions(c));

	/* One small page of a 2 MiB page: the rest keeps its rights, the data is right, here and there. */
	CHECK(!mprotect(c, half, PROT_READ | PROT_WRITE));
	multiply(N, N, a, eye, c);
	char *page = (char *)c + HUGE + 5 * PAGE;
	CHECK(!mprotect(page, PAGE, PROT_NONE));
	CHECK(!strncmp(permissions(page), "---p", 4));
	CHECK(!memcmp(a, c, HUGE + 5 * PAGE) &&
	      !memcmp((char *)a + HUGE + 6 * PAGE, page + PAGE, bytes - HUGE - 6 * PAGE));
	dies_writing(page);
	CHECK(!mprotect(page, PAGE, PROT_READ | PROT_WRITE));
	CHECK(!memcmp(a, c, bytes), "after PROT_NONE");
	before = counters();
	multiply_add(N, N, a, eye, c);
	CHECK(since(&before).offloaded == 1);
	CHECK_WRITTEN(c, bytes);
	CHECK(!cdm_prefetch(c, bytes, CDM_TO_HOST));
	for (size_t i = 0; i < (size_t)N * N; i++)
		CHECK(c[i] == 2 * a[i]);
	CHECK(huge_bytes(c, bytes) >= bytes - HUGE, "back: %zu KiB",
	      huge_bytes(c, bytes) >> 10); /* but for the one that was split */
	return 0;
}

/* A copy home fails, at the first, second, ... attempt, on each of the ways home; and the host's address space runs out
 * before memory comes home: nothing is lost.
 * limit: 120
 */
#include <sys/resource.h>

#include "tests/scenarios/vector.h"

static const size_t bytes = 6 * MIB, count = 6 * MIB / sizeof(double);

static void by_touch(double *x)
{
	x[count / 3] += 1;
	x[count / 3] -= 1;
}
static void by_request(double *x)
{
	for (int i = 0; i < 3 && cdm_prefetch(x, bytes, CDM_TO_HOST); i++)
		;
}
static void by_offline(double *x)
{
	(void)x;
	for (int i = 0; i < 3 && cdm_offline(); i++)
		;
	CHECK(!cdm_online());
}
static void by_fork(double *x)
{
	pid_t pid = fork();
	if (!pid) {
		EXPECT(x, count, 1, 1);
		_exit(0);
	}
	child_passed(pid);
}
static void by_read(double *x)
{
	int fd[2];
	double end = x[count - 1];
	CHECK(!pipe(fd) && write(fd[1], "12345678", 8) == 8);
	CHECK(read(fd[0], &x[count - 1], 8) == 8 && !memcmp(&x[count - 1], "12345678", 8));
	x[count - 1] = end;
	close(fd[0]), close(fd[1]);
}
static void by_mremap(double *x)
{
	char *to = map_private(bytes, false);
	void *q = mremap(x, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	CHECK(q == to || q == MAP_FAILED);
	if (q == to)
		CHECK(mremap(to, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, x) == x);
}
static void by_mprotect(double *x)
{
	CHECK(!mprotect(x, bytes, PROT_READ));
	CHECK(x[5] == value(5, 1) + 1);
	CHECK(!mprotect(x, bytes, PROT_READ | PROT_WRITE));
}

static void (*const way[])(double *) = {by_touch, by_request, by_offline, by_fork, by_read, by_mremap, by_mprotect};
enum { WAYS = sizeof(way) / sizeof(way[0]) };

static void come_home(int i)
{
	double *x = map_private(bytes, false);

	if (strstr(getenv("CDM_FAULT"), "alloc")) {
		fill(x, count, 1);
		bump(x, count); /* with less of it, or nothing, on the device */
	} else {
		resident(x, count, 1);
	}
	way[i](x);
	EXPECT(x, count, 1, 1);
	bump(x, count);
	EXPECT(x, count, 1, 2);
	CHECK(!munmap(x, bytes));
}

/* A mapping limit below what is used: no new mapping can be had. */
static void no_address_space(void)
{
	struct rlimit none = {1, 1};
	double *x = resident_block(bytes, 1), *y = resident_block(bytes, 2), *z = resident_block(bytes, 3);

	CHECK(!setrlimit(RLIMIT_AS, &none));
	EXPECT(x, count, 1, 1);
	for (size_t i = 0; i < count; i++)
		y[i] += 1;
	EXPECT(y, count, 2, 2);
	int ret = cdm_prefetch(z, bytes, CDM_TO_HOST);
	CHECK(!ret || ret == -ENOMEM, "%d", ret);
	EXPECT(z, count, 3, 1);
	free(x), free(y), free(z);
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		come_home(atoi(argv[1]));
		return 0;
	}
	char fault[32], number[8];
	for (int i = 0; i < WAYS; i++) {
		for (int n = 1; n <= (is_small() ? 2 : 4); n++) {
			snprintf(fault, sizeof(fault), "copy-home:%d", n);
			snprintf(number, sizeof(number), "%d", i);
			again(fault, number);
		}
	}
	again("copy-home:1,alloc:2", "0");
	pid_t pid = fork();
	if (!pid) {
		no_address_space();
		_exit(0);
	}
	child_passed(pid);
	return 0;
}

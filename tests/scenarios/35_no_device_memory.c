/* Device memory runs out, or a copy to the device fails, at the first, second, ... attempt or always: the operation goes on
 * in smaller pieces, with less on the device, or on the host, and no byte is wrong. The host's address space runs out, too.
 * limit: 120
 */
#include <sys/resource.h>

#include "tests/scenarios/vector.h"

enum { BLOCKS = 3 };
static const size_t bytes = 4 * MIB, count = 4 * MIB / sizeof(double);

/* Nothing is there, not even for a moment. */
static void nothing_there(double *x[])
{
	struct cdm_counters k = counters();

	for (int i = 0; i < BLOCKS; i++)
		CHECK(on_device(x[i], bytes) == 0);
	CHECK(k.to_device == 0 && k.first_touch == 0 && k.device_bytes == 0,
	      "%zu bytes went to a device without memory; " COUNT_FORMAT, (size_t)k.device_bytes, COUNT_ARGS(k));
	if (is_private())
		CHECK(k.offloaded == 0 && k.declined == k.calls, COUNT_FORMAT, COUNT_ARGS(k));
}

/* Computes with three blocks, product and sums, and checks all of them. */
static void work(bool never_memory)
{
	double *x[BLOCKS];

	for (int i = 0; i < BLOCKS; i++) {
		x[i] = malloc(bytes);
		CHECK(x[i]);
		fill(x[i], count, (unsigned)i);
	}
	for (int round = 1; round <= 3; round++) {
		for (int i = 0; i < BLOCKS; i++)
			bump(x[i], count);
		if (never_memory)
			nothing_there(x);
		for (int i = 0; i < BLOCKS; i++)
			CHECK(device_sum(x[i], count) == sum_of(count, (unsigned)i, round), "round %d, block %d", round,
			      i);
		x[1][count / 2] += 1; /* one page comes home, and goes again */
		bump(x[1], count);
		for (size_t i = 0; i < count; i++)
			x[1][i] -= 1;
		x[1][count / 2] -= 1;
	}
	for (int i = 0; i < BLOCKS; i++)
		EXPECT(x[i], count, (unsigned)i, 3);

	const int n = 64;
	double a[64 * 64], b[64 * 64], c[64 * 64];
	fill(a, (size_t)n * n, 1);
	identity(b, n, n);
	multiply(n, n, a, b, c);
	CHECK(!memcmp(a, c, sizeof(c)));
	for (int i = 0; i < BLOCKS; i++)
		free(x[i]);
}

/* No more mappings: what has begun is whole, and so is what follows. */
static void no_address_space(void)
{
	struct rlimit none = {1, 1};
	double *x = resident_block(bytes, 1), *y = malloc(bytes), *z = malloc(bytes);

	fill(y, count, 2);
	CHECK(z); /* untouched so far */
	CHECK(!setrlimit(RLIMIT_AS, &none));
	bump(y, count);
	bump(x, count);
	bump(z, count);
	EXPECT(x, count, 1, 2);
	EXPECT(y, count, 2, 1);
	for (size_t i = 0; i < count; i++)
		CHECK(z[i] == 1, "%g", z[i]);
	bump(x, count);
	EXPECT(x, count, 1, 3);
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		work(!strcmp(argv[1], "always"));
		return 0;
	}
	char fault[32];
	for (int n = 1; n <= (is_small() ? 3 : 8); n++) {
		snprintf(fault, sizeof(fault), "alloc:%d", n);
		again(fault, "once");
		snprintf(fault, sizeof(fault), "copy-out:%d", n);
		again(fault, "once");
	}
	again("alloc:1+", "always");
	again("alloc:3+", "later");
	again("copy-out:3+", "later");
	if (is_private())
		again("copy-out:1+", "later");
	again("alloc:2,copy-out:2", "once");

	pid_t pid = fork();
	if (!pid) {
		no_address_space();
		_exit(0);
	}
	child_passed(pid);
	return 0;
}

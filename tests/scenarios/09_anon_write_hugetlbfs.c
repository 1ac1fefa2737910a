/* Operands in MAP_HUGETLB memory, where the machine has any: computed on (in place or staged) or declined, and
 * right. */
#include "tests/scenarios/scenario.h"

enum { N = 512 };
static const size_t bytes = sizeof(double) * N * N; /* one page of 2 MiB */

int main(void)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | 21 << 26; /* MAP_HUGE_2MB */
	double *c = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
	double *a = malloc(bytes), *b = malloc(bytes), *d = malloc(bytes);

	if (c == MAP_FAILED)
		refused("the machine has no pages for MAP_HUGETLB (vm.nr_hugepages)");
	fill(a, (size_t)N * N, 1);
	identity(b, N, N);
	for (int round = 0; round < 3; round++) {
		struct cdm_counters before = counters();
		multiply(N, N, a, b, c); /* an output */
		CHECK(!memcmp(a, c, bytes), "A x I is not A");
		multiply(N, N, c, b, d); /* an input */
		CHECK(!memcmp(a, d, bytes));
		c[17] += 1;
		multiply_add(N, N, a, b, c); /* both, and mixed with the CPU's writes */
		struct cdm_counters k = since(&before);
		for (size_t i = 0; i < (size_t)N * N; i++)
			CHECK(c[i] == 2 * a[i] + (i == 17));
		CHECK(k.calls == 3 && k.offloaded + k.declined == 3, COUNT_FORMAT, COUNT_ARGS(k));
		fill(a, (size_t)N * N, 2 + (unsigned)round);
	}
	/* The mapping is still what it was: private, after a fork, too. */
	memcpy(a, c, bytes);
	pid_t pid = fork();
	if (!pid) {
		c[0] = -1000; /* may need a second huge page; none left means SIGBUS, as without libcdm */
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	CHECK(!memcmp(a, c, bytes));
	CHECK(!munmap(c, bytes));
	return 0;
}

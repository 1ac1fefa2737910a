/* MAP_SHARED memory is not moved: staged (private device) or used in place (coherent), and the sharing is kept, here
 * between two mappings of one file in memory and with a child, through CPU and device writes in turn. */
#include "tests/scenarios/scenario.h"

enum { N = 512, ROUNDS = 5 };
static const size_t bytes = sizeof(double) * N * N;

static void *map_of(int fd)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);
	CHECK(p != MAP_FAILED);
	return p;
}

int main(void)
{
	int fd = memfd_create("scenario", MFD_CLOEXEC), there[2], back[2];
	CHECK(fd >= 0 && !ftruncate(fd, (off_t)bytes));
	double *c = map_of(fd), *alias = map_of(fd), *anonymous = map_of(-1);
	double *a = map_private(bytes, false), *b = map_private(bytes, false);
	char go;

	CHECK(!pipe(there) && !pipe(back));
	CHECK(cdm_prefetch && cdm_prefetch(c, bytes, CDM_TO_DEVICE) == -EPERM);
	CHECK(cdm_prefetch(anonymous, bytes, CDM_TO_DEVICE) == -EPERM);
	pid_t pid = fork();
	if (!pid) {
		for (int round = 0; round < ROUNDS; round++) {
			CHECK(read(there[0], &go, 1) == 1);
			for (size_t i = 0; i < (size_t)N * N; i++)
				CHECK(anonymous[i] == round + 1, "round %d: the child reads %g", round, anonymous[i]);
			anonymous[round] = 0.5;
			CHECK(write(back[1], "", 1) == 1);
		}
		_exit(0);
	}
	close(there[0]);
	close(back[1]);
	identity(b, N, N);
	for (int round = 0; round < ROUNDS; round++) {
		for (size_t i = 0; i < (size_t)N * N; i++)
			a[i] = round + 1;
		struct cdm_counters before = counters();
		multiply(N, N, a, b, c);
		multiply(N, N, a, b, anonymous);
		struct cdm_counters k = since(&before);
		CHECK(k.offloaded == 2 && k.declined == 0, COUNT_FORMAT, COUNT_ARGS(k));
		CHECK(!is_private() || k.staged >= 2 * bytes, COUNT_FORMAT, COUNT_ARGS(k));
		CHECK(k.to_device <= 2 * bytes + k.staged, COUNT_FORMAT, COUNT_ARGS(k)); /* A and B */
		CHECK_HOME(c, bytes);
		CHECK_HOME(anonymous, bytes);
		CHECK(!memcmp(alias, a, bytes), "round %d: the other mapping differs", round);
		CHECK(write(there[1], "", 1) == 1 && read(back[0], &go, 1) == 1, "the child has failed");
		CHECK(anonymous[round] == 0.5);

		/* What was written through the other mapping, the device reads. */
		alias[7] = -round;
		double *d = malloc(bytes);
		multiply(N, N, c, b, d);
		CHECK(d[7] == -round && d[8] == round + 1, "round %d: the device reads %g", round, d[7]);
		free(d);
	}
	child_passed(pid);
	munmap(c, bytes);
	CHECK(alias[0] == ROUNDS);
	return 0;
}

/* The CPU touches half of what the device has; then the mixed range goes there again, whole, with what the CPU wrote.
 * A private device's pages come home by CPU faults, in windows of 2 MiB or more; a coherent one's stay. */
#include "tests/scenarios/scenario.h"

enum { M = 2048, N = 2048 };
static const size_t bytes = sizeof(double) * M * N, half = sizeof(double) * M * N / 2;
static double *u, *v;

static void expect(const double *c, double factor, double first_half, double other)
{
	for (int j = 0; j < N; j++)
		for (int i = 0; i < M; i++) {
			double want = factor * u[i] * v[j] + (j < N / 2 ? first_half : other);
			CHECK(c[i + (size_t)j * M] == want, "(%d, %d) is %g, not %g", i, j, c[i + (size_t)j * M], want);
		}
}

/* What the device has written. */
static void written(bool huge)
{
	double *c = map_private(bytes, huge);

	memset(c, 0, bytes);
	outer(M, N, u, v, 0, c);
	CHECK_WRITTEN(c, bytes);
	struct cdm_counters before = counters();
	/* At most a read and a write fault for each window. */
	for (size_t i = 0; i < (size_t)M * N / 2; i++)
		c[i] += 3;
	struct cdm_counters k = since(&before);
	if (is_private()) {
		CHECK_HOME(c, half);
		CHECK(k.to_host >= half && k.to_host <= bytes, COUNT_FORMAT, COUNT_ARGS(k));
		CHECK(k.host_faults >= 1 && k.host_faults <= 2 * half / HUGE, COUNT_FORMAT, COUNT_ARGS(k));
	} else {
		CHECK(k.to_host == 0 && k.host_faults == 0, COUNT_FORMAT, COUNT_ARGS(k));
		CHECK_WRITTEN(c, bytes);
	}
	before = counters();
	outer(M, N, u, v, 1, c);
	k = since(&before);
	CHECK(k.offloaded == 1, COUNT_FORMAT, COUNT_ARGS(k));
	CHECK_WRITTEN(c, bytes);
	CHECK(k.to_device >= (is_private() ? half : 0) && k.to_device <= bytes + HUGE, COUNT_FORMAT, COUNT_ARGS(k));
	expect(c, 2, 3, 0);

	/* From the other end, and one element of a chunk only. */
	outer(M, N, u, v, 0, c);
	for (size_t at = bytes / sizeof(double) - 1; at > half / sizeof(double); at -= HUGE / sizeof(double))
		c[at] = -1;
	outer(M, N, u, v, 1, c);
	CHECK_WRITTEN(c, bytes);
	for (size_t at = bytes / sizeof(double) - 1; at > half / sizeof(double); at -= HUGE / sizeof(double)) {
		CHECK(c[at] == -1 + u[at % M] * v[at / M]);
		c[at] = 2 * u[at % M] * v[at / M];
	}
	expect(c, 2, 0, 0);
	munmap(c, bytes);
}

/* What it has only read: a CPU write ends the device's copy of those pages. */
static void read_only(bool huge)
{
	enum { S = 1024 };
	size_t part = sizeof(double) * S * S;
	double *a = map_private(part, huge), *b = map_private(part, huge), *c = map_private(part, huge);

	fill(a, (size_t)S * S, 1);
	identity(b, S, S);
	multiply(S, S, a, b, c);
	CHECK_READ(a, part);
	struct cdm_counters before = counters();
	double sum = 0;
	for (size_t i = 0; i < (size_t)S * S; i++)
		sum += a[i];
	struct cdm_counters k = since(&before);
	CHECK(k.host_faults == 0 && k.to_host == 0, "reads of valid pages: " COUNT_FORMAT, COUNT_ARGS(k));
	CHECK_READ(a, part);
	for (size_t i = 0; i < (size_t)S * S / 2; i++)
		a[i] += 1;
	k = since(&before);
	CHECK(k.to_host == 0, "a valid page was copied: " COUNT_FORMAT, COUNT_ARGS(k));
	if (is_private()) {
		CHECK_HOME(a, part / 2);
		CHECK(k.host_faults >= 1 && k.host_faults <= part / HUGE, COUNT_FORMAT, COUNT_ARGS(k));
	}
	before = counters();
	multiply(S, S, a, b, c);
	k = since(&before);
	CHECK_READ(a, part);
	CHECK(!is_private() || (k.to_device >= part / 2 && k.to_device <= part), COUNT_FORMAT, COUNT_ARGS(k));
	CHECK(!memcmp(a, c, part), "the device has read what was there before the CPU wrote (sum was %g)", sum);
	munmap(a, part);
	munmap(b, part);
	munmap(c, part);
}

int main(void)
{
	u = malloc(M * sizeof(*u));
	v = malloc(N * sizeof(*v));
	fill(u, M, 1);
	fill(v, N, 2);
	for (int huge = 0; huge < 2; huge++) {
		written(huge);
		read_only(huge);
	}
	return 0;
}

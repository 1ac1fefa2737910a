/* An operation fails midway on the device, with its output half written: the host repeats it on whole data.
 * env: CDM_FAULT=compute:2
 * says: 1
 */
#include "tests/scenarios/vector.h"

static const int N = 384;

/* C += A * B three times over, with C = -A to begin with: A, B = I, so that each adds A. */
static void products(double *a, double *b, double *c, size_t count)
{
	fill(a, count, 1);
	identity(b, N, N);
	for (size_t i = 0; i < count; i++)
		c[i] = -a[i];
	for (int i = 1; i <= 3; i++) {
		multiply_add(N, N, a, b, c);
		if (i == 2)
			CHECK(!memcmp(a, c, count * sizeof(*a)), "the repeated operation saw a half-written result");
	}
	for (size_t i = 0; i < count; i++)
		CHECK(c[i] == 2 * a[i], "element %zu is %g, not %g", i, c[i], 2 * a[i]);
}

int main(int argc, char **argv)
{
	size_t count = (size_t)N * (size_t)N;
	double *a = malloc(count * 8), *b = malloc(count * 8), *c = malloc(count * 8);
	struct cdm_counters before = counters();

	CHECK(a && b && c);
	products(a, b, c, count);
	struct cdm_counters k = since(&before);
	if (argc == 1) {
		CHECK(k.calls == 3 && k.declined == 1 && k.offloaded == 2, COUNT_FORMAT, COUNT_ARGS(k));
		again("compute:1", "first");
		again("compute:3", "third");
		again("compute:1+", "all");
		again("compute:2+", "later");
	} else if (!strcmp(argv[1], "all")) {
		CHECK(k.declined == 3 && !k.offloaded, COUNT_FORMAT, COUNT_ARGS(k));
	} else if (strcmp(argv[1], "later")) {
		CHECK(k.declined == 1 && k.offloaded == 2, COUNT_FORMAT, COUNT_ARGS(k));
	}

	/* The memory is as good as any other. */
	bump(c, count);
	for (size_t i = 0; i < count; i++)
		CHECK(c[i] == 2 * a[i] + 1, "element %zu is %g", i, c[i]);
	free(a), free(b), free(c);
	return 0;
}

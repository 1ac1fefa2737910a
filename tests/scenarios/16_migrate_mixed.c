/* Holes, PROT_NONE, read-only, untouched and zero pages inside the range of one operand: its columns are a page each,
 * and between two of them lies a page of somebody else's (ld = 2 m). Whether the call is offloaded or declined, the
 * result is right, neighbours and protections stay as they are, and what the call itself may not touch ends as
 * without libcdm. All of it before and after the whole range has been on the device. */
#include "tests/scenarios/scenario.h"

enum { N = 512, LD = 1024 };
static const size_t range = sizeof(double) * LD * N, page_doubles = PAGE / sizeof(double);
static double *plain, *eye, *out; /* N x N, packed */

enum neighbour { UNTOUCHED, ZERO, WRITTEN, READ_ONLY, NONE, HOLE, KINDS };
static const char *const kind_name[] = {"untouched", "zero", "written", "read-only", "PROT_NONE", "hole"};

static void compute(const double *a, int lda, const double *b, int ldb, double *c, int ldc)
{
	const double one = 1, zero = 0;
	const int n = N;
	dgemm_("N", "N", &n, &n, &n, &one, a, &lda, b, &ldb, &zero, c, &ldc);
}

static double *neighbour_of(double *x, int j)
{
	return x + (size_t)j * LD + page_doubles;
}

/* kind is that of every second neighbour; KINDS: all kinds in turn. */
static enum neighbour kind_of(int kind, int j)
{
	return kind == KINDS ? (enum neighbour)(j % KINDS) : j & 1 ? (enum neighbour)kind : WRITTEN;
}

static void neighbours_make(double *x, int kind)
{
	for (int j = 0; j < N; j++) {
		double *p = neighbour_of(x, j);
		enum neighbour what = kind_of(kind, j);
		if (what >= WRITTEN && what != HOLE)
			memset(p, 'n', PAGE);
		if (what == ZERO)
			CHECK(*(volatile double *)p == 0);
		if (what == READ_ONLY)
			CHECK(!mprotect(p, PAGE, PROT_READ));
		if (what == NONE)
			CHECK(!mprotect(p, PAGE, PROT_NONE));
		if (what == HOLE)
			CHECK(!munmap(p, PAGE));
	}
}

/* True to the program's eye: contents and protection, without touching what must not be touched. */
static void neighbours_check(double *x, int kind)
{
	char page[PAGE];
	unsigned char core;

	memset(page, 'n', PAGE);
	for (int j = 0; j < N; j++) {
		double *p = neighbour_of(x, j);
		enum neighbour what = kind_of(kind, j);
		bool content = true;
		if (what == NONE) {
			if (j < 16) /* parsing the mappings takes a while */
				CHECK(!strncmp(permissions(p), "---", 3), "column %d: %s", j, permissions(p));
			CHECK(!mprotect(p, PAGE, PROT_READ));
		}
		if (what == HOLE) {
			CHECK(mincore(p, PAGE, &core) == -1 && errno == ENOMEM, "column %d: the hole is mapped", j);
			continue;
		}
		if (what == UNTOUCHED || what == ZERO)
			for (size_t i = 0; i < page_doubles; i++)
				content &= p[i] == 0;
		else
			content = !memcmp(p, page, PAGE);
		CHECK(content, "column %d: the %s neighbour has changed", j, kind_name[what]);
		if (what == READ_ONLY && j < 16)
			CHECK(!strncmp(permissions(p), "r--", 3), "column %d: %s", j, permissions(p));
		if (what == NONE)
			CHECK(!mprotect(p, PAGE, PROT_NONE));
	}
}

/* The columns of x, of which a third is written, a third zero pages, a third untouched; packed, in plain. */
static void columns_fill(double *x)
{
	for (int j = 0; j < N; j++)
		if (j % 3 == 0)
			fill(x + (size_t)j * LD, N, (unsigned)j);
		else if (j % 3 == 1)
			CHECK(*(volatile double *)(x + (size_t)j * LD) == 0);
	memset(plain, 0, sizeof(double) * N * N);
	for (int j = 0; j < N; j += 3)
		fill(plain + (size_t)j * N, N, (unsigned)j);
}

static struct cdm_counters offloaded_or_declined(const struct cdm_counters *before)
{
	struct cdm_counters k = since(before);
	CHECK(k.calls == 1 && k.offloaded + k.declined == 1, COUNT_FORMAT, COUNT_ARGS(k));
	return k;
}

static void run(int kind, bool device_first)
{
	double *x = map_private(range, false);

	if (device_first) { /* all of it, neighbours and all, as an output */
		CHECK(!cdm_prefetch(x, range, CDM_TO_DEVICE));
		CHECK(where(x, range).device + where(x, range).shared == range);
	}
	neighbours_make(x, kind);
	columns_fill(x);
	struct cdm_counters before = counters();
	compute(x, LD, eye, N, out, N);
	struct cdm_counters k = offloaded_or_declined(&before);
	CHECK(k.offloaded == 1 || kind >= NONE, "neighbours of kind %d: declined as an input", kind);
	CHECK(!memcmp(out, plain, sizeof(double) * N * N), "as an input: wrong");
	neighbours_check(x, kind);

	before = counters();
	fill(plain, (size_t)N * N, 5);
	compute(plain, N, eye, N, x, LD);
	k = offloaded_or_declined(&before);
	CHECK(k.offloaded == 1 || kind >= READ_ONLY, "neighbours of kind %d: declined as an output", kind);
	for (int j = 0; j < N; j++)
		CHECK(!memcmp(x + (size_t)j * LD, plain + (size_t)j * N, PAGE), "as an output: column %d", j);
	neighbours_check(x, kind);
	CHECK(!munmap(x, range));
}

/* A page of the operand itself is not what the call needs. */
static void own_page(int prot, bool output, bool device_first)
{
	double *x = map_private(range, false);
	double *p = x + (size_t)300 * LD;

	if (device_first)
		compute(plain, N, eye, N, x, LD);
	else
		fill(x, range / sizeof(double), 1);
	if (prot < 0)
		CHECK(!munmap(p, PAGE));
	else
		CHECK(!mprotect(p, PAGE, prot));
	pid_t pid = fork();
	if (!pid) {
		if (output)
			compute(plain, N, eye, N, x, LD);
		else
			compute(x, LD, eye, N, out, N);
		_exit(0);
	}
	if (prot == PROT_READ && !output)
		child_passed(pid);
	else
		child_killed(pid, SIGSEGV);
	munmap(x, range);
}

int main(void)
{
	plain = malloc(sizeof(double) * N * N);
	eye = malloc(sizeof(double) * N * N);
	out = malloc(sizeof(double) * N * N);
	identity(eye, N, N);
	fill(plain, (size_t)N * N, 2);
	compute(plain, N, eye, N, out, N); /* the library is open from here on */
	for (int kind = 0; kind <= KINDS; kind++)
		for (int first = 0; first < 2; first++)
			run(kind, first);
	for (int first = 0; first < 2; first++)
		for (int output = 0; output < 2; output++) {
			own_page(PROT_NONE, output, first);
			own_page(PROT_READ, output, first);
			own_page(-1, output, first);
		}
	return 0;
}

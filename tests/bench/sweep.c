/* One routine at one shape, timed on request, so that several libraries can be compared point by point: bench.py keeps a
 * process for each and asks them in turn.
 *
 *   sweep [LIBRARY [PREFIX SUFFIX]]
 *
 * calls the routines that the program is linked to, or those of LIBRARY (whose dgemm is PREFIXdgemmSUFFIX, "" and "_" by
 * default). A request is a line "ROUTINE M N K MICROSECONDS" on stdin; the answer a line with the nanoseconds of one call, the
 * fastest batch within that time (at least one), or "-" when the library lacks the routine. Before a point is measured it is
 * called once, but for slow calls of the same point as before. The process ends with its parent, even when it is stopped.
 *
 *   gemm   C (M x N) += A (M x K) B (K x N)            trsm   lower, from the left, B (M x N)
 *   syrk   lower, C (N x N) += A (N x K) A'            gemv   y += A (M x N) x
 *   getrf  A (M x N)                                   potrf  lower, A (N x N)
 */
#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>

/* ---- the routines --------------------------------------------------------------------------------------- */

#define ROUTINES(X) X(gemm) X(trsm) X(syrk) X(gemv) X(getrf) X(potrf)
enum routine {
#define ID(name) R_##name,
	ROUTINES(ID)
#undef ID
		COUNT
};
static const char types[] = "sdcz";

#define DECLARE(name) extern void s##name##_(), d##name##_(), c##name##_(), z##name##_();
ROUTINES(DECLARE)
typedef void routine_fn();
#define LINKED(name)                                                                                                   \
	{(routine_fn *)s##name##_, (routine_fn *)d##name##_, (routine_fn *)c##name##_, (routine_fn *)z##name##_},
static routine_fn *table[COUNT][4] = {ROUTINES(LINKED)};
#define NAME(name) #name,
static const char *const names[COUNT] = {ROUTINES(NAME)};

static void look_up(const char *path, const char *prefix, const char *suffix)
{
	void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
	char name[64];

	if (!library) {
		fprintf(stderr, "%s\n", dlerror());
		exit(2);
	}
	for (int r = 0; r < COUNT; r++)
		for (int t = 0; t < 4; t++) {
			snprintf(name, sizeof name, "%s%c%s%s", prefix, types[t], names[r], suffix);
			table[r][t] = (routine_fn *)dlsym(library, name);
		}
}

/* ---- one point ------------------------------------------------------------------------------------------ */

struct point {
	enum routine routine;
	int type, m, n, k;
	size_t elem;
	int a_rows, a_cols, b_rows, b_cols, c_rows, c_cols; /* 0: not used */
};

static char *memory, *a, *b, *c, *whole; /* whole: what an in-place routine is given again */
static int pivots[8192];
static size_t room;

static size_t bytes(const struct point *p, int rows, int cols)
{
	return ((size_t)rows * (size_t)cols * p->elem + 63) & ~(size_t)63;
}

static int in_place(const struct point *p)
{
	return p->routine == R_getrf || p->routine == R_potrf;
}

static void shapes(struct point *p)
{
	int m = p->m, n = p->n, k = p->k;
	const int of[COUNT][6] = {
		[R_gemm] = {m, k, k, n, m, n}, [R_trsm] = {m, m, 0, 0, m, n},  [R_syrk] = {n, k, 0, 0, n, n},
		[R_gemv] = {m, n, n, 1, m, 1}, [R_getrf] = {0, 0, 0, 0, m, n}, [R_potrf] = {0, 0, 0, 0, n, n},
	};
	memcpy(&p->a_rows, of[p->routine], sizeof of[0]);
}

/* Small numbers; on the diagonal of what is solved or factored, large ones. */
static void fill(const struct point *p, char *at, int rows, int cols, double diagonal)
{
	static uint32_t seed = 1;
	int parts = p->type >= 2 ? 2 : 1, is_double = p->type & 1;

	for (size_t i = 0; i < (size_t)rows * (size_t)cols; i++)
		for (int part = 0; part < parts; part++) {
			seed = seed * 1664525u + 1013904223u;
			double v = (double)(int32_t)seed / 4294967296.0;
			if (diagonal != 0) /* row sums stay below 1 */
				v = i % (size_t)rows == i / (size_t)rows ? (part ? 0 : diagonal) : v / rows;
			if (is_double)
				((double *)at)[i * (size_t)parts + (size_t)part] = v;
			else
				((float *)at)[i * (size_t)parts + (size_t)part] = (float)v;
		}
}

static void prepare(struct point *p, int copies)
{
	size_t need = bytes(p, p->a_rows, p->a_cols) + bytes(p, p->b_rows, p->b_cols) +
		      2 * (size_t)copies * bytes(p, p->c_rows, p->c_cols);

	if (need > room) {
		free(memory);
		room = (need + (2 << 20)) & ~(size_t)((2 << 20) - 1);
		memory = aligned_alloc(2 << 20, room);
		if (!memory)
			exit(2);
		madvise(memory, room, MADV_HUGEPAGE);
	}
	a = memory;
	b = a + bytes(p, p->a_rows, p->a_cols);
	c = b + bytes(p, p->b_rows, p->b_cols);
	whole = c + (size_t)copies * bytes(p, p->c_rows, p->c_cols);
	fill(p, a, p->a_rows, p->a_cols, p->routine == R_trsm ? 1 : 0);
	fill(p, b, p->b_rows, p->b_cols, 0);
	for (int i = 0; i < copies; i++)
		fill(p, whole + (size_t)i * bytes(p, p->c_rows, p->c_cols), p->c_rows, p->c_cols, in_place(p) ? 2 : 0);
	memcpy(c, whole, (size_t)copies * bytes(p, p->c_rows, p->c_cols));
}

static void call(const struct point *p, char *at)
{
	static double one[2] = {1, 0};
	static float ones[2] = {1, 0};
	const void *alpha = p->type & 1 ? (void *)one : (void *)ones;
	int m = p->m, n = p->n, k = p->k, inc = 1, info;
	routine_fn *fn = table[p->routine][p->type];

	switch (p->routine) {
	case R_gemm:
		fn("N", "N", &m, &n, &k, alpha, a, &m, b, &k, alpha, at, &m, 1, 1);
		break;
	case R_trsm:
		fn("L", "L", "N", "N", &m, &n, alpha, a, &m, at, &m, 1, 1, 1, 1);
		break;
	case R_syrk:
		fn("L", "N", &n, &k, alpha, a, &n, alpha, at, &n, 1, 1);
		break;
	case R_gemv:
		fn("N", &m, &n, alpha, a, &m, b, &inc, alpha, at, &inc, 1);
		break;
	case R_getrf:
		fn(&m, &n, at, &m, pivots, &info);
		break;
	default:
		fn("L", &n, at, &n, &info, 1);
	}
}

static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* ns of a batch of calls, on copies matrices in turn. */
static double batch(const struct point *p, int calls, int copies)
{
	size_t each = bytes(p, p->c_rows, p->c_cols);

	if (in_place(p))
		memcpy(c, whole, (size_t)copies * each);
	double begin = now();
	for (int i = 0; i < calls; i++)
		call(p, c + (size_t)(i % copies) * each);
	return now() - begin;
}

/* Batches of some 30 us (times are in ns); those of an in-place routine have a matrix for each call, all together at most
 * 1 MiB, or one. */
static double measure(struct point *p, double budget)
{
	enum { BATCH = 30000, MOST = 2048, SLOW = 20000000 };
	size_t each = bytes(p, p->c_rows, p->c_cols);
	size_t fit = ((size_t)1 << 20) / each;
	int most = fit < 1 ? 1 : fit > MOST ? MOST : (int)fit, copies = in_place(p) ? most : 1, calls = 1;
	static struct point last;
	static double last_ns;
	double best = 1e30, once;

	if (last_ns < SLOW || memcmp(&last, p, sizeof last)) {
		prepare(p, copies);
		batch(p, 1, copies);
	}
	int limit = in_place(p) ? most : 1 << 20;
	double begin = now();
	while ((once = batch(p, calls, copies)) < BATCH && calls < limit)
		calls = calls * 2 < limit ? calls * 2 : limit;
	do {
		if (once / calls < best)
			best = once / calls;
	} while (now() - begin + best * calls < budget && (once = batch(p, calls, copies)) > 0);
	last = *p;
	last_ns = best;
	return best;
}

static int parse(char *line, struct point *p, double *budget)
{
	char name[16];

	memset(p, 0, sizeof *p);
	if (sscanf(line, "%15s %d %d %d %lf", name, &p->m, &p->n, &p->k, budget) != 5)
		return 0;
	const char *type = strchr(types, name[0]);
	p->type = type ? (int)(type - types) : 0;
	p->elem = (size_t[]){4, 8, 8, 16}[p->type];
	for (int r = 0; r < COUNT; r++)
		if (type && !strcmp(names[r], name + 1)) {
			p->routine = (enum routine)r;
			shapes(p);
			return p->m > 0 && p->m <= 8192 && p->n > 0 && p->n <= 8192 && p->k > 0 && p->k <= 8192;
		}
	return 0;
}

int main(int argc, char **argv)
{
	char line[256];
	struct point p;
	double budget;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (argc > 1)
		look_up(argv[1], argc > 3 ? argv[2] : "", argc > 3 ? argv[3] : "_");
	while (fgets(line, sizeof line, stdin)) {
		if (!parse(line, &p, &budget)) {
			fprintf(stderr, "not understood: %s", line);
			return 2;
		}
		if (table[p.routine][p.type])
			printf("%.1f\n", measure(&p, budget * 1000));
		else
			printf("-\n");
		fflush(stdout);
	}
	return 0;
}

#include "tools/point.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define POINT_TEXT(name) #name,
const char *const point_name[POINT_COUNT] = {POINT_ROUTINES(POINT_TEXT)};

/* A point with its operands; rows and columns are 0 where there is none. */
struct layout {
	const struct point *p;
	point_fn *fn;
	size_t elem;
	int a_rows, a_cols, b_rows, b_cols, c_rows, c_cols;
	char *a, *b, *c, *whole; /* whole: what an in-place routine is given again */
	char *work;
};

enum { BLOCK = 128 }; /* of QR's workspace, columns */
#define SLOW_NS 5e6   /* calls that are not made once more to warm up, when the same point is asked for again */

static size_t bytes(const struct layout *l, int rows, int cols)
{
	return ((size_t)rows * (size_t)cols * l->elem + 63) & ~(size_t)63;
}

static bool in_place(const struct layout *l)
{
	return l->p->routine >= POINT_getrf;
}

static void shape(struct layout *l, const struct point *p)
{
	int m = p->m, n = p->n, k = p->k;
	const int of[POINT_COUNT][6] = {
		[POINT_gemm] = {m, k, k, n, m, n},  [POINT_trsm] = {m, m, 0, 0, m, n},
		[POINT_syrk] = {n, k, 0, 0, n, n},  [POINT_gemv] = {m, n, n, 1, m, 1},
		[POINT_getrf] = {0, 0, 0, 0, m, n}, [POINT_potrf] = {0, 0, 0, 0, n, n},
		[POINT_geqrf] = {0, 0, n, 1, m, n},
	};

	l->p = p;
	l->elem = (size_t[]){4, 8, 8, 16}[p->type];
	memcpy(&l->a_rows, of[p->routine], sizeof(of[0]));
}

/* Small numbers; on the diagonal of what is solved or factored, large ones. */
static void fill(const struct layout *l, char *at, int rows, int cols, double diagonal)
{
	static uint32_t seed = 1;
	int parts = l->p->type >= 2 ? 2 : 1;

	for (size_t i = 0; i < (size_t)rows * (size_t)cols; i++)
		for (int part = 0; part < parts; part++) {
			seed = seed * 1664525u + 1013904223u;
			double v = (double)(int32_t)seed / 4294967296.0;
			if (diagonal != 0) /* row sums stay below 1 */
				v = i % (size_t)rows == i / (size_t)rows ? (part ? 0 : diagonal) : v / rows;
			if (l->p->type & 1)
				((double *)at)[i * (size_t)parts + (size_t)part] = v;
			else
				((float *)at)[i * (size_t)parts + (size_t)part] = (float)v;
		}
}

/* Memory on huge pages, kept for points to come. */
static char *memory(size_t need)
{
	enum { HUGE = 2 << 20 };
	static char *kept;
	static size_t room;

	if (need <= room)
		return kept;
	free(kept);
	room = (need + HUGE - 1) & ~(size_t)(HUGE - 1);
	kept = aligned_alloc(HUGE, room);
	if (kept)
		madvise(kept, room, MADV_HUGEPAGE);
	else
		room = 0;
	return kept;
}

static bool prepare(struct layout *l, int copies)
{
	size_t each = bytes(l, l->c_rows, l->c_cols), work = bytes(l, BLOCK, l->p->n);

	l->a = memory(bytes(l, l->a_rows, l->a_cols) + bytes(l, l->b_rows, l->b_cols) + 2 * (size_t)copies * each +
		      work);
	if (!l->a)
		return false;
	l->b = l->a + bytes(l, l->a_rows, l->a_cols);
	l->c = l->b + bytes(l, l->b_rows, l->b_cols);
	l->whole = l->c + (size_t)copies * each;
	l->work = l->whole + (size_t)copies * each;
	fill(l, l->a, l->a_rows, l->a_cols, l->p->routine == POINT_trsm ? 1 : 0);
	fill(l, l->b, l->b_rows, l->b_cols, 0);
	for (int i = 0; i < copies; i++)
		fill(l, l->whole + (size_t)i * each, l->c_rows, l->c_cols, in_place(l) ? 2 : 0);
	memcpy(l->c, l->whole, (size_t)copies * each);
	return true;
}

/* Integers of 64 bits: a library on 32 reads their lower halves. Products overwrite C, as most programs' do, or add to it, as a
 * factorization's: libraries differ in either by 10 % at order 32. */
static void call(const struct layout *l, char *c, bool add)
{
	static const double one[2] = {1, 0};
	static const float ones[2] = {1, 0};
	static int64_t pivots[POINT_MOST];
	static const double zero[2]; /* of any type */
	const void *alpha = l->p->type & 1 ? (const void *)one : (const void *)ones, *beta = add ? alpha : zero;
	int64_t m = l->p->m, n = l->p->n, k = l->p->k, inc = 1, info = 0, lwork = n * BLOCK;
	point_fn *fn = l->fn;

	switch (l->p->routine) {
	case POINT_gemm:
		fn("N", "N", &m, &n, &k, alpha, l->a, &m, l->b, &k, beta, c, &m, (size_t)1, (size_t)1);
		break;
	case POINT_trsm:
		fn("L", "L", "N", "N", &m, &n, alpha, l->a, &m, c, &m, (size_t)1, (size_t)1, (size_t)1, (size_t)1);
		break;
	case POINT_syrk:
		fn("L", "N", &n, &k, alpha, l->a, &n, beta, c, &n, (size_t)1, (size_t)1);
		break;
	case POINT_gemv:
		fn("N", &m, &n, alpha, l->a, &m, l->b, &inc, beta, c, &inc, (size_t)1);
		break;
	case POINT_getrf:
		fn(&m, &n, c, &m, pivots, &info);
		break;
	case POINT_potrf:
		fn("L", &n, c, &n, &info, (size_t)1);
		break;
	default:
		fn(&m, &n, c, &m, l->b, l->work, &lwork, &info);
	}
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* ns of a batch of calls, on copies matrices in turn. */
static double batch(const struct layout *l, int calls, int copies)
{
	size_t each = bytes(l, l->c_rows, l->c_cols);

	if (in_place(l))
		memcpy(l->c, l->whole, (size_t)copies * each);
	double begin = now();
	for (int i = 0; i < calls; i++)
		call(l, l->c + (size_t)(i % copies) * each, i & 1);
	return now() - begin;
}

static int least(int a, int b)
{
	return a < b ? a : b;
}

/* Batches of some 30 us; those of an in-place routine have a matrix for each call, all together at most 1 MiB, or one. */
static double best_batch(const struct layout *l, int copies, double budget_us)
{
	enum { BATCH_NS = 30000 };
	int calls = 1, most = in_place(l) ? copies : 1 << 20;
	double begin = now(), once, best;

	while ((once = batch(l, calls, copies)) < BATCH_NS && calls < most)
		calls = least(calls * 2, most);
	best = once / calls;
	while (now() - begin + best * calls < budget_us * 1000) {
		once = batch(l, calls, copies) / calls;
		best = once < best ? once : best;
	}
	return best;
}

static int copies_of(const struct layout *l)
{
	enum { MOST = 2048 };
	size_t fit = ((size_t)1 << 20) / bytes(l, l->c_rows, l->c_cols);

	return !in_place(l) || fit < 1 ? 1 : fit > MOST ? MOST : (int)fit;
}

double point_measure(const struct point_table *table, const struct point *point, double budget_us)
{
	static struct point last;
	static struct layout l;
	static double ns;
	bool warm = ns > SLOW_NS && !memcmp(&last, point, sizeof(last)) && budget_us > 0;

	if (!table->fn[point->routine][point->type])
		return -1;
	if (!warm) {
		l = (struct layout){.fn = table->fn[point->routine][point->type]};
		last = *point;
		shape(&l, &last);
		ns = 0;
		if (!prepare(&l, copies_of(&l)))
			return -1;
		ns = batch(&l, 1, copies_of(&l));
	}
	if (budget_us > 0)
		ns = best_batch(&l, copies_of(&l), budget_us);
	return ns * 1e-9;
}

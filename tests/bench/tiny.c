/* Kernels for tiny matrices against a library: nanoseconds per call, and how much faster they are with 10 ns added, which
 * is what an intercepted call costs by itself.
 *
 *   tiny                    FIGURE lines, against OpenBLAS where Debian has it
 *   tiny [CORE=]LIBRARY...  a table against the best of these libraries (a library that exports libxsmm_dgemm is
 *                           called so) for square operands, or for the shapes that TINY_SIZES names. CORE: what
 *                           OPENBLAS_CORETYPE is while that file is loaded, of which each core type needs a copy
 *
 * TINY_SET=avx2: these kernels. Without it, the table has all that the CPU can run, and how the best compares. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "offload/base/stats.h"
#include "offload/tiny/tiny.h"

#define CALL_NS 10
#define ROUNDS 41
#define ELEMENTS (128 * 512)
#define MATRIX (ELEMENTS * 16)
#define BATCH 64
#define BATCH_LEAST 8
#define LIBRARIES 8
#define SETS 4

static const char types[] = "sdcz";
static const size_t sizes[] = {4, 8, 8, 16};
static char a[MATRIX], b[MATRIX], fresh[MATRIX], c[BATCH_LEAST * MATRIX] __attribute__((aligned(64)));
static char one[4][16], minus[4][16];
static int pivots[ELEMENTS], m, n, k, info;
static const struct cdm_tiny_set *sets[SETS + 1]; /* those to measure */

struct run {
	int type;
	const char *options;
	const struct cdm_tiny_set *set;
	void *f; /* the library's function, or null: the set's */
};

typedef void blas_gemm(const char *, const char *, int *, int *, int *, void *, void *, int *, void *, int *, void *,
		       void *, int *);
typedef void blas_gemv(const char *, int *, int *, void *, void *, int *, void *, int *, void *, void *, int *);
typedef void blas_rank(const char *, const char *, int *, int *, void *, void *, int *, void *, void *, int *);
typedef void blas_trsm(const char *, const char *, const char *, const char *, int *, int *, void *, void *, int *,
		       void *, int *);
typedef void lapack_getrf(int *, int *, void *, int *, int *, int *);
typedef void lapack_potrf(const char *, int *, void *, int *, int *);

static int step = 1;

static bool is(char option, char letter)
{
	return option == letter;
}

static void run_gemm(const struct run *r, void *x)
{
	const char *o = r->options;
	int lda = is(o[0], 'N') ? m : k, ldb = is(o[1], 'N') ? k : n;

	if (r->f)
		((blas_gemm *)r->f)(o, o + 1, &m, &n, &k, one[r->type], a, &lda, b, &ldb, one[r->type], x, &m);
	else
		r->set->of[r->type].gemm(o[0], o[1], m, n, k, one[r->type], a, lda, b, ldb, one[r->type], x, m);
}

static void run_gemv(const struct run *r, void *x)
{
	if (r->f)
		((blas_gemv *)r->f)(r->options, &m, &n, one[r->type], a, &m, b, &step, one[r->type], x, &step);
	else
		r->set->of[r->type].gemv(r->options[0], m, n, one[r->type], a, m, b, 1, one[r->type], x, 1);
}

static void rank_k(const struct run *r, void *x, cdm_tiny_rank_fn *ours)
{
	const char *o = r->options;
	int lda = is(o[1], 'N') ? n : k;

	if (r->f)
		((blas_rank *)r->f)(o, o + 1, &n, &k, minus[r->type], a, &lda, one[r->type], x, &n);
	else
		ours(o[0], o[1], n, k, minus[r->type], a, lda, one[r->type], x, n);
}

static void run_syrk(const struct run *r, void *x)
{
	rank_k(r, x, r->set->of[r->type].syrk);
}

static void run_herk(const struct run *r, void *x)
{
	rank_k(r, x, r->set->of[r->type].herk);
}

static void run_trsm(const struct run *r, void *x)
{
	const char *o = r->options;
	int lda = is(o[0], 'L') ? m : n;

	if (r->f)
		((blas_trsm *)r->f)(o, o + 1, o + 2, o + 3, &m, &n, one[r->type], fresh, &lda, x, &m);
	else
		r->set->of[r->type].trsm(o[0], o[1], o[2], o[3], m, n, one[r->type], fresh, lda, x, m);
}

static void run_getrf(const struct run *r, void *x)
{
	if (r->f)
		((lapack_getrf *)r->f)(&m, &n, x, &m, pivots, &info);
	else
		info = r->set->of[r->type].getrf(m, n, x, m, pivots);
}

static void run_potrf(const struct run *r, void *x)
{
	if (r->f)
		((lapack_potrf *)r->f)(r->options, &n, x, &n, &info);
	else
		info = r->set->of[r->type].potrf(r->options[0], n, x, n);
}

static bool any(const char *o)
{
	(void)o;
	return m <= CDM_TINY_LONG && n <= CDM_TINY_LONG && k <= CDM_TINY_LONG;
}

static bool ranked(const char *o)
{
	(void)o;
	return n <= CDM_TINY_LONG;
}

static bool vectors(const char *o)
{
	(void)o;
	return m <= CDM_TINY_VECTOR && n <= CDM_TINY_VECTOR;
}

static bool solvable(const char *o)
{
	return any(o) && (is(o[0], 'L') ? m : n) <= CDM_TINY_BLOCKS;
}

static bool eliminable(const char *o)
{
	return any(o) && m <= CDM_TINY_BLOCKS && n <= CDM_TINY_VECTOR;
}

static bool factorable(const char *o)
{
	(void)o;
	return n <= CDM_TINY_BLOCKS;
}

static const struct routine {
	const char *name;
	void (*run)(const struct run *, void *);
	const char *options[4]; /* the first for the FIGURE lines */
	int types;              /* of the four, from the last */
	bool (*fits)(const char *options);
} routines[] = {
	{"gemm", run_gemm, {"NN", "TN", "NT", "TT"}, 4, any},
	{"gemv", run_gemv, {"N", "T"}, 4, vectors},
	{"syrk", run_syrk, {"LN", "UN", "LT"}, 4, ranked},
	{"herk", run_herk, {"LN", "UN", "LC"}, 2, ranked},
	{"trsm", run_trsm, {"LLNN", "LUTN", "RLNN", "RLTN"}, 4, solvable},
	{"getrf", run_getrf, {""}, 4, eliminable},
	{"potrf", run_potrf, {"L", "U"}, 4, factorable},
};

static void put(int type, void *p, size_t i, double x)
{
	if (sizes[type] == 4 || type == CDM_TINY_C)
		((float *)p)[i] = (float)x;
	else
		((double *)p)[i] = x;
}

/* Random in a and b. In fresh, which is what the routines that overwrite get, rows columns that are diagonally dominant. */
static void fill(int type, bool left)
{
	size_t per = type >= CDM_TINY_C ? 2 : 1, rows = (size_t)(left ? m : n);

	memset(fresh, 0, sizeof(fresh));
	for (size_t i = 0; i < ELEMENTS * per; i++) {
		put(type, a, i, (double)(rand() % 2000 - 1000) / 1000);
		put(type, b, i, (double)(rand() % 2000 - 1000) / 1000);
	}
	for (size_t i = 0; i < ELEMENTS; i++)
		put(type, fresh, i * per, i % (rows + 1) == 0 ? (double)rows : (double)(i % rows * (i / rows) % 7) / 7);
	put(type, one[type], 0, 1);
	put(type, minus[type], 0, -1);
}

/* Elements of what the call writes. */
static size_t result_size(const struct routine *which, const struct run *r)
{
	if (which->run == run_gemv)
		return (size_t)(is(r->options[0], 'N') ? m : n);
	if (which->run == run_syrk || which->run == run_herk || which->run == run_potrf)
		return (size_t)n * (size_t)n;
	return (size_t)m * (size_t)n;
}

/* Nanoseconds of one call, from one batch of fresh matrices. */
static double batch(const struct routine *which, const struct run *r)
{
	size_t bytes = result_size(which, r) * sizes[r->type], stride = (bytes + 63) / 64 * 64;
	int count = (int)((16 << 10) / stride);
	uint64_t t;

	count = count > BATCH ? BATCH : count < BATCH_LEAST ? BATCH_LEAST : count;
	for (int i = 0; i < count; i++)
		memcpy(c + (size_t)i * stride, which->run == run_getrf ? a : fresh, bytes);
	t = cdm_now_ns();
	for (int i = 0; i < count; i++)
		which->run(r, c + (size_t)i * stride);
	return (double)(cdm_now_ns() - t) / count;
}

static int by_value(const void *x, const void *y)
{
	double p = *(const double *)x, q = *(const double *)y;

	return (p > q) - (p < q);
}

/* The lower quartile of each, run in turns. */
static void measure(const struct routine *which, int count, const struct run *runs, double *ns)
{
	static double all[SETS + LIBRARIES][ROUNDS];

	for (int i = 0; i < ROUNDS; i++)
		for (int r = 0; r < count; r++) {
			batch(which, &runs[r]);
			all[r][i] = batch(which, &runs[r]);
		}
	for (int r = 0; r < count; r++) {
		qsort(all[r], ROUNDS, sizeof(double), by_value);
		ns[r] = all[r][ROUNDS / 4];
	}
}

static void *function(void *library, int type, const char *name)
{
	char symbol[40];

	snprintf(symbol, sizeof(symbol), "libxsmm_%c%s", types[type], name);
	if (dlsym(library, symbol))
		return dlsym(library, symbol);
	snprintf(symbol, sizeof(symbol), "%c%s_", types[type], name);
	return dlsym(library, symbol);
}

static void figures(void *library)
{
	static const int at[] = {4, 8, 12, 16, 24};

	for (size_t w = 0; w < sizeof(routines) / sizeof(*routines); w++)
		for (int type = 4 - routines[w].types; type < 4; type++) {
			char text[100] = "";
			double ratio = 0;

			for (size_t i = 0; i < sizeof(at) / sizeof(*at); i++) {
				struct run runs[2] = {{type, routines[w].options[0], sets[0], NULL},
						      {type, routines[w].options[0], sets[0], NULL}};
				double ns[2] = {0};

				m = n = k = at[i];
				fill(type, true);
				runs[1].f = library ? function(library, type, routines[w].name) : NULL;
				measure(&routines[w], runs[1].f ? 2 : 1, runs, ns);
				snprintf(text + strlen(text), sizeof(text) - strlen(text), " %.0f", ns[0]);
				if (runs[1].f)
					snprintf(text + strlen(text), sizeof(text) - strlen(text), "/%.0f", ns[1]);
				if (n == 8)
					ratio = ns[1] / (ns[0] + CALL_NS);
			}
			printf("FIGURE|tiny %c%s, ns, n = 4 8 12 16 24:%s; library / (kernel + 10 ns) at 8|%.2f|x\n",
			       types[type], routines[w].name, text, ratio);
		}
}

static void table_row(const struct routine *which, const char *options, int type, int count, void **libraries)
{
	struct run runs[SETS + LIBRARIES];
	double ns[SETS + LIBRARIES], best;
	int kernels = 0, used;

	for (; sets[kernels]; kernels++)
		runs[kernels] = (struct run){type, options, sets[kernels], NULL};
	used = kernels;
	for (int i = 0; i < count; i++) {
		void *f = function(libraries[i], type, which->name);

		if (f)
			runs[used++] = (struct run){type, options, sets[0], f};
	}
	fill(type, which->run == run_trsm && is(options[0], 'L'));
	measure(which, used, runs, ns);
	best = used > kernels ? ns[kernels] : 0;
	for (int i = kernels + 1; i < used; i++)
		best = ns[i] < best ? ns[i] : best;
	printf("%c%-5s %-4s %3d %3d %3d ", types[type], which->name, options, m, n, k);
	for (int i = 0; i < kernels; i++)
		printf(" %s %6.0f", sets[i]->name, ns[i]);
	printf("  best %6.0f  %5.2f x  (", best, best / (ns[0] + CALL_NS));
	for (int i = kernels; i < used; i++)
		printf(" %.0f", ns[i]);
	printf(" )\n");
	fflush(stdout);
}

/* m, or m:n:k. False: it is larger than the buffers. */
static bool read_shape(const char *s)
{
	if (sscanf(s, "%d:%d:%d", &m, &n, &k) != 3)
		m = n = k = atoi(s);
	return m > 0 && n > 0 && k > 0 && m * n <= ELEMENTS && m * k <= ELEMENTS && n * k <= ELEMENTS;
}

/* TINY_ONLY=dgemm,ztrsm and TINY_SIZES=4,8,32:4:4 choose. */
static void table(int count, void **libraries)
{
	static const char every[] = "2,3,4,5,6,7,8,10,12,14,16,20,24,28,32";
	const char *only = getenv("TINY_ONLY"), *chosen = getenv("TINY_SIZES");

	for (size_t w = 0; w < sizeof(routines) / sizeof(*routines); w++)
		for (int type = 4 - routines[w].types; type < 4; type++) {
			char name[8];

			snprintf(name, sizeof(name), "%c%s", types[type], routines[w].name);
			if (only && !strstr(only, name))
				continue;
			for (int o = 0; o < 4 && routines[w].options[o]; o++)
				for (const char *s = chosen ? chosen : every; s;
				     s = strchr(s, ',') ? strchr(s, ',') + 1 : NULL)
					if (read_shape(s) && routines[w].fits(routines[w].options[o]))
						table_row(&routines[w], routines[w].options[o], type, count, libraries);
		}
}

static void choose_sets(void)
{
	const char *name = getenv("TINY_SET");
	const struct cdm_tiny_set *set;
	int count = 0;

	for (int i = 0; count < SETS && (set = cdm_tiny_set(i)); i++)
		if (!name || !strcmp(name, set->name))
			sets[count++] = set;
}

static void *load(const char *name)
{
	const char *path = strchr(name, '=');
	char core[40] = "";

	if (!path)
		return dlopen(name, RTLD_NOW | RTLD_LOCAL);
	snprintf(core, sizeof(core), "%.*s", (int)(path - name), name);
	setenv("OPENBLAS_CORETYPE", core, 1);
	void *library = dlopen(path + 1, RTLD_NOW | RTLD_LOCAL);
	unsetenv("OPENBLAS_CORETYPE");
	return library;
}

int main(int argc, char **argv)
{
	void *libraries[LIBRARIES];
	int count = 0;

	setenv("OPENBLAS_NUM_THREADS", "1", 0);
	choose_sets();
	if (!sets[0])
		return 0;
	if (argc < 2) {
		figures(dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL));
		return 0;
	}
	for (int i = 1; i < argc && count < LIBRARIES; i++) {
		libraries[count] = load(argv[i]);
		if (libraries[count])
			count++;
		else
			fprintf(stderr, "%s\n", dlerror());
	}
	table(count, libraries);
	return 0;
}

/* The hot paths, one after the other, for callgrind: run.sh counts the instructions of N and of 2 N operations and takes the
 * difference (mark.h). What a path prepares is not counted.
 *
 *   counts host       what never reaches a device: allocation, mappings, system calls, calls that stay
 *   counts tiny       calls that are computed at once, their arithmetic included
 *   counts patch      calls of a BLAS that is linked statically (the program counts_static)
 *   counts device     calls that are offloaded
 *
 * One line for each path: N, and its name.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shim/cdm.h"
#include "tests/counts/mark.h"

enum { N = 500, ORDER = 4, BLOCK = 2 << 20, LARGE = 8 << 20, MAPPING = 4 << 20 };

typedef void gemm_fn(const char *, const char *, const int *, const int *, const int *, const double *, const double *,
		     const int *, const double *, const int *, const double *, double *, const int *);
extern gemm_fn dgemm_;
double ddot_(const int *, const double *, const int *, const double *, const int *);
void cblas_dgemm(int, int, int, int, int, int, double, const double *, int, const double *, int, double, double *, int);

static double here[3][ORDER * ORDER]; /* not memory that libcdm tracks */
static double *block[3];              /* blocks of libcdm's */

static void need(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "counts: %s\n", what);
	exit(1);
}

/* ---- allocation ---- */

static void *escape(void *p)
{
	__asm__ volatile("" : "+r"(p)::"memory");
	return p;
}

static void malloc_free(long n)
{
	while (n--)
		free(escape(malloc(64)));
}

static void calloc_free(long n)
{
	while (n--)
		free(escape(calloc(4, 16)));
}

static void realloc_small(long n)
{
	char *p = malloc(100);

	while (n--)
		p = escape(realloc(p, n & 1 ? 100 : 40));
	free(p);
}

static void malloc_free_cached(long n)
{
	while (n--)
		free(escape(malloc(LARGE)));
}

static void *aligned[2 * N];

static void aligned_take(long n)
{
	while (n--)
		need((aligned[n] = memalign(4096, 64)) != NULL, "memalign");
}

static void free_aligned(long n)
{
	while (n--)
		free(aligned[n]);
}

static void usable_size(long n)
{
	while (n--)
		escape((void *)malloc_usable_size(block[0]));
}

/* ---- mappings, system calls ---- */

static void mmap_munmap(long n)
{
	while (n--) {
		void *p = mmap(NULL, MAPPING, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		need(p != MAP_FAILED && !munmap(p, MAPPING), "mmap");
	}
}

static void mprotect_pair(long n)
{
	while (n--)
		need(!mprotect(block[0], 4096, PROT_READ) && !mprotect(block[0], 4096, PROT_READ | PROT_WRITE),
		     "mprotect");
}

static int null_fd, zero_fd;

static void write_untracked(long n)
{
	while (n--)
		need(write(null_fd, here, 8) == 8, "write");
}

static void read_untracked(long n)
{
	while (n--)
		need(read(zero_fd, here, 8) == 8, "read");
}

static void write_tracked(long n)
{
	while (n--)
		need(write(null_fd, block[0], 8) == 8, "write");
}

static void read_tracked(long n)
{
	while (n--)
		need(read(zero_fd, block[0], 8) == 8, "read");
}

static void query(long n)
{
	struct cdm_where where;

	while (n--)
		need(!cdm_query(block[0], BLOCK, &where) && where.untracked == 0, "cdm_query");
}

/* ---- calls ---- */

static gemm_fn *looked_up;

static inline void gemm(gemm_fn *fn, double *a, double *b, double *c, long n)
{
	static const int order = ORDER;
	static const double one = 1, zero = 0;

	while (n--)
		fn("N", "N", &order, &order, &order, &one, a, &order, b, &order, &zero, c, &order);
}

static void gemm_here(long n)
{
	gemm(dgemm_, here[0], here[1], here[2], n);
}

static void gemm_blocks(long n)
{
	gemm(dgemm_, block[0], block[1], block[2], n);
}

static void gemm_dlsym(long n)
{
	gemm(looked_up, here[0], here[1], here[2], n);
}

static void cblas(long n)
{
	while (n--)
		cblas_dgemm(102, 111, 111, ORDER, ORDER, ORDER, 1, here[0], ORDER, here[1], ORDER, 0, here[2], ORDER);
}

static void dot(long n)
{
	const int order = ORDER, one = 1;

	while (n--)
		ddot_(&order, here[0], &one, here[1], &one);
}

/* ---- the table ---- */

static const struct path paths[] = {
	{"host", "malloc+free, small", malloc_free, NULL},
	{"host", "calloc+free, small", calloc_free, NULL},
	{"host", "realloc, small", realloc_small, NULL},
	{"host", "malloc+free, 8 MiB, cached", malloc_free_cached, NULL},
	{"host", "free, page-aligned, libc's", free_aligned, aligned_take},
	{"host", "malloc_usable_size, block", usable_size, NULL},
	{"host", "mmap+munmap, 4 MiB", mmap_munmap, NULL},
	{"host", "mprotect twice, page of a block", mprotect_pair, NULL},
	{"host", "write, untracked", write_untracked, NULL},
	{"host", "read, untracked", read_untracked, NULL},
	{"host", "write, block", write_tracked, NULL},
	{"host", "read, block", read_tracked, NULL},
	{"host", "cdm_query, 2 MiB", query, NULL},
	{"host", "dgemm_, stays", gemm_here, NULL},
	{"host", "cblas_dgemm, stays", cblas, NULL},
	{"host", "ddot_, stays", dot, NULL},
	{"host", "dgemm_ of dlsym, stays", gemm_dlsym, NULL},
	{"tiny", "dgemm_ of order 4, at once", gemm_here, NULL},
	{"tiny", "cblas_dgemm of order 4, at once", cblas, NULL},
	{"patch", "dgemm_ patched, stays", gemm_here, NULL},
	{"patch", "ddot_ patched, stays", dot, NULL},
	{"patch", "cblas_dgemm patched, stays", cblas, NULL},
	{"device", "dgemm_ offloaded, resident", gemm_blocks, NULL},
	{"device", "dgemm_ offloaded, untracked", gemm_here, NULL},
	{"device", "cblas_dgemm offloaded, untracked", cblas, NULL},
	{"device", "ddot_ offloaded, untracked", dot, NULL},
};

static void start(void)
{
	null_fd = open("/dev/null", O_WRONLY);
	zero_fd = open("/dev/zero", O_RDONLY);
	for (int i = 0; i < 3; i++) {
		block[i] = malloc(BLOCK);
		need(block[i] != NULL, "malloc");
		memset(block[i], 0, BLOCK);
	}
}

static void start_dlsym(void)
{
	void *handle = dlopen("libblas.so.3", RTLD_NOW);

	looked_up = handle ? (gemm_fn *)dlsym(handle, "dgemm_") : NULL;
	need(looked_up != NULL, "no dgemm_ in libblas.so.3");
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	start();
	if (!strcmp(argv[1], "host"))
		start_dlsym();
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
		if (!strcmp(paths[i].group, argv[1]))
			counts_measure(&paths[i], N);
	return 0;
}

/* What the scenario programs share. Each is a program of its own, linked with -lblas and nothing of libcdm, run with the
 * preload by tests/scenarios/run.sh on every device and mechanism. It asserts data, counters and refusals.
 *
 * Exit status: 0 passed; 77 refused, with a line "refused: why" on stdout (a mechanism or a machine cannot do it and says
 * so, and nothing was wrong); anything else failed.
 */
#ifndef SCENARIO_H
#define SCENARIO_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/cdm.h"

#define PAGE 4096ul
#define HUGE 2097152ul

void dgemm_(const char *ta, const char *tb, const int *m, const int *n, const int *k, const double *alpha,
	    const double *a, const int *lda, const double *b, const int *ldb, const double *beta, double *c,
	    const int *ldc);

#define CHECK(cond, ...)                                                                                               \
	do {                                                                                                           \
		if (!(cond)) {                                                                                         \
			printf("%s:%d: %s:", __FILE__, __LINE__, #cond);                                               \
			printf(" " __VA_ARGS__);                                                                       \
			printf("\n");                                                                                  \
			fflush(stdout);                                                                                \
			_exit(1);                                                                                      \
		}                                                                                                      \
	} while (0)

__attribute__((noreturn, unused)) static void refused(const char *why)
{
	printf("refused: %s\n", why);
	fflush(stdout);
	_exit(77);
}

/* CDM_DEVICE=emu:private: the CPU cannot address device memory. */
__attribute__((unused)) static bool is_private(void)
{
	const char *d = getenv("CDM_DEVICE");
	return d && !strcmp(d, "emu:private");
}
__attribute__((unused)) static bool is_remap(void)
{
	const char *m = getenv("CDM_MECHANISM");
	return m && !strcmp(m, "remap");
}

__attribute__((unused)) static struct cdm_counters counters(void)
{
	struct cdm_counters c;
	CHECK(cdm_counters, "libcdm is not preloaded");
	CHECK(!cdm_counters(&c, sizeof(c)));
	return c;
}
__attribute__((unused)) static struct cdm_where where(const void *p, size_t n)
{
	struct cdm_where w;
	CHECK(cdm_query, "libcdm is not preloaded");
	CHECK(!cdm_query(p, n, &w));
	return w;
}
/* Bytes of the range that the device has: on it alone, or valid on both. */
__attribute__((unused)) static size_t on_device(const void *p, size_t n)
{
	struct cdm_where w = where(p, n);
	return w.device + w.shared;
}

/* C = A * B for n x n column-major matrices with leading dimension ld, through the program's own BLAS. */
__attribute__((unused)) static void multiply(int n, int ld, const double *a, const double *b, double *c)
{
	double one = 1, zero = 0;
	dgemm_("N", "N", &n, &n, &n, &one, a, &ld, b, &ld, &zero, c, &ld);
}
/* C += A * B. */
__attribute__((unused)) static void multiply_add(int n, int ld, const double *a, const double *b, double *c)
{
	double one = 1;
	dgemm_("N", "N", &n, &n, &n, &one, a, &ld, b, &ld, &one, c, &ld);
}
/* C = u * v' + beta * C for m x n, packed: little work for much memory. */
__attribute__((unused)) static void outer(int m, int n, const double *u, const double *v, double beta, double *c)
{
	double one = 1;
	int k = 1;
	dgemm_("N", "N", &m, &n, &k, &one, u, &m, v, &k, &beta, c, &m);
}
/* Small integers, so that products are exact whatever the order of the sums. */
__attribute__((unused)) static void fill(double *x, size_t count, unsigned seed)
{
	for (size_t i = 0; i < count; i++)
		x[i] = (double)((i * 7 + seed * 13 + (i >> 9)) % 11) - 5;
}
/* The identity in n x n, leading dimension ld. */
__attribute__((unused)) static void identity(double *x, int n, int ld)
{
	for (int j = 0; j < n; j++)
		for (int i = 0; i < n; i++)
			x[i + (size_t)j * (size_t)ld] = i == j;
}
/* The element (i, j) of A * B, computed here. */
__attribute__((unused)) static double element(int n, int ld, const double *a, const double *b, int i, int j)
{
	double s = 0;
	for (int k = 0; k < n; k++)
		s += a[i + (size_t)k * (size_t)ld] * b[k + (size_t)j * (size_t)ld];
	return s;
}

/* ---- counters, and where operands are left ---------------------------------------------------------------- */

/* What has been counted since then; device_* are as of now. */
__attribute__((unused)) static struct cdm_counters since(const struct cdm_counters *then)
{
	struct cdm_counters k = counters();
	k.calls -= then->calls;
	k.offloaded -= then->offloaded;
	k.declined -= then->declined;
	k.to_device -= then->to_device;
	k.to_host -= then->to_host;
	k.first_touch -= then->first_touch;
	k.staged -= then->staged;
	k.host_faults -= then->host_faults;
	k.evictions -= then->evictions;
	k.thrash -= then->thrash;
	return k;
}

/* All of the range, whole pages of a region of its own whose host pages exist, is as an operation leaves what it has
 * only read: on a private device the CPU keeps its copy. */
#define CHECK_READ(p, n)                                                                                               \
	do {                                                                                                           \
		struct cdm_where w_ = where(p, n);                                                                     \
		CHECK((is_private() ? w_.shared : w_.device) == (n), WHERE_FORMAT, WHERE_ARGS(w_));                    \
	} while (0)
/* The same of what it has written. */
#define CHECK_WRITTEN(p, n)                                                                                            \
	do {                                                                                                           \
		struct cdm_where w_ = where(p, n);                                                                     \
		CHECK(w_.device == (n), WHERE_FORMAT, WHERE_ARGS(w_));                                                 \
	} while (0)
/* Nothing of it is on the device. */
#define CHECK_HOME(p, n)                                                                                               \
	do {                                                                                                           \
		struct cdm_where w_ = where(p, n);                                                                     \
		CHECK(w_.host + w_.untracked == (n), WHERE_FORMAT, WHERE_ARGS(w_));                                    \
	} while (0)
#define WHERE_FORMAT "KiB: %zu untracked, %zu host, %zu shared, %zu device, %zu moving, %zu pinned"
#define WHERE_ARGS(w)                                                                                                  \
	(w).untracked >> 10, (w).host >> 10, (w).shared >> 10, (w).device >> 10, (w).moving >> 10, (w).pinned >> 10
#define COUNT_FORMAT                                                                                                   \
	"%zu calls, %zu offloaded, %zu declined; KiB: %zu to device, %zu to host, %zu first touch, %zu staged; %zu "   \
	"faults"
#define COUNT_ARGS(k)                                                                                                  \
	(size_t)(k).calls, (size_t)(k).offloaded, (size_t)(k).declined, (size_t)(k).to_device >> 10,                   \
		(size_t)(k).to_host >> 10, (size_t)(k).first_touch >> 10, (size_t)(k).staged >> 10,                    \
		(size_t)(k).host_faults

/* ---- memory ------------------------------------------------------------------------------------------------ */

/* Private anonymous memory, 2 MiB-aligned, a mapping of its own between inaccessible ones; huge: in pages of 2 MiB,
 * where the machine gives them. Ends with munmap(p, bytes). */
__attribute__((unused)) static void *map_private(size_t bytes, bool huge)
{
	char *around = mmap(NULL, bytes + 2 * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(around != MAP_FAILED);
	char *at = (char *)(((uintptr_t)around + HUGE) & ~(HUGE - 1));
	char *p = mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK(p == at);
	if (huge)
		madvise(p, bytes, MADV_HUGEPAGE);
	return p;
}

/* Bytes of the mappings within [p, p+n) that are in pages of 2 MiB, says the kernel. */
__attribute__((unused)) static size_t huge_bytes(const void *p, size_t n)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	char line[512];
	bool inside = false;
	size_t kib = 0;

	CHECK(f);
	while (fgets(line, sizeof(line), f)) {
		unsigned long start, end;
		size_t more;
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			inside = start >= (uintptr_t)p && end <= (uintptr_t)p + n;
		else if (inside && sscanf(line, "AnonHugePages: %zu kB", &more) == 1)
			kib += more;
	}
	fclose(f);
	return kib << 10;
}

/* The kernel's word on the page at p, from /proc/self/pagemap: bit 63 present, 62 swapped out. */
__attribute__((unused)) static uint64_t pagemap(const void *p)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t word;
	CHECK(fd >= 0 && pread(fd, &word, 8, (off_t)((uintptr_t)p / PAGE * 8)) == 8);
	close(fd);
	return word;
}
__attribute__((unused)) static bool has_memory(const void *p)
{
	return pagemap(p) >> 62 != 0;
}

/* The permissions of the mapping that contains p, as in /proc/self/maps: "rw-p"; "" where nothing is mapped. */
__attribute__((unused)) static const char *permissions(const void *p)
{
	static __thread char perms[5];
	FILE *f = fopen("/proc/self/maps", "r");
	char line[512];
	unsigned long start, end;

	CHECK(f);
	perms[0] = 0;
	while (!perms[0] && fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx %4s", &start, &end, perms) != 3 || (uintptr_t)p < start ||
		    (uintptr_t)p >= end)
			perms[0] = 0;
	fclose(f);
	return perms;
}

/* The number of mappings of this process. */
__attribute__((unused)) static int mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	int n = 0, ch;

	CHECK(f);
	while ((ch = getc(f)) != EOF)
		n += ch == '\n';
	fclose(f);
	return n;
}

/* ---- children ---------------------------------------------------------------------------------------------- */

/* The child, which ends with _exit(0) when its own CHECKs hold, did so. */
__attribute__((unused)) static void child_passed(pid_t pid)
{
	int status;
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	CHECK(status == 0, "the child ended with status %#x", (unsigned)status);
}
/* The child died of this signal. */
__attribute__((unused)) static void child_killed(pid_t pid, int sig)
{
	int status;
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == sig, "the child ended with status %#x", (unsigned)status);
}

#endif

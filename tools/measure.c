#include "tools/measure.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "offload/base/stats.h"
#include "offload/base/sys.h"
#include "offload/dev/blas_library.h"
#include "offload/offload.h"

struct request {
	struct point point;
	int threads;
	double budget_us;
};
struct ready {
	int error;
	bool lapack;
	char core[32], name[160];
};

typedef void dgemm_fn(const char *, const char *, const int64_t *, const int64_t *, const int64_t *, const double *,
		      const double *, const int64_t *, const double *, const int64_t *, const double *, double *,
		      const int64_t *, size_t, size_t);

/* ---- the measuring process -------------------------------------------------------------------------- */

static struct cdm_blas_library lib;
static struct point_table table;
static int entered;

static void multiply(int64_t m, int64_t n, int64_t k, const double *a, const double *b, double *c)
{
	double alpha = 1, beta = 0;
	dgemm_fn *dgemm = (dgemm_fn *)table.fn[POINT_gemm][CDM_D];

	dgemm("N", "N", &m, &n, &k, &alpha, a, &m, b, &k, &beta, c, &m, 1, 1);
}

static void fill(double *p, size_t n)
{
	uint32_t seed = 1;

	for (size_t i = 0; i < n; i++) {
		seed = seed * 1664525 + 1013904223;
		p[i] = (double)(int32_t)seed / 2147483648.0;
	}
}

/* An odd shape, so that the edges of every kernel take part; C starts as NaN, which beta = 0 must not read. */
static bool result_is_right(void)
{
	enum { M = 37, N = 29, K = 41 };
	static double a[M * K], b[K * N], c[M * N];

	fill(a, M * K);
	fill(b, K * N);
	for (int i = 0; i < M * N; i++)
		c[i] = NAN;
	multiply(M, N, K, a, b, c);
	for (int j = 0; j < N; j++)
		for (int i = 0; i < M; i++) {
			double sum = 0;
			for (int l = 0; l < K; l++)
				sum += a[i + l * M] * b[l + j * K];
			if (!(fabs(sum - c[i + j * M]) < 1e-12))
				return false;
		}
	return true;
}

static int load(const char *path, const char *core, int threads)
{
	int ret = cdm_blas_open(&lib, path, core, threads);
	char name[16];

	if (ret)
		return ret;
	for (int r = 0; r < POINT_COUNT; r++)
		for (int t = 0; t < 4; t++) {
			cdm_fmt(name, sizeof(name), "%c%s", "sdcz"[t], point_name[r]);
			table.fn[r][t] = (point_fn *)cdm_blas_entry(&lib, name);
		}
	entered = cdm_blas_enter(&lib);
	return result_is_right() ? 0 : -EDOM;
}

static double answer(const struct request *r)
{
	if (r->threads != lib.threads) {
		cdm_blas_leave(&lib, entered);
		cdm_blas_set_threads(&lib, r->threads);
		entered = cdm_blas_enter(&lib);
	}
	return point_measure(&table, &r->point, r->budget_us);
}

static _Noreturn void serve(int in, int out, const char *path, const char *core, int threads)
{
	struct ready ready = {0};
	struct request r;
	struct cdm_text t;

	ready.error = load(path, core, threads);
	if (!ready.error) {
		cdm_text_init(&t, ready.name, sizeof(ready.name));
		cdm_blas_describe(&lib, &t);
		strcpy(ready.core, lib.core);
		ready.lapack = cdm_blas_entry(&lib, "dgetrf");
	}
	if (write(out, &ready, sizeof(ready)) != sizeof(ready) || ready.error)
		_exit(1);
	while (read(in, &r, sizeof(r)) == sizeof(r)) {
		double best = answer(&r);
		if (write(out, &best, sizeof(best)) != sizeof(best))
			break;
	}
	_exit(0);
}

/* ---- the calibrating process ------------------------------------------------------------------------ */

/* A message from the process, before the deadline. */
static bool receive(struct measured *m, void *message, size_t size, uint64_t deadline)
{
	struct pollfd p = {.fd = m->from, .events = POLLIN};
	uint64_t now = cdm_now_ns();
	int left = now < deadline ? (int)((deadline - now) / 1000000) : 0;

	return poll(&p, 1, left) == 1 && read(m->from, message, size) == (ssize_t)size;
}

void measure_end(struct measured *m)
{
	if (!m->pid)
		return;
	kill(m->pid, SIGKILL);
	waitpid(m->pid, NULL, 0);
	close(m->to);
	close(m->from);
	m->pid = 0;
}

static int start_process(struct measured *m, int threads)
{
	int to[2], from[2];

	if (pipe2(to, O_CLOEXEC))
		return -errno;
	if (pipe2(from, O_CLOEXEC)) {
		int ret = -errno;
		close(to[0]);
		close(to[1]);
		return ret;
	}
	m->pid = fork();
	if (m->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(to[1]);
		close(from[0]);
		serve(to[0], from[1], m->library, m->asked, threads);
	}
	close(to[0]);
	close(from[1]);
	m->to = to[1];
	m->from = from[0];
	if (m->pid > 0)
		return 0;
	m->pid = 0;
	close(m->to);
	close(m->from);
	return -EAGAIN;
}

int measure_start(struct measured *m, const char *library, const char *core, int threads, uint64_t deadline)
{
	struct ready ready;

	memset(m, 0, sizeof(*m));
	m->library = library;
	strncpy(m->asked, core, sizeof(m->asked) - 1);
	int ret = start_process(m, threads);
	if (ret)
		return ret;
	ready.error = -ETIMEDOUT;
	if (!receive(m, &ready, sizeof(ready), deadline) || ready.error) {
		measure_end(m);
		return ready.error;
	}
	m->lapack = ready.lapack;
	memcpy(m->core, ready.core, sizeof(m->core));
	memcpy(m->name, ready.name, sizeof(m->name));
	kill(m->pid, SIGSTOP);
	return 0;
}

double measure_point(struct measured *m, const struct point *point, int threads, double budget_us, uint64_t deadline)
{
	struct request r = {.point = *point, .threads = threads, .budget_us = budget_us};
	double best = -1;

	if (!m->pid)
		return -1;
	kill(m->pid, SIGCONT);
	if (write(m->to, &r, sizeof(r)) != sizeof(r) || !receive(m, &best, sizeof(best), deadline)) {
		measure_end(m);
		return -1;
	}
	kill(m->pid, SIGSTOP);
	return best;
}

double measure_dgemm(struct measured *m, int n, int threads, int budget_us, uint64_t deadline)
{
	struct point p = {.routine = POINT_gemm, .type = CDM_D, .m = n, .n = n, .k = n};

	return measure_point(m, &p, threads, budget_us, deadline);
}

/* Compute on the fastest BLAS library of the machine: the compute half of the emulated device.
 *
 * Sizes are handed over as pointers to 64-bit integers whose values fit in 31 bits: on this little-endian machine a
 * library with 32-bit integers and one with 64-bit integers both read them right.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

#include <sys/resource.h>

#include "offload/base/config.h"
#include "offload/base/lock.h"
#include "offload/base/log.h"
#include "offload/base/stats.h"
#include "offload/dev/blas_library.h"
#include "offload/dev/calibrate.h"
#include "offload/dev/dev.h"

/* Written by open(), constant afterwards, but for the thread count in a fork child. */
static struct {
	struct cdm_blas_library lib;
	struct cdm_choice choice;
	void *entry[CDM_MAX_ROUTINES];
	char description[CDM_BLAS_PATH + 160];
	bool in_turn; /* calls run one at a time */
	cdm_lock turn;
} blas;

/* ---- Fortran entry points --------------------------------------------------------------------------- */

/* The Fortran entry points. A hidden length follows for each letter. */
typedef const int64_t *num;
typedef const char *letter;
typedef void gemm_fn(letter, letter, num, num, num, const void *, const void *, num, const void *, num, const void *,
		     void *, num, size_t, size_t);
typedef void gemmt_fn(letter, letter, letter, num, num, const void *, const void *, num, const void *, num,
		      const void *, void *, num, size_t, size_t, size_t);
typedef void two_fn(letter, letter, num, num, const void *, const void *, num, const void *, num, const void *, void *,
		    num, size_t, size_t); /* symm, hemm, syr2k, her2k */
typedef void rank_fn(letter, letter, num, num, const void *, const void *, num, const void *, void *, num, size_t,
		     size_t); /* syrk, herk */
typedef void triangular_fn(letter, letter, letter, letter, num, num, const void *, const void *, num, void *, num,
			   size_t, size_t, size_t, size_t); /* trmm, trsm */

static void call_gemm(gemm_fn *fn, const struct cdm_call *c)
{
	const struct cdm_operand *op = c->op;
	fn(&c->transa, &c->transb, &c->m, &c->n, &c->k, c->alpha, op[0].base, &op[0].ld, op[1].base, &op[1].ld, c->beta,
	   op[2].base, &op[2].ld, 1, 1);
}

static void call_gemmt(gemmt_fn *fn, const struct cdm_call *c)
{
	const struct cdm_operand *op = c->op;
	fn(&c->uplo, &c->transa, &c->transb, &c->n, &c->k, c->alpha, op[0].base, &op[0].ld, op[1].base, &op[1].ld,
	   c->beta, op[2].base, &op[2].ld, 1, 1, 1);
}

static void call_symm(two_fn *fn, const struct cdm_call *c)
{
	const struct cdm_operand *op = c->op;
	fn(&c->side, &c->uplo, &c->m, &c->n, c->alpha, op[0].base, &op[0].ld, op[1].base, &op[1].ld, c->beta,
	   op[2].base, &op[2].ld, 1, 1);
}

static void call_syr2k(two_fn *fn, const struct cdm_call *c)
{
	const struct cdm_operand *op = c->op;
	fn(&c->uplo, &c->transa, &c->n, &c->k, c->alpha, op[0].base, &op[0].ld, op[1].base, &op[1].ld, c->beta,
	   op[2].base, &op[2].ld, 1, 1);
}

static void call_syrk(rank_fn *fn, const struct cdm_call *c)
{
	const struct cdm_operand *op = c->op;
	fn(&c->uplo, &c->transa, &c->n, &c->k, c->alpha, op[0].base, &op[0].ld, c->beta, op[1].base, &op[1].ld, 1, 1);
}

static void call_triangular(triangular_fn *fn, const struct cdm_call *c)
{
	const struct cdm_operand *op = c->op;
	fn(&c->side, &c->uplo, &c->transa, &c->diag, &c->m, &c->n, c->alpha, op[0].base, &op[0].ld, op[1].base,
	   &op[1].ld, 1, 1, 1, 1);
}

/* ---- a limited address space ------------------------------------------------------------------------ */

/* OpenBLAS maps a buffer of 128 MiB for each thread that is inside it, and where that fails tries again for ever. So
 * with a limit (ulimit -v) there must be room for the library, its buffers and its measurement before it is opened; and
 * one call at a time runs, after a first one that maps what all of them need. */
#define ROOM_LIBRARY ((uint64_t)1 << 30)
#define ROOM_THREAD ((uint64_t)256 << 20)

/* Bytes of address space in use; 0: unknown. */
static uint64_t address_space(void)
{
	char text[64];
	uint64_t pages = 0;
	int fd = cdm_sys_open("/proc/self/statm", O_RDONLY | O_CLOEXEC, 0);
	ssize_t n = fd < 0 ? 0 : cdm_sys_read(fd, text, sizeof(text));

	for (ssize_t i = 0; i < n && text[i] >= '0' && text[i] <= '9'; i++)
		pages = pages * 10 + (uint64_t)(text[i] - '0');
	if (fd >= 0)
		cdm_sys_close(fd);
	return pages * CDM_PAGE;
}

/* False: too little. Sets in_turn when there is a limit at all. */
static bool enough_room(void)
{
	struct rlimit limit;
	uint64_t threads = (uint64_t)(cdm_config.threads ? cdm_config.threads : cdm_allowed_cpus());

	if (cdm_sys6(SYS_prlimit64, 0, RLIMIT_AS, 0, (long)&limit, 0, 0) < 0 || limit.rlim_cur == RLIM_INFINITY)
		return true;
	blas.in_turn = true;
	return limit.rlim_cur >= address_space() + ROOM_LIBRARY + threads * ROOM_THREAD;
}

/* One product large enough for all threads. The matrices: zeros that read as one page. */
static void map_buffers(void)
{
	int64_t n = 512;
	double one = 1, zero = 0;
	size_t bytes = (size_t)(n * n) * sizeof(double);
	struct cdm_call c = {.transa = 'N', .transb = 'N', .m = n, .n = n, .k = n, .alpha = &one, .beta = &zero};
	gemm_fn *dgemm = (gemm_fn *)cdm_blas_symbol(&blas.lib, "dgemm_");
	char *memory = cdm_sys_mmap(NULL, 3 * bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (!dgemm || cdm_sys_failed(memory))
		return;
	for (size_t i = 0; i < 3; i++)
		c.op[i] = (struct cdm_operand){.base = memory + i * bytes, .ld = n};
	int entered = cdm_blas_enter(&blas.lib);
	call_gemm(dgemm, &c);
	cdm_blas_leave(&blas.lib, entered);
	cdm_sys_munmap(memory, 3 * bytes);
}

/* ---- opening ---------------------------------------------------------------------------------------- */

static void describe_choice(bool measured)
{
	struct cdm_text t;

	cdm_text_init(&t, blas.description, sizeof(blas.description));
	cdm_blas_describe(&blas.lib, &t);
	if (measured)
		cdm_textf(&t, ", %.1f GFLOP/s", (double)blas.choice.mflops / 1e3);
	else
		cdm_textf(&t, ", not calibrated");
	cdm_textf(&t, " (%s)", blas.choice.library);
}

static void resolve_entries(void)
{
	char name[32];

	for (int i = 0; i < cdm_routine_count && i < CDM_MAX_ROUTINES; i++) {
		cdm_fmt(name, sizeof(name), "%s_", cdm_routines[i].name);
		blas.entry[i] = cdm_blas_symbol(&blas.lib, name);
		cdm_fmt(name, sizeof(name), "%s_64_", cdm_routines[i].name);
		if (!blas.entry[i])
			blas.entry[i] = cdm_blas_symbol(&blas.lib, name);
	}
}

static int open_choice(const struct cdm_choice *c, bool measured)
{
	int ret = cdm_blas_open(&blas.lib, c->library, c->core, c->threads);

	if (ret)
		return ret;
	if (!cdm_blas_symbol(&blas.lib, "dgemm_") && !cdm_blas_symbol(&blas.lib, "dgemm_64_"))
		return -ELIBBAD;
	blas.choice = *c;
	resolve_entries();
	if (blas.in_turn)
		map_buffers();
	describe_choice(measured);
	return 0;
}

/* The best of the libraries that match want, whether or not they can be measured. */
static int open_best(const char *want)
{
	struct cdm_blas_file list[CDM_BLAS_MAX];
	struct cdm_choice c;
	int n = cdm_blas_find(want, list, CDM_BLAS_MAX);

	if (!n)
		return -ENOENT;
	int ret = cdm_calibrate(list, n, want, cdm_config.threads, &c);
	if (!ret && !open_choice(&c, true))
		return 0;
	for (int i = 0; i < n; i++) {
		cdm_calibrate_guess(&list[i], cdm_config.threads, &c);
		if (!open_choice(&c, false))
			return 0;
	}
	return -ENOENT;
}

static int blas_open(void)
{
	const char *want = cdm_config.blas;

	if (!enough_room()) {
		cdm_log(CDM_LOG_INFO, "the limit on address space (ulimit -v) leaves no room for a compute library");
		return -ENOMEM;
	}
	if (want) {
		if (!open_best(want))
			return 0;
		cdm_log(CDM_LOG_WARN, "CDM_BLAS=%s: no such BLAS library can be opened; using the fastest one found",
			want);
	}
	return open_best(NULL);
}

/* ---- calls ------------------------------------------------------------------------------------------ */

static int call_family(void *fn, const struct cdm_call *c)
{
	switch (cdm_routines[c->routine].family) {
	case CDM_GEMM:
		return call_gemm(fn, c), 0;
	case CDM_GEMMT:
		return call_gemmt(fn, c), 0;
	case CDM_SYMM:
	case CDM_HEMM:
		return call_symm(fn, c), 0;
	case CDM_SYRK:
	case CDM_HERK:
		return call_syrk(fn, c), 0;
	case CDM_SYR2K:
	case CDM_HER2K:
		return call_syr2k(fn, c), 0;
	case CDM_TRMM:
	case CDM_TRSM:
		return call_triangular(fn, c), 0;
	default:
		return -EIO;
	}
}

static bool fits(const struct cdm_call *c)
{
	int64_t most = c->m | c->n | c->k;

	for (int i = 0; i < c->operands; i++)
		most |= c->op[i].ld;
	return most >= 0 && most <= INT_MAX;
}

static bool blas_supports(int routine)
{
	return routine >= 0 && routine < cdm_routine_count && routine < CDM_MAX_ROUTINES && blas.entry[routine];
}

static void *blas_entry(int routine)
{
	return blas_supports(routine) ? blas.entry[routine] : NULL;
}

/* -EOVERFLOW, and nothing computed: a size beyond the library's integers. A cancelled thread would leave the library
 * with its locks held, so the call is no cancellation point, whatever waiting the library does. */
static int blas_run(const struct cdm_call *c)
{
	int cancel, ret;

	if (!blas_supports(c->routine))
		return -EIO;
	if (!fits(c))
		return -EOVERFLOW;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	if (blas.in_turn)
		cdm_lock_take(&blas.turn);
	int entered = cdm_blas_enter(&blas.lib);
	ret = call_family(blas.entry[c->routine], c);
	cdm_blas_leave(&blas.lib, entered);
	if (blas.in_turn)
		cdm_lock_drop(&blas.turn);
	pthread_setcancelstate(cancel, NULL);
	return ret;
}

/* ---- the rest --------------------------------------------------------------------------------------- */

static const char *blas_describe(void)
{
	return blas.description[0] ? blas.description : "none";
}

static double blas_crossover(void)
{
	return (double)blas.choice.crossover;
}

static void blas_fork_prepare(void)
{
	if (blas.lib.handle)
		cdm_blas_fork_prepare(&blas.lib);
}

static void blas_fork_child(void)
{
	if (blas.lib.handle)
		cdm_blas_fork_child(&blas.lib);
}

const struct cdm_compute_ops cdm_compute_blas = {
	.open = blas_open,
	.supports = blas_supports,
	.run = blas_run,
	.entry = blas_entry,
	.describe = blas_describe,
	.crossover = blas_crossover,
	.fork_prepare = blas_fork_prepare,
	.fork_child = blas_fork_child,
};

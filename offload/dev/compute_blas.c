/* Compute on the fastest BLAS library of the machine: the compute half of the emulated device. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <sys/resource.h>

#include "offload/base/config.h"
#include "offload/base/lock.h"
#include "offload/base/log.h"
#include "offload/base/stats.h"
#include "offload/dev/blas_library.h"
#include "offload/dev/calibrate.h"
#include "offload/dev/dev.h"
#include "offload/dev/fortran_call.h"

/* Written by open(), constant afterwards, but for the thread count in a fork child. */
static struct {
	struct cdm_blas_library lib;
	struct cdm_choice choice;
	void *entry[CDM_MAX_ROUTINES];
	bool wide; /* its integers have 64 bits */
	char description[CDM_BLAS_PATH + 160];
	bool in_turn; /* calls run one at a time */
	cdm_lock turn;
} blas;

/* The library's Fortran entry point, with 32-bit integers or, failing that, with 64-bit ones. */
static void *entry_of(const char *routine)
{
	char name[CDM_ROUTINE_NAME + 8];

	cdm_fmt(name, sizeof(name), "%s_", routine);
	void *fn = cdm_blas_symbol(&blas.lib, name);
	if (fn)
		return fn;
	cdm_fmt(name, sizeof(name), "%s_64_", routine);
	return cdm_blas_symbol(&blas.lib, name);
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
	char *memory = cdm_sys_mmap(NULL, 3 * bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *dgemm = entry_of("dgemm");

	if (!dgemm || cdm_sys_failed(memory))
		return;
	char *a = memory, *b = a + bytes, *c = b + bytes;
	struct cdm_call call = {
		.args = "LLNNNSMNMNSMN",
		.count = 13,
		.letters = 2,
		.returns = 'v',
		.arg = {"N", "N", &n, &n, &n, &one, a, &n, b, &n, &zero, c, &n},
	};
	int entered = cdm_blas_enter(&blas.lib);
	cdm_fortran_call(dgemm, &call, true);
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
	blas.wide = !cdm_blas_symbol(&blas.lib, "dgemm_");
	for (int i = 0; i < cdm_routine_count && i < CDM_MAX_ROUTINES; i++)
		blas.entry[i] = entry_of(cdm_routines[i].name);
}

static int open_choice(const struct cdm_choice *c, bool measured)
{
	int ret = cdm_blas_open(&blas.lib, c->library, c->core, c->threads);

	if (ret)
		return ret;
	if (!entry_of("dgemm"))
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

static int open_wanted(void)
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

static bool blas_supports(int routine)
{
	return routine >= 0 && routine < cdm_routine_count && routine < CDM_MAX_ROUTINES && blas.entry[routine];
}

static void *blas_entry(int routine)
{
	return blas_supports(routine) && !blas.wide ? blas.entry[routine] : NULL;
}

/* -EOVERFLOW, and nothing computed: a size beyond the library's integers. A cancelled thread would leave the library
 * with its locks held, so the call is no cancellation point, whatever waiting the library does. */
static int blas_run(struct cdm_call *c)
{
	int cancel, ret;

	if (!blas_supports(c->routine))
		return -EIO;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	if (blas.in_turn)
		cdm_lock_take(&blas.turn);
	int entered = cdm_blas_enter(&blas.lib);
	ret = cdm_fortran_call(blas.entry[c->routine], c, blas.wide);
	cdm_blas_leave(&blas.lib, entered);
	if (blas.in_turn)
		cdm_lock_drop(&blas.turn);
	pthread_setcancelstate(cancel, NULL);
	return ret;
}

/* ---- the rest --------------------------------------------------------------------------------------- */

/* ---- threads ------------------------------------------------------------------------------------------ */

/* The library's threads, as those that opening it has added to a process of one thread. They end when a fork stops them,
 * and are not known again afterwards. */
#define WORKERS 256
static int worker[WORKERS];
static _Atomic int workers;

static int tasks(int *tid, int max)
{
	char buf[4096];
	int n = 0;
	int fd = cdm_sys_open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);

	for (long got; fd >= 0 && (got = cdm_sys3(SYS_getdents64, fd, (long)buf, sizeof(buf))) > 0;)
		for (long at = 0; at < got;) {
			struct dirent64 *d = (struct dirent64 *)(buf + at);
			at += d->d_reclen;
			if (d->d_name[0] >= '0' && d->d_name[0] <= '9' && n < max)
				tid[n++] = atoi(d->d_name);
		}
	if (fd >= 0)
		cdm_sys_close(fd);
	return n;
}

static void note_workers(bool alone)
{
	int tid[WORKERS], n = alone ? tasks(tid, WORKERS) : 0, mine = (int)cdm_sys3(SYS_gettid, 0, 0, 0), found = 0;

	for (int i = 0; i < n; i++)
		if (tid[i] != mine)
			worker[found++] = tid[i];
	atomic_store(&workers, found);
}

static bool blas_owns_thread(int tid)
{
	for (int i = 0; i < atomic_load(&workers); i++)
		if (worker[i] == tid)
			return true;
	return false;
}

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
	atomic_store(&workers, 0);
	if (blas.lib.handle)
		cdm_blas_fork_prepare(&blas.lib);
}

static void blas_fork_child(void)
{
	if (blas.lib.handle)
		cdm_blas_fork_child(&blas.lib);
}

static int blas_open(void)
{
	int tid[2];
	bool alone = tasks(tid, 2) == 1;
	int ret = open_wanted();

	if (!ret)
		note_workers(alone);
	return ret;
}

const struct cdm_compute_ops cdm_compute_blas = {
	.open = blas_open,
	.supports = blas_supports,
	.run = blas_run,
	.entry = blas_entry,
	.owns_thread = blas_owns_thread,
	.describe = blas_describe,
	.crossover = blas_crossover,
	.fork_prepare = blas_fork_prepare,
	.fork_child = blas_fork_child,
};

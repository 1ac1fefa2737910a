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
#include "offload/dev/cpus.h"
#include "offload/dev/dev.h"
#include "offload/dev/fortran_call.h"
#include "offload/dev/team.h"

/* A library of the plan. Opened when a call first wants it (the first one: at once), and never closed. */
struct instance {
	_Atomic int state; /* enum; what follows is constant once it is OPEN, but for the library's thread count */
	struct cdm_blas_library lib;
	void *entry[CDM_MAX_ROUTINES];
	cdm_counter calls, wanted;
};
enum { CLOSED, OPEN, FAILED };

static struct {
	struct instance instance[CDM_SETTINGS];
	struct cdm_choice choice;
	int8_t family[CDM_MAX_ROUTINES];
	char description[CDM_BLAS_PATH + 160];
	_Atomic bool single; /* only the first library: its threads are all there is */
	bool in_turn;        /* calls run one at a time */
	cdm_lock turn, opening;
} blas;

/* ---- a limited address space ------------------------------------------------------------------------ */

/* OpenBLAS maps a buffer of 128 MiB for each thread that is inside it, and where that fails tries again for ever. So
 * with a limit (ulimit -v) there must be room for the library, its buffers and its measurement before it is opened; and
 * one call at a time runs, after a first one that maps what all of them need. */
#define ROOM_LIBRARY ((uint64_t)1 << 30)
#define ROOM_THREAD ((uint64_t)256 << 20)

/* The threads to plan for; 0: as many as there are CPUs. */
static int threads_asked(void)
{
	return cdm_config.threads ? cdm_config.threads : cdm_wanted_threads();
}

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
	uint64_t threads = (uint64_t)(threads_asked() ? threads_asked() : cdm_allowed_cpus());

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
	const struct cdm_blas_library *lib = &blas.instance[0].lib;

	if (cdm_sys_failed(memory))
		return;
	char *a = memory, *b = a + bytes, *c = b + bytes;
	struct cdm_call call = {
		.args = "LLNNNSMNMNSMN",
		.count = 13,
		.letters = 2,
		.returns = 'v',
		.arg = {"N", "N", &n, &n, &n, &one, a, &n, b, &n, &zero, c, &n},
	};
	int entered = cdm_blas_enter(lib);
	cdm_fortran_call(cdm_blas_entry(lib, "dgemm"), &call, true);
	cdm_blas_leave(lib, entered);
	cdm_sys_munmap(memory, 3 * bytes);
}

/* ---- opening ---------------------------------------------------------------------------------------- */

static void describe_choice(bool measured)
{
	struct cdm_text t;

	cdm_text_init(&t, blas.description, sizeof(blas.description));
	cdm_blas_describe(&blas.instance[0].lib, &t);
	if (measured)
		cdm_textf(&t, ", %.1f GFLOP/s", (double)blas.choice.mflops / 1e3);
	else
		cdm_textf(&t, ", not calibrated");
	cdm_textf(&t, " (%s)", blas.choice.plan.setting[0].library);
}

static int open_instance(struct instance *i, const struct cdm_setting *s)
{
	int ret = cdm_blas_open(&i->lib, s->library, s->core, s->threads);

	if (!ret)
		for (int r = 0; r < cdm_routine_count && r < CDM_MAX_ROUTINES; r++)
			i->entry[r] = cdm_blas_entry(&i->lib, cdm_routines[r].name);
	atomic_store(&i->state, ret ? FAILED : OPEN);
	return ret;
}

static int open_choice(const struct cdm_choice *c, bool measured)
{
	int ret = open_instance(&blas.instance[0], &c->plan.setting[0]);

	if (ret)
		return ret;
	blas.choice = *c;
	atomic_store(&blas.single, blas.in_turn || !blas.instance[0].lib.isolated);
	for (int r = 0; r < cdm_routine_count && r < CDM_MAX_ROUTINES; r++)
		blas.family[r] = (int8_t)cdm_plan_family(cdm_routines[r].name);
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
	int ret = cdm_calibrate(list, n, want, threads_asked(), &c);
	if (!ret && !open_choice(&c, true))
		return 0;
	for (int i = 0; i < n; i++) {
		cdm_calibrate_guess(&list[i], threads_asked(), &c);
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

static void give_up(int n)
{
	const struct cdm_setting *s = &blas.choice.plan.setting[n];

	cdm_log(CDM_LOG_INFO, "%s cannot be opened a second time or beside another library", s->library);
	if (s->threads == 1)
		atomic_store(&blas.single, true); /* calls beside the team's are the team's library's business */
}

/* A further library of the plan, opened now if need be. NULL: it cannot be used, or another thread is opening one. */
static struct instance *instance_get(int n)
{
	struct instance *i = &blas.instance[n];
	uint64_t mask;

	if (atomic_load_explicit(&i->state, memory_order_acquire) == OPEN)
		return i;
	if (atomic_load(&blas.single) || atomic_load(&i->state) == FAILED || !cdm_lock_try(&blas.opening))
		return NULL;
	if (atomic_load(&i->state) == CLOSED) {
		cdm_sys_block_sent(&mask);
		if (open_instance(i, &blas.choice.plan.setting[n]))
			give_up(n);
		cdm_sys_unblock(&mask);
	}
	cdm_lock_drop(&blas.opening);
	return atomic_load(&i->state) == OPEN ? i : NULL;
}

static bool has(const struct instance *i, int routine)
{
	return routine >= 0 && routine < cdm_routine_count && routine < CDM_MAX_ROUTINES && i->entry[routine];
}

static bool blas_supports(int routine)
{
	return has(&blas.instance[0], routine);
}

static void *blas_entry(int routine)
{
	return blas_supports(routine) && !blas.instance[0].lib.wide ? blas.instance[0].entry[routine] : NULL;
}

static enum cdm_aspect aspect_of(const struct cdm_call *c)
{
	int family = blas.family[c->routine];

	return family < 0 ? CDM_SQUARE : cdm_plan_aspect_of(c, family);
}

static int setting_for(const struct cdm_call *c, enum cdm_aspect aspect, bool alone)
{
	int family = blas.family[c->routine];
	const struct cdm_plan *plan = &blas.choice.plan;

	if (family < 0) /* not measured: as the largest products */
		return alone ? plan->alone[CDM_FAMILY_GEMM][CDM_D][CDM_SQUARE][CDM_CLASSES - 1] : 0;
	return cdm_plan_setting(plan, family, cdm_routines[c->routine].type, aspect, c->flops, alone);
}

/* Calls of a routine, an aspect and a class of work are alike. */
static int kind_of(const struct cdm_call *c, enum cdm_aspect aspect)
{
	return (c->routine * CDM_CLASSES + cdm_plan_class(c->flops)) * CDM_ASPECTS + (int)aspect;
}

/* What lacks the routine, or cannot be opened, is not for the call. */
static struct instance *choose(const struct cdm_call *c, int setting)
{
	struct instance *i = instance_get(setting);

	return i && has(i, c->routine) ? i : NULL;
}

static int run_in(struct instance *i, struct cdm_call *c)
{
	int entered = cdm_blas_enter(&i->lib);
	uint64_t begun = cdm_now_ns();
	int ret = cdm_fortran_call(i->entry[c->routine], c, i->lib.wide);

	c->device_ns = cdm_now_ns() - begun;
	cdm_blas_leave(&i->lib, entered);
	cdm_count(&i->calls, 1);
	return ret;
}

/* The best setting; but a library takes 5 ms to open, some percent of this work. Until calls have wanted it that much, the first
 * one computes them. */
#define WORTH_OPENING 300000000u

static int best_setting(const struct cdm_call *c, enum cdm_aspect aspect)
{
	int n = setting_for(c, aspect, false);
	struct instance *i = &blas.instance[n];

	if (atomic_load_explicit(&i->state, memory_order_relaxed) == CLOSED) {
		cdm_count(&i->wanted, (uint64_t)c->flops);
		if (cdm_counted(&i->wanted) < WORTH_OPENING)
			return 0;
	}
	return n;
}

/* The library that has the team, and its threads if the plan wants several. Opened by who holds nothing (team.h). */
static struct instance *choose_team(const struct cdm_call *c, enum cdm_aspect aspect, int *want)
{
	int best = best_setting(c, aspect);

	*want = blas.choice.plan.setting[best].threads;
	struct instance *i = *want > 1 ? choose(c, best) : NULL;

	*want = i ? *want : 1;
	return i;
}

/* Where every setting can be used: the one that the plan names, with the team or alone. Whoever has no library to be alone in
 * takes the team for the first one: nobody else computes there then, nor sets its threads. */
static int run_planned(struct cdm_call *c)
{
	struct cdm_seat seat;
	int want, ret = -EAGAIN;
	enum cdm_aspect aspect = aspect_of(c);
	struct instance *i = choose_team(c, aspect, &want);

	cdm_team_enter(&seat, want, kind_of(c, aspect));
	if (seat.threads == 1)
		i = choose(c, setting_for(c, aspect, true));
	else if (i->lib.most > 1 && seat.threads != i->lib.threads)
		cdm_blas_set_threads(&i->lib, seat.threads);
	bool exclusive = i && (seat.threads > 1 || i->lib.most == 1);
	if (exclusive || cdm_team_insist(&seat)) {
		cdm_team_begin(&seat, c->flops);
		ret = run_in(i ? i : &blas.instance[0], c);
	}
	cdm_team_leave(&seat, ret ? 0 : c->device_ns);
	return ret;
}

/* Nothing computed: -EOVERFLOW, a size beyond the library's integers; -EAGAIN, no library can be had now. A cancelled thread would
 * leave the library with its locks held, so the call is no cancellation point, whatever waiting the library does. */
static int blas_run(struct cdm_call *c)
{
	int cancel, ret;

	if (!blas_supports(c->routine))
		return -EIO;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	if (blas.in_turn)
		cdm_lock_take(&blas.turn);
	ret = atomic_load_explicit(&blas.single, memory_order_relaxed) ? run_in(&blas.instance[0], c) : run_planned(c);
	if (blas.in_turn)
		cdm_lock_drop(&blas.turn);
	pthread_setcancelstate(cancel, NULL);
	return ret;
}

/* ---- small calls on the host --------------------------------------------------------------------------- */

static bool blas_prepared(void)
{
	struct cdm_blas_file list[CDM_BLAS_MAX];
	struct cdm_choice c;
	int n = cdm_blas_find(cdm_config.blas, list, CDM_BLAS_MAX);

	return !cdm_choice_load(cdm_choice_key(list, n, cdm_config.blas, threads_asked()), &c);
}

static bool blas_small_ready(void)
{
	const struct cdm_plan *plan = &blas.choice.plan;

	for (int n = 0; n < plan->settings && !atomic_load(&blas.single); n++)
		if (plan->setting[n].threads == 1 && !instance_get(n) && atomic_load(&blas.instance[n].state) == CLOSED)
			return false;
	return true;
}

static void *blas_small(int routine, bool cblas, enum cdm_aspect aspect, int size)
{
	int family = blas.family[routine];
	const struct cdm_plan *plan = &blas.choice.plan;

	if (family < 0 || atomic_load(&blas.single))
		return NULL;
	int type = cdm_routines[routine].type, n = plan->alone[family][type][aspect][size];
	struct instance *i = plan->setting[n].threads == 1 ? instance_get(n) : NULL;
	if (!i || i->lib.wide || i->lib.omp_set_threads)
		return NULL;
	return cblas ? cdm_blas_cblas_entry(&i->lib, cdm_routines[routine].name) : i->entry[routine];
}

static uint64_t blas_team_from(int routine, enum cdm_aspect aspect)
{
	int family = blas.family[routine];
	const struct cdm_plan *plan = &blas.choice.plan;
	uint64_t least = blas.choice.crossover / CDM_REFERENCE_SPEED;

	if (family < 0 || plan->setting[0].threads == 1)
		return UINT64_MAX;
	uint64_t from = plan->team_from[family][cdm_routines[routine].type][aspect];
	return from > least ? from : least;
}

static void blas_greet(void)
{
	for (int n = 0; n < CDM_SETTINGS; n++)
		if (atomic_load(&blas.instance[n].state) == OPEN)
			cdm_blas_enter_first(&blas.instance[n].lib);
}

static bool blas_is_small(const char *path, const char *core)
{
	const struct cdm_plan *plan = &blas.choice.plan;
	const struct cdm_setting *s = &plan->setting[cdm_plan_first_alone(plan)];
	const struct instance *i = &blas.instance[s - plan->setting];

	return !strcmp(path, s->library) && (!core[0] || !i->lib.core[0] || !strcasecmp(core, i->lib.core));
}

/* The n-th of those that are open: settings that nobody has needed are not. */
static struct instance *open_one(int n)
{
	for (int i = 0; i < CDM_SETTINGS; i++)
		if (atomic_load(&blas.instance[i].state) == OPEN && n-- == 0)
			return &blas.instance[i];
	return NULL;
}

static const char *blas_library(int n, uint64_t *calls)
{
	static char text[CDM_SETTINGS][CDM_BLAS_PATH + 120];
	const struct instance *i = open_one(n);
	struct cdm_text t;

	if (!i)
		return NULL;
	cdm_text_init(&t, text[n], sizeof(text[n]));
	cdm_blas_describe(&i->lib, &t);
	cdm_textf(&t, " (%s)", blas.choice.plan.setting[i - blas.instance].library);
	*calls = cdm_counted(&i->calls);
	return text[n];
}

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
	for (int n = 0; n < CDM_SETTINGS; n++)
		if (atomic_load(&blas.instance[n].state) == OPEN)
			cdm_blas_fork_prepare(&blas.instance[n].lib);
}

static void blas_fork_child(void)
{
	cdm_team_child();
	cdm_lock_reset(&blas.opening);
	for (int n = 0; n < CDM_SETTINGS; n++)
		if (atomic_load(&blas.instance[n].state) == OPEN)
			cdm_blas_fork_child(&blas.instance[n].lib);
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
	.prepared = blas_prepared,
	.small_ready = blas_small_ready,
	.small = blas_small,
	.team_from = blas_team_from,
	.greet = blas_greet,
	.is_small = blas_is_small,
	.library = blas_library,
	.fork_prepare = blas_fork_prepare,
	.fork_child = blas_fork_child,
};

#include "offload/op/forward.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "offload/base/arena.h"
#include "offload/base/config.h"
#include "offload/base/lock.h"
#include "offload/base/stats.h"
#include "offload/mem/device.h"
#include "offload/op/dispatch.h"
#include "offload/op/inflight.h"

/* Flops of small calls that are worth some 20 ms, what the first library takes to open; 5 ms, a further one; and 2 s, what
 * calibration takes. */
#define WORTH_OPENING 50000000u
#define WORTH_ASKING 15000000u
#define WORTH_MEASURING 20000000000u
#define PATIENCE_NS 100000000u
/* The limit, before it is measured: all that is computed at once (offload/tiny), for some of which quick_tiny.c takes it threefold. */
#define BEFORE_OPEN 4200000

_Atomic uint64_t cdm_quick_limit;
_Atomic uint64_t cdm_forward_ask = WORTH_OPENING;
struct cdm_forward *_Atomic cdm_forward_table;

static uint64_t limit;      /* cdm_quick_limit while the way is open */
static _Atomic bool closed; /* a fork is going on */
static cdm_lock starting;   /* one thread fills in the table */
static bool failed;         /* guarded by starting: nothing is ever forwarded */
static uint64_t next_try;   /* guarded by starting: the work from which it makes sense to try again */
static bool registered;     /* for membarrier(2) */

/* Without the kernel's help a visitor and who closes could miss each other. */
static bool order_all(int command)
{
	return cdm_sys3(SYS_membarrier, command, 0, 0) == 0;
}

static void set_limit(uint64_t flops)
{
	if (cdm_config.min_work >= 0 || !cdm_device.mem->coherent)
		return;
	limit = flops;
	if (!atomic_load(&closed))
		atomic_store(&cdm_quick_limit, flops);
}

void cdm_forward_prepare(void)
{
	registered = order_all(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
}

void cdm_forward_init(void)
{
	set_limit(BEFORE_OPEN);
}

void cdm_forward_limit(uint64_t flops)
{
	set_limit(flops);
	atomic_store(&cdm_forward_ask, WORTH_ASKING);
}

/* ---- the table --------------------------------------------------------------------------------------------- */

static void fill_functions(struct cdm_forward_row *row, int routine, enum cdm_aspect aspect)
{
	for (int size = 0; size < CDM_FORWARD_CLASSES; size++)
		for (int cblas = 0; cblas < 2; cblas++)
			row->fn[cblas][size] = cdm_device.compute->small(routine, cblas, aspect, size);
}

static void fill_row(struct cdm_forward *row, int routine)
{
	struct cdm_forward_row each[CDM_ASPECTS];
	bool alike = true;

	row->team_least = UINT64_MAX;
	for (int aspect = 0; aspect < CDM_ASPECTS; aspect++) {
		uint64_t from = cdm_device.compute->team_from(routine, (enum cdm_aspect)aspect);
		row->team_from[aspect] = from;
		row->team_least = from < row->team_least ? from : row->team_least;
		fill_functions(&each[aspect], routine, (enum cdm_aspect)aspect);
		alike = alike && !memcmp(&each[aspect], &each[CDM_SQUARE], sizeof(each[0]));
	}
	row->square = each[CDM_SQUARE];
	struct cdm_forward_row *copy = alike ? NULL : cdm_arena_alloc(sizeof(each));
	if (copy)
		memcpy(copy, each, sizeof(each));
	row->by_aspect = copy;
}

static struct cdm_forward *make_table(void)
{
	struct cdm_forward *table = cdm_arena_alloc((size_t)cdm_routine_count * sizeof(*table));

	for (int r = 0; table && r < cdm_routine_count; r++)
		fill_row(&table[r], r);
	return table;
}

static bool open_way(int routine, const void *site, uint64_t work)
{
	if (!cdm_dispatch_compute_open() && work < WORTH_MEASURING && !cdm_device.compute->prepared())
		return false;
	if (!cdm_dispatch_compute(routine, site)) /* another thread may be opening it: asked again later */
		return false;
	if (!cdm_device.compute->small_ready())
		return false;
	struct cdm_forward *table = registered ? make_table() : NULL;
	failed = !table;
	atomic_store(&cdm_forward_table, table);
	return table;
}

static bool started(int routine, const void *site)
{
	if (atomic_load_explicit(&cdm_forward_table, memory_order_acquire))
		return true;
	uint64_t work = cdm_callers_work();
	if (work < atomic_load_explicit(&cdm_forward_ask, memory_order_relaxed) || !cdm_lock_try(&starting))
		return false;
	bool open = atomic_load(&cdm_forward_table) || (!failed && work >= next_try && open_way(routine, site, work));
	if (!open && work >= next_try)
		next_try = work + atomic_load_explicit(&cdm_forward_ask, memory_order_relaxed);
	cdm_lock_drop(&starting);
	return open;
}

static bool introduce(struct cdm_caller *self)
{
	if (!self->entered)
		cdm_device.compute->greet();
	return self->entered = true;
}

/* In flight: no fork meets a library half-open; nor does cancellation. */
bool cdm_forward_start(int routine, const void *site)
{
	struct cdm_caller *self = cdm_caller_get();
	int cancel;

	if (self->shared || !atomic_load(&cdm_quick_limit))
		return false;
	cdm_inflight_enter();
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	bool open = started(routine, site) && introduce(self);
	pthread_setcancelstate(cancel, NULL);
	cdm_inflight_leave();
	return open;
}

bool cdm_forward_is_same(const char *path, const char *core)
{
	return cdm_device.compute->is_small(path, core);
}

/* ---- fork -------------------------------------------------------------------------------------------------- */

/* Somebody else is; or this thread, in a call that a handler which forks has interrupted. */
static bool inside(bool anybody)
{
	for (int i = 0; i < CDM_CALLERS; i++)
		if ((anybody || &cdm_stats.caller[i] != cdm_caller_self) &&
		    atomic_load_explicit(&cdm_stats.caller[i].busy, memory_order_acquire))
			return true;
	return false;
}

/* Calls inside are short, so they are not asked to wake anybody. */
bool cdm_forward_close(void)
{
	struct timespec nap = {.tv_nsec = 20000};
	uint64_t begun = cdm_now_ns();

	if (atomic_exchange(&closed, true)) /* before this fork's handlers */
		return !inside(true);
	atomic_store(&cdm_quick_limit, 0);
	if (!atomic_load(&cdm_forward_table))
		return true;
	if (!order_all(MEMBARRIER_CMD_PRIVATE_EXPEDITED))
		return false;
	while (inside(false) && cdm_now_ns() - begun < PATIENCE_NS)
		(void)cdm_sys3(SYS_nanosleep, (long)&nap, 0, 0);
	return !inside(true);
}

void cdm_forward_open(void)
{
	atomic_store(&closed, false);
	atomic_store(&cdm_quick_limit, limit);
}

void cdm_forward_child(bool may)
{
	for (int i = 0; i < CDM_CALLERS; i++)
		if (&cdm_stats.caller[i] != cdm_caller_self && cdm_stats.caller[i].busy)
			cdm_stats.caller[i].busy = 0; /* a thread that is not here */
	cdm_lock_reset(&starting);
	next_try = 0;
	if (!may)
		limit = 0;
	else if (registered) /* whether or not the kernel has copied that */
		cdm_forward_prepare();
	cdm_forward_open();
}

/* The engine's life: start, exit, fork. */
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "offload/base/arena.h"
#include "offload/base/config.h"
#include "offload/base/lock.h"
#include "offload/base/log.h"
#include "offload/base/quiet.h"
#include "offload/base/stats.h"
#include "offload/base/thread.h"
#include "offload/mem/device.h"
#include "offload/dev/inject.h"
#include "offload/mem/claim.h"
#include "offload/mem/recall.h"
#include "offload/mem/residency.h"
#include "offload/mem/transit.h"
#include "offload/mem/uffd.h"
#include "offload/op/control.h"
#include "offload/op/dispatch.h"
#include "offload/op/forward.h"
#include "offload/op/inflight.h"
#include "offload/op/report.h"
#include "offload/op/stage.h"
#include "offload/offload.h"

#define REGIONS 256
#define PROVIDERS 32
#define LIBRARIES 8

struct cdm_device cdm_device = {&cdm_mem_emu, &cdm_compute_blas};

static bool forking;   /* between prepare and parent or child: the gate and the locks are held */
static bool drained;   /* then: no operation was in flight */
static bool forwarded; /* then: nobody was inside a forwarded call */

static bool policy_moves(void)
{
	return cdm_policy_get(cdm_config.policy)->moves;
}

void cdm_engine_init(char *const *envp)
{
	cdm_stats.start_ns = cdm_now_ns();
	cdm_thread_prepare();
	cdm_config_read(envp);
	if (cdm_config.device == CDM_DEVICE_EMU_PRIVATE)
		cdm_device.mem = &cdm_mem_emu_private;
	if (cdm_config.fault)
		cdm_inject_init(&cdm_device, cdm_config.fault);
	cdm_device.mem->open(cdm_config.device_mem);
	cdm_dispatch_init();
	/* Without a device, or a policy that ever moves a page, allocation is libc's business alone. */
	if (cdm_config.device == CDM_DEVICE_NONE || cdm_config.policy == CDM_POLICY_NEVER)
		return;
	cdm_min_alloc = cdm_config.min_alloc;
	cdm_defers = !cdm_device.mem->coherent && policy_moves();
	if (policy_moves())
		cdm_residency_start();
}

void cdm_engine_on_faults(void (*install)(int signal))
{
	cdm_residency_needs_faults = install;
}

bool cdm_fault(uintptr_t addr, bool write)
{
	return cdm_recall_fault(addr, write);
}

/* ---- report ---- */

struct gathered {
	struct cdm_report_region region[REGIONS];
	int n;
	struct cdm_provider provider[PROVIDERS];
	struct cdm_report_library library[LIBRARIES];
	int libraries;
};

static void gather(struct cdm_region *r, void *arg)
{
	struct gathered *g = arg;

	if (g->n < REGIONS && r->uses && !r->cached) /* a free block has been noted when it was freed */
		g->region[g->n++] =
			(struct cdm_report_region){r->len, r->site, r->uses, r->moved, cdm_origin_name[r->origin]};
}

static void gather_past(struct gathered *g)
{
	struct cdm_region_past past[64];
	int n = cdm_region_past(past, 64);

	for (int i = 0; i < n && g->n < REGIONS; i++)
		g->region[g->n++] = (struct cdm_report_region){past[i].bytes, past[i].site, past[i].uses, past[i].moved,
							       cdm_origin_name[past[i].origin]};
}

static void gather_libraries(struct gathered *g)
{
	struct cdm_report_library *l = g->library;

	while (g->libraries < LIBRARIES && (l->name = cdm_device.compute->library(g->libraries, &l->calls))) {
		g->libraries++;
		l++;
	}
}

static const char *program_name(char *buf, size_t cap)
{
	int fd = cdm_sys_open("/proc/self/comm", O_RDONLY | O_CLOEXEC, 0);
	ssize_t n = fd < 0 ? -1 : cdm_sys_read(fd, buf, cap - 1);

	if (fd >= 0)
		cdm_sys_close(fd);
	if (n <= 0)
		return NULL;
	buf[n] = 0;
	buf[strcspn(buf, "\n")] = 0;
	return buf;
}

bool cdm_engine_own_thread(int tid)
{
	return cdm_dispatch_compute_open() && cdm_device.compute->owns_thread(tid);
}

static int (*list_providers)(struct cdm_provider *providers, int max);

void cdm_engine_on_providers(int (*list)(struct cdm_provider *providers, int max))
{
	list_providers = list;
}

static double min_work(void)
{
	uint64_t flops = cdm_dispatch_worth(CDM_LEVEL_MATRIX);

	return flops == UINT64_MAX ? (double)INFINITY : (double)flops;
}

static void report(void)
{
	struct gathered *g = cdm_arena_alloc(sizeof(*g));
	bool open = cdm_dispatch_compute_open();
	char name[64];
	uint64_t mask;

	if (!g)
		return;
	cdm_map_enter(&mask);
	gather_past(g);
	cdm_region_each(gather, g);
	cdm_map_leave(&mask);
	if (open)
		gather_libraries(g);
	struct cdm_report_facts f = {
		.wall_s = (double)(cdm_now_ns() - cdm_stats.start_ns) * 1e-9,
		.program = program_name(name, sizeof(name)),
		.pid = cdm_sys_getpid(),
		.device = cdm_config.device == CDM_DEVICE_NONE ? "none" : cdm_device.mem->name,
		.blas = open ? cdm_device.compute->describe() : NULL,
		.mechanism = cdm_residency_mechanism(),
		.capacity = cdm_device.mem->capacity(),
		.peak = cdm_device.mem->peak(),
		.min_work = min_work(),
		.threads = cdm_config.threads,
		.libraries = g->library,
		.library_count = g->libraries,
		.regions = g->region,
		.region_count = g->n,
		.providers = g->provider,
		.provider_count = list_providers ? list_providers(g->provider, PROVIDERS) : 0,
	};
	cdm_report_write(cdm_config.report, &f);
}

void cdm_engine_fini(void)
{
	if (cdm_config.report && !forking)
		report();
}

/* ---- the device goes, and comes back ---- */

static cdm_lock removal; /* one at a time */

static bool has_device(void)
{
	return cdm_config.device != CDM_DEVICE_NONE && cdm_config.policy != CDM_POLICY_NEVER;
}

int cdm_engine_offline(size_t *home)
{
	*home = 0;
	if (!has_device())
		return -ENODEV;
	cdm_lock_take(&removal);
	cdm_dispatch_offline(true);
	cdm_inflight_close();
	*home = cdm_residency_all_home();
	cdm_stage_trim();
	cdm_inflight_open();
	cdm_lock_drop(&removal);
	return cdm_residency_anything() ? -EBUSY : 0;
}

int cdm_engine_online(void)
{
	if (!has_device())
		return -ENODEV;
	cdm_lock_take(&removal);
	cdm_dispatch_offline(false);
	cdm_lock_drop(&removal);
	return 0;
}

/* ---- what a program may ask for ---- */

/* In flight, as an operation: neither fork nor removal meets it half-way. */
static int place(const void *p, size_t len, bool to_device, bool alone)
{
	cdm_signals_hold();
	cdm_inflight_enter();
	int r = to_device && cdm_dispatch_is_offline()
			? -ENODEV
			: cdm_residency_place((uintptr_t)p, len, to_device, alone, cdm_policy_get(cdm_config.policy));
	cdm_inflight_leave();
	cdm_signals_release();
	return r;
}

int cdm_engine_place(const void *p, size_t len, bool to_device)
{
	if (!has_device())
		return to_device ? -ENODEV : 0;
	return place(p, len, to_device, false);
}

void cdm_engine_birth(void *p, size_t len)
{
	if (has_device() && policy_moves())
		(void)place(p, len, true, true);
}

int cdm_engine_descriptor(void)
{
	return cdm_transit_guarded() ? cdm_uffd_descriptor() : -1;
}

int cdm_engine_keep(const void *p, size_t len, bool keep)
{
	return cdm_residency_keep((uintptr_t)p, len, keep);
}

int cdm_engine_where(const void *p, size_t len, struct cdm_placement *where)
{
	return cdm_residency_where((uintptr_t)p, len, where);
}

void cdm_engine_totals(struct cdm_totals *t)
{
	*t = (struct cdm_totals){
		.to_device = cdm_counted(&cdm_stats.to_device),
		.to_host = cdm_counted(&cdm_stats.to_host),
		.first_touch = cdm_counted(&cdm_stats.first_touch),
		.staged = cdm_counted(&cdm_stats.staged),
		.host_faults = cdm_counted(&cdm_stats.host_faults),
		.evictions = cdm_counted(&cdm_stats.evictions),
		.thrash = cdm_counted(&cdm_stats.thrash),
		.device_bytes = cdm_device.mem->in_use(),
		.device_peak = cdm_device.mem->peak(),
		.device_capacity = cdm_device.mem->capacity(),
	};
	for (int i = 0; i < cdm_routine_count; i++) {
		struct cdm_routine_stats sum;

		cdm_stats_routine(&sum, i);
		t->calls += cdm_stats_seen(i);
		t->offloaded += sum.offloaded;
	}
	t->declined = t->calls - t->offloaded;
}

void cdm_engine_descriptor_move(void)
{
	uint64_t mask;

	cdm_move_enter(&mask);
	cdm_uffd_renumber();
	cdm_move_leave(&mask);
}

/* ---- fork ---- */

void cdm_engine_fork_holds(bool holds)
{
	cdm_residency_fork_holds(holds);
}

void cdm_engine_fork_begin(void)
{
	cdm_inflight_close();
	forwarded = cdm_forward_close();
}

void cdm_engine_fork_prepare(void)
{
	cdm_inflight_close();
	forwarded = cdm_forward_close();
	drained = cdm_inflight_drained() && forwarded;
	if (cdm_dispatch_compute_open() && drained)
		cdm_device.compute->fork_prepare();
	cdm_residency_fork_prepare();
	forking = true;
}

void cdm_engine_fork_bare_prepare(void)
{
	cdm_inflight_close();
	(void)cdm_forward_close();
	cdm_residency_fork_bare_prepare();
}

void cdm_engine_fork_bare_parent(void)
{
	cdm_residency_fork_bare_parent();
	cdm_forward_open();
	cdm_inflight_open();
}

void cdm_engine_fork_bare_child(void)
{
	cdm_signals_child();
	cdm_residency_fork_bare_child();
	cdm_dispatch_reset_locks();
	cdm_lock_reset(&removal);
	cdm_dispatch_break_compute();
	cdm_inflight_child();
	cdm_control_reset();
}

void cdm_engine_fork_parent(void)
{
	forking = false;
	cdm_residency_fork_parent();
	cdm_forward_open();
	cdm_inflight_open();
}

/* Threads that the library starts again are not for the program's signals. */
static void compute_fork_child(void)
{
	uint64_t mask;

	cdm_sys_block_sent(&mask);
	cdm_device.compute->fork_child();
	cdm_sys_unblock(&mask);
}

void cdm_engine_fork_child(void)
{
	cdm_signals_child();
	forking = false;
	cdm_arena_after_fork();
	cdm_stats_after_fork();
	cdm_residency_fork_child();
	cdm_dispatch_reset_locks();
	cdm_lock_reset(&removal);
	/* Forked in the middle of an operation: the library's state is anybody's guess here. */
	if (!drained || cdm_map_frozen)
		cdm_dispatch_break_compute();
	else if (cdm_dispatch_compute_open())
		compute_fork_child();
	cdm_inflight_child();
	/* Else small calls stay with the program's own library, too. */
	cdm_forward_child(forwarded && drained && !cdm_map_frozen);
	cdm_stage_after_fork();
	cdm_control_reset();
}

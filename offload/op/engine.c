/* The engine's life: start, exit, fork. */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "offload/base/arena.h"
#include "offload/base/config.h"
#include "offload/base/log.h"
#include "offload/base/stats.h"
#include "offload/mem/device.h"
#include "offload/mem/residency.h"
#include "offload/op/dispatch.h"
#include "offload/op/report.h"
#include "offload/offload.h"

#define REGIONS 256
#define PROVIDERS 32

struct cdm_device cdm_device = {&cdm_mem_emu, &cdm_compute_blas};

static bool forking; /* between prepare and parent or child: the gate and the locks are held */
static bool drained; /* then: no operation was in flight */

void cdm_engine_init(char *const *envp)
{
	cdm_stats.start_ns = cdm_now_ns();
	cdm_config_read(envp);
	cdm_device.mem->open(cdm_config.device_mem);
	cdm_dispatch_init();
	/* Without a device, or a policy that ever moves a page, allocation is libc's business alone. */
	if (cdm_config.device == CDM_DEVICE_NONE || cdm_config.policy == CDM_POLICY_NEVER)
		return;
	cdm_min_alloc = cdm_config.min_alloc;
	if (cdm_config.policy != CDM_POLICY_COPY)
		cdm_residency_start();
}

void cdm_engine_on_faults(void (*install)(void))
{
	cdm_residency_needs_faults = install;
}

bool cdm_fault(uintptr_t addr)
{
	return cdm_residency_fault(addr);
}

/* ---- report ---- */

struct gathered {
	struct cdm_report_region region[REGIONS];
	int n;
	struct cdm_provider provider[PROVIDERS];
};

static void gather(struct cdm_region *r, void *arg)
{
	struct gathered *g = arg;

	if (g->n < REGIONS && r->uses)
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
	uint64_t flops = atomic_load(&cdm_min_work[CDM_LEVEL_MATRIX]);

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

/* ---- fork ---- */

void cdm_engine_fork_holds(bool holds)
{
	cdm_residency_fork_holds(holds);
}

void cdm_engine_fork_begin(void)
{
	cdm_dispatch_fork_prepare();
}

void cdm_engine_fork_prepare(void)
{
	cdm_dispatch_fork_prepare();
	drained = cdm_dispatch_drained();
	if (cdm_dispatch_compute_open() && drained)
		cdm_device.compute->fork_prepare();
	cdm_residency_fork_prepare();
	forking = true;
}

void cdm_engine_fork_parent(void)
{
	forking = false;
	cdm_residency_fork_parent();
	cdm_dispatch_fork_parent();
}

void cdm_engine_fork_child(void)
{
	forking = false;
	cdm_arena_after_fork();
	cdm_stats_after_fork();
	cdm_residency_fork_child();
	cdm_dispatch_reset_locks();
	/* Forked in the middle of an operation: the library's state is anybody's guess here. */
	if (!drained || cdm_map_frozen)
		cdm_dispatch_break_compute();
	else if (cdm_dispatch_compute_open())
		cdm_device.compute->fork_child();
	cdm_dispatch_fork_child();
}

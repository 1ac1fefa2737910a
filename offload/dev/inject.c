#include "offload/dev/inject.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "offload/base/config.h"
#include "offload/base/log.h"

#define GARBAGE 0xa5

static struct cdm_fault_rule rules[CDM_FAULT_OPS];
static _Atomic uint64_t calls[CDM_FAULT_OPS];

/* The device's own tables, and the copies that stand in for them. */
static const struct cdm_mem_ops *real_mem;
static const struct cdm_compute_ops *real_compute;
static struct cdm_mem_ops mem;
static struct cdm_compute_ops compute;

/* Counts a call: whether it is to fail. */
static bool strikes(enum cdm_fault_op op)
{
	uint64_t n = atomic_fetch_add_explicit(&calls[op], 1, memory_order_relaxed) + 1, first = rules[op].first;

	if (!first || (rules[op].onwards ? n < first : n != first))
		return false;
	cdm_log(CDM_LOG_INFO, "CDM_FAULT: %s %lu fails",
		(const char *[]){"allocation", "copy out", "copy home", "computation"}[op], (unsigned long)n);
	return true;
}

static int inject_commit(void *dva, size_t len)
{
	return strikes(CDM_FAULT_ALLOC) ? -ENOMEM : real_mem->commit(dva, len);
}

static int inject_copy_out(void *dva, const void *host, size_t len)
{
	if (!strikes(CDM_FAULT_COPY_OUT))
		return real_mem->copy_out(dva, host, len);
	memset(dva, GARBAGE, len / 2);
	return -EIO;
}

static int inject_copy_home(void *host, const void *dva, size_t len)
{
	if (!strikes(CDM_FAULT_COPY_HOME))
		return real_mem->copy_home(host, dva, len);
	memset(host, GARBAGE, len / 2);
	return -EIO;
}

/* base: the operand's, as the device addresses it. */
static void spoil(const struct cdm_operand *o, char *base)
{
	for (int64_t j = 0; j < o->cols; j++) {
		int64_t first = o->tri == 'L' ? (j < o->rows ? j : o->rows) : 0;
		int64_t last = o->tri == 'U' && j + 1 < o->rows ? j + 1 : o->rows;
		size_t at = ((size_t)j * (size_t)o->ld + (size_t)first) * o->elem;
		if (last > first)
			memset(base + at, GARBAGE, (size_t)(last - first) * o->elem);
	}
}

static int inject_run(struct cdm_call *call)
{
	if (!strikes(CDM_FAULT_COMPUTE))
		return real_compute->run(call);
	for (int i = 0; i < call->operands; i++)
		if (call->op[i].access & CDM_W)
			spoil(&call->op[i], call->arg[call->op[i].arg]);
	return -EIO;
}

static void stand_in(struct cdm_device *device)
{
	real_mem = device->mem;
	mem = *real_mem;
	mem.commit = inject_commit;
	mem.copy_out = inject_copy_out;
	mem.copy_home = inject_copy_home;
	device->mem = &mem;
	real_compute = device->compute;
	compute = *real_compute;
	compute.run = inject_run;
	device->compute = &compute;
}

void cdm_inject_init(struct cdm_device *device, const char *spec)
{
	memset(rules, 0, sizeof(rules));
	for (int i = 0; i < CDM_FAULT_OPS; i++)
		atomic_store(&calls[i], 0);
	if (spec)
		(void)cdm_config_faults(spec, rules);
	if (device->mem != &mem)
		stand_in(device);
	compute.fallible = real_compute->fallible || rules[CDM_FAULT_COMPUTE].first;
}

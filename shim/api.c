/* The public interface. Thin: every function is the engine's, with the checks that a program's own mistakes need. */
#include "shim/api.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "offload/offload.h"
#include "shim/cdm.h"

/* shim/cdm.h declares these weak, for programs. Here they are defined, and exported. */
#define PAGE 4096u
#define HUGE ((size_t)2 << 20)

/* 0, or what is wrong with a range. */
static int range_wrong(const void *p, size_t bytes)
{
	uintptr_t at = (uintptr_t)p;
	return !p || !bytes || bytes > (uintptr_t)1 << 47 || at > ((uintptr_t)1 << 47) - bytes ? -EINVAL : 0;
}

void *cdm_alloc(size_t bytes)
{
	if (bytes < PAGE)
		bytes = PAGE;
	void *p = cdm_min_alloc == SIZE_MAX ? NULL : cdm_block_alloc(bytes, PAGE, true, __builtin_return_address(0));

	if (p)
		cdm_engine_birth(p, bytes);
	else if (!posix_memalign(&p, bytes >= HUGE ? HUGE : PAGE, bytes))
		memset(p, 0, bytes);
	return p;
}

void cdm_free(void *p)
{
	free(p);
}

int cdm_prefetch(const void *p, size_t bytes, int where)
{
	int wrong = range_wrong(p, bytes);

	if (wrong || (where != CDM_TO_HOST && where != CDM_TO_DEVICE))
		return -EINVAL;
	return cdm_engine_place(p, bytes, where == CDM_TO_DEVICE);
}

int cdm_advise(const void *p, size_t bytes, int advice)
{
	int wrong = range_wrong(p, bytes);

	if (wrong)
		return wrong;
	switch (advice) {
	case CDM_MADV_DEVICE:
		return cdm_engine_place(p, bytes, true);
	case CDM_MADV_HOST:
		return cdm_engine_place(p, bytes, false);
	case CDM_MADV_PIN:
		return cdm_engine_keep(p, bytes, true);
	case CDM_MADV_UNPIN:
		return cdm_engine_keep(p, bytes, false);
	default:
		return -EINVAL;
	}
}

bool cdm_api_advice(void *p, size_t len, int advice, int *result)
{
	if (advice < CDM_MADV_DEVICE || advice > CDM_MADV_UNPIN)
		return false;
	*result = (uintptr_t)p & (PAGE - 1) ? -EINVAL : len ? cdm_advise(p, len, advice) : 0;
	return true;
}

int cdm_query(const void *p, size_t bytes, struct cdm_where *where)
{
	struct cdm_placement at;
	int wrong = range_wrong(p, bytes);

	if (wrong || !where)
		return -EINVAL;
	int r = cdm_engine_where(p, bytes, &at);
	if (!r)
		*where = (struct cdm_where){at.untracked, at.host,   at.shared,    at.device,
					    at.moving,    at.pinned, at.generation};
	return r;
}

int cdm_offline(void)
{
	size_t home;
	return cdm_engine_offline(&home);
}

int cdm_online(void)
{
	return cdm_engine_online();
}

int cdm_counters(struct cdm_counters *counters, size_t size)
{
	struct cdm_totals t;

	if (!counters || !size)
		return -EINVAL;
	cdm_engine_totals(&t);
	struct cdm_counters now = {
		.calls = t.calls,
		.offloaded = t.offloaded,
		.declined = t.declined,
		.to_device = t.to_device,
		.to_host = t.to_host,
		.first_touch = t.first_touch,
		.staged = t.staged,
		.host_faults = t.host_faults,
		.evictions = t.evictions,
		.thrash = t.thrash,
		.device_bytes = t.device_bytes,
		.device_peak = t.device_peak,
		.device_capacity = t.device_capacity,
	};
	memset(counters, 0, size);
	memcpy(counters, &now, size < sizeof(now) ? size : sizeof(now));
	return 0;
}

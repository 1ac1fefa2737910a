#include "offload/base/stats.h"

#include <stddef.h>
#include <string.h>

#define X(id, key, text) key,
const char *const cdm_decline_key[CDM_DECLINE_COUNT] = {CDM_DECLINE_REASONS(X)};
#undef X
#define X(id, key, text) text,
const char *const cdm_decline_text[CDM_DECLINE_COUNT] = {CDM_DECLINE_REASONS(X)};
#undef X

struct cdm_stats cdm_stats;
_Atomic int cdm_stays_kind;
enum cdm_decline cdm_stays_reason = CDM_DECLINE_NO_DEVICE;
__thread struct cdm_caller *cdm_caller_self __attribute__((tls_model("initial-exec")));

static _Atomic int threads; /* that have drawn a caller */

/* The callers that there have been. */
static int callers(void)
{
	int n = atomic_load_explicit(&threads, memory_order_relaxed);
	return n >= 0 && n < CDM_CALLERS ? n : CDM_CALLERS;
}

struct cdm_caller *cdm_caller_draw(void)
{
	int n = atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed);
	bool own = n >= 0 && n < CDM_CALLERS - 1;

	cdm_stats.caller[CDM_CALLERS - 1].shared = true;
	cdm_caller_self = &cdm_stats.caller[own ? n : CDM_CALLERS - 1];
	return cdm_caller_self;
}

/* offset: of a counter in struct cdm_caller. */
static uint64_t sum_of(size_t offset)
{
	uint64_t sum = 0;
	for (int i = 0; i < callers(); i++)
		sum += cdm_counted((const cdm_counter *)((const char *)&cdm_stats.caller[i] + offset));
	return sum;
}
#define SUM(member) sum_of(offsetof(struct cdm_caller, member))

uint64_t cdm_stats_seen(int routine)
{
	uint64_t sum = 0;
	for (int kind = 0; kind < CDM_CALLS_KINDS; kind++)
		sum += SUM(n[kind][routine]);
	return sum;
}

uint64_t cdm_stats_stays(int kind)
{
	uint64_t sum = 0;
	for (int r = 0; r < CDM_MAX_ROUTINES; r++)
		sum += SUM(n[kind][r]);
	return sum;
}

void cdm_stats_routine(struct cdm_routine_stats *sum, int routine)
{
	sum->offloaded = SUM(routine[routine].offloaded);
	sum->device_ns = SUM(routine[routine].device_ns);
	sum->move_ns = SUM(routine[routine].move_ns);
	sum->host_ns = SUM(routine[routine].host_ns);
	sum->kiloflop = SUM(routine[routine].kiloflop);
}

uint64_t cdm_stats_reused(void)
{
	return SUM(reused);
}

uint64_t cdm_stats_in_place(void)
{
	return SUM(in_place);
}

uint64_t cdm_callers_work(void)
{
	return SUM(work);
}

uint64_t cdm_stats_declined(int reason)
{
	uint64_t sum = SUM(declined[reason]);
	if (reason == CDM_DECLINE_SMALL)
		sum += cdm_stats_stays(CDM_STAYS_SMALL) + cdm_stats_stays(CDM_STAYS_TINY) +
		       cdm_stats_stays(CDM_STAYS_FORWARDED);
	if (reason == (int)cdm_stays_reason)
		sum += cdm_stats_stays(CDM_STAYS_OTHERWISE);
	return sum;
}

void cdm_stats_after_fork(void)
{
	/* The child's only thread; memory that nobody has touched stays so. */
	for (int i = 0; i < callers(); i++) {
		struct cdm_caller *c = &cdm_stats.caller[i];
		for (int r = 0; r < CDM_MAX_ROUTINES; r++)
			if (c->routine[r].offloaded || c->routine[r].host_ns)
				memset(&c->routine[r], 0, sizeof(c->routine[r]));
		memset(c->n, 0, offsetof(struct cdm_caller, routine) - offsetof(struct cdm_caller, n));
		c->work = c->ask = 0;
	}
	memset(&cdm_stats.to_device, 0, sizeof(cdm_stats) - offsetof(struct cdm_stats, to_device));
	cdm_stats.start_ns = cdm_now_ns();
}

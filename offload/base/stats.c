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
__thread int cdm_shard_index __attribute__((tls_model("initial-exec")));
__thread struct cdm_caller *cdm_caller_self __attribute__((tls_model("initial-exec")));

static _Atomic int threads; /* numbers drawn */

/* The callers that there have been. */
static int callers(void)
{
	int n = atomic_load_explicit(&threads, memory_order_relaxed);
	return n >= 0 && n < CDM_CALLERS ? n : CDM_CALLERS;
}

int cdm_shard_draw(void)
{
	int n = atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) + 1;
	bool own = n > 0 && n < CDM_CALLERS;

	cdm_stats.caller[CDM_CALLERS - 1].shared = true;
	cdm_shard_index = own ? n : CDM_CALLERS;
	cdm_caller_self = &cdm_stats.caller[cdm_shard_index - 1];
	return cdm_shard_index;
}

uint64_t cdm_stats_seen(int routine)
{
	uint64_t sum = 0;
	for (int i = 0; i < CDM_STAT_SHARDS; i++)
		sum += cdm_counted(&cdm_stats.shard[i].seen[routine]);
	for (int i = 0; i < callers(); i++)
		for (int kind = 0; kind < CDM_STAYS_KINDS; kind++)
			sum += cdm_counted(&cdm_stats.caller[i].n[kind][routine]);
	return sum;
}

uint64_t cdm_stats_stays(int kind)
{
	uint64_t sum = 0;
	for (int i = 0; i < callers(); i++)
		for (int r = 0; r < CDM_MAX_ROUTINES; r++)
			sum += cdm_counted(&cdm_stats.caller[i].n[kind][r]);
	return sum;
}

uint64_t cdm_callers_work(void)
{
	uint64_t sum = 0;
	for (int i = 0; i < callers(); i++)
		sum += cdm_counted(&cdm_stats.caller[i].work);
	return sum;
}

uint64_t cdm_stats_declined(int reason)
{
	uint64_t sum = 0;
	for (int i = 0; i < CDM_STAT_SHARDS; i++)
		sum += cdm_counted(&cdm_stats.shard[i].declined[reason]);
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
		memset(cdm_stats.caller[i].n, 0, sizeof(cdm_stats.caller[i].n));
		cdm_stats.caller[i].work = cdm_stats.caller[i].ask = 0;
	}
	memset(cdm_stats.shard, 0, sizeof(cdm_stats.shard));
	memset(&cdm_stats.routine, 0, sizeof(cdm_stats) - offsetof(struct cdm_stats, routine));
	cdm_stats.start_ns = cdm_now_ns();
}

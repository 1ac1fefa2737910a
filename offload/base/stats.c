#include "offload/base/stats.h"

#include <string.h>

#define X(id, key, text) key,
const char *const cdm_decline_key[CDM_DECLINE_COUNT] = {CDM_DECLINE_REASONS(X)};
#undef X
#define X(id, key, text) text,
const char *const cdm_decline_text[CDM_DECLINE_COUNT] = {CDM_DECLINE_REASONS(X)};
#undef X

struct cdm_stats cdm_stats;
__thread int cdm_shard_index __attribute__((tls_model("initial-exec")));

int cdm_shard_draw(void)
{
	static _Atomic unsigned threads;
	unsigned n = atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed);
	return cdm_shard_index = (int)(n % CDM_STAT_SHARDS) + 1;
}

uint64_t cdm_stats_seen(int routine)
{
	uint64_t sum = 0;
	for (int i = 0; i < CDM_STAT_SHARDS; i++)
		sum += cdm_counted(&cdm_stats.shard[i].seen[routine]);
	return sum;
}

uint64_t cdm_stats_declined(int reason)
{
	uint64_t sum = 0;
	for (int i = 0; i < CDM_STAT_SHARDS; i++)
		sum += cdm_counted(&cdm_stats.shard[i].declined[reason]);
	return sum;
}

void cdm_stats_after_fork(void)
{
	memset(&cdm_stats, 0, sizeof(cdm_stats)); /* the child's only thread */
	cdm_stats.start_ns = cdm_now_ns();
}

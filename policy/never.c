#include "policy/policy.h"

/* Nothing is offloaded. */

static bool place(size_t bytes, size_t capacity, size_t in_use)
{
	(void)bytes;
	(void)capacity;
	(void)in_use;
	return false;
}

static struct cdm_decision decide(const struct cdm_call_facts *facts)
{
	(void)facts;
	return (struct cdm_decision){.call = CDM_PLACE_HOST};
}

const struct cdm_policy cdm_policy_never = {"never", place, decide, cdm_policy_coldest};

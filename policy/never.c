#include "policy/policy.h"

/* Nothing is offloaded. */

static struct cdm_decision decide(const struct cdm_call_facts *facts)
{
	(void)facts;
	return (struct cdm_decision){.call = CDM_PLACE_HOST};
}

const struct cdm_policy cdm_policy_never = {"never", false, decide, cdm_policy_coldest};

#include "policy/policy.h"

/* Nothing ever migrates: a device that can reach the program's memory uses it where it is, for any other operands are
 * staged for the length of a call. For programs whose own accesses must take the same time always. */

static struct cdm_decision decide(const struct cdm_call_facts *facts)
{
	struct cdm_decision d = {.call = CDM_PLACE_HOST};

	if (facts->flops < facts->min_work)
		return d;
	d.call = facts->coherent ? CDM_PLACE_IN_PLACE : CDM_PLACE_COPY;
	for (int i = 0; i < facts->operands; i++)
		d.op[i] = d.call;
	return d;
}

const struct cdm_policy cdm_policy_in_place = {"in-place", false, decide, cdm_policy_coldest};

#include "policy/policy.h"

/* Every operand is staged in device memory for the length of its call; the program's memory never moves. What an
 * explicit offloader does, and the baseline that the other policies have to beat. */

static struct cdm_decision decide(const struct cdm_call_facts *facts)
{
	struct cdm_decision d = {.call = CDM_PLACE_HOST};

	if (facts->flops < facts->min_work)
		return d;
	d.call = CDM_PLACE_COPY;
	for (int i = 0; i < facts->operands; i++)
		d.op[i] = facts->op[i].scratch && facts->coherent ? CDM_PLACE_IN_PLACE : CDM_PLACE_COPY;
	return d;
}

const struct cdm_policy cdm_policy_copy = {"copy", false, decide, cdm_policy_coldest};

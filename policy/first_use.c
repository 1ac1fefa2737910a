#include "policy/policy.h"

/* Memory is born on the host and moves to the device the first time that a device operation uses it, to stay until
 * it is evicted or freed. What cannot move is used where it is, or staged when the device cannot reach it. A call that
 * touches each element but once pays for no move: what is not there already is used in place, where that is possible. */

static enum cdm_place operand_place(const struct cdm_operand_facts *op, bool streaming, bool coherent)
{
	bool resident = op->span && op->resident >= op->span;

	if (op->movable && !op->scratch && (resident || !streaming || !coherent))
		return CDM_PLACE_MOVE;
	return coherent ? CDM_PLACE_IN_PLACE : CDM_PLACE_COPY;
}

static struct cdm_decision decide(const struct cdm_call_facts *facts)
{
	struct cdm_decision d = {.call = CDM_PLACE_HOST};

	if (!cdm_policy_worth(facts))
		return d;
	d.call = CDM_PLACE_MOVE;
	for (int i = 0; i < facts->operands; i++)
		d.op[i] = operand_place(&facts->op[i], facts->streaming, facts->coherent);
	return d;
}

const struct cdm_policy cdm_policy_first_use = {"first-use", true, decide, cdm_policy_coldest};

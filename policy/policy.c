#include "policy/policy.h"

const struct cdm_policy *cdm_policy_get(int kind)
{
	static const struct cdm_policy *const policies[] = {&cdm_policy_never, &cdm_policy_copy, &cdm_policy_first_use,
							    &cdm_policy_in_place, &cdm_policy_adaptive};
	int count = (int)(sizeof(policies) / sizeof(policies[0]));
	return kind >= 0 && kind < count ? policies[kind] : &cdm_policy_never;
}

bool cdm_policy_worth(const struct cdm_call_facts *facts)
{
	size_t away = 0, missing = 0;

	if (facts->flops >= facts->min_work)
		return true;
	for (int i = 0; i < facts->operands; i++) {
		const struct cdm_operand_facts *op = &facts->op[i];
		away += op->away;
		missing += op->resident < op->bytes ? op->bytes - op->resident : 0;
	}
	return away > missing;
}

/* value = (uses + 1) / (age + 1) / bytes: how often the device used a byte of it, discounted by how long ago. Large,
 * seldom used and long unused memory goes first. Nothing is gained by evicting 0 bytes, so that comes last. */
static double value(const struct cdm_candidate *c)
{
	if (!c->bytes)
		return 1e300;
	return ((double)c->uses + 1) / ((double)c->age + 1) / (double)c->bytes;
}

int cdm_policy_coldest(const struct cdm_candidate *candidates, int n)
{
	int victim = 0;
	for (int i = 1; i < n; i++)
		if (value(&candidates[i]) < value(&candidates[victim]))
			victim = i;
	return victim;
}

#include "policy/policy.h"

/* Memory moves to the device when the device's work with it has paid for the move. Whether a move gains anything shows afterwards
 * only, and a program that is done with a matrix after one call loses all of it. So the device uses an operand where it is until its
 * calls have taken PAID times as long as the move will: if nothing comes then, 1 / PAID of the device's time is lost (the argument
 * of renting until the rent has bought the house, with a landlord who asks for little). What is paid for is spent: the next move into
 * the same region needs as much work again, so memory that the device evicts soon stays away. The work counts for each region of
 * a call, and the call's bytes for all of them.
 * A device that cannot reach the program's memory has no such choice: first-use.
 *
 * In flops, as policies have no clock: an emulated device computes 30 to 60 flops in the time that the move of a byte takes at 2 to
 * 4 GB/s, which is what programs see (tests/bench: 8 GB/s at best, with frames that the machine has at hand). */
#define PAID 50
#define FLOPS_A_BYTE 20.0

/* Bytes that change place before every operand is there; on a full device as many have to leave. */
static double to_move(const struct cdm_call_facts *facts)
{
	double missing = 0, room = (double)facts->capacity - (double)facts->in_use;

	for (int i = 0; i < facts->operands; i++) {
		const struct cdm_operand_facts *op = &facts->op[i];
		if (op->movable && !op->scratch && op->span > op->resident)
			missing += (double)(op->span - op->resident);
	}
	return missing > room ? 2 * missing - room : missing;
}

static bool is_paid(const struct cdm_call_facts *facts, const struct cdm_operand_facts *op, double bytes)
{
	return op->work + facts->flops >= PAID * FLOPS_A_BYTE * bytes;
}

static struct cdm_decision decide(const struct cdm_call_facts *facts)
{
	struct cdm_decision d = {.call = CDM_PLACE_HOST};

	if (!facts->coherent)
		return cdm_policy_first_use.decide(facts);
	if (!cdm_policy_worth(facts))
		return d;
	double bytes = to_move(facts);
	d.call = CDM_PLACE_MOVE;
	for (int i = 0; i < facts->operands; i++) {
		const struct cdm_operand_facts *op = &facts->op[i];
		bool there = op->span && op->resident >= op->span;
		bool moves = op->movable && !op->scratch && (there || is_paid(facts, op, bytes));
		d.op[i] = moves ? CDM_PLACE_MOVE : CDM_PLACE_IN_PLACE;
	}
	return d;
}

const struct cdm_policy cdm_policy_adaptive = {"adaptive", true, decide, cdm_policy_coldest};

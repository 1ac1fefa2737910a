/* One operation: where its operands are, where the policy wants them, getting them there, running, letting go. */
#ifndef CDM_OP_OPERATION_H
#define CDM_OP_OPERATION_H

#include <stdbool.h>

#include "offload/base/stats.h"
#include "offload/offload.h"
#include "policy/policy.h"

/* Some operand is on a private device alone. */
bool cdm_operation_away(const struct cdm_call *call);
/* Runs call on the device. CDM_DECLINE_COUNT: it has run. Anything else: it has not, and the program's memory is as it was;
 * of a coherent or failed operation, what the call only writes may hold anything. min_work: the threshold in force, in
 * flops. The compute library is open and has the routine. */
enum cdm_decline cdm_operation_run(struct cdm_call *call, const struct cdm_policy *policy, double min_work);

#endif

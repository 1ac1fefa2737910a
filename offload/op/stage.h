/* Staging: device buffers that hold a copy of an operand for the length of one call (the policy `copy`,
 * and what a private device cannot have otherwise). */
#ifndef CDM_OP_STAGE_H
#define CDM_OP_STAGE_H

#include "offload/offload.h"
#include "policy/policy.h"

struct cdm_stage {
	void *buffer; /* NULL: not staged */
	size_t len;
	struct cdm_operand device; /* the copy: packed, on the device */
};

/* Makes a device copy of o; copies the referenced elements in when the call reads them. 0, -ENOSPC, -ENOMEM or
 * -EIO; nothing is held on failure. */
int cdm_stage_in(struct cdm_stage *s, const struct cdm_operand *o, const struct cdm_policy *policy);
/* Copies the referenced elements home when the call wrote them. 0, or -EIO: some of them cannot be copied. */
int cdm_stage_out(const struct cdm_stage *s, const struct cdm_operand *o);
void cdm_stage_drop(struct cdm_stage *s);
/* Gives buffers kept for later calls back to the device. */
void cdm_stage_trim(void);
/* Fork child. */
void cdm_stage_after_fork(void);

#endif

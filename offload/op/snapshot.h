/* Snapshots: what an operation is about to overwrite, kept on the host while a device that may fail half-way works. */
#ifndef CDM_OP_SNAPSHOT_H
#define CDM_OP_SNAPSHOT_H

#include "offload/offload.h"

struct cdm_snapshot {
	void *memory; /* NULL: none */
	size_t len;
};

/* o: as the device addresses it. 0, -ENOMEM or -EIO; nothing is held on failure. */
int cdm_snapshot_take(struct cdm_snapshot *s, const struct cdm_operand *o);
/* Puts the referenced elements back where they came from. Nothing without a snapshot. */
void cdm_snapshot_restore(const struct cdm_snapshot *s, const struct cdm_operand *o);
void cdm_snapshot_drop(struct cdm_snapshot *s);

#endif

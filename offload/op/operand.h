/* Operands: strided views of the program's memory, as byte spans and as copies. Sizes in 64 bits throughout. */
#ifndef CDM_OP_OPERAND_H
#define CDM_OP_OPERAND_H

#include "offload/offload.h"

/* Bytes that the operand owns: rows x cols elements, without the padding of the leading dimension. */
size_t cdm_operand_bytes(const struct cdm_operand *o);
/* Bytes from its first to the end of its last element. 0 for an empty operand. */
size_t cdm_operand_extent(const struct cdm_operand *o);
/* Copies the referenced elements, a triangle or all, between two views of one shape. Touches nothing else. A copy that
 * fails is tried again; 0, or the error of one that went on failing. */
int cdm_operand_copy(const struct cdm_operand *to, const struct cdm_operand *from,
		     int (*copy)(void *dst, const void *src, size_t len));

#endif

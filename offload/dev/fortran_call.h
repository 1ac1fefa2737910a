/* Calls a function in Fortran's convention from a normalised call. */
#ifndef CDM_DEV_FORTRAN_CALL_H
#define CDM_DEV_FORTRAN_CALL_H

#include <stdbool.h>

#include "offload/offload.h"

/* wide: fn's integers have 64 bits. Sets call->result and integer outputs. -EOVERFLOW, and nothing done: an integer does
 * not fit fn's; -ENOMEM, and nothing done: no memory to convert arrays of integers in. */
int cdm_fortran_call(void *fn, struct cdm_call *call, bool wide);

#endif

/* Level-3 BLAS by definition: element by element in complex double, from a normalised call. Slow and obvious. */
#ifndef CDM_TESTS_BLAS_MODEL_H
#define CDM_TESTS_BLAS_MODEL_H

#include "offload/offload.h"

#define MODEL_MAX 16 /* the largest m, n, k */

/* Computes call as the engine would. Touches only elements that the operands own, reads the output only when its
 * access says so. */
void model_run(const struct cdm_call *call, const struct cdm_routine *routine);

#endif

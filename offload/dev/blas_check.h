/* Results that are known to be wrong in some library or core type. */
#ifndef CDM_DEV_BLAS_CHECK_H
#define CDM_DEV_BLAS_CHECK_H

#include "offload/dev/blas_library.h"

/* False: the library adds up wrong, and must not be used. A microsecond. What it lacks is not asked for. */
bool cdm_blas_adds_up(const struct cdm_blas_library *lib);

#endif

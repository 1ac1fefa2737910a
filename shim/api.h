/* What the public interface (cdm.h) lends to the rest of the shim. */
#ifndef CDM_SHIM_API_H
#define CDM_SHIM_API_H

#include <stdbool.h>
#include <stddef.h>

/* advice is one of CDM_MADV_*: follows it, *result is madvise's (a negative errno). False: it is the kernel's. */
bool cdm_api_advice(void *p, size_t len, int advice, int *result);

#endif

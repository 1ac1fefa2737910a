/* The libraries that provide BLAS or LAPACK in this process, and the doors by which calls to them are seen.
 *
 * A call that goes through a dynamic symbol finds libcdm first. What does not is patched: functions of the program itself and
 * functions that are in no dynamic symbol table (a BLAS linked statically), libraries bound to themselves (-Bsymbolic), and
 * what a library opened with RTLD_DEEPBIND finds. CDM_HOOK=patch patches all providers.
 */
#ifndef CDM_SHIM_PROVIDER_H
#define CDM_SHIM_PROVIDER_H

#include <stdbool.h>

#include "offload/offload.h"

/* At the start, on the only thread, after the configuration is read. */
void cdm_provider_start(void);
/* Examines the libraries that were loaded since the last look. handle: the one about to be used; deep: some library was opened
 * with RTLD_DEEPBIND, so what handle finds must be patched. Takes the loader's lock. */
void cdm_provider_look(void *handle, bool deep);
/* A function that dlsym() found, under a name that cdm_slot_parse() knows: what the program is to get instead. */
void *cdm_provider_door(int routine, int variant, void *fn);
/* Libraries may have been unloaded. */
void cdm_provider_unloaded(void);
/* For the report. */
int cdm_provider_list(struct cdm_provider *out, int max);
void cdm_provider_after_fork(void);

#endif

/* SIGSEGV of the remap mechanism. */
#ifndef CDM_SHIM_FAULT_H
#define CDM_SHIM_FAULT_H

/* Takes SIGSEGV over. From then on the program's own dispositions for it are kept aside and served from here, and
 * the signal cannot be blocked. Idempotent. Never called under the move mechanism. */
void cdm_fault_install(void);

#endif

/* SIGSEGV and SIGBUS of the mechanisms that turn the program's touches into signals. */
#ifndef CDM_SHIM_FAULT_H
#define CDM_SHIM_FAULT_H

/* Takes SIGSEGV or SIGBUS over. From then on the program's own dispositions for it are kept aside and served from here,
 * and the signal cannot be blocked. Idempotent. */
void cdm_fault_install(int signal);
/* Fork child. */
void cdm_fault_after_fork(void);

#endif

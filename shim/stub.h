/* Entry points made at run time: machine code that enters the gate with a slot of its own. */
#ifndef CDM_SHIM_STUB_H
#define CDM_SHIM_STUB_H

#include "shim/gate.h"

/* A function that enters the gate with slot and goes on to its original, changing no register on the way. Its memory is executable, never writable then, and is never given
 * back. NULL: no memory, or the system forbids such mappings. Thread-safe. */
void *cdm_stub_make(struct cdm_slot *slot);
/* Where the stub goes on: the slot's original. To be set before the slot's. */
void cdm_stub_aim(void *stub, void *original);
void cdm_stub_after_fork(void);

#endif

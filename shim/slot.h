/* Slots and their originals: what would have run if libcdm were not there.
 *
 * A symbol's original is looked for in the global scope behind libcdm, then in the scope of the calling module (a plugin
 * opened with RTLD_LOCAL has its libraries to itself). What is found is kept: in the slot for the first caller, or for all
 * when the global scope gave it; for further modules in a table. Thread-safe; errno is left alone. No lock is waited for,
 * so a signal handler may make a call that another one interrupted.
 */
#ifndef CDM_SHIM_SLOT_H
#define CDM_SHIM_SLOT_H

#include "shim/gate.h"

/* Fills *found with a slot whose fields hold for a call from the code address site; original is NULL when there is none
 * anywhere (not logged). */
void cdm_slot_find(struct cdm_slot *slot, const void *site, struct cdm_slot *found);
/* One error line per process and symbol, in the words of the dynamic linker. */
void cdm_slot_missing(const struct cdm_slot *slot);
/* The name of an exported slot. */
#define CDM_SLOT_NAME 48
void cdm_slot_name(char name[CDM_SLOT_NAME], int routine, int variant);
/* The routine and variant that name stands for. False: not one of libcdm's. */
bool cdm_slot_parse(const char *name, int *routine, int *variant);
/* A door to one function: a slot, and in *stub a function to call in fn's place. size: its bytes, 0: unknown. fn has one door for ever; if its library
 * goes, nobody calls it. Its original is to be set: fn or, when fn is patched to go to the stub, what behaves as fn did; until
 * then calls find that out for themselves. NULL: no memory. */
struct cdm_slot *cdm_slot_door(int routine, int variant, void *fn, size_t size, int own_library, void **stub);
/* A number for a library with these functions, one of which tells the width of its integers when it is called. 0: both are NULL, or
 * there is no room or another thread in the way; then the module of a door's function is searched for them. */
int cdm_slot_library(void *idamax, void *cblas_idamax);
void cdm_slot_set_original(struct cdm_slot *door, void *original);
/* The original of a routine's Fortran name, spelled like variant, for a caller; or NULL. */
void *cdm_slot_fortran(int routine, const void *site, int variant);
/* The library of that original is a plain reference BLAS: none of the tuned ones, whose marks are looked for. */
bool cdm_slot_is_reference(int routine, const void *site);
/* Finds out whether small calls of slot are worth forwarding; found as from cdm_slot_find(). The table of forwarding is there. */
void cdm_slot_decide(struct cdm_slot *slot, const struct cdm_slot *found);
/* Libraries were unloaded: what is kept of them is forgotten. is_loaded tells whether an address is in one that is left. */
void cdm_slot_keep_loaded(bool (*is_loaded)(uintptr_t addr, const void *arg), const void *arg);
/* At the start, on the only thread: finds the originals in the libraries that the program was linked with. Their calls never
 * need the loader, whose lock a constructor may hold while it waits for a thread that makes them. */
void cdm_slot_start(void);
/* Fork child: forget a lock that a vanished thread may have held. */
void cdm_slot_after_fork(void);
/* fn is libcdm's own. */
bool cdm_slot_is_own(const void *fn);
/* [*lo, *lo + *len): the loaded segments of the module that holds addr. False: none does. */
bool cdm_module_extent(uintptr_t addr, uintptr_t *lo, uintptr_t *len);
/* What dlsym() finds in the scope of the module that holds addr: its own, and its dependencies'. NULL: nothing. */
void *cdm_module_symbol(const void *addr, const char *symbol);

#endif

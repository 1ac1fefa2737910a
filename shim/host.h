/* The program's own entry points: what would have run if libcdm were not there.
 *
 * A symbol's original is looked for in the global scope behind libcdm, then in the scope of the calling module (a
 * plugin opened with RTLD_LOCAL has its libraries to itself), then in the device's compute library. What the
 * global scope gives is the same for all callers and kept; what a module's scope gives is kept for that module.
 * Thread-safe; errno is left alone.
 */
#ifndef CDM_SHIM_HOST_H
#define CDM_SHIM_HOST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CDM_HOST_NO_FALLBACK (-1)
#define CDM_HOST_MODULES 4 /* calling modules remembered per symbol */

/* The original in the scope of the module at [lo, hi). */
struct cdm_host_module {
	_Atomic(uintptr_t) lo, hi;
	_Atomic(void *) fn;
};

/* Statically allocated, with symbol and routine set and the rest zero. */
struct cdm_host_slot {
	_Atomic(void *) global; /* the original for every caller, once known */
	const char *symbol;
	int routine;           /* for cdm_call_fallback(), or CDM_HOST_NO_FALLBACK */
	_Atomic(unsigned) seq; /* odd while module[] is written; readers retry the slow way */
	unsigned victim;       /* the next of module[] to replace */
	struct cdm_host_module module[CDM_HOST_MODULES];
	struct cdm_host_slot *link; /* all slots that keep something */
	bool linked;
	_Atomic(bool) missed; /* its absence was logged */
};

/* The original of slot for a call from the code address caller; NULL when there is none anywhere (not logged). */
void *cdm_host_entry(struct cdm_host_slot *slot, const void *caller);
/* One error line per symbol, in the words of the dynamic linker. */
void cdm_host_missing(struct cdm_host_slot *slot);
/* The library that defines fn is a plain reference BLAS: none of the tuned ones, whose marks are looked for. */
bool cdm_host_is_reference(const void *fn);
/* A library was unloaded: everything kept is looked up again. */
void cdm_host_forget(void);
/* Fork child: forget a lock that a vanished thread may have held. */
void cdm_host_after_fork(void);

static inline void *cdm_host(struct cdm_host_slot *slot, const void *caller)
{
	void *fn = atomic_load_explicit(&slot->global, memory_order_relaxed);

	return __builtin_expect(fn != NULL, 1) ? fn : cdm_host_entry(slot, caller);
}

#endif

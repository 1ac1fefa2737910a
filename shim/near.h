/* Executable memory within reach of a jmp rel32 from code, in slots.
 *
 * One thread at a time: patch.c, under its lock. A slot that is written goes on being executable meanwhile, and so do the others
 * of its page.
 */
#ifndef CDM_SHIM_NEAR_H
#define CDM_SHIM_NEAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CDM_NEAR_SLOT 128 /* bytes */

enum cdm_side { CDM_BELOW, CDM_ABOVE };

struct cdm_near {
	struct cdm_near_page *page;
	unsigned index;
};

/* A slot that nothing uses, on that side of code; the next one may be the same until something is written. False: there is none
 * within reach. */
bool cdm_near_find(uintptr_t code, enum cdm_side side, struct cdm_near *slot);
uintptr_t cdm_near_address(const struct cdm_near *slot);
/* Changes the first n bytes; the slot is in use from then on. 0, or a negative errno and nothing changed. */
int cdm_near_write(const struct cdm_near *slot, const void *bytes, size_t n);
/* Nothing executes it any more. */
void cdm_near_free(const struct cdm_near *slot);

#endif

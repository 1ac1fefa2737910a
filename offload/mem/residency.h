/* Residency: which pages live on the device. The only module that decides page states and calls a mover.
 *
 *   state      from       on                                 to
 *   HOST       -          tracked, born                      HOST
 *   HOST       acquire    a mover takes the pages            MOVING
 *   MOVING     mover      swapped                            RESIDENT
 *   MOVING     mover      refused                            HOST (outward), RESIDENT (homeward)
 *   RESIDENT   evict      region idle (busy == 0)            MOVING
 *   MOVING     mover      swapped homeward                   HOST
 *   RESIDENT   program    free, munmap, mremap away,         HOST or untracked; its bytes are discharged
 *                         MADV_DONTNEED/FREE
 *   SHARED     -          private devices only
 *
 * Locks: see region.h. busy counts are taken without a lock; the evictor marks `moving` first and looks at
 * busy after, acquire counts busy first and looks at `moving` after, so one of the two sees the other.
 */
#ifndef CDM_MEM_RESIDENCY_H
#define CDM_MEM_RESIDENCY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "offload/mem/region.h"
#include "policy/policy.h"

/* The part of a range that lies in one region; the whole range, nearly always. */
struct cdm_hold {
	uintptr_t base;
	size_t len;                /* bytes */
	struct cdm_region *region; /* NULL: not tracked, to be used in place */
	uint32_t generation;
	bool held; /* busy is counted */
};

/* Finds the region, adopting memory that libcdm did not see allocated, and fills the facts (bytes, reads and
 * writes are the caller's). A range in several regions: the hold is the largest part in one, the rest stays where
 * it is. False: the access is not allowed there (PROT_NONE, read-only output) or nothing is mapped.
 * Microseconds the first time, some 20 ns later. */
bool cdm_residency_survey(uintptr_t base, size_t len, bool writes, struct cdm_hold *hold, struct cdm_operand_facts *f);
/* Brings the range's pages to the device and keeps them there until release. 0, or a negative errno: the pages
 * stay where they are, whole (-ENOSPC: no room even after eviction; -EBUSY: pinned;
 * -EPERM: memory that never moves). */
int cdm_residency_acquire(struct cdm_hold *hold, const struct cdm_policy *policy);
/* Keeps the region from eviction without moving it. */
void cdm_residency_hold(struct cdm_hold *hold);
/* used: the device operation took place. */
void cdm_residency_release(struct cdm_hold *hold, bool used);

/* Brings the range home. 0 or a negative errno. */
int cdm_residency_home(uintptr_t base, size_t len);
/* Frees at least bytes of the device by eviction. 0 or -ENOSPC. Takes the move lock. */
int cdm_residency_make_room(size_t bytes, const struct cdm_policy *policy);

/* At start, when pages may move at all: looks which mechanism there will be. */
void cdm_residency_start(void);
/* Device operations so far: the clock of the policies. */
uint64_t cdm_tick(void);
/* The mechanism in force: "move", "remap", or "none" before the first need and when neither works. */
const char *cdm_residency_mechanism(void);
/* Called once when the remap mechanism is chosen: the shim then installs its SIGSEGV handler. */
extern void (*cdm_residency_needs_faults)(void);
/* A fault of the program at addr: true when the page is (or was a moment ago) write-protected by a mover; the
 * toucher has waited and may try again. Async-signal-safe. */
bool cdm_residency_fault(uintptr_t addr);

void cdm_residency_fork_holds(bool holds); /* see cdm_engine_fork_holds() */
void cdm_residency_fork_prepare(void);
void cdm_residency_fork_parent(void);
void cdm_residency_fork_child(void);

#endif

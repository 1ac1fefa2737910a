/* Transitions of page states: the only module that decides what a page becomes and makes it so.
 *
 * A coherent device knows HOST and DEVICE, through MOVING; a mover (move.h) changes the frames under the program's
 * addresses. A private device has the table below; a guard (guard.h) keeps the CPU off, an image (image.h) holds the
 * device's copy. What is valid where:
 *
 *   HOST    the program's page                          the device has no memory for it
 *   SHARED  both, identical; the CPU may read           written by the CPU: the device's copy goes (recall.h)
 *   DEVICE  the device's copy; a CPU touch is answered  the program's page has no memory
 *   MOVING  whichever it came from, until it has arrived; nobody but the mover touches either
 *
 * Device capacity is charged for SHARED and DEVICE pages. A page of a region with busy > 0 does not leave the device; a
 * pinned one, or one of a kept region, does not go there. tests/model/ checks the table: keep the two in step.
 */
#ifndef CDM_MEM_TRANSIT_H
#define CDM_MEM_TRANSIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "offload/mem/region.h"

/* X(FROM, EVENT, TO) */
#define CDM_TRANSITIONS(X)                                                                                             \
	X(HOST, acquire, MOVING)     /* an operation needs it; room has been made */                                   \
	X(MOVING, refused, HOST)     /* pinned, no memory, or the copy failed */                                       \
	X(MOVING, copied, SHARED)    /* for an operand that the device only reads */                                   \
	X(MOVING, arrived, DEVICE)   /* for one that it writes */                                                      \
	X(SHARED, acquire_w, MOVING) /* the program's copy is to go */                                                 \
	X(MOVING, refused_w, SHARED)                                                                                   \
	X(SHARED, reopen, HOST)        /* written by the CPU, evicted, or the region ends: the device's copy goes */   \
	X(HOST, reopen_undone, SHARED) /* the kernel would not */                                                      \
	X(DEVICE, recall, MOVING)      /* touched by the CPU, evicted, fork, offline, a system call */                 \
	X(MOVING, home, HOST)          /* the device's copy goes */                                                    \
	X(MOVING, home_shared, SHARED) /* where the guard can keep both */                                             \
	X(MOVING, stuck, DEVICE)       /* the copy home failed */                                                      \
	X(DEVICE, drop, HOST)          /* freed, unmapped or MADV_DONTNEED: the contents do not matter */

/* All below: move lock held. */

/* Finds the mechanism for the device, on first need rather than at start: most programs never move a page. False: none
 * works here. */
bool cdm_transit_open(void);
/* "move", "remap", or "none" before the first need and when neither works. Any thread. */
const char *cdm_transit_name(void);
/* True when programs' touches are answered by the mechanism in force (private devices). Any thread. */
bool cdm_transit_guarded(void);
/* The program has closed the mechanism's descriptor: a new one is opened on the next need. */
void cdm_transit_lost(void);
/* Fork child: r's pages are the program's own (HOST), whatever the parent's device has. Single-threaded, no locks. */
void cdm_transit_child(struct cdm_region *r);
/* Fork child, after that. */
void cdm_transit_forget(void);

/* r is claimed (moving). */

/* Makes the pages of [at, end) SHARED or DEVICE, those of a written operand DEVICE. Stops at the first that does not go: a
 * negative errno (-EACCES: the program itself may not read and write there). */
int cdm_transit_out(struct cdm_region *r, uintptr_t at, uintptr_t end, bool write);
/* Makes them HOST; keep: SHARED pages stay, and DEVICE pages become SHARED where the guard can. A page that cannot be
 * copied home stays on the device, and the first error is returned after the others have gone. */
int cdm_transit_home(struct cdm_region *r, uintptr_t at, uintptr_t end, bool keep);
/* Private devices: makes them HOST without their contents; they read as zeros, or, if they were SHARED, as they were. */
void cdm_transit_drop(struct cdm_region *r, uintptr_t at, uintptr_t end);
/* Private devices: gives watched HOST pages without memory their zeros. There are some only after a failure on the way out:
 * whatever else empties pages brings the region home first. */
int cdm_transit_fill(struct cdm_region *r, uintptr_t at, uintptr_t end);
/* Private devices: a region without device pages is watched no more. Called by whoever may have taken the last one away. */
void cdm_transit_settle(struct cdm_region *r);

#endif

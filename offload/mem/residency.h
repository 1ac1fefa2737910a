/* Residency: what operations see of where memory lives. Acquire brings an operand's pages to the device, release lets
 * them go, and when the device is full the least valuable region is evicted.
 *
 *   residency.c   operands: survey, acquire, release; eviction; what a program asks for
 *   home.c        home on request, everything home, fork
 *   recall.c      the CPU: touches, system calls, changes of mappings
 *   transit.c     the states, and what makes them so: movers (coherent devices), guards and images (private ones)
 *   claim.c       who may change a region's pages: the move lock, claims
 *   thrash.c      regions that go to and fro
 *
 * Locks: see region.h and claim.h.
 */
#ifndef CDM_MEM_RESIDENCY_H
#define CDM_MEM_RESIDENCY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "offload/mem/region.h"
#include "offload/offload.h"
#include "policy/policy.h"

/* The part of a range that lies in one region; the whole range, nearly always. */
struct cdm_hold {
	uintptr_t base;
	size_t len;                /* bytes */
	struct cdm_region *region; /* NULL: not tracked, to be used in place */
	uint32_t generation;
	bool writes; /* the operation writes there */
	bool held;   /* busy is counted */
};

/* Finds the region, adopting memory that libcdm did not see allocated, and fills the facts (bytes, reads and
 * writes are the caller's). A range in several regions: the hold is the largest part in one, the rest stays where
 * it is. False: the access is not allowed there (PROT_NONE, read-only output) or nothing is mapped.
 * Microseconds the first time, some 20 ns later. */
bool cdm_residency_survey(uintptr_t base, size_t len, bool writes, struct cdm_hold *hold, struct cdm_operand_facts *f);
/* Brings the range's pages to the device and keeps them there until release. 0, or a negative errno: the pages
 * stay where they are, whole (-ENOSPC: no room even after eviction; -EBUSY: pinned;
 * -EPERM: memory that never moves; -EAGAIN: the CPU waits for the region: let go of everything else, wait, and ask again; -ESTALE: a part
 * of the region has been unmapped since: survey again).
 * Under a private device no thread touches program memory while it holds anything: it might wait for itself. */
int cdm_residency_acquire(struct cdm_hold *hold, const struct cdm_policy *policy);
/* Waits for what made acquire say -EAGAIN, some milliseconds at most. */
void cdm_residency_wait_wanted(const struct cdm_hold *hold);
/* Where the device finds the first byte of an acquired range. */
void *cdm_residency_address(const struct cdm_hold *hold);
/* True when some of the range is on a private device alone. */
bool cdm_residency_away(uintptr_t base, size_t len);
/* Keeps the region from eviction without moving it. */
void cdm_residency_hold(struct cdm_hold *hold);
/* A device operation that took place: its number, and its work; 0 where another hold on the same region counts that. */
struct cdm_use {
	uint64_t tick;
	double flops;
};
/* One that has just ended. */
struct cdm_use cdm_residency_use(double flops);
/* use: NULL if none took place. */
void cdm_residency_release(struct cdm_hold *hold, const struct cdm_use *use);

/* Brings the range home. 0 or a negative errno. */
int cdm_residency_home(uintptr_t base, size_t len);
/* If the calling thread's stack is in memory that could move (a coroutine's), it stays from now on. */
void cdm_residency_stack(void);
/* What cdm_engine_place(), keep() and where() do; alone: the program keeps no copy. */
int cdm_residency_place(uintptr_t base, size_t len, bool to_device, bool alone, const struct cdm_policy *policy);
int cdm_residency_keep(uintptr_t base, size_t len, bool keep);
int cdm_residency_where(uintptr_t base, size_t len, struct cdm_placement *where);
/* Some region has pages on the device. */
bool cdm_residency_anything(void);
/* Brings everything home; returns the bytes that the device no longer has. No operation is running. */
size_t cdm_residency_all_home(void);
/* Frees at least bytes of the device by eviction. 0 or -ENOSPC. Takes the move lock. */
int cdm_residency_make_room(size_t bytes, const struct cdm_policy *policy);

/* At start, when pages may move at all: looks which mechanism there will be. */
void cdm_residency_start(void);
/* Device operations so far: the clock of the policies. */
uint64_t cdm_tick(void);
/* Operations are about to begin: finds the mechanism. Before the compute library has threads, for in a process with threads the
 * kernel takes some 15 ms to make room for a descriptor with a high number. */
void cdm_residency_ready(void);
/* The mechanism in force: "move", "remap", or "none" before the first need and when neither works. */
const char *cdm_residency_mechanism(void);
/* Called when a mechanism is chosen that turns touches into this signal: the shim then installs its handler. */
extern void (*cdm_residency_needs_faults)(int signal);

void cdm_residency_fork_holds(bool holds); /* see cdm_engine_fork_holds() */
/* Another allocator than libc serves this process, beside libcdm. */
bool cdm_residency_foreign(void);
void cdm_residency_fork_prepare(void);
void cdm_residency_fork_parent(void);
void cdm_residency_fork_child(void);
/* See cdm_engine_fork_bare_prepare(). */
void cdm_residency_fork_bare_prepare(void);
void cdm_residency_fork_bare_parent(void);
void cdm_residency_fork_bare_child(void);

#endif

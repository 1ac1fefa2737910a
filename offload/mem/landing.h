/* Landing: the program's pages of a part of a 2 MiB chunk, moved by UFFDIO_MOVE to a slot of libcdm's own (frames.h).
 *
 * The program's range is then missing: whoever touches it waits. What the program, another process or a device still holds
 * (a page that is shared after fork, O_DIRECT, io_uring) is refused by the kernel, and everything is put back.
 * Caller holds the move lock; the range is registered.
 */
#ifndef CDM_MEM_LANDING_H
#define CDM_MEM_LANDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Page i of the part is at prog + i * 4096 and lands at land + the same. */
struct cdm_landing {
	uintptr_t prog, land, slot;
	size_t len;       /* bytes, in one 2 MiB chunk */
	uint64_t here[8]; /* pages that have landed: the others had no memory */
};

/* 0, or a negative errno: the pages are where they were, and no slot is taken. */
int cdm_land(struct cdm_landing *l, uintptr_t addr, size_t len);
/* Puts landed pages from page `from` on back under the program's addresses, whatever it takes. */
void cdm_land_back(const struct cdm_landing *l, size_t from);
/* Gives the slot back. keep: what is in it, if it is a whole frame, may serve a later swap. */
void cdm_land_end(const struct cdm_landing *l, bool keep);
/* The bytes that had no memory. */
size_t cdm_land_holes(const struct cdm_landing *l);
/* The next run of landed pages from page i on: sets *to to its end and returns its start; the number of pages when there
 * is none. */
size_t cdm_land_run(const struct cdm_landing *l, size_t i, size_t *to);

/* UFFDIO_MOVE that tries again what the kernel refuses for the moment. *moved (never NULL): bytes that went. */
int cdm_land_move(uintptr_t dst, uintptr_t src, size_t len, size_t *moved);

#endif

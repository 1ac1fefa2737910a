/* Guards: what keeps the CPU off pages that a private device has, and tells libcdm when it comes near.
 *
 * A private device's copy of a region is its image (image.h); the guard decides what the program's own pages are
 * meanwhile, and turns a touch into a signal in the touching thread (SIGBUS or SIGSEGV), answered by recall.h.
 *
 *                 uffd (userfaultfd, Linux 6.8)               mprotect (any kernel)
 *   SHARED        write-protected by userfaultfd              PROT_READ
 *   DEVICE        no memory, registered as missing            PROT_NONE, no memory
 *   to SHARED     out and back by UFFDIO_MOVE (a pinned       mprotect, copy
 *                 page refuses), write-protect, copy
 *   to DEVICE     out by UFFDIO_MOVE, copy                    mprotect, copy, mprotect, MADV_DONTNEED
 *   home          copy to a frame, UFFDIO_MOVE into place     copy to a frame, mremap over the range
 *   mappings      one                                         one more for each range that differs
 *
 * Both: the bytes that the program sees never differ from what it wrote last, whatever it does meanwhile, and on failure
 * pages and image are what they were. Chosen by measurement (make bench): a SIGBUS round trip costs as much as a
 * SIGSEGV's, but neither splits mappings nor flushes a range twice, and huge pages go home whole by UFFDIO_MOVE.
 *
 * All functions: the caller holds the move lock and has claimed the region. Ranges are whole pages of
 * one region, within one batch, private anonymous memory that the program may read and write.
 */
#ifndef CDM_MEM_GUARD_H
#define CDM_MEM_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cdm_guard {
	const char *name; /* of the mechanism that it belongs to: "move", "remap" */
	int signal;       /* what a touch raises */
	size_t batch;     /* the largest range of one step; steps do not cross multiples of it */
	bool keeps;       /* home() can leave the pages write-protected */
	int (*open)(void);
	void (*forget)(void); /* fork child */
	/* arm: pages that are about to go, also of a region of which some are watched already. disarm: the whole region, every
	 * page of which is HOST. */
	int (*arm)(uintptr_t addr, size_t len);
	void (*disarm)(uintptr_t addr, size_t len);
	/* HOST -> SHARED (keep) or DEVICE: copies to dva, which reads as zeros. *fresh: bytes that had no memory and became
	 * zeros without a copy. -EBUSY: pinned. */
	int (*out)(uintptr_t addr, size_t len, void *dva, bool keep, size_t *fresh);
	/* SHARED -> DEVICE, SHARED -> HOST. */
	int (*withhold)(uintptr_t addr, size_t len);
	int (*reopen)(uintptr_t addr, size_t len);
	/* DEVICE -> HOST, or SHARED (keep, where it keeps): copies from dva. */
	int (*home)(uintptr_t addr, size_t len, const void *dva, bool keep);
	/* The same when there are no mappings to be had: the pages get their bytes and stay closed, for reopen() of as much as will
	 * then be one mapping. May be NULL. */
	int (*force)(uintptr_t addr, size_t len, const void *dva);
	/* DEVICE -> HOST where the contents no longer matter. */
	void (*drop)(uintptr_t addr, size_t len);
	/* Gives HOST pages without memory zeros, so that the kernel can use them while the region is armed. */
	int (*fill)(uintptr_t addr, size_t len);
	/* Fork child: its copy of SHARED pages may be written. */
	void (*child)(uintptr_t addr, size_t len);
};

extern const struct cdm_guard cdm_guard_uffd, cdm_guard_mprotect;

#endif

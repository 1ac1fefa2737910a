/* The two mechanisms that put other frames under the program's pages while it runs.
 *
 * Both keep this promise: the bytes of [addr, addr+len) are the same before and after, every write that the
 * program makes meanwhile is kept, and on failure the pages are where they were. A toucher waits.
 *
 *   move    (userfaultfd, Linux 6.8)             remap   (any kernel)
 *   1 UFFDIO_MOVE program -> landing             1 mprotect the program's pages read-only
 *     (a toucher sleeps in the kernel)             (a writer gets SIGSEGV in its own thread and waits)
 *   2 copy landing -> new frame                  2 copy them into a new frame
 *   3 UFFDIO_MOVE new frame -> program           3 mremap the frame over them, which replaces them at once
 *
 * All functions: the caller holds the move lock and has marked the region `moving`, so that
 * its mapping stands still. The pages are private, anonymous, readable and writable, in one region.
 */
#ifndef CDM_MEM_MOVE_H
#define CDM_MEM_MOVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cdm_mover {
	const char *name;
	size_t batch; /* the largest len of one swap; swaps do not cross multiples of it */
	/* 0 when the kernel offers what it needs, else a negative errno. Repeated after a fork. */
	int (*open)(void);
	/* Before a range is swapped to the device, whose pages it may bring into a form that goes faster. Its pages that are
	 * there already are exchanged only where the device's frames are the host's. */
	void (*ready)(uintptr_t addr, size_t len);
	/* Around the swaps of one range. */
	int (*begin)(uintptr_t addr, size_t len);
	void (*end)(uintptr_t addr, size_t len);
	/* Gives the pages device frames (to_device) or host frames. *fresh: bytes that had no memory yet and became
	 * zeros without a copy. 0, or a negative errno with nothing changed. */
	int (*swap)(uintptr_t addr, size_t len, bool to_device, size_t *fresh);
	/* Gives memory kept for later swaps back to the kernel. */
	void (*trim)(void);
	/* Fork child. */
	void (*forget)(void);
};

extern const struct cdm_mover cdm_mover_move, cdm_mover_remap;

#endif

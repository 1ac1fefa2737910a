/* userfaultfd: the kernel interface of the `move` mechanism.
 *
 * For a coherent device the descriptor is opened without the SIGBUS feature and nobody ever reads it: a thread that touches
 * a missing page of a registered range sleeps in the kernel until a UFFDIO_MOVE into that page, or the end of the
 * registration, wakes it. No signal, no handler thread, nothing of the program's to chain to. Measured: a mover
 * beside two threads that write flat out, 0 lost writes, see tests/unit/test_stress.c.
 *
 * For a private device pages stay missing, or write-protected, until somebody touches them, so each touch has to be
 * answered. With the SIGBUS feature it is a signal in the touching thread (2.5 us; a reading thread takes 55 to 67 us for
 * the round trip, measured), and the kernel's own accesses fail with EFAULT whatever the privilege. With CDM_TOUCH=thread
 * a thread of libcdm's reads messages instead (watcher.h): slower, and complete.
 *
 * Without signals, with the privilege (CAP_SYS_PTRACE, or vm.unprivileged_userfaultfd) the kernel's own accesses, read(2) into
 * the range, wait in the same way. Without it (USER_MODE_ONLY) they fail with EFAULT.
 */
#ifndef CDM_MEM_UFFD_H
#define CDM_MEM_UFFD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Opens the descriptor and proves on pages of its own that UFFDIO_MOVE works. 0, or a negative errno: the kernel
 * (before 6.8) or a sandbox does not offer it. Once per process and fork child; caller holds the move lock. Unless mode
 * is WAIT, ranges are registered for write-protection, too. -EPERM: MESSAGES without the privilege. */
enum cdm_uffd_mode {
	CDM_UFFD_WAIT,    /* touchers sleep until a page arrives */
	CDM_UFFD_SIGNALS, /* touches are SIGBUS */
	CDM_UFFD_MESSAGES /* touchers sleep until cdm_uffd_next() has told of them and the page arrives, or a wake */
};
int cdm_uffd_open(enum cdm_uffd_mode mode);
/* Whether cdm_uffd_open() would get as far as the proof; opens and closes a descriptor. 0 or a negative errno. */
int cdm_uffd_probe(void);
/* Kernel accesses to a missing page wait, too. */
bool cdm_uffd_full(void);
/* Its number, or -1. Any thread. */
int cdm_uffd_descriptor(void);
/* Gives the descriptor another number. Caller holds the move lock. */
void cdm_uffd_renumber(void);
/* A fork child's descriptor still means the parent's memory: closes it. */
void cdm_uffd_forget(void);

/* Ranges of whole pages. Negative errno on failure. */
int cdm_uffd_register(uintptr_t addr, size_t len);
void cdm_uffd_unregister(uintptr_t addr, size_t len);
/* Moves the pages of [src, src+len) to dst, which must be registered and empty. Returns 0 when all went, else
 * a negative errno; *moved (never NULL) is the number of bytes that went, from the start. */
int cdm_uffd_move(uintptr_t dst, uintptr_t src, size_t len, size_t *moved);
/* The same up to the first page without memory, or the end of a mapping: -ENOENT or -EINVAL then. */
int cdm_uffd_move_straight(uintptr_t dst, uintptr_t src, size_t len, size_t *moved);
/* The same around pages without memory, which count as moved. */
int cdm_uffd_move_around(uintptr_t dst, uintptr_t src, size_t len, size_t *moved);
/* Write-protects the pages that are present, or ends it. */
int cdm_uffd_protect(uintptr_t addr, size_t len, bool on);
/* Fills a missing range with zero pages; stops with -EEXIST at one that is there, *filled (never NULL) bytes on. */
int cdm_uffd_zero(uintptr_t addr, size_t len, size_t *filled);
/* MESSAGES: waits for the next touch. 0, or a negative errno: the descriptor is gone. */
struct cdm_touch {
	uintptr_t addr;
	bool write;
	int tid; /* whose */
};
int cdm_uffd_next(struct cdm_touch *touch);
/* Lets those who sleep on the page at addr try again. */
void cdm_uffd_wake(uintptr_t addr);
/* Fills missing pages by copying: the last resort when a move back is refused. */
int cdm_uffd_copy(uintptr_t dst, uintptr_t src, size_t len);

#endif

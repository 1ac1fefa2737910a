/* A few 2 MiB slots of libcdm's own, where pages land on their way.
 *
 * The window is registered with userfaultfd once, so that pages can be moved in; hence nobody may touch a slot
 * that is empty. A full slot holds a 2 MiB frame that a region left behind and the next swap may use.
 * Caller holds the move lock.
 */
#ifndef CDM_MEM_FRAMES_H
#define CDM_MEM_FRAMES_H

#include <stdint.h>

/* Maps and registers the window, once. 0 or a negative errno. */
int cdm_frames_open(void);
/* Takes a slot, empty or full; 0: there is none. */
uintptr_t cdm_frames_take_empty(void);
uintptr_t cdm_frames_take_full(void);
/* Gives a slot back. empty: its pages have gone elsewhere; drop: they are given to the kernel first; full: all of
 * its 512 pages are present and may serve again. */
void cdm_frames_put_empty(uintptr_t slot);
void cdm_frames_put_drop(uintptr_t slot);
void cdm_frames_put_full(uintptr_t slot);
/* Gives the full slots' memory to the kernel. */
void cdm_frames_trim(void);
/* Fork child: the window's registration was the parent's. Unmaps it. */
void cdm_frames_forget(void);

#endif

/* Functions that interposition cannot see: patched at their entry point.
 *
 *     entry:  endbr64 (if there is one)            near page (+-2 GiB, read and execute):
 *             jmp stub      -------------------->  stub:        jmp *0(%rip) -> target
 *             rest of an instruction               trampoline:  endbr64; the displaced instructions
 *     next:   ...           <--------------------               jmp next          (this is *original)
 *
 * target is entered with all registers, flags and the stack as the caller set them. All functions are thread-safe,
 * keep errno, allocate from the arena alone, and are not async-signal-safe unless they say so.
 *
 * When bytes may change. An install or a remove is safe when no other thread can be in the function's first bytes:
 * the process has one thread (found out here), or the caller says so with cdm_patch_quiet(). Otherwise bytes change
 * only if the jump replaces one instruction and lies in one aligned word of 8 bytes: one store, then
 * membarrier(SYNC_CORE). What needs more is refused, "threads may be running in it"; a remove then turns the stub
 * towards the trampoline instead, and the function behaves as if it were not patched.
 */
#ifndef CDM_SHIM_PATCH_H
#define CDM_SHIM_PATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Redirects the function at entry (size bytes, 0 = unknown) to target. *original: code that behaves as the function
 * did; cdm_patch_original() knows it before target can be entered. 0, or a negative errno, *why a static sentence, and
 * nothing changed. Installing the same target again gives the same original; another one is refused with -EBUSY.
 * Takes the loader's lock, and opens capstone when first called. */
int cdm_patch_install(void *entry, size_t size, void *target, void **original, const char **why);
/* Puts the original bytes back (nothing if they are no longer ours or no longer mapped), or turns the stub. What was
 * the original goes on working. 0, or a negative errno: the function is still redirected. */
int cdm_patch_remove(void *entry);
/* The original of a patched function, or fn itself. Lock-free, any thread, async-signal-safe. */
void *cdm_patch_original(void *fn);
/* All patches in [lo, hi) are gone with their library (it was unmapped already): forget them and free their memory
 * for reuse. */
void cdm_patch_forget(uintptr_t lo, uintptr_t hi);
/* Says for the calling thread that no other thread can be in what it patches or unpatches: an object that is being
 * loaded. Returns what was said before. */
bool cdm_patch_quiet(bool quiet);
/* Between these two, the calling thread installs into libraries that stay loaded: what is known of their mappings is kept. */
void cdm_patch_batch(bool begin);
/* The process has no thread but this one, the device's, and such as sleep in a system call. */
bool cdm_patch_alone(void);
/* fork child: locks. */
void cdm_patch_after_fork(void);

#endif

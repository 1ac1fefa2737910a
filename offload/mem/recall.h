/* Recall: the CPU's side of pages that a device has. What touches them, by itself or through the kernel, gets them home.
 *
 * A touch is answered in the touching thread: it waits until no operation uses the region (r->wanted keeps new ones out
 * meanwhile), takes the move lock and brings a window home, 2 MiB first, twice as much at each touch that goes on where
 * the last one ended, half as much at each that does not.
 */
#ifndef CDM_MEM_RECALL_H
#define CDM_MEM_RECALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* This thread runs an operation of the device: it must not wait for operations. */
extern __thread int cdm_on_device;

/* A fault of the program at addr. True: the toucher has waited, or the page has come home, and it may try again. False: the
 * fault is the program's own. Async-signal-safe; takes the move lock, which no thread holds that touches program memory. */
bool cdm_recall_fault(uintptr_t addr, bool write);
/* Makes [addr, addr+len) usable by the kernel; write: for its writes. Private devices. The caller has pinned the range. */
void cdm_recall_range(uintptr_t addr, size_t len, bool write);
/* The mapping of [addr, addr+len) is about to change: what the device has of the regions there comes home, but for
 * what is in the range when its contents go (gone), which is dropped. Private devices; returns with no page of the range away, though one may leave again before the
 * caller has the map lock: look, and call again. */
void cdm_recall_for_change(uintptr_t addr, size_t len, bool gone);

#endif

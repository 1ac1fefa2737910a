/* Pins: ranges that the kernel is about to access on the program's behalf, in a system call.
 *
 * While pages are on their way, user code that touches them waits. The kernel does not wait under the remap mechanism,
 * nor under move without the privilege: read(2) into them would fail with EFAULT, and a datagram would be lost. So the
 * shim pins the buffer before the call, and a region with a pin is not moved.
 *
 * Handshake, as between busy and moving in residency.h: the caller publishes its range and looks at `moving` after;
 * the mover marks `moving` and looks at the pins after.
 */
#ifndef CDM_MEM_PIN_H
#define CDM_MEM_PIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "offload/offload.h"

/* Whether a pin touches [from, to). */
bool cdm_pinned(uintptr_t from, uintptr_t to);
/* Fork child: the pins of threads that are not here end. */
void cdm_pin_after_fork(void);

#endif

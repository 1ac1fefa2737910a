/* Failures on purpose (CDM_FAULT): the device's own functions, some of whose calls fail as hardware would.
 *
 *   alloc      commit      -ENOMEM; no memory was given. charge() is an account and never fails by order.
 *   copy-out   copy_out    -EIO; the first half of the target is overwritten with 0xa5.
 *   copy-home  copy_home   the same. Once only: the caller asks again, and what it asks for is still on the device.
 *   compute    run         -EIO; every operand that the call writes (W or RW), as far as it reaches (its triangle, without
 *                          its padding), is overwritten with 0xa5. With this in the spec the device says that it is
 *                          `fallible`: the caller keeps what it could not do without.
 *
 * Calls are counted from 1 over the whole process, those of fork's child going on from its parent's count. For devices
 * whose memory the CPU can address at the device's address: the emulated ones.
 */
#ifndef CDM_DEV_INJECT_H
#define CDM_DEV_INJECT_H

#include "offload/dev/dev.h"

/* Puts functions that fail as spec says (see cdm_config_faults()) in front of the device's. Before the first use of the
 * device, on one thread. A second call replaces the spec and starts counting anew. NULL or malformed: none fails. */
void cdm_inject_init(struct cdm_device *device, const char *spec);

#endif

/* Small calls on the host: too small for the device, but not for a better library than the program's own.
 *
 * The plan's libraries with one thread compute on the program's memory where it is. The gate (shim/gate_look.c, entry.S) calls
 * them with the caller's arguments, between two plain stores to its thread's struct cdm_caller: no lock, no atomic operation. Who
 * forks closes the way, has the kernel order all threads' memory accesses (membarrier(2)), and waits until nobody is inside:
 * a library forked in the middle of a call might leave the child a lock that nobody holds.
 */
#ifndef CDM_OP_FORWARD_H
#define CDM_OP_FORWARD_H

#include <stdbool.h>
#include <stdint.h>

#include "offload/offload.h"

/* Small calls may be looked at: once, at the start. */
void cdm_forward_init(void);
/* The compute library is about to be opened. With the library's threads there, the kernel would take some 9 ms for what this does. */
void cdm_forward_prepare(void);
/* The compute library is open; flops: the work from which calls go to the device. */
void cdm_forward_limit(uint64_t flops);
/* Around a fork. close waits up to 0.1 s; false: somebody is still inside, and the child must not forward. */
bool cdm_forward_close(void);
void cdm_forward_open(void);
/* Fork child; may: it may forward, now and after its own forks. */
void cdm_forward_child(bool may);

#endif

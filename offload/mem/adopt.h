/* Adoption: memory that libcdm did not see allocated becomes a region when an operand points into it. */
#ifndef CDM_MEM_ADOPT_H
#define CDM_MEM_ADOPT_H

#include <stdbool.h>

#include "offload/mem/region.h"

/* Tracks the mapping that contains addr. NULL: nothing is mapped there (*mapped false), or it cannot be tracked.
 * Takes the map lock; reads /proc/self/maps, so tens of microseconds, once for each mapping.
 *
 * Only the zero-initialised data of a loaded object (.bss) is movable. Other memory of unknown origin may be a
 * thread's stack or libc's heap: the kernel writes there on its own (signal frames, read(2) into a neighbour), so
 * a coherent device uses it in place. */
struct cdm_region *cdm_adopt(uintptr_t addr, bool *mapped);

#endif

/* The one device of this process, as the memory side sees it. */
#ifndef CDM_MEM_DEVICE_H
#define CDM_MEM_DEVICE_H

#include "offload/dev/dev.h"

/* Set once, by the engine, before anything is tracked. */
extern struct cdm_device cdm_device;

#endif

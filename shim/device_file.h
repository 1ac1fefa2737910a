/* /dev/cdm0, emulated: mapping it yields memory that is born on the device. */
#ifndef CDM_SHIM_DEVICE_FILE_H
#define CDM_SHIM_DEVICE_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* fd came from opening /dev/cdm0, and flags ask for a file. A load and a compare unless the program has opened it. */
bool cdm_device_file_is(int fd, int flags);
/* mmap() of it: anonymous private memory, on the device where there is room. A child of fork gets a copy, whatever flags
 * say about sharing. */
void *cdm_device_file_map(void *addr, size_t len, int prot, int flags, const void *site);

#endif

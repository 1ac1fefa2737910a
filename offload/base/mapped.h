/* Which file an address is mapped from. */
#ifndef CDM_BASE_MAPPED_H
#define CDM_BASE_MAPPED_H

#include <stddef.h>
#include <stdint.h>

/* The path of the file, absolute and without symbolic links, as the kernel knows it: what dladdr() says is relative to where the
 * program once was. 0; -ENOENT: none, or the path does not fit; or why /proc/self/maps cannot be read. No allocation. */
int cdm_mapped_file(uintptr_t addr, char *path, size_t cap);

#endif

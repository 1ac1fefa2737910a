/* Near vm.max_map_count the program's own mmap, munmap and mprotect would fail: mechanisms that add mappings stop. */
#ifndef CDM_MEM_CROWD_H
#define CDM_MEM_CROWD_H

#include <stdbool.h>

/* More than three quarters of the mappings that the kernel allows are in use. Looks every so often; caller holds the
 * move lock. */
bool cdm_crowded(void);
/* About half of them are: blocks take and leave none any more. One question for each block that does. */
bool cdm_crowd_blocks(void);

#endif

/* What the kernel's page tables say of this process. */
#ifndef CDM_MEM_PAGES_H
#define CDM_MEM_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Marks in bits[] which of the pages of [addr, addr+len) have memory, present or swapped out: bit i for the page
 * at addr + i * 4096. len is at most 2 MiB; bits[] is cleared first. 0 or a negative errno (no /proc). */
int cdm_pages_present(uintptr_t addr, size_t len, uint64_t bits[8]);
/* Whether some of the pages of [addr, addr+len) are present and not part of a huge page; *small: the first of them. False where
 * the kernel cannot tell (before Linux 6.7, no /proc). */
bool cdm_pages_small(uintptr_t addr, size_t len, uintptr_t *small);
/* The number of mappings of this process; 0 when it cannot be told. Slow: reads /proc/self/maps. */
size_t cdm_pages_mappings(void);
/* vm.max_map_count. */
size_t cdm_pages_mapping_limit(void);

/* The mapping that contains addr. */
struct cdm_mapping {
	uintptr_t start, end;
	char perms[5]; /* "rw-p" */
	char name[64]; /* its beginning; "" for anonymous memory */
};
/* 0, or -ENOENT: nothing is mapped there; other errors: no /proc. */
int cdm_pages_mapping(uintptr_t addr, struct cdm_mapping *m);

#endif

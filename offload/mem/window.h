/* Addresses for blocks: handed out in a ring of 4 TiB, apart from the program's own mappings. */
#ifndef CDM_MEM_WINDOW_H
#define CDM_MEM_WINDOW_H

#include <stddef.h>

/* A fresh private mapping of len bytes that begins on a multiple of align (a power of two, at least a page): behind the one
 * before where it can be, so that the kernel may see one mapping; from 2 MiB of align on with no other in its last 2 MiB. NULL:
 * there is no memory, or one mapping too many. */
void *cdm_window_map(size_t len, size_t align, int prot);
/* Moves the page tables of the was bytes at old, of one or more mappings, to such a range of len bytes, len >= was. NULL:
 * nothing has changed. */
void *cdm_window_move(char *old, size_t was, size_t len, size_t align);

#endif

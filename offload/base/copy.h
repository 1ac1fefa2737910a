/* Copies of whole pages, for migration. */
#ifndef CDM_BASE_COPY_H
#define CDM_BASE_COPY_H

#include <stddef.h>

/* Copies len bytes between ranges that do not overlap, with non-temporal stores where the CPU has them: a migrated
 * page is larger than the caches, and a store that does not read its line first saves a third of the traffic.
 * Any alignment and length; the fast path wants 64-byte alignment. Thread-safe. */
void cdm_copy_large(void *dst, const void *src, size_t len);
/* Zeros len bytes in the same way. */
void cdm_zero_large(void *dst, size_t len);

#endif

/* Memory for libcdm's own metadata, taken from the kernel directly.
 *
 * Never from malloc: the shim that serves malloc needs it. Memory is zeroed, 16-byte aligned and never given
 * back; users keep free lists of their own fixed-size objects. Thread-safe; not async-signal-safe.
 */
#ifndef CDM_BASE_ARENA_H
#define CDM_BASE_ARENA_H

#include <stddef.h>

/* n zeroed bytes, or NULL when the kernel has none. */
void *cdm_arena_alloc(size_t n);
/* Bytes taken from the kernel so far: the metadata figure of the report. */
size_t cdm_arena_bytes(void);
/* Fork child: forget a lock that a vanished thread may have held. */
void cdm_arena_after_fork(void);

#endif

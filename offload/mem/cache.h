/* Free blocks, kept with their pages for the next allocation of about their size.
 *
 * A block is in the cache, or it is the caller's: what is taken out is nobody else's until it is put back or returned to the
 * kernel. A hollow block (cdm_region.hollow) has only its addresses: it counts no bytes, and only the two functions that are
 * for hollow ones give one out. The mark stays while it is the caller's, who clears it. No function here makes a system call but to
 * wait for the lock; all take it and drop it, but where the block that was freed last is the next one that is wanted. The map lock
 * may be held.
 */
#ifndef CDM_MEM_CACHE_H
#define CDM_MEM_CACHE_H

#include "offload/mem/region.h"

#define CDM_CACHE_MAX ((size_t)1 << 30)    /* more than that is not kept */
#define CDM_CACHE_ALONE ((size_t)16 << 20) /* more than that is not kept when nobody gives it back in time (decay.h) */
#define CDM_CACHE_NS 10000000000ull        /* nor is anything for longer */

/* False: it is in the cache already, somebody has freed it before. */
bool cdm_cache_put(struct cdm_region *r);
/* Puts a part of what cdm_cache_oldest() gave back in its place. */
void cdm_cache_put_back(struct cdm_region *r);
/* A block of len bytes, or at most a 16th more; NULL: there is none. */
struct cdm_region *cdm_cache_take(size_t len, size_t align);
/* The same of the hollow ones: its pages will be fresh zeros. */
struct cdm_region *cdm_cache_hollow(size_t len, size_t align);
/* The block from half of len to its double that needs the least change, with nothing of it on the device. */
struct cdm_region *cdm_cache_near(size_t len, size_t align);
/* The shortest block of len to most bytes, with nothing of it on the device. */
struct cdm_region *cdm_cache_longer(size_t len, size_t most, size_t align);
/* The oldest block. due: only if there is more than may be kept, or it has been there for too long. */
struct cdm_region *cdm_cache_oldest(bool due);
/* The oldest hollow one. due: only if it has been there for too long. */
struct cdm_region *cdm_cache_oldest_hollow(bool due);
/* The hollow ones are not due for another CDM_CACHE_NS: they cannot go now. */
void cdm_cache_rest(void);
/* The oldest block that has device memory, of some thousands. */
struct cdm_region *cdm_cache_resident(void);
/* Takes r out if it is in. */
void cdm_cache_forget(struct cdm_region *r);
/* Bytes of memory. A glance: another thread may be changing it. */
size_t cdm_cache_bytes(void);
/* When the oldest block will have been there for too long, in cdm_now_ns() time; 0: there is none. Not a glance. */
uint64_t cdm_cache_due(void);
/* More than may be kept, or too old: a glance. */
bool cdm_cache_overdue(void);
/* How much is kept. At first CDM_CACHE_MAX. */
void cdm_cache_limit(size_t bytes);

/* fork(2), inside the map lock. */
void cdm_cache_fork_prepare(void);
void cdm_cache_fork_parent(void);
void cdm_cache_fork_child(void);
bool cdm_cache_interrupted(void); /* in a handler, of the calling thread's malloc or free: the locks cannot be had */
bool cdm_cache_fork_torn(void);   /* as cdm_region_fork_torn() */

#endif

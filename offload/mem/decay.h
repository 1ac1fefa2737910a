/* Free blocks of a program that allocates no more go back to the kernel by themselves.
 *
 * malloc and free give back what is overdue, but an idle program calls neither. While more than CDM_CACHE_ALONE bytes are
 * kept, a thread of libcdm's (base/thread.h: it has no signals, and libc does not know it) sleeps until the oldest is due; it
 * ends when nothing is kept. With CDM_CONTROL=off, or where there is no thread to be had, no more than CDM_CACHE_ALONE is
 * kept.
 */
#ifndef CDM_MEM_DECAY_H
#define CDM_MEM_DECAY_H

#include <stdbool.h>

/* After a block has become free: sees to it that somebody will give it back. No lock held. */
void cdm_decay_watch(void);
/* Fork child, which has not got the thread. */
void cdm_decay_after_fork(void);
/* Whether the thread runs. */
bool cdm_decay_runs(void);

#endif

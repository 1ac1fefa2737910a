/* Threads of libcdm's own in the program: made by clone(2), with all signals blocked, and not known to libc. libc counts its
 * threads and ends the process with the last of them: one of libcdm's among them would keep a program whose main() leaves
 * by pthread_exit() alive for ever, and setuid() would wait for it.
 *
 * Such a thread runs libcdm's code alone: raw system calls, no allocation, no dynamic thread-local storage.
 */
#ifndef CDM_BASE_THREAD_H
#define CDM_BASE_THREAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* ASan knows neither the thread nor its stack. */
#define CDM_THREAD_CODE __attribute__((no_sanitize("address", "undefined")))

struct cdm_thread {
	char *memory; /* a page that faults, the stack, the thread-local storage */
	size_t len;
	_Atomic int tid; /* 0 once the thread is gone from its memory: the kernel's doing */
};

/* At the start: what a new thread's storage looks like. Later would need the loader's lock, and threads are started by free(). */
void cdm_thread_prepare(void);
/* Runs fn in a new thread. *t is written until the thread has ended. False: there is none to be had. */
bool cdm_thread_start(struct cdm_thread *t, void (*fn)(void));
/* After a fork, in the child, which has not got it; or when it has ended. */
void cdm_thread_forget(struct cdm_thread *t);

#endif

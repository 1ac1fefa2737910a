/* The complete mode (CDM_TOUCH=thread): a thread of libcdm's answers the touches of what a private device has.
 *
 * The toucher sleeps in the kernel meanwhile, also when it is the kernel itself on the program's behalf, in whatever system
 * call, with whatever pointers to pointers: nothing has to be made accessible before. It needs the privilege to watch the
 * kernel (CAP_SYS_PTRACE, vm.unprivileged_userfaultfd, or the mode of /dev/userfaultfd), and a touch takes a round trip to
 * the thread, some 60 us instead of 3 (`make bench`); bringing 2 MiB home takes some 200 us either way.
 *
 * The others considered: a system call dispatcher (PR_SET_SYSCALL_USER_DISPATCH) has to be set for each thread, costs every
 * system call a signal, and must know the layout of each one's arguments; patching system call sites misses code made at
 * run time. Both need no privilege, and neither is complete.
 */
#ifndef CDM_MEM_WATCHER_H
#define CDM_MEM_WATCHER_H

/* Starts the thread, which reads cdm_uffd_next() until the descriptor is gone. 0 or -EAGAIN. */
int cdm_watcher_start(void);
/* Fork child. */
void cdm_watcher_forget(void);

#endif

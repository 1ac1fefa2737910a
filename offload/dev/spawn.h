/* Runs a helper program that the user's process never notices: no SIGCHLD, no child for its wait(), no output, none
 * of its file descriptors or signal settings.
 *
 *	caller --clone(VM|VFORK, no exit signal)--> warden --clone(VM|VFORK)--> exec of the helper
 *
 * An exec gives a process its exit signal back, so the helper is the child of a warden that shares the caller's
 * memory, waits for the helper with a time limit, and ends; only __WCLONE sees the warden. The calling thread is
 * suspended meanwhile, other threads run on. Raw system calls only.
 */
#ifndef CDM_DEV_SPAWN_H
#define CDM_DEV_SPAWN_H

/* Runs path with standard output to the descriptor out, and /dev/null for input and errors. Killed after limit_ms
 * milliseconds. Returns its wait status (0: it succeeded), or a negative errno when it could not be started;
 * -ETIMEDOUT when it was killed. */
int cdm_spawn_quietly(const char *path, char *const *argv, char *const *envp, int out, int limit_ms);

#endif

/* Control from outside: `cdm offline PID` and its like.
 *
 * A thread of libcdm's in the program, asleep in recvmsg(), answers datagrams at the abstract unix socket
 * "cdm-<pid>-<effective uid>": one word (offline, online, status) from a process of the same user or of root, known by
 * the kernel's credentials, gets one line back: "ok ..." or "error: ...". The network namespace is part of the address.
 *
 * What the program could notice, and why it is the way it is:
 *   - The thread is one of base/thread.h's: libc does not know it, and it takes no signals. It keeps the credentials
 *     that the thread of the first operation had.
 *   - Datagrams need one descriptor, at a high number; connections would need one at the lowest free number each. The
 *     program may close it: then it is opened anew when the next word comes.
 */
#ifndef CDM_OP_CONTROL_H
#define CDM_OP_CONTROL_H

/* Opens the socket: best before the process has more threads than one (base/descriptor.h). One thread at a time. */
void cdm_control_prepare(void);
/* Starts the thread, once; where that fails, nobody can control this process from outside, and nothing else changes.
 * Called when the device comes into use: a program that never uses it gets no thread. A load when started. */
void cdm_control_start(void);
/* Fork child, or nothing to control: closes and frees what the parent's thread used, or prepare opened. The next cdm_control_start() starts anew. */
void cdm_control_reset(void);

#endif

/* The interposed libc functions and what stands behind them: one table.
 *
 * cdm_next.NAME is the next definition of NAME after libcdm in the program's search order: libc's, or that of
 * another preloaded allocator. Until the first call it is a function that looks all of them up, so callers need no
 * test. The look-up works in the loader's own start-up: dlsym() allocates nothing when it succeeds (glibc >= 2.34);
 * older ones are served by libc itself meanwhile.
 */
#ifndef CDM_SHIM_HOOK_H
#define CDM_SHIM_HOOK_H

#include <aio.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <ucontext.h>

#undef fread_unlocked /* glibc's macros */
#undef fwrite_unlocked

#define CDM_EXPORT __attribute__((visibility("default")))

/* X(name, return type, parameters, arguments) */
#define CDM_HOOKS(X)                                                                                                   \
	X(malloc, void *, (size_t n), (n))                                                                             \
	X(calloc, void *, (size_t n, size_t each), (n, each))                                                          \
	X(realloc, void *, (void *p, size_t n), (p, n))                                                                \
	X(free, void, (void *p), (p))                                                                                  \
	X(memalign, void *, (size_t align, size_t n), (align, n))                                                      \
	X(posix_memalign, int, (void **out, size_t align, size_t n), (out, align, n))                                  \
	X(aligned_alloc, void *, (size_t align, size_t n), (align, n))                                                 \
	X(valloc, void *, (size_t n), (n))                                                                             \
	X(pvalloc, void *, (size_t n), (n))                                                                            \
	X(malloc_usable_size, size_t, (void *p), (p))                                                                  \
	X(_Fork, pid_t, (void), ())                                                                                    \
	X(dup2, int, (int fd, int to), (fd, to))                                                                       \
	X(dup3, int, (int fd, int to, int flags), (fd, to, flags))                                                     \
	X(swapcontext, int, (ucontext_t * from, const ucontext_t *to), (from, to))                                     \
	X(setcontext, int, (const ucontext_t *to), (to))                                                               \
	X(fork, pid_t, (void), ())                                                                                     \
	X(mlock, int, (const void *addr, size_t len), (addr, len))                                                     \
	X(mlock2, int, (const void *addr, size_t len, unsigned flags), (addr, len, flags))                             \
	X(sigaltstack, int, (const stack_t *stack, stack_t *old), (stack, old))                                        \
	X(pthread_attr_setstack, int, (pthread_attr_t * attr, void *addr, size_t len), (attr, addr, len))              \
	X(open, int, (const char *path, int flags, mode_t mode), (path, flags, mode))                                  \
	X(open64, int, (const char *path, int flags, mode_t mode), (path, flags, mode))                                \
	X(openat, int, (int dir, const char *path, int flags, mode_t mode), (dir, path, flags, mode))                  \
	X(openat64, int, (int dir, const char *path, int flags, mode_t mode), (dir, path, flags, mode))                \
	X(close, int, (int fd), (fd))                                                                                  \
	X(close_range, int, (unsigned first, unsigned last, int flags), (first, last, flags))                          \
	X(closefrom, void, (int first), (first))                                                                       \
	X(aio_read, int, (struct aiocb * cb), (cb))                                                                    \
	X(aio_write, int, (struct aiocb * cb), (cb))                                                                   \
	X(aio_read64, int, (struct aiocb64 * cb), (cb))                                                                \
	X(aio_write64, int, (struct aiocb64 * cb), (cb))                                                               \
	X(mlockall, int, (int flags), (flags))                                                                         \
	X(recvmmsg, int, (int fd, struct mmsghdr *m, unsigned count, int flags, struct timespec *timeout),             \
	  (fd, m, count, flags, timeout))                                                                              \
	X(sendmmsg, int, (int fd, struct mmsghdr *m, unsigned count, int flags), (fd, m, count, flags))                \
	X(process_vm_readv, ssize_t,                                                                                   \
	  (pid_t pid, const struct iovec *local, unsigned long locals, const struct iovec *remote,                     \
	   unsigned long remotes, unsigned long flags),                                                                \
	  (pid, local, locals, remote, remotes, flags))                                                                \
	X(process_vm_writev, ssize_t,                                                                                  \
	  (pid_t pid, const struct iovec *local, unsigned long locals, const struct iovec *remote,                     \
	   unsigned long remotes, unsigned long flags),                                                                \
	  (pid, local, locals, remote, remotes, flags))                                                                \
	X(sigsuspend, int, (const sigset_t *set), (set))                                                               \
	X(pselect, int, (int n, fd_set *r, fd_set *w, fd_set *e, const struct timespec *timeout, const sigset_t *set), \
	  (n, r, w, e, timeout, set))                                                                                  \
	X(ppoll, int, (struct pollfd * p, nfds_t n, const struct timespec *timeout, const sigset_t *set),              \
	  (p, n, timeout, set))                                                                                        \
	X(epoll_pwait, int, (int fd, struct epoll_event *p, int n, int timeout, const sigset_t *set),                  \
	  (fd, p, n, timeout, set))                                                                                    \
	X(syscall, long, (long nr, long a, long b, long c, long d, long e, long f), (nr, a, b, c, d, e, f))            \
	X(dlclose, int, (void *handle), (handle))                                                                      \
	X(dlopen, void *, (const char *path, int flags), (path, flags))                                                \
	X(dlsym, void *, (void *handle, const char *name), (handle, name))                                             \
	X(sigaction, int, (int sig, const struct sigaction *act, struct sigaction *old), (sig, act, old))              \
	X(signal, __sighandler_t, (int sig, __sighandler_t handler), (sig, handler))                                   \
	X(sigprocmask, int, (int how, const sigset_t *set, sigset_t *old), (how, set, old))                            \
	X(pthread_sigmask, int, (int how, const sigset_t *set, sigset_t *old), (how, set, old))

/* Calls that hand a buffer to the kernel: X(name, return type, parameters, arguments, buffer, bytes, whether the kernel
 * writes there) */
#define CDM_BUFFER_HOOKS(X)                                                                                            \
	X(read, ssize_t, (int fd, void *p, size_t n), (fd, p, n), p, n, 1)                                             \
	X(pread, ssize_t, (int fd, void *p, size_t n, off_t at), (fd, p, n, at), p, n, 1)                              \
	X(pread64, ssize_t, (int fd, void *p, size_t n, off64_t at), (fd, p, n, at), p, n, 1)                          \
	X(write, ssize_t, (int fd, const void *p, size_t n), (fd, p, n), p, n, 0)                                      \
	X(pwrite, ssize_t, (int fd, const void *p, size_t n, off_t at), (fd, p, n, at), p, n, 0)                       \
	X(pwrite64, ssize_t, (int fd, const void *p, size_t n, off64_t at), (fd, p, n, at), p, n, 0)                   \
	X(recv, ssize_t, (int fd, void *p, size_t n, int flags), (fd, p, n, flags), p, n, 1)                           \
	X(send, ssize_t, (int fd, const void *p, size_t n, int flags), (fd, p, n, flags), p, n, 0)                     \
	X(recvfrom, ssize_t, (int fd, void *p, size_t n, int flags, struct sockaddr *from, socklen_t *len),            \
	  (fd, p, n, flags, from, len), p, n, 1)                                                                       \
	X(sendto, ssize_t, (int fd, const void *p, size_t n, int flags, const struct sockaddr *to, socklen_t len),     \
	  (fd, p, n, flags, to, len), p, n, 0)                                                                         \
	X(getrandom, ssize_t, (void *p, size_t n, unsigned flags), (p, n, flags), p, n, 1)                             \
	X(getentropy, int, (void *p, size_t n), (p, n), p, n, 1)                                                       \
	X(readlink, ssize_t, (const char *path, char *p, size_t n), (path, p, n), p, n, 1)                             \
	X(readlinkat, ssize_t, (int fd, const char *path, char *p, size_t n), (fd, path, p, n), p, n, 1)               \
	X(getcwd, char *, (char *p, size_t n), (p, n), p, n, 1)                                                        \
	X(getdents64, ssize_t, (int fd, void *p, size_t n), (fd, p, n), p, n, 1)                                       \
	X(getxattr, ssize_t, (const char *path, const char *name, void *p, size_t n), (path, name, p, n), p, n, 1)     \
	X(fgetxattr, ssize_t, (int fd, const char *name, void *p, size_t n), (fd, name, p, n), p, n, 1)                \
	X(msgsnd, int, (int id, const void *p, size_t n, int flags), (id, p, n, flags), p, n + sizeof(long), 0)        \
	X(msgrcv, ssize_t, (int id, void *p, size_t n, long type, int flags), (id, p, n, type, flags), p,              \
	  n + sizeof(long), 1)                                                                                         \
	X(stat, int, (const char *path, struct stat *p), (path, p), p, sizeof(*p), 1)                                  \
	X(lstat, int, (const char *path, struct stat *p), (path, p), p, sizeof(*p), 1)                                 \
	X(fstat, int, (int fd, struct stat *p), (fd, p), p, sizeof(*p), 1)                                             \
	X(fstatat, int, (int dir, const char *path, struct stat *p, int flags), (dir, path, p, flags), p, sizeof(*p),  \
	  1)                                                                                                           \
	X(stat64, int, (const char *path, struct stat64 *p), (path, p), p, sizeof(*p), 1)                              \
	X(lstat64, int, (const char *path, struct stat64 *p), (path, p), p, sizeof(*p), 1)                             \
	X(fstat64, int, (int fd, struct stat64 *p), (fd, p), p, sizeof(*p), 1)                                         \
	X(poll, int, (struct pollfd * p, nfds_t n, int timeout), (p, n, timeout), p, n * sizeof(*p), 1)                \
	X(epoll_wait, int, (int fd, struct epoll_event *p, int n, int timeout), (fd, p, n, timeout), p,                \
	  (size_t)(n > 0 ? n : 0) * sizeof(*p), 1)                                                                     \
	X(uname, int, (struct utsname * p), (p), p, sizeof(*p), 1)                                                     \
	X(getrusage, int, (__rusage_who_t who, struct rusage * p), (who, p), p, sizeof(*p), 1)                         \
	X(getsockopt, int, (int fd, int level, int name, void *p, socklen_t *n), (fd, level, name, p, n), p, 256, 1)   \
	X(pipe, int, (int p[2]), (p), p, 2 * sizeof(*p), 1)                                                            \
	X(waitpid, pid_t, (pid_t pid, int *p, int flags), (pid, p, flags), p, sizeof(*p), 1)                           \
	X(mincore, int, (void *a, size_t n, unsigned char *p), (a, n, p), p, (n + 4095) / 4096, 1)                     \
	X(fread, size_t, (void *p, size_t each, size_t n, FILE *f), (p, each, n, f), p, each *n, 1)                    \
	X(fwrite, size_t, (const void *p, size_t each, size_t n, FILE *f), (p, each, n, f), p, each *n, 0)             \
	X(fread_unlocked, size_t, (void *p, size_t each, size_t n, FILE *f), (p, each, n, f), p, each *n, 1)           \
	X(fwrite_unlocked, size_t, (const void *p, size_t each, size_t n, FILE *f), (p, each, n, f), p, each *n, 0)    \
	X(__read_chk, ssize_t, (int fd, void *p, size_t n, size_t room), (fd, p, n, room), p, n, 1)                    \
	X(__pread_chk, ssize_t, (int fd, void *p, size_t n, off_t at, size_t room), (fd, p, n, at, room), p, n, 1)     \
	X(__pread64_chk, ssize_t, (int fd, void *p, size_t n, off64_t at, size_t room), (fd, p, n, at, room), p, n, 1) \
	X(__recv_chk, ssize_t, (int fd, void *p, size_t n, size_t room, int flags), (fd, p, n, room, flags), p, n, 1)  \
	X(__recvfrom_chk, ssize_t,                                                                                     \
	  (int fd, void *p, size_t n, size_t room, int flags, struct sockaddr *from, socklen_t *len),                  \
	  (fd, p, n, room, flags, from, len), p, n, 1)                                                                 \
	X(__readlink_chk, ssize_t, (const char *path, char *p, size_t n, size_t room), (path, p, n, room), p, n, 1)    \
	X(__getcwd_chk, char *, (char *p, size_t n, size_t room), (p, n, room), p, n, 1)                               \
	X(__fread_chk, size_t, (void *p, size_t room, size_t each, size_t n, FILE *f), (p, room, each, n, f), p,       \
	  each *n, 1)                                                                                                  \
	X(__fread_unlocked_chk, size_t, (void *p, size_t room, size_t each, size_t n, FILE *f), (p, room, each, n, f), \
	  p, each *n, 1)

/* Calls that hand over a list of buffers: X(name, return type, parameters, arguments, list, entries, whether the kernel
 * writes there) */
#define CDM_VECTOR_HOOKS(X)                                                                                            \
	X(readv, ssize_t, (int fd, const struct iovec *iov, int n), (fd, iov, n), iov, n, 1)                           \
	X(writev, ssize_t, (int fd, const struct iovec *iov, int n), (fd, iov, n), iov, n, 0)                          \
	X(preadv, ssize_t, (int fd, const struct iovec *iov, int n, off_t at), (fd, iov, n, at), iov, n, 1)            \
	X(pwritev, ssize_t, (int fd, const struct iovec *iov, int n, off_t at), (fd, iov, n, at), iov, n, 0)           \
	X(preadv64, ssize_t, (int fd, const struct iovec *iov, int n, off64_t at), (fd, iov, n, at), iov, n, 1)        \
	X(pwritev64, ssize_t, (int fd, const struct iovec *iov, int n, off64_t at), (fd, iov, n, at), iov, n, 0)       \
	X(preadv2, ssize_t, (int fd, const struct iovec *iov, int n, off_t at, int flags), (fd, iov, n, at, flags),    \
	  iov, n, 1)                                                                                                   \
	X(pwritev2, ssize_t, (int fd, const struct iovec *iov, int n, off_t at, int flags), (fd, iov, n, at, flags),   \
	  iov, n, 0)                                                                                                   \
	X(preadv64v2, ssize_t, (int fd, const struct iovec *iov, int n, off64_t at, int flags),                        \
	  (fd, iov, n, at, flags), iov, n, 1)                                                                          \
	X(pwritev64v2, ssize_t, (int fd, const struct iovec *iov, int n, off64_t at, int flags),                       \
	  (fd, iov, n, at, flags), iov, n, 0)                                                                          \
	X(vmsplice, ssize_t, (int fd, const struct iovec *iov, size_t n, unsigned flags), (fd, iov, n, flags), iov, n, \
	  1)

/* Calls that hand over a message: X(name, return type, parameters, arguments, message, whether the kernel writes there) */
#define CDM_MESSAGE_HOOKS(X)                                                                                           \
	X(recvmsg, ssize_t, (int fd, struct msghdr *m, int flags), (fd, m, flags), m, 1)                               \
	X(sendmsg, ssize_t, (int fd, const struct msghdr *m, int flags), (fd, m, flags), m, 0)

struct cdm_next {
#define X(name, type, params, args, ...) type(*name) params;
	CDM_HOOKS(X)
	CDM_BUFFER_HOOKS(X)
	CDM_VECTOR_HOOKS(X)
	CDM_MESSAGE_HOOKS(X)
#undef X
};
extern struct cdm_next cdm_next __attribute__((visibility("hidden")));

/* Looks everything up now. Idempotent; called by the constructor and by the first hooked call before it. */
void cdm_hook_resolve(void);
/* Fires malloc(SIZE_MAX) and realloc(NULL, SIZE_MAX) as the program would reach them; malloc.c notes which arrive. */
void cdm_hook_fire(void);
/* The realloc that the program reaches. */
void *cdm_hook_realloc(void *p, size_t n);
/* After the look-up: logs, at level info, every hook that the program does not reach because another preloaded
 * library defines it first. */
void cdm_hook_check(void);

/* init.c: a fork by fork_now, which runs no handlers; a private device's data is home meanwhile. */
pid_t cdm_fork_bare(pid_t (*fork_now)(void));
/* malloc.c, after the engine's start: from now on large allocations are blocks, if the program's malloc is libcdm's. */
void cdm_malloc_start(void);

#endif

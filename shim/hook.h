/* The interposed libc functions and what stands behind them: one table.
 *
 * cdm_next.NAME is the next definition of NAME after libcdm in the program's search order: libc's, or that of
 * another preloaded allocator. Until the first call it is a function that looks all of them up, so callers need no
 * test. The look-up works in the loader's own start-up: dlsym() allocates nothing when it succeeds (glibc >= 2.34);
 * older ones are served by libc itself meanwhile.
 */
#ifndef CDM_SHIM_HOOK_H
#define CDM_SHIM_HOOK_H

#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

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
	X(fork, pid_t, (void), ())                                                                                     \
	X(mlock, int, (const void *addr, size_t len), (addr, len))                                                     \
	X(mlock2, int, (const void *addr, size_t len, unsigned flags), (addr, len, flags))                             \
	X(sigaltstack, int, (const stack_t *stack, stack_t *old), (stack, old))                                        \
	X(pthread_attr_setstack, int, (pthread_attr_t * attr, void *addr, size_t len), (attr, addr, len))              \
	X(dlclose, int, (void *handle), (handle))                                                                      \
	X(dlopen, void *, (const char *path, int flags), (path, flags))                                                \
	X(dlsym, void *, (void *handle, const char *name), (handle, name))                                             \
	X(sigaction, int, (int sig, const struct sigaction *act, struct sigaction *old), (sig, act, old))              \
	X(signal, __sighandler_t, (int sig, __sighandler_t handler), (sig, handler))                                   \
	X(sigprocmask, int, (int how, const sigset_t *set, sigset_t *old), (how, set, old))                            \
	X(pthread_sigmask, int, (int how, const sigset_t *set, sigset_t *old), (how, set, old))

/* Calls that hand a buffer to the kernel: X(name, return type, parameters, arguments, buffer, bytes) */
#define CDM_BUFFER_HOOKS(X)                                                                                            \
	X(read, ssize_t, (int fd, void *p, size_t n), (fd, p, n), p, n)                                                \
	X(pread, ssize_t, (int fd, void *p, size_t n, off_t at), (fd, p, n, at), p, n)                                 \
	X(pread64, ssize_t, (int fd, void *p, size_t n, off64_t at), (fd, p, n, at), p, n)                             \
	X(write, ssize_t, (int fd, const void *p, size_t n), (fd, p, n), p, n)                                         \
	X(pwrite, ssize_t, (int fd, const void *p, size_t n, off_t at), (fd, p, n, at), p, n)                          \
	X(pwrite64, ssize_t, (int fd, const void *p, size_t n, off64_t at), (fd, p, n, at), p, n)                      \
	X(recv, ssize_t, (int fd, void *p, size_t n, int flags), (fd, p, n, flags), p, n)                              \
	X(send, ssize_t, (int fd, const void *p, size_t n, int flags), (fd, p, n, flags), p, n)                        \
	X(recvfrom, ssize_t, (int fd, void *p, size_t n, int flags, struct sockaddr *from, socklen_t *len),            \
	  (fd, p, n, flags, from, len), p, n)                                                                          \
	X(sendto, ssize_t, (int fd, const void *p, size_t n, int flags, const struct sockaddr *to, socklen_t len),     \
	  (fd, p, n, flags, to, len), p, n)                                                                            \
	X(getrandom, ssize_t, (void *p, size_t n, unsigned flags), (p, n, flags), p, n)                                \
	X(fread, size_t, (void *p, size_t each, size_t n, FILE *f), (p, each, n, f), p, each *n)                       \
	X(fwrite, size_t, (const void *p, size_t each, size_t n, FILE *f), (p, each, n, f), p, each *n)                \
	X(__read_chk, ssize_t, (int fd, void *p, size_t n, size_t room), (fd, p, n, room), p, n)                       \
	X(__pread_chk, ssize_t, (int fd, void *p, size_t n, off_t at, size_t room), (fd, p, n, at, room), p, n)        \
	X(__pread64_chk, ssize_t, (int fd, void *p, size_t n, off64_t at, size_t room), (fd, p, n, at, room), p, n)    \
	X(__recv_chk, ssize_t, (int fd, void *p, size_t n, size_t room, int flags), (fd, p, n, room, flags), p, n)     \
	X(__recvfrom_chk, ssize_t,                                                                                     \
	  (int fd, void *p, size_t n, size_t room, int flags, struct sockaddr *from, socklen_t *len),                  \
	  (fd, p, n, room, flags, from, len), p, n)                                                                    \
	X(__fread_chk, size_t, (void *p, size_t room, size_t each, size_t n, FILE *f), (p, room, each, n, f), p,       \
	  each *n)

/* Calls that hand over a list of buffers: X(name, return type, parameters, arguments, list, entries) */
#define CDM_VECTOR_HOOKS(X)                                                                                            \
	X(readv, ssize_t, (int fd, const struct iovec *iov, int n), (fd, iov, n), iov, n)                              \
	X(writev, ssize_t, (int fd, const struct iovec *iov, int n), (fd, iov, n), iov, n)                             \
	X(preadv, ssize_t, (int fd, const struct iovec *iov, int n, off_t at), (fd, iov, n, at), iov, n)               \
	X(pwritev, ssize_t, (int fd, const struct iovec *iov, int n, off_t at), (fd, iov, n, at), iov, n)              \
	X(preadv64, ssize_t, (int fd, const struct iovec *iov, int n, off64_t at), (fd, iov, n, at), iov, n)           \
	X(pwritev64, ssize_t, (int fd, const struct iovec *iov, int n, off64_t at), (fd, iov, n, at), iov, n)          \
	X(recvmsg, ssize_t, (int fd, struct msghdr *m, int flags), (fd, m, flags), m->msg_iov, m->msg_iovlen)          \
	X(sendmsg, ssize_t, (int fd, const struct msghdr *m, int flags), (fd, m, flags), m->msg_iov, m->msg_iovlen)

struct cdm_next {
#define X(name, type, params, args, ...) type(*name) params;
	CDM_HOOKS(X)
	CDM_BUFFER_HOOKS(X)
	CDM_VECTOR_HOOKS(X)
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

/* malloc.c, after the engine's start: from now on large allocations are blocks, if the program's malloc is libcdm's. */
void cdm_malloc_start(void);

#endif

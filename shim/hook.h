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
#include <sys/types.h>

#define CDM_EXPORT __attribute__((visibility("default")))

/* X(name, return type, parameters, arguments) */
#define CDM_HOOKS(X)                                                                          \
	X(malloc, void *, (size_t n), (n))                                                    \
	X(calloc, void *, (size_t n, size_t each), (n, each))                                 \
	X(realloc, void *, (void *p, size_t n), (p, n))                                       \
	X(free, void, (void *p), (p))                                                         \
	X(memalign, void *, (size_t align, size_t n), (align, n))                             \
	X(posix_memalign, int, (void **out, size_t align, size_t n), (out, align, n))         \
	X(aligned_alloc, void *, (size_t align, size_t n), (align, n))                        \
	X(valloc, void *, (size_t n), (n))                                                    \
	X(pvalloc, void *, (size_t n), (n))                                                   \
	X(malloc_usable_size, size_t, (void *p), (p))                                         \
	X(fork, pid_t, (void), ())                                                            \
	X(mlock, int, (const void *addr, size_t len), (addr, len))                            \
	X(mlock2, int, (const void *addr, size_t len, unsigned flags), (addr, len, flags))    \
	X(sigaltstack, int, (const stack_t *stack, stack_t *old), (stack, old))               \
	X(pthread_attr_setstack, int, (pthread_attr_t *attr, void *addr, size_t len), (attr, addr, len)) \
	X(dlclose, int, (void *handle), (handle))                                             \
	X(sigaction, int, (int sig, const struct sigaction *act, struct sigaction *old), (sig, act, old)) \
	X(signal, __sighandler_t, (int sig, __sighandler_t handler), (sig, handler))          \
	X(sigprocmask, int, (int how, const sigset_t *set, sigset_t *old), (how, set, old))   \
	X(pthread_sigmask, int, (int how, const sigset_t *set, sigset_t *old), (how, set, old))

struct cdm_next {
#define X(name, type, params, args) type(*name) params;
	CDM_HOOKS(X)
#undef X
};
extern struct cdm_next cdm_next;

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

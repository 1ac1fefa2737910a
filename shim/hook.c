#include "shim/hook.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "offload/base/log.h"
#include "shim/slot.h"

/* glibc's own entry points: what serves the look-up itself, should it allocate. */
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t each);

#define X(name, type, params, args, ...) static type first_##name params;
CDM_HOOKS(X)
CDM_BUFFER_HOOKS(X)
CDM_VECTOR_HOOKS(X)
CDM_MESSAGE_HOOKS(X)
#undef X

struct cdm_next cdm_next = {
#define X(name, type, params, args, ...) .name = first_##name,
	CDM_HOOKS(X) CDM_BUFFER_HOOKS(X) CDM_VECTOR_HOOKS(X) CDM_MESSAGE_HOOKS(X)
#undef X
};

static __thread int resolving __attribute__((tls_model("initial-exec")));

/* libcdm defines dlsym itself; this is libc's. */
static void *(*libc_dlsym(void))(void *, const char *)
{
	static const char *const versions[] = {"GLIBC_2.34", "GLIBC_2.2.5", "GLIBC_2.17"};
	void *p = NULL;

	for (size_t i = 0; i < sizeof(versions) / sizeof(*versions) && !p; i++)
		p = dlvsym(RTLD_NEXT, "dlsym", versions[i]);
	return (void *(*)(void *, const char *))p;
}

void cdm_hook_resolve(void)
{
	void *(*find)(void *, const char *);
	void *p;

	if (resolving || cdm_next.malloc != first_malloc)
		return;
	resolving = 1;
	find = libc_dlsym();
	if (!find) {
		resolving = 0;
		return;
	}
	/* malloc last: it says that the table is complete. Two threads at once store the same values. */
#define X(name, type, params, args, ...)                                                                               \
	if ((void *)cdm_next.name != (void *)cdm_next.malloc) {                                                        \
		p = find(RTLD_NEXT, #name);                                                                            \
		if (p)                                                                                                 \
			cdm_next.name = (type(*) params)p;                                                             \
	}
	CDM_HOOKS(X)
	CDM_BUFFER_HOOKS(X)
	CDM_VECTOR_HOOKS(X)
	CDM_MESSAGE_HOOKS(X)
#undef X
	p = find(RTLD_NEXT, "malloc");
	cdm_next.malloc = p ? (void *(*)(size_t))p : __libc_malloc;
	resolving = 0;
}

/* The first call of each: look up, then go on. A call from inside the look-up is libc's to answer. */
#define FORWARD(name, type, params, args)                                                                              \
	static type first_##name params                                                                                \
	{                                                                                                              \
		cdm_hook_resolve();                                                                                    \
		if (cdm_next.name == first_##name)                                                                     \
			return (type)0;                                                                                \
		return cdm_next.name args;                                                                             \
	}

static void *first_malloc(size_t n)
{
	cdm_hook_resolve();
	return resolving ? __libc_malloc(n) : cdm_next.malloc(n);
}

static void *first_calloc(size_t n, size_t each)
{
	cdm_hook_resolve();
	return resolving ? __libc_calloc(n, each) : cdm_next.calloc(n, each);
}

static void first_free(void *p)
{
	cdm_hook_resolve();
	if (cdm_next.free != first_free)
		cdm_next.free(p);
}

static void first_closefrom(int first)
{
	cdm_hook_resolve();
	if (cdm_next.closefrom != first_closefrom)
		cdm_next.closefrom(first);
}

FORWARD(realloc, void *, (void *p, size_t n), (p, n))
FORWARD(memalign, void *, (size_t align, size_t n), (align, n))
FORWARD(posix_memalign, int, (void **out, size_t align, size_t n), (out, align, n))
FORWARD(aligned_alloc, void *, (size_t align, size_t n), (align, n))
FORWARD(valloc, void *, (size_t n), (n))
FORWARD(pvalloc, void *, (size_t n), (n))
FORWARD(malloc_usable_size, size_t, (void *p), (p))
FORWARD(_Fork, pid_t, (void), ())
FORWARD(dup2, int, (int fd, int to), (fd, to))
FORWARD(dup3, int, (int fd, int to, int flags), (fd, to, flags))
FORWARD(swapcontext, int, (ucontext_t * from, const ucontext_t *to), (from, to))
FORWARD(setcontext, int, (const ucontext_t *to), (to))
FORWARD(fork, pid_t, (void), ())
FORWARD(mlock, int, (const void *addr, size_t len), (addr, len))
FORWARD(mlock2, int, (const void *addr, size_t len, unsigned flags), (addr, len, flags))
FORWARD(sigaltstack, int, (const stack_t *stack, stack_t *old), (stack, old))
FORWARD(pthread_attr_setstack, int, (pthread_attr_t * attr, void *addr, size_t len), (attr, addr, len))
FORWARD(open, int, (const char *path, int flags, mode_t mode), (path, flags, mode))
FORWARD(open64, int, (const char *path, int flags, mode_t mode), (path, flags, mode))
FORWARD(openat, int, (int dir, const char *path, int flags, mode_t mode), (dir, path, flags, mode))
FORWARD(openat64, int, (int dir, const char *path, int flags, mode_t mode), (dir, path, flags, mode))
FORWARD(close, int, (int fd), (fd))
FORWARD(close_range, int, (unsigned first, unsigned last, int flags), (first, last, flags))
FORWARD(aio_read, int, (struct aiocb * cb), (cb))
FORWARD(aio_write, int, (struct aiocb * cb), (cb))
FORWARD(aio_read64, int, (struct aiocb64 * cb), (cb))
FORWARD(aio_write64, int, (struct aiocb64 * cb), (cb))
FORWARD(mlockall, int, (int flags), (flags))
FORWARD(recvmmsg, int, (int fd, struct mmsghdr *m, unsigned count, int flags, struct timespec *timeout),
	(fd, m, count, flags, timeout))
FORWARD(sendmmsg, int, (int fd, struct mmsghdr *m, unsigned count, int flags), (fd, m, count, flags))
FORWARD(process_vm_readv, ssize_t,
	(pid_t pid, const struct iovec *local, unsigned long locals, const struct iovec *remote, unsigned long remotes,
	 unsigned long flags),
	(pid, local, locals, remote, remotes, flags))
FORWARD(process_vm_writev, ssize_t,
	(pid_t pid, const struct iovec *local, unsigned long locals, const struct iovec *remote, unsigned long remotes,
	 unsigned long flags),
	(pid, local, locals, remote, remotes, flags))
FORWARD(sigsuspend, int, (const sigset_t *set), (set))
FORWARD(pselect, int, (int n, fd_set *r, fd_set *w, fd_set *e, const struct timespec *timeout, const sigset_t *set),
	(n, r, w, e, timeout, set))
FORWARD(ppoll, int, (struct pollfd * p, nfds_t n, const struct timespec *timeout, const sigset_t *set),
	(p, n, timeout, set))
FORWARD(epoll_pwait, int, (int fd, struct epoll_event *p, int n, int timeout, const sigset_t *set),
	(fd, p, n, timeout, set))
FORWARD(syscall, long, (long nr, long a, long b, long c, long d, long e, long f), (nr, a, b, c, d, e, f))
FORWARD(dlclose, int, (void *handle), (handle))
FORWARD(dlopen, void *, (const char *path, int flags), (path, flags))
FORWARD(dlsym, void *, (void *handle, const char *name), (handle, name))
FORWARD(sigaction, int, (int sig, const struct sigaction *act, struct sigaction *old), (sig, act, old))
FORWARD(signal, __sighandler_t, (int sig, __sighandler_t handler), (sig, handler))
FORWARD(sigprocmask, int, (int how, const sigset_t *set, sigset_t *old), (how, set, old))
FORWARD(pthread_sigmask, int, (int how, const sigset_t *set, sigset_t *old), (how, set, old))

/* The module that defines what the program reaches under name, when that is another one. dladdr() walks all symbols of a
 * module: it is not asked about libcdm's own. */
static bool taken(const char *name, Dl_info *theirs)
{
	const ElfW(Sym) *sym = NULL;
	void *p = cdm_next.dlsym(RTLD_DEFAULT, name);

	/* A program that takes the address of malloc has a symbol for it, undefined, whose value is its own PLT. */
	return p && !cdm_slot_is_own(p) && dladdr1(p, theirs, (void **)&sym, RTLD_DL_SYMENT) && sym &&
	       sym->st_shndx != SHN_UNDEF;
}

void cdm_hook_fire(void)
{
	volatile size_t impossible = SIZE_MAX;
	int saved = errno;
	Dl_info theirs;
	void *volatile none = NULL, *volatile p; /* volatile: the compiler knows these functions */

	/* An allocator of the program's own may take the impossible for an error and end it (a sanitizer's does). */
	if (taken("malloc", &theirs) || taken("realloc", &theirs))
		return;
	p = malloc(impossible);
	p = realloc(none, impossible);
	(void)p;
	errno = saved;
}

void *cdm_hook_realloc(void *p, size_t n)
{
	return realloc(p, n);
}

#define X(name, type, params, args, ...) FORWARD(name, type, params, args)
CDM_BUFFER_HOOKS(X)
CDM_VECTOR_HOOKS(X)
CDM_MESSAGE_HOOKS(X)
#undef X

static void check_one(const char *name)
{
	Dl_info theirs;

	if (taken(name, &theirs))
		cdm_log(CDM_LOG_INFO, "%s is taken by %s, which comes first: libcdm does not see it", name,
			theirs.dli_fname);
}

void cdm_hook_check(void)
{
	if (cdm_log_level < CDM_LOG_INFO)
		return;
#define X(name, type, params, args, ...) check_one(#name);
	CDM_HOOKS(X)
	CDM_BUFFER_HOOKS(X)
	CDM_VECTOR_HOOKS(X)
	CDM_MESSAGE_HOOKS(X)
#undef X
}

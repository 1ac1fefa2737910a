/* mmap and friends: the system call and its bookkeeping are the engine's; here is the libc ABI. */
#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>

#include "offload/offload.h"
#include "shim/api.h"
#include "shim/device_file.h"
#include "shim/hook.h"

static int result(int r)
{
	if (r >= 0)
		return r;
	errno = -r;
	return -1;
}

static void *address(void *p)
{
	if ((unsigned long)p < (unsigned long)-4095)
		return p;
	errno = (int)-(long)p;
	return MAP_FAILED;
}

CDM_EXPORT void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	if (cdm_device_file_is(fd, flags))
		return address(cdm_device_file_map(addr, len, prot, flags, __builtin_return_address(0)));
	return address(cdm_map_mmap(addr, len, prot, flags, fd, off, __builtin_return_address(0)));
}

CDM_EXPORT void *mmap64(void *addr, size_t len, int prot, int flags, int fd, off64_t off)
{
	if (cdm_device_file_is(fd, flags))
		return address(cdm_device_file_map(addr, len, prot, flags, __builtin_return_address(0)));
	return address(cdm_map_mmap(addr, len, prot, flags, fd, off, __builtin_return_address(0)));
}

CDM_EXPORT int munmap(void *addr, size_t len)
{
	return result(cdm_map_munmap(addr, len));
}

CDM_EXPORT void *mremap(void *addr, size_t old, size_t len, int flags, ...)
{
	void *to = NULL;
	va_list ap;

	va_start(ap, flags);
	if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP))
		to = va_arg(ap, void *);
	va_end(ap);
	return address(cdm_map_mremap(addr, old, len, flags, to));
}

CDM_EXPORT int madvise(void *addr, size_t len, int advice)
{
	int r;

	if (cdm_api_advice(addr, len, advice, &r))
		return result(r);
	return result(cdm_map_madvise(addr, len, advice));
}

CDM_EXPORT int mprotect(void *addr, size_t len, int prot)
{
	return result(cdm_map_mprotect(addr, len, prot));
}

/* Memory that must stay where it is: locked by the program, or a stack that the kernel writes to on its own. */

CDM_EXPORT int mlock(const void *addr, size_t len)
{
	cdm_map_keep(addr, len);
	return cdm_next.mlock(addr, len);
}

CDM_EXPORT int mlock2(const void *addr, size_t len, unsigned flags)
{
	cdm_map_keep(addr, len);
	return cdm_next.mlock2(addr, len, flags);
}

CDM_EXPORT int sigaltstack(const stack_t *stack, stack_t *old)
{
	int r = cdm_next.sigaltstack(stack, old);

	if (!r && stack && !(stack->ss_flags & SS_DISABLE)) /* the kernel has read it: it can be read */
		cdm_map_keep(stack->ss_sp, stack->ss_size);
	return r;
}

CDM_EXPORT int pthread_attr_setstack(pthread_attr_t *attr, void *addr, size_t len)
{
	cdm_map_keep(addr, len);
	return cdm_next.pthread_attr_setstack(attr, addr, len);
}

CDM_EXPORT int mlockall(int flags)
{
	int r = cdm_next.mlockall(flags);

	if (!r && (flags & MCL_CURRENT))
		cdm_map_keep_all();
	return r;
}

/* A coroutine's stack: the kernel writes a signal's frame there. */
static void stack_keep(const ucontext_t *c)
{
	if (c && c->uc_stack.ss_sp)
		cdm_map_keep(c->uc_stack.ss_sp, c->uc_stack.ss_size);
}

CDM_EXPORT int swapcontext(ucontext_t *from, const ucontext_t *to)
{
	stack_keep(to);
	return cdm_next.swapcontext(from, to);
}

CDM_EXPORT int setcontext(const ucontext_t *to)
{
	stack_keep(to);
	return cdm_next.setcontext(to);
}

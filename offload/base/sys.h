/* Raw Linux system calls, x86-64.
 *
 * libcdm interposes mmap, munmap, madvise, read, fork and more. Its own inside must never meet those
 * wrappers again (design invariant 7), so below shim/ every system call goes through this header.
 * All functions return the kernel's value: a negative errno on failure, never -1 with errno set.
 * They do not touch errno, are async-signal-safe, and are no cancellation points.
 */
#ifndef CDM_BASE_SYS_H
#define CDM_BASE_SYS_H

#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>

#define CDM_PAGE ((size_t)4096)
#define CDM_HUGE ((size_t)2 << 20)

static inline size_t cdm_round_up(size_t n, size_t to)
{
	return (n + to - 1) & ~(to - 1);
}
static inline size_t cdm_round_down(size_t n, size_t to)
{
	return n & ~(to - 1);
}

static inline long cdm_sys6(long nr, long a, long b, long c, long d, long e, long f)
{
	long ret;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}
static inline long cdm_sys3(long nr, long a, long b, long c)
{
	long ret;
	__asm__ volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return ret;
}

/* True when a pointer-returning call failed; the value is then a negative errno. */
static inline int cdm_sys_failed(const void *p)
{
	return (uintptr_t)p >= (uintptr_t)-4095;
}

static inline void *cdm_sys_mmap(void *a, size_t n, int prot, int flags, int fd, off_t off)
{
	return (void *)cdm_sys6(SYS_mmap, (long)a, (long)n, prot, flags, fd, off);
}
static inline int cdm_sys_munmap(void *a, size_t n)
{
	return (int)cdm_sys3(SYS_munmap, (long)a, (long)n, 0);
}
static inline int cdm_sys_mprotect(void *a, size_t n, int prot)
{
	return (int)cdm_sys3(SYS_mprotect, (long)a, (long)n, prot);
}
static inline int cdm_sys_madvise(void *a, size_t n, int advice)
{
	return (int)cdm_sys3(SYS_madvise, (long)a, (long)n, advice);
}
static inline void *cdm_sys_mremap(void *a, size_t old, size_t n, int flags, void *to)
{
	return (void *)cdm_sys6(SYS_mremap, (long)a, (long)old, (long)n, flags, (long)to, 0);
}
static inline int cdm_sys_ioctl(int fd, unsigned long req, void *arg)
{
	return (int)cdm_sys3(SYS_ioctl, fd, (long)req, (long)arg);
}
static inline int cdm_sys_open(const char *path, int flags, int mode)
{
	return (int)cdm_sys6(SYS_openat, AT_FDCWD, (long)path, flags, mode, 0, 0);
}
static inline int cdm_sys_close(int fd)
{
	return (int)cdm_sys3(SYS_close, fd, 0, 0);
}
static inline ssize_t cdm_sys_read(int fd, void *p, size_t n)
{
	return cdm_sys3(SYS_read, fd, (long)p, (long)n);
}
static inline ssize_t cdm_sys_pread(int fd, void *p, size_t n, off_t off)
{
	return cdm_sys6(SYS_pread64, fd, (long)p, (long)n, off, 0, 0);
}
static inline ssize_t cdm_sys_write(int fd, const void *p, size_t n)
{
	return cdm_sys3(SYS_write, fd, (long)p, (long)n);
}
static inline int cdm_sys_getpid(void)
{
	return (int)cdm_sys3(SYS_getpid, 0, 0, 0);
}
static inline int cdm_sys_gettid(void)
{
	return (int)cdm_sys3(SYS_gettid, 0, 0, 0);
}
static inline void cdm_sys_yield(void)
{
	(void)cdm_sys3(SYS_sched_yield, 0, 0, 0);
}

/* Blocks every signal of the calling thread; *old receives the mask to hand back to cdm_sys_unblock(). */
static inline void cdm_sys_block_all(uint64_t *old)
{
	uint64_t all = ~(uint64_t)0;
	(void)cdm_sys6(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)old, 8, 0, 0);
}
/* The same but for faults of the thread's own making. A thread started meanwhile inherits the mask. */
static inline void cdm_sys_block_sent(uint64_t *old)
{
	uint64_t faults = (uint64_t)1 << (SIGSEGV - 1) | (uint64_t)1 << (SIGBUS - 1) | (uint64_t)1 << (SIGFPE - 1) |
			  (uint64_t)1 << (SIGILL - 1) | (uint64_t)1 << (SIGTRAP - 1);
	uint64_t sent = ~faults;
	(void)cdm_sys6(SYS_rt_sigprocmask, SIG_BLOCK, (long)&sent, (long)old, 8, 0, 0);
}
static inline void cdm_sys_unblock(const uint64_t *old)
{
	(void)cdm_sys6(SYS_rt_sigprocmask, SIG_SETMASK, (long)old, 0, 8, 0, 0);
}

#endif

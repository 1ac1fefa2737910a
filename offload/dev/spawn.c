#include "offload/dev/spawn.h"

#include <errno.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "offload/base/sys.h"

#define STACK (32u << 10)
#define POLL_MS 2

struct helper {
	const char *path;
	char *const *argv, *const *envp;
	int out, limit_ms;
	char *stack; /* of 2 * STACK bytes: the warden's, then the helper's before its exec */
	int result;
};

/* fn(arg) in a new process on a stack of its own; the new process ends with fn's value. Returns as clone(2). */
static long clone_call(long flags, void *stack_top, int (*fn)(void *), void *arg)
{
	long ret;
	register long r10 __asm__("r10") = 0;
	register long r8 __asm__("r8") = 0;
	register int (*r12)(void *) __asm__("r12") = fn;
	register void *r13 __asm__("r13") = arg;

	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "mov %%r13, %%rdi\n\t"
			 "call *%%r12\n\t"
			 "mov %%eax, %%edi\n\t"
			 "mov %[exit], %%eax\n\t"
			 "syscall\n"
			 "1:"
			 : "=a"(ret)
			 : "a"(SYS_clone), "D"(flags), "S"(stack_top), "d"(0), "r"(r10), "r"(r8), "r"(r12),
			   "r"(r13), [exit] "i"(SYS_exit)
			 : "rcx", "r11", "memory");
	return ret;
}

/* As in a fresh process: exec alone would keep what is ignored, and the warden must see its child end. */
static void default_handlers(void)
{
	struct {
		void *handler;
		unsigned long flags;
		void *restorer;
		uint64_t mask;
	} dfl = {0};

	for (int sig = 1; sig <= 64; sig++)
		(void)cdm_sys6(SYS_rt_sigaction, sig, (long)&dfl, 0, 8, 0, 0);
}

__attribute__((no_sanitize("address", "undefined"))) static int helper_main(void *arg)
{
	struct helper *h = arg;
	uint64_t none = 0;

	(void)cdm_sys6(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0, 0);
	cdm_sys_unblock(&none);
	(void)cdm_sys3(SYS_execve, (long)h->path, (long)h->argv, (long)h->envp);
	return 127;
}

/* The warden's descriptor table is its own copy: the program's pipes must not stay open because of it. out may be
 * any number, also one of the three that a program has closed. */
static int take_descriptors(int out)
{
	long r = out == 1 ? cdm_sys3(SYS_fcntl, 1, F_SETFD, 0) : cdm_sys3(SYS_dup3, out, 1, 0);

	if (r < 0)
		return (int)r;
	(void)cdm_sys_close(0);
	(void)cdm_sys_close(2);
	if (cdm_sys_open("/dev/null", O_RDWR, 0) != 0 || cdm_sys3(SYS_dup3, 0, 2, 0) != 2)
		return -EBADF;
	(void)cdm_sys3(SYS_close_range, 3, ~0u, 0);
	return 0;
}

/* The helper's wait status; -ETIMEDOUT once it had to be killed. */
static int await(long pid, int limit_ms)
{
	struct timespec nap = {.tv_nsec = POLL_MS * 1000000};
	int status = 0;

	for (int waited = 0; waited < limit_ms; waited += POLL_MS) {
		long r = cdm_sys6(SYS_wait4, pid, (long)&status, WNOHANG | __WALL, 0, 0, 0);
		if (r == pid)
			return status;
		if (r < 0)
			return (int)r;
		(void)cdm_sys3(SYS_nanosleep, (long)&nap, 0, 0);
	}
	(void)cdm_sys3(SYS_kill, pid, SIGKILL, 0);
	(void)cdm_sys6(SYS_wait4, pid, (long)&status, __WALL, 0, 0, 0);
	return -ETIMEDOUT;
}

__attribute__((no_sanitize("address", "undefined"))) static int warden_main(void *arg)
{
	struct helper *h = arg;

	default_handlers();
	h->result = take_descriptors(h->out);
	if (h->result < 0)
		return 1;
	long pid = clone_call(CLONE_VM | CLONE_VFORK | SIGCHLD, h->stack + 2 * STACK, helper_main, h);
	h->result = pid < 0 ? (int)pid : await(pid, h->limit_ms);
	return 0;
}

int cdm_spawn_quietly(const char *path, char *const *argv, char *const *envp, int out, int limit_ms)
{
	struct helper h = {.path = path, .argv = argv, .envp = envp, .out = out, .limit_ms = limit_ms};
	uint64_t mask;

	h.result = -ECHILD;
	h.stack = cdm_sys_mmap(NULL, 2 * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (cdm_sys_failed(h.stack))
		return -ENOMEM;
	cdm_sys_block_all(&mask);
	long pid = clone_call(CLONE_VM | CLONE_VFORK, h.stack + STACK, warden_main, &h);
	if (pid > 0)
		(void)cdm_sys6(SYS_wait4, pid, 0, __WCLONE, 0, 0, 0);
	cdm_sys_unblock(&mask);
	cdm_sys_munmap(h.stack, 2 * STACK);
	return pid < 0 ? (int)pid : h.result;
}

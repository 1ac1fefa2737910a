#include "offload/base/thread.h"

#include <link.h>
#include <sched.h>
#include <string.h>

#include "offload/base/sys.h"

#define STACK ((size_t)64 << 10)

/* Static thread-local storage lies below the thread pointer, at the same place in each thread. */
struct tls {
	uintptr_t pointer; /* the calling thread's */
	size_t span;       /* bytes below it that are in use */
	char *to;          /* the new thread's pointer; NULL: only measure */
};
#define TLS_MOST ((size_t)1 << 20)
#define TCB CDM_PAGE /* above the pointer: more than libc's header of a thread */

static int tls_visit(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct tls *tls = arg;
	size_t below = tls->pointer - (uintptr_t)info->dlpi_tls_data;

	(void)size;
	if (!info->dlpi_tls_data || below > TLS_MOST) /* none in this thread, or memory of its own */
		return 0;
	if (!tls->to) {
		tls->span = below > tls->span ? below : tls->span;
		return 0;
	}
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		if (p->p_type == PT_TLS && below <= tls->span)
			memcpy(tls->to - below, (void *)(info->dlpi_addr + p->p_vaddr), p->p_filesz);
	}
	return 0;
}

/* As a new thread finds it: initial values, its own address where the ABI wants it, the process's stack guard. */
static void tls_fill(struct tls *tls, char *to)
{
	const uintptr_t *mine = (const uintptr_t *)tls->pointer;
	uintptr_t *tcb = (uintptr_t *)to;

	tls->to = to;
	(void)dl_iterate_phdr(tls_visit, tls);
	tcb[0] = tcb[2] = (uintptr_t)to;
	tcb[5] = mine[5]; /* stack guard */
	tcb[6] = mine[6]; /* pointer guard */
}

/* fn() in a new thread of this process, which then ends. Returns as clone(2). */
static long clone_thread(char *stack_top, char *tls, _Atomic int *tid, void (*fn)(void))
{
	long ret, flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
			  CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
	register _Atomic int *r10 __asm__("r10") = tid;
	register char *r8 __asm__("r8") = tls;
	register void (*r12)(void) __asm__("r12") = fn;

	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "call *%%r12\n\t"
			 "xor %%edi, %%edi\n\t"
			 "mov %[exit], %%eax\n\t"
			 "syscall\n"
			 "1:"
			 : "=a"(ret)
			 : "a"(SYS_clone), "D"(flags), "S"(stack_top), "d"(tid), "r"(r10), "r"(r8),
			   "r"(r12), [exit] "i"(SYS_exit)
			 : "rcx", "r11", "memory");
	return ret;
}

bool cdm_thread_start(struct cdm_thread *t, void (*fn)(void))
{
	struct tls tls = {.pointer = (uintptr_t)__builtin_thread_pointer()};
	uint64_t mask;

	(void)dl_iterate_phdr(tls_visit, &tls);
	tls.span = cdm_round_up(tls.span, CDM_PAGE);
	size_t len = CDM_PAGE + STACK + tls.span + TCB;
	char *p = cdm_sys_mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (cdm_sys_failed(p))
		return false;
	*t = (struct cdm_thread){.memory = p, .len = len};
	char *stack_top = p + CDM_PAGE + STACK;
	(void)cdm_sys_mprotect(p, CDM_PAGE, PROT_NONE);
	tls_fill(&tls, stack_top + tls.span);
	cdm_sys_block_all(&mask);
	long r = clone_thread(stack_top, stack_top + tls.span, &t->tid, fn);
	cdm_sys_unblock(&mask);
	if (r <= 0)
		cdm_thread_forget(t);
	return r > 0;
}

void cdm_thread_forget(struct cdm_thread *t)
{
	if (t->memory)
		cdm_sys_munmap(t->memory, t->len);
	t->memory = NULL;
	atomic_store(&t->tid, 0);
}

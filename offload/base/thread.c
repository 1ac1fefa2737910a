#include "offload/base/thread.h"

#include <link.h>
#include <sched.h>
#include <string.h>

#include "offload/base/sys.h"

#define STACK ((size_t)64 << 10)

/* Static thread-local storage lies below the thread pointer, at the same place in each thread. What the objects of the
 * program's start have there is all that libcdm's threads use; those objects are never unloaded. */
#define PARTS 128
#define TLS_MOST ((size_t)1 << 20)
#define TCB CDM_PAGE /* above the pointer: more than libc's header of a thread */

static struct {
	struct {
		size_t below; /* the thread pointer */
		const void *image;
		size_t len;
	} part[PARTS];
	int parts;
	size_t span; /* bytes below the pointer that are in use */
	bool known;
} tls;

static void tls_part(size_t below, const void *image, size_t len)
{
	if (tls.parts < PARTS) {
		tls.part[tls.parts].below = below;
		tls.part[tls.parts].image = image;
		tls.part[tls.parts].len = len;
	}
	tls.parts++;
	tls.span = below > tls.span ? below : tls.span;
}

static int tls_visit(struct dl_phdr_info *info, size_t size, void *arg)
{
	size_t below = (uintptr_t)__builtin_thread_pointer() - (uintptr_t)info->dlpi_tls_data;

	(void)size;
	(void)arg;
	if (!info->dlpi_tls_data || below > TLS_MOST) /* none in this thread, or memory of its own */
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		if (p->p_type == PT_TLS)
			tls_part(below, (void *)(info->dlpi_addr + p->p_vaddr), p->p_filesz);
	}
	return 0;
}

void cdm_thread_prepare(void)
{
	if (tls.known)
		return;
	(void)dl_iterate_phdr(tls_visit, NULL);
	tls.span = cdm_round_up(tls.span, CDM_PAGE);
	tls.known = true;
}

/* As a new thread finds it: initial values, its own address where the ABI wants it, the process's stack guard. */
static void tls_fill(char *to)
{
	const uintptr_t *mine = __builtin_thread_pointer();
	uintptr_t *tcb = (uintptr_t *)to;

	for (int i = 0; i < tls.parts; i++)
		memcpy(to - tls.part[i].below, tls.part[i].image, tls.part[i].len);
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
	uint64_t mask;

	cdm_thread_prepare(); /* a program of libcdm's own has not */
	if (tls.parts > PARTS)
		return false;
	size_t len = CDM_PAGE + STACK + tls.span + TCB;
	char *p = cdm_sys_mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (cdm_sys_failed(p))
		return false;
	*t = (struct cdm_thread){.memory = p, .len = len};
	char *stack_top = p + CDM_PAGE + STACK;
	(void)cdm_sys_mprotect(p, CDM_PAGE, PROT_NONE);
	tls_fill(stack_top + tls.span);
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

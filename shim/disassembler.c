/* Asking capstone. See disassembler.h. */
#include "shim/disassembler.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "offload/base/arena.h"
#include "offload/base/lock.h"
#include "offload/base/sys.h"
#include "offload/offload.h"

/* ---- the parts of its ABI that are used ------------------------------------------------------------------ */

enum { ARCH_X86 = 3, MODE_64 = 1 << 3, OPT_DETAIL = 2, OPT_MEM = 4, OPT_ON = 3 };

struct memory_functions { /* cs_opt_mem */
	void *(*malloc)(size_t);
	void *(*calloc)(size_t, size_t);
	void *(*realloc)(void *, size_t);
	void (*free)(void *);
	int (*vsnprintf)(char *, size_t, const char *, va_list);
};

static struct {
	unsigned (*version)(int *major, int *minor);
	int (*open)(int arch, int mode, size_t *handle);
	int (*option)(size_t handle, int type, size_t value);
	void *(*insn)(size_t handle); /* cs_malloc */
	bool (*next)(size_t handle, const uint8_t **code, size_t *size, uint64_t *address, void *insn);
} cs;

/* cs_insn and cs_detail of the versions that are known, by the size of cs_insn. */
struct layout {
	size_t size;   /* sizeof(cs_insn) */
	size_t length; /* of the instruction, uint16_t */
	size_t detail; /* pointer to cs_detail */
	size_t x86;    /* cs_x86 in cs_detail */
};
static const struct layout layouts[] = {{240, 16, 232, 80}, {248, 16, 240, 96}}; /* 4.x, 5.x */
/* In cs_x86. The size of a displacement is there too, but 4.x gives 2 for some of 4 bytes. */
enum { X86_MODRM = 10, X86_DISP = 16, X86_MODRM_AT = 456, X86_DISP_AT, X86_USED = 461 };

static size_t handle;
static const struct layout *layout;
static uint8_t *insn;   /* a cs_insn */
static uint8_t *detail; /* its cs_x86 */

bool cdm_disassembler_ask(const uint8_t *code, size_t avail, uint64_t address, struct cdm_answer *a)
{
	uint16_t length;

	if (!cs.next(handle, &code, &avail, &address, insn))
		return false;
	memcpy(&length, insn + layout->length, sizeof(length));
	memcpy(&a->disp, detail + X86_DISP, sizeof(a->disp));
	a->length = length;
	a->modrm = detail[X86_MODRM];
	a->modrm_at = detail[X86_MODRM_AT];
	a->disp_at = detail[X86_DISP_AT];
	return true;
}

/* ---- opening it ---------------------------------------------------------------------------------------- */

/* What it takes to open it comes from the arena; decoding allocates nothing. The program may use the same copy of
 * the library later, hence it has libc's functions back once it is open. */
static struct {
	void *at[2]; /* the last two */
	size_t size[2];
} taken;

static void *take(size_t n)
{
	size_t *p = cdm_arena_alloc(n + 16);

	if (!p)
		return NULL;
	*p = n;
	taken.at[0] = taken.at[1];
	taken.size[0] = taken.size[1];
	taken.at[1] = p + 2;
	taken.size[1] = n;
	return p + 2;
}

static void *take_array(size_t n, size_t each)
{
	size_t bytes;

	return __builtin_mul_overflow(n, each, &bytes) ? NULL : take(bytes);
}

static void *take_again(void *p, size_t n)
{
	void *q = take(n);

	if (p && q)
		memcpy(q, p, n < ((size_t *)p)[-2] ? n : ((size_t *)p)[-2]);
	return q;
}

static void take_back(void *p)
{
	(void)p;
}

static void use_memory(bool own)
{
	struct memory_functions arena = {take, take_array, take_again, take_back, vsnprintf};
	struct memory_functions libc = {malloc, calloc, realloc, free, vsnprintf};

	cs.option(0, OPT_MEM, (size_t)(own ? &arena : &libc));
}

/* Each field in use, in instructions of several encodings: what is not as it should be is another ABI. */
static bool is_known_abi(void)
{
	static const struct {
		uint8_t code[12], length, modrm, modrm_at, disp_at;
		int32_t disp;
	} probe[] = {
		{{0x90}, 1, 0, 0, 0, 0},
		{{0x48, 0x89, 0xe5}, 3, 0xe5, 2, 0, 0},                                       /* mov rbp, rsp */
		{{0x48, 0x8b, 0x05, 0x78, 0x56, 0x34, 0x12}, 7, 0x05, 2, 3, 0x12345678},      /* mov rax, [rip+] */
		{{0x4c, 0x8d, 0x1d, 0xfe, 0xff, 0xff, 0xff}, 7, 0x1d, 2, 3, -2},              /* lea r11, [rip-2] */
		{{0x83, 0x3d, 0x10, 0, 0, 0, 7}, 7, 0x3d, 1, 2, 0x10},                        /* cmp d[rip+], 7 */
		{{0x81, 0x0d, 0x11, 0, 0, 0x80, 1, 2, 3, 4}, 10, 0x0d, 1, 2, -0x7fffffef},    /* or d[rip-], i32 */
		{{0xff, 0x25, 1, 1, 0, 0}, 6, 0x25, 1, 2, 0x101},                             /* jmp [rip+] */
		{{0x66, 0x0f, 0x3a, 0x0f, 0x05, 2, 1, 0, 0, 3}, 10, 0x05, 4, 5, 0x102},       /* palignr */
		{{0xc5, 0xf8, 0x28, 0x05, 3, 0, 0, 0}, 8, 0x05, 3, 4, 3},                     /* vmovaps */
		{{0x62, 0xf1, 0x7c, 0x48, 0x28, 0x0d, 0x40, 1, 0, 0}, 10, 0x0d, 5, 6, 0x140}, /* vmovaps zmm1 */
		{{0x48, 0x8b, 0x44, 0x24, 0xf8}, 5, 0x44, 2, 4, -8},                          /* mov rax, [rsp-8] */
		{{0x8b, 0x80, 0x44, 0x33, 0x22, 0x11}, 6, 0x80, 1, 2, 0x11223344},            /* mov eax, [rax+] */
	};

	for (size_t i = 0; i < sizeof(probe) / sizeof(probe[0]); i++) {
		struct cdm_answer a;

		if (!cdm_disassembler_ask(probe[i].code, sizeof(probe[i].code), 0x400000, &a) ||
		    a.length != probe[i].length || a.modrm != probe[i].modrm || a.modrm_at != probe[i].modrm_at ||
		    a.disp_at != probe[i].disp_at || (a.disp_at && a.disp != probe[i].disp))
			return false;
	}
	return !cdm_disassembler_ask((const uint8_t[]){0x06, 0x06}, 2, 0x400000, &(struct cdm_answer){0});
}

/* Asks for a cs_insn and looks at the pieces of memory that it took: its own, then its cs_detail. */
static bool make_insn(void)
{
	insn = cs.insn(handle);
	layout = NULL;
	for (size_t i = 0; insn && i < sizeof(layouts) / sizeof(layouts[0]); i++)
		if (taken.at[0] == insn && taken.size[0] == layouts[i].size)
			layout = &layouts[i];
	if (!layout || taken.size[1] < layout->x86 + X86_USED)
		return false;
	memcpy(&detail, insn + layout->detail, sizeof(detail));
	if (detail != taken.at[1])
		return false;
	detail += layout->x86;
	return true;
}

static bool start(void)
{
	bool good;

	use_memory(true);
	good = cs.open(ARCH_X86, MODE_64, &handle) == 0 && cs.option(handle, OPT_DETAIL, OPT_ON) == 0 && make_insn() &&
	       is_known_abi();
	use_memory(false);
	return good;
}

static bool find_functions(void *library)
{
	*(void **)&cs.version = dlsym(library, "cs_version");
	*(void **)&cs.open = dlsym(library, "cs_open");
	*(void **)&cs.option = dlsym(library, "cs_option");
	*(void **)&cs.insn = dlsym(library, "cs_malloc");
	*(void **)&cs.next = dlsym(library, "cs_disasm_iter");
	return cs.version && cs.open && cs.option && cs.insn && cs.next;
}

/* Whether the program has it already: its allocator must not change then. */
static bool is_in_use(const char *name)
{
	void *library = dlopen(name, RTLD_NOLOAD | RTLD_LAZY);
	int (*next)(void *) = (int (*)(void *))dlsym(RTLD_NEXT, "dlclose"); /* libc's own: libcdm has one too */

	if (library && next)
		(void)next(library);
	return library;
}

/* 0 or an errno, not negative. The caller is the only one to run it. */
static int open_library(void)
{
	static const char *const names[] = {"libcapstone.so.4", "libcapstone.so.5", "libcapstone.so"};
	void *library = NULL;
	int major = 0, minor = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (is_in_use(names[i]))
			return EBUSY;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !library; i++)
		library = dlopen(names[i], RTLD_LOCAL | RTLD_NOW);
	if (!library)
		return ENOENT;
	if (!find_functions(library))
		return ENOTSUP;
	cs.version(&major, &minor);
	if (major < 4 || major > 5)
		return ENOTSUP;
	return start() ? 0 : ENOTSUP;
}

enum { CLOSED = 0, OPENING = -1, OPEN = -2 }; /* or the errno of a failure */
static _Atomic int state;

static int answer_of(int seen, const char **why)
{
	switch (seen) {
	case OPEN:
		return 0;
	case ENOENT:
		*why = "capstone is not installed";
		break;
	case EBUSY:
		*why = "the program uses capstone itself";
		break;
	case OPENING:
		*why = "capstone is being opened by another thread";
		return -EAGAIN;
	default:
		*why = "this version of capstone is not known";
		break;
	}
	return -seen;
}

int cdm_disassembler_open(const char **why)
{
	int seen = CLOSED, saved = errno;

	if (atomic_compare_exchange_strong(&state, &seen, OPENING)) {
		cdm_inside++;
		int failed = open_library();
		cdm_inside--;
		(void)dlerror(); /* the program's next dlerror() is not about this */
		seen = failed ? failed : OPEN;
		atomic_store(&state, seen);
	}
	/* Not for long: the thread that opens it may need the loader's lock, which this one may hold. */
	for (int i = 0; seen == OPENING && i < 100; i++) {
		cdm_futex_wait_ms(&state, OPENING, 1);
		seen = atomic_load(&state);
	}
	errno = saved;
	return answer_of(seen, why);
}

void cdm_disassembler_after_fork(void)
{
	if (atomic_load(&state) == OPENING) /* and its thread is not here */
		atomic_store(&state, ENOTSUP);
}

/* Patching: one function at a time, under load, and every entry point of the BLAS libraries of this machine.
 *
 * limit: 180 */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <sys/prctl.h>

#include "shim/decode.h"
#include "tests/patch/enter.h"
#include "tests/patch/survey.h"

#define CODE(name, text)                                                                                               \
	__asm__(".text\n.p2align 6\n" #name ":\n" text "\n.size " #name ", . - " #name "\n.type " #name                \
		", @function\n"                                                                                        \
		".p2align 4, 0xcc\n");                                                                                 \
	int name(int)

/* Several instructions, one in an aligned word, one that is not. */
CODE(twice, "push %rbx\n mov %edi, %ebx\n lea (%rbx,%rbx), %eax\n pop %rbx\n ret");
CODE(plus7_single, ".byte 0x8d, 0x84, 0x27, 7, 0, 0, 0\n ret"); /* lea 7(%rdi), %eax in 7 bytes */
CODE(plus9_endbr, "endbr64\n .byte 0x8d, 0x84, 0x27, 9, 0, 0, 0\n ret");
CODE(hundred, "mov $100, %eax\n ret");
CODE(hundred_more, "lea 100(%rdi), %eax\n ret");
CODE(hundred_other, "lea 200(%rdi), %eax\n ret");

static void require_capstone(void)
{
	const char *why;

	if (cdm_decode_open(&why) == -ENOENT)
		cr_skip_test("%s", why);
}

static int (*volatile call)(int);

static int value(int (*fn)(int), int of)
{
	call = fn;
	return call(of);
}

typedef int function(int);

static function *install(function *fn, size_t size, function *target)
{
	void *original = NULL;
	const char *why = "";
	int err = cdm_patch_install((void *)fn, size, (void *)target, &original, &why);

	cr_assert_eq(err, 0, "%s", why);
	cr_assert_eq(cdm_patch_original((void *)fn), original);
	return (function *)original;
}

static void refused(void *fn, size_t size, int err, const char *because)
{
	void *original = &original;
	const char *why = "";

	cr_expect_eq(cdm_patch_install(fn, size, (void *)hundred, &original, &why), -err, "%s", why);
	cr_expect_str_eq(why, because, "%s", why);
	cr_expect_eq(original, (void *)&original);
	cr_expect_eq(cdm_patch_original(fn), fn);
}

/* The protection of an address. */
static void protection(const void *at, char out[5])
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned long lo, hi;
	char line[512];

	strcpy(out, "");
	while (fgets(line, sizeof(line), f)) {
		char prot[5];
		if (sscanf(line, "%lx-%lx %4s", &lo, &hi, prot) == 3 && (uintptr_t)at >= lo && (uintptr_t)at < hi)
			strcpy(out, prot);
	}
	fclose(f);
}

/* No mapping of the process is writable and executable. */
static int count_writable_code(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[512];
	int n = 0;

	while (fgets(line, sizeof(line), f))
		n += strstr(line, " rwx") != NULL;
	fclose(f);
	return n;
}

/* ---- one function --------------------------------------------------------------------------------------- */

Test(patch, install_and_remove)
{
	uint8_t before[16];
	char prot[5];

	require_capstone();
	cdm_patch_quiet(true);
	memcpy(before, (void *)twice, 16);
	cr_assert_eq(cdm_patch_original((void *)twice), (void *)twice);
	function *original = install(twice, 0, hundred);
	cr_assert_eq(value(twice, 4), 100);
	cr_assert_eq(value(original, 4), 8);
	protection((void *)twice, prot);
	cr_assert_str_eq(prot, "r-xp");
	protection((void *)original, prot);
	cr_assert_str_eq(prot, "r-xp");
	cr_assert_eq(count_writable_code(), 0);

	cr_assert_eq(install(twice, 0, hundred), original);
	const char *why = "";
	void *none = NULL;
	cr_assert_eq(cdm_patch_install((void *)twice, 0, (void *)hundred_more, &none, &why), -EBUSY);
	cr_assert_str_eq(why, "it is patched already");

	cr_assert_eq(cdm_patch_remove((void *)twice), 0);
	cr_assert_arr_eq((void *)twice, before, 16);
	cr_assert_eq(cdm_patch_original((void *)twice), (void *)twice);
	cr_assert_eq(value(twice, 4), 8);
	cr_assert_eq(value(original, 4), 8); /* a pointer that somebody kept */
	cr_assert_eq(cdm_patch_remove((void *)twice), 0);

	cr_assert_eq(install(twice, 0, hundred_more), original);
	cr_assert_eq(value(twice, 4), 104);
	cr_assert_eq(count_writable_code(), 0);
}

Test(patch, many_in_one_page)
{
	function *fn[] = {twice, plus7_single, plus9_endbr, hundred_other};
	int plain[] = {6, 10, 12, 203};
	function *original[4];

	require_capstone();
	cdm_patch_quiet(true);
	for (int i = 0; i < 4; i++)
		original[i] = install(fn[i], 0, hundred_more);
	for (int i = 0; i < 4; i++) {
		cr_assert_eq(value(fn[i], 3), 103);
		cr_assert_eq(value(original[i], 3), plain[i], "%d", i);
		cr_assert_eq((uintptr_t)original[i] / 4096, (uintptr_t)original[0] / 4096);
	}
}

/* ---- what the target receives ------------------------------------------------------------------------------ */

static struct registers seen __attribute__((used));
static uint64_t seen_return __attribute__((used));

/* Stores all registers, without a change of any, then goes on at the original. */
void observe(void);
static void *observed_original __attribute__((used));
__asm__(".text\nobserve:\n"
	"	mov %rax, seen+0(%rip)\n mov %rcx, seen+8(%rip)\n mov %rdx, seen+16(%rip)\n mov %rbx, seen+24(%rip)\n"
	"	mov %rsp, seen+32(%rip)\n mov %rbp, seen+40(%rip)\n mov %rsi, seen+48(%rip)\n mov %rdi, seen+56(%rip)\n"
	"	mov %r8, seen+64(%rip)\n mov %r9, seen+72(%rip)\n mov %r10, seen+80(%rip)\n mov %r11, seen+88(%rip)\n"
	"	mov %r12, seen+96(%rip)\n mov %r13, seen+104(%rip)\n mov %r14, seen+112(%rip)\n"
	"	mov %r15, seen+120(%rip)\n"
	"	movdqu %xmm0, seen+136(%rip)\n movdqu %xmm1, seen+152(%rip)\n"
	"	pushfq\n popq seen+128(%rip)\n"
	"	push (%rsp)\n popq seen_return(%rip)\n"
	"	jmp *observed_original(%rip)\n");

CODE(plain_return, "nopw 0(%rax,%rax)\n ret");

Test(patch, registers)
{
	struct registers with, unpatched, r;

	require_capstone();
	cdm_patch_quiet(true);
	for (int i = 0; i < 16; i++)
		with.gpr[i] = 0x1111111111111111u * (unsigned)i + 5;
	with.flags = 0x8c5 | 0x202;
	memset(with.xmm, 0x5a, sizeof(with.xmm));
	unpatched = with;
	enter_with(&unpatched, (void *)plain_return);
	observed_original = (void *)install(plain_return, 0, (function *)observe);
	r = with;
	enter_with(&r, (void *)plain_return);
	cr_assert_eq(memcmp(&r, &unpatched, sizeof(r)), 0);
	for (int i = 0; i < 16; i++)
		if (i != RSP && i != R15)
			cr_expect_eq(seen.gpr[i], with.gpr[i], "register %d", i);
	cr_expect_eq(seen.gpr[RSP], seen.gpr[R15]); /* entered with the caller's stack */
	cr_expect_eq(seen.flags & FLAGS, with.flags & FLAGS);
	cr_expect_eq(memcmp(seen.xmm, with.xmm, sizeof(with.xmm)), 0);
	cr_expect(seen_return > (uintptr_t)enter_with && seen_return < (uintptr_t)enter_with + 300);
}

/* ---- refused ------------------------------------------------------------------------------------------------ */

struct resolver {
	const void *found;
};

static int find_resolver(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct resolver *f = arg;
	struct cdm_elf_place place;

	(void)size;
	if (!info->dlpi_name || !strstr(info->dlpi_name, "libc.so"))
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uintptr_t at = info->dlpi_addr + p->p_vaddr, end = at + p->p_memsz;

		if (p->p_type != PT_LOAD || !(p->p_flags & PF_X))
			continue;
		for (; at < end && cdm_elf_at(at, &place); at = place.next)
			if (place.indirect)
				f->found = (const void *)at;
	}
	return 1;
}

static char no_code[64];

Test(patch, refusals)
{
	struct resolver f = {0};
	size_t page = 4096;
	uint8_t *p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	require_capstone();
	cdm_patch_quiet(true);
	refused(NULL, 0, EFAULT, "nothing is mapped there");
	refused(no_code, 0, EACCES, "it is not in readable code");
	memset(p, 0x90, page);
	mprotect(p, page, PROT_READ | PROT_EXEC);
	refused(p, 64, EACCES, "its text is shared with other processes");
	refused(p, 2 * page, EACCES, "its text is shared with other processes");
	refused((void *)twice, 1 << 30, EINVAL, "it is larger than its mapping");
	refused((void *)twice, 3, ENOSPC, "the function is too short");
	dl_iterate_phdr(find_resolver, &f);
	cr_assert(f.found, "no indirect function found in libc");
	refused((void *)f.found, 0, ENOTSUP, "it is an indirect function");
}

Test(patch, no_writable_code)
{
	require_capstone();
	cdm_patch_quiet(true);
	if (prctl(65 /* PR_SET_MDWE */, 1UL, 0UL, 0UL, 0UL))
		cr_skip_test("the kernel has no PR_SET_MDWE");
	void *original = NULL;
	const char *why = "";
	int err = cdm_patch_install((void *)twice, 0, (void *)hundred, &original, &why);
	cr_assert_lt(err, 0);
	printf("  under PR_SET_MDWE: %s\n", why);
	cr_assert_eq(value(twice, 4), 8);
	cr_assert_eq(cdm_patch_original((void *)twice), (void *)twice);
}

/* ---- libraries that go -------------------------------------------------------------------------------------- */

static function *map_function(void *at, const char *code, size_t n)
{
	uint8_t *p = mmap(at, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | (at ? MAP_FIXED : 0), -1, 0);

	memset(p, 0xcc, 4096);
	memcpy(p, code, n);
	mprotect(p, 4096, PROT_READ | PROT_EXEC);
	return (function *)p;
}

#define PLUS3 "\x8d\x84\x27\x03\0\0\0\xc3" /* lea 3(%rdi), %eax; ret */
#define PLUS4 "\x8d\x84\x27\x04\0\0\0\xc3"

Test(patch, forget)
{
	require_capstone();
	cdm_patch_quiet(true);
	function *fn = map_function(NULL, PLUS3, 8);
	function *original = install(fn, 8, hundred_more);

	cr_assert_eq(value(original, 1), 4);
	cr_assert_eq(value(fn, 1), 101);
	for (int i = 0; i < 100; i++) {
		munmap((void *)fn, 4096);
		cdm_patch_forget((uintptr_t)fn, (uintptr_t)fn + 4096);
		cr_assert_eq(cdm_patch_original((void *)fn), (void *)fn);
		cr_assert_eq(cdm_patch_remove((void *)fn), 0);
		map_function((void *)fn, i % 2 ? PLUS3 : PLUS4, 8);
		cr_assert_eq(value(fn, 1), i % 2 ? 4 : 5);
		cr_assert_eq(install(fn, 8, hundred_more), original); /* the same memory */
		cr_assert_eq(value(fn, 1), 101);
		cr_assert_eq(value(original, 1), i % 2 ? 4 : 5);
	}
}

Test(patch, unmapped_without_a_word)
{
	require_capstone();
	cdm_patch_quiet(true);
	function *fn = map_function(NULL, PLUS3, 8);
	install(fn, 8, hundred_more);
	munmap((void *)fn, 4096);
	cr_assert_eq(cdm_patch_remove((void *)fn), 0);

	map_function((void *)fn, PLUS3, 8);
	install(fn, 8, hundred_more);
	map_function((void *)fn, PLUS4, 8); /* another library there */
	cr_assert_eq(cdm_patch_remove((void *)fn), 0);
	cr_assert_eq(value(fn, 1), 5);

	install(fn, 8, hundred_more);
	map_function((void *)fn, PLUS3, 8);
	function *original = install(fn, 8, hundred_other);
	cr_assert_eq(value(fn, 1), 201);
	cr_assert_eq(value(original, 1), 4);
}

/* ---- under load ----------------------------------------------------------------------------------------------- */

static _Atomic int stop, wrong, plain_calls, patched_calls;
static function *loaded;
static int plain_value;

static void *load(void *arg)
{
	(void)arg;
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		int v = loaded(1);

		if (v == plain_value)
			atomic_fetch_add_explicit(&plain_calls, 1, memory_order_relaxed);
		else if (v == 101 || v == 201)
			atomic_fetch_add_explicit(&patched_calls, 1, memory_order_relaxed);
		else
			wrong = v;
	}
	return NULL;
}

#define THREADS 3

static void start_load(pthread_t *t, function *fn)
{
	loaded = fn;
	plain_value = fn(1);
	stop = wrong = plain_calls = patched_calls = 0;
	for (int i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&t[i], NULL, load, NULL), 0);
	while (!plain_calls)
		sched_yield();
}

static void stop_load(pthread_t *t)
{
	stop = 1;
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	printf("  under load: %d plain calls, %d patched\n", plain_calls, patched_calls);
	cr_assert_eq(wrong, 0, "%d", wrong);
	cr_assert(patched_calls > 0 && plain_calls > 0);
}

/* One instruction in one word: the bytes go back and forth. */
Test(patch, under_load, .timeout = 60)
{
	pthread_t t[THREADS];
	uint8_t before[8];

	require_capstone();
	memcpy(before, (void *)plus7_single, 8);
	start_load(t, plus7_single);
	for (int i = 0; i < 1500; i++) {
		function *original = install(plus7_single, 0, i % 2 ? hundred_more : hundred_other);
		cr_assert_eq(plus7_single(1), i % 2 ? 101 : 201);
		cr_assert_eq(original(1), 8);
		cr_assert_eq(cdm_patch_remove((void *)plus7_single), 0);
		cr_assert_eq(plus7_single(1), 8);
		cr_assert_arr_eq((void *)plus7_single, before, 8);
	}
	stop_load(t);
}

/* More than one instruction, or across words: refused; once patched, the stub turns. */
Test(patch, turned_under_load, .timeout = 60)
{
	pthread_t t[THREADS];
	function *fn[] = {twice, plus9_endbr};

	require_capstone();
	for (int k = 0; k < 2; k++) {
		start_load(t, fn[k]);
		refused((void *)fn[k], 0, EBUSY, "threads may be running in it");
		stop = 1;
		for (int i = 0; i < THREADS; i++)
			pthread_join(t[i], NULL);

		int plain = fn[k](1);
		bool before = cdm_patch_quiet(true);
		function *original = install(fn[k], 0, hundred_more);
		cr_assert_eq(before, false);
		cr_assert_eq(cdm_patch_quiet(false), true);
		loaded = original;
		start_load(t, original);
		loaded = fn[k];
		for (int i = 0; i < 1500; i++) {
			cr_assert_eq(cdm_patch_remove((void *)fn[k]), 0);
			cr_assert_eq(fn[k](1), plain);
			cr_assert_eq(cdm_patch_original((void *)fn[k]), (void *)fn[k]);
			cr_assert_eq(install(fn[k], 0, i % 2 ? hundred_more : hundred_other), original);
			cr_assert_eq(fn[k](1), i % 2 ? 101 : 201);
		}
		stop_load(t);
		cdm_patch_quiet(true);
		cr_assert_eq(cdm_patch_remove((void *)fn[k]), 0);
		cdm_patch_quiet(false);
	}
}

/* Slots are added to a page that threads execute. */
Test(patch, neighbours_under_load, .timeout = 60)
{
	pthread_t t[THREADS];

	require_capstone();
	cdm_patch_quiet(true);
	install(twice, 0, hundred_more);
	start_load(t, (function *)cdm_patch_original((void *)twice));
	loaded = twice;
	for (int i = 0; i < 1000; i++) {
		install(hundred_other, 0, hundred_more);
		cr_assert_eq(hundred_other(1), 101);
		cdm_patch_remove((void *)hundred_other);
		cr_assert_eq(hundred_other(1), 201);
	}
	stop_load(t);
}

/* A process with one thread needs no promise. */
static int in_child(void)
{
	uint8_t before[16];
	void *original;
	const char *why;

	memcpy(before, (void *)twice, 16);
	if (cdm_patch_install((void *)twice, 0, (void *)hundred, &original, &why))
		return 1;
	if (value(twice, 4) != 100 || value((function *)original, 4) != 8)
		return 2;
	if (cdm_patch_remove((void *)twice) || memcmp(before, (void *)twice, 16) != 0)
		return 3;
	return 0;
}

Test(patch, fork_child)
{
	int status;

	require_capstone();
	cdm_patch_quiet(false);
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		cdm_patch_after_fork();
		_exit(in_child());
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0, "%x", status);
}

/* ---- symbols -------------------------------------------------------------------------------------------------- */

static int found_local, found_dynamic, found_same, found_other;

static int see_symbol(const char *name, void *addr, size_t size, bool dynamic, void *arg)
{
	void *library = arg;

	if (!dynamic && strcmp(name, "count_writable_code") == 0)
		found_local += addr == (void *)count_writable_code && size > 16;
	if (dynamic && library && dlsym(library, name) == addr)
		found_same++;
	else if (dynamic)
		found_other++;
	found_dynamic += dynamic;
	return 0;
}

static int see_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	static int nth;

	(void)size;
	(void)arg;
	if (nth++ == 0) { /* the program */
		cr_expect_eq(cdm_elf_each(info, NULL, true, see_symbol, NULL), 0);
		cr_expect_eq(found_local, 1);
		cr_expect_eq(cdm_elf_each(info, "/nonexistent", true, see_symbol, NULL), -ENOENT);
		cr_expect_eq(cdm_elf_each(info, "/etc/passwd", true, see_symbol, NULL), -ENOEXEC);
		cr_expect_eq(cdm_elf_each(info, "/dev/null", true, see_symbol, NULL), -ENOEXEC);
		cr_expect_not(cdm_elf_symbolic(info));
	}
	if (info->dlpi_name && strstr(info->dlpi_name, "libm.so")) {
		cr_expect_eq(cdm_elf_each(info, "/proc/self/exe", true, see_symbol, NULL), -ESTALE);
		void *libm = dlopen(info->dlpi_name, RTLD_NOLOAD | RTLD_LAZY);
		found_same = found_other = 0;
		cr_expect_eq(cdm_elf_each(info, info->dlpi_name, false, see_symbol, libm), 0);
		printf("  libm: %d symbols as dlsym() gives them, %d others\n", found_same, found_other);
		cr_expect(found_same > 100 && found_same > 5 * found_other);
	}
	return 0;
}

static int end_walk(const char *name, void *addr, size_t size, bool dynamic, void *arg)
{
	(void)name;
	(void)addr;
	(void)size;
	(void)dynamic;
	(*(int *)arg)++;
	return 42;
}

static int end_early(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	return cdm_elf_each(info, NULL, true, end_walk, arg);
}

Test(elf, symbols)
{
	int calls = 0;

	dl_iterate_phdr(see_object, NULL);
	cr_assert_eq(dl_iterate_phdr(end_early, &calls), 42);
	cr_assert_eq(calls, 1);
}

Test(elf, at)
{
	struct cdm_elf_place place;
	void *libm = dlopen("libm.so.6", RTLD_LAZY);
	uintptr_t frexp = libm ? (uintptr_t)dlsym(libm, "frexp") : 0;

	cr_assert(frexp);
	cr_assert(cdm_elf_at(frexp, &place));
	cr_assert(place.size > 0 && place.next >= frexp + place.size && !place.indirect);
	cr_assert_not(cdm_elf_at(16, &place));
	cr_assert(place.size == 0 && place.next == UINTPTR_MAX);
}

Test(elf, symbolic)
{
	ElfW(Dyn) dynamic[] = {{DT_SYMBOLIC, {0}}, {DT_NULL, {0}}};
	ElfW(Phdr) phdr = {.p_type = PT_DYNAMIC, .p_vaddr = (uintptr_t)dynamic, .p_memsz = sizeof(dynamic)};
	struct dl_phdr_info info = {.dlpi_phdr = &phdr, .dlpi_phnum = 1};

	cr_assert(cdm_elf_symbolic(&info));
	dynamic[0] = (ElfW(Dyn)){DT_FLAGS, {DF_SYMBOLIC | DF_BIND_NOW}};
	cr_assert(cdm_elf_symbolic(&info));
	dynamic[0] = (ElfW(Dyn)){DT_FLAGS, {DF_BIND_NOW}};
	cr_assert_not(cdm_elf_symbolic(&info));
}

/* ---- every entry point of what is here ------------------------------------------------------------------------ */

static void survey_library(const char *path, const char *symbol)
{
	void *library, *fn;

	require_capstone();
	setenv("OPENBLAS_NUM_THREADS", "1", 1);
	library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	fn = library ? dlsym(library, symbol) : NULL;
	if (!fn)
		cr_skip_test("no %s", path);
	cr_assert_eq(survey_run(survey_new(fn, true), path, library), 0);
}

/* CDM_TEST_NETLIB as in test_blas_args.c. */
static const char *netlib(const char *env, const char *debian)
{
	return getenv(env) ? getenv(env) : debian;
}

Test(survey, openblas, .timeout = 120)
{
	survey_library("libopenblas.so.0", "ddot_");
}

Test(survey, blis, .timeout = 120)
{
	survey_library("libblis.so.4", "ddot_");
}

Test(survey, netlib_blas, .timeout = 120)
{
	survey_library(netlib("CDM_TEST_NETLIB", "/usr/lib/x86_64-linux-gnu/blas/libblas.so.3"), "ddot_");
}

Test(survey, netlib_lapack, .timeout = 120)
{
	survey_library(netlib("CDM_TEST_LAPACK", "/usr/lib/x86_64-linux-gnu/lapack/liblapack.so.3"), "dgetrf_");
}

static void survey_program(const char *name)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 64);

	cr_assert_gt(n, 0);
	path[n] = 0;
	*strrchr(path, '/') = 0;
	strcat(strcat(path, "/../patch/"), name);
	if (access(path, X_OK))
		cr_skip_test("%s is not built: no libblas.a and liblapack.a", name);
	int status = system(path);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		cr_skip_test("capstone is not installed");
	cr_assert_eq(status, 0, "%x", status);
}

Test(survey, static_pie, .timeout = 120)
{
	survey_program("static_pie");
}

Test(survey, static_fixed, .timeout = 120)
{
	survey_program("static_fixed");
}

/* Every BLAS and LAPACK entry point of a loaded object: patched, called, and unpatched.
 *
 * Each is called in child processes with arguments that make nearly all of them return at once (sizes 0), first as it
 * is, then patched with a thunk that counts and goes on to the original. What it leaves behind must be the same:
 * result registers, its arguments' memory, its exit or signal. */
#ifndef CDM_TESTS_PATCH_SURVEY_H
#define CDM_TESTS_PATCH_SURVEY_H

#include <dlfcn.h>
#include <link.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/elf.h"
#include "shim/patch.h"

#define SURVEY_MAX 16384
#define SURVEY_MEMORY 65536
#define SURVEY_AROUND ((size_t)128 << 20)

struct survey_entry {
	char name[48];
	uint8_t *addr;
	size_t size;
	void *original;
	const char *why;
	uint8_t before[16];
};

struct survey_outcome {
	int status; /* of the process, -1: it returned */
	uint64_t rax, hash;
	double xmm0;
};

struct survey {
	int count, patched, refused, called, different;
	void *silence[8]; /* xerbla_ and its like: they return, an error ends nothing */
	int silenced;
	struct survey_entry entry[SURVEY_MAX];
	struct survey_outcome *outcome[2];
	char *memory; /* the arguments: at the same address in all children */
	_Atomic int *progress;
	uint8_t *thunks;     /* 16 bytes each */
	void **originals;    /* read by the thunks */
	_Atomic int *counts; /* written by them */
};

/* ---- which ---------------------------------------------------------------------------------------------- */

static inline bool survey_is_wanted(const char *name)
{
	size_t len = strlen(name);

	if (len >= 40 || strstr(name, "second") || strstr(name, "secnd") || strstr(name, "xerbla"))
		return false;
	if (strncmp(name, "cblas_", 6) == 0 || strncmp(name, "LAPACKE_", 8) == 0)
		return true;
	return len > 3 && name[len - 1] == '_' && name[0] != '_' && name[len - 2] != '_';
}

static inline bool survey_is_error(const char *name)
{
	return strcmp(name, "xerbla_") == 0 || strcmp(name, "cblas_xerbla") == 0 || strcmp(name, "LAPACKE_xerbla") == 0;
}

static inline int survey_add(const char *name, void *addr, size_t size, bool dynamic, void *arg)
{
	struct survey *s = arg;

	(void)dynamic;
	if (survey_is_error(name) && s->silenced < 8)
		s->silence[s->silenced++] = addr;
	if (!survey_is_wanted(name) || s->count == SURVEY_MAX)
		return 0;
	for (int i = 0; i < s->count; i++)
		if (s->entry[i].addr == addr)
			return 0;
	struct survey_entry *e = &s->entry[s->count++];
	snprintf(e->name, sizeof(e->name), "%s", name);
	e->addr = addr;
	e->size = size;
	memcpy(e->before, addr, sizeof(e->before));
	return 0;
}

struct survey_find {
	uintptr_t at;
	bool file;
	struct survey *s;
};

static inline int survey_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct survey_find *f = arg;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		if (p->p_type == PT_LOAD && f->at - (info->dlpi_addr + p->p_vaddr) < p->p_memsz) {
			cdm_elf_each(info, NULL, f->file, survey_add, f->s);
			return 1;
		}
	}
	return 0;
}

/* The entries of the object at an address; file: those of its .symtab too. */
static inline struct survey *survey_new(const void *at, bool file)
{
	struct survey *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct survey_find f = {(uintptr_t)at, file, s};
	size_t n = SURVEY_MAX;
	char *shared;

	/* What lies around the arguments is the same in both phases: nothing. */
	s->memory = mmap(NULL, SURVEY_AROUND * 2, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	s->memory += SURVEY_AROUND;
	mprotect(s->memory, SURVEY_MEMORY, PROT_READ | PROT_WRITE);
	dl_iterate_phdr(survey_object, &f);
	shared = mmap(NULL, n * 2 * sizeof(struct survey_outcome) + n * 32, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	s->outcome[0] = (struct survey_outcome *)shared;
	s->outcome[1] = s->outcome[0] + n;
	s->originals = (void **)(s->outcome[1] + n);
	s->counts = (_Atomic int *)(s->originals + n);
	s->progress = s->counts + n;
	return s;
}

/* ---- calling them --------------------------------------------------------------------------------------- */

typedef uint64_t survey_fn(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
			   uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
			   uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
			   uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);

/* Some read a variable on their stack before they set it. */
static __attribute__((noinline, unused)) void survey_clean_stack(void)
{
	char below[32768];

	memset(below, 0, sizeof(below));
	__asm__ volatile("" ::"r"(below) : "memory");
}

static inline void survey_call(struct survey *s, int i, int phase, char *memory)
{
	struct survey_entry *e = &s->entry[i];
	struct survey_outcome *o = &s->outcome[phase][i];
	bool by_value = strncmp(e->name, "cblas_", 6) == 0 || strncmp(e->name, "LAPACKE_", 8) == 0;
	uint64_t m = by_value ? 0 : (uint64_t)(uintptr_t)memory, rax;
	double xmm0 = 0;

	memset(memory, 0, SURVEY_MEMORY);
	o->status = -2;
	alarm(3);
	survey_clean_stack();
	/* 26 pointers, and hidden lengths of strings behind them in the longest lists. */
	__asm__ volatile("pxor %%xmm0, %%xmm0\n pxor %%xmm1, %%xmm1" ::: "xmm0", "xmm1");
	rax = ((survey_fn *)(void *)e->addr)(m, m, m, m, m, m, m, m, m, m, m, m, m, m, m, m, m, m, m, m, m, m, m, m, m,
					     m, 0, 0, 0, 0, 0, 0);
	__asm__ volatile("movsd %%xmm0, %0" : "=m"(xmm0));
	alarm(0);
	o->rax = rax;
	o->xmm0 = xmm0;
	o->hash = 14695981039346656037u;
	for (int k = 0; k < SURVEY_MEMORY; k += 8) {
		uint64_t v;
		memcpy(&v, memory + k, 8);
		o->hash = (o->hash ^ v) * 1099511628211u;
	}
	o->status = -1;
}

static inline void survey_child(struct survey *s, int from, int phase)
{
	if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))
		_exit(98);
	signal(SIGSEGV, SIG_DFL);
	signal(SIGABRT, SIG_DFL);
	for (int i = from; i < s->count; i++) {
		atomic_store(s->progress, i);
		survey_call(s, i, phase, s->memory);
	}
	_exit(97);
}

/* Goes on behind each one that ends its process. */
static inline void survey_call_all(struct survey *s, int phase)
{
	for (int from = 0; from < s->count;) {
		int status;
		fflush(NULL);
		pid_t pid = fork();

		if (pid == 0)
			survey_child(s, from, phase);
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			abort();
		if (WIFEXITED(status) && WEXITSTATUS(status) == 97)
			return;
		from = atomic_load(s->progress);
		s->outcome[phase][from++].status = status;
	}
}

/* ---- patching them -------------------------------------------------------------------------------------- */

static inline void survey_make_thunks(struct survey *s)
{
	size_t bytes = (size_t)SURVEY_MAX * 16;

	s->thunks = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < s->count; i++) {
		uint8_t *t = s->thunks + 16 * i;
		int64_t count = (uint8_t *)&s->counts[i] - (t + 7), original = (uint8_t *)&s->originals[i] - (t + 13);

		if (count != (int32_t)count || original != (int32_t)original)
			abort();
		memcpy(t, "\xf0\xff\x05", 3); /* lock incl count(%rip) */
		memcpy(t + 3, &(int32_t){(int32_t)count}, 4);
		memcpy(t + 7, "\xff\x25", 2); /* jmp *original(%rip) */
		memcpy(t + 9, &(int32_t){(int32_t)original}, 4);
	}
	mprotect(s->thunks, bytes, PROT_READ | PROT_EXEC);
}

static inline void survey_patch(struct survey *s)
{
	survey_make_thunks(s);
	for (int i = 0; i < s->count; i++) {
		struct survey_entry *e = &s->entry[i];

		if (cdm_patch_install(e->addr, e->size, s->thunks + 16 * i, &s->originals[i], &e->why) == 0) {
			e->original = s->originals[i];
			e->why = NULL;
			s->patched++;
			continue;
		}
		s->refused++;
		printf("  refused: %-24s %s\n", e->name, e->why);
	}
}

static inline void survey_compare(struct survey *s, const char *title)
{
	int same = 0, ended = 0;

	for (int i = 0; i < s->count; i++) {
		struct survey_outcome *a = &s->outcome[0][i], *b = &s->outcome[1][i];
		struct survey_entry *e = &s->entry[i];
		bool reached = !e->original || atomic_load(&s->counts[i]) > 0;

		ended += a->status != -1;
		s->called += e->original && atomic_load(&s->counts[i]) > 0;
		if (a->status == b->status && reached &&
		    (a->status != -1 ||
		     (a->rax == b->rax && a->hash == b->hash && memcmp(&a->xmm0, &b->xmm0, 8) == 0))) {
			same++;
			continue;
		}
		s->different++;
		printf("  different: %s: status %x %x, rax %lx %lx, xmm0 %g %g, memory %lx %lx%s\n", e->name, a->status,
		       b->status, a->rax, b->rax, a->xmm0, b->xmm0, a->hash, b->hash, reached ? "" : ", not reached");
	}
	printf("%s: %d entry points: %d patched, %d refused; %d called through a patch, %d with the same outcome (%d "
	       "of "
	       "them end the process), %d different\n",
	       title, s->count, s->patched, s->refused, s->called, same, ended, s->different);
}

/* How many have other bytes now than they had. */
static inline int survey_unpatch(struct survey *s)
{
	int changed = 0;

	for (int i = 0; i < s->count; i++)
		cdm_patch_remove(s->entry[i].addr);
	for (int i = 0; i < s->count; i++)
		changed += memcmp(s->entry[i].before, s->entry[i].addr, 16) != 0;
	return changed;
}

static inline void survey_quiet_xerbla(void) {}

/* library: where the object's own are not found. */
static inline void survey_silence(struct survey *s, void *library)
{
	static const char *const names[] = {"xerbla_", "cblas_xerbla"};
	void *original;
	const char *why;

	for (int i = 0; i < s->silenced; i++)
		cdm_patch_install(s->silence[i], 0, (void *)survey_quiet_xerbla, &original, &why);
	for (int i = 0; library && i < 2; i++) {
		void *fn = dlsym(library, names[i]);
		if (fn)
			cdm_patch_install(fn, 0, (void *)survey_quiet_xerbla, &original, &why);
	}
}

/* The whole; 0 when all is well. */
static inline int survey_run(struct survey *s, const char *title, void *library)
{
	cdm_patch_quiet(true);
	survey_silence(s, library);
	survey_call_all(s, 0);
	survey_patch(s);
	survey_call_all(s, 1);
	survey_compare(s, title);
	int changed = survey_unpatch(s);
	cdm_patch_quiet(false);
	if (changed)
		printf("%s: %d with other bytes after removal\n", title, changed);
	fflush(stdout);
	return s->count == 0 || s->different || changed || s->patched == 0;
}

#endif

#include "offload/dev/blas_library.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "offload/base/arena.h"
#include "offload/base/log.h"
#include "offload/base/sys.h"
#include "offload/dev/blas_check.h"

/* The address sanitizer ends the process at a deep-binding dlopen and knows one C library only. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* What the program's user set for the program's own threads does not apply to the device.
 *
 * OPENBLAS_THREAD_TIMEOUT does: for how long idle workers look for work, yielding the CPU, before they sleep. OpenBLAS's own 2^26
 * cycles stay the default. Measured on two CPUs, dgemm of order 256 every 10 ms: 2^22 takes 0.28 instead of 1.08 CPUs, but 1.4
 * instead of 0.9 ms a call; without gaps there is no difference from 2^22 on, and below LU becomes slower. */
static const char *const foreign[] = {
	"OPENBLAS_NUM_THREADS",
	"GOTO_NUM_THREADS",
	"OMP_NUM_THREADS",
	"BLIS_NUM_THREADS",
	"MKL_NUM_THREADS",
	"OPENBLAS_CORETYPE",
	"OPENBLAS_VERBOSE",
	"OPENBLAS_MAIN_FREE",
	"BLIS_JC_NT",
	"BLIS_IC_NT",
	"OPENBLAS_BLOCK_FACTOR",
	"OPENBLAS_DEFAULT_NUM_THREADS",
	"BLIS_JR_NT",
	"BLIS_IR_NT",
	NULL,
};

/* ---- isolated --------------------------------------------------------------------------------------- */

static void namespace_environment(void *libc, const char *core, int threads)
{
	int (*set)(const char *, const char *, int) = dlsym(libc, "setenv");
	int (*unset)(const char *) = dlsym(libc, "unsetenv");
	char count[16];

	cdm_fmt(count, sizeof(count), "%d", threads);
	for (int i = 0; unset && foreign[i]; i++)
		unset(foreign[i]);
	if (set)
		set("OPENBLAS_NUM_THREADS", count, 1);
	if (set && core[0])
		set("OPENBLAS_CORETYPE", core, 1);
}

/* The program's signals; a fault of its own a thread must take. */
static void worker_mask(sigset_t *set)
{
	static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};

	sigfillset(set);
	for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
		sigdelset(set, own[i]);
}

/* Stacks above the size that glibc caches (40 MiB). Its cache of stacks, with what their threads left in dynamic TLS,
 * is shared between namespaces; reusing a stack, a namespace's C library would free() memory of the program's. */
#define WORKER_STACK ((size_t)48 << 20)

/* How threads of the namespace are born: with the program's signals blocked, for a handler of the program must not run
 * on them; and on stacks of their own. False: this C library cannot. */
static bool namespace_threads(void *libc)
{
	int (*init)(pthread_attr_t *) = dlsym(libc, "pthread_attr_init");
	int (*set_stack)(pthread_attr_t *, size_t) = dlsym(libc, "pthread_attr_setstacksize");
	int (*set_mask)(pthread_attr_t *, const sigset_t *) = dlsym(libc, "pthread_attr_setsigmask_np");
	int (*set_default)(const pthread_attr_t *) = dlsym(libc, "pthread_setattr_default_np");
	pthread_attr_t attr;
	sigset_t mask;

	if (!init || !set_stack || !set_mask || !set_default || init(&attr))
		return false;
	worker_mask(&mask);
	return !set_stack(&attr, WORKER_STACK) && !set_mask(&attr, &mask) && !set_default(&attr);
}

static bool on_openmp(const struct cdm_blas_library *lib)
{
	return dlsym(lib->handle, "omp_set_num_threads");
}

static int open_isolated(struct cdm_blas_library *lib, const char *path, const char *core, int threads)
{
	Lmid_t id;

	if (SANITIZED || strstr(path, "libmkl"))
		return -ENOTSUP;
	lib->libc = dlmopen(LM_ID_NEWLM, "libc.so.6", RTLD_NOW | RTLD_LOCAL);
	if (!lib->libc)
		return -ENOTSUP;
	if (dlinfo(lib->libc, RTLD_DI_LMID, &id) || !namespace_threads(lib->libc))
		goto close_libc;
	namespace_environment(lib->libc, core, threads);
	lib->handle = dlmopen(id, path, RTLD_NOW | RTLD_LOCAL);
	if (!lib->handle)
		goto close_libc;
	if (on_openmp(lib))
		goto close_library;
	lib->ctype_init = dlsym(lib->libc, "__ctype_init");
	lib->isolated = true;
	return 0;

close_library:
	dlclose(lib->handle);
	lib->handle = NULL;
close_libc:
	dlclose(lib->libc);
	lib->libc = NULL;
	return -ENOTSUP;
}

/* ---- private ---------------------------------------------------------------------------------------- */

static bool is_foreign(const char *entry)
{
	for (int i = 0; foreign[i]; i++) {
		size_t n = strlen(foreign[i]);
		if (!strncmp(entry, foreign[i], n) && entry[n] == '=')
			return true;
	}
	return false;
}

/* The environment with the device's settings instead of the program's, as an array of its own: readers in other
 * threads see the old array or this one, and both stay. NULL: no memory. */
static char **settings(const char *core)
{
	size_t n = 0, used = 0;

	while (environ && environ[n])
		n++;
	char **env = cdm_arena_alloc((n + 2) * sizeof(*env) + 64);
	if (!env)
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (!is_foreign(environ[i]))
			env[used++] = environ[i];
	if (core[0]) {
		char *entry = (char *)(env + n + 2);
		cdm_fmt(entry, 64, "OPENBLAS_CORETYPE=%s", core);
		env[used++] = entry;
	}
	return env;
}

static int open_private(struct cdm_blas_library *lib, const char *path, const char *core)
{
	int flags = RTLD_NOW | RTLD_LOCAL | (SANITIZED ? 0 : RTLD_DEEPBIND);

	lib->handle = dlopen(path, flags | RTLD_NOLOAD);
	if (lib->handle) {
		lib->shared = true;
		return 0;
	}
	char **before = environ, **during = settings(core);
	if (during)
		environ = during;
	lib->handle = dlopen(path, flags);
	if (during && environ == during)
		environ = before;
	return lib->handle ? 0 : -ELIBACC;
}

/* ---- what it is ------------------------------------------------------------------------------------- */

/* How libraries spell their symbols: entry points, and functions of their own. Those on 64-bit integers come last. */
static const struct {
	const char *entry, *own;
	bool wide;
} namings[] = {
	{"%s_", "%s", false},     {"scipy_%s_", "scipy_%s", false},      {"%s_64_", "%s64_", true},
	{"%s64_", "%s64_", true}, {"scipy_%s_64_", "scipy_%s64_", true}, {"scipy_%s64_", "scipy_%s64_", true},
};
enum { NAMINGS = sizeof(namings) / sizeof(*namings) };

static void *symbol(const struct cdm_blas_library *lib, const char *before, const char *name, const char *after)
{
	char text[96];

	cdm_fmt(text, sizeof(text), "%s%s%s", before, name, after);
	return dlsym(lib->handle, text);
}

/* pattern has one %s. */
static void *spelled(const struct cdm_blas_library *lib, const char *pattern, const char *name)
{
	char before[16] = "";
	const char *mark = strchr(pattern, '%');

	memcpy(before, pattern, (size_t)(mark - pattern));
	return symbol(lib, before, name, mark + 2);
}

void *cdm_blas_entry(const struct cdm_blas_library *lib, const char *routine)
{
	return spelled(lib, namings[lib->naming].entry, routine);
}

void *cdm_blas_cblas_entry(const struct cdm_blas_library *lib, const char *routine)
{
	char name[64];

	cdm_fmt(name, sizeof(name), "cblas_%s", routine);
	return spelled(lib, namings[lib->naming].own, name);
}

/* A function that is no routine of BLAS: under the library's spelling, or plain. */
static void *own(const struct cdm_blas_library *lib, const char *name)
{
	void *fn = spelled(lib, namings[lib->naming].own, name);
	return fn ? fn : dlsym(lib->handle, name);
}

static bool find_naming(struct cdm_blas_library *lib)
{
	for (lib->naming = 0; lib->naming < NAMINGS; lib->naming++)
		if (cdm_blas_entry(lib, "dgemm")) {
			lib->wide = namings[lib->naming].wide;
			return true;
		}
	return false;
}

static void copy_word(char *to, size_t cap, const char *from)
{
	size_t n = from ? strcspn(from, " ,") : 0;

	if (n >= cap)
		n = cap - 1;
	memcpy(to, from ? from : "", n);
	to[n] = '\0';
}

static void identify_openblas(struct cdm_blas_library *lib)
{
	const char *(*core)(void) = own(lib, "openblas_get_corename");
	const char *(*config)(void) = own(lib, "openblas_get_config");
	const char *text = config ? config() : NULL;

	if (text && !strncmp(text, "OpenBLAS ", 9))
		copy_word(lib->version, sizeof(lib->version), text + 9);
	copy_word(lib->core, sizeof(lib->core), core ? core() : NULL);
	lib->set_threads = own(lib, "openblas_set_num_threads");
	lib->stop_workers = own(lib, "blas_thread_shutdown_"); /* builds of wheels do not have it */
}

static void identify(struct cdm_blas_library *lib)
{
	const char *(*version)(void) = own(lib, "bli_info_get_version_str");

	if (own(lib, "openblas_get_config")) {
		lib->kind = CDM_BLAS_OPENBLAS;
		identify_openblas(lib);
	} else if (version) {
		lib->kind = CDM_BLAS_BLIS;
		copy_word(lib->version, sizeof(lib->version), version());
		lib->set_threads = own(lib, "bli_thread_set_num_threads");
	} else if (own(lib, "MKL_Set_Num_Threads")) {
		lib->kind = CDM_BLAS_MKL;
		lib->set_threads = own(lib, "MKL_Set_Num_Threads");
	}
	if (lib->kind != CDM_BLAS_MKL && on_openmp(lib)) {
		lib->omp_set_threads = own(lib, "omp_set_num_threads");
		lib->omp_get_threads = own(lib, "omp_get_max_threads");
		lib->omp_pause = own(lib, "omp_pause_resource_all");
	}
}

/* An object's destructors are skipped by the loader once their array has size 0. */
static void forget_destructors(const struct link_map *map)
{
	for (ElfW(Dyn) *d = map->l_ld; d && d->d_tag != DT_NULL; d++) {
		if (d->d_tag != DT_FINI_ARRAYSZ || !d->d_un.d_val)
			continue;
		uintptr_t page = cdm_round_down((uintptr_t)d, CDM_PAGE);
		size_t len = cdm_round_up((uintptr_t)(d + 1), CDM_PAGE) - page;
		if (!cdm_sys_mprotect((void *)page, len, PROT_READ | PROT_WRITE))
			d->d_un.d_val = 0;
	}
}

static void keep_past_exit(const struct cdm_blas_library *lib)
{
	struct link_map *map = NULL;

	if (lib->shared || dlinfo(lib->handle, RTLD_DI_LINKMAP, &map))
		return;
	if (!lib->isolated) {
		forget_destructors(map);
		return;
	}
	while (map->l_prev)
		map = map->l_prev;
	for (; map; map = map->l_next)
		forget_destructors(map);
}

int cdm_blas_open(struct cdm_blas_library *lib, const char *path, const char *core, int threads)
{
	struct cdm_blas_library l = {.threads = 1};
	uint64_t mask;
	sigset_t workers;

	worker_mask(&workers);
	(void)cdm_sys6(SYS_rt_sigprocmask, SIG_SETMASK, (long)&workers, (long)&mask, sizeof(mask), 0, 0);
	int ret = open_isolated(&l, path, core, threads);
	if (ret)
		ret = open_private(&l, path, core);
	if (!ret && !find_naming(&l))
		ret = -ELIBBAD;
	if (!ret) {
		static int opened;
		l.number = opened++;
		identify(&l);
		keep_past_exit(&l);
		cdm_blas_set_threads(&l, threads);
		ret = cdm_blas_adds_up(&l) ? 0 : -EDOM;
	}
	if (!ret)
		*lib = l;
	cdm_sys_unblock(&mask);
	return ret;
}

/* ---- calls ------------------------------------------------------------------------------------------ */

void cdm_blas_set_threads(struct cdm_blas_library *lib, int threads)
{
	if (lib->crippled)
		return;
	lib->most = threads > lib->most ? threads : lib->most;
	if (lib->omp_set_threads) {
		lib->threads = threads; /* per call, by enter and leave: the setting is the calling thread's */
		return;
	}
	if (!lib->set_threads)
		return;
	lib->set_threads(threads);
	lib->threads = threads;
}

void cdm_blas_enter_first(const struct cdm_blas_library *lib)
{
	static __thread uint32_t entered; /* bit per library */
	uint32_t mine = 1u << (lib->number & 31);

	if (!(entered & mine) && lib->ctype_init)
		lib->ctype_init();
	entered |= mine;
}

int cdm_blas_enter(const struct cdm_blas_library *lib)
{
	int before = 0;

	cdm_blas_enter_first(lib);
	if (lib->omp_set_threads && lib->omp_get_threads) {
		before = lib->omp_get_threads();
		if (before == lib->threads)
			return 0;
		lib->omp_set_threads(lib->threads);
	}
	return before;
}

void cdm_blas_leave(const struct cdm_blas_library *lib, int entered)
{
	if (entered)
		lib->omp_set_threads(entered);
}

void cdm_blas_fork_prepare(const struct cdm_blas_library *lib)
{
	enum { OMP_PAUSE_HARD = 2 };

	if (lib->most > 1 && lib->omp_pause)
		lib->omp_pause(OMP_PAUSE_HARD);
	else if (lib->most > 1 && lib->stop_workers)
		lib->stop_workers();
}

void cdm_blas_fork_child(struct cdm_blas_library *lib)
{
	bool repaired = lib->omp_set_threads             ? lib->omp_pause != NULL
			: lib->kind == CDM_BLAS_OPENBLAS ? lib->stop_workers != NULL
							 : lib->kind != CDM_BLAS_MKL;

	if (repaired || lib->most < 2)
		return;
	cdm_blas_set_threads(lib, 1);
	lib->crippled = true;
}

void cdm_blas_describe(const struct cdm_blas_library *lib, struct cdm_text *t)
{
	static const char *const kinds[] = {"BLAS", "OpenBLAS", "BLIS", "MKL"};

	cdm_textf(t, "%s", kinds[lib->kind]);
	if (lib->version[0])
		cdm_textf(t, " %s", lib->version);
	if (lib->core[0])
		cdm_textf(t, ", core %s", lib->core);
	cdm_textf(t, ", %d thread%s", lib->threads, lib->threads == 1 ? "" : "s");
	if (lib->shared)
		cdm_textf(t, ", the program's own instance");
	else if (!lib->isolated)
		cdm_textf(t, ", in the program's namespace");
}

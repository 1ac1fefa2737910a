#include "shim/provider.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>
#include <time.h>

#include "offload/base/config.h"
#include "offload/base/fmt.h"
#include "offload/base/lock.h"
#include "offload/base/log.h"
#include "offload/base/sys.h"
#include "shim/elf.h"
#include "shim/hook.h"
#include "shim/patch.h"
#include "shim/slot.h"

#define OBJECTS 512 /* libraries remembered as examined; beyond that they are examined again */
#define PATCHED 32  /* providers with patches */

/* What a patched library is known by. */
struct patched {
	uintptr_t lo, len;
	struct cdm_provider facts;
};

/* Guards all below. Tried, never waited for: whoever holds it may need the loader's lock, and a caller may have that. */
static cdm_lock lock;
static uintptr_t examined[OBJECTS];
static unsigned examined_n;
static void *handles[64]; /* looked at since a library was opened with RTLD_DEEPBIND */
static unsigned handles_n;
static _Atomic unsigned long long adds_seen, subs_seen; /* the loader's counters at the last complete look */
static struct patched patched[PATCHED];
static unsigned patched_n;

/* ---- finding ---------------------------------------------------------------------------------------- */

struct entry {
	void *fn;
	size_t size;
	uint16_t routine;
	uint8_t variant;
	bool dynamic;
	bool wanted;
	uint16_t object; /* index into search.object */
};

#define ENTRIES 8192
#define FOUND 32
/* What a look has found. Functions are patched when the loader's lock is free again: capstone may have to be opened. */
struct search {
	uintptr_t deep[8]; /* modules that must be patched */
	int deep_n;
	struct {
		uintptr_t lo, len;
		void *idamax[2]; /* Fortran, CBLAS */
		char path[CDM_PROVIDER_PATH];
	} object[FOUND];
	unsigned objects, entries;
	const struct dl_phdr_info *info; /* of the object being walked */
	unsigned first;                  /* its first entry */
	bool whole;
	struct entry entry[ENTRIES];
};

/* An undecorated name may be anybody's function. */
static bool decorated(const char *name)
{
	size_t n = strlen(name);

	return n > 4 && (name[n - 1] == '_' || !strcmp(name + n - 3, "_64") || strstr(name, "cblas_"));
}

static int note_symbol(const char *name, void *addr, size_t size, bool dynamic, void *arg)
{
	struct search *s = arg;
	int routine, variant;

	if (s->entries == ENTRIES || !strchr("sdczi", name[0]) || !decorated(name) ||
	    !cdm_slot_parse(name, &routine, &variant))
		return 0;
	if (routine == CDM_BLAS_idamax && s->objects < FOUND)
		s->object[s->objects].idamax[variant >= CDM_VARIANT_C] = addr;
	for (unsigned i = s->first; i < s->entries; i++)
		if (s->entry[i].fn == addr)
			return 0;
	s->entry[s->entries++] = (struct entry){
		.fn = addr,
		.size = size,
		.routine = (uint16_t)routine,
		.variant = (uint8_t)variant,
		.dynamic = dynamic,
		.wanted = s->whole || !dynamic,
		.object = (uint16_t)s->objects,
	};
	return 0;
}

static bool is_main(const struct dl_phdr_info *info)
{
	return !info->dlpi_name || !info->dlpi_name[0];
}

/* Of the distribution: stripped, so there are no other symbols than the dynamic ones to look for. */
static bool is_system(const char *path)
{
	static const char *const places[] = {"/lib", "/usr/lib", "/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/"};

	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
		if (!strncmp(path, places[i], strlen(places[i])))
			return true;
	return false;
}

/* Whether its file may have symbols that are not in memory. The program's name is as it was executed; the vDSO has no file. */
static bool has_more_symbols(const struct dl_phdr_info *info)
{
	const char *name = is_main(info) ? (const char *)(uintptr_t)getauxval(AT_EXECFN) : info->dlpi_name;

	return name && !is_system(name) && (is_main(info) || strchr(name, '/'));
}

static bool known(uintptr_t base)
{
	for (unsigned i = 0; i < examined_n; i++)
		if (examined[i] == base)
			return true;
	return false;
}

static bool extent_of(const struct dl_phdr_info *info, uintptr_t *lo, uintptr_t *len)
{
	uintptr_t first = UINTPTR_MAX, last = 0;

	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		if (p->p_type != PT_LOAD)
			continue;
		uintptr_t start = info->dlpi_addr + p->p_vaddr, end = start + p->p_memsz;
		first = start < first ? start : first;
		last = end > last ? end : last;
	}
	*lo = first;
	*len = last - first;
	return last > first;
}

static bool is_deep(const struct search *s, uintptr_t lo)
{
	for (int i = 0; i < s->deep_n; i++)
		if (s->deep[i] == lo)
			return true;
	return false;
}

static int examine(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct search *s = arg;
	uintptr_t lo, len;

	(void)size;
	if (!extent_of(info, &lo, &len) || (uintptr_t)&examine - lo < len)
		return 0;
	bool fresh = !known(lo), deep = is_deep(s, lo), patch = cdm_config.hook == CDM_HOOK_PATCH;
	if ((!fresh && !deep) || s->objects == FOUND)
		return 0;
	s->object[s->objects].idamax[0] = s->object[s->objects].idamax[1] = NULL;
	if (fresh && examined_n < OBJECTS)
		examined[examined_n++] = lo;
	s->whole = patch || deep || is_main(info) || cdm_elf_symbolic(info);
	bool file = patch || has_more_symbols(info);
	if ((!s->whole && !file) || cdm_config.hook == CDM_HOOK_PLT)
		return 0;
	s->info = info;
	s->first = s->entries;
	cdm_elf_each(info, NULL, file, note_symbol, s);
	if (s->entries == s->first)
		return 0;
	s->object[s->objects].lo = lo;
	s->object[s->objects].len = len;
	cdm_fmt(s->object[s->objects].path, CDM_PROVIDER_PATH, "%.250s", is_main(info) ? "" : info->dlpi_name);
	s->objects++;
	return 0;
}

/* The modules whose BLAS handle's scope begins with. */
static void find_deep(struct search *s, void *handle)
{
	static const char *const probes[] = {"dgemm_",       "cblas_dgemm",     "dgetrf_",
					     "dgemm_64_",    "dgemm64_",        "cblas_dgemm64_",
					     "scipy_dgemm_", "scipy_dgemm_64_", "dgetrf_64_"};

	for (size_t i = 0; i < sizeof(probes) / sizeof(*probes) && s->deep_n < 8; i++) {
		uintptr_t lo, len;
		void *fn = cdm_next.dlsym(handle, probes[i]);
		if (!fn)
			(void)dlerror();
		else if (!cdm_slot_is_own(fn) && cdm_module_extent((uintptr_t)fn, &lo, &len) && !is_deep(s, lo))
			s->deep[s->deep_n++] = lo;
	}
}

/* ---- patching --------------------------------------------------------------------------------------- */

static struct patched *record(const struct search *s, unsigned object)
{
	for (unsigned i = 0; i < patched_n; i++)
		if (patched[i].lo == s->object[object].lo)
			return &patched[i];
	if (patched_n == PATCHED)
		return NULL;
	struct patched *p = &patched[patched_n++];
	memset(p, 0, sizeof(*p));
	p->lo = s->object[object].lo;
	p->len = s->object[object].len;
	cdm_fmt(p->facts.path, sizeof(p->facts.path), "%s", s->object[object].path);
	return p;
}

static void refuse(struct cdm_provider *f, const char *name, const char *why)
{
	struct cdm_text t;

	f->refused++;
	cdm_log(CDM_LOG_INFO, "%s in %s cannot be patched: %s", name, f->path, why);
	if (f->refused > 3)
		return;
	cdm_text_init(&t, f->why, sizeof(f->why));
	t.len = strlen(f->why);
	cdm_textf(&t, "%s%s: %s", t.len ? "; " : "", name, why);
}

/* The function must answer through the gate once it is patched. */
static bool arrives(void *fn, const struct cdm_slot *slot)
{
	int before = cdm_inside;
	const uint8_t *code = fn;

	if (!memcmp(code, "\xf3\x0f\x1e\xfa", 4))
		code += 4;
	if (*code != 0xe9) /* the real function must not be entered like this */
		return false;
	cdm_gate_arrived = NULL;
	cdm_inside = -1;
	((void (*)(void))fn)();
	cdm_inside = before;
	return cdm_gate_arrived == slot;
}

static void patch_one(struct patched *p, int routine, int variant, const char *name, void *fn, size_t size,
		      int own_library)
{
	const char *why = "";
	void *original, *stub;

	if (cdm_patch_original(fn) != fn)
		return; /* under another name */
	struct cdm_slot *slot = cdm_slot_door(routine, variant, fn, size, own_library, &stub);
	if (!slot) {
		refuse(&p->facts, name, "no memory");
		return;
	}
	cdm_slot_set_original(slot, NULL);
	if (cdm_patch_install(fn, size, stub, &original, &why)) {
		cdm_slot_set_original(slot, fn);
		refuse(&p->facts, name, why);
		return;
	}
	cdm_slot_set_original(slot, original);
	if (arrives(fn, slot)) {
		p->facts.patched++;
		return;
	}
	cdm_patch_remove(fn);
	cdm_slot_set_original(slot, cdm_patch_original(fn));
	refuse(&p->facts, name, "the patch does not take effect");
}

/* OpenBLAS's workers, started when it is loaded, wait for work by spinning: 2^26 ticks of the clock, some 25 ms. */
static bool others_sleep(void)
{
	struct timespec ms = {0, 1000000};

	for (int i = 0; i < 250; i++) {
		if (cdm_patch_alone())
			return true;
		(void)cdm_sys3(SYS_nanosleep, (long)&ms, 0, 0);
	}
	return false;
}

/* Signals are blocked: a handler's call must not meet a function that is being tried out. */
static void patch_all(const struct search *s, bool alone)
{
	char name[CDM_SLOT_NAME];
	uint64_t mask;

	if (!s->entries)
		return;
	cdm_sys_block_all(&mask);
	bool before = cdm_patch_quiet(alone || others_sleep());
	cdm_patch_batch(true);
	for (unsigned i = 0; i < s->entries; i++) {
		const struct entry *e = &s->entry[i];
		struct patched *p = e->wanted ? record(s, e->object) : NULL;
		if (!p)
			continue;
		void *const *idamax = s->object[e->object].idamax;
		cdm_slot_name(name, e->routine, e->variant);
		patch_one(p, e->routine, e->variant, name, e->fn, e->size, cdm_slot_library(idamax[0], idamax[1]));
	}
	cdm_patch_batch(false);
	cdm_patch_quiet(before);
	cdm_sys_unblock(&mask);
}

static int read_counters(struct dl_phdr_info *info, size_t size, void *arg)
{
	unsigned long long *n = arg;

	(void)size;
	n[0] = info->dlpi_adds;
	n[1] = info->dlpi_subs;
	return 1;
}

/* True: this handle has not been looked at since. */
static bool is_new_handle(void *handle)
{
	for (unsigned i = 0; i < handles_n; i++)
		if (handles[i] == handle)
			return false;
	handles[handles_n++ % 64] = handle;
	handles_n = handles_n > 64 ? 64 : handles_n;
	return true;
}

static void look(void *handle, bool deep, bool alone)
{
	struct search *s;
	unsigned long long now[2] = {0};

	if (!cdm_lock_try(&lock))
		return; /* the next call looks */
	int saved = errno;
	dl_iterate_phdr(read_counters, now);
	if (deep)
		deep = is_new_handle(handle);
	s = cdm_sys_mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!cdm_sys_failed(s)) {
		cdm_inside++;
		if (deep)
			find_deep(s, handle);
		dl_iterate_phdr(examine, s);
		patch_all(s, alone);
		if (s->objects < FOUND) /* else the next call looks at the rest */
			atomic_store(&adds_seen, now[0]);
		cdm_inside--;
		cdm_sys_munmap(s, sizeof(*s));
	}
	errno = saved;
	cdm_lock_drop(&lock);
}

static bool idle;

void cdm_provider_look(void *handle, bool deep)
{
	unsigned long long now[2] = {0};

	if (idle)
		return;
	dl_iterate_phdr(read_counters, now);
	if (now[1] != atomic_load(&subs_seen)) /* one that dlclose() could not see to */
		cdm_provider_unloaded();
	if (now[0] != atomic_load(&adds_seen) || deep)
		look(handle, deep, false);
}

void cdm_provider_start(void)
{
	/* Nothing to offload and nobody to read the counts: functions stay as they are. */
	idle = atomic_load(&cdm_min_work[CDM_LEVEL_MATRIX]) == UINT64_MAX && !cdm_config.report;
	if (!idle)
		look(NULL, false, true);
}

void *cdm_provider_door(int routine, int variant, void *fn)
{
	void *stub;

	if (cdm_patch_original(fn) != fn || cdm_slot_is_own(fn))
		return fn;
	struct cdm_slot *slot = cdm_slot_door(routine, variant, fn, 0, 0, &stub);
	if (!slot)
		return fn;
	cdm_slot_set_original(slot, fn);
	return stub;
}

/* ---- unloading -------------------------------------------------------------------------------------- */

struct loaded {
	uintptr_t lo[OBJECTS], len[OBJECTS];
	unsigned n;
};

static int note_loaded(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct loaded *l = arg;

	(void)size;
	if (l->n < OBJECTS && extent_of(info, &l->lo[l->n], &l->len[l->n]))
		l->n++;
	return 0;
}

/* With more libraries than are kept track of, none is taken for gone. */
static bool is_loaded(uintptr_t addr, const void *arg)
{
	const struct loaded *l = arg;

	for (unsigned i = 0; i < l->n; i++)
		if (addr - l->lo[i] < l->len[i])
			return true;
	return l->n == OBJECTS;
}

void cdm_provider_unloaded(void)
{
	unsigned long long now[2] = {0};
	struct loaded l = {.n = 0};

	dl_iterate_phdr(read_counters, now);
	if (now[1] == atomic_load(&subs_seen) || !cdm_lock_try(&lock))
		return;
	dl_iterate_phdr(note_loaded, &l);
	for (unsigned i = 0; i < examined_n;)
		if (is_loaded(examined[i], &l))
			i++;
		else
			examined[i] = examined[--examined_n];
	for (unsigned i = 0; i < patched_n;)
		if (is_loaded(patched[i].lo, &l)) {
			i++;
		} else {
			cdm_patch_forget(patched[i].lo, patched[i].lo + patched[i].len);
			patched[i] = patched[--patched_n];
		}
	handles_n = 0;
	cdm_slot_keep_loaded(is_loaded, &l);
	atomic_store(&subs_seen, now[1]);
	cdm_lock_drop(&lock);
}

void cdm_provider_after_fork(void)
{
	cdm_lock_reset(&lock);
	cdm_patch_after_fork();
}

/* ---- the report ------------------------------------------------------------------------------------- */

struct listing {
	struct cdm_provider *out;
	int n, max, routines;
};

static int count_symbol(const char *name, void *addr, size_t size, bool dynamic, void *arg)
{
	struct listing *l = arg;
	int routine, variant;

	(void)addr, (void)size, (void)dynamic;
	l->routines += decorated(name) && cdm_slot_parse(name, &routine, &variant);
	return 0;
}

static const struct patched *patched_at(uintptr_t lo)
{
	for (unsigned i = 0; i < patched_n; i++)
		if (patched[i].lo == lo)
			return &patched[i];
	return NULL;
}

static void describe_doors(struct cdm_provider *f, const struct dl_phdr_info *info)
{
	bool symbols = !is_main(info);
	const char *const door[] = {"none", "symbols", "patch", "symbols, patch"};

	cdm_fmt(f->door, sizeof(f->door), "%s", door[symbols + 2 * (f->patched > 0)]);
	if (!f->why[0] && cdm_config.hook == CDM_HOOK_PLT && is_main(info))
		cdm_fmt(f->why, sizeof(f->why), "the program's own functions, and CDM_HOOK=plt");
	else if (!f->why[0] && !f->patched && cdm_elf_symbolic(info))
		cdm_fmt(f->why, sizeof(f->why), "calls inside the library bind to itself, and CDM_HOOK=plt");
}

static int list_one(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct listing *l = arg;
	uintptr_t lo, len;

	(void)size;
	if (l->n == l->max || !extent_of(info, &lo, &len) || (uintptr_t)&list_one - lo < len)
		return 0;
	const struct patched *p = patched_at(lo);
	l->routines = 0;
	cdm_elf_each(info, NULL, false, count_symbol, l);
	if (!p && !l->routines)
		return 0;
	struct cdm_provider *f = &l->out[l->n++];
	memset(f, 0, sizeof(*f));
	if (p)
		*f = p->facts;
	f->routines = l->routines > f->patched + f->refused ? l->routines : f->patched + f->refused;
	cdm_fmt(f->path, sizeof(f->path), "%.250s", is_main(info) ? "the program" : info->dlpi_name);
	describe_doors(f, info);
	return 0;
}

int cdm_provider_list(struct cdm_provider *out, int max)
{
	struct listing l = {.out = out, .max = max};

	if (!cdm_lock_try(&lock))
		return 0;
	dl_iterate_phdr(list_one, &l);
	cdm_lock_drop(&lock);
	return l.n;
}

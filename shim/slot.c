/* Finding originals, and keeping what was found. See slot.h. */
#include "shim/slot.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <string.h>

#include "offload/base/arena.h"
#include "offload/base/lock.h"
#include "offload/base/log.h"
#include "shim/elf.h"
#include "shim/hook.h"
#include "shim/patch.h"
#include "shim/slot_parts.h"
#include "shim/stub.h"

struct cdm_slot cdm_slots[CDM_BLAS_COUNT * CDM_VARIANTS];

/* Guards what is kept of slots. A leaf: nothing is called with it held. Calls only try it, for a signal
 * handler's may have interrupted the holder; dlclose(), which is not for handlers, waits. */
static cdm_lock lock;

/* ---- modules ---------------------------------------------------------------------------------------- */

extern const char __ehdr_start[], _end[] __attribute__((visibility("hidden"))); /* the linker's: this module */

bool cdm_slot_is_own(const void *fn)
{
	return (uintptr_t)fn - (uintptr_t)__ehdr_start < (uintptr_t)_end - (uintptr_t)__ehdr_start;
}

static void *lookup(void *handle, const char *symbol)
{
	void *fn = cdm_next.dlsym(handle, symbol);

	if (!fn)
		(void)dlerror(); /* the program's next dlerror() is not about this */
	return fn && !cdm_slot_is_own(fn) ? fn : NULL;
}

void *cdm_module_symbol(const void *addr, const char *symbol)
{
	Dl_info info;

	if (!dladdr(addr, &info) || !info.dli_fname)
		return NULL;
	void *handle = cdm_next.dlopen(info.dli_fname, RTLD_NOLOAD | RTLD_LAZY);
	if (!handle) {
		(void)dlerror();
		return NULL;
	}
	void *fn = lookup(handle, symbol);
	cdm_next.dlclose(handle);
	return fn;
}

struct extent {
	uintptr_t at, lo, hi;
};

static int measure(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct extent *e = arg;
	uintptr_t lo = UINTPTR_MAX, hi = 0;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + p->p_vaddr;

		if (p->p_type != PT_LOAD)
			continue;
		lo = start < lo ? start : lo;
		hi = start + p->p_memsz > hi ? start + p->p_memsz : hi;
	}
	if (e->at < lo || e->at >= hi)
		return 0;
	e->lo = lo;
	e->hi = hi;
	return 1;
}

bool cdm_module_extent(uintptr_t addr, uintptr_t *lo, uintptr_t *len)
{
	struct extent e = {.at = addr};

	if (!dl_iterate_phdr(measure, &e))
		return false;
	*lo = e.lo;
	*len = e.hi - e.lo;
	return true;
}

/* ---- keeping ---------------------------------------------------------------------------------------- */

#define KEPT 1024
#define WAYS 8
static struct {
	struct cdm_slot *slot;
	struct cdm_slot found;
} kept[KEPT]; /* for the second and further modules that call a slot */
static unsigned kept_next;

/* The first of the entries that a slot may have. */
static unsigned kept_of(const struct cdm_slot *slot)
{
	return (unsigned)(slot - cdm_slots) % (KEPT / WAYS) * WAYS;
}
static uint16_t first_kept; /* list of the slots that keep something */

static bool covers(const struct cdm_slot *s, uintptr_t site)
{
	return site - s->caller < s->caller_len;
}

static void copy_slot(struct cdm_slot *to, const struct cdm_slot *from)
{
	atomic_store_explicit(&to->original, NULL, memory_order_relaxed);
	to->caller = from->caller;
	to->caller_len = from->caller_len;
	to->library = from->library;
	to->library_len = from->library_len;
	to->routine = from->routine;
	to->key = from->key;
	to->depth = from->depth;
	to->words = from->words;
	to->own_library = from->own_library;
	to->coef = from->coef;
	to->variant = from->variant;
	to->flags = from->flags;
	to->level = from->level;
	to->dims = from->dims;
	memcpy(to->dim, from->dim, sizeof(to->dim));
	atomic_store_explicit(&to->for_all, atomic_load_explicit(&from->for_all, memory_order_relaxed),
			      memory_order_release);
	atomic_store_explicit(&to->original, atomic_load_explicit(&from->original, memory_order_relaxed),
			      memory_order_release);
}

/* What the slot keeps itself, without the lock: if it is filled anew meanwhile, after a library has been unloaded, its original was
 * another one before the copy, or is after it. */
static bool recall_first(const struct cdm_slot *slot, uintptr_t site, struct cdm_slot *found)
{
	void *original = atomic_load_explicit(&slot->original, memory_order_acquire);

	if (!original || !covers(slot, site))
		return false;
	copy_slot(found, slot);
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&found->original, memory_order_relaxed) == original &&
	       atomic_load_explicit(&slot->original, memory_order_relaxed) == original && covers(found, site);
}

static bool recall(struct cdm_slot *slot, uintptr_t site, struct cdm_slot *found)
{
	bool hit = false;

	if (recall_first(slot, site, found))
		return true;
	if (!cdm_lock_try(&lock))
		return false;
	for (unsigned i = kept_of(slot), end = i + WAYS; i < end && !hit; i++)
		if (kept[i].slot == slot && covers(&kept[i].found, site)) {
			copy_slot(found, &kept[i].found);
			hit = true;
		}
	cdm_lock_drop(&lock);
	return hit;
}

static void keep(struct cdm_slot *slot, const struct cdm_slot *found)
{
	if (!cdm_lock_try(&lock))
		return;
	if (!atomic_load_explicit(&slot->original, memory_order_relaxed)) {
		copy_slot(slot, found);
		if (!slot->linked) {
			slot->linked = true;
			slot->link = first_kept;
			first_kept = (uint16_t)(slot - cdm_slots + 1);
		}
	} else {
		unsigned i = kept_of(slot) + kept_next++ % WAYS;
		kept[i].slot = slot;
		copy_slot(&kept[i].found, found);
	}
	cdm_lock_drop(&lock);
}

static void forget_all(void)
{
	for (unsigned i = first_kept; i; i = cdm_slots[i - 1].link) {
		atomic_store_explicit(&cdm_slots[i - 1].for_all, NULL, memory_order_relaxed);
		atomic_store_explicit(&cdm_slots[i - 1].original, NULL, memory_order_relaxed);
	}
	memset(kept, 0, sizeof(kept));
}

static bool is_gone(const struct cdm_slot *s, bool (*is_loaded)(uintptr_t addr, const void *arg), const void *arg)
{
	return (s->library && !is_loaded(s->library, arg)) || (s->caller && !is_loaded(s->caller, arg));
}

void cdm_slot_after_fork(void)
{
	bool torn = !cdm_lock_try(&lock);

	cdm_lock_reset(&lock);
	if (torn)
		forget_all();
	cdm_slot_kind_after_fork();
}

/* ---- doors made at run time ------------------------------------------------------------------------- */

struct door {
	struct cdm_slot slot; /* first: aligned as the allocation is */
	struct door *next;
	void *fn, *stub;
};
static _Atomic(struct door *) doors[CDM_BLAS_COUNT]; /* lists that only grow at the head */

static struct door *door_find(int routine, int variant, const void *fn)
{
	struct door *d = atomic_load_explicit(&doors[routine], memory_order_acquire);

	while (d && (d->slot.variant != variant || d->fn != fn))
		d = d->next;
	return d;
}

static struct door *door_make(int routine, int variant, void *fn, size_t size, int own_library)
{
	uintptr_t memory = (uintptr_t)cdm_arena_alloc(sizeof(struct door) + CDM_SLOT_SIZE);
	struct door *d = (struct door *)((memory + CDM_SLOT_SIZE - 1) & ~(uintptr_t)(CDM_SLOT_SIZE - 1));

	if (!memory)
		return NULL;
	d->stub = cdm_stub_make(&d->slot);
	if (!d->stub)
		return NULL;
	cdm_inside++;
	cdm_slot_describe(&d->slot, routine, variant, fn, size, own_library);
	cdm_inside--;
	d->fn = fn;
	d->slot.caller_len = UINTPTR_MAX;
	d->next = atomic_load_explicit(&doors[routine], memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(&doors[routine], &d->next, d, memory_order_release,
						      memory_order_relaxed))
		;
	return d;
}

void cdm_slot_set_original(struct cdm_slot *slot, void *original)
{
	if (original)
		cdm_stub_aim(((struct door *)slot)->stub, original);
	atomic_store_explicit(&slot->for_all, original, memory_order_relaxed);
	atomic_store_explicit(&slot->original, original, memory_order_release);
}

struct cdm_slot *cdm_slot_door(int routine, int variant, void *fn, size_t size, int own_library, void **stub)
{
	struct door *d = door_find(routine, variant, fn);

	if (!d)
		d = door_make(routine, variant, fn, size, own_library);
	*stub = d ? d->stub : NULL;
	return d ? &d->slot : NULL;
}

void cdm_slot_keep_loaded(bool (*is_loaded)(uintptr_t addr, const void *arg), const void *arg)
{
	cdm_lock_take(&lock);
	for (unsigned i = first_kept; i; i = cdm_slots[i - 1].link) {
		struct cdm_slot *s = &cdm_slots[i - 1];
		if (!atomic_load_explicit(&s->original, memory_order_relaxed) || !is_gone(s, is_loaded, arg))
			continue;
		atomic_store_explicit(&s->for_all, NULL, memory_order_relaxed);
		atomic_store_explicit(&s->original, NULL, memory_order_relaxed);
	}
	for (int i = 0; i < KEPT; i++)
		if (kept[i].slot && is_gone(&kept[i].found, is_loaded, arg))
			kept[i].slot = NULL;
	cdm_lock_drop(&lock);
	cdm_slot_kind_keep_loaded(is_loaded, arg);
	for (int r = 0; r < CDM_BLAS_COUNT; r++)
		for (struct door *d = atomic_load(&doors[r]); d; d = d->next)
			if (d->fn && !is_loaded((uintptr_t)d->fn, arg))
				d->fn = NULL;
}

/* ---- finding ---------------------------------------------------------------------------------------- */

/* The one library that has a function of this name. The loader is not asked, whose lock may be held by a constructor that waits
 * for this thread, or by what this signal handler has interrupted. */
struct only {
	const char *name;
	void *fn;
	int own_library, count;
};

static int see_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct only *o = arg;
	void *fn = info->dlpi_name && info->dlpi_name[0] ? cdm_elf_lookup(info, o->name) : NULL;

	(void)size;
	if (!fn || cdm_slot_is_own(fn))
		return 0;
	o->fn = fn;
	o->own_library = cdm_slot_library(cdm_elf_lookup(info, "idamax_"), cdm_elf_lookup(info, "cblas_idamax"));
	return ++o->count > 1;
}

static void *find_only(struct only *o)
{
	dl_iterate_phdr(see_object, o);
	if (o->count != 1)
		o->fn = NULL;
	return o->fn;
}

static void search(struct cdm_slot *slot, const void *site, struct cdm_slot *found)
{
	int index = (int)(slot - cdm_slots);
	int routine = index / CDM_VARIANTS, variant = index % CDM_VARIANTS;
	char name[CDM_SLOT_NAME];

	memset(found, 0, sizeof(*found));
	cdm_slot_name(name, routine, variant);
	struct only only = {.name = name};
	bool for_all = false;
	void *fn = find_only(&only);
	if (!fn && !(for_all = (fn = lookup(RTLD_NEXT, name))))
		fn = cdm_module_symbol(site, name);
	if (for_all)
		found->caller_len = UINTPTR_MAX;
	else if (fn && !cdm_module_extent((uintptr_t)site, &found->caller, &found->caller_len))
		found->caller_len = 0;
	cdm_slot_describe(found, routine, variant, fn, 0, fn == only.fn ? only.own_library : 0);
	fn = cdm_patch_original(fn);
	atomic_store_explicit(&found->for_all, for_all ? fn : NULL, memory_order_relaxed);
	atomic_store_explicit(&found->original, fn, memory_order_relaxed);
	if (fn && found->caller_len)
		keep(slot, found);
}

/* ---- at the start ----------------------------------------------------------------------------------- */

struct start {
	int own_library; /* of the object being walked */
};

static int start_symbol(const char *name, void *fn, size_t size, bool dynamic, void *arg)
{
	const struct start *start = arg;
	int routine, variant;

	(void)dynamic;
	if (!strchr("sdczi", name[0]) || !cdm_slot_parse(name, &routine, &variant) || cdm_slot_is_bare(variant))
		return 0;
	struct cdm_slot found, *slot = &cdm_slots[routine * CDM_VARIANTS + variant];
	if (atomic_load_explicit(&slot->original, memory_order_relaxed))
		return 0; /* the first in the program's order */
	memset(&found, 0, sizeof(found));
	found.caller_len = UINTPTR_MAX;
	cdm_slot_describe(&found, routine, variant, fn, size, start->own_library);
	atomic_store_explicit(&found.for_all, fn, memory_order_relaxed);
	atomic_store_explicit(&found.original, fn, memory_order_relaxed);
	keep(slot, &found);
	return 0;
}

/* Libraries whose names need more than a look are left for the first call: MKL opens others when it is first called, and of one
 * without idamax (netlib's LAPACK) the integers' width is asked of the loader. dlopen() before libc's own start, even of what is
 * loaded, would start libc without arguments and environment. */
static int start_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	static const char *const probes[] = {"dgemm_",   "cblas_dgemm", "dgetrf_",      "dgemm_64_",
					     "dgemm64_", "ddot_",       "scipy_dgemm_", "scipy_dgemm_64_"};
	struct start *start = arg;
	bool found = false;

	(void)size;
	if (!info->dlpi_name || !info->dlpi_name[0] || strstr(info->dlpi_name, "mkl"))
		return 0;
	for (size_t i = 0; i < sizeof(probes) / sizeof(*probes) && !found; i++) {
		void *fn = cdm_elf_lookup(info, probes[i]);
		if (fn && cdm_slot_is_own(fn))
			return 0;
		found = fn;
	}
	if (!found)
		return 0;
	start->own_library = cdm_slot_library(cdm_elf_lookup(info, "idamax_"), cdm_elf_lookup(info, "cblas_idamax"));
	if (!start->own_library)
		return 0;
	cdm_elf_each(info, NULL, false, start_symbol, start);
	return 0;
}

void cdm_slot_start(void)
{
	struct start start = {0};

	cdm_inside++;
	dl_iterate_phdr(start_object, &start);
	cdm_inside--;
}

bool cdm_slot_is_door(const struct cdm_slot *slot)
{
	return (uintptr_t)slot - (uintptr_t)cdm_slots >= sizeof(cdm_slots);
}

/* A call through a patch that is just being installed. */
static void find_behind_patch(struct cdm_slot *slot, struct cdm_slot *found)
{
	if (!atomic_load_explicit(&slot->original, memory_order_acquire))
		cdm_slot_set_original(slot, cdm_patch_original(((struct door *)slot)->fn));
	copy_slot(found, slot);
}

static void find_original(struct cdm_slot *slot, const void *site, struct cdm_slot *found)
{
	if (cdm_slot_is_door(slot)) {
		find_behind_patch(slot, found);
		return;
	}
	if (recall(slot, (uintptr_t)site, found))
		return;
	int saved = errno;
	cdm_inside++;
	search(slot, site, found);
	cdm_inside--;
	errno = saved;
}

void cdm_slot_find(struct cdm_slot *slot, const void *site, struct cdm_slot *found)
{
	find_original(slot, site, found);
	if (!(found->flags & CDM_SLOT_UNSURE))
		return;
	cdm_slot_settle_width(found);
	if (slot->own_library == found->own_library && slot->flags & CDM_SLOT_UNSURE)
		slot->flags = found->flags; /* idempotent: two threads store the same */
}

void *cdm_slot_fortran(int routine, const void *site, int variant)
{
	static const uint8_t fortran[CDM_VARIANTS] = {
		[CDM_VARIANT_C] = CDM_VARIANT_F,
		[CDM_VARIANT_C_64U] = CDM_VARIANT_F_64U,
		[CDM_VARIANT_C_U64U] = CDM_VARIANT_F_U64U,
		[CDM_VARIANT_C_U64] = CDM_VARIANT_F_U64,
		[CDM_VARIANT_C_64] = CDM_VARIANT_F_64,
		[CDM_VARIANT_C_SCIPY] = CDM_VARIANT_F_SCIPY,
		[CDM_VARIANT_C_SCIPY_64U] = CDM_VARIANT_F_SCIPY_U64U,
	};
	int spelled = cdm_slot_is_cblas(variant) ? fortran[variant] : variant;
	struct cdm_slot *slot = &cdm_slots[routine * CDM_VARIANTS + spelled], found;

	cdm_slot_find(slot, site, &found);
	return atomic_load_explicit(&found.original, memory_order_relaxed);
}

void cdm_slot_missing(const struct cdm_slot *slot)
{
	static _Atomic(uint8_t) missed[CDM_BLAS_COUNT * CDM_VARIANTS / 8];
	unsigned bit = (unsigned)slot->routine * CDM_VARIANTS + slot->variant;
	char name[CDM_SLOT_NAME];

	if (atomic_fetch_or(&missed[bit / 8], (uint8_t)(1u << bit % 8)) & 1u << bit % 8)
		return;
	cdm_slot_name(name, slot->routine, slot->variant);
	cdm_log(CDM_LOG_ERROR, "symbol lookup error: undefined symbol: %s", name);
}

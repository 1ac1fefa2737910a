/* Finding originals. See slot.h. */
#include "shim/slot.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <string.h>

#include "offload/base/arena.h"
#include "offload/base/fmt.h"
#include "offload/base/lock.h"
#include "offload/base/log.h"
#include "offload/base/mapped.h"
#include "shim/blas_args.h"
#include "shim/elf.h"
#include "shim/hook.h"
#include "shim/patch.h"
#include "shim/quick.h"
#include "shim/stub.h"

struct cdm_slot cdm_slots[CDM_BLAS_COUNT * CDM_VARIANTS];

/* Guards what is kept of slots, and the libraries' widths. A leaf: nothing is called with it held. Calls only try it, for a signal
 * handler's may have interrupted the holder; dlclose(), which is not for handlers, waits. */
static cdm_lock lock;

/* ---- names ------------------------------------------------------------------------------------------ */

/* clang-format off */
/* The text before and after the name, by variant. */
static const struct { char prefix[13], suffix[5]; } spelling[CDM_VARIANTS] = {
	[CDM_VARIANT_F] = {"", "_"},
	[CDM_VARIANT_F_BARE] = {"", ""},
	[CDM_VARIANT_F_64U] = {"", "64_"},
	[CDM_VARIANT_F_U64U] = {"", "_64_"},
	[CDM_VARIANT_F_U64] = {"", "_64"},
	[CDM_VARIANT_F_64] = {"", "64"},
	[CDM_VARIANT_F_SCIPY] = {"scipy_", "_"},
	[CDM_VARIANT_F_SCIPY_64U] = {"scipy_", "64_"},
	[CDM_VARIANT_F_SCIPY_U64U] = {"scipy_", "_64_"},
	[CDM_VARIANT_C] = {"cblas_", ""},
	[CDM_VARIANT_C_64U] = {"cblas_", "64_"},
	[CDM_VARIANT_C_U64U] = {"cblas_", "_64_"},
	[CDM_VARIANT_C_U64] = {"cblas_", "_64"},
	[CDM_VARIANT_C_64] = {"cblas_", "64"},
	[CDM_VARIANT_C_SCIPY] = {"scipy_cblas_", ""},
	[CDM_VARIANT_C_SCIPY_64U] = {"scipy_cblas_", "64_"},
};

enum { DOORS_F, DOORS_FC, DOORS_FS };
static const uint8_t doors_of[CDM_BLAS_COUNT] = {
#define CDM_ROUTINE(name, type, shape, doors) [CDM_BLAS_##name] = DOORS_##doors,
#include "shim/blas.def"
};
/* clang-format on */

static bool is_wide(int variant)
{
	return strstr(spelling[variant].suffix, "64");
}

static bool is_bare(int variant)
{
	return variant == CDM_VARIANT_F_BARE || variant == CDM_VARIANT_F_64;
}

static bool is_cblas(int variant)
{
	return variant >= CDM_VARIANT_C;
}

static const char *middle(int routine, int variant)
{
	return is_cblas(variant) && doors_of[routine] == DOORS_FS ? "_sub" : "";
}

void cdm_slot_name(char name[CDM_SLOT_NAME], int routine, int variant)
{
	cdm_fmt(name, CDM_SLOT_NAME, "%s%s%s%s", spelling[variant].prefix, cdm_blas_table[routine].name,
		middle(routine, variant), spelling[variant].suffix);
}

/* Routine identifiers + 1 by the hash of their names, open addressing; made on first use, by whoever comes first. */
#define HASH_SIZE 1024
_Static_assert(CDM_BLAS_COUNT <= HASH_SIZE / 2, "room to probe");
static uint16_t table[HASH_SIZE];
static _Atomic bool table_made;

static unsigned hash(const char *name, size_t len)
{
	unsigned h = 2166136261u; /* FNV-1a */

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)name[i]) * 16777619u;
	return (h ^ h >> 15) % HASH_SIZE;
}

/* Two threads at once store the same values in the same order. */
static void make_table(void)
{
	for (int r = 0; r < CDM_BLAS_COUNT; r++) {
		const char *name = cdm_blas_table[r].name;
		unsigned h = hash(name, strlen(name));
		while (table[h] && table[h] != r + 1)
			h = (h + 1) % HASH_SIZE;
		table[h] = (uint16_t)(r + 1);
	}
	atomic_store_explicit(&table_made, true, memory_order_release);
}

/* The routine called by the first len characters of name, or -1. */
static int routine_named(const char *name, size_t len)
{
	if (!atomic_load_explicit(&table_made, memory_order_acquire))
		make_table();
	for (unsigned h = hash(name, len); table[h]; h = (h + 1) % HASH_SIZE) {
		const char *other = cdm_blas_table[table[h] - 1].name;
		if (!strncmp(name, other, len) && !other[len])
			return table[h] - 1;
	}
	return -1;
}

bool cdm_slot_parse(const char *name, int *routine, int *variant)
{
	size_t len = strlen(name);

	if (len < 4 || len >= CDM_SLOT_NAME)
		return false;
	for (int v = 0; v < CDM_VARIANTS; v++) {
		size_t p = strlen(spelling[v].prefix), s = strlen(spelling[v].suffix);
		if (len <= p + s || strncmp(name, spelling[v].prefix, p) || strcmp(name + len - s, spelling[v].suffix))
			continue;
		size_t n = len - p - s;
		bool sub = is_cblas(v) && n > 4 && !strncmp(name + p + n - 4, "_sub", 4);
		int r = routine_named(name + p, sub ? n - 4 : n);
		if (r < 0 || sub != (middle(r, v)[0] != 0) || (is_cblas(v) && doors_of[r] == DOORS_F))
			continue;
		*routine = r;
		*variant = v;
		return true;
	}
	return false;
}

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

static bool same_module(const void *a, const void *b)
{
	Dl_info ia, ib;

	return dladdr(a, &ia) && dladdr(b, &ib) && ia.dli_fbase == ib.dli_fbase;
}

/* ---- what an original is ---------------------------------------------------------------------------- */

/* -2^32 + 3 to a function that reads 64 bits, 3 to one that reads 32. An index of the largest of -2^32 + 3 elements is 0. */
#define THREE_OR_NEGATIVE ((int64_t)((uint64_t)0xffffffff << 32 | 3))

/* Libraries whose integers' width is found out when one of their functions is first called: before, they may not be ready. */
#define LIBRARIES 32
static struct {
	void *fortran, *cblas; /* idamax_ and cblas_idamax */
	_Atomic int width;
} library[LIBRARIES];
static unsigned libraries; /* entries never go: another library at the same place is measured anew */

static int library_find(const void *fortran, const void *cblas)
{
	for (unsigned i = 0; i < libraries; i++)
		if (library[i].fortran == fortran && library[i].cblas == cblas)
			return (int)i + 1;
	return 0;
}

int cdm_slot_library(void *fortran, void *cblas)
{
	if ((!fortran && !cblas) || !cdm_lock_try(&lock))
		return 0;
	int n = library_find(fortran, cblas);
	if (!n && libraries < LIBRARIES) {
		library[libraries].fortran = fortran;
		library[libraries].cblas = cblas;
		n = (int)++libraries;
	}
	cdm_lock_drop(&lock);
	return n;
}

static int width_of(void *fortran, void *cblas)
{
	static const double x[3] = {1, 2, 3};
	static const int64_t n = THREE_OR_NEGATIVE, one = 1;
	bool wide;

	if (!fortran && !cblas)
		return 0;
	cdm_inside++;
	if (fortran)
		wide = ((int (*)(const int64_t *, const double *, const int64_t *))cdm_patch_original(fortran))(
			       &n, x, &one) == 0;
	else
		wide = ((size_t(*)(int64_t, const double *, int64_t))cdm_patch_original(cblas))(n, x, 1) == 0;
	cdm_inside--;
	return wide ? 64 : 32;
}

/* Once the flags say what is known of the integers. */
static void note_quick(struct cdm_slot *s)
{
	if (!(s->flags & (CDM_SLOT_FOREIGN | CDM_SLOT_WIDE | CDM_SLOT_UNSURE)) && cdm_quick_has(cdm_blas_shape[s->routine]))
		s->flags |= CDM_SLOT_QUICK;
}

/* A slot's first call. */
static void settle_width(struct cdm_slot *s)
{
	int i = s->own_library - 1, width = atomic_load(&library[i].width);

	if (!width)
		atomic_store(&library[i].width, width = width_of(library[i].fortran, library[i].cblas));
	s->flags = (uint8_t)((s->flags & ~CDM_SLOT_UNSURE) | (width == 64 ? CDM_SLOT_WIDE : 0));
	note_quick(s);
}

/* Whether the library that fn is in takes 64-bit integers under names that do not say so: NVPL's, for one. */
static bool takes_wide(void *fn)
{
	void *fortran = cdm_module_symbol(fn, "idamax_"), *cblas = cdm_module_symbol(fn, "cblas_idamax");

	if (!fortran)
		fortran = cdm_module_symbol(fn, "scipy_idamax_");
	if (!cblas)
		cblas = cdm_module_symbol(fn, "scipy_cblas_idamax");
	int width = width_of(fortran, cblas);
	/* A 64-bit library may leave some of its names undecorated. */
	return width ? width == 64 : cdm_module_symbol(fn, "idamax_64_") || cdm_module_symbol(fn, "scipy_idamax_64_");
}

/* A name without decoration may be anybody's: it is BLAS where its neighbours are. */
static bool is_blas(void *fn)
{
	static const char *const neighbours[] = {"dgemm", "dtrsm", "dgetrf"};

	for (size_t i = 0; i < sizeof(neighbours) / sizeof(*neighbours); i++) {
		void *p = cdm_module_symbol(fn, neighbours[i]);
		if (p && p != fn && same_module(p, fn))
			return true;
	}
	return false;
}

/* A CBLAS function calls its Fortran one from within; one with a result goes through a further function of its library. */
static void describe_place(struct cdm_slot *s, void *fn, size_t size)
{
	struct cdm_elf_place place;
	uintptr_t len = 0;

	if (s->flags & CDM_SLOT_CBLAS && cdm_shapes[cdm_blas_shape[s->routine]].result == 'v' &&
	    (size || (cdm_elf_at((uintptr_t)fn, &place) && (size = place.size)))) {
		s->library = (uintptr_t)fn;
		len = size;
	} else if (!cdm_module_extent((uintptr_t)fn, &s->library, &len)) {
		s->library = len = 0;
	}
	s->library_len = len < UINT32_MAX ? (uint32_t)len : UINT32_MAX;
}

/* own_library: see cdm_slot_library(). */
static void describe(struct cdm_slot *s, int routine, int variant, void *fn, size_t size, int own_library)
{
	bool wide = is_wide(variant);

	s->routine = (uint16_t)routine;
	s->variant = (uint8_t)variant;
	s->flags = is_cblas(variant) ? CDM_SLOT_CBLAS : 0;
	s->key = is_cblas(variant) ? CDM_KEY_CBLAS : cdm_mark_key(routine);
	if (fn && is_bare(variant) && !is_blas(fn))
		s->flags |= CDM_SLOT_FOREIGN;
	else if (wide || (!own_library && fn && takes_wide(fn)))
		s->flags |= CDM_SLOT_WIDE;
	else if (own_library)
		s->flags |= CDM_SLOT_UNSURE;
	note_quick(s);
	s->own_library = (uint8_t)own_library;
	cdm_gather_dims(s);
	if (fn)
		describe_place(s, fn, size);
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

static bool recall(struct cdm_slot *slot, uintptr_t site, struct cdm_slot *found)
{
	bool hit = false;

	if (!cdm_lock_try(&lock))
		return false;
	if (atomic_load_explicit(&slot->original, memory_order_relaxed) && covers(slot, site)) {
		copy_slot(found, slot);
		hit = true;
	}
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
	describe(&d->slot, routine, variant, fn, size, own_library);
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
	for (unsigned i = 0; i < libraries; i++)
		if (!is_loaded((uintptr_t)(library[i].fortran ? library[i].fortran : library[i].cblas), arg))
			atomic_store(&library[i].width, 0);
	for (int i = 0; i < KEPT; i++)
		if (kept[i].slot && is_gone(&kept[i].found, is_loaded, arg))
			kept[i].slot = NULL;
	cdm_lock_drop(&lock);
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
	describe(found, routine, variant, fn, 0, fn == only.fn ? only.own_library : 0);
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
	if (!strchr("sdczi", name[0]) || !cdm_slot_parse(name, &routine, &variant) || is_bare(variant))
		return 0;
	struct cdm_slot found, *slot = &cdm_slots[routine * CDM_VARIANTS + variant];
	if (atomic_load_explicit(&slot->original, memory_order_relaxed))
		return 0; /* the first in the program's order */
	memset(&found, 0, sizeof(found));
	found.caller_len = UINTPTR_MAX;
	describe(&found, routine, variant, fn, size, start->own_library);
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

static bool is_door(const struct cdm_slot *slot)
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
	if (is_door(slot)) {
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
	settle_width(found);
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
	int spelled = is_cblas(variant) ? fortran[variant] : variant;
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

/* ---- what kind of library it is ----------------------------------------------------------------------- */

/* A function that only this kind of library has. */
static const char *const marks[] = {"openblas_get_config", "bli_arch_query_id", "mkl_get_version",
				    "ATL_dgemm",           "armpl_info_get",    "nvpl_blas_get_version"};

static bool is_reference(const void *fn)
{
	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		if (cdm_module_symbol(fn, marks[i]))
			return false;
	return true;
}

bool cdm_slot_is_reference(int routine, const void *site)
{
	struct cdm_slot *slot = &cdm_slots[routine * CDM_VARIANTS + CDM_VARIANT_F], found;

	cdm_slot_find(slot, site, &found);
	return atomic_load_explicit(&found.original, memory_order_relaxed) && is_reference((const void *)found.library);
}

/* The OpenBLAS that fn is of, as the device's library is: the same file, but for another core type the better one wins. */
static bool is_lesser_openblas(const void *fn)
{
	const char *(*core)(void) = (const char *(*)(void))cdm_module_symbol(fn, "openblas_get_corename");
	char path[512];

	return core && !cdm_mapped_file((uintptr_t)fn, path, sizeof(path)) && cdm_forward_is_same(path, "") &&
	       !cdm_forward_is_same(path, core());
}

void cdm_slot_decide(struct cdm_slot *slot, const struct cdm_slot *found)
{
	void *original = atomic_load_explicit(&found->original, memory_order_relaxed);
	const void *of = (const void *)found->library; // NOLINT: a module's address
	uint8_t bits = CDM_SLOT_DECIDED;

	if (!original || original != atomic_load_explicit(&slot->original, memory_order_acquire) || is_door(slot))
		return;
	cdm_inside++;
	if (is_reference(of) || is_lesser_openblas(of))
		bits |= CDM_SLOT_FORWARD;
	cdm_inside--;
	__atomic_fetch_or(&slot->flags, bits, __ATOMIC_RELAXED);
}

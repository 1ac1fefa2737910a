/* What an original is: the width of its integers, whether it is BLAS at all, and what kind of library it is in. */
#include <dlfcn.h>
#include <string.h>

#include "offload/base/lock.h"
#include "offload/base/mapped.h"
#include "shim/blas_args.h"
#include "shim/elf.h"
#include "shim/hook.h"
#include "shim/patch.h"
#include "shim/quick.h"
#include "shim/slot_parts.h"

/* Guards the libraries. A leaf, as slot.c's. */
static cdm_lock lock;

/* ---- the width of a library's integers ------------------------------------------------------------------ */

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

void cdm_slot_kind_keep_loaded(bool (*is_loaded)(uintptr_t addr, const void *arg), const void *arg)
{
	cdm_lock_take(&lock);
	for (unsigned i = 0; i < libraries; i++)
		if (!is_loaded((uintptr_t)(library[i].fortran ? library[i].fortran : library[i].cblas), arg))
			atomic_store(&library[i].width, 0);
	cdm_lock_drop(&lock);
}

void cdm_slot_kind_after_fork(void)
{
	cdm_lock_reset(&lock);
}

/* ---- what a slot says of its original -------------------------------------------------------------------- */

/* Once the flags say what is known of the integers. */
static void note_quick(struct cdm_slot *s)
{
	if (!(s->flags & (CDM_SLOT_FOREIGN | CDM_SLOT_WIDE | CDM_SLOT_UNSURE)) &&
	    cdm_quick_has(cdm_blas_shape[s->routine]))
		s->flags |= CDM_SLOT_QUICK;
}

void cdm_slot_settle_width(struct cdm_slot *s)
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

static bool same_module(const void *a, const void *b)
{
	Dl_info ia, ib;

	return dladdr(a, &ia) && dladdr(b, &ib) && ia.dli_fbase == ib.dli_fbase;
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

void cdm_slot_describe(struct cdm_slot *s, int routine, int variant, void *fn, size_t size, int own_library)
{
	bool wide = cdm_slot_is_wide(variant);

	s->routine = (uint16_t)routine;
	s->variant = (uint8_t)variant;
	s->flags = cdm_slot_is_cblas(variant) ? CDM_SLOT_CBLAS : 0;
	s->key = cdm_slot_is_cblas(variant) ? CDM_KEY_CBLAS : cdm_mark_key(routine);
	if (fn && cdm_slot_is_bare(variant) && !is_blas(fn))
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

	if (!original || original != atomic_load_explicit(&slot->original, memory_order_acquire) ||
	    cdm_slot_is_door(slot))
		return;
	cdm_inside++;
	if (is_reference(of) || is_lesser_openblas(of))
		bits |= CDM_SLOT_FORWARD;
	cdm_inside--;
	__atomic_fetch_or(&slot->flags, bits, __ATOMIC_RELAXED);
}

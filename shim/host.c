/* Finding the program's own entry points. See host.h. */
#include "shim/host.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>

#include "offload/base/lock.h"
#include "offload/base/log.h"
#include "offload/offload.h"

/* Held to write a slot; never while another library's code runs. */
static cdm_lock lock;
static struct cdm_host_slot *kept;

/* ---- what is kept ----------------------------------------------------------------------------------- */

static void *recall(struct cdm_host_slot *slot, uintptr_t caller)
{
	unsigned seq = atomic_load_explicit(&slot->seq, memory_order_acquire);
	void *fn = NULL;

	for (int i = 0; i < CDM_HOST_MODULES && !fn; i++) {
		struct cdm_host_module *m = &slot->module[i];

		if (caller >= atomic_load_explicit(&m->lo, memory_order_relaxed) &&
		    caller < atomic_load_explicit(&m->hi, memory_order_relaxed))
			fn = atomic_load_explicit(&m->fn, memory_order_relaxed);
	}
	atomic_thread_fence(memory_order_acquire);
	return (seq & 1) || atomic_load_explicit(&slot->seq, memory_order_relaxed) != seq ? NULL : fn;
}

static void keep_slot(struct cdm_host_slot *slot)
{
	if (slot->linked)
		return;
	slot->linked = true;
	slot->link = kept;
	kept = slot;
}

static void write_begin(struct cdm_host_slot *slot)
{
	unsigned seq = atomic_load_explicit(&slot->seq, memory_order_relaxed);

	atomic_store_explicit(&slot->seq, seq | 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
}

static void write_end(struct cdm_host_slot *slot)
{
	unsigned seq = atomic_load_explicit(&slot->seq, memory_order_relaxed);

	atomic_store_explicit(&slot->seq, seq + 1, memory_order_release);
}

static void write_module(struct cdm_host_module *m, uintptr_t lo, uintptr_t hi, void *fn)
{
	atomic_store_explicit(&m->lo, lo, memory_order_relaxed);
	atomic_store_explicit(&m->hi, hi, memory_order_relaxed);
	atomic_store_explicit(&m->fn, fn, memory_order_relaxed);
}

static void keep_global(struct cdm_host_slot *slot, void *fn)
{
	cdm_lock_take(&lock);
	keep_slot(slot);
	atomic_store_explicit(&slot->global, fn, memory_order_relaxed);
	cdm_lock_drop(&lock);
}

static void keep_module(struct cdm_host_slot *slot, uintptr_t lo, uintptr_t hi, void *fn)
{
	cdm_lock_take(&lock);
	keep_slot(slot);
	write_begin(slot);
	write_module(&slot->module[slot->victim++ % CDM_HOST_MODULES], lo, hi, fn);
	write_end(slot);
	cdm_lock_drop(&lock);
}

void cdm_host_forget(void)
{
	cdm_lock_take(&lock);
	for (struct cdm_host_slot *slot = kept; slot; slot = slot->link) {
		atomic_store_explicit(&slot->global, NULL, memory_order_relaxed);
		write_begin(slot);
		for (int i = 0; i < CDM_HOST_MODULES; i++)
			write_module(&slot->module[i], 0, 0, NULL);
		write_end(slot);
	}
	cdm_lock_drop(&lock);
}

void cdm_host_after_fork(void)
{
	cdm_lock_reset(&lock);
	cdm_host_forget();
}

/* ---- lookup ----------------------------------------------------------------------------------------- */

static bool is_own(const void *fn)
{
	Dl_info other, own;

	return dladdr(fn, &other) && dladdr((const void *)&lock, &own) && other.dli_fbase == own.dli_fbase;
}

static void *lookup(void *handle, const char *symbol)
{
	void *fn = dlsym(handle, symbol);

	if (!fn)
		(void)dlerror(); /* the program's next dlerror() is not about this */
	return fn && !is_own(fn) ? fn : NULL;
}

/* libc's own: libcdm's would forget what was kept. */
static void close_handle(void *handle)
{
	int (*next)(void *) = (int (*)(void *))dlsym(RTLD_NEXT, "dlclose");

	if (next)
		(void)next(handle);
}

/* In the module at code address caller, and in the libraries it depends on. */
static void *lookup_from(const char *symbol, const void *caller)
{
	Dl_info info;

	if (!dladdr(caller, &info) || !info.dli_fname)
		return NULL;
	void *handle = dlopen(info.dli_fname, RTLD_NOLOAD | RTLD_LAZY);
	if (!handle) {
		(void)dlerror();
		return NULL;
	}
	void *fn = lookup(handle, symbol);
	close_handle(handle);
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

static void *find(struct cdm_host_slot *slot, const void *caller)
{
	struct extent e = {.at = (uintptr_t)caller};
	void *fn = lookup(RTLD_NEXT, slot->symbol);

	if (fn) {
		keep_global(slot, fn);
		return fn;
	}
	fn = lookup_from(slot->symbol, caller);
	if (fn && dl_iterate_phdr(measure, &e))
		keep_module(slot, e.lo, e.hi, fn);
	if (!fn && slot->routine != CDM_HOST_NO_FALLBACK)
		fn = cdm_call_fallback(slot->routine);
	return fn;
}

void *cdm_host_entry(struct cdm_host_slot *slot, const void *caller)
{
	void *fn = recall(slot, (uintptr_t)caller);

	if (fn)
		return fn;
	int saved = errno;
	cdm_inside++;
	fn = find(slot, caller);
	cdm_inside--;
	errno = saved;
	return fn;
}

void cdm_host_missing(struct cdm_host_slot *slot)
{
	if (!atomic_exchange_explicit(&slot->missed, true, memory_order_relaxed))
		cdm_log(CDM_LOG_ERROR, "symbol lookup error: undefined symbol: %s", slot->symbol);
}

/* ---- what kind it is -------------------------------------------------------------------------------- */

/* A function that only this kind of library has. */
static const char *const marks[] = {"openblas_get_config", "bli_arch_query_id", "mkl_get_version",
				    "ATL_dgemm",           "armpl_info_get",    "nvpl_blas_get_version"};

bool cdm_host_is_reference(const void *fn)
{
	Dl_info info;
	bool tuned = false;

	if (!dladdr(fn, &info))
		return false;
	void *handle = dlopen(info.dli_fname, RTLD_NOLOAD | RTLD_LAZY);
	if (!handle)
		return false;
	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		tuned |= dlsym(handle, marks[i]) != NULL;
	dlclose(handle);
	return !tuned;
}

/* The dynamic loader's calls.
 *
 * dlopen() looks at its return address, and so does dlsym() with RTLD_NEXT and RTLD_DEFAULT: their wrappers leave by a jump. So
 * libraries are examined not when they are opened but before anything of them is looked up, when only the thread that
 * opened them can know them.
 */
#include <dlfcn.h>
#include <stdatomic.h>

#include "offload/offload.h"
#include "shim/hook.h"
#include "shim/provider.h"
#include "shim/slot.h"

/* return f(args) leaves by a jump. */
#if defined __clang__
#define JUMP __attribute__((musttail)) return
#else
#pragma GCC optimize("O2", "optimize-sibling-calls")
#define JUMP return
#endif

static _Atomic bool opened_deep; /* a library was, at some time */

CDM_EXPORT void *dlopen(const char *path, int flags)
{
	cdm_hook_resolve(); /* what stands for the next dlopen before would be the caller */
	if (!cdm_inside && flags & RTLD_DEEPBIND)
		atomic_store_explicit(&opened_deep, true, memory_order_relaxed);
	JUMP cdm_next.dlopen(path, flags);
}

/* libcdm has a function of every name. Without libcdm, would the program have found one? */
static bool exists(const char *name, const void *site)
{
	return cdm_next.dlsym(RTLD_NEXT, name) || cdm_module_symbol(site, name);
}

/* A name of libcdm's in the global scope, which libcdm is part of. */
static void *find_global(void *fn, const char *name, const void *site)
{
	return exists(name, site) ? fn : cdm_next.dlsym(RTLD_NEXT, name); /* for the program's dlerror() */
}

static __attribute__((noinline)) void *find(void *handle, const char *name, const void *site)
{
	int routine, variant;

	cdm_provider_look(handle, atomic_load_explicit(&opened_deep, memory_order_relaxed));
	void *fn = cdm_next.dlsym(handle, name);
	if (!fn || !cdm_slot_parse(name, &routine, &variant))
		return fn;
	if (cdm_slot_is_own(fn))
		return find_global(fn, name, site);
	return cdm_provider_door(routine, variant, fn);
}

static bool is_ours(const char *name)
{
	int routine, variant;

	return cdm_slot_parse(name, &routine, &variant);
}

CDM_EXPORT void *dlsym(void *handle, const char *name)
{
	cdm_hook_resolve();
	if (cdm_inside || handle == RTLD_NEXT || (handle == RTLD_DEFAULT && !is_ours(name)))
		JUMP cdm_next.dlsym(handle, name);
	return find(handle, name, __builtin_return_address(0));
}

CDM_EXPORT int dlclose(void *handle)
{
	int r = cdm_next.dlclose(handle);

	cdm_provider_unloaded();
	cdm_map_dlclosed();
	return r;
}

/* Start, exit and fork of a preloaded process. Linked into libcdm.so only: the base library starts nothing.
 *
 * The object is linked with -z initfirst: its constructor runs before all others. Other libraries' constructors find
 * the engine ready, and its fork handlers are the first registered, so that its prepare handler, which takes the
 * map lock, is the last to run. Were another library's to run after it (OpenBLAS joins its threads there), a
 * thread that waits for the map lock could keep that handler waiting for ever.
 */
#include <pthread.h>
#include <unistd.h>

#include "offload/offload.h"
#include "shim/blas.h"
#include "shim/fault.h"
#include "shim/hook.h"
#include "shim/host.h"

static void fork_child(void)
{
	cdm_host_after_fork();
	cdm_engine_fork_child();
}

/* Other libraries' prepare handlers run before libcdm's. OpenBLAS joins its threads there, which must not be in the
 * middle of a call: so operations end before any handler runs. */
CDM_EXPORT pid_t fork(void)
{
	cdm_engine_fork_begin();
	return cdm_next.fork();
}

static bool host_is_reference(int routine, const void *site)
{
	void *fn = cdm_host(&cdm_blas_fortran[routine], site);
	return fn && cdm_host_is_reference(fn);
}

__attribute__((constructor)) static void start(int argc, char **argv, char **envp)
{
	(void)argc;
	(void)argv;
	cdm_hook_resolve();
	cdm_blas_register();
	cdm_engine_on_faults(cdm_fault_install);
	cdm_engine_on_host(host_is_reference);
	cdm_engine_init(envp);
	cdm_malloc_start();
	cdm_hook_check();
	pthread_atfork(cdm_engine_fork_prepare, cdm_engine_fork_parent, fork_child);
}

__attribute__((destructor)) static void finish(void)
{
	cdm_engine_fini();
}

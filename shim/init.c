/* Start, exit and fork of a preloaded process. Linked into libcdm.so only: the base library starts nothing. */
#include <pthread.h>

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

__attribute__((constructor)) static void start(int argc, char **argv, char **envp)
{
	(void)argc;
	(void)argv;
	cdm_hook_resolve();
	cdm_blas_register();
	cdm_engine_on_faults(cdm_fault_install);
	cdm_engine_init(envp);
	cdm_hook_check();
	pthread_atfork(cdm_engine_fork_prepare, cdm_engine_fork_parent, fork_child);
}

__attribute__((destructor)) static void finish(void) { cdm_engine_fini(); }

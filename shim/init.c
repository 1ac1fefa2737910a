/* Start, exit and fork of a preloaded process. Linked into libcdm.so only: the base library starts nothing.
 *
 * The object is linked with -z initfirst: its constructor runs before all others. Other libraries' constructors find
 * the engine ready, and its fork handlers are the first registered, so that its prepare handler, which takes the
 * map lock, is the last to run. Were another library's to run after it (OpenBLAS joins its threads there), a
 * thread that waits for the map lock could keep that handler waiting for ever.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "offload/base/quiet.h"
#include "offload/offload.h"
#include "shim/fault.h"
#include "shim/hook.h"
#include "shim/provider.h"
#include "shim/sent.h"
#include "shim/slot.h"
#include "shim/stub.h"

/* Locks of the shim's that threads of the parent may hold. */
static void shim_after_fork(void)
{
	cdm_slot_after_fork();
	cdm_stub_after_fork();
	cdm_provider_after_fork();
	cdm_fault_after_fork();
	cdm_sent_after_fork();
}

static void fork_child(void)
{
	shim_after_fork();
	cdm_engine_fork_child();
}

/* Other libraries' prepare handlers run before libcdm's. OpenBLAS joins its threads there, which must not be in the
 * middle of a call: so operations end before any handler runs. */
CDM_EXPORT pid_t fork(void)
{
	cdm_engine_fork_begin();
	return cdm_next.fork();
}

/* fork() without anybody's handlers, and async-signal-safe. Only what a private device has away would be missed. */
static void bare_child(void)
{
	shim_after_fork();
	cdm_engine_fork_bare_child();
}

pid_t cdm_fork_bare(pid_t (*fork_now)(void))
{
	if (!cdm_defers)
		return fork_now();
	cdm_engine_fork_bare_prepare();
	pid_t pid = fork_now();
	if (pid)
		cdm_engine_fork_bare_parent();
	else
		bare_child();
	return pid;
}

CDM_EXPORT pid_t _Fork(void)
{
	return cdm_fork_bare(cdm_next._Fork);
}

/* What is opened in the constructor (libcapstone, a library to be patched) makes libc start, before its turn, with the arguments that
 * it knows: none. It keeps the environment that it has then; the program's name it lacks. */
static void name_program(char *path)
{
	if (!path || program_invocation_name[0])
		return;
	char *slash = strrchr(path, '/');
	program_invocation_name = path;
	program_invocation_short_name = slash ? slash + 1 : path;
}

__attribute__((constructor)) static void start(int argc, char **argv, char **envp)
{
	environ = envp;
	cdm_hook_resolve();
	cdm_engine_routines(cdm_blas_table, CDM_BLAS_COUNT);
	cdm_engine_on_faults(cdm_fault_install);
	cdm_engine_on_host(cdm_slot_is_reference);
	cdm_engine_init(envp);
	cdm_engine_on_providers(cdm_provider_list);
	cdm_malloc_start();
	cdm_slot_start();
	cdm_provider_start();
	cdm_hook_check();
	pthread_atfork(cdm_engine_fork_prepare, cdm_engine_fork_parent, fork_child);
	name_program(argc > 0 ? argv[0] : NULL);
}

__attribute__((destructor)) static void finish(void)
{
	cdm_engine_fini();
}

/* The dynamic loader's calls. */
#include <dlfcn.h>

#include "offload/offload.h"
#include "shim/hook.h"
#include "shim/host.h"

CDM_EXPORT int dlclose(void *handle)
{
	int r = cdm_next.dlclose(handle);

	cdm_host_forget();
	cdm_map_dlclosed();
	return r;
}

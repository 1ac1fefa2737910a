#include "offload/mem/watcher.h"

#include <errno.h>
#include <sys/prctl.h>

#include "offload/base/sys.h"
#include "offload/base/thread.h"
#include "offload/mem/device.h"
#include "offload/mem/recall.h"
#include "offload/mem/uffd.h"

static struct cdm_thread thread;

CDM_THREAD_CODE static void watch(void)
{
	struct cdm_touch t;

	(void)cdm_sys6(SYS_prctl, PR_SET_NAME, (long)"cdm-watcher", 0, 0, 0, 0);
	while (!cdm_uffd_next(&t)) {
		cdm_on_device = cdm_device.compute->owns_thread(t.tid);
		cdm_recall_fault(t.addr, t.write);
		cdm_uffd_wake(t.addr);
	}
}

int cdm_watcher_start(void)
{
	return thread.memory || cdm_thread_start(&thread, watch) ? 0 : -EAGAIN;
}

void cdm_watcher_forget(void)
{
	cdm_thread_forget(&thread);
}

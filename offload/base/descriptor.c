#include "offload/base/descriptor.h"

#include <sys/resource.h>

#include "offload/base/sys.h"

int cdm_descriptor_raise(int low)
{
	struct rlimit64 limit = {0, 0};

	cdm_sys6(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (long)&limit, 0, 0);
	int high = limit.rlim_cur > 20000 ? 10000 : (int)(limit.rlim_cur / 2);
	int to = (int)cdm_sys3(SYS_fcntl, low, F_DUPFD_CLOEXEC, high);
	if (to < 0)
		return low;
	cdm_sys_close(low);
	return to;
}

/* Programs that close what they did not open (daemons, before exec) leave the mechanism's descriptor alone: with it would go
 * the registration of pages that are on a private device, and they would read as zeros. */
#include <errno.h>
#include <unistd.h>

#include "offload/offload.h"
#include "shim/hook.h"

CDM_EXPORT int close(int fd)
{
	if (fd >= 0 && fd == cdm_engine_descriptor()) {
		errno = EBADF; /* as if it were not there */
		return -1;
	}
	return cdm_next.close(fd);
}

CDM_EXPORT int close_range(unsigned first, unsigned last, int flags)
{
	unsigned own = (unsigned)cdm_engine_descriptor();

	if (own < first || own > last)
		return cdm_next.close_range(first, last, flags);
	int r = own > first ? cdm_next.close_range(first, own - 1, flags) : 0;
	return r || own == last ? r : cdm_next.close_range(own + 1, last, flags);
}

CDM_EXPORT void closefrom(int first)
{
	if (cdm_engine_descriptor() < first)
		cdm_next.closefrom(first);
	else
		close_range((unsigned)(first < 0 ? 0 : first), ~0u, 0);
}

/* Onto it: libcdm's makes room. */
static void make_room(int fd)
{
	if (fd >= 0 && fd == cdm_engine_descriptor())
		cdm_engine_descriptor_move();
}

CDM_EXPORT int dup2(int fd, int to)
{
	make_room(to);
	return cdm_next.dup2(fd, to);
}

CDM_EXPORT int dup3(int fd, int to, int flags)
{
	make_room(to);
	return cdm_next.dup3(fd, to, flags);
}

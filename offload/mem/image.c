#include "offload/mem/image.h"

#include "offload/mem/device.h"

/* Readable space on both sides: compute libraries read a little around their operands (see CDM_BLOCK_MARGIN in block.c). */
#define FRONT CDM_HUGE
#define BEHIND ((size_t)256 << 10)

int cdm_image_make(struct cdm_region *r)
{
	void *dva;

	if (r->image)
		return 0;
	/* As far into its 2 MiB as the region is into its own: whole huge pages face whole huge pages. */
	int e = cdm_device.mem->reserve(FRONT + CDM_HUGE + r->len + BEHIND, &dva);
	if (e)
		return e;
	r->image = (uintptr_t)dva + FRONT + (r->base & (CDM_HUGE - 1));
	return 0;
}

void cdm_image_drop(struct cdm_region *r)
{
	if (!r->image)
		return;
	uintptr_t dva = cdm_round_down(r->image, CDM_HUGE) - FRONT;
	cdm_device.mem->unreserve((void *)dva, FRONT + CDM_HUGE + r->len + BEHIND);
	r->image = 0;
}

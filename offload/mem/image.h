/* Images: the private device's copy of a region. An image is one range of device addresses, affine to the region's, so
 * that a sub-matrix keeps its leading dimension; memory is committed for the pages that are SHARED or DEVICE alone.
 *
 * Caller holds the move lock and has claimed the region.
 */
#ifndef CDM_MEM_IMAGE_H
#define CDM_MEM_IMAGE_H

#include "offload/mem/region.h"

/* Reserves r's image unless it has one. 0 or a negative errno. */
int cdm_image_make(struct cdm_region *r);
/* Gives it up, with whatever memory is in it. */
void cdm_image_drop(struct cdm_region *r);
/* The device's address of the byte at addr, in r. r has an image. */
static inline void *cdm_image_at(const struct cdm_region *r, uintptr_t addr)
{
	return (void *)(r->image + (addr - r->base));
}

#endif

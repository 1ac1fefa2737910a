/* Elements of 16 bytes, 4 in a vector. */
#pragma once

#define VL 4
#define MASK_BITS 2
#include "offload/tiny/element_512.h"

FN V v_loadm(const void *p, VM mask)
{
	return _mm512_maskz_loadu_pd(mask, p);
}

/* Stores the first `count` elements, fewer than VL. */
FN void v_storep(void *p, V v, int count)
{
	_mm512_mask_storeu_pd(p, v_mask(count), v);
}

/* Rows and columns change places. */
FN void v_transpose(V r[VL])
{
	v_transpose_quarters(&r[0], &r[1], &r[2], &r[3]);
}

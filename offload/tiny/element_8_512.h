/* Elements of 8 bytes, 8 in a vector: doubles, and complex numbers of two floats. */
#pragma once

#define VL 8
#define MASK_BITS 1
#include "offload/tiny/element_512.h"

FN V v_loadm(const void *p, VM mask)
{
	return v_from_pd(_mm512_maskz_loadu_pd((__mmask8)mask, p));
}

/* Stores the first `count` elements, fewer than VL. */
FN void v_storep(void *p, V v, int count)
{
	_mm512_mask_storeu_pd(p, (__mmask8)v_mask(count), v_as_pd(v));
}

/* Rows and columns change places. */
FN void v_transpose(V r[VL])
{
	UNROLL for (int i = 0; i < VL; i += 2)
	{
		__m512d a = v_as_pd(r[i]), b = v_as_pd(r[i + 1]);

		r[i] = v_from_pd(_mm512_unpacklo_pd(a, b));
		r[i + 1] = v_from_pd(_mm512_unpackhi_pd(a, b));
	}
	V t[VL] = {r[0], r[2], r[4], r[6], r[1], r[3], r[5], r[7]};

	UNROLL for (int c = 0; c < 2; c++)
	{
		v_transpose_quarters(&t[4 * c], &t[4 * c + 1], &t[4 * c + 2], &t[4 * c + 3]);
		UNROLL for (int q = 0; q < 4; q++) r[2 * q + c] = t[4 * c + q];
	}
}

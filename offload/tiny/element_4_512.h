/* Elements of 4 bytes, 16 in a vector. */
#pragma once

#define VL 16
#define MASK_BITS 1
#include "offload/tiny/element_512.h"

FN V v_loadm(const void *p, VM mask)
{
	return _mm512_maskz_loadu_ps(mask, p);
}

/* Stores the first `count` elements, fewer than VL. */
FN void v_storep(void *p, V v, int count)
{
	_mm512_mask_storeu_ps(p, v_mask(count), v);
}

/* In each quarter, four rows and four columns change places. */
FN void v_transpose_in_quarters(V r[4])
{
	V a = _mm512_unpacklo_ps(r[0], r[1]), b = _mm512_unpackhi_ps(r[0], r[1]);
	V c = _mm512_unpacklo_ps(r[2], r[3]), d = _mm512_unpackhi_ps(r[2], r[3]);

	r[0] = _mm512_shuffle_ps(a, c, 0x44);
	r[1] = _mm512_shuffle_ps(a, c, 0xee);
	r[2] = _mm512_shuffle_ps(b, d, 0x44);
	r[3] = _mm512_shuffle_ps(b, d, 0xee);
}

/* Rows and columns change places. */
FN void v_transpose(V r[VL])
{
	V t[VL];

	UNROLL for (int i = 0; i < VL; i += 4) v_transpose_in_quarters(r + i);
	UNROLL for (int c = 0; c < 4; c++)
	{
		UNROLL for (int h = 0; h < 4; h++) t[4 * c + h] = r[4 * h + c];
		v_transpose_quarters(&t[4 * c], &t[4 * c + 1], &t[4 * c + 2], &t[4 * c + 3]);
	}
	UNROLL for (int c = 0; c < 4; c++) UNROLL for (int q = 0; q < 4; q++) r[4 * q + c] = t[4 * c + q];
}

/* What elements of any size share in vectors of 512 bits: VL of them, MASK_BITS for each in a mask. */
#pragma once

/* The first `count` elements, 0 to VL. */
FN VM v_mask(int count)
{
	return (VM) ~(~0u << count * MASK_BITS);
}

/* Those of tail that are not in head. */
FN VM v_mask_between(VM head, VM tail)
{
	return (VM)(tail & ~head);
}

/* Vector i has, in its quarter q, what vector q had in its quarter i. */
FN void v_transpose_quarters(V *r0, V *r1, V *r2, V *r3)
{
	__m512d a = _mm512_shuffle_f64x2(v_as_pd(*r0), v_as_pd(*r1), 0x44);
	__m512d b = _mm512_shuffle_f64x2(v_as_pd(*r0), v_as_pd(*r1), 0xee);
	__m512d c = _mm512_shuffle_f64x2(v_as_pd(*r2), v_as_pd(*r3), 0x44);
	__m512d d = _mm512_shuffle_f64x2(v_as_pd(*r2), v_as_pd(*r3), 0xee);

	*r0 = v_from_pd(_mm512_shuffle_f64x2(a, c, 0x88));
	*r1 = v_from_pd(_mm512_shuffle_f64x2(a, c, 0xdd));
	*r2 = v_from_pd(_mm512_shuffle_f64x2(b, d, 0x88));
	*r3 = v_from_pd(_mm512_shuffle_f64x2(b, d, 0xdd));
}

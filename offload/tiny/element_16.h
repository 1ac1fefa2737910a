/* Elements of 16 bytes, 2 in a vector. */
#pragma once

#define VL 2

static const int64_t v_masks[8] = {-1, -1, -1, -1};

/* The first `count` elements, 0 to VL. */
FN VM v_mask(int count)
{
	return _mm256_loadu_si256((const __m256i *)(v_masks + 4 - 2 * count));
}

/* Those of tail that are not in head. */
FN VM v_mask_between(VM head, VM tail)
{
	return _mm256_andnot_si256(head, tail);
}

FN V v_loadm(const void *p, VM mask)
{
	return _mm256_maskload_pd(p, mask);
}

/* Stores the first `count` elements, fewer than VL. */
FN void v_storep(void *p, V v, int count)
{
	if (count & 1)
		_mm_storeu_pd(p, _mm256_castpd256_pd128(v));
}

/* Rows and columns change places. */
FN void v_transpose(V r[VL])
{
	V lo = _mm256_permute2f128_pd(r[0], r[1], 0x20);

	r[1] = _mm256_permute2f128_pd(r[0], r[1], 0x31);
	r[0] = lo;
}

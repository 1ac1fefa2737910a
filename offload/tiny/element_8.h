/* Elements of 8 bytes, 4 in a vector: doubles, and complex numbers of two floats. */
#pragma once

#define VL 4

static const int64_t v_masks[8] = {-1, -1, -1, -1};

FN __m256d v_as_pd(V v)
{
	union {
		V v;
		__m256d d;
	} u = {.v = v};
	return u.d;
}

FN V v_from_pd(__m256d d)
{
	union {
		__m256d d;
		V v;
	} u = {.d = d};
	return u.v;
}

/* The first `count` elements, 0 to VL. */
FN VM v_mask(int count)
{
	return _mm256_loadu_si256((const __m256i *)(v_masks + VL - count));
}

/* Those of tail that are not in head. */
FN VM v_mask_between(VM head, VM tail)
{
	return _mm256_andnot_si256(head, tail);
}

FN V v_loadm(const void *p, VM mask)
{
	return v_from_pd(_mm256_maskload_pd(p, mask));
}

/* Stores the first `count` elements, fewer than VL: masked stores are slow on AMD's processors. */
FN void v_storep(void *p, V v, int count)
{
	__m256d d = v_as_pd(v);
	__m128d part = _mm256_castpd256_pd128(d);
	double *to = p;

	if (count & 2) {
		_mm_storeu_pd(to, part);
		part = _mm256_extractf128_pd(d, 1);
		to += 2;
	}
	if (count & 1)
		_mm_store_sd(to, part);
}

/* Rows and columns change places. */
FN void v_transpose(V r[VL])
{
	__m256d a = _mm256_unpacklo_pd(v_as_pd(r[0]), v_as_pd(r[1]));
	__m256d b = _mm256_unpackhi_pd(v_as_pd(r[0]), v_as_pd(r[1]));
	__m256d c = _mm256_unpacklo_pd(v_as_pd(r[2]), v_as_pd(r[3]));
	__m256d d = _mm256_unpackhi_pd(v_as_pd(r[2]), v_as_pd(r[3]));

	r[0] = v_from_pd(_mm256_permute2f128_pd(a, c, 0x20));
	r[1] = v_from_pd(_mm256_permute2f128_pd(b, d, 0x20));
	r[2] = v_from_pd(_mm256_permute2f128_pd(a, c, 0x31));
	r[3] = v_from_pd(_mm256_permute2f128_pd(b, d, 0x31));
}

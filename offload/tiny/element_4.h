/* Elements of 4 bytes, 8 in a vector. */
#pragma once

#define VL 8

static const int32_t v_masks[16] = {-1, -1, -1, -1, -1, -1, -1, -1};

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
	return _mm256_maskload_ps(p, mask);
}

/* Stores the first `count` elements, fewer than VL: masked stores are slow on AMD's processors. */
FN void v_storep(void *p, V v, int count)
{
	float *to = p;
	__m128 part = _mm256_castps256_ps128(v);

	if (count & 4) {
		_mm_storeu_ps(to, part);
		part = _mm256_extractf128_ps(v, 1);
		to += 4;
	}
	if (count & 2) {
		_mm_storel_pi((__m64 *)to, part);
		part = _mm_movehl_ps(part, part);
		to += 2;
	}
	if (count & 1)
		_mm_store_ss(to, part);
}

/* Rows and columns change places. */
FN void v_transpose(V r[VL])
{
	V t[8];

	UNROLL for (int i = 0; i < 4; i++)
	{
		t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
		t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
	}
	UNROLL for (int h = 0; h < 2; h++)
	{
		r[4 * h] = _mm256_shuffle_ps(t[4 * h], t[4 * h + 2], 0x44);
		r[4 * h + 1] = _mm256_shuffle_ps(t[4 * h], t[4 * h + 2], 0xee);
		r[4 * h + 2] = _mm256_shuffle_ps(t[4 * h + 1], t[4 * h + 3], 0x44);
		r[4 * h + 3] = _mm256_shuffle_ps(t[4 * h + 1], t[4 * h + 3], 0xee);
	}
	UNROLL for (int i = 0; i < 4; i++)
	{
		V lo = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);

		r[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
		r[i] = lo;
	}
}

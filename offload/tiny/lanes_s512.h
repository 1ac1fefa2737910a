/* Vectors of 16 floats. */
#pragma once
#include "offload/tiny/common.h"

typedef float T;
typedef __m512 V;
typedef __mmask16 VM; /* a bit for each element */

#define LANES 16
#define REGISTERS 32
#define SAFE_MIN 0x1p-126f /* smallest number whose reciprocal does not overflow */

FN V v_zero(void)
{
	return _mm512_setzero_ps();
}

FN V v_set1(T x)
{
	return _mm512_set1_ps(x);
}

FN V v_bcast(const T *p)
{
	return _mm512_set1_ps(*p);
}

FN V v_loadl(const T *p)
{
	return _mm512_loadu_ps(p);
}

FN void v_storel(T *p, V v)
{
	_mm512_storeu_ps(p, v);
}

FN V v_fma(V a, V b, V c)
{
	return _mm512_fmadd_ps(a, b, c);
}

FN V v_fnma(V a, V b, V c)
{
	return _mm512_fnmadd_ps(a, b, c);
}

FN V v_fmaddsub(V a, V b, V c)
{
	return _mm512_fmaddsub_ps(a, b, c);
}

FN V v_swap(V a)
{
	return _mm512_shuffle_ps(a, a, 0xb1);
}

FN V v_xor(V a, V b)
{
	return _mm512_xor_ps(a, b);
}

FN V v_abs(V a)
{
	return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), a);
}

/* The larger; b where one is NaN. */
FN V v_max(V a, V b)
{
	return _mm512_max_ps(a, b);
}

FN uint64_t v_eqbits(V a, V b)
{
	return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ);
}

/* a > b */
FN uint64_t v_gtbits(V a, V b)
{
	return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ);
}

FN T t_abs(T x)
{
	return __builtin_fabsf(x);
}

/* acc - a b */
FN T t_fnma(T a, T b, T acc)
{
	return __builtin_fmaf(-a, b, acc);
}

FN T t_sqrt(T x)
{
	return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x)));
}

/* The lanes whose bits are set, zero in the others. */
FN V v_keep(V v, uint64_t bits)
{
	return _mm512_maskz_mov_ps((__mmask16)bits, v);
}

/* Sign bits in the even lanes, in the odd lanes. */
FN V v_signs(bool even, bool odd)
{
	T e = even ? -0.0f : 0.0f, o = odd ? -0.0f : 0.0f;

	return _mm512_setr_ps(e, o, e, o, e, o, e, o, e, o, e, o, e, o, e, o);
}

FN __m256 v_low(V v)
{
	return _mm512_castps512_ps256(v);
}

FN __m256 v_high(V v)
{
	return _mm512_extractf32x8_ps(v, 1);
}

FN T v_hmax(V v)
{
	__m256 h = _mm256_max_ps(v_low(v), v_high(v));
	__m128 m = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));

	m = _mm_max_ps(m, _mm_movehl_ps(m, m));
	return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

/* The sums of the even and of the odd lanes. */
FN __m128 v_pairs_sum(V v)
{
	__m256 h = v_low(v) + v_high(v);
	__m128 m = _mm256_castps256_ps128(h) + _mm256_extractf128_ps(h, 1);

	return m + _mm_movehl_ps(m, m);
}

FN T v_hsum(V v)
{
	__m128 m = v_pairs_sum(v);

	return _mm_cvtss_f32(_mm_add_ss(m, _mm_movehdup_ps(m)));
}

/* The sums of four vectors. */
FN __m128 v_four_sums(const V v[4])
{
	V ab = _mm512_unpacklo_ps(v[0], v[1]) + _mm512_unpackhi_ps(v[0], v[1]);
	V cd = _mm512_unpacklo_ps(v[2], v[3]) + _mm512_unpackhi_ps(v[2], v[3]);
	V all = _mm512_shuffle_ps(ab, cd, 0x44) + _mm512_shuffle_ps(ab, cd, 0xee);
	__m256 h = v_low(all) + v_high(all);

	return _mm256_castps256_ps128(h) + _mm256_extractf128_ps(h, 1);
}

/* y = alpha times the sums of four vectors + beta y */
FN void v_put_sums(T *y, const V v[4], T alpha, T beta)
{
	__m128 r = v_four_sums(v) * _mm_set1_ps(alpha);

	_mm_storeu_ps(y, beta == 0 ? r : _mm_fmadd_ps(_mm_loadu_ps(y), _mm_set1_ps(beta), r));
}

/* Pairs (sum of re[j], sum of im[j]), next to each other; zeros beyond them. */
FN void v_sum_pairs(V to[1], const V re[4], const V im[4])
{
	const V first[4] = {re[0], im[0], re[1], im[1]}, last[4] = {re[2], im[2], re[3], im[3]};
	__m512 zero = _mm512_setzero_ps();

	to[0] = _mm512_insertf32x4(_mm512_insertf32x4(zero, v_four_sums(first), 0), v_four_sums(last), 1);
}

FN void v_hsum2(T *even, T *odd, V v)
{
	__m128 m = v_pairs_sum(v);

	*even = _mm_cvtss_f32(m);
	*odd = _mm_cvtss_f32(_mm_movehdup_ps(m));
}

FN __m512d v_as_pd(V v)
{
	return _mm512_castps_pd(v);
}

FN V v_from_pd(__m512d d)
{
	return _mm512_castpd_ps(d);
}

FN V v_both(__m256 low, __m256 high)
{
	return _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
}

/* (a[0], b[0], a[1], b[1], ...), zeros from `rows` on: at most half a vector's lanes. */
FN V v_interleave(const T *a, const T *b, int rows)
{
	__mmask8 mask = (__mmask8)((1 << rows) - 1);
	V both = v_both(_mm256_maskz_loadu_ps(mask, a), _mm256_maskz_loadu_ps(mask, b));

	return _mm512_permutexvar_ps(_mm512_setr_epi32(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15), both);
}

/* (p[0], p[1]) in all pairs of lanes. */
FN V v_bcast_pair(const T *p)
{
	double pair;

	__builtin_memcpy(&pair, p, sizeof pair);
	return _mm512_castpd_ps(_mm512_set1_pd(pair));
}

/* The sums of the pairs of lanes, and zeros. */
FN V v_neighbour_sums(V v)
{
	V apart = _mm512_permutexvar_ps(_mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15), v);

	return _mm512_zextps256_ps512(v_low(apart) + v_high(apart));
}

/* a, with b in the lanes whose bits are set. */
FN V v_replace(V a, uint64_t bits, V b)
{
	return _mm512_mask_mov_ps(a, (__mmask16)bits, b);
}

/* acc - a b in the lanes whose bits are set, acc in the others. */
FN V v_fnma_in(uint64_t bits, V a, V b, V acc)
{
	return _mm512_mask3_fnmadd_ps(a, b, acc, (__mmask16)bits);
}

/* Vectors of 8 doubles. */
#pragma once
#include "offload/tiny/common.h"

typedef double T;
typedef __m512d V;
typedef __mmask8 VM; /* a bit for each element; two for those of 16 bytes */

#define LANES 8
#define REGISTERS 32
#define SAFE_MIN 0x1p-1022 /* smallest number whose reciprocal does not overflow */

FN V v_zero(void)
{
	return _mm512_setzero_pd();
}

FN V v_set1(T x)
{
	return _mm512_set1_pd(x);
}

FN V v_bcast(const T *p)
{
	return _mm512_set1_pd(*p);
}

FN V v_loadl(const T *p)
{
	return _mm512_loadu_pd(p);
}

FN void v_storel(T *p, V v)
{
	_mm512_storeu_pd(p, v);
}

FN V v_fma(V a, V b, V c)
{
	return _mm512_fmadd_pd(a, b, c);
}

FN V v_fnma(V a, V b, V c)
{
	return _mm512_fnmadd_pd(a, b, c);
}

FN V v_fmaddsub(V a, V b, V c)
{
	return _mm512_fmaddsub_pd(a, b, c);
}

FN V v_swap(V a)
{
	return _mm512_shuffle_pd(a, a, 0x55);
}

FN V v_xor(V a, V b)
{
	return _mm512_xor_pd(a, b);
}

FN V v_abs(V a)
{
	return _mm512_andnot_pd(_mm512_set1_pd(-0.0), a);
}

/* The larger; b where one is NaN. */
FN V v_max(V a, V b)
{
	return _mm512_max_pd(a, b);
}

FN uint64_t v_eqbits(V a, V b)
{
	return _mm512_cmp_pd_mask(a, b, _CMP_EQ_OQ);
}

/* a > b */
FN uint64_t v_gtbits(V a, V b)
{
	return _mm512_cmp_pd_mask(a, b, _CMP_GT_OQ);
}

FN T t_abs(T x)
{
	return __builtin_fabs(x);
}

/* acc - a b */
FN T t_fnma(T a, T b, T acc)
{
	return __builtin_fma(-a, b, acc);
}

FN T t_sqrt(T x)
{
	return _mm_cvtsd_f64(_mm_sqrt_pd(_mm_set1_pd(x)));
}

/* The lanes whose bits are set, zero in the others. */
FN V v_keep(V v, uint64_t bits)
{
	return _mm512_maskz_mov_pd((__mmask8)bits, v);
}

/* Sign bits in the even lanes, in the odd lanes. */
FN V v_signs(bool even, bool odd)
{
	T e = even ? -0.0 : 0.0, o = odd ? -0.0 : 0.0;

	return _mm512_setr_pd(e, o, e, o, e, o, e, o);
}

FN __m256d v_low(V v)
{
	return _mm512_castpd512_pd256(v);
}

FN __m256d v_high(V v)
{
	return _mm512_extractf64x4_pd(v, 1);
}

FN V v_both(__m256d low, __m256d high)
{
	return _mm512_insertf64x4(_mm512_castpd256_pd512(low), high, 1);
}

FN T v_hmax(V v)
{
	__m256d h = _mm256_max_pd(v_low(v), v_high(v));
	__m128d m = _mm_max_pd(_mm256_castpd256_pd128(h), _mm256_extractf128_pd(h, 1));

	return _mm_cvtsd_f64(_mm_max_sd(m, _mm_unpackhi_pd(m, m)));
}

/* The sums of the even and of the odd lanes. */
FN __m128d v_quarters_sum(V v)
{
	__m256d h = v_low(v) + v_high(v);

	return _mm256_castpd256_pd128(h) + _mm256_extractf128_pd(h, 1);
}

FN T v_hsum(V v)
{
	__m128d m = v_quarters_sum(v);

	return _mm_cvtsd_f64(_mm_add_sd(m, _mm_unpackhi_pd(m, m)));
}

/* (a's low half + its high half, b's) */
FN V v_fold(V a, V b)
{
	return v_both(v_low(a), v_low(b)) + _mm512_shuffle_f64x2(a, b, 0xee);
}

/* The sums of the pairs of a, b, a, b, ... in each quarter. */
FN V v_pair_sums(V a, V b)
{
	return _mm512_unpacklo_pd(a, b) + _mm512_unpackhi_pd(a, b);
}

/* y = alpha times the sums of four vectors + beta y */
FN void v_put_sums(T *y, const V v[4], T alpha, T beta)
{
	V all = v_fold(v_pair_sums(v[0], v[1]), v_pair_sums(v[2], v[3])); /* quarters (0 1) (0 1) (2 3) (2 3) */
	__m256d lo = v_low(all), hi = v_high(all);
	__m256d r =
		(_mm256_permute2f128_pd(lo, hi, 0x20) + _mm256_permute2f128_pd(lo, hi, 0x31)) * _mm256_set1_pd(alpha);

	_mm256_storeu_pd(y, beta == 0 ? r : _mm256_fmadd_pd(_mm256_loadu_pd(y), _mm256_set1_pd(beta), r));
}

/* Pairs (sum of re[j], sum of im[j]), next to each other. */
FN void v_sum_pairs(V to[1], const V re[4], const V im[4])
{
	V a = v_fold(v_pair_sums(re[0], im[0]), v_pair_sums(re[1], im[1])); /* quarters 0 0 1 1 */
	V b = v_fold(v_pair_sums(re[2], im[2]), v_pair_sums(re[3], im[3]));

	to[0] = _mm512_shuffle_f64x2(a, b, 0x88) + _mm512_shuffle_f64x2(a, b, 0xdd);
}

FN void v_hsum2(T *even, T *odd, V v)
{
	__m128d m = v_quarters_sum(v);

	*even = _mm_cvtsd_f64(m);
	*odd = _mm_cvtsd_f64(_mm_unpackhi_pd(m, m));
}

FN __m512d v_as_pd(V v)
{
	return v;
}

FN V v_from_pd(__m512d d)
{
	return d;
}

/* (a[0], b[0], a[1], b[1], ...), zeros from `rows` on: at most half a vector's lanes. */
FN V v_interleave(const T *a, const T *b, int rows)
{
	__mmask8 mask = (__mmask8)((1 << rows) - 1);
	V both = v_both(_mm256_maskz_loadu_pd(mask, a), _mm256_maskz_loadu_pd(mask, b));

	return _mm512_permutexvar_pd(_mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7), both);
}

/* (p[0], p[1]) in all pairs of lanes. */
FN V v_bcast_pair(const T *p)
{
	return _mm512_broadcast_f64x2(_mm_loadu_pd(p));
}

/* The sums of the pairs of lanes, and zeros. */
FN V v_neighbour_sums(V v)
{
	V apart = _mm512_permutexvar_pd(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), v);

	return _mm512_zextpd256_pd512(v_low(apart) + v_high(apart));
}

/* a, with b in the lanes whose bits are set. */
FN V v_replace(V a, uint64_t bits, V b)
{
	return _mm512_mask_mov_pd(a, (__mmask8)bits, b);
}

/* acc - a b in the lanes whose bits are set, acc in the others. */
FN V v_fnma_in(uint64_t bits, V a, V b, V acc)
{
	return _mm512_mask3_fnmadd_pd(a, b, acc, (__mmask8)bits);
}

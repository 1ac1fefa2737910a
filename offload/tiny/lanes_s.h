/* Vectors of 8 floats. */
#pragma once
#include "offload/tiny/common.h"

typedef float T;
typedef __m256 V;
typedef __m256i VM;

#define LANES 8
#define REGISTERS 16
#define SAFE_MIN 0x1p-126f /* smallest number whose reciprocal does not overflow */

FN V v_zero(void)
{
	return _mm256_setzero_ps();
}

FN V v_set1(T x)
{
	return _mm256_set1_ps(x);
}

FN V v_bcast(const T *p)
{
	return _mm256_broadcast_ss(p);
}

FN V v_loadl(const T *p)
{
	return _mm256_loadu_ps(p);
}

FN void v_storel(T *p, V v)
{
	_mm256_storeu_ps(p, v);
}

FN V v_fma(V a, V b, V c)
{
	return _mm256_fmadd_ps(a, b, c);
}

FN V v_fnma(V a, V b, V c)
{
	return _mm256_fnmadd_ps(a, b, c);
}

FN V v_fmaddsub(V a, V b, V c)
{
	return _mm256_fmaddsub_ps(a, b, c);
}

FN V v_swap(V a)
{
	return _mm256_permute_ps(a, 0xb1);
}

FN V v_xor(V a, V b)
{
	return _mm256_xor_ps(a, b);
}

FN V v_abs(V a)
{
	return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}
/* The larger; b where one is NaN. */
FN V v_max(V a, V b)
{
	return _mm256_max_ps(a, b);
}

FN uint64_t v_eqbits(V a, V b)
{
	return (uint64_t)_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_EQ_OQ));
}

FN T t_abs(T x)
{
	return __builtin_fabsf(x);
}

FN T t_sqrt(T x)
{
	return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x)));
}

/* All ones in the lanes whose bits are set. */
FN V v_bits(uint64_t bits)
{
	const __m256i lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);

	return _mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32((int)bits), lane), lane));
}

/* The lanes whose bits are set, zero in the others. */
FN V v_keep(V v, uint64_t bits)
{
	return _mm256_and_ps(v, v_bits(bits));
}

/* Sign bits in the even lanes, in the odd lanes. */
FN V v_signs(bool even, bool odd)
{
	T e = even ? -0.0f : 0.0f, o = odd ? -0.0f : 0.0f;

	return _mm256_setr_ps(e, o, e, o, e, o, e, o);
}

FN __m128 v_halves_max(V v)
{
	return _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
}

FN __m128 v_halves_sum(V v)
{
	return _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
}

FN T v_hmax(V v)
{
	__m128 m = v_halves_max(v);

	m = _mm_max_ps(m, _mm_movehl_ps(m, m));
	return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

FN T v_hsum(V v)
{
	__m128 m = v_halves_sum(v);

	m = _mm_add_ps(m, _mm_movehl_ps(m, m));
	return _mm_cvtss_f32(_mm_add_ss(m, _mm_movehdup_ps(m)));
}

/* y = alpha times the sums of four vectors + beta y */
FN void v_put_sums(T *y, const V v[4], T alpha, T beta)
{
	V all = _mm256_hadd_ps(_mm256_hadd_ps(v[0], v[1]), _mm256_hadd_ps(v[2], v[3]));
	__m128 r = v_halves_sum(all) * _mm_set1_ps(alpha);

	_mm_storeu_ps(y, beta == 0 ? r : _mm_fmadd_ps(_mm_loadu_ps(y), _mm_set1_ps(beta), r));
}

/* Pairs (sum of re[j], sum of im[j]), next to each other. */
FN void v_sum_pairs(V to[1], const V re[4], const V im[4])
{
	V a = _mm256_hadd_ps(_mm256_hadd_ps(re[0], im[0]), _mm256_hadd_ps(re[1], im[1]));
	V b = _mm256_hadd_ps(_mm256_hadd_ps(re[2], im[2]), _mm256_hadd_ps(re[3], im[3]));

	to[0] = _mm256_permute2f128_ps(a, b, 0x20) + _mm256_permute2f128_ps(a, b, 0x31);
}

/* The sums of the even and of the odd lanes. */
FN void v_hsum2(T *even, T *odd, V v)
{
	__m128 m = v_halves_sum(v);

	m = _mm_add_ps(m, _mm_movehl_ps(m, m));
	*even = _mm_cvtss_f32(m);
	*odd = _mm_cvtss_f32(_mm_movehdup_ps(m));
}

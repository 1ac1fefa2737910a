/* Vectors of 4 doubles. */
#pragma once
#include "offload/tiny/common.h"

typedef double T;
typedef __m256d V;
typedef __m256i VM;

#define LANES 4
#define REGISTERS 16
#define SAFE_MIN 0x1p-1022 /* smallest number whose reciprocal does not overflow */

FN V v_zero(void)
{
	return _mm256_setzero_pd();
}

FN V v_set1(T x)
{
	return _mm256_set1_pd(x);
}

FN V v_bcast(const T *p)
{
	return _mm256_broadcast_sd(p);
}

FN V v_loadl(const T *p)
{
	return _mm256_loadu_pd(p);
}

FN void v_storel(T *p, V v)
{
	_mm256_storeu_pd(p, v);
}

FN V v_fma(V a, V b, V c)
{
	return _mm256_fmadd_pd(a, b, c);
}

FN V v_fnma(V a, V b, V c)
{
	return _mm256_fnmadd_pd(a, b, c);
}

FN V v_fmaddsub(V a, V b, V c)
{
	return _mm256_fmaddsub_pd(a, b, c);
}

FN V v_swap(V a)
{
	return _mm256_permute_pd(a, 5);
}

FN V v_xor(V a, V b)
{
	return _mm256_xor_pd(a, b);
}

FN V v_abs(V a)
{
	return _mm256_andnot_pd(_mm256_set1_pd(-0.0), a);
}
/* The larger; b where one is NaN. */
FN V v_max(V a, V b)
{
	return _mm256_max_pd(a, b);
}

FN uint64_t v_eqbits(V a, V b)
{
	return (uint64_t)_mm256_movemask_pd(_mm256_cmp_pd(a, b, _CMP_EQ_OQ));
}

FN T t_abs(T x)
{
	return __builtin_fabs(x);
}

FN T t_sqrt(T x)
{
	return _mm_cvtsd_f64(_mm_sqrt_pd(_mm_set1_pd(x)));
}

/* All ones in the lanes whose bits are set. */
FN V v_bits(uint64_t bits)
{
	const __m256i lane = _mm256_setr_epi64x(1, 2, 4, 8);

	return _mm256_castsi256_pd(
		_mm256_cmpeq_epi64(_mm256_and_si256(_mm256_set1_epi64x((long long)bits), lane), lane));
}

/* The lanes whose bits are set, zero in the others. */
FN V v_keep(V v, uint64_t bits)
{
	return _mm256_and_pd(v, v_bits(bits));
}

/* Sign bits in the even lanes, in the odd lanes. */
FN V v_signs(bool even, bool odd)
{
	T e = even ? -0.0 : 0.0, o = odd ? -0.0 : 0.0;

	return _mm256_setr_pd(e, o, e, o);
}

FN T v_hmax(V v)
{
	__m128d m = _mm_max_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));

	return _mm_cvtsd_f64(_mm_max_sd(m, _mm_unpackhi_pd(m, m)));
}

FN T v_hsum(V v)
{
	__m128d m = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));

	return _mm_cvtsd_f64(_mm_add_sd(m, _mm_unpackhi_pd(m, m)));
}

/* y = alpha times the sums of four vectors + beta y */
FN void v_put_sums(T *y, const V v[4], T alpha, T beta)
{
	V a = _mm256_hadd_pd(v[0], v[1]), b = _mm256_hadd_pd(v[2], v[3]);
	V r = (_mm256_permute2f128_pd(a, b, 0x21) + _mm256_blend_pd(a, b, 0xc)) * v_set1(alpha);

	v_storel(y, beta == 0 ? r : v_fma(v_loadl(y), v_set1(beta), r));
}

/* Pairs (sum of re[j], sum of im[j]), next to each other. */
FN void v_sum_pairs(V to[2], const V re[4], const V im[4])
{
	UNROLL for (int p = 0; p < 2; p++)
	{
		V a = _mm256_hadd_pd(re[2 * p], im[2 * p]), b = _mm256_hadd_pd(re[2 * p + 1], im[2 * p + 1]);

		to[p] = _mm256_permute2f128_pd(a, b, 0x20) + _mm256_permute2f128_pd(a, b, 0x31);
	}
}

/* The sums of the even and of the odd lanes. */
FN void v_hsum2(T *even, T *odd, V v)
{
	__m128d m = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));

	*even = _mm_cvtsd_f64(m);
	*odd = _mm_cvtsd_f64(_mm_unpackhi_pd(m, m));
}

/* What all files of kernels share: one translation unit per type and instruction set (d.c, s.c, c.c,
 * z.c: AVX2; d512.c ...: AVX-512) includes a description of its
 * vectors (lanes_*.h, element_*.h), of its arithmetic (real.h or complex.h), and the routines, which are written once. */
#pragma once
#include <immintrin.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "offload/tiny/sets.h"

#define FN static inline __attribute__((always_inline, unused))
/* Takes its parameters as they are, so that a caller with the same ones jumps to it. */
#ifdef __clang__
#define ALIKE static __attribute__((noinline))
#else
#define ALIKE static __attribute__((noinline, noclone))
#endif
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#ifdef __AVX512F__
#define UNROLL _Pragma("GCC unroll 16")
#else
#define UNROLL _Pragma("GCC unroll 12")
#endif
#endif

#define CAP CDM_TINY_ORDER

FN int min_(int a, int b)
{
	return a < b ? a : b;
}

FN int max_(int a, int b)
{
	return a > b ? a : b;
}

/* Leaves an operation that does not fill half a vector to the kernel for shorter vectors, where there is one. */
#ifdef NARROW_NAME
#define NARROW(when, routine, ...)                                                                                     \
	if (when)                                                                                                      \
		return NARROW_NAME(routine)(__VA_ARGS__);
#else
#define NARROW(when, routine, ...)
#endif

/* x, of which the compiler shall not keep multiples in registers, or in memory, from one round of a loop to the next. */
FN ptrdiff_t anew(ptrdiff_t x)
{
	__asm__ volatile("" : "+r"(x));
	return x;
}

/* An option letter of BLAS, in either case. */
FN bool is_letter(int c, int letter)
{
	return (c & 0xdf) == letter;
}

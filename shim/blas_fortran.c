/* The Fortran entry points: everything by pointer, 32-bit integers.
 *
 * The lengths of the letters, which a Fortran compiler passes behind the list, are not declared: a C caller may
 * leave them out, and each is 1. An entry point has no frame of its own: it jumps to the original, or to its own
 * helper, and leaves the caller's argument area as it is, lengths included. That makes a declined or nested call
 * cheap, and lets a helper see the program's return address.
 */
#include "shim/blas.h"

/* JUMP f(args) leaves by a jump; HELPER is a function to be jumped to. A compiler that was asked not to optimise
 * inlines helpers instead, which keeps the return address right. */
#if defined __clang__
#define JUMP __attribute__((musttail)) return
#define HELPER static __attribute__((noinline)) void
#elif defined __OPTIMIZE__
#pragma GCC optimize("optimize-sibling-calls")
#define JUMP return
#define HELPER static __attribute__((noinline)) void
#else
#define JUMP return
#define HELPER static inline __attribute__((always_inline)) void
#endif

/* clang-format off */
#define DECLARE_LETTER(x)     const char *x
#define DECLARE_SIZE(x)	      const int *x
#define DECLARE_SCALAR(x)     const void *x
#define DECLARE_IN(x, ld)     const void *x, const int *ld
#define DECLARE_OUT(x, ld)    void *x, const int *ld
#define DECLARE(shape) \
	CDM_ARGS_##shape(DECLARE_LETTER, DECLARE_SIZE, DECLARE_SCALAR, DECLARE_IN, DECLARE_SCALAR, DECLARE_OUT)

#define PASS_ONE(x)	      x
#define PASS_MATRIX(x, ld)    x, ld
#define PASS(shape)	      CDM_ARGS_##shape(PASS_ONE, PASS_ONE, PASS_ONE, PASS_MATRIX, PASS_ONE, PASS_MATRIX)

#define GATHER_VALUE(x)	      .x = *x
#define GATHER_POINTER(x)     .x = x
#define GATHER_MATRIX(x, ld)  .x = x, .ld = *ld
#define GATHER(shape) \
	CDM_ARGS_##shape(GATHER_VALUE, GATHER_VALUE, GATHER_POINTER, GATHER_MATRIX, GATHER_POINTER, GATHER_MATRIX)

#define VALUE(x)	      *x
#define LEFT(x)		      ((*x | 0x20) == 'l')

/* One original type per shape: all pointers look alike to the calling convention. */
#define ORIGINAL(shape) \
	typedef void original_##shape(DECLARE(shape), CDM_HIDDEN_##shape(size_t)); \
	typedef void same_args_##shape(DECLARE(shape))
ORIGINAL(GEMM);
ORIGINAL(GEMMT);
ORIGINAL(SYMM);
ORIGINAL(SYRK);
ORIGINAL(SYR2K);
ORIGINAL(TRMM);

#define RUN_ORIGINAL(shape, slot, site) do { \
	original_##shape *original_ = (original_##shape *)cdm_host(slot, site); \
	if (__builtin_expect(original_ != NULL, 1)) \
		original_(PASS(shape), CDM_HIDDEN_##shape(1)); \
	else \
		cdm_host_missing(slot); \
} while (0)

/* The original that all callers share, or NULL. */
#define SHARED(t, name, shape) \
	((same_args_##shape *)atomic_load_explicit(&cdm_blas_fortran[CDM_BLAS_##t##name].global, memory_order_relaxed))

/* The entry point tests both flags at once, and nothing else stands between it and its jumps: compilers then leave
 * the arguments where they are. */
#define ENTRY(t, T, name, shape) \
	CDM_EXPORT same_args_##shape t##name##_; \
	HELPER search_##t##name(DECLARE(shape)) \
	{ \
		RUN_ORIGINAL(shape, &cdm_blas_fortran[CDM_BLAS_##t##name], __builtin_return_address(0)); \
	} \
	HELPER plain_##t##name(DECLARE(shape)) \
	{ \
		same_args_##shape *original = SHARED(t, name, shape); \
		if (__builtin_expect(original != NULL, 1)) \
			JUMP original(PASS(shape)); \
		JUMP search_##t##name(PASS(shape)); \
	} \
	HELPER small_##t##name(DECLARE(shape)) \
	{ \
		cdm_call_stays(CDM_BLAS_##t##name, CDM_STAY_SMALL); \
		JUMP plain_##t##name(PASS(shape)); \
	} \
	HELPER large_##t##name(DECLARE(shape)) \
	{ \
		double flops = CDM_COST_##t * cdm_work_##name(CDM_WORK_##shape(VALUE, LEFT)); \
		const void *site = __builtin_return_address(0); \
		struct cdm_blas_args args = { GATHER(shape) }; \
		struct cdm_blas_turn turn; \
		if (cdm_blas_offload(&turn, CDM_BLAS_##t##name, &args, flops, site)) \
			return; \
		RUN_ORIGINAL(shape, &cdm_blas_fortran[CDM_BLAS_##t##name], site); \
		cdm_blas_ended(&turn); \
	} \
	void t##name##_(DECLARE(shape)) \
	{ \
		if (cdm_inside + cdm_blas_counted > 0) \
			JUMP plain_##t##name(PASS(shape)); \
		double flops = CDM_COST_##t * cdm_work_##name(CDM_WORK_##shape(VALUE, LEFT)); \
		if (cdm_blas_too_small(flops)) \
			JUMP small_##t##name(PASS(shape)); \
		JUMP large_##t##name(PASS(shape)); \
	}
#define CDM_BLAS(name, family, shape, types, ...) CDM_EACH_##types(ENTRY, name, shape)
#include "shim/blas.def"
#undef CDM_BLAS

/* The same lists once more: the arguments of a call, out of struct cdm_blas_args. */
#define SPREAD_VALUE(x)	      &args->x
#define SPREAD_POINTER(x)     args->x
#define SPREAD_MATRIX(x, ld)  args->x, &args->ld
#define SPREAD_OUT(x, ld)     (void *)(uintptr_t)args->x, &args->ld
#define CALL(shape) \
	case CDM_SHAPE_##shape: \
		((original_##shape *)original)(CDM_ARGS_##shape(SPREAD_VALUE, SPREAD_VALUE, SPREAD_POINTER, \
			SPREAD_MATRIX, SPREAD_POINTER, SPREAD_OUT), CDM_HIDDEN_##shape(1)); \
		break
/* clang-format on */

void cdm_blas_by_fortran(int routine, const struct cdm_blas_args *args, const void *site)
{
	void *original = cdm_host(&cdm_blas_fortran[routine], site);

	if (!original) {
		cdm_host_missing(&cdm_blas_cblas[routine]);
		return;
	}
	switch ((enum cdm_blas_shape)cdm_blas_traits[routine].shape) {
		CALL(GEMM);
		CALL(GEMMT);
		CALL(SYMM);
		CALL(SYRK);
		CALL(SYR2K);
		CALL(TRMM);
	}
}

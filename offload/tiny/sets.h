/* The kernels of each instruction set by name: cdm_tiny_avx2_sgemm() and so on. */
#pragma once
#include "offload/tiny/tiny.h"

#define CDM_TINY_DECLARE(prefix)                                                                                       \
	extern cdm_tiny_gemm_fn prefix##gemm;                                                                          \
	extern cdm_tiny_gemv_fn prefix##gemv;                                                                          \
	extern cdm_tiny_rank_fn prefix##syrk, prefix##herk;                                                            \
	extern cdm_tiny_trsm_fn prefix##trsm;                                                                          \
	extern cdm_tiny_getrf_fn prefix##getrf;                                                                        \
	extern cdm_tiny_potrf_fn prefix##potrf;
#define CDM_TINY_DECLARE_SET(set)                                                                                      \
	CDM_TINY_DECLARE(cdm_tiny_##set##_s)                                                                           \
	CDM_TINY_DECLARE(cdm_tiny_##set##_d) CDM_TINY_DECLARE(cdm_tiny_##set##_c) CDM_TINY_DECLARE(cdm_tiny_##set##_z)

CDM_TINY_DECLARE_SET(avx2)
CDM_TINY_DECLARE_SET(avx512)

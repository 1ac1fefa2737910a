/* Whether the kernels can run, and where they are worth it. This file is compiled for any x86-64. */
#include "offload/tiny/tiny.h"

bool cdm_tiny_usable(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

const struct cdm_tiny_limit cdm_tiny_limits[CDM_TINY_ROUTINES][CDM_TINY_TYPES] = {
	[CDM_TINY_GEMM] = {{1, 16}, {1, 16}, {1, 16}, {1, 16}},
};

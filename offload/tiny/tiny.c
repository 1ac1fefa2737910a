/* Whether the kernels can run, and where they are worth it. This file is compiled for any x86-64. */
#include "offload/base/cpu.h"
#include "offload/tiny/tiny.h"

bool cdm_tiny_usable(void)
{
	return cdm_cpu() & CDM_CPU_AVX2;
}

/* Measured by tests/bench/tiny.c on a Zen 3 (2 cores, shared), square operands in the first cache. How many times faster
 * than the best of OpenBLAS 0.3.21, ATLAS 3.10, MKL 2026.2 and netlib 3.11, with 10 ns for the call added to the kernel's time:
 * the worst of the options NN TN NT TT, N T, LN UN LT (LC), LLNN LUTN RLNN RLTN, L U, in one run.
 *
 *	       n = 4    5    6    8   10   12   16   20   24	  and the kernel's ns at 4, 8, 16, 24 (NN, N, LN, LLNN)
 *	sgemm   1.1  1.6  1.8  1.9  1.7  1.3  1.7  1.4  1.4	   28   43  106  339
 *	dgemm   1.5  1.5  1.6  1.5  1.7  1.8  1.0  1.1  1.2	   24   47  212  678	(16: 1.4 and more in quiet runs)
 *	cgemm   1.6  1.6  1.3  1.4  1.4  1.3  1.2  1.3  1.1	   43   83  413 1430
 *	zgemm   1.4  1.4  1.2  1.1  1.2  1.1  1.1  1.0  1.0	   50  140  803 2394
 *	sgemv   0.9  1.1  1.2  1.3  1.3  1.3  1.3  1.2  1.2	   13   13   20   30
 *	dgemv   1.3  1.2  1.3  1.5  1.4  1.4  1.3  1.3  1.2	   12   15   29   48
 *	cgemv   1.2  1.3  1.2  1.0  1.2  0.9  0.9  0.8  0.9	   18   25   56   89
 *	zgemv   1.2  1.3  1.2  1.0  1.3  1.0  1.0  1.0  1.0	   22   40   95  175
 *	ssyrk   0.9  1.3  1.6  1.8  1.4  1.6  1.4  1.2  1.0	   37   63  167  430
 *	dsyrk   1.0  1.0  1.2  1.7  1.7  1.6  1.2  1.2  1.3	   32   65  209  589
 *	csyrk   1.2  1.3  1.3  1.4  1.4  1.2  1.2  1.2  1.1	   63  150  555 1130
 *	zsyrk   1.0  1.2  1.3  1.0  1.0  1.0  0.9  0.8  1.0	   60  190  700 1780
 *	cherk   1.2  1.1  1.4  1.5  1.4  1.3  1.3  1.2  1.1
 *	zherk   1.0  1.1  1.4  1.1  1.1  1.0  1.0  0.9  1.0
 *	strsm   0.9  1.0  1.2  1.5  1.4  1.0  1.3  1.2  1.3	   53   67  174  352
 *	dtrsm   1.1  1.0  1.2  1.3  1.7  2.0  0.9  1.4  1.0	   43   81  298  630	(16: 1.3, 24: 1.4 in quiet runs)
 *	ctrsm   1.0  1.1  1.4  1.8  2.3  2.5  1.8  2.2  2.1	   67  136  517 1100
 *	ztrsm   1.0  1.1  1.4  1.2  1.5  1.7  1.7  1.6  1.7	   73  240  867 2110
 *	sgetrf  0.4  0.8  0.7  1.2  1.3  1.4  1.6  2.5  2.8	  109  238  564
 *	dgetrf  0.5  0.8  0.9  1.6  1.6  1.8  2.2  2.6  3.0	   96  211  615 1500
 *	cgetrf  0.7  1.1  1.2  1.7  1.9  2.4  2.9  3.0  3.1
 *	zgetrf  0.7  1.0  1.1  1.3  1.1  1.3  1.4  1.4  1.3	  164  362 1280 3060
 *	spotrf  0.4  0.6  1.0  1.3  1.0  1.2  1.7  2.2  2.3
 *	dpotrf  0.6  0.7  0.9  1.2  1.1  1.3  1.6  1.9  2.1	   53  105  279  637
 *	cpotrf  1.1  1.0  1.2  1.6  1.5  1.8  2.1  2.2  2.4
 *	zpotrf  1.2  1.0  1.2  1.6  1.1  1.4  1.2  1.2  1.3	   66  169  685
 *
 * Below 4, reference loops are as fast as anything; reference LAPACK is not, at any size. At 4 to 7 MKL's getrf and ATLAS's potrf
 * are faster, but the program's own library is neither, and reaching another one costs more than the difference. */
const struct cdm_tiny_limit cdm_tiny_limits[CDM_TINY_ROUTINES][CDM_TINY_TYPES] = {
	/* clang-format off */
	/*		     s			      d			    c			  z */
	[CDM_TINY_GEMM]	 = {{4, 256, 128, 27000}, {4, 256, 128, 32768}, {4, 256, 128, 32768}, {4, 256, 32, 8000}},
	[CDM_TINY_GEMV]	 = {{4, 512, 0, 10000},	  {4, 512, 0, 16384},	{4, 512, 0, 9216},    {4, 512, 0, 3072}},
	[CDM_TINY_SYRK]	 = {{4, 256, 40, 16384},  {4, 256, 64, 32768},	{4, 256, 32, 16384},  {4, 256, 16, 16384}},
	[CDM_TINY_TRSM]	 = {{4, 256, 32, 1024},	  {4, 256, 32, 2048},	{4, 256, 32, 2048},   {4, 256, 32, 2048}},
	[CDM_TINY_GETRF] = {{1, 256, 32, 1024},	  {1, 256, 32, 1024},	{1, 256, 32, 1024},   {1, 256, 32, 1024}},
	[CDM_TINY_POTRF] = {{1, 32, 32, 0},	  {1, 32, 32, 0},	{1, 32, 32, 0},	      {1, 32, 32, 0}},
	/* clang-format on */
};

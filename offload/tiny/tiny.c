/* Whether the kernels can run, and where they are worth it. This file is compiled for any x86-64. */
#include "offload/base/cpu.h"
#include "offload/tiny/sets.h"

#define REAL(prefix)                                                                                                   \
	{                                                                                                              \
		prefix##gemm, prefix##gemv, prefix##syrk, 0, prefix##trsm, prefix##getrf, prefix##potrf                \
	}
#define COMPLEX(prefix)                                                                                                \
	{                                                                                                              \
		prefix##gemm, prefix##gemv, prefix##syrk, prefix##herk, prefix##trsm, prefix##getrf, prefix##potrf     \
	}

/* Measured by tests/bench/tiny.c on a Zen 3 (2 cores, shared), operands in the first cache unless they are too large. How many
 * times faster than the best of OpenBLAS 0.3.21, ATLAS 3.10 and MKL 2026.2 (one thread each), with 10 ns for the call added to the
 * kernel's time: the worst of the options NN TN NT TT, N T, LN UN LT (LC), LLNN LUTN RLNN RLTN, L U; medians of three runs.
 *
 *	       n = 4    5    6    8   10   12   16   20   24   28   32    and the kernel's ns at 4, 8, 16, 24, 32 (NN, N, LN, LLNN)
 *	sgemm   1.5  1.8  1.8  1.9  1.7  1.4  1.5  1.5  1.4  1.1  0.9     30   39  115  346  751
 *	dgemm   1.7  1.5  1.5  1.6  1.6  1.6  1.4  1.4  1.3  1.4  1.2     27   50  222  676 1516
 *	cgemm   1.6  1.6  1.1  1.6  1.5  1.4  1.2  1.3  1.1  1.2  1.1     46   84  426 1193 2709
 *	zgemm   1.6  1.5  1.3  1.2  1.3  1.2  1.1  1.1  1.0  1.1  1.1     53  145  769 2373 5434
 *	sgemv   1.1  1.0  1.0  1.3  1.2  1.3  1.3  1.2  1.2  1.1  1.2     22   16   27   26   37
 *	dgemv   1.2  1.1  1.1  1.2  1.2  1.4  1.2  1.2  1.1  1.1  1.1     12   24   34   55   57
 *	cgemv   1.2  1.3  1.4  1.2  1.4  1.1  1.1  1.0  1.1  1.1  1.1     16   23   53   80  128
 *	zgemv   1.2  1.3  1.3  1.1  1.4  1.2  1.2  1.2  1.2  1.1  1.1     25   33   84  168  264
 *	ssyrk   1.6  1.7  1.7  1.7  1.5  1.5  1.2  1.3  1.1  1.0  0.9     69  113  310  607 1244
 *	dsyrk   2.0  1.8  1.7  1.7  1.5  1.5  1.4  1.3  1.2  1.2  1.1     63  101  232  581 1102
 *	csyrk   1.3  1.3  1.3  1.5  1.4  1.2  1.3  1.2  1.2  1.1  1.1     60  127  416 1077 2095
 *	zsyrk   1.3  1.2  1.2  1.0  1.1  1.1  1.0  1.0  1.0  1.0  0.9     67  172  647 1697 3564
 *	cherk   1.4  1.4  1.4  1.4  1.4  1.4  1.3  1.3  1.1  1.2  1.1     57  123  412 1063 2065
 *	zherk   1.4  1.4  1.4  1.1  1.1  1.0  1.0  0.9  1.0  1.0  1.0     66  175  644 1712 3584
 *	strsm   1.2  1.6  1.8  1.9  1.4  1.2  1.8  1.3  1.5  1.2  1.4     51   60  140  292  620
 *	dtrsm   1.6  1.5  1.8  1.9  2.1  2.9  1.7  2.5  2.0  2.2  1.8     39   66  227  497 1014
 *	ctrsm   1.9  2.0  2.0  2.3  2.2  3.0  2.3  2.6  2.5  2.3  2.3     60  119  445  979 2050
 *	ztrsm   2.1  2.1  2.5  1.9  2.3  2.3  2.2  2.0  2.0  1.9  1.8     97  278  760 2451 5252
 *	sgetrf  0.5  0.7  0.9  1.5  1.3  1.9  2.2  3.0  3.0  2.6  2.5     92  198  490 1027 1951
 *	dgetrf  0.5  0.8  0.9  1.0  1.1  1.3  1.6  2.5  2.7  2.3  2.5     96  205  601 1456 2964
 *	cgetrf  0.5  0.8  1.0  1.2  1.8  1.7  2.2  2.7  2.8  2.5  2.5    137  312  819 1706 3172
 *	zgetrf  0.6  0.8  1.0  1.1  1.1  1.2  1.3  1.5  1.3  1.2  1.1    160  393 1440 3555 7180
 *	spotrf  0.3  0.6  0.9  1.1  1.1  1.2  1.6  2.2  2.4  2.1  2.4     46   85  222  443  741
 *	dpotrf  0.5  0.8  1.1  1.3  1.2  1.4  1.5  1.9  2.0  1.6  1.9     52  104  277  599 1173
 *	cpotrf  1.1  1.0  1.3  1.6  1.6  1.9  2.1  2.0  2.1  1.8  2.1     75  198  644 1371 1696
 *	zpotrf  1.2  1.0  1.3  1.5  1.0  1.2  1.3  1.5  1.2  1.1  1.0     66  162  758 1787 3599
 *
 * spotrf and dpotrf of orders 1 to 4 are as they were before factor_scalars() (cholesky.h): a call of dpotrf of order 4 takes 43 ns
 * since, 67 before, 34 in ATLAS.
 *
 * Larger products against the best of OpenBLAS 0.3.21 (Zen and Haswell) and BLIS 0.9, one thread each, NN TN NT TT:
 *	sgemm  40  1.3 1.3 1.3 1.3  48  1.2 1.3 1.2 1.2  64  1.1 1.1 1.1 1.1  80  1.0 1.1 1.0 1.0
 *	dgemm  40  1.1 1.1 1.1 1.1  48  1.0 1.1 1.0 1.1  64  1.0 1.0 1.0 1.1  80  0.9 1.0 1.0 1.0
 * Thin ones of as much work as 48 (s) and 40 (d) are at 1.0 to 1.5 but for those with few terms: 240 48 8 and 160 160 4 0.9, 256 256 1 0.6.
 *
 * Thin ones, s d c z:
 *	gemm (m n k)  32 4 4	 1.2 1.3 1.2 1.0   4 32 4   1.3 1.8 1.5 1.5   4 4 32   1.4 1.8 1.6 1.5
 *		      128 8 8	 1.0 0.9 1.0 0.9   8 128 8  1.4 1.1 1.3 1.2   8 8 128  1.3 1.3 1.3 1.2
 *		      64 16 16	 1.1 1.1 1.0 1.0   256 4 4  0.7 0.9 0.8 0.8   the worst is op(A) = A', with many rows
 *	gemv (m n)    32 4	 1.4 1.5 1.4 1.2   4 32	    0.7 0.8 0.9 0.9   s and d: ATLAS's; 1.2 times OpenBLAS's
 *		      128 8	 1.3 1.3 1.1 1.1   8 128    0.7 0.8 0.8 1.0
 *		      64 64	 1.2 1.1 1.0 1.0   96 96    1.3 1.1 1.0 0.9   128 128  0.9 1.0 1.0 0.8
 *	syrk (n k)    32 4	 1.0 1.2 1.0 0.8   16 4	    1.2 1.4 1.2 0.9   8 128    1.2 1.4 1.4 1.3
 *	trsm (m n)    4 32	 0.9 1.3 2.4 2.1   32 4	    1.0 2.0 2.5 1.9   8 128    1.5 2.0 4.9 2.5
 *		      128 8	 1.7 1.6 3.0 2.8   64 32    1.7 1.6 2.7 2.3   8 256    1.4 2.0 4.9 2.8
 *	getrf (m n)   32 4	 1.5 1.2 1.5 0.9   4 32	    1.7 1.5 2.1 1.7   8 128    1.4 1.1 2.4 1.9
 *		      16 256	 1.7 1.5 3.6 2.2   32 256   1.8 1.8 3.3 2.0   8 256    0.9 0.8 3.8 1.9  (s and d: ATLAS; 4.5 times OpenBLAS)
 *
 * Reaching another library than the program's own costs 30 to 80 ns more than calling it, so that a ratio of 0.9 is none to give up.
 * Below 4 gemm, gemv and syrk are faster than the program's own library, whichever it is but OpenBLAS, whose products of order 1 are
 * 1.1 times as fast (Zen 5: dgemm 2 takes 15 ns from call to return, 26 in reference BLAS; dsyrk 21 and 79; zgemm 17 and 73). So
 * would trsm be, 27 and 66, but it multiplies by reciprocals: what reference BLAS solves exactly, in equations so few that somebody
 * may have written down the answer, it does not. At 4 to 7 MKL's getrf and ATLAS's potrf are faster, but the program's own library is
 * neither. */
static const struct cdm_tiny_limit avx2_limits[CDM_TINY_ROUTINES][CDM_TINY_TYPES] = {
	/* clang-format off */
	/*		     s			      d			    c			  z */
	[CDM_TINY_GEMM]	 = {{1, 256, 128, 110592}, {1, 256, 128, 64000}, {1, 256, 128, 32768}, {1, 256, 32, 8000}},
	[CDM_TINY_GEMV]	 = {{1, 512, 0, 10000},	  {1, 512, 0, 9216},	{1, 512, 0, 9216},    {1, 512, 0, 3072}},
	[CDM_TINY_SYRK]	 = {{1, 256, 40, 16384},  {1, 256, 64, 32768},	{1, 256, 32, 16384},  {1, 256, 16, 16384}},
	[CDM_TINY_TRSM]	 = {{4, 256, 64, 4096},	  {4, 256, 64, 4096},	{4, 256, 64, 4096},   {4, 256, 64, 4096}},
	[CDM_TINY_GETRF] = {{1, 512, 32, 16384}, {1, 512, 32, 16384}, {1, 512, 32, 16384},  {1, 512, 32, 16384}},
	[CDM_TINY_POTRF] = {{1, 64, 64, 0},	  {1, 64, 64, 0},	{1, 64, 64, 0},	      {1, 64, 64, 0}},
	/* clang-format on */
};

/* The same for AVX-512 on a Zen 5 (2 CPUs, shared) against the best of OpenBLAS 0.3.21's core types SkylakeX and Haswell, one thread;
 * Cooperlake is as fast as SkylakeX, Zen as Haswell. OpenBLAS has kernels for small products there, too, and no wrapper above them.
 *
 *	  n = 4    6    8   12   16   20   24   32   48   64    and the kernel's ns at 4, 8, 16, 32, 64
 *	sgemm   1.2  1.5  1.0  1.3  0.9  1.2  1.1  1.0  1.1  1.0       13    22    49   270  2067
 *	dgemm   1.0  1.4  0.8  1.2  0.9  1.1  1.0  1.0  1.0  1.0       19    21    80   532  4099
 *	cgemm   1.3  1.3  1.7  1.6  1.7  1.6  1.3  1.3  1.2  1.2       20    34   141  1052  8246
 *	zgemm   1.6  1.3  1.8  1.6  1.7  1.6  1.5  1.5  1.4  1.4       19    44   269  2103 16716
 *	sgemv   0.6  0.7  0.7  0.8  0.8  1.0  1.1  0.9  1.6  2.0        8     8     9    19    46
 *	dgemv   0.8  1.1  0.9  1.0  1.2  1.3  1.5  1.6  1.9  1.9        8     8    13    27    79
 *	cgemv   0.9  1.0  1.0  0.9  1.1  0.9  1.2  1.2  1.4  1.4        9    11    20    47   169
 *	zgemv   0.9  1.0  1.2  1.3  1.5  1.4  1.5  1.6  1.7  1.2       10    15    28    89   507
 *	ssyrk   1.2  1.3  1.4  1.3  1.3  1.2  1.2  1.5  1.5  1.5       19    38    95   349  1738
 *	dsyrk   1.6  1.6  1.6  1.7  1.8  1.5  1.8  1.9  1.9  1.8       19    34   111   473  2759
 *	csyrk   1.2  1.2  1.4  1.3  1.3  1.1  1.1  1.1  1.1  1.1       29    59   186   904  5571
 *	zsyrk   1.3  1.2  1.2  1.2  1.3  1.3  1.3  1.3  1.4  1.4       28    73   265  1450  9766
 *	cherk   1.2  1.2  1.4  1.3  1.3  1.1  1.1  1.1  1.1  1.1       29    58   186   915  5546
 *	zherk   1.3  1.2  1.2  1.2  1.3  1.3  1.3  1.3  1.4  1.4       27    72   316  1471  9860
 *	strsm   1.0  1.6  1.6  1.3  1.9  1.6  1.5  2.2                 30    38    85   298
 *	dtrsm   1.6  2.2  1.7  2.0  2.5  2.2  2.7  2.6                 24    38    95   448
 *	ctrsm   1.8  2.0  2.3  2.6  3.9  3.2  4.2  3.8                 36    72   168   846
 *	ztrsm   1.9  1.9  2.7  3.5  3.2  3.4  3.4  3.1                 48    75   297  1515
 *	sgetrf  1.1  1.6  1.8  2.1  2.6  2.3  2.5  2.8                 70   139   343   975
 *	dgetrf  1.0  1.5  1.8  1.9  2.3  2.3  2.3  2.3                 68   118   390  1393
 *	cgetrf  0.9  1.1  1.5  2.1  2.5  2.7  2.9  3.0                107   245   561  1748
 *	zgetrf  0.9  1.0  1.2  1.7  1.8  1.8  1.9  1.8                128   292   744  2856
 *	spotrf  3.1  1.5  1.7  1.9  2.3  1.9  2.1  2.1                 10    59   135   397
 *	dpotrf  2.6  1.5  1.7  1.8  2.0  1.8  2.2  2.3                 15    68   168   547
 *	cpotrf  2.2  1.9  2.1  2.0  2.3  2.1  2.4  2.3                 40    83   225   821
 *	zpotrf  1.5  1.4  1.6  1.8  1.8  1.5  1.8  1.8                 46   102   316  1196
 *
 * Thin ones, s d c z:
 *	gemm (m n k)  32 4 4   1.0 0.9 1.4 1.6   4 32 4   0.7 0.8 1.3 1.7   4 4 32   0.7 0.7 1.6 1.9   (s d NN: 1.4 1.6)
 *		      128 8 8  1.0 1.0 1.4 1.5   8 128 8  0.6 0.9 1.6 1.8   8 8 128  0.8 0.8 1.8 1.9   (s d NN: 1.5 1.6)
 *		      256 4 4  1.0 1.1 1.5 1.5   64 16 16 1.0 1.0 1.4 1.6   128 16 64 0.9 0.8 1.4 1.5
 *	gemv (m n)    32 4     0.9 0.8 1.0 1.2   4 32	  0.5 1.2 1.0 1.4   128 8    0.8 1.4 1.5 1.8
 *		      8 128    0.8 2.0 1.3 1.6   128 128  1.2 1.0 1.2 1.2   512 32   1.2 1.0 1.2 1.2   32 512  1.6 1.3 1.2 1.4
 *	getrf (m n)   32 4     2.1 1.7           8 8      1.8 1.9   and without the 10 ns, d alone:   128 8	1.4   256 4  1.5   384 8  1.2
 *
 * Larger solves and factorizations of the same, in us, and the best of both core types with one thread and with two:
 *		      64 LLNN / L        128                256
 *	strsm	      1.7   3.2   5.5    10.6  20.9  15.1   79   146   80   (from 129 on left to libraries: their teams grow)
 *	dtrsm	      2.8   8.9  11.2    19.9  55.3  34.9  157   385  199
 *	ztrsm	     10.8  29.2  34.2    82   185   116
 *	sgetrf			         16.5  29.6  29.3   88   159  159
 *	dgetrf	      6.3  14.3	         26.3  52.0  57.9  152   262  262
 *	spotrf	      1.3   2.9   2.9     6.0  12.1  23.0   41    67   66
 *	dpotrf	      1.9   3.9   8.7     9.6  21.1  32.7   72   123  110
 *	zpotrf	      5.3  10.7  37.7    31    60    93
 *	syrk (n k)    32 512: s 3.8 6.7, d 6.3 15.8, z 20.5 38.7   128 128: s 11.8 14.2, d 19.0 37.6
 * AVX2's kernels, there, against the core types Haswell and Zen with one thread: trsm of 64 s 1.0 to 1.2, d 1.2 to 2.2, c 1.4 to 2.2,
 * z 1.2 to 1.3, of 128 s 1.0, d 1.1 to 1.7, z 0.9; potrf of 64 d 1.3 to 1.7, z 1.1 to 1.3.
 *
 * A ratio below 1 is mostly that of the 10 ns. Without them, these alone are slower than the library, of all above: gemm with op(A) = A'
 * and op(B) = B' (s 8 128 8 0.6, 8 8 128 0.9; d 8 8 128, 128 16 64 0.8; d 48, 64 0.96), with 8 8 128 (s NN, d TN 0.9), and sgemv with op(A)
 * = A' of up to 4 rows (4 32 0.7). A call that goes on to a library costs more, too. Products keep their ratios up to n = 160
 * (s 1.1, d 1.4, c 1.1, z 1.4), but from 64 (s d), 56 (c) and 54 (z) on two threads of a library may be faster: zgemm 64 13.7 us, 16.3 here. */
static const struct cdm_tiny_limit avx512_limits[CDM_TINY_ROUTINES][CDM_TINY_TYPES] = {
	/* clang-format off */
	/*		     s			      d			    c			  z */
	[CDM_TINY_GEMM]	 = {{1, 256, 128, 262144}, {1, 256, 128, 262144}, {1, 256, 128, 175616}, {1, 256, 128, 157464}},
	[CDM_TINY_GEMV]	 = {{1, 512, 0, 16384},	  {1, 512, 0, 16384},	{1, 512, 0, 16384},    {1, 512, 0, 16384}},
	[CDM_TINY_SYRK]	 = {{1, 2048, 96, 1048576}, {1, 2048, 128, 2097152}, {1, 256, 64, 262144}, {1, 256, 64, 262144}},
	[CDM_TINY_TRSM]	 = {{4, 256, 128, 16384}, {4, 256, 128, 16384}, {4, 256, 128, 16384}, {4, 256, 128, 16384}},
	[CDM_TINY_GETRF] = {{1, 512, 256, 65536}, {1, 512, 256, 65536}, {1, 512, 32, 16384},  {1, 512, 32, 16384}},
	[CDM_TINY_POTRF] = {{1, 256, 256, 0},	  {1, 256, 256, 0},	{1, 128, 128, 0},     {1, 128, 128, 0}},
	/* clang-format on */
};

static const struct cdm_tiny_set avx2 = {
	.name = "avx2",
	.needs = CDM_CPU_AVX2,
	.of = {REAL(cdm_tiny_avx2_s), REAL(cdm_tiny_avx2_d), COMPLEX(cdm_tiny_avx2_c), COMPLEX(cdm_tiny_avx2_z)},
	.limits = avx2_limits,
};

static const struct cdm_tiny_set avx512 = {
	.name = "avx512",
	.needs = CDM_CPU_AVX512,
	.of = {REAL(cdm_tiny_avx512_s), REAL(cdm_tiny_avx512_d), COMPLEX(cdm_tiny_avx512_c),
	       COMPLEX(cdm_tiny_avx512_z)},
	.limits = avx512_limits,
	.tall = {[CDM_TINY_S] = CDM_TINY_TALL, [CDM_TINY_D] = CDM_TINY_TALL},
};

const struct cdm_tiny_set *cdm_tiny_set(int i)
{
	static const struct cdm_tiny_set *const sets[] = {&avx512, &avx2};

	for (size_t s = 0; s < sizeof(sets) / sizeof(*sets); s++)
		if (cdm_cpu() & sets[s]->needs && i-- == 0)
			return sets[s];
	return NULL;
}

/* What the CPU can do, as far as libcdm asks. Not by the compiler's __builtin_cpu_supports(): that asks everything in a constructor, some
 * 20 CPUID instructions, each of which leaves a virtual machine; together 40 us of every program's start.
 */
#ifndef CDM_BASE_CPU_H
#define CDM_BASE_CPU_H

enum cdm_cpu {
	CDM_CPU_KNOWN = 1,
	CDM_CPU_AMD = 2,
	CDM_CPU_SSE42 = 4,
	CDM_CPU_AVX = 8,     /* this and what follows: the kernel saves the registers, too */
	CDM_CPU_AVX2 = 16,   /* with FMA */
	CDM_CPU_AVX512 = 32, /* F, BW, DQ, VL */
	CDM_CPU_BF16 = 64,   /* of AVX-512 */
};

/* Bits of enum cdm_cpu. The first call asks the CPU. Any thread. */
unsigned cdm_cpu(void);

#endif

#include "offload/base/cpu.h"

#include <cpuid.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

/* Bits of extended control register 0, Intel SDM vol. 1, 13.3. */
#define XCR0_AVX 0x06u
#define XCR0_AVX512 0xe6u

struct leaf {
	unsigned a, b, c, d;
};

static struct leaf cpuid(unsigned leaf, unsigned subleaf)
{
	struct leaf l = {0, 0, 0, 0};

	__get_cpuid_count(leaf, subleaf, &l.a, &l.b, &l.c, &l.d);
	return l;
}

static unsigned enabled_registers(void)
{
	unsigned low, high;

	__asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return low;
}

static unsigned vendor(void)
{
	struct leaf l = cpuid(0, 0);
	const unsigned name[3] = {l.b, l.d, l.c};

	return !memcmp(name, "AuthenticAMD", 12) ? CDM_CPU_AMD : 0;
}

static unsigned vectors(const struct leaf *one)
{
	const unsigned all512 = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
	unsigned saved = one->c & bit_OSXSAVE ? enabled_registers() : 0, found = 0;

	if ((saved & XCR0_AVX) != XCR0_AVX || !(one->c & bit_AVX))
		return 0;
	struct leaf seven = cpuid(7, 0);
	found = CDM_CPU_AVX;
	if (seven.b & bit_AVX2 && one->c & bit_FMA)
		found |= CDM_CPU_AVX2;
	if (found & CDM_CPU_AVX2 && (saved & XCR0_AVX512) == XCR0_AVX512 && (seven.b & all512) == all512)
		found |= CDM_CPU_AVX512;
	if (found & CDM_CPU_AVX512 && seven.a >= 1 && cpuid(7, 1).a & bit_AVX512BF16)
		found |= CDM_CPU_BF16;
	return found;
}

static unsigned ask(void)
{
	struct leaf one = cpuid(1, 0);

	return CDM_CPU_KNOWN | vendor() | (one.c & bit_SSE4_2 ? CDM_CPU_SSE42 : 0) | vectors(&one);
}

unsigned cdm_cpu(void)
{
	static _Atomic unsigned known;
	unsigned is = atomic_load_explicit(&known, memory_order_relaxed);

	if (!is) {
		is = ask();
		atomic_store_explicit(&known, is, memory_order_relaxed);
	}
	return is;
}

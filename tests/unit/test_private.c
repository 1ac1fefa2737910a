/* The private device from the inside: states, windows, thrash, what a failure leaves. Both guards. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "tests/unit/engine.h"

#include <criterion/parameterized.h>

#include "offload/mem/image.h"

#define MIB ((size_t)1 << 20)

static struct cdm_region *region_of(const void *p)
{
	return cdm_region_get(cdm_pagemap_get((uintptr_t)p));
}

/* An operation on [p, p+len) that does nothing; the device's address of p goes to *dva while it is held. */
static int operate(void *p, size_t len, bool writes, void (*during)(char *dva, size_t len))
{
	struct cdm_hold hold;
	struct cdm_operand_facts f;

	if (!cdm_residency_survey((uintptr_t)p, len, writes, &hold, &f) || !f.movable)
		return -EPERM;
	int r = cdm_residency_acquire(&hold, cdm_policy_get(CDM_POLICY_FIRST_USE));
	if (r)
		return r;
	if (during)
		during(cdm_residency_address(&hold), len);
	struct cdm_use use = cdm_residency_use(1e6);
	cdm_residency_release(&hold, &use);
	return 0;
}

static struct cdm_placement where(const void *p, size_t len)
{
	struct cdm_placement w;
	cr_assert_eq(cdm_residency_where((uintptr_t)p, len, &w), 0);
	return w;
}

static char *filled_block(size_t len, char with)
{
	char *p = cdm_block_alloc(len, 1, false, NULL);
	memset(p, with, len);
	return p;
}

static bool all(const char *p, size_t len, char value)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] != value)
			return false;
	return true;
}

static void sees_seven(char *dva, size_t len)
{
	cr_assert(all(dva, len, 7));
}
static void writes_nine(char *dva, size_t len)
{
	memset(dva, 9, len);
}

/* Read: valid on both sides. Written by the CPU: on the host alone. Written by the device: there alone, until touched. */
static void states(void)
{
	size_t len = 8 * MIB;
	char *p = filled_block(len, 7);

	cr_assert_eq(operate(p, len, false, sees_seven), 0);
	cr_assert_eq(where(p, len).shared, len);
	cr_assert(all(p, len, 7));
	cr_assert_eq(cdm_counted(&cdm_stats.host_faults), 0, "a read of a shared page faults");
	cr_assert_neq((uintptr_t)p, region_of(p)->image);
	cr_assert_eq(((uintptr_t)p ^ region_of(p)->image) & (CDM_HUGE - 1), 0, "huge pages do not face each other");

	p[5 * MIB] = 8;
	cr_assert_geq(where(p, len).host, CDM_HUGE);
	cr_assert_eq(cdm_counted(&cdm_stats.to_host), 0, "a clean page is copied home");
	p[5 * MIB] = 7;
	cr_assert_eq(operate(p, len, false, sees_seven), 0);

	cr_assert_eq(operate(p, len, true, writes_nine), 0);
	cr_assert_eq(where(p, len).device, len);
	cr_assert_eq(cdm_device.mem->in_use(), len);
	cr_assert(all(p, len, 9));
	cr_assert_gt(cdm_counted(&cdm_stats.host_faults), 0);
	cr_assert_eq(where(p, len).device, 0);
	cdm_block_free(p);
	cr_assert_eq(cdm_device.mem->in_use(), 0);
	cr_assert(cdm_regions_valid());
}

/* A walk needs few faults, as each brings home twice as much; random touches bring home little. */
static void windows(void)
{
	size_t len = 192 * MIB;
	char *p = filled_block(len, 1);

	cr_assert_eq(operate(p, len, true, NULL), 0);
	for (size_t i = 0; i < len; i += CDM_PAGE)
		p[i]++;
	uint64_t walk = cdm_counted(&cdm_stats.host_faults);
	cr_assert_leq(walk, 16, "%lu faults on a walk", (unsigned long)walk);
	cr_assert_eq(cdm_counted(&cdm_stats.to_host), len);

	cr_assert_eq(operate(p, len, true, NULL), 0);
	srand(42);
	for (int i = 0; i < 40; i++)
		p[(size_t)rand() % (len / CDM_PAGE) * CDM_PAGE] = 3;
	cr_assert_lt(cdm_counted(&cdm_stats.to_host) - len, len / 2);
	cdm_block_free(p);
}

/* Out, touched, out, touched: left on the host for a while, then tried again. */
static void thrash(void)
{
	size_t len = 4 * MIB;
	char *p = filled_block(len, 1);
	int refused = 0;

	for (int i = 0; i < 60; i++) {
		int r = operate(p, len, true, NULL);
		cr_assert(r == 0 || r == -EBUSY, "%d", r);
		refused += r != 0;
		p[0] = 1;
		p[len - 1] = 1;
	}
	cr_assert_geq(cdm_counted(&cdm_stats.thrash), 1);
	cr_assert(refused >= 10 && refused < 50, "%d of 60 refused", refused);
	cdm_block_free(p);

	char *q = filled_block(len, 1); /* the same memory, another life */
	cr_assert_eq(operate(q, len, true, NULL), 0);
	for (int i = 0; i < 60; i++) /* used more than once a stay: that is what a device is for */
		cr_assert_eq(operate(q, len, true, NULL) | operate(q, len, true, NULL), 0);
	cdm_block_free(q);
}

static int no_commit(void *dva, size_t len)
{
	(void)dva;
	(void)len;
	return -ENOMEM;
}

/* Nothing to give: the pages are the program's as before, and nothing is charged. */
static void refused_out(void)
{
	static struct cdm_mem_ops poor;
	const struct cdm_mem_ops *rich = cdm_device.mem;
	size_t len = 4 * MIB;
	char *p = filled_block(len, 7);

	poor = *rich;
	poor.commit = no_commit;
	cdm_device.mem = &poor;
	cr_assert_eq(operate(p, len, true, NULL), -ENOMEM);
	cdm_device.mem = rich;
	cr_assert_eq(where(p, len).host, len);
	cr_assert_eq(rich->in_use(), 0);
	p[0] = 7;
	cr_assert(all(p, len, 7));
	cr_assert_eq(region_of(p)->image, 0);
	cdm_block_free(p);
}

/* 3 times the device: clean and dirty regions leave, all bytes are right. */
static void oversubscribed(void)
{
	enum { N = 24 };
	size_t len = 8 * MIB;
	char *p[N];

	for (int i = 0; i < N; i++)
		p[i] = filled_block(len, (char)(i + 1));
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < N; i++)
			cr_assert_eq(operate(p[i], len, i % 2, NULL), 0);
	cr_assert_gt(cdm_counted(&cdm_stats.evictions), N);
	cr_assert_leq(cdm_device.mem->peak(), cdm_device.mem->capacity());
	for (int i = 0; i < N; i++) {
		cr_assert(all(p[i], len, (char)(i + 1)));
		cdm_block_free(p[i]);
	}
	cr_assert_eq(cdm_device.mem->in_use(), 0);
	cr_assert(cdm_regions_valid());
}

#define BOTH(name)                                                                                                     \
	ParameterizedTestParameters(private, name)                                                                     \
	{                                                                                                              \
		static int mechanisms[] = {CDM_MECHANISM_MOVE, CDM_MECHANISM_REMAP};                                   \
		return cr_make_param_array(int, mechanisms, 2);                                                        \
	}                                                                                                              \
	ParameterizedTest(int *m, private, name)                                                                       \
	{                                                                                                              \
		size_t capacity = 64 * MIB;                                                                            \
		engine_start_on(CDM_DEVICE_EMU_PRIVATE, *m, CDM_POLICY_FIRST_USE,                                      \
				name == windows ? 512 * MIB : capacity);                                               \
		name();                                                                                                \
		cr_assert_str_eq(cdm_residency_mechanism(), mechanism_name(*m));                                       \
	}

BOTH(states)
BOTH(windows)
BOTH(thrash)
BOTH(refused_out)
BOTH(oversubscribed)

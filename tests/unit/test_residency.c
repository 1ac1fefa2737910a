/* Moving out and home: data, counters and refusals, under both mechanisms. */
#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "offload/mem/pages.h"
#include "tests/unit/engine.h"

#include <criterion/parameterized.h>

#define MIB ((size_t)1 << 20)

static void fill(uint64_t *p, size_t bytes, uint64_t salt)
{
	for (size_t i = 0; i < bytes / 8; i++)
		p[i] = i * 0x9e3779b97f4a7c15u + salt;
}

static bool filled(const uint64_t *p, size_t bytes, uint64_t salt)
{
	for (size_t i = 0; i < bytes / 8; i++)
		if (p[i] != i * 0x9e3779b97f4a7c15u + salt)
			return false;
	return true;
}

static int fetch(void *p, size_t len)
{
	struct cdm_hold hold;
	struct cdm_operand_facts f;

	if (!cdm_residency_survey((uintptr_t)p, len, true, &hold, &f) || !hold.region)
		return -1;
	int r = cdm_residency_acquire(&hold, cdm_policy_get(CDM_POLICY_FIRST_USE));
	if (r)
		return r;
	struct cdm_use use = cdm_residency_use(1e6);
	cdm_residency_release(&hold, &use);
	return 0;
}

static size_t resident(void *p)
{
	return cdm_region_get(cdm_pagemap_get((uintptr_t)p))->resident;
}

static void round_trips(void)
{
	for (size_t len = MIB; len <= 32 * MIB; len = len * 2 + 12288) {
		uint64_t *p = cdm_block_alloc(len, 1, false, NULL);
		fill(p, len, len);
		for (int i = 0; i < 10; i++) {
			cr_assert_eq(fetch(p, len), 0);
			cr_assert_geq(resident(p), len);
			cr_assert(filled(p, len, len));
			cr_assert_eq(cdm_residency_home((uintptr_t)p, len), 0);
			cr_assert_eq(resident(p), 0);
			cr_assert(filled(p, len, len));
		}
		cr_assert_eq(cdm_device.mem->in_use(), 0);
		cdm_block_free(p);
	}
	cr_assert(cdm_regions_valid());
}

/* Pages that were never touched become zeros on the device, without a copy; the others keep their bytes. */
static void holes(void)
{
	size_t len = 16 * MIB;
	uint64_t *p = cdm_block_alloc(len, 1, false, NULL);

	fill(p + 2 * MIB / 8, MIB, 1); /* half of chunk 1 */
	p[6 * MIB / 8 + 5000] = 77;    /* a page in the middle of chunk 3 */
	cr_assert_eq(fetch(p, len), 0);
	cr_assert(filled(p + 2 * MIB / 8, MIB, 1));
	cr_assert_eq(p[6 * MIB / 8 + 5000], 77);
	for (size_t i = 8 * MIB / 8; i < len / 8; i++)
		cr_assert_eq(p[i], 0);
	cr_assert_geq(cdm_counted(&cdm_stats.first_touch), 8 * MIB);
	cr_assert_eq(cdm_counted(&cdm_stats.first_touch) + cdm_counted(&cdm_stats.to_device), len);
	cr_assert_eq(cdm_residency_home((uintptr_t)p, len), 0);
	cr_assert(filled(p + 2 * MIB / 8, MIB, 1));
}

/* A matrix whose columns are apart: three of four pages exist, one by one. They go in one piece, huge, whether or not the kernel may
 * make a huge page of them before; frames that have served before leave nothing in the holes. */
static void columns_apart(bool collapsible)
{
	size_t len = 8 * MIB, pages = len / CDM_PAGE;
	uint64_t *used = cdm_block_alloc(len, 1, false, NULL), *p = cdm_block_alloc(len, 1, false, NULL), bits[8];
	uintptr_t small;

	fill(used, len, 3);
	cr_assert_eq(fetch(used, len), 0); /* leaves its frames to the next */
	cr_assert_eq(cdm_sys_madvise(p, len, MADV_NOHUGEPAGE), 0);
	for (size_t i = 0; i < pages; i++)
		if (i % 4)
			p[i * 512 + i % 512] = i;
	if (collapsible)
		cr_assert_eq(cdm_sys_madvise(p, len, MADV_HUGEPAGE), 0);
	cr_assert_eq(fetch(p, len), 0);
	cr_assert_eq(resident(p), len);
	for (size_t at = 0; at < len; at += 2 * MIB) {
		cr_assert_eq(cdm_pages_present((uintptr_t)p + at, 2 * MIB, bits), 0);
		for (int i = 0; i < 8; i++)
			cr_assert_eq(bits[i], UINT64_MAX);
	}
	cr_assert_not(cdm_pages_small((uintptr_t)p, len, &small));
	for (int home = 0; home < 2; home++) {
		for (size_t i = 0; i < len / 8; i++)
			cr_assert_eq(p[i], i / 512 % 4 && i % 512 == i / 512 % 512 ? i / 512 : 0, "word %zu", i);
		cr_assert_eq(cdm_residency_home((uintptr_t)p, len), 0);
	}
	cr_assert(cdm_regions_valid());
}

/* The hot ones of many stay, be they the first to come or the last: more of them than eviction looks at for one victim. */
static void eviction_of_cold(int hot)
{
	enum { ALL = 240, MORE = 40, SIZE = 256 << 10 };
	char *p[ALL + MORE];

	for (int i = 0; i < ALL; i++)
		cr_assert_eq(fetch(p[i] = cdm_block_alloc(SIZE, 1, false, NULL), SIZE), 0);
	for (int i = hot; i < hot + ALL / 2; i++)
		cr_assert_eq(fetch(p[i], SIZE), 0);
	for (int i = ALL; i < ALL + MORE; i++)
		cr_assert_eq(fetch(p[i] = cdm_block_alloc(SIZE, 1, false, NULL), SIZE), 0);
	cr_assert_geq(cdm_counted(&cdm_stats.evictions), ALL + MORE - 256);
	for (int i = hot; i < hot + ALL / 2; i++)
		cr_assert_eq(resident(p[i]), SIZE, "block %d", i);
	cr_assert(cdm_regions_valid());
}

/* What a move was paid with is spent (policy/adaptive.c). */
static void work_since_it_came(void)
{
	uint64_t *p = cdm_block_alloc(2 * MIB, 1, false, NULL);
	struct cdm_region *r = cdm_region_get(cdm_pagemap_get((uintptr_t)p));

	fill(p, 2 * MIB, 9);
	for (int i = 1; i <= 3; i++) {
		cr_assert_eq(fetch(p, 2 * MIB), 0);
		cr_assert_eq(r->work, (uint64_t)i * 1000000);
	}
	cr_assert_eq(cdm_residency_make_room(cdm_device.mem->capacity(), cdm_policy_get(CDM_POLICY_FIRST_USE)), 0);
	cr_assert_eq(resident(p), 0);
	cr_assert_eq(r->work, 3000000);
	cr_assert_eq(fetch(p, 2 * MIB), 0);
	cr_assert_eq(r->work, 1000000);
	cr_assert_eq(r->uses, 4);
	cr_assert(filled(p, 2 * MIB, 9));
	cdm_block_free(p);
}

static void eviction(void)
{
	uint64_t *p[24];

	for (int i = 0; i < 24; i++) { /* 24 x 8 MiB on a device of 64 MiB */
		p[i] = cdm_block_alloc(8 * MIB, 1, false, NULL);
		fill(p[i], 8 * MIB, (uint64_t)i);
	}
	for (int round = 0; round < 3; round++)
		for (int i = 0; i < 24; i++) {
			cr_assert_eq(fetch(p[i], 8 * MIB), 0);
			cr_assert(filled(p[i], 8 * MIB, (uint64_t)i));
		}
	cr_assert_gt(cdm_counted(&cdm_stats.evictions), 24);
	cr_assert_leq(cdm_device.mem->peak(), cdm_device.mem->capacity());
	for (int i = 0; i < 24; i++)
		cr_assert(filled(p[i], 8 * MIB, (uint64_t)i));
	cr_assert(cdm_regions_valid());
	uint64_t *big = cdm_block_alloc(65 * MIB, 1, false, NULL);
	cr_assert_eq(fetch(big, 65 * MIB), -28, "what cannot fit is refused");
}

static void ends_with_the_memory(void)
{
	char *p = cdm_block_alloc(8 * MIB, 1, false, NULL);
	memset(p, 1, 8 * MIB);
	cr_assert_eq(fetch(p, 8 * MIB), 0);
	cdm_block_free(p);
	cr_assert_eq(cdm_block_alloc(8 * MIB, 1, false, NULL), p);
	cr_assert_eq(resident(p), 8 * MIB, "a reused block is born where its frames are");
	cdm_map_madvise(p, 2 * MIB, MADV_DONTNEED);
	cr_assert_eq(resident(p), 6 * MIB);
	cr_assert_eq(p[0], 0);

	char *m = cdm_map_mmap(NULL, 8 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, NULL);
	memset(m, 2, 8 * MIB);
	cr_assert_eq(fetch(m, 8 * MIB), 0);
	size_t before = cdm_device.mem->in_use();
	cdm_map_munmap(m + 3 * MIB, MIB);
	cr_assert_eq(cdm_device.mem->in_use(), before - MIB);
	cr_assert_eq(m[3 * MIB - 1], 2);
	cr_assert_eq(m[4 * MIB], 2);
	char *q = cdm_map_mremap(m, 3 * MIB, 6 * MIB, MREMAP_MAYMOVE, NULL);
	cr_assert(!cdm_sys_failed(q));
	cr_assert_eq(q[3 * MIB - 1], 2);
	cr_assert(cdm_regions_valid());
	cdm_map_munmap(q, 6 * MIB);
	cdm_map_munmap(m + 4 * MIB, 4 * MIB);
	cr_assert_eq(cdm_device.mem->in_use(), before - 8 * MIB);
	cr_assert(cdm_regions_valid());
}

static void read_only_stays(void)
{
	char *m = cdm_map_mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, NULL);
	struct cdm_hold hold;
	struct cdm_operand_facts f;

	memset(m, 5, 4 * MIB);
	cdm_map_mprotect(m, 4 * MIB, PROT_READ);
	cr_assert_not(cdm_residency_survey((uintptr_t)m, 4 * MIB, true, &hold, &f), "an output that is read-only");
	cr_assert(cdm_residency_survey((uintptr_t)m, 4 * MIB, false, &hold, &f));
	cr_assert_neq(fetch(m, 4 * MIB), 0);
	cdm_map_mprotect(m, 4 * MIB, PROT_NONE);
	cr_assert_not(cdm_residency_survey((uintptr_t)m, 4 * MIB, false, &hold, &f));
	cdm_map_mprotect(m, 4 * MIB, PROT_READ | PROT_WRITE);
	cr_assert_eq(fetch(m, 4 * MIB), 0);
	cr_assert_eq(m[4 * MIB - 1], 5);
}

/* COW both ways after a fork, and the pages move again in the parent and in the child. */
static void forked(void)
{
	uint64_t *p = cdm_block_alloc(8 * MIB, 1, false, NULL), *home = cdm_block_alloc(8 * MIB, 1, false, NULL);
	int status;

	fill(p, 8 * MIB, 1);
	fill(home, 8 * MIB, 2);
	cr_assert_eq(fetch(p, 8 * MIB), 0);
	cdm_engine_fork_prepare();
	pid_t child = fork();
	if (child == 0) {
		cdm_engine_fork_child();
		int e = fetch(home, 8 * MIB);
		bool ok = filled(p, 8 * MIB, 1) && (e == 0 || e == -EBUSY) && filled(home, 8 * MIB, 2);
		fill(p, 8 * MIB, 3);
		ok = ok && cdm_residency_home((uintptr_t)p, 8 * MIB) == 0 && filled(p, 8 * MIB, 3) &&
		     cdm_regions_valid();
		_exit(ok ? 0 : 1);
	}
	cdm_engine_fork_parent();
	int e = fetch(home, 8 * MIB);
	cr_assert(e == 0 || e == -EBUSY, "while both sides break the sharing the kernel may refuse (got %d)", e);
	fill(home, 8 * MIB, 4);
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert_eq(status, 0);
	for (int i = 0; (e = fetch(home, 8 * MIB)) == -EBUSY && i < 100; i++)
		usleep(10000);
	cr_assert_eq(e, 0, "what was shared moves when the child has gone");
	cr_assert(filled(p, 8 * MIB, 1));
	cr_assert_eq(cdm_residency_home((uintptr_t)p, 8 * MIB), 0);
	cr_assert(filled(p, 8 * MIB, 1) && filled(home, 8 * MIB, 4));
	cr_assert(cdm_regions_valid());
}

static double in_bss[2 * 1024 * 1024];

static void statics(void)
{
	in_bss[1024 * 1024] = 3.5;
	cr_assert_neq(fetch(in_bss, sizeof(in_bss)), 0, "the mover's own data, linked in here, stays");
	cr_assert_eq(in_bss[1024 * 1024], 3.5);
	cr_assert_eq(fetch(cdm_block_alloc(MIB, 1, false, NULL), MIB), 0);
	double on_stack[1000];
	struct cdm_hold hold;
	struct cdm_operand_facts f;
	cr_assert(cdm_residency_survey((uintptr_t)on_stack, sizeof(on_stack), true, &hold, &f));
	cr_assert_not(f.movable, "a stack is used in place");
	cr_assert_not(cdm_residency_survey(4096, 8, false, &hold, &f), "nothing is mapped there");
}

static void strided(int policy)
{
	int64_t n = 300, ld = 700;
	double *a = cdm_block_alloc((size_t)(ld * n) * 8, 1, false, NULL),
	       *b = cdm_block_alloc((size_t)(ld * n) * 8, 1, false, NULL);
	double *c = cdm_block_alloc((size_t)(ld * n) * 8, 1, false, NULL);

	for (int64_t i = 0; i < ld * n; i++) {
		a[i] = i % ld < n ? 1 : NAN;
		b[i] = i % ld < n ? 2 : NAN;
		c[i] = -1;
	}
	struct cdm_call call = gemm(a, b, c, n, ld);
	cr_assert(cdm_call_offload(&call));
	for (int64_t i = 0; i < ld * n; i++)
		cr_assert_eq(c[i], i % ld < n ? 2.0 * (double)n : -1, "policy %d element %ld", policy, (long)i);
	cr_assert_eq(cdm_counted(&cdm_stats.staged) > 0, policy == CDM_POLICY_COPY);
}

#define BOTH(name, body)                                                                                               \
	ParameterizedTestParameters(residency, name)                                                                   \
	{                                                                                                              \
		static int mechanisms[] = {CDM_MECHANISM_MOVE, CDM_MECHANISM_REMAP};                                   \
		return cr_make_param_array(int, mechanisms, 2);                                                        \
	}                                                                                                              \
	ParameterizedTest(int *m, residency, name)                                                                     \
	{                                                                                                              \
		engine_start(*m, CDM_POLICY_FIRST_USE, 64 * MIB);                                                      \
		body;                                                                                                  \
		cr_assert_str_eq(cdm_residency_mechanism(), mechanism_name(*m));                                       \
	}

BOTH(round_trips, round_trips())
BOTH(holes, holes())
BOTH(columns_apart, columns_apart(false))
BOTH(columns_apart_collapsed, columns_apart(true))
BOTH(eviction, eviction())
BOTH(work_since_it_came, work_since_it_came())
BOTH(eviction_of_the_last_to_come, eviction_of_cold(0))
BOTH(eviction_of_the_first_to_come, eviction_of_cold(120))
BOTH(ends_with_the_memory, ends_with_the_memory())
BOTH(read_only_stays, read_only_stays())
BOTH(forked, forked())
BOTH(statics, statics())
BOTH(strided_first_use, strided(CDM_POLICY_FIRST_USE))

Test(residency, strided_copy)
{
	engine_start(CDM_MECHANISM_AUTO, CDM_POLICY_COPY, 64 * MIB);
	strided(CDM_POLICY_COPY);
}

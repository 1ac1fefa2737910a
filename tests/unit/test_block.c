/* Blocks: alignment, reuse, realloc, what is kept and for how long, and the books after a random life. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "offload/mem/block.h"
#include "offload/mem/cache.h"
#include "offload/mem/crowd.h"
#include "offload/mem/decay.h"
#include "offload/mem/pages.h"
#include "offload/mem/spare.h"
#include "tests/unit/engine.h"

#define MIB ((size_t)1 << 20)

static void start(void)
{
	engine_start(CDM_MECHANISM_AUTO, CDM_POLICY_FIRST_USE, 64 << 20);
	cdm_config.control = 1;
}

TestSuite(block, .init = start);

Test(block, is_aligned_zeroed_and_known)
{
	for (size_t size = 1 << 20; size <= 64 << 20; size = size * 3 / 2 + 1) {
		char *p = cdm_block_alloc(size, 1, true, NULL);
		cr_assert_not_null(p);
		cr_assert_eq((uintptr_t)p % (size >= CDM_HUGE ? CDM_HUGE : CDM_PAGE), 0);
		cr_assert_geq(cdm_block_size(p), size);
		cr_assert_eq(cdm_block_size(p + CDM_PAGE), 0, "only its start is a block");
		for (size_t i = 0; i < size; i += 4093)
			cr_assert_eq(p[i], 0);
		memset(p, 1, size);
		cr_assert(cdm_block_free(p));
		cr_assert_not(cdm_block_free(p), "a second free is refused");
	}
	cr_assert(cdm_regions_valid());
}

Test(block, freed_memory_is_reused_and_calloc_of_it_is_zero)
{
	char *p = cdm_block_alloc(8 << 20, 1, false, NULL);
	memset(p, 1, 8 << 20);
	cdm_block_free(p);
	char *q = cdm_block_alloc(8 << 20, 1, true, NULL);
	cr_assert_eq(p, q);
	for (size_t i = 0; i < 8 << 20; i++)
		cr_assert_eq(q[i], 0);
}

/* What was freed last is in no list yet (cache.c): it counts, is reclaimed, and ends like any other free block. */
Test(block, what_was_freed_last_is_no_exception)
{
	char *p = cdm_block_alloc(8 << 20, 1, false, NULL);
	uint64_t mask;

	cdm_block_free(p);
	cr_assert_eq(cdm_cache_bytes(), 8 << 20);
	cr_assert_gt(cdm_cache_due(), 0);
	cr_assert_eq(cdm_block_alloc(8 << 20, 1, false, NULL), p, "from the lists");
	cr_assert_eq(cdm_cache_bytes(), 0);
	cdm_block_free(p);
	cr_assert_not(cdm_block_free(p));
	cdm_map_enter(&mask); /* the program maps over it */
	cdm_region_cut((uintptr_t)p, 8 << 20);
	cdm_map_leave(&mask);
	cr_assert_eq(cdm_cache_bytes(), 0);
	cr_assert_eq(cdm_cache_due(), 0);
	cr_assert_neq(cdm_block_alloc(8 << 20, 1, false, NULL), p);
	cr_assert(cdm_regions_valid());
}

enum { OWNERS = 4, TURNS = 100000 };
static _Atomic int stolen, short_blocks, lost;

static uint64_t *last_word(uint64_t *p, size_t size)
{
	return p + size / sizeof(*p) - 1;
}

/* Blocks of two sizes, up to three alive: whoever has one finds his marks at both ends of it. */
static void *own_blocks(void *seed)
{
	uint64_t state = (uint64_t)(uintptr_t)seed, *held[3] = {NULL};
	size_t size[3];

	for (int i = 0; i < TURNS; i++) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		int k = (int)((state >> 33) % 3);
		uint64_t mark = (uintptr_t)&held[k];
		if (held[k]) {
			stolen += *held[k] != mark || *last_word(held[k], size[k]) != mark;
			lost += !cdm_block_free(held[k]);
		}
		size[k] = (1 + (state >> 40) % 2) << 20;
		held[k] = cdm_block_alloc(size[k], 1, false, NULL);
		short_blocks += cdm_block_size(held[k]) < size[k];
		*held[k] = *last_word(held[k], size[k]) = mark;
	}
	for (int k = 0; k < 3; k++)
		lost += held[k] && !cdm_block_free(held[k]);
	return NULL;
}

/* All that is counted is there, and alive. */
static void expect_whole_cache(void)
{
	struct cdm_region *r;
	size_t bytes = cdm_cache_bytes();
	int dead = 0;

	cr_assert(cdm_regions_valid());
	while (bytes < (size_t)1 << 40 && (r = cdm_cache_oldest(false))) {
		dead += !cdm_region_live(r);
		bytes -= r->len;
	}
	cr_assert_eq(dead, 0);
	cr_assert_eq(bytes, 0);
}

Test(block, a_free_block_has_one_taker, .timeout = 60)
{
	pthread_t thread[OWNERS];

	for (uintptr_t i = 0; i < OWNERS; i++)
		cr_assert_eq(pthread_create(&thread[i], NULL, own_blocks, (void *)(i + 1)), 0);
	for (int i = 0; i < OWNERS; i++)
		pthread_join(thread[i], NULL);
	cr_assert(stolen == 0 && short_blocks == 0 && lost == 0, "%d stolen, %d too short, %d lost", (int)stolen,
		  (int)short_blocks, (int)lost);
	expect_whole_cache();
}

static _Atomic bool mapped_over;
static void *allocate_and_free(void *unused)
{
	while (!mapped_over)
		cdm_block_free(cdm_block_alloc(MIB, 1, false, NULL));
	return unused;
}

/* While other threads' blocks push it from the front into the lists. */
Test(block, what_is_mapped_over_is_no_free_block, .timeout = 60)
{
	pthread_t thread[2];
	uint64_t mask;

	for (int i = 0; i < 2; i++)
		cr_assert_eq(pthread_create(&thread[i], NULL, allocate_and_free, NULL), 0);
	for (int i = 0; i < 20000; i++) {
		char *p = cdm_block_alloc(8 * MIB, 1, false, NULL);
		cdm_block_free(p);
		cdm_map_enter(&mask);
		cdm_region_cut((uintptr_t)p, 8 * MIB);
		cdm_map_leave(&mask);
		munmap(p, 8 * MIB);
	}
	mapped_over = true;
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	expect_whole_cache();
}

Test(block, impossible_sizes_are_refused)
{
	cr_assert_null(cdm_block_alloc(SIZE_MAX, 1, false, NULL));
	cr_assert_null(cdm_block_alloc(PTRDIFF_MAX, 1, false, NULL));
	cr_assert_null(cdm_block_alloc((size_t)1 << 46, 1, false, NULL));
	cr_assert_null(cdm_block_alloc(1 << 20, (size_t)1 << 50, false, NULL));
}

Test(block, realloc_keeps_the_bytes)
{
	size_t size = 1 << 20;
	unsigned char *p = cdm_block_alloc(size, 1, false, NULL);

	for (size_t i = 0; i < size; i++)
		p[i] = (unsigned char)(i * 7 >> 3);
	for (int round = 0; round < 30; round++) {
		size_t to = (size_t)(1 + (round * 37) % 40) << 20;
		p = cdm_block_realloc(p, to, NULL);
		cr_assert_not_null(p);
		size_t keep = to < size ? to : size;
		for (size_t i = 0; i < keep; i += 61)
			cr_assert_eq(p[i], (unsigned char)(i * 7 >> 3), "round %d byte %zu", round, i);
		for (size_t i = 0; i < to; i++)
			p[i] = (unsigned char)(i * 7 >> 3);
		size = to;
		cr_assert(cdm_regions_valid());
	}
}

Test(block, mappings_split_merge_and_move)
{
	char *p = cdm_map_mmap(NULL, 16 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, NULL);
	memset(p, 3, 16 << 20);
	cr_assert_eq(cdm_map_munmap(p + (4 << 20) + 8192, 1 << 20), 0);
	cr_assert(cdm_regions_valid());
	cr_assert_neq(cdm_region_get(cdm_pagemap_get((uintptr_t)p)),
		      cdm_region_get(cdm_pagemap_get((uintptr_t)p + (12 << 20))));
	cr_assert_eq(cdm_pagemap_get((uintptr_t)p + (4 << 20) + 8192), 0);
	char *q = cdm_map_mremap(p, 4 << 20, 8 << 20, MREMAP_MAYMOVE, NULL);
	cr_assert(!cdm_sys_failed(q));
	cr_assert_eq(q[(4 << 20) - 1], 3);
	cr_assert_eq(q[4 << 20], 0);
	cr_assert(cdm_regions_valid());
	cr_assert_eq(cdm_map_mprotect(q, 1 << 20, PROT_READ), 0);
	cr_assert_eq(cdm_pagemap_get((uintptr_t)q) & CDM_WORD_WRITE, 0);
	cr_assert_neq(cdm_pagemap_get((uintptr_t)q + (1 << 20)) & CDM_WORD_WRITE, 0);
	cr_assert_eq(cdm_map_munmap(q, 8 << 20), 0);
	cr_assert(cdm_pagemap_empty((uintptr_t)q, 8 << 20));
	cr_assert_eq(cdm_map_munmap(p + 1, 100), -22);
	cr_assert(cdm_regions_valid());
}

/* Kernels of BLAS libraries load beyond the last element. */
Test(block, memory_goes_on_behind)
{
	engine_start(CDM_MECHANISM_AUTO, CDM_POLICY_FIRST_USE, (size_t)64 << 20);
	for (size_t size = 1 << 20; size < (size_t)9 << 20; size += 1234567) {
		volatile char *p = cdm_block_alloc(size, 16, false, NULL), *end = p + cdm_block_size((void *)p);
		int sum = 0;
		cr_assert_not_null((void *)p);
		for (size_t i = 0; i < (size_t)256 << 10; i += 4096)
			sum += end[i];
		p = cdm_block_realloc((void *)p, 3 * size, NULL);
		end = p + cdm_block_size((void *)p);
		sum += end[0] + end[(256 << 10) - 1];
		p = cdm_block_realloc((void *)p, size, NULL);
		end = p + cdm_block_size((void *)p);
		sum += end[0] + end[(256 << 10) - 1];
		cr_assert_eq(sum, 0);
		cr_assert(cdm_block_free((void *)p));
	}
	cr_assert(cdm_regions_valid());
}

static size_t present(const char *p, size_t len)
{
	size_t pages = 0;

	for (size_t at = 0; at < len; at += CDM_HUGE) {
		uint64_t bits[8];
		size_t n = len - at < CDM_HUGE ? len - at : CDM_HUGE;
		cr_assert_eq(cdm_pages_present((uintptr_t)p + at, n, bits), 0);
		for (int i = 0; i < 8; i++)
			pages += (size_t)__builtin_popcountll(bits[i]);
	}
	return pages * CDM_PAGE;
}

/* The cut part is gone, what is behind is readable, and what grew back is fresh. */
Test(block, a_free_block_of_another_size_is_cut_and_grown)
{
	char *p = cdm_block_alloc(20 * MIB, 1, false, NULL);
	memset(p, 1, 20 * MIB);
	cdm_block_free(p);
	volatile char *q = cdm_block_alloc(15 * MIB + 5000, 1, false, NULL);
	size_t len = cdm_block_size((void *)q);
	cr_assert_eq(q, p);
	cr_assert_eq(len, 15 * MIB + 8192);
	cr_assert_eq(q[len - 1], 1, "its pages stay");
	cr_assert_eq(q[len], 0);
	cr_assert_eq(q[len + 256 * 1024 - 1], 0);
	cr_assert_eq(cdm_pagemap_get((uintptr_t)q + len), 0);
	cr_assert(cdm_regions_valid());
	cdm_block_free((void *)q);
	q = cdm_block_alloc(22 * MIB, 1, true, NULL);
	for (size_t i = 0; i < 22 * MIB; i += 4096)
		cr_assert_eq(q[i], 0);
	cr_assert_eq(cdm_cache_bytes(), 0);
	cr_assert(cdm_regions_valid());
	char *a = cdm_block_alloc(4 * MIB, 4 * MIB, false, NULL);
	cdm_block_free(a);
	a = cdm_block_alloc(6 * MIB, 64 * MIB, false, NULL);
	cr_assert_eq((uintptr_t)a % (64 * MIB), 0);
}

static uint64_t next(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return *seed >> 33;
}

/* Together they are never more than has been in use, and a little. */
Test(block, what_is_kept_is_bounded_by_what_was_in_use)
{
	enum { SLOTS = 12 };
	char *live[SLOTS] = {NULL};
	const char *given = getenv("CDM_TEST_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : cdm_now_ns();
	size_t used = 0, most = 0;

	fprintf(stderr, "CDM_TEST_SEED=%llu\n", (unsigned long long)seed);
	for (int i = 0; i < 3000; i++) {
		char **slot = &live[next(&seed) % SLOTS];
		size_t size = MIB + next(&seed) % (next(&seed) % 8 ? 6 * MIB : 40 * MIB);
		size_t had = *slot ? cdm_block_size(*slot) : 0;
		if (*slot && next(&seed) % 3 == 0) {
			*slot = cdm_block_realloc(*slot, size, NULL);
		} else {
			cr_assert(!*slot || cdm_block_free(*slot));
			*slot = cdm_block_alloc(size, 1, next(&seed) % 4 == 0, NULL);
		}
		cr_assert_not_null(*slot);
		(*slot)[0] = (*slot)[size - 1] = 1;
		used += cdm_block_size(*slot) - had;
		most = used > most ? used : most;
		size_t kept = cdm_cache_bytes() + cdm_spare_bytes();
		cr_assert_leq(used + kept, most + 2 * MIB, "step %d: %zu in use, %zu kept, at most %zu", i, used, kept,
			      most);
		cr_assert_leq(cdm_block_size(*slot) > size + 2 * MIB && !had, 0);
		if (i % 100 == 0)
			cr_assert(cdm_regions_valid());
	}
	for (int i = 0; i < SLOTS; i++)
		cr_assert(!live[i] || cdm_block_free(live[i]));
	cr_assert_leq(cdm_cache_bytes(), most + 2 * MIB);
	cr_assert_eq(cdm_spare_bytes(), 0);
	cr_assert(cdm_regions_valid());
}

/* Whoever asks for zeros and touches little of them gets little. */
Test(block, calloc_takes_the_pages_that_are_touched)
{
	for (size_t size = 8 * MIB; size <= 64 * MIB; size *= 8) {
		char *p = cdm_block_alloc(size, 1, true, NULL);
		for (size_t i = 0; i < size; i += 256 << 10)
			p[i] = 1;
		cr_assert_eq(present(p, size), size / (256 << 10) * CDM_PAGE);
		cdm_block_free(p);
	}
}

static void keep(size_t bytes)
{
	char *p[16];
	for (int i = 0; i < 16; i++)
		p[i] = memset(cdm_block_alloc(bytes / 16, 1, false, NULL), 1, bytes / 16);
	for (int i = 0; i < 16; i++)
		cdm_block_free(p[i]);
}

static bool within(int seconds, bool (*what)(void))
{
	for (int i = 0; i < seconds * 10 && !what(); i++)
		usleep(100000);
	return what();
}
static bool nothing_kept(void)
{
	return !cdm_cache_bytes();
}
static bool nobody_runs(void)
{
	return !cdm_decay_runs();
}

/* Without another call; the thread ends, and another comes when there is something again. */
Test(block, an_idle_program_keeps_nothing)
{
	keep(8 * MIB);
	cr_assert_not(cdm_decay_runs(), "as much as that is not worth a thread");
	for (int i = 0; i < 2; i++) {
		keep(64 * MIB);
		cr_assert(cdm_decay_runs());
		cr_assert_geq(cdm_cache_bytes(), 64 * MIB);
		cr_assert_leq(cdm_cache_bytes(), 66 * MIB);
		cr_assert(within(40, nothing_kept));
		cr_assert(within(10, nobody_runs));
		cr_assert(cdm_regions_valid());
	}
}

Test(block, a_fork_child_gives_back_by_itself)
{
	keep(64 * MIB);
	cdm_engine_fork_prepare();
	pid_t child = fork();
	if (!child) {
		cdm_engine_fork_child();
		bool none = !cdm_decay_runs();
		keep(64 * MIB);
		_exit(none && cdm_decay_runs() && within(40, nothing_kept) && cdm_regions_valid() ? 0 : 1);
	}
	cdm_engine_fork_parent();
	int status = -1;
	cr_assert(cdm_decay_runs());
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert_eq(status, 0);
}

Test(block, without_a_thread_little_is_kept)
{
	cdm_config.control = 0;
	keep(64 * MIB);
	cr_assert_not(cdm_decay_runs());
	cr_assert_leq(cdm_cache_bytes(), CDM_CACHE_ALONE);
	cr_assert(cdm_regions_valid());
}

/* Frames on the device go first to whoever needs room there. */
Test(block, device_memory_of_free_blocks_is_reclaimed)
{
	double *a = cdm_block_alloc(8 * MIB, 1, false, NULL), *b = cdm_block_alloc(8 * MIB, 1, false, NULL);
	memset(a, 0, 8 * MIB);
	memset(b, 0, 8 * MIB);
	cr_assert_eq(cdm_engine_place(a, 8 * MIB, true), 0);
	cr_assert_eq(cdm_device.mem->in_use(), 8 * MIB);
	cdm_block_free(a);
	cdm_block_free(b);
	cr_assert_eq(cdm_block_reclaim(1), 8 * MIB);
	cr_assert_eq(cdm_device.mem->in_use(), 0);
	cr_assert_eq(cdm_cache_bytes(), 8 * MIB);
	cr_assert(cdm_regions_valid());
}

static long page_faults(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return u.ru_minflt + u.ru_majflt;
}

/* Parts of it on the device, where it has one: a copy would fault its pages. */
static void grows_without_a_copy(int mechanism, bool coherent)
{
	engine_start_on(coherent ? CDM_DEVICE_EMU : CDM_DEVICE_EMU_PRIVATE, mechanism, CDM_POLICY_FIRST_USE, 64 * MIB);
	for (int away = 0; away < 3; away++) {
		size_t size = 24 * MIB, half = 12 * MIB;
		uint32_t *p = cdm_block_alloc(size, 1, false, NULL), *behind = cdm_block_alloc(2 * MIB, 1, false, NULL);
		for (size_t i = 0; i < size / 4; i++)
			p[i] = (uint32_t)i * 2654435761u;
		if (away)
			cr_assert_eq(cdm_engine_place(p, away == 1 ? half : size, true), 0);
		if (away && !coherent) /* that one copies, and takes the pages that it left */
			cdm_residency_home((uintptr_t)p, size);
		struct cdm_placement was, is;
		cr_assert_eq(cdm_engine_where(p, size, &was), 0);
		long before = page_faults();
		p = cdm_block_realloc(p, 50 * MIB, NULL);
		long took = page_faults() - before;
		cr_assert_leq(took, 8, "%ld faults, %d on the device", took, away);
		cr_assert_eq(cdm_engine_where(p, size, &is), 0);
		cr_assert_eq(is.device, was.device);
		cr_assert_eq(was.device, !coherent || !away ? 0 : away == 1 ? half : size);
		for (size_t i = 0; i < size / 4; i++)
			cr_assert_eq(p[i], (uint32_t)i * 2654435761u);
		for (size_t i = size / 4; i < 50 * MIB / 4; i += 1024)
			cr_assert_eq(p[i], 0);
		cr_assert(cdm_regions_valid());
		cr_assert(cdm_block_free(p));
		cr_assert(cdm_block_free(behind));
	}
}
Test(block, grows_by_page_tables_under_move)
{
	grows_without_a_copy(CDM_MECHANISM_MOVE, true);
}
Test(block, grows_by_page_tables_under_remap)
{
	grows_without_a_copy(CDM_MECHANISM_REMAP, true);
}
Test(block, grows_by_page_tables_on_a_private_device)
{
	grows_without_a_copy(CDM_MECHANISM_MOVE, false);
}
Test(block, grows_by_page_tables_on_a_private_device_under_remap)
{
	grows_without_a_copy(CDM_MECHANISM_REMAP, false);
}

/* Step by step, as what reads a file of unknown length does: only the first time costs pages. */
Test(block, what_grows_again_finds_its_pages)
{
	for (int round = 0; round < 6; round++) {
		long before = page_faults();
		unsigned char *p = cdm_block_alloc(MIB, 1, false, NULL);
		memset(p, 0, MIB);
		for (size_t had = MIB, size = MIB * 3 / 2; size <= 8 * MIB; had = size, size = size * 3 / 2) {
			p = cdm_block_realloc(p, size, NULL);
			memset(p + had, (int)(had >> 18), size - had);
			cr_assert_lt(cdm_block_size(p), size + CDM_PAGE);
			cr_assert(cdm_regions_valid());
			for (size_t i = MIB; i < size; i += 4001)
				cr_assert(p[i] != 0);
		}
		cr_assert(round < 3 || round == 5 || page_faults() - before < 100, "%ld faults",
			  page_faults() - before);
		if (round == 4) /* in its middle: the spare goes with it */
			p = cdm_block_realloc(p, 3 * MIB, NULL);
		cr_assert(cdm_block_free(p));
		cr_assert_eq(cdm_spare_bytes(), 0);
	}
}

/* A spare is the first that makes room, or the last; the block does not notice. */
Test(block, a_spare_makes_room)
{
	char *p = cdm_block_alloc(12 * MIB, 1, false, NULL);
	memset(p, 1, 12 * MIB);
	char *q = memset(cdm_block_alloc(MIB, 1, false, NULL), 2, MIB);
	cdm_block_free(p);
	q = cdm_block_realloc(q, 2 * MIB, NULL);
	cr_assert_eq(q, p);
	cr_assert_eq(cdm_spare_bytes(), 10 * MIB);
	cr_assert_eq(cdm_pagemap_get((uintptr_t)q + 2 * MIB), 0);
	char *big = cdm_block_alloc(9 * MIB, 1, false, NULL);
	cr_assert_not_null(big);
	cr_assert_eq(cdm_spare_bytes(), 0);
	for (size_t i = 0; i < 256 << 10; i += 4096)
		cr_assert_eq(((volatile char *)q)[2 * MIB + i], 0, "the margin");
	for (size_t i = 0; i < MIB; i++)
		cr_assert_eq(q[i], 2);
	q = cdm_block_realloc(q, 4 * MIB, NULL);
	cr_assert_eq(q[MIB - 1], 2);
	cr_assert(cdm_regions_valid());
	cdm_block_free(big);
	q = cdm_block_realloc(q, 5 * MIB, NULL);
	cr_assert_eq(cdm_spare_bytes(), 4 * MIB);
	cdm_map_munmap(q + 4 * MIB, MIB); /* the program takes it apart */
	cr_assert_eq(cdm_spare_bytes(), 0);
	cr_assert(cdm_regions_valid());
}

/* As many mappings as make libcdm stop making more, and the questions until it looks. False: the kernel allows too many. */
static bool crowd(void)
{
	size_t n = cdm_pages_mapping_limit() / 2;
	char *p = cdm_sys_mmap(NULL, n * CDM_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (n > 50000 || cdm_sys_failed(p))
		return false;
	for (size_t i = 0; i < n; i += 2)
		cr_assert_eq(cdm_sys_mprotect(p + i * CDM_PAGE, CDM_PAGE, PROT_READ), 0);
	for (int i = 0; i < 5000; i++)
		cdm_crowd_blocks();
	cr_assert(cdm_crowd_blocks());
	return true;
}

/* In the middle of a row memory goes and addresses stay, once; they are fresh memory for whoever comes next. */
Test(block, among_too_many_mappings_free_blocks_become_hollow)
{
	enum { ROW = 9 };
	char *p[ROW];
	size_t size = 3 * MIB;

	if (!crowd())
		cr_skip("vm.max_map_count is too high to come near it");
	size_t before = cdm_pages_mappings();
	for (int i = 0; i < ROW; i++)
		p[i] = memset(cdm_block_alloc(size, 1, false, NULL), 1, size);
	cr_assert_leq(cdm_pages_mappings(), before + 4, "one mapping, and what the books need");
	cr_assert_eq(cdm_engine_place(p[2], size, true), 0);
	cr_assert(cdm_block_free(p[2]));
	before = cdm_pages_mappings();
	cr_assert_eq(cdm_cache_bytes(), size);
	cr_assert_eq(cdm_block_reclaim(1), size);
	cr_assert_eq(cdm_device.mem->in_use(), 0);
	cr_assert_eq(cdm_cache_bytes(), 0);
	cr_assert_eq(present(p[2], size), 0);
	cr_assert_neq(cdm_cache_due(), 0, "its addresses go when they may");
	cr_assert_eq(cdm_block_reclaim(1), 0, "not a second time");
	cr_assert_not(cdm_block_tend());
	cr_assert_leq(cdm_pages_mappings(), before);
	cr_assert(cdm_regions_valid());
	char *q = cdm_block_alloc(size, 1, true, NULL);
	cr_assert_eq(q, p[2]);
	for (size_t i = 0; i < size; i++)
		cr_assert_eq(q[i], 0);
	memset(q, 2, size);
	cr_assert(cdm_block_free(q));
	q = cdm_block_alloc(size, 1, false, NULL);
	cr_assert_eq(q, p[2]);
	cr_assert_eq(q[size - 1], 2, "warm until its memory has gone");
	q = cdm_block_realloc(q, 7 * MIB, NULL); /* copies: it is not cut out of the row */
	cr_assert_eq(q[size - 1], 2);
	cr_assert_neq(q, p[2]);
	for (int i = 0; i < ROW; i++)
		cr_assert(i == 2 || (p[i][0] == 1 && p[i][size - 1] == 1));
	cr_assert(cdm_regions_valid());
}

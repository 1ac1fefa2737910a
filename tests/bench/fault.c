/* What it costs a CPU to touch memory that the private device has: by window, and for long walks, both ways, under both
 * mechanisms. Beside it in the same rounds: a resident memcpy of the same size, and the cheapest that the kernel offers
 * (a SIGSEGV answered by mprotect, a userfaultfd SIGBUS answered by UFFDIO_COPY). */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "offload/base/config.h"
#include "offload/base/stats.h"
#include "offload/mem/device.h"
#include "offload/mem/pagemap.h"
#include "offload/mem/recall.h"
#include "offload/mem/region.h"
#include "offload/mem/residency.h"
#include "offload/offload.h"
#include "offload/op/dispatch.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define LEN (64 * MIB)   /* of windows */
#define WALK (256 * MIB) /* of long walks */
#define WALKS 7
#define TOUCHES 32 /* of each window in a round: LEN in windows of 2 MiB */
#define ROUNDS 9
#define BARE 2000

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median(double *v, int n)
{
	qsort(v, (size_t)n, sizeof(*v), ascending);
	return v[n / 2];
}

static double now(void)
{
	return (double)cdm_now_ns();
}

static void need(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "fault: %s\n", what);
	exit(1);
}

static void figure(const char *what, double measured, const char *unit)
{
	printf("FIGURE|%s|%.3f|%s\n", what, measured, unit);
}

static void touch(volatile char *p)
{
	*p = 1;
}

/* ---- bare round trips ---- */

static char *bare; /* the page */
static int uffd;

static void bare_segv(int sig)
{
	(void)sig;
	mprotect(bare, 4096, PROT_READ | PROT_WRITE);
}

static void bare_bus(int sig)
{
	static _Alignas(4096) char zeros[4096];
	struct uffdio_copy c = {.dst = (uintptr_t)bare, .src = (uintptr_t)zeros, .len = 4096};

	(void)sig;
	ioctl(uffd, UFFDIO_COPY, &c);
}

/* Median time of a touch that the handler answers; withdraw takes the page away again. */
static double round_trip(int sig, void (*handler)(int), void (*withdraw)(void))
{
	static double t[BARE];

	signal(sig, handler);
	for (int i = 0; i < BARE; i++) {
		withdraw();
		t[i] = -now();
		touch(bare);
		t[i] += now();
	}
	signal(sig, SIG_DFL);
	return median(t, BARE) / 1000;
}

static void protect(void)
{
	mprotect(bare, 4096, PROT_NONE);
}

static void empty(void)
{
	madvise(bare, 4096, MADV_DONTNEED);
}

static void bare_rows(void)
{
	struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_SIGBUS};

	bare = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	need(bare != MAP_FAILED, "no memory");
	touch(bare);
	figure("bare SIGSEGV, mprotect and return", round_trip(SIGSEGV, bare_segv, protect), "us");
	uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | 1); /* UFFD_USER_MODE_ONLY */
	struct uffdio_register reg = {.range = {(uintptr_t)bare, 4096}, .mode = UFFDIO_REGISTER_MODE_MISSING};
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api) || ioctl(uffd, UFFDIO_REGISTER, &reg))
		return;
	figure("bare userfaultfd SIGBUS, UFFDIO_COPY of 4 KiB and return", round_trip(SIGBUS, bare_bus, empty), "us");
}

/* ---- the engine's ---- */

static void on_fault(int sig, siginfo_t *info, void *context)
{
	const ucontext_t *uc = context;
	bool write = uc->uc_mcontext.gregs[REG_ERR] & 2;

	if (!cdm_recall_fault((uintptr_t)info->si_addr, write))
		signal(sig, SIG_DFL);
}

static void install(int sig)
{
	struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
	sigaction(sig, &sa, NULL);
}

static void use(void *p, size_t len, bool write)
{
	struct cdm_hold hold;
	struct cdm_operand_facts facts;

	need(cdm_residency_survey((uintptr_t)p, len, write, &hold, &facts), "not surveyed");
	need(cdm_residency_acquire(&hold, cdm_policy_get(CDM_POLICY_FIRST_USE)) == 0, "not acquired");
	struct cdm_use used = cdm_residency_use(1e6);
	cdm_residency_release(&hold, &used);
}

/* Time of the first of several uses: a region that is used once and taken away is left on the host. */
static double fetch(void *p, size_t len, bool write)
{
	double t = now();

	use(p, len, write);
	t = now() - t;
	for (int i = 0; i < 3; i++)
		use(p, len, write);
	return t;
}

static size_t resident(void *p)
{
	return cdm_region_get(cdm_pagemap_get((uintptr_t)p))->resident;
}

/* Time of the touch at p that brings `window` bytes home: the prefetcher is told that the walk came here. */
static double fault(char *p, size_t window)
{
	struct cdm_region *r = cdm_region_get(cdm_pagemap_get((uintptr_t)p));
	size_t before = r->resident;

	r->flight.window = window / 2;
	r->flight.next = (uintptr_t)p;
	double t = now();
	touch(p);
	t = now() - t;
	need(before - r->resident == window, "another window came home");
	return t;
}

static double copy(char *to, const char *from, size_t len)
{
	double t = now();

	memcpy(to, from, len);
	__asm__ volatile("" ::: "memory");
	return now() - t;
}

/* Windows, each beside a memcpy of the same bytes' size, in cold memory as they are. */
static void windows(const char *mechanism, size_t window, const char *name)
{
	static double us[ROUNDS * TOUCHES], ratio[ROUNDS * TOUCHES];
	char *p = cdm_block_alloc(LEN, 1, false, NULL), *a = cdm_block_alloc(LEN, 1, false, NULL);
	char *b = cdm_block_alloc(LEN, 1, false, NULL), what[128];
	int n = 0;

	memset(p, 1, LEN);
	memset(a, 2, LEN);
	memset(b, 3, LEN);
	for (int round = 0; round <= ROUNDS; round++) {
		fetch(p, LEN, true);
		need(resident(p) == LEN && !strcmp(cdm_residency_mechanism(), mechanism), "not on the device");
		for (int i = 0; i < TOUCHES; i++) {
			size_t at = (size_t)i * (LEN / TOUCHES);
			double bare_copy = copy(a + at, b + at, window), t = fault(p + at, window);
			if (!round) /* warms up */
				continue;
			us[n] = t / 1000;
			ratio[n++] = bare_copy / t;
		}
		need(!cdm_residency_home((uintptr_t)p, LEN) && resident(p) == 0, "not home");
	}
	snprintf(what, sizeof(what), "a fault that brings %s home (private, %s)", name, mechanism);
	figure(what, median(us, n), "us");
	if (window == 2 * MIB)
		printf("ROW|recall of 2 MiB by a fault (private, %s) / resident memcpy|>=|0.7|%.3f|x\n", mechanism,
		       median(ratio, n));
	cdm_block_free(p);
	cdm_block_free(a);
	cdm_block_free(b);
}

/* One byte of each page in turn. */
static double walk(char *p)
{
	double t = now();

	for (size_t at = 0; at < WALK; at += 4096)
		touch(p + at);
	return now() - t;
}

static void walks(const char *mechanism)
{
	static const char *const names[] = {"memcpy", "out, to be written there", "out, to be read there",
					    "home, touched in turn"};
	double t[4][WALKS];
	char *p = cdm_block_alloc(WALK, 1, true, NULL), *a = cdm_block_alloc(WALK, 1, true, NULL);
	char what[128];

	memset(p, 1, WALK);
	memset(a, 2, WALK);
	for (int i = -1; i < WALKS; i++) {
		int at = i < 0 ? 0 : i;
		t[0][at] = copy(a, p, WALK);
		t[1][at] = fetch(p, WALK, true);
		t[3][at] = walk(p);
		need(resident(p) == 0, "not home");
		t[2][at] = fetch(p, WALK, false);
		need(resident(p) == WALK && !cdm_residency_home((uintptr_t)p, WALK), "not shared");
	}
	for (int i = 0; i < 4; i++) {
		snprintf(what, sizeof(what), "256 MiB %s (private, %s)", names[i], mechanism);
		figure(what, (double)WALK / median(t[i], WALKS), "GB/s");
	}
}

/* A process of its own for each mechanism: it is chosen once. */
static int measure(int mechanism, const char *name)
{
	pid_t child = fork();
	int status = 1;

	if (child) {
		waitpid(child, &status, 0);
		return status != 0;
	}
	cdm_config.device = CDM_DEVICE_EMU_PRIVATE;
	cdm_config.policy = CDM_POLICY_FIRST_USE;
	cdm_config.mechanism = mechanism;
	cdm_config.min_alloc = cdm_min_alloc = MIB;
	cdm_device.mem = &cdm_mem_emu_private;
	cdm_device.mem->open((size_t)1 << 30);
	cdm_residency_needs_faults = install;
	cdm_dispatch_init();
	windows(name, 4 * KIB, "4 KiB");
	windows(name, 64 * KIB, "64 KiB");
	windows(name, 2 * MIB, "2 MiB");
	walks(name);
	fflush(stdout);
	_exit(0);
}

int main(void)
{
	bare_rows();
	fflush(stdout);
	int failed = measure(CDM_MECHANISM_MOVE, "move");
	return failed | measure(CDM_MECHANISM_REMAP, "remap");
}

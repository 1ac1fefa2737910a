/* Mechanisms without userfaultfd that answer touches: the yardsticks, a signal handler, the kernel's own soft-dirty bits. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "offload/base/sys.h"
#include "tools/bench/mech.h"

/* ---- resident memcpy ---- */

static int fill_b(struct worker *w)
{
	pattern_fill(w->b, w->team->area, 0);
	return 0;
}

static int reset_a(struct worker *w, size_t slot)
{
	return slot_fill(w, w->a, slot);
}

static int run_memcpy(struct worker *w, size_t slot)
{
	memcpy(slot_at(w, w->b, slot), slot_at(w, w->a, slot), w->team->cell->bytes);
	__asm__ volatile("" ::: "memory");
	return 0;
}

const struct mech mech_memcpy = {
	.key = "memcpy",
	.what = "memcpy between resident pages: the yardstick of moves",
	.pages = PAGES_BOTH,
	.balancing = true,
	.prepare = fill_b,
	.reset = reset_a,
	.run = run_memcpy,
	.check = check_moved,
};

/* ---- minor faults ---- */

static int empty_b(struct worker *w, size_t slot)
{
	return slot_empty(w, w->b, slot);
}

static size_t check_zeros(struct worker *w, size_t slot)
{
	return zeros_wrong(slot_at(w, w->b, slot), w->team->cell->bytes, worker_seed(w, slot), touch_stride(w));
}

const struct mech mech_minor = {
	.key = "minor_fault",
	.what = "first touch of each page of anonymous memory: the yardstick of faults",
	.pages = PAGES_BOTH,
	.reset = empty_b,
	.run = touch_all,
	.check = check_zeros,
};

static int reset_filled(struct worker *w, size_t slot)
{
	return slot_fill(w, w->b, slot);
}

static int run_refault(struct worker *w, size_t slot)
{
	int r = slot_empty(w, w->b, slot);

	return r ? r : touch_all(w, slot);
}

const struct mech mech_refault = {
	.key = "madv_dontneed_refault",
	.what = "MADV_DONTNEED, then a touch of each page",
	.pages = PAGES_BOTH,
	.reset = reset_filled,
	.run = run_refault,
	.check = check_zeros,
};

/* ---- SIGSEGV ---- */

static int protect_b(struct worker *w, size_t slot, int prot)
{
	return cdm_sys_mprotect(slot_at(w, w->b, slot), w->team->cell->bytes, prot);
}

static int reset_segv(struct worker *w, size_t slot)
{
	int r = protect_b(w, slot, PROT_READ | PROT_WRITE);

	slot_fill(w, w->b, slot);
	return r ? r : protect_b(w, slot, PROT_NONE);
}

static int answer_segv(struct worker *w)
{
	return protect_b(w, w->slot, PROT_READ | PROT_WRITE);
}

const struct mech mech_segv = {
	.key = "segv_mprotect",
	.what = "touch answered by a SIGSEGV handler: mprotect of the window",
	.pages = PAGES_BOTH,
	.signal = SIGSEGV,
	.reset = reset_segv,
	.run = touch_once,
	.answer = answer_segv,
	.check = check_touched_once,
};

static int reset_segv_copy(struct worker *w, size_t slot)
{
	slot_fill(w, w->a, slot);
	return protect_b(w, slot, PROT_NONE);
}

static int answer_segv_copy(struct worker *w)
{
	int r = answer_segv(w);

	return r ? r : run_memcpy(w, w->slot);
}

const struct mech mech_segv_copy = {
	.key = "segv_mprotect_copy",
	.what = "touch answered by a SIGSEGV handler: mprotect and memcpy of the window",
	.pages = PAGES_BOTH,
	.balancing = true,
	.signal = SIGSEGV,
	.prepare = fill_b,
	.reset = reset_segv_copy,
	.run = touch_once,
	.answer = answer_segv_copy,
	.check = check_touched_once,
};

/* ---- mprotect ---- */

static int reset_mprotect(struct worker *w, size_t slot)
{
	int r = protect_b(w, slot, PROT_READ | PROT_WRITE);

	return r ? r : slot_fill(w, w->b, slot);
}

static int run_mprotect(struct worker *w, size_t slot)
{
	return protect_b(w, slot, PROT_READ);
}

const struct mech mech_mprotect = {
	.key = "mprotect_ro",
	.what = "mprotect of written pages to read-only",
	.pages = PAGES_BOTH,
	.reset = reset_mprotect,
	.run = run_mprotect,
	.check = check_moved,
};

/* ---- soft-dirty ---- */

#define SOFT_DIRTY ((uint64_t)1 << 55) /* of /proc/PID/pagemap */

static int clear_dirty(void)
{
	int fd = cdm_sys_open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC, 0);

	if (fd < 0)
		return fd;
	ssize_t n = cdm_sys_write(fd, "4", 1);
	cdm_sys_close(fd);
	return n == 1 ? 0 : n < 0 ? (int)n : -EIO;
}

static int is_dirty(const void *p, bool *dirty)
{
	uint64_t entry = 0;
	int fd = cdm_sys_open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC, 0);

	if (fd < 0)
		return fd;
	ssize_t n = cdm_sys_pread(fd, &entry, 8, (off_t)((uintptr_t)p / CDM_PAGE * 8));
	cdm_sys_close(fd);
	*dirty = entry & SOFT_DIRTY;
	return n == 8 ? 0 : -EIO;
}

/* Kernels without CONFIG_MEM_SOFT_DIRTY clear nothing and report nothing. */
static const char *probe_soft_dirty(const struct machine *m)
{
	static _Alignas(4096) volatile char page[4096];
	bool before = true, after = false;

	(void)m;
	page[0] = 1;
	if (clear_dirty() || is_dirty((const void *)page, &before))
		return "/proc/self/clear_refs or pagemap is refused";
	page[0] = 2;
	if (is_dirty((const void *)page, &after) || before || !after)
		return "a kernel without CONFIG_MEM_SOFT_DIRTY";
	return NULL;
}

static int reset_dirty(struct worker *w, size_t slot)
{
	return slot_refill(w, w->b, slot);
}

static int ready_dirty(struct worker *w)
{
	(void)w;
	return clear_dirty();
}

const struct mech mech_soft_dirty = {
	.key = "soft_dirty",
	.what = "write of each page after /proc/self/clear_refs: the kernel's soft-dirty fault",
	.pages = PAGES_BOTH,
	.probe = probe_soft_dirty,
	.reset = reset_dirty,
	.ready = ready_dirty,
	.run = touch_all,
	.check = check_touched,
};

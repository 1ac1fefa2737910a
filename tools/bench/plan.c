/* Which mechanisms are measured under which circumstances. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "offload/base/sys.h"
#include "tools/bench/faults.h"

#define BALANCING_WARM_NS 1500000000u /* the kernel first looks at a process after a second */
#define BALANCING_SLICE_NS 1000000000u

const struct mech *const mech_table[] = {
	&mech_memcpy,      &mech_minor,       &mech_refault,   &mech_segv,       &mech_segv_copy,
	&mech_sigbus_copy, &mech_thread_copy, &mech_wp_sigbus, &mech_wp_thread,  &mech_wp_async,
	&mech_scan,        &mech_soft_dirty,  &mech_copy,      &mech_move,       &mech_mremap,
	&mech_dontunmap,   &mech_mprotect,    &mech_memfd,     &mech_move_pages, NULL,
};

/* ---- conditions ---- */

static const char *why_not_collapsing(void)
{
	size_t len = 2 * CDM_HUGE;
	char *p = cdm_sys_mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (cdm_sys_failed(p))
		return "no memory";
	char *q = (char *)cdm_round_up((uintptr_t)p, CDM_HUGE);
	*q = 1;
	int r = cdm_sys_madvise(q, CDM_HUGE, MADV_COLLAPSE);
	cdm_sys_munmap(p, len);
	return r == -EINVAL ? "a kernel without MADV_COLLAPSE (Linux 6.1) or without huge pages" : NULL;
}

static const char *why_not_balancing(const struct bench *b)
{
	if (b->machine.numa_balancing == BALANCING_ABSENT)
		return "a kernel without NUMA balancing";
	if (b->machine.memory_nodes < 2)
		return "one NUMA node with memory";
	if (b->machine.numa_balancing == BALANCING_OFF)
		return "kernel.numa_balancing is off";
	return b->quick ? "it takes longer than --quick has" : NULL;
}

static void look_at_conditions(struct bench *b)
{
	const char *why[CONDITIONS] = {[COLLAPSING] = why_not_collapsing(), [BALANCING] = why_not_balancing(b)};

	for (int i = 0; i < CONDITIONS; i++) {
		b->condition[i].measured = !why[i];
		(void)snprintf(b->condition[i].why, sizeof(b->condition[i].why), "%s", why[i] ? why[i] : "");
	}
}

/* ---- rows ---- */

static bool add(struct bench *b, const struct cell *c, const char *why)
{
	struct row *grown = b->rows % 256 ? b->row : realloc(b->row, (b->rows + 256) * sizeof(*grown));

	if (!grown)
		return false;
	b->row = grown;
	struct row *row = &b->row[b->rows++];
	*row = (struct row){.cell = *c};
	row->cell.spoil = b->spoil;
	row->cell.slots_most = b->quick ? 32 : 512;
	if (why)
		(void)snprintf(row->result.why, sizeof(row->result.why), "%s", why);
	return true;
}

static bool selected(const struct bench *b, const struct mech *m)
{
	const char *at = b->only ? strstr(b->only, m->key) : NULL;
	size_t len = strlen(m->key);

	/* The yardsticks always: ratios need them. */
	if (!b->only || m == &mech_memcpy || m == &mech_minor)
		return true;
	for (; at; at = strstr(at + 1, m->key))
		if ((at == b->only || at[-1] == ',') && (at[len] == ',' || !at[len]))
			return true;
	return false;
}

/* One mechanism after the other under the same circumstances, so that a yardstick is measured near what it measures. */
static bool add_mechs(struct bench *b, struct cell c, const char *const *why)
{
	for (int i = 0; mech_table[i]; i++) {
		c.mech = mech_table[i];
		if (why[i] || !selected(b, c.mech) || !(c.mech->pages & c.pages) ||
		    (c.condition == BALANCING && !c.mech->balancing))
			continue;
		if (!add(b, &c, NULL))
			return false;
	}
	return true;
}

static bool add_sizes(struct bench *b, struct cell c, const char *const *why)
{
	static const size_t sizes[] = {CDM_PAGE, (size_t)64 << 10, CDM_HUGE};

	bool largest = c.condition == BALANCING || (b->quick && c.condition != QUIET);

	c.pages = PAGES_SMALL;
	for (int i = largest ? 2 : 0; i < 3; i++) {
		c.bytes = sizes[i];
		if (!(b->quick && i == 1) && !add_mechs(b, c, why))
			return false;
	}
	c.pages = PAGES_HUGE;
	return add_mechs(b, c, why);
}

/* 1, 2, 4 ... and the most; --quick takes the ends. */
static bool add_threads(struct bench *b, const char *const *why)
{
	struct cell c = {.condition = QUIET, .threads = 1};

	for (;;) {
		if (!add_sizes(b, c, why))
			return false;
		if (c.threads == b->threads)
			return true;
		c.threads = b->quick || c.threads * 2 > b->threads ? b->threads : c.threads * 2;
	}
}

static bool add_conditions(struct bench *b, const char *const *why)
{
	for (int i = FORKING; i < CONDITIONS; i++) {
		struct cell c = {.condition = (enum condition)i, .threads = 1};
		if (i == BALANCING) {
			c.warm_ns = BALANCING_WARM_NS;
			c.slice_ns = BALANCING_SLICE_NS;
		}
		if (b->condition[i].measured && !add_sizes(b, c, why))
			return false;
	}
	return true;
}

bool plan_make(struct bench *b)
{
	const char *why[32] = {NULL};
	char text[32][128];

	_Static_assert(sizeof(mech_table) / sizeof(*mech_table) <= 32, "room for the reasons");
	look_at_conditions(b);
	for (int i = 0; mech_table[i]; i++) {
		const struct cell none = {.mech = mech_table[i]};
		const char *reason = mech_table[i]->probe ? mech_table[i]->probe(&b->machine) : NULL;
		if (!reason)
			continue;
		(void)snprintf(text[i], sizeof(text[i]), "%s", reason);
		why[i] = text[i];
		if (selected(b, mech_table[i]) && !add(b, &none, why[i]))
			return false;
	}
	return add_threads(b, why) && add_conditions(b, why);
}

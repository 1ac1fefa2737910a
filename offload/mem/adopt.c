#include "offload/mem/adopt.h"

#include <link.h>
#include <string.h>

#include "offload/mem/pages.h"
#include "offload/offload.h"

#define STATICS 64

/* The zero-initialised data of the object that this file is linked into: the mover's own, so it never moves. */
extern char __bss_start[] __attribute__((visibility("hidden"))), _end[] __attribute__((visibility("hidden")));

struct image {
	uintptr_t addr;
	uintptr_t start, end; /* the segment that contains addr, whole pages */
};

static int find_segment(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct image *im = arg;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + ph->p_vaddr;
		if (ph->p_type != PT_LOAD || im->addr < start || im->addr >= start + ph->p_memsz)
			continue;
		im->start = cdm_round_down(start, CDM_PAGE);
		im->end = cdm_round_up(start + ph->p_memsz, CDM_PAGE);
		return 1;
	}
	return 0;
}

/* The segment of a loaded object around addr. This locks the loader's list: never called with a lock of ours held. */
static bool in_object(uintptr_t addr, struct image *im)
{
	im->addr = addr;
	return dl_iterate_phdr(find_segment, im) != 0;
}

static int mapping_prot(const struct cdm_mapping *m)
{
	return (m->perms[0] == 'r' ? PROT_READ : 0) | (m->perms[1] == 'w' ? PROT_WRITE : 0);
}

/* The part of the mapping around addr that nobody tracks yet. */
static void clip(struct cdm_mapping *m, uintptr_t addr)
{
	cdm_word word;

	uintptr_t own = cdm_round_down((uintptr_t)__bss_start, CDM_PAGE),
		  own_end = cdm_round_up((uintptr_t)_end, CDM_PAGE);

	if (addr < own && m->end > own)
		m->end = own;
	if (addr >= own_end && m->start < own_end)
		m->start = own_end;
	for (uintptr_t at = m->start, to; at < m->end; at = to) {
		to = cdm_pagemap_run(at, m->end, &word);
		if (!word)
			continue;
		if (to <= addr)
			m->start = to;
		else if (at > addr) {
			m->end = at;
			return;
		}
	}
}

struct cdm_region *cdm_adopt(uintptr_t addr, bool *mapped)
{
	struct cdm_mapping m;
	struct cdm_region *r = NULL;
	uint64_t mask;

	*mapped = cdm_pages_mapping(addr, &m) == 0;
	if (!*mapped || cdm_map_frozen)
		return NULL;
	struct image im;
	bool fixed = in_object(addr, &im);
	bool own = addr >= cdm_round_down((uintptr_t)__bss_start, CDM_PAGE) && addr < (uintptr_t)_end;
	bool movable = fixed && !own && m.perms[3] == 'p' && m.name[0] == 0;
	if (fixed) { /* the kernel may have merged the mapping with others behind it */
		m.start = m.start > im.start ? m.start : im.start;
		m.end = m.end < im.end ? m.end : im.end;
	}
	cdm_map_enter(&mask);
	if (!cdm_pagemap_get(addr)) {
		clip(&m, addr);
		r = cdm_region_create(m.start, m.end - m.start, mapping_prot(&m),
				      fixed ? CDM_ORIGIN_STATIC : CDM_ORIGIN_ADOPTED, movable, NULL);
	} else {
		r = cdm_region_get(cdm_pagemap_get(addr)); /* somebody else was faster */
	}
	cdm_map_leave(&mask);
	return r;
}

struct statics {
	struct cdm_region *r[STATICS];
	uint32_t generation[STATICS];
	int n;
};

static void collect_static(struct cdm_region *r, void *arg)
{
	struct statics *s = arg;

	if (r->origin != CDM_ORIGIN_STATIC || s->n == STATICS)
		return;
	s->generation[s->n] = atomic_load(&r->generation);
	s->r[s->n++] = r;
}

void cdm_map_dlclosed(void)
{
	struct statics s = {.n = 0};
	uint64_t mask;

	cdm_map_enter(&mask);
	cdm_region_each(collect_static, &s);
	cdm_map_leave(&mask);
	for (int i = 0; i < s.n; i++) {
		struct image im;
		if (in_object(s.r[i]->base, &im))
			continue;
		cdm_map_enter(&mask);
		if (atomic_load(&s.r[i]->generation) == s.generation[i]) {
			cdm_region_settle(s.r[i]->base, s.r[i]->len, &mask);
			cdm_region_cut(s.r[i]->base, s.r[i]->len);
		}
		cdm_map_leave(&mask);
	}
}

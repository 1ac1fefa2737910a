#include "offload/mem/region.h"

#include <string.h>

#include "offload/base/arena.h"
#include "offload/base/lock.h"
#include "offload/base/log.h"
#include "offload/base/quiet.h"
#include "offload/mem/cache.h"
#include "offload/mem/device.h"
#include "offload/mem/residency.h"
#include "offload/mem/spare.h"

#define TABLE_CHUNK 4096u /* descriptors per allocation */
#define TABLE_CHUNKS ((CDM_WORD_REGION + 1u) / TABLE_CHUNK)
#define PAST 64
#define ARRIVAL 3 /* ticks: a use so soon is the one that a region comes to the device for, or beside it */

const char *const cdm_origin_name[CDM_ORIGIN_COUNT] = {"malloc", "mmap", "static", "adopted"};

bool cdm_map_frozen;

static cdm_lock map_lock;
static _Atomic(struct cdm_region *) table[TABLE_CHUNKS];
static uint32_t used = 1; /* numbers handed out so far; 0 is none */
static struct cdm_region *unused;
static struct cdm_region *resident, *resident_tail;
static struct cdm_region_past past[PAST];

void cdm_map_enter(uint64_t *mask)
{
	cdm_quiet_enter(mask);
	cdm_lock_take(&map_lock);
}

void cdm_map_leave(const uint64_t *mask)
{
	cdm_lock_drop(&map_lock);
	cdm_quiet_leave(mask);
}

struct cdm_region *cdm_region_get(cdm_word word)
{
	uint32_t id = word & CDM_WORD_REGION;
	struct cdm_region *chunk;

	if (!id)
		return NULL;
	chunk = atomic_load_explicit(&table[id / TABLE_CHUNK], memory_order_acquire);
	return chunk ? &chunk[id % TABLE_CHUNK] : NULL;
}

static struct cdm_region *descriptor_take(void)
{
	struct cdm_region *r = unused;

	if (r) {
		unused = r->next;
		return r;
	}
	if (used > CDM_WORD_REGION)
		return NULL;
	struct cdm_region *chunk = atomic_load_explicit(&table[used / TABLE_CHUNK], memory_order_relaxed);
	if (!chunk) {
		chunk = cdm_arena_alloc(TABLE_CHUNK * sizeof(*chunk));
		if (!chunk)
			return NULL;
		atomic_store_explicit(&table[used / TABLE_CHUNK], chunk, memory_order_release);
	}
	r = &chunk[used % TABLE_CHUNK];
	r->id = used++;
	return r;
}

static void descriptor_drop(struct cdm_region *r)
{
	r->next = unused;
	unused = r;
}

static cdm_word prot_bits(int prot)
{
	return (prot & PROT_READ ? CDM_WORD_READ : 0) | (prot & PROT_WRITE ? CDM_WORD_WRITE : 0);
}

static void resident_link(struct cdm_region *r)
{
	r->res_prev = NULL;
	r->res_next = resident;
	if (resident)
		resident->res_prev = r;
	else
		resident_tail = r;
	resident = r;
	r->ranked = cdm_tick() + ARRIVAL;
}

static void resident_unlink(struct cdm_region *r)
{
	if (r->res_prev)
		r->res_prev->res_next = r->res_next;
	else
		resident = r->res_next;
	if (r->res_next)
		r->res_next->res_prev = r->res_prev;
	else
		resident_tail = r->res_prev;
}

struct cdm_region *cdm_region_resident_first(void)
{
	return resident;
}

struct cdm_region *cdm_region_resident_last(void)
{
	return resident_tail;
}

bool cdm_region_resident_refresh(struct cdm_region *r)
{
	uint64_t used = atomic_load_explicit(&r->last_use, memory_order_relaxed);

	if (used <= r->ranked)
		return false;
	resident_unlink(r);
	resident_link(r);
	r->ranked = used;
	return true;
}

static void resident_adjust(struct cdm_region *r, size_t before, size_t after, bool charge)
{
	size_t was = atomic_load_explicit(&r->resident, memory_order_relaxed);
	size_t is = was - before + after;

	if (was == is)
		return;
	atomic_store_explicit(&r->resident, is, memory_order_release);
	if (atomic_load_explicit(&r->born, memory_order_relaxed) > is)
		atomic_store_explicit(&r->born, is, memory_order_relaxed);
	if (!was)
		resident_link(r);
	else if (!is)
		resident_unlink(r);
	if (charge && is < was)
		cdm_device.mem->discharge(was - is);
}

static bool on_device(cdm_word state)
{
	return state == CDM_DEVICE || state == CDM_SHARED;
}

/* Bytes of [addr, end) that the device has: SHARED or DEVICE. */
static size_t device_bytes(uintptr_t addr, uintptr_t end)
{
	size_t n = 0;

	while (addr < end) {
		cdm_word word;
		uintptr_t to = cdm_pagemap_run(addr, end, &word);
		if ((word & CDM_WORD_REGION) && on_device(word & CDM_WORD_STATE))
			n += to - addr;
		addr = to;
	}
	return n;
}

/* The same of a range in r, without a look at the pages where the account says it all. */
static size_t resident_bytes(struct cdm_region *r, uintptr_t addr, uintptr_t end)
{
	size_t all = atomic_load_explicit(&r->resident, memory_order_relaxed);

	return !all || all == r->len ? (all ? end - addr : 0) : device_bytes(addr, end);
}

int cdm_region_state(struct cdm_region *r, uintptr_t addr, size_t len, enum cdm_state state, bool charge)
{
	size_t before = resident_bytes(r, addr, addr + len);
	int e = cdm_pagemap_update(addr, len, CDM_WORD_STATE, state);

	if (!e)
		resident_adjust(r, before, on_device(state) ? len : 0, charge);
	return e;
}

void cdm_region_note(const struct cdm_region *r)
{
	struct cdm_region_past *least = &past[0];

	if (!r->uses)
		return;
	for (int i = 0; i < PAST; i++) {
		if (past[i].uses && past[i].site == r->site && past[i].bytes == r->len) {
			past[i].uses += r->uses;
			past[i].moved += r->moved;
			return;
		}
		if (past[i].moved < least->moved || !past[i].uses)
			least = &past[i];
	}
	if (!least->uses || least->moved <= r->moved)
		*least = (struct cdm_region_past){r->len, r->uses, r->moved, r->site, r->origin};
}

int cdm_region_past(struct cdm_region_past *out, int max)
{
	int n = 0;

	for (int i = 0; i < PAST && n < max; i++)
		if (past[i].uses)
			out[n++] = past[i];
	return n;
}

/* The region at addr, and where its part of [addr, end) ends; NULL: none up to there. Words of a region that does not reach
 * so far are stale: there was no memory for the leaf when that part was cut off. */
static struct cdm_region *part_at(uintptr_t addr, uintptr_t end, uintptr_t *to)
{
	cdm_word word = cdm_pagemap_get(addr);
	struct cdm_region *r = cdm_region_get(word);

	if (r && addr >= r->base && addr < cdm_region_end(r)) {
		*to = cdm_region_end(r) < end ? cdm_region_end(r) : end;
		return r;
	}
	*to = cdm_pagemap_run(addr, end, &word);
	return NULL;
}

static struct cdm_region *region_new(uintptr_t base, size_t len, enum cdm_origin origin, bool movable, const void *site)
{
	struct cdm_region *r = descriptor_take();

	if (!r)
		return NULL;
	uint32_t generation = atomic_load_explicit(&r->generation, memory_order_relaxed);
	/* busy and wanted are kept: a late holder of the descriptor's last life still has to take its count off. */
	*r = (struct cdm_region){.base = base,
				 .len = len,
				 .id = r->id,
				 .origin = (uint8_t)origin,
				 .movable = movable,
				 .site = site,
				 .busy = r->busy,
				 .wanted = r->wanted};
	atomic_store_explicit(&r->generation, generation + 1, memory_order_release);
	return r;
}

/* The region has no pages left. */
static void region_end(struct cdm_region *r)
{
	cdm_region_note(r);
	atomic_fetch_add_explicit(&r->generation, 1, memory_order_release);
	descriptor_drop(r);
}

struct cdm_region *cdm_region_create(uintptr_t base, size_t len, int prot, enum cdm_origin origin, bool movable,
				     const void *site)
{
	cdm_region_cut(base, len);
	struct cdm_region *r = region_new(base, len, origin, movable, site);
	if (!r)
		return NULL;
	if (cdm_pagemap_set(base, len, r->id | prot_bits(prot))) {
		region_end(r);
		return NULL;
	}
	return r;
}

/* Gives [addr, end) of r, states kept, to the fresh region to. */
static void hand_over(struct cdm_region *from, struct cdm_region *to, uintptr_t addr, uintptr_t end)
{
	size_t bytes = resident_bytes(from, addr, end);

	cdm_pagemap_update(addr, end - addr, CDM_WORD_REGION, to->id);
	resident_adjust(from, bytes, 0, false);
	resident_adjust(to, 0, bytes, false);
}

/* [addr, end), in r, has no region and no state any more. Without memory for a leaf its words stay, and are stale. */
static void untrack(struct cdm_region *r, uintptr_t addr, uintptr_t end)
{
	resident_adjust(r, resident_bytes(r, addr, end), 0, true);
	cdm_pagemap_set(addr, end - addr, 0);
}

/* Takes [addr, end), inside r, out of it. */
static void cut_one(struct cdm_region *r, uintptr_t addr, uintptr_t end)
{
	uintptr_t r_end = cdm_region_end(r);

	if (r->cached) /* the program maps over memory it has freed: what is left of it stays mapped and idle */
		cdm_cache_forget(r);
	/* The program unmaps a part of a block: the spare stays mapped and idle, as the margin does. */
	cdm_spare_take(r);
	if (end < r_end && addr > r->base) {
		struct cdm_region *tail = region_new(end, r_end - end, r->origin, r->movable, r->site);
		if (tail) {
			tail->tainted = r->tainted;
			tail->guarded = r->guarded;
			tail->kept = r->kept;
			tail->margin = r->margin;
			tail->uses = r->uses;
			tail->work = r->work;
			tail->last_use = r->last_use;
			hand_over(r, tail, end, r_end);
		} else {
			untrack(r, end, r_end);
		}
	}
	untrack(r, addr, end);
	atomic_fetch_add_explicit(&r->generation, 2,
				  memory_order_release); /* whoever looked it up before looks again */
	if (addr > r->base) {
		r->len = addr - r->base;
		r->margin = false;
	} else if (end < r_end) {
		r->len = r_end - end;
		r->base = end;
	} else {
		region_end(r);
	}
}

void cdm_region_cut(uintptr_t addr, size_t len)
{
	uintptr_t end = addr + len;

	for (uintptr_t to; addr < end; addr = to) {
		struct cdm_region *r = part_at(addr, end, &to);
		if (r)
			cut_one(r, addr, to);
		else if (cdm_pagemap_get(addr))
			cdm_pagemap_set(addr, to - addr, 0);
	}
}

static struct cdm_region *first_moving(uintptr_t addr, uintptr_t end)
{
	for (uintptr_t to; addr < end; addr = to) {
		struct cdm_region *r = part_at(addr, end, &to);
		if (r && atomic_load(&r->moving))
			return r;
	}
	return NULL;
}

void cdm_region_settle(uintptr_t addr, size_t len, uint64_t *mask)
{
	struct cdm_region *r;

	while ((r = first_moving(addr, addr + len))) {
		cdm_map_leave(mask);
		cdm_futex_wait(&r->moving, 1);
		cdm_map_enter(mask);
	}
}

/* Copies the words of [from, ...) to [to, ...) under a new region number. */
static void words_copy(struct cdm_region *r, uintptr_t from, uintptr_t to, size_t len)
{
	uintptr_t end = from + len;

	while (from < end) {
		cdm_word word;
		uintptr_t next = cdm_pagemap_run(from, end, &word);
		cdm_word keep = word & ~CDM_WORD_REGION;
		cdm_pagemap_update(to, next - from, CDM_WORD_STATE | CDM_WORD_READ | CDM_WORD_WRITE, keep);
		to += next - from;
		from = next;
	}
	resident_adjust(r, 0, device_bytes(r->base, cdm_region_end(r)), false);
}

void cdm_region_protect(uintptr_t addr, size_t len, cdm_word bits)
{
	uintptr_t end = addr + len;

	cdm_pagemap_update(addr, len, CDM_WORD_READ | CDM_WORD_WRITE, bits);
	for (uintptr_t to; addr < end; addr = to) {
		struct cdm_region *r = part_at(addr, end, &to);
		if (r)
			r->guarded = true;
	}
}

void cdm_region_taint(uintptr_t addr, size_t len)
{
	uintptr_t end = addr + len;

	for (uintptr_t to; addr < end; addr = to) {
		struct cdm_region *r = part_at(addr, end, &to);
		if (r)
			r->tainted = true;
	}
}

/* In place: the tail comes or goes. */
static struct cdm_region *region_resize(struct cdm_region *r, uintptr_t base, size_t from_len, size_t to_len,
					cdm_word word)
{
	if (to_len <= from_len) {
		cdm_region_cut(base + to_len, from_len - to_len);
		return r;
	}
	size_t more = to_len - from_len;
	cdm_region_cut(base + from_len, more);
	cdm_word prot = word & (CDM_WORD_READ | CDM_WORD_WRITE);
	if (cdm_region_end(r) != base + from_len || cdm_pagemap_set(base + from_len, more, r->id | prot))
		return NULL;
	r->len += more;
	return r;
}

/* The account went along with the memory: what stays behind, of one region or several, must not be taken off it a
 * second time. */
static void leave_behind(uintptr_t from, uintptr_t end)
{
	for (uintptr_t to; from < end; from = to) {
		struct cdm_region *r = part_at(from, end, &to);
		if (r)
			cdm_region_state(r, from, to - from, CDM_HOST, false);
	}
}

struct cdm_region *cdm_region_rebase(uintptr_t from, size_t from_len, uintptr_t to, size_t to_len, const void *site)
{
	struct cdm_region *old = cdm_region_get(cdm_pagemap_get(from));
	size_t keep = from_len < to_len ? from_len : to_len;
	cdm_word word = cdm_pagemap_get(from);

	if (!old) {
		cdm_region_cut(from, from_len);
		return NULL;
	}
	if (to == from)
		return region_resize(old, from, from_len, to_len, word);
	int prot = (word & CDM_WORD_READ ? PROT_READ : 0) | (word & CDM_WORD_WRITE ? PROT_WRITE : 0);
	struct cdm_region *r = cdm_region_create(to, to_len, prot, old->origin, old->movable, site);
	if (r) {
		r->uses = old->uses;
		r->work = old->work;
		r->last_use = old->last_use;
		r->moved = old->moved;
		words_copy(r, from, to, keep);
		r->tainted = old->tainted;
		r->guarded = old->guarded;
		r->kept = old->kept;
		leave_behind(from, from + keep);
		old->uses = 0;
	}
	cdm_region_cut(from, from_len);
	return r;
}

void cdm_region_each(void (*fn)(struct cdm_region *r, void *arg), void *arg)
{
	for (uint32_t id = 1; id < used; id++) {
		struct cdm_region *r = cdm_region_get(id);
		if (r && cdm_region_live(r))
			fn(r, arg);
	}
}

static void region_check(struct cdm_region *r, void *arg)
{
	bool *ok = arg;
	size_t pages = 0;

	for (uintptr_t at = r->base, to; at < cdm_region_end(r); at = to) {
		cdm_word word;
		to = cdm_pagemap_run(at, cdm_region_end(r), &word);
		if ((word & CDM_WORD_REGION) == r->id)
			pages += to - at;
	}
	if (*ok && (pages != r->len || device_bytes(r->base, cdm_region_end(r)) != r->resident)) {
		cdm_log(CDM_LOG_ERROR, "region %u at %p: %zu of %zu bytes mapped, %zu resident (counted %zu)", r->id,
			(void *)r->base, pages, r->len, (size_t)r->resident, device_bytes(r->base, cdm_region_end(r)));
		*ok = false;
	}
}

/* Every region on the resident list is live and has something there; the list ends. */
static bool resident_list_valid(void)
{
	uint32_t n = 0;

	for (struct cdm_region *r = resident; r; r = r->res_next)
		if (n++ > used || !cdm_region_live(r) || !r->resident || (r->res_next && r->res_next->res_prev != r)) {
			cdm_log(CDM_LOG_ERROR, "the resident list is broken at region %u", r->id);
			return false;
		}
	return !resident || !resident_tail->res_next;
}

bool cdm_regions_valid(void)
{
	bool ok = true;
	uint64_t mask;

	cdm_map_enter(&mask);
	cdm_region_each(region_check, &ok);
	ok = ok && resident_list_valid();
	cdm_map_leave(&mask);
	return ok;
}

void cdm_region_fork_prepare(uint64_t *mask)
{
	cdm_map_enter(mask);
}
void cdm_region_fork_parent(const uint64_t *mask)
{
	cdm_map_leave(mask);
}

void cdm_region_fork_child(const uint64_t *mask)
{
	cdm_lock_reset(&map_lock);
	cdm_quiet_leave(mask);
}

bool cdm_region_fork_torn(void)
{
	bool torn = atomic_load(&map_lock.word) != 0;

	cdm_lock_reset(&map_lock);
	return torn;
}

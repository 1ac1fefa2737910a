#include "offload/mem/cache.h"

#include "offload/base/lock.h"

#define BINS 128
#define FRONT_MAX CDM_CACHE_ALONE /* as much may stay where no thread gives it back in time */
#define PROBES 8
#define LOOKS 2048 /* at blocks, for one with memory of the device */

/* Guards the lists, and the `filed` mark of blocks. Taken alone on the fast paths, or inside the map lock; nothing is
 * taken inside it. Signals may come: only malloc and free take it alone, and they are not for signal handlers; one that forks asks
 * whether it has interrupted them. */
static cdm_lock lock;
static __thread volatile int here; /* this thread has the lock, or is about to take it */
static struct kind {
	struct cdm_region *bin[BINS], *oldest, *newest;
} kind[2];                                          /* by cdm_region.hollow */
static uint64_t rested;                             /* hollow blocks are not due before */
static _Atomic size_t bytes, limit = CDM_CACHE_MAX; /* bytes: in the lists */
/* The block that was freed last: whoever exchanges it has it, without the lock, and it is in no list. enter() files it, so that it is
 * like all others for those who look at the lists. An allocate/free loop costs two exchanges, 12 ns on a Zen 5; the lock and the
 * lists cost 25 more. */
static _Atomic(struct cdm_region *) front;
static _Atomic uint64_t due; /* of the oldest of either kind; 0: none */

/* A few ms late, and for a tenth of the time. */
static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Four bins for each power of two. */
static int bin_of(size_t len)
{
	int top = 63 - __builtin_clzl(len);
	return (top - 12) * 4 + (int)((len >> (top - 2)) & 3);
}

static void lock_enter(void)
{
	here++;
	atomic_signal_fence(memory_order_seq_cst);
	cdm_lock_take(&lock);
}

static void leave(void)
{
	cdm_lock_drop(&lock);
	atomic_signal_fence(memory_order_seq_cst);
	here--;
}

/* ---- two lists (lock held) ---- */

static struct kind *kind_of(const struct cdm_region *r)
{
	return &kind[r->hollow];
}

static void bin_link(struct cdm_region *r)
{
	struct cdm_region **head = &kind_of(r)->bin[bin_of(r->len)];

	r->prev = NULL;
	r->next = *head;
	if (*head)
		(*head)->prev = r;
	*head = r;
}

static void bin_unlink(struct cdm_region *r)
{
	if (r->prev)
		r->prev->next = r->next;
	else
		kind_of(r)->bin[bin_of(r->len)] = r->next;
	if (r->next)
		r->next->prev = r->prev;
}

static void age_link(struct cdm_region *r, struct cdm_region *older, struct cdm_region *newer)
{
	struct kind *k = kind_of(r);

	r->older = older;
	r->newer = newer;
	*(older ? &older->newer : &k->oldest) = r;
	*(newer ? &newer->older : &k->newest) = r;
}

static void age_unlink(struct cdm_region *r)
{
	struct kind *k = kind_of(r);

	*(r->older ? &r->older->newer : &k->oldest) = r->newer;
	*(r->newer ? &r->newer->older : &k->newest) = r->older;
}

static uint64_t due_of(bool hollow)
{
	const struct cdm_region *r = kind[hollow].oldest;
	uint64_t when = r ? r->freed_ns + CDM_CACHE_NS : 0;

	return hollow && when && when < rested ? rested : when;
}

static void due_set(void)
{
	uint64_t warm = due_of(false), hollow = due_of(true);

	atomic_store_explicit(&due, !warm || (hollow && hollow < warm) ? hollow : warm, memory_order_relaxed);
}

static void add_bytes(size_t n)
{
	atomic_store_explicit(&bytes, atomic_load_explicit(&bytes, memory_order_relaxed) + n, memory_order_relaxed);
}

static void put(struct cdm_region *r, bool last)
{
	struct kind *k = kind_of(r);

	r->cached = r->filed = true;
	bin_link(r);
	age_link(r, last ? k->newest : NULL, last ? NULL : k->oldest);
	if (!r->hollow)
		add_bytes(r->len);
	due_set();
}

static struct cdm_region *take(struct cdm_region *r)
{
	if (!r)
		return NULL;
	bin_unlink(r);
	age_unlink(r);
	if (!r->hollow)
		add_bytes(-r->len);
	due_set();
	r->cached = r->filed = false;
	return r;
}

/* What was in front; NULL: nothing was. Two threads that have freed one block may have brought it there while it is in a list. */
static void file(struct cdm_region *r)
{
	if (r && !r->filed)
		put(r, true);
}

static void enter(void)
{
	lock_enter();
	if (atomic_load_explicit(&front, memory_order_relaxed))
		file(atomic_exchange(&front, NULL));
}

/* ---- which one (lock held) ---- */

/* A mover on it, for the moment: whoever took it might have to wait for itself. */
static bool moving(struct cdm_region *r)
{
	return atomic_load(&r->moving) != 0;
}

static bool fits(struct cdm_region *r, size_t len, size_t align)
{
	return r->len >= len && r->len - len <= len / 16 && !(r->base & (align - 1)) && !moving(r);
}

static struct cdm_region *find_fit(const struct kind *k, size_t len, size_t align)
{
	for (int b = bin_of(len); b < BINS && b <= bin_of(len + len / 16); b++) {
		int probes = 0;
		for (struct cdm_region *r = k->bin[b]; r && probes < PROBES; r = r->next, probes++)
			if (fits(r, len, align))
				return r;
	}
	return NULL;
}

/* Shrinking zeroes nothing, so a longer block is better than a shorter one. */
static bool nearer(const struct cdm_region *a, const struct cdm_region *b, size_t len)
{
	if (!b || (a->len >= len) != (b->len >= len))
		return !b || a->len >= len;
	return a->len >= len ? a->len < b->len : a->len > b->len;
}

/* Of those of least to most bytes. */
static struct cdm_region *find_near(size_t least, size_t len, size_t most, size_t align)
{
	const struct kind *k = &kind[false];
	struct cdm_region *best = NULL;

	for (int b = bin_of(least); b < BINS && b <= bin_of(most); b++) {
		int probes = 0;
		for (struct cdm_region *r = k->bin[b]; r && probes < PROBES; r = r->next, probes++)
			if (!(r->base & (align - 1)) && !r->resident && !moving(r) && r->len >= least &&
			    r->len <= most && nearer(r, best, len))
				best = r;
	}
	return best;
}

static bool too_much(void)
{
	return cdm_cache_bytes() > atomic_load_explicit(&limit, memory_order_relaxed);
}

bool cdm_cache_overdue(void)
{
	uint64_t when = atomic_load_explicit(&due, memory_order_relaxed);
	return when && (too_much() || now_ns() > when);
}

/* ---- in front ---- */

/* Without the lock where nothing was there. What was goes to the lists, under the lock: a block that is in neither would be forgotten by
 * nobody. */
static void put_in_front(struct cdm_region *r)
{
	struct cdm_region *before = NULL;

	r->cached = true;
	if (atomic_compare_exchange_strong(&front, &before, r))
		return;
	lock_enter();
	before = atomic_exchange(&front, r);
	if (before != r)
		file(before);
	leave();
}

/* Without the lock. A glance is enough to leave a block of another size to those who take the lock: descriptors are never freed, so
 * at worst it is out of date. */
static struct cdm_region *take_from_front(size_t len, size_t align)
{
	struct cdm_region *r = atomic_load_explicit(&front, memory_order_acquire);

	if (!r || !fits(r, len, align) || !atomic_compare_exchange_strong(&front, &r, NULL))
		return NULL;
	if (!r->filed && fits(r, len, align)) {
		r->cached = false;
		return r;
	}
	lock_enter(); /* it has been cut meanwhile, or a mover has come */
	file(r);
	leave();
	return NULL;
}

/* ---- seen from outside ---- */

bool cdm_cache_put(struct cdm_region *r)
{
	uint64_t now = now_ns();
	bool small =
		r->len <= FRONT_MAX && cdm_cache_bytes() + r->len <= atomic_load_explicit(&limit, memory_order_relaxed);

	if (small && !r->cached && !r->hollow) {
		r->freed_ns = now;
		put_in_front(r);
		return true;
	}
	enter();
	bool ours = !r->cached;
	if (ours) {
		r->freed_ns = now;
		put(r, true);
	}
	leave();
	return ours;
}

void cdm_cache_put_back(struct cdm_region *r)
{
	enter();
	put(r, false);
	leave();
}

struct cdm_region *cdm_cache_take(size_t len, size_t align)
{
	struct cdm_region *r = take_from_front(len, align);

	if (r)
		return r;
	enter();
	r = take(find_fit(&kind[false], len, align));
	leave();
	return r;
}

struct cdm_region *cdm_cache_hollow(size_t len, size_t align)
{
	enter();
	struct cdm_region *r = take(find_fit(&kind[true], len, align));
	leave();
	return r;
}

struct cdm_region *cdm_cache_near(size_t len, size_t align)
{
	size_t half = len / 2 > CDM_PAGE ? len / 2 : CDM_PAGE;

	enter();
	struct cdm_region *r = take(find_near(half, len, 2 * len, align));
	leave();
	return r;
}

struct cdm_region *cdm_cache_longer(size_t len, size_t most, size_t align)
{
	enter();
	struct cdm_region *r = take(find_near(len, len, most, align));
	leave();
	return r;
}

struct cdm_region *cdm_cache_oldest(bool overdue)
{
	enter();
	struct cdm_region *r = kind[false].oldest;
	while (r && moving(r))
		r = r->newer;
	r = take(!overdue || too_much() || now_ns() > due_of(false) ? r : NULL);
	leave();
	return r;
}

struct cdm_region *cdm_cache_oldest_hollow(bool overdue)
{
	enter();
	struct cdm_region *r = take(!overdue || now_ns() > due_of(true) ? kind[true].oldest : NULL);
	leave();
	return r;
}

void cdm_cache_rest(void)
{
	enter();
	rested = now_ns() + CDM_CACHE_NS;
	due_set();
	leave();
}

struct cdm_region *cdm_cache_resident(void)
{
	int looks = LOOKS;

	enter();
	struct cdm_region *r = kind[false].oldest;
	while (r && looks && (!r->resident || moving(r))) {
		r = r->newer;
		looks--;
	}
	r = take(looks ? r : NULL);
	leave();
	return r;
}

void cdm_cache_forget(struct cdm_region *r)
{
	enter();
	if (r->filed)
		take(r);
	r->hollow = false;
	leave();
}

size_t cdm_cache_bytes(void)
{
	const struct cdm_region *r = atomic_load_explicit(&front, memory_order_relaxed);

	return atomic_load_explicit(&bytes, memory_order_relaxed) + (r ? r->len : 0);
}

uint64_t cdm_cache_due(void)
{
	if (atomic_load_explicit(&front, memory_order_relaxed)) {
		enter();
		leave();
	}
	return atomic_load_explicit(&due, memory_order_relaxed);
}

void cdm_cache_limit(size_t most)
{
	atomic_store_explicit(&limit, most, memory_order_relaxed);
}

void cdm_cache_fork_prepare(void)
{
	cdm_lock_take(&lock);
}
void cdm_cache_fork_parent(void)
{
	cdm_lock_drop(&lock);
}
void cdm_cache_fork_child(void)
{
	cdm_lock_reset(&lock);
}

bool cdm_cache_interrupted(void)
{
	return here > 0;
}

bool cdm_cache_fork_torn(void)
{
	bool torn = atomic_load(&lock.word) != 0;

	cdm_lock_reset(&lock);
	return torn;
}

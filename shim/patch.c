/* Patching entry points. See patch.h. */
#include "shim/patch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "offload/base/arena.h"
#include "offload/base/fmt.h"
#include "offload/base/lock.h"
#include "offload/base/sys.h"
#include "offload/offload.h"
#include "shim/decode.h"
#include "shim/elf.h"
#include "shim/maps.h"
#include "shim/near.h"

#define JUMP 5                    /* jmp rel32 */
#define WINDOW ((size_t)16 << 10) /* what is looked at of a function whose size nobody knows */

/* Held for all but cdm_patch_original(); signals are blocked meanwhile. The loader is never called under it: its lock
 * may be held by a thread that waits for this one. */
static cdm_lock lock;

static int fail(int err, const char **why, const char *text)
{
	*why = text;
	return -err;
}

/* ---- who runs --------------------------------------------------------------------------------------------- */

/* "running", or the system call it sleeps in. */
static bool is_asleep(int tid)
{
	char path[48], what = 'r';

	cdm_fmt(path, sizeof(path), "/proc/self/task/%d/syscall", tid);
	int fd = cdm_sys_open(path, O_RDONLY | O_CLOEXEC, 0);
	if (fd >= 0) {
		if (cdm_sys_read(fd, &what, 1) != 1)
			what = 'r';
		cdm_sys_close(fd);
	}
	return what != 'r';
}

/* The threads of the device's library stay in its own copies of what they run. A thread that sleeps in a system call (the
 * workers that a library has just started) is in no function's first bytes, and does not get there in the moments until they
 * have changed unless it is woken, enters that very function, and is interrupted between two of its first instructions. */
bool cdm_patch_alone(void)
{
	char buf[2048];
	bool alone = true;
	int self = (int)cdm_sys3(SYS_gettid, 0, 0, 0);
	int fd = cdm_sys_open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);

	if (fd < 0)
		return false;
	for (long got; (got = cdm_sys3(SYS_getdents64, fd, (long)buf, sizeof(buf))) > 0;)
		for (long at = 0; at < got;) {
			const struct dirent64 *d = (const struct dirent64 *)(buf + at);
			int tid = atoi(d->d_name);
			at += d->d_reclen;
			alone = alone && (tid == 0 || tid == self || cdm_engine_own_thread(tid) || is_asleep(tid));
		}
	cdm_sys_close(fd);
	return alone;
}

/* ---- what is patched ---------------------------------------------------------------------------------------- */

/* A slot of near.h holds a stub and a trampoline. */
#define STUB 16 /* jmp *0(%rip) and the address, and two bytes of nothing */
_Static_assert(STUB + 4 + CDM_TRAMPOLINE_MAX <= CDM_NEAR_SLOT, "a trampoline fits its slot");

/* Records are never freed: cdm_patch_original() reads them without a lock. One that is forgotten has entry 0 and is
 * used again in its bucket. */
enum patch_state { REMOVED, INSTALLED, TURNED /* the bytes are patched, the stub leads to the trampoline */ };

struct record {
	struct record *_Atomic next;
	_Atomic uintptr_t entry;
	void *_Atomic original; /* NULL while not installed */
	enum patch_state state;
	struct cdm_near slot;
	void *target;
	bool one; /* the jump replaces one instruction */
	size_t kept, displaced;
	uint8_t saved[32]; /* the function's first bytes, displaced of them */
};

#define BUCKETS 1024
static struct record *_Atomic buckets[BUCKETS];

static struct record *_Atomic *bucket_of(uintptr_t entry)
{
	return &buckets[(entry >> 4) * 0x9e3779b97f4a7c15u >> 54];
}

static struct record *find_record(uintptr_t entry)
{
	struct record *r = atomic_load_explicit(bucket_of(entry), memory_order_acquire);

	while (r && atomic_load_explicit(&r->entry, memory_order_acquire) != entry)
		r = atomic_load_explicit(&r->next, memory_order_acquire);
	return r;
}

void *cdm_patch_original(void *fn)
{
	struct record *r = find_record((uintptr_t)fn);

	if (!r)
		return fn;
	void *original = atomic_load_explicit(&r->original, memory_order_acquire);
	/* It may be somebody else's record by now. */
	return original && atomic_load_explicit(&r->entry, memory_order_relaxed) == (uintptr_t)fn ? original : fn;
}

/* A record of no entry yet, in the entry's bucket. */
static struct record *new_record(uintptr_t entry)
{
	struct record *r = atomic_load_explicit(bucket_of(entry), memory_order_relaxed);

	while (r && atomic_load_explicit(&r->entry, memory_order_relaxed))
		r = atomic_load_explicit(&r->next, memory_order_relaxed);
	if (r)
		return r;
	r = cdm_arena_alloc(sizeof(*r));
	if (!r)
		return NULL;
	atomic_store_explicit(&r->next, atomic_load_explicit(bucket_of(entry), memory_order_relaxed),
			      memory_order_relaxed);
	atomic_store_explicit(bucket_of(entry), r, memory_order_release);
	return r;
}

static void *trampoline_of(const struct record *r)
{
	return (void *)(cdm_near_address(&r->slot) + STUB);
}

static void publish(struct record *r, uintptr_t entry, enum patch_state state)
{
	r->state = state;
	atomic_store_explicit(&r->original, state == INSTALLED ? trampoline_of(r) : NULL, memory_order_release);
	atomic_store_explicit(&r->entry, entry, memory_order_release);
}

/* The record stands for nothing any more. Its slot may still be executed, unless free. */
static void drop_record(struct record *r, bool free)
{
	atomic_store_explicit(&r->entry, 0, memory_order_release);
	atomic_store_explicit(&r->original, NULL, memory_order_release);
	if (free)
		cdm_near_free(&r->slot);
}

static void make_stub(uint8_t stub[STUB], const void *target)
{
	memcpy(stub, "\xff\x25\0\0\0\0", 6);
	memcpy(stub + 6, &target, sizeof(target));
	stub[14] = stub[15] = 0xcc;
}

static int turn_stub(struct record *r, void *target)
{
	uint8_t stub[STUB];

	make_stub(stub, target);
	return cdm_near_write(&r->slot, stub, sizeof(stub));
}

static void make_jump(const struct record *r, uintptr_t site, uint8_t jump[JUMP])
{
	int32_t rel = (int32_t)(cdm_near_address(&r->slot) - (site + JUMP));

	jump[0] = 0xe9;
	memcpy(jump + 1, &rel, sizeof(rel));
}

/* ---- the function's bytes ------------------------------------------------------------------------------------ */

static __thread bool is_quiet;
static __thread bool in_batch;
static __thread struct cdm_mapping last_text; /* of the last function in a batch */

bool cdm_patch_quiet(bool quiet)
{
	bool before = is_quiet;

	is_quiet = quiet;
	return before;
}

void cdm_patch_batch(bool begin)
{
	in_batch = begin;
	last_text = (struct cdm_mapping){0};
}

struct text {
	uintptr_t at;
	/* What lies there, and the neighbours that are the same: a change of protection splits it. */
	struct cdm_mapping in;
};

static bool is_behind_its_mapping(const struct cdm_mapping *m, void *arg)
{
	struct text *t = arg;

	if (m->lo == t->in.hi && m->prot == t->in.prot && m->shared == t->in.shared) {
		t->in.hi = m->hi;
		return false;
	}
	if (t->at >= t->in.lo && t->at < t->in.hi)
		return true;
	t->in = *m;
	return false;
}

/* The mapping of an entry point, if it is code that can be read and is this process's own. */
static int find_text(uintptr_t entry, struct text *t, const char **why)
{
	*t = (struct text){.at = entry, .in = last_text};
	if (in_batch && entry >= last_text.lo && entry < last_text.hi)
		return 0;
	*t = (struct text){.at = entry};
	int err = cdm_maps_each(is_behind_its_mapping, t);

	if (err < 0)
		return fail(-err, why, "the protection of its text cannot be told");
	if (entry < t->in.lo || entry >= t->in.hi)
		return fail(EFAULT, why, "nothing is mapped there");
	if ((t->in.prot & (PROT_READ | PROT_EXEC)) != (PROT_READ | PROT_EXEC))
		return fail(EACCES, why, "it is not in readable code");
	if (t->in.shared)
		return fail(EACCES, why, "its text is shared with other processes");
	last_text = t->in;
	return 0;
}

static int membarrier(int command)
{
	return (int)cdm_sys3(SYS_membarrier, command, 0, 0);
}

/* Whether its bytes may be changed now; *live: other threads may be executing them. */
static int may_write(uintptr_t site, bool one, bool *live, const char **why)
{
	*live = !is_quiet && !cdm_patch_alone();
	if (!*live)
		return 0;
	if (!one || (site & 7) > 8 - JUMP)
		return fail(EBUSY, why, "threads may be running in it");
	if (membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE) < 0)
		return fail(EBUSY, why, "threads may be running in it, and the kernel has no membarrier");
	return 0;
}

static void store(uintptr_t site, const uint8_t bytes[JUMP])
{
	uint64_t *word = (uint64_t *)(site & ~(uintptr_t)7);
	uint64_t value = 0;

	if ((site & 7) > 8 - JUMP) {
		memcpy((void *)site, bytes, JUMP);
		return;
	}
	memcpy(&value, word, sizeof(value));
	memcpy((uint8_t *)&value + (site & 7), bytes, JUMP);
	__atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}

/* Five bytes of code. Its pages stay executable meanwhile: other threads run other functions there. Protection changes
 * in pieces of 2 MiB: what was writable once never merges with its neighbours again, and page by page a large library
 * would fall into thousands of mappings. */
static int write_text(const struct cdm_mapping *in, uintptr_t site, const uint8_t bytes[JUMP], bool one,
		      const char **why)
{
	uintptr_t lo = cdm_round_down(site, CDM_HUGE), hi = cdm_round_up(site + JUMP, CDM_HUGE);
	bool live;
	int err = may_write(site, one, &live, why);

	if (err)
		return err;
	lo = lo > in->lo ? lo : in->lo;
	hi = hi < in->hi ? hi : in->hi;
	if (!(in->prot & PROT_WRITE)) {
		err = cdm_sys_mprotect((void *)lo, hi - lo, in->prot | PROT_WRITE);
		if (err)
			return fail(-err, why, "its text cannot be made writable");
	}
	store(site, bytes);
	if (!(in->prot & PROT_WRITE))
		(void)cdm_sys_mprotect((void *)lo, hi - lo, in->prot);
	if (live)
		(void)membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE);
	return 0;
}

/* ---- install -------------------------------------------------------------------------------------------------- */

static bool is_endbr64(const uint8_t *b)
{
	return memcmp(b, "\xf3\x0f\x1e\xfa", 4) == 0;
}

/* Chooses a slot, within reach of all that the displaced instructions refer to, and relocates them to it. */
static int relocate(struct record *r, const struct cdm_code *code, struct cdm_relocated *moved, const char **why)
{
	int err = fail(ENOMEM, why, "no executable memory near it");

	for (enum cdm_side side = CDM_BELOW; side <= CDM_ABOVE; side++) {
		if (!cdm_near_find(code->from, side, &r->slot))
			continue;
		uintptr_t to = cdm_near_address(&r->slot) + STUB + (is_endbr64(code->bytes) ? 0 : 4);
		err = cdm_decode_relocate(code, JUMP, to, moved, why);
		if (err != -ERANGE)
			return err;
	}
	return err;
}

/* Writes stub and trampoline. The trampoline is called through a pointer: it begins with an endbr64. */
static int fill_slot(struct record *r, const struct cdm_relocated *moved, const char **why)
{
	uint8_t slot[CDM_NEAR_SLOT];
	size_t at = STUB;

	memset(slot, 0xcc, sizeof(slot));
	make_stub(slot, r->target);
	if (!moved->kept) {
		memcpy(slot + at, "\xf3\x0f\x1e\xfa", 4);
		at += 4;
	}
	memcpy(slot + at, moved->code, moved->len);
	if (cdm_near_write(&r->slot, slot, sizeof(slot)))
		return fail(ENOMEM, why, "no executable memory");
	return 0;
}

static int patch_bytes(struct record *r, uintptr_t entry, const struct cdm_mapping *in, const char **why)
{
	uint8_t jump[JUMP];

	make_jump(r, entry + r->kept, jump);
	publish(r, entry, INSTALLED); /* before target can be called */
	int err = write_text(in, entry + r->kept, jump, r->one, why);
	if (err)
		publish(r, entry, REMOVED);
	return err;
}

/* next: where another symbol begins. */
static int install_new(const struct cdm_code *code, uintptr_t next, void *target, const struct cdm_mapping *in,
		       const char **why)
{
	struct record *r = new_record(code->from);
	struct cdm_relocated moved;
	bool live;

	if (!r)
		return fail(ENOMEM, why, "no memory");
	int err = relocate(r, code, &moved, why);
	if (err)
		return err;
	if (moved.displaced > next - code->from || moved.displaced > sizeof(r->saved))
		return fail(ENOTSUP, why, "another symbol begins in its first bytes");
	r->one = moved.count == 1;
	r->kept = moved.kept;
	r->displaced = moved.displaced;
	r->target = target;
	err = may_write(code->from + r->kept, r->one, &live, why);
	if (err)
		return err;
	memcpy(r->saved, code->bytes, r->displaced);
	err = fill_slot(r, &moved, why);
	if (err)
		return err;
	err = patch_bytes(r, code->from, in, why);
	if (err) /* somebody may have asked for the original meanwhile */
		drop_record(r, false);
	return err;
}

static bool has_jump(const struct record *r, uintptr_t entry)
{
	uint8_t jump[JUMP];

	make_jump(r, entry + r->kept, jump);
	return memcmp((const void *)(entry + r->kept), jump, JUMP) == 0;
}

/* A function that was patched before. -ENOENT: it is another one now. */
static int install_again(struct record *r, uintptr_t entry, void *target, const struct cdm_mapping *in,
			 const char **why)
{
	bool patched = entry + r->kept + JUMP <= in->hi && has_jump(r, entry);

	if (r->state == INSTALLED && patched)
		return r->target == target ? 0 : fail(EBUSY, why, "it is patched already");
	if (r->state == REMOVED
		    ? entry + r->displaced > in->hi || memcmp((const void *)entry, r->saved, r->displaced) != 0
		    : !patched)
		return -ENOENT;
	if (turn_stub(r, target))
		return fail(ENOMEM, why, "no executable memory");
	r->target = target;
	if (r->state == REMOVED)
		return patch_bytes(r, entry, in, why);
	publish(r, entry, INSTALLED);
	return 0;
}

static int install(uintptr_t entry, size_t size, uintptr_t next, void *target, const char **why)
{
	struct text text;
	int err = find_text(entry, &text, why);

	if (err)
		return err;
	struct record *r = find_record(entry);
	if (r) {
		err = install_again(r, entry, target, &text.in, why);
		if (err != -ENOENT)
			return err;
		drop_record(r, false);
	}
	struct cdm_code code = {(const uint8_t *)entry, size, text.in.hi - entry, entry};
	if (size > code.avail)
		return fail(EINVAL, why, "it is larger than its mapping");
	if (next - entry >= size && next - entry < code.avail)
		code.avail = next - entry;
	if (!size && code.avail > WINDOW)
		code.avail = WINDOW;
	return install_new(&code, next, target, &text.in, why);
}

static void enter(uint64_t *mask)
{
	cdm_sys_block_all(mask);
	cdm_lock_take(&lock);
}

static void leave(const uint64_t *mask)
{
	cdm_lock_drop(&lock);
	cdm_sys_unblock(mask);
}

int cdm_patch_install(void *entry, size_t size, void *target, void **original, const char **why)
{
	struct cdm_elf_place place;
	uint64_t mask;

	(void)cdm_elf_at((uintptr_t)entry, &place);
	if (place.indirect)
		return fail(ENOTSUP, why, "it is an indirect function");
	int err = cdm_decode_open(why);
	if (err)
		return err;
	enter(&mask);
	err = install((uintptr_t)entry, size ? size : place.size, place.next, target, why);
	if (!err)
		*original = trampoline_of(find_record((uintptr_t)entry));
	leave(&mask);
	return err;
}

/* ---- remove and forget ------------------------------------------------------------------------------------------ */

static int remove_patch(struct record *r, uintptr_t entry)
{
	struct text text;
	const char *why;

	if (find_text(entry, &text, &why) || entry + r->kept + JUMP > text.in.hi || !has_jump(r, entry)) {
		drop_record(r, false);
		return 0;
	}
	if (write_text(&text.in, entry + r->kept, r->saved + r->kept, r->one, &why) == 0) {
		publish(r, entry, REMOVED);
		return 0;
	}
	int err = turn_stub(r, trampoline_of(r));
	if (!err)
		publish(r, entry, TURNED);
	return err;
}

int cdm_patch_remove(void *entry)
{
	uint64_t mask;
	int err = 0;

	enter(&mask);
	struct record *r = find_record((uintptr_t)entry);
	if (r && r->state != REMOVED)
		err = remove_patch(r, (uintptr_t)entry);
	leave(&mask);
	return err;
}

void cdm_patch_forget(uintptr_t lo, uintptr_t hi)
{
	uint64_t mask;

	enter(&mask);
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct record *r = atomic_load(&buckets[i]); r; r = atomic_load(&r->next)) {
			uintptr_t entry = atomic_load(&r->entry);

			if (entry && entry >= lo && entry < hi)
				drop_record(r, true);
		}
	leave(&mask);
}

void cdm_patch_after_fork(void)
{
	cdm_lock_reset(&lock);
	cdm_decode_after_fork();
}

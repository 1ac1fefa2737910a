/* The mechanisms that `cdm bench faults` measures, and what measures them.
 *
 * A cell is one mechanism under one set of circumstances. It is measured in a process of its own by a team of workers.
 * A worker has two areas, `a` and `b`, both cut into `slots` windows of cell->bytes; areas and windows are aligned to 2 MiB
 * where they are that large. An operation works on one window. The team goes through rounds:
 *
 *     reset each slot │ run each slot │ check each slot
 *                  barrier         barrier
 *
 * run() alone is timed, by slot. What moves is the pattern that worker_seed() yields for worker, slot and round, so that a
 * page of the wrong place or of an earlier round is as wrong as a spoilt one.
 */
#ifndef CDM_BENCH_MECH_H
#define CDM_BENCH_MECH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/bench/machine.h"
#include "tools/bench/stats.h"

enum pages { PAGES_SMALL = 1, PAGES_HUGE = 2, PAGES_BOTH = 3 };

enum condition {
	QUIET,
	FORKING,    /* another thread of the process forks; the children live for a moment */
	COLLAPSING, /* another thread has the areas collapsed into huge pages */
	BALANCING,  /* the kernel's NUMA balancing is at work on memory of another node */
	CONDITIONS
};

struct cell {
	const struct mech *mech;
	size_t bytes; /* of a window */
	enum pages pages;
	int threads;
	enum condition condition;
	size_t slots_most;          /* in a round */
	uint64_t warm_ns, slice_ns; /* time not measured, then measured */
	bool spoil;                 /* for tests: one byte is changed before it is checked */
};

/* Why an operation was refused. The data is where it was, or partly where it goes, and whole. */
enum refusal { REFUSED_BUSY, REFUSED_AGAIN, REFUSED_OTHER, REFUSALS };

struct result {
	bool measured, crashed; /* crashed: a defect, here or in the kernel */
	const char *where;      /* it failed, in the cell's process: constant text, and an errno or 0 */
	int error;
	char why[128]; /* not measured, in words */
	struct stats ns;
	double gbps;  /* of all threads together, in the median round; of the operations alone */
	int mappings; /* that one operation in the middle of a mapping adds; INT_MIN: not known */
	uint64_t refused[REFUSALS];
	uint64_t again;               /* EAGAIN within operations that succeeded in the end */
	uint64_t events, events_none; /* forks, collapses, hinting faults; collapses refused */
	uint64_t wrong, wrong_at;     /* windows with a wrong byte; offset of the first one */
};

struct team;

struct worker {
	struct team *team;
	int id;
	char *a, *b;
	size_t slots, slot; /* slot: the one that is being run */
	uint32_t round;
	size_t *done; /* by slot: bytes that went; all, unless run() was refused */
	/* figures */
	uint32_t *ns;         /* by operation */
	size_t samples, went; /* went: in this round, which ran from begun_ns to ended_ns */
	uint64_t begun_ns, ended_ns, busy_ns /* in its operations */, again, refused[REFUSALS], wrong, wrong_at;
	bool recording;
	pthread_t thread;
};

struct team {
	const struct cell *cell;
	const struct machine *machine;
	struct result *result;
	struct worker *worker; /* cell->threads of them */
	size_t area, slots, sample_cap;
	uint32_t *ps_per_kib; /* by round */
	size_t rounds;
	uint64_t clock_ns;
	int uffd, fd; /* fd: the mechanism's own */
	_Atomic int at_barrier;
	_Atomic unsigned barriers;
	_Atomic bool stop, failed;
	_Atomic uint64_t events, events_none;
};

/* Functions return 0 or a negative errno; open, prepare, ready, answer may be NULL. */
struct mech {
	const char *key, *what;
	unsigned pages;      /* enum pages */
	bool balancing;      /* measured under NUMA balancing, too */
	uint64_t features;   /* a userfaultfd descriptor with these features is opened ... */
	uint64_t uffd_mode;  /* ... and `b` registered so; 0: none */
	int signal;          /* touches of `b` are this signal, answered by answer() in the touching thread */
	bool handler_thread; /* touches of `b` are messages, answered by answer() in one thread for all workers */
	/* NULL, or why this machine does not have it. Called once, in the command's process. */
	const char *(*probe)(const struct machine *m);
	int (*open)(struct team *team);   /* once, before the workers */
	int (*prepare)(struct worker *w); /* once per worker, its areas being mapped */
	int (*reset)(struct worker *w, size_t slot);
	int (*ready)(struct worker *w); /* after the resets of a round */
	/* -EBUSY, -EAGAIN, -EACCES, -EEXIST are refusals, other errors end the cell. */
	int (*run)(struct worker *w, size_t slot);
	int (*answer)(struct worker *w);                /* of w->slot; async-signal-safe */
	size_t (*check)(struct worker *w, size_t slot); /* offset of the first wrong byte, or the window's size */
	size_t (*check_refused)(struct worker *w, size_t slot); /* the same after a refusal; NULL: nothing to see */
};

/* All mechanisms, in the order in which they are shown; the first two are the yardsticks. NULL ends it. */
extern const struct mech *const mech_table[];
extern const struct mech mech_memcpy, mech_minor, mech_segv, mech_segv_copy, mech_sigbus_copy, mech_thread_copy,
	mech_wp_sigbus, mech_wp_thread, mech_wp_async, mech_scan, mech_copy, mech_move, mech_mremap, mech_dontunmap,
	mech_mprotect, mech_refault, mech_memfd, mech_soft_dirty, mech_move_pages;

/* ---- for mechanisms ---- */

static inline char *slot_at(const struct worker *w, char *area, size_t slot)
{
	return area + slot * w->team->cell->bytes;
}
/* The distance of a window's touches: one of each page of the kind that it consists of. */
static inline size_t touch_stride(const struct worker *w)
{
	const struct cell *c = w->team->cell;
	return c->pages == PAGES_HUGE ? c->bytes : 4096;
}
uint64_t worker_seed(const struct worker *w, size_t slot);
/* Maps [p, p+len) anew, private and anonymous, with the advice of the cell's kind of pages. */
int area_map_at(const struct worker *w, char *p, size_t len);
/* The pattern, and touches: writes of the first word of each stride, one of each page that a fault is wanted of. */
void pattern_fill(void *p, size_t len, uint64_t seed);
void pattern_touch(void *p, size_t len, uint64_t seed, size_t stride);
/* The look at the bytes [from, to) of the window at p, pattern or zeros with touches (stride 0: none): the offset of the
 * first wrong byte, or `to`. */
size_t pattern_wrong(const void *p, size_t from, size_t to, uint64_t seed, size_t stride);
size_t zeros_wrong(const void *p, size_t len, uint64_t seed, size_t stride);
/* The pattern into a window of `a` or `b`; in fresh pages where what went before may have split a huge one. */
int slot_fill(struct worker *w, char *area, size_t slot);
int slot_refill(struct worker *w, char *area, size_t slot);
/* Bytes of [p, p+len) that are huge pages. */
size_t huge_bytes(const char *p, size_t len);
int slot_empty(struct worker *w, char *area, size_t slot);
/* The look at an untouched window of b, and at one whose first word alone was touched. */
size_t check_moved(struct worker *w, size_t slot);
size_t check_touched_once(struct worker *w, size_t slot);
size_t check_touched(struct worker *w, size_t slot);
/* Something to move: the pattern in a, and nothing in b, not even an empty table of small pages, which would split a huge one. */
int reset_source(struct worker *w, size_t slot);
/* A write to the first word of the window in b; of each page of its kind there. */
int touch_once(struct worker *w, size_t slot);
int touch_all(struct worker *w, size_t slot);

/* ---- for the command ---- */

/* Measures a cell in a process of its own. */
void cell_measure(const struct cell *c, const struct machine *m, struct result *r);
const char *condition_name(enum condition c);

/* ---- the parts of a cell's process ---- */

/* Runs the team to its end; the result is in team->result. */
void team_run(struct team *team);
/* Ends the process; the first failure is the result. Any thread, also in a signal handler. */
_Noreturn void team_fail(struct team *team, const char *where, int error);
/* Before memory is touched; then what the condition asks for, in a thread that goes on until team->stop. */
void disturb_prepare(struct team *team);
/* False: there is no such thread. */
bool disturb_start(struct team *team, pthread_t *thread);
void disturb_end(struct team *team);
/* Signal handlers and the handler thread, as the mechanism says. `me` is the worker of this thread. */
int answers_start(struct team *team);
void answers_worker(struct worker *me);

#endif

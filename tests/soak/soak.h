/* What the files of the soak test share: the constants, a thread and its blocks, and what one file does for others.
 * soak.c says what the test is.
 *
 * A thread's blocks are its own: a function that takes a thread and a block is called by that thread alone, with a block
 * that is allocated unless said otherwise.
 */
#ifndef CDM_TESTS_SOAK_H
#define CDM_TESTS_SOAK_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shim/cdm.h"

#define THREADS 8
#define SLOTS 6
#define LAYERS 6
#define MEMORY 8 /* deeds on a block that are remembered */
#define ROUND_MS 1500
#define STUCK_S 60
#define ERRORS_SHOWN 10
#define PAGE 4096ul
#define PER_PAGE (PAGE / sizeof(double))

void dgemm_(const char *, const char *, const int *, const int *, const int *, const double *, const double *,
	    const int *, const double *, const int *, const double *, double *, const int *);
void dsyrk_(const char *, const char *, const int *, const int *, const double *, const double *, const int *,
	    const double *, double *, const int *);
void dgemv_(const char *, const int *, const int *, const double *, const double *, const int *, const double *,
	    const int *, const double *, double *, const int *);

enum kind { MALLOC, MAPPED, BORN }; /* BORN: cdm_alloc() */

/* What elements became. ZEROS, RANGE: [at, at + count) are zero, or pattern(seed, index - at + shift). RECT:
 * element (i, j) of a rows x cols matrix with leading dimension ld is factor * pattern(seed, i + ((j + shift) % cols)
 * * from_ld), plus what it was when add. */
struct layer {
	enum { RANGE, ZEROS, RECT } what;
	size_t at, count;
	uint32_t seed;
	size_t shift;
	int rows, cols, ld, from_ld, factor;
	bool add;
};

struct block {
	double *p; /* NULL: none is allocated */
	size_t words;
	size_t skipped; /* words that were cut off in front: element i has the pattern's index i + skipped */
	uint32_t seed;
	enum kind kind;
	int layers;
	struct layer layer[LAYERS];
	const char *deed[MEMORY];
	unsigned deeds;
};

struct thread {
	pthread_t id;
	int number;
	uint64_t random;
	struct block block[SLOTS];
	int pipe[2], pair[2];
	bool child; /* a forked child's copy */
	_Atomic long deeds;
	_Atomic(const char *) now; /* what it is doing, for errors */
};

/* ---- drawing ---- */

static inline uint32_t draw(struct thread *t)
{
	t->random = t->random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(t->random >> 33);
}
static inline size_t below(struct thread *t, size_t n)
{
	return n ? draw(t) % n : 0;
}
static inline bool one_in(struct thread *t, unsigned n)
{
	return draw(t) % n == 0;
}

/* ---- block.c: what blocks hold ---- */

extern _Atomic long errors;

static inline double pattern(uint32_t seed, size_t i)
{
	uint32_t x = (uint32_t)i * 2654435761u ^ (seed + (uint32_t)(i >> 32)) * 0x9e3779b1u;
	x ^= x >> 15;
	x *= 0x85ebca6bu;
	return (double)(int)((x >> 24) % 9) - 4;
}

double expected(const struct block *b, size_t i);

/* Counts an error, and prints it when it is among the first ERRORS_SHOWN. b: what it is about, or NULL. */
__attribute__((format(printf, 3, 4))) void wrong(struct thread *t, const struct block *b, const char *what, ...);
/* Remembers the deed that begins. what: a literal. */
void did(struct thread *t, struct block *b, const char *what);

/* Compares elements [from, to) with what they should be; one line for a run of wrong ones. */
void check_range(struct thread *t, const struct block *b, size_t from, size_t to);
/* Mostly a few windows, sometimes everything. */
void check_some(struct thread *t, const struct block *b);

/* Writes the base to elements [from, to); layers there are the caller's. */
void paint(struct block *b, size_t from, size_t to);
/* A new base without layers. */
void repaint(struct thread *t, struct block *b);
/* Writes the base back where layers are; there is none afterwards. */
void settle(struct block *b);
/* A place for one more layer, empty, on top; when there is none the block is settled. To be filled before the memory is
 * changed by others' hands. */
struct layer *layer_add(struct block *b);
void write_some(struct thread *t, struct block *b);

/* Draws whole pages inside the block: elements [*at, *at + *words). False: there are none. */
bool pages_in(struct thread *t, const struct block *b, size_t *at, size_t *words);

/* ---- allocation.c ---- */

/* Before any block is allocated: some are mappings of the device, where there is one. */
void device_open(void);
/* Into a slot that has no block; after an error it still has none. */
void allocate(struct thread *t, struct block *b);
/* Nothing when there is no block. */
void release(struct thread *t, struct block *b);
/* Grows, shrinks or moves it by realloc() or mremap(), or cuts pages off in front. */
void resize(struct thread *t, struct block *b);

/* ---- advice.c ---- */

void advise(struct thread *t, struct block *b);
/* For a while some pages cannot be written, or not be read either. */
void protect(struct thread *t, struct block *b);

/* ---- io.c ---- */

/* Before any io(): makes the file that is read from. False: it cannot be made. */
bool pattern_file_open(void);
/* Reads into the block or writes out of it: files, the thread's pipe and its pair of sockets. */
void io(struct thread *t, struct block *b);

/* ---- products.c ---- */

extern _Atomic long products;

/* Settles A and puts a product of it into another of the thread's blocks; nothing where there is no other. */
void compute(struct thread *t, struct block *a);
/* The same for A without layers, which is only read. */
void compute_with(struct thread *t, struct block *a);

/* ---- common.c: memory that all threads share ---- */

/* Before all else here. False: no memory. */
bool common_make(void);
void common_count(struct thread *t);
void common_compute(struct thread *t);
/* While all threads rest; t is who reports. */
void common_check(struct thread *t);

/* ---- fork.c ---- */

extern _Atomic long forks;

/* A child works on its copy of the thread's blocks while the parent goes on with its own; returns when it has ended. */
void fork_one(struct thread *t);

/* ---- growth.c: called by one thread, while the others rest or are gone ---- */

/* Everything that stays has been allocated, and no thread runs yet. */
void growth_start(void);
/* After a round. */
void growth_sample(void);
/* After the last round. */
void growth_check(struct thread *t);
/* In the end: rests for some seconds, and compares with what growth_start() found. */
void idle_check(struct thread *t);

/* ---- soak.c ---- */

void nap(int ms);

#endif

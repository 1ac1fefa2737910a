/* Soak: 8 threads allocate, free, resize, remap, advise, protect, do I/O, fork and compute at random, and check all
 * that memory holds, while the device is small, comes and goes.
 *
 * usage: soak [seconds [seed]]
 *
 * It runs without libcdm, too, which tests the test; with SOAK_DEVICE=1 libcdm must be there, and move and evict.
 *
 * Contents. Every element of a block is known at any time: base + layers. The base is a pattern of small integers made
 * from the block's seed and the element's index; a layer is a range or a rectangle that was overwritten since, by the
 * CPU, by the kernel or by a device operation whose result is again known per element (a product with a scaled,
 * shifted identity). Sums and products of small integers are exact, so a wrong bit is an error.
 *
 * Growth. Work goes in rounds of ROUND_MS. After each, all threads have freed all they had and stand still, and the
 * mappings (lines of /proc/self/maps) and the resident memory are sampled. In a run long enough for that, the median
 * of the last third of the samples may exceed the median of the first third (after WARM_UP_MS) by MAPS_SLACK and
 * RSS_SLACK. In the end every run rests for IDLE_S, so that libcdm gives back what it keeps for reuse, and what is
 * left then may exceed what was there after the first rounds' worth of libraries and stacks by MAPS_LEFT and RSS_LEFT.
 * See there.
 *
 * The last line of a good run is "soak: ... 0 errors". An error prints what was found where, and what was last done to
 * the block. A thread that does nothing for STUCK_S is an error, too.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shim/cdm.h"

#define THREADS 8
#define SLOTS 6
#define LAYERS 6
#define MEMORY 8 /* deeds on a block that are remembered */
#define ROUND_MS 1500
#define WARM_UP_MS 15000
#define STUCK_S 60
#define ERRORS_SHOWN 10
/* Between rounds libcdm holds free blocks for reuse: those of the last 10 s, at most what was in use at once, some 100
 * MiB, and how much of it varies with what was drawn. A page lost in each deed would be 48 MiB after a minute. */
#define RSS_SLACK (48l << 20)
#define MAPS_SLACK 96
#define IDLE_S 11 /* free blocks go back to the kernel after 10 s */
/* What stays for good: libraries that are opened on first need and their buffers, arenas of libc, frames for moves. */
#define RSS_LEFT (48l << 20) /* seen: 7 to 27 MiB, without libcdm 11 */
#define MAPS_LEFT 128        /* seen: 59 to 65, without libcdm 50 */
#define PAGE 4096ul
#define PER_PAGE (PAGE / sizeof(double))
#define FILE_SEED 77u
#define FILE_WORDS (1ul << 20)

void dgemm_(const char *, const char *, const int *, const int *, const int *, const double *, const double *,
	    const int *, const double *, const int *, const double *, double *, const int *);
void dsyrk_(const char *, const char *, const int *, const int *, const double *, const double *, const int *,
	    const double *, double *, const int *);
void dgemv_(const char *, const int *, const int *, const double *, const double *, const int *, const double *,
	    const int *, const double *, double *, const int *);

enum kind { MALLOC, MAPPED, BORN }; /* BORN: cdm_alloc() */

/* What an element became. RANGE: elements [at, at + count) are zero, or pattern(seed, index - at + shift). RECT:
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
	double *p;
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
	_Atomic(const char *) now;
};

static struct thread thread[THREADS];
static int file_fd, direct_fd, device_fd; /* -1: none */
static char scratch_path[] = "soak.XXXXXX";
static _Atomic long errors, forks, products, offlines;
static atomic_int stop, round_over;
static pthread_barrier_t barrier;
static const char *const plain = "N", *const transposed = "T", *const upper = "U";

static uint32_t draw(struct thread *t)
{
	t->random = t->random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(t->random >> 33);
}
static size_t below(struct thread *t, size_t n)
{
	return n ? draw(t) % n : 0;
}
static bool one_in(struct thread *t, unsigned n)
{
	return draw(t) % n == 0;
}

/* ---- what memory should hold ---- */

static double pattern(uint32_t seed, size_t i)
{
	uint32_t x = (uint32_t)i * 2654435761u ^ (seed + (uint32_t)(i >> 32)) * 0x9e3779b1u;
	x ^= x >> 15;
	x *= 0x85ebca6bu;
	return (double)(int)((x >> 24) % 9) - 4;
}

static bool in_layer(const struct layer *l, size_t i)
{
	if (i < l->at || i - l->at >= l->count)
		return false;
	return l->what != RECT || (i - l->at) % (size_t)l->ld < (size_t)l->rows;
}

static double expected_under(const struct block *b, size_t i, int layers);

static double layer_value(const struct block *b, size_t i, int n)
{
	const struct layer *l = &b->layer[n];
	size_t k = i - l->at;

	if (l->what == ZEROS)
		return 0;
	if (l->what == RANGE)
		return pattern(l->seed, k + l->shift);
	size_t row = k % (size_t)l->ld, col = (k / (size_t)l->ld + l->shift) % (size_t)l->cols;
	double v = l->factor * pattern(l->seed, row + col * (size_t)l->from_ld);
	return l->add ? v + expected_under(b, i, n) : v;
}

static double expected_under(const struct block *b, size_t i, int layers)
{
	while (layers-- > 0)
		if (in_layer(&b->layer[layers], i))
			return layer_value(b, i, layers);
	return pattern(b->seed, i + b->skipped);
}

static double expected(const struct block *b, size_t i)
{
	return expected_under(b, i, b->layers);
}

/* ---- errors ---- */

static void where_text(const void *p, char *text, size_t size)
{
	struct cdm_where w;

	*text = 0;
	if (cdm_query && !cdm_query(p, 1, &w))
		snprintf(text, size, ", the page is %s%s",
			 w.host     ? "host"
			 : w.shared ? "shared"
			 : w.device ? "device"
			 : w.moving ? "moving"
				    : "untracked",
			 w.pinned ? ", pinned" : "");
}

static void wrong(struct thread *t, const struct block *b, const char *what, ...)
{
	char text[256], line[1024], *at = line, *end = line + sizeof(line);
	va_list args;

	va_start(args, what);
	vsnprintf(text, sizeof(text), what, args);
	va_end(args);
	if (atomic_fetch_add(&errors, 1) >= ERRORS_SHOWN)
		return;
	at += snprintf(at, (size_t)(end - at), "ERROR thread %d%s in %s: %s", t->number, t->child ? " (forked)" : "",
		       t->now, text);
	if (b) {
		at += snprintf(at, (size_t)(end - at),
			       "; block %p of %zu, kind %d, done to it, last first:", (void *)b->p, b->words * 8,
			       b->kind);
		for (unsigned k = 1; k <= MEMORY && k <= b->deeds; k++)
			at += snprintf(at, (size_t)(end - at), " %s", b->deed[(b->deeds - k) % MEMORY]);
	}
	printf("%s\n", line);
	fflush(stdout);
}

static void did(struct thread *t, struct block *b, const char *what)
{
	b->deed[b->deeds++ % MEMORY] = what;
	t->now = what;
}

/* Compares elements [from, to) with what they should be; one line for a run of wrong ones. */
static void check_range(struct thread *t, const struct block *b, size_t from, size_t to)
{
	size_t bad = 0, first = 0, last = 0;
	double got = 0;
	char text[64];

	for (size_t i = from; i < to; i++) {
		double v = *(volatile double *)&b->p[i];
		if (v == expected(b, i))
			continue;
		if (!bad++)
			first = i, got = v;
		last = i;
	}
	if (!bad)
		return;
	where_text(&b->p[first], text, sizeof(text));
	wrong(t, b, "%zu wrong in elements %zu to %zu (%p, page offset %zu): %g instead of %g, now %g%s", bad, first,
	      last, (void *)&b->p[first], (size_t)&b->p[first] % PAGE, got, expected(b, first), b->p[first], text);
}

/* Mostly a few windows, sometimes everything. */
static void check_some(struct thread *t, const struct block *b)
{
	if (one_in(t, 6)) {
		check_range(t, b, 0, b->words);
		return;
	}
	for (int k = 0; k < 3; k++) {
		size_t n = 1 + below(t, 700), at = below(t, b->words);
		check_range(t, b, at, at + n < b->words ? at + n : b->words);
	}
	for (int k = 0; k < b->layers; k++) {
		size_t at = b->layer[k].at, n = b->layer[k].count;
		check_range(t, b, at, at + (n < 64 ? n : 64));
	}
}

/* ---- writing ---- */

static void paint(struct block *b, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		b->p[i] = pattern(b->seed, i + b->skipped);
}

static void repaint(struct thread *t, struct block *b)
{
	b->seed = draw(t);
	b->layers = 0;
	paint(b, 0, b->words);
}

/* Writes the base back where layers are. */
static void settle(struct block *b)
{
	for (; b->layers > 0; b->layers--) {
		const struct layer *l = &b->layer[b->layers - 1];
		paint(b, l->at, l->at + l->count);
	}
}

/* A place for one more layer, to be filled before the memory is changed by others' hands. */
static struct layer *layer_add(struct block *b)
{
	if (b->layers == LAYERS)
		settle(b);
	struct layer *l = &b->layer[b->layers++];
	*l = (struct layer){0};
	return l;
}

static void write_some(struct thread *t, struct block *b)
{
	struct layer *l = layer_add(b);

	did(t, b, "write");
	*l = (struct layer){.what = RANGE, .at = below(t, b->words), .seed = draw(t)};
	l->count = 1 + below(t, one_in(t, 3) ? 20000 : 5);
	if (l->count > b->words - l->at)
		l->count = b->words - l->at;
	for (size_t i = 0; i < l->count; i++)
		b->p[l->at + i] = pattern(l->seed, i);
}

/* ---- allocation ---- */

static size_t draw_words(struct thread *t)
{
	static const size_t most[] = {64 << 10, 1 << 20, 2 << 20, 4 << 20, 6 << 20};
	size_t top = most[below(t, 5)] / sizeof(double);

	if (one_in(t, 8))
		return ((1 << 20) - 64 + below(t, 128)) / sizeof(double); /* about CDM_MIN_ALLOC */
	return top / 2 + below(t, top / 2);
}

static void zeros_check(struct thread *t, const struct block *b)
{
	for (size_t i = 0; i < b->words; i += 1 + below(t, 200))
		if (b->p[i] != 0) {
			wrong(t, b, "element %zu of fresh memory is %g", i, b->p[i]);
			return;
		}
}

static void *fresh_mapping(struct thread *t, size_t bytes)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | (one_in(t, 4) ? MAP_POPULATE : 0);
	void *p = MAP_FAILED;

	if (device_fd >= 0 && one_in(t, 4))
		p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, device_fd, 0);
	if (p == MAP_FAILED)
		p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

static void fresh(struct thread *t, struct block *b)
{
	unsigned how = draw(t) % 8;
	bool zeroed = true;

	*b = (struct block){.words = draw_words(t), .kind = MALLOC};
	size_t bytes = b->words * sizeof(double);
	t->now = "allocate";
	if (how < 3) {
		b->kind = MAPPED;
		bytes = (bytes + PAGE - 1) & ~(PAGE - 1);
		b->words = bytes / sizeof(double);
		b->p = fresh_mapping(t, bytes);
	} else if (how == 3) {
		b->p = calloc(b->words, sizeof(double));
	} else if (how == 4 && cdm_alloc) {
		b->kind = BORN;
		b->p = cdm_alloc(bytes);
	} else if (how == 5) {
		zeroed = false;
		if (posix_memalign((void **)&b->p, 64ul << below(t, 10), bytes))
			b->p = NULL;
	} else {
		zeroed = false;
		b->p = malloc(bytes);
	}
	if (!b->p) {
		wrong(t, NULL, "no memory for %zu bytes", bytes);
		return;
	}
	did(t, b, "allocate");
	if (zeroed)
		zeros_check(t, b);
	repaint(t, b);
}

static void release(struct thread *t, struct block *b)
{
	if (!b->p)
		return;
	t->now = "free";
	check_some(t, b);
	if (b->kind == MALLOC)
		free(b->p);
	else if (b->kind == BORN)
		cdm_free(b->p);
	else if (munmap(b->p, b->words * sizeof(double)))
		wrong(t, b, "munmap: %s", strerror(errno));
	b->p = NULL;
}

/* After a change of size that kept the first `kept` words. */
static void resized(struct thread *t, struct block *b, double *p, size_t words)
{
	size_t kept = words < b->words ? words : b->words;

	b->p = p;
	check_range(t, b, 0, kept < 2000 ? kept : 2000);
	check_range(t, b, kept < 2000 ? 0 : kept - 2000, kept);
	check_range(t, b, kept / 2, kept / 2 + 100 < kept ? kept / 2 + 100 : kept);
	b->words = words;
	if (b->layers) { /* they may reach beyond the end */
		repaint(t, b);
		return;
	}
	paint(b, kept, words);
}

/* Grows or shrinks, moves aside (with or without leaving the old range), or cuts pages off in front. */
static void remap(struct thread *t, struct block *b)
{
	size_t bytes = b->words * sizeof(double), less = PAGE * (1 + below(t, 64)), more = PAGE * (1 + below(t, 256));

	switch (draw(t) % 4) {
	case 0: {
		did(t, b, "mremap");
		size_t to = one_in(t, 2) || bytes < 2 * less ? bytes + more : bytes - less;
		void *p = to > 8 << 20 ? MAP_FAILED : mremap(b->p, bytes, to, MREMAP_MAYMOVE);
		if (p != MAP_FAILED)
			resized(t, b, p, to / sizeof(double));
		break;
	}
	case 1: {
		did(t, b, "mremap-fixed");
		void *to = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (to == MAP_FAILED)
			break;
		void *p = mremap(b->p, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to);
		if (p == to)
			b->p = p;
		else
			wrong(t, b, "mremap: %s", strerror(errno));
		break;
	}
	case 2: {
		did(t, b, "mremap-dontunmap");
		double *p = mremap(b->p, bytes, bytes, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL), *old = b->p;
		if (p == MAP_FAILED)
			break;
		if (old[below(t, b->words)] != 0)
			wrong(t, b, "DONTUNMAP left data behind");
		munmap(old, bytes);
		b->p = p;
		break;
	}
	default:
		if (bytes < 2 * less)
			break;
		did(t, b, "munmap-front");
		settle(b);
		munmap(b->p, less);
		b->p += less / sizeof(double);
		b->words -= less / sizeof(double);
		b->skipped += less / sizeof(double);
	}
	check_some(t, b);
}

static void resize(struct thread *t, struct block *b)
{
	if (b->kind == MAPPED) {
		remap(t, b);
		return;
	}
	if (b->kind == BORN)
		return;
	did(t, b, "realloc");
	size_t words = draw_words(t);
	double *p = realloc(b->p, words * sizeof(double));
	if (!p)
		wrong(t, b, "realloc to %zu: no memory", words * sizeof(double));
	else
		resized(t, b, p, words);
}

/* ---- advice and protection ---- */

/* Whole pages inside the block: *at and *words. False: there are none. */
static bool pages_in(struct thread *t, const struct block *b, size_t *at, size_t *words)
{
	uintptr_t from = ((uintptr_t)b->p + PAGE - 1) & ~(PAGE - 1), to = ((uintptr_t)(b->p + b->words)) & ~(PAGE - 1);

	if (to <= from)
		return false;
	size_t pages = (to - from) / PAGE, first = below(t, pages), n = 1 + below(t, one_in(t, 2) ? 8 : pages - first);
	if (n > pages - first)
		n = pages - first;
	*at = (from - (uintptr_t)b->p) / sizeof(double) + first * PER_PAGE;
	*words = n * PER_PAGE;
	return true;
}

static void advise(struct thread *t, struct block *b)
{
	size_t at, n;

	if (b->words < 1 << 17 || !pages_in(t, b, &at, &n))
		return; /* a block of libc's heap may share its pages */
	switch (draw(t) % 6) {
	case 0:
	case 1:
		did(t, b, "dontneed");
		*layer_add(b) = (struct layer){.what = ZEROS, .at = at, .count = n};
		if (madvise(&b->p[at], n * 8, MADV_DONTNEED))
			wrong(t, b, "MADV_DONTNEED: %s", strerror(errno));
		break;
	case 2:
		did(t, b, "madv-free");
		if (!madvise(&b->p[at], n * 8, MADV_FREE)) {
			*layer_add(b) = (struct layer){.what = RANGE, .at = at, .count = n, .seed = b->seed ^ 1};
			for (size_t i = 0; i < n; i++)
				b->p[at + i] = pattern(b->seed ^ 1, i);
		}
		break;
	case 3:
		did(t, b, "hugepage");
		madvise(&b->p[at], n * 8, one_in(t, 2) ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
		break;
	default: {
		static const int advice[] = {CDM_MADV_DEVICE, CDM_MADV_HOST, CDM_MADV_PIN, CDM_MADV_UNPIN,
					     CDM_MADV_UNPIN};
		did(t, b, "cdm-advice");
		madvise(&b->p[at], n * 8, advice[below(t, 5)]);
		if (cdm_prefetch && one_in(t, 2))
			cdm_prefetch(&b->p[at], n * 8, one_in(t, 2) ? CDM_TO_DEVICE : CDM_TO_HOST);
	}
	}
	check_some(t, b);
}

static void compute_with(struct thread *t, struct block *a);

static void protect(struct thread *t, struct block *b)
{
	size_t at, n;

	if (b->words < 1 << 17 || !pages_in(t, b, &at, &n))
		return;
	bool none = one_in(t, 2);
	did(t, b, none ? "protect-none" : "protect-read");
	if (mprotect(&b->p[at], n * 8, none ? PROT_NONE : PROT_READ)) {
		wrong(t, b, "mprotect: %s", strerror(errno));
		return;
	}
	if (!none)
		check_range(t, b, at, at + n < at + 600 ? at + n : at + 600);
	if (!none && !b->layers)
		compute_with(t, b); /* as an input only */
	if (mprotect(&b->p[at], n * 8, PROT_READ | PROT_WRITE))
		wrong(t, b, "mprotect back: %s", strerror(errno));
	did(t, b, "protect-back");
	check_some(t, b);
	write_some(t, b);
}

/* ---- I/O ---- */

static bool all(struct thread *t, const struct block *b, const char *what, ssize_t got, size_t want)
{
	if (got == (ssize_t)want)
		return true;
	wrong(t, b, "%s: %zd of %zu bytes, %s", what, got, want, got < 0 ? strerror(errno) : "short");
	return false;
}

/* Words of the pattern file come in at `at`. */
static void io_read(struct thread *t, struct block *b, size_t at, size_t n)
{
	size_t off = below(t, FILE_WORDS - n);
	struct iovec v[3] = {
		{&b->p[at], n / 3 * 8}, {&b->p[at + n / 3], n / 3 * 8}, {&b->p[at + n / 3 * 2], (n - n / 3 * 2) * 8}};
	struct layer *l = layer_add(b);
	ssize_t got;

	*l = (struct layer){.what = RANGE, .at = at, .count = n, .seed = FILE_SEED, .shift = off};
	if (one_in(t, 3)) {
		did(t, b, "preadv");
		got = preadv(file_fd, v, 3, (off_t)off * 8);
	} else {
		did(t, b, "pread");
		got = pread(file_fd, &b->p[at], n * 8, (off_t)off * 8);
	}
	all(t, b, "pread", got, n * 8);
}

/* Whole pages of the pattern file, past the page cache. */
static void io_direct(struct thread *t, struct block *b)
{
	size_t at, n;

	if (direct_fd < 0 || !pages_in(t, b, &at, &n))
		return;
	n = n < FILE_WORDS / 4 ? n : FILE_WORDS / 4;
	size_t off = below(t, (FILE_WORDS - n) / PER_PAGE) * PER_PAGE;
	struct layer *l = layer_add(b);
	*l = (struct layer){.what = RANGE, .at = at, .count = n, .seed = FILE_SEED, .shift = off};
	did(t, b, "pread-direct");
	all(t, b, "pread, O_DIRECT", pread(direct_fd, &b->p[at], n * 8, (off_t)off * 8), n * 8);
}

/* Words [at, at + n) go out, to a small buffer that is compared. */
static void io_write(struct thread *t, struct block *b, int out, int in, const char *what, size_t at, size_t n)
{
	double back[1024];

	n = n < 1024 ? n : 1024;
	did(t, b, what);
	if (!all(t, b, what, write(out, &b->p[at], n * 8), n * 8) || !all(t, b, what, read(in, back, n * 8), n * 8))
		return;
	for (size_t i = 0; i < n; i++)
		if (back[i] != expected(b, at + i)) {
			wrong(t, b, "%s took %g from element %zu, not %g", what, back[i], at + i, expected(b, at + i));
			return;
		}
}

/* A pattern comes in through a pipe or as one datagram. */
static void io_receive(struct thread *t, struct block *b, int out, int in, const char *what, size_t at, size_t n)
{
	double small[1024];
	struct layer *l = layer_add(b);

	n = n < 1024 ? n : 1024;
	*l = (struct layer){.what = RANGE, .at = at, .count = n, .seed = draw(t)};
	for (size_t i = 0; i < n; i++)
		small[i] = pattern(l->seed, i);
	did(t, b, what);
	if (all(t, b, what, write(out, small, n * 8), n * 8))
		all(t, b, what, read(in, &b->p[at], n * 8), n * 8);
}

/* Out of the block into an unlinked file of its own and back to another place. */
static void io_file(struct thread *t, struct block *b, size_t at, size_t n)
{
	char path[] = "soak.XXXXXX";
	double back[256];
	int fd = mkstemp(path);

	if (fd < 0)
		return;
	unlink(path);
	did(t, b, "pwrite");
	if (all(t, b, "pwrite", pwrite(fd, &b->p[at], n * 8, 0), n * 8)) {
		size_t m = n < 256 ? n : 256, off = below(t, n - m + 1);
		all(t, b, "pread", pread(fd, back, m * 8, (off_t)off * 8), m * 8);
		for (size_t i = 0; i < m; i++)
			if (back[i] != expected(b, at + off + i)) {
				wrong(t, b, "the file has %g for element %zu, not %g", back[i], at + off + i,
				      expected(b, at + off + i));
				break;
			}
	}
	close(fd);
}

static void io(struct thread *t, struct block *b)
{
	size_t at = below(t, b->words), n = 1 + below(t, one_in(t, 2) ? 1000 : 100000);

	n = n < b->words - at ? n : b->words - at;
	switch (draw(t) % 8) {
	case 0:
		io_write(t, b, t->pipe[1], t->pipe[0], "pipe-write", at, n);
		break;
	case 1:
		io_write(t, b, t->pair[1], t->pair[0], "datagram-send", at, n);
		break;
	case 2:
		io_receive(t, b, t->pipe[1], t->pipe[0], "pipe-read", at, n);
		break;
	case 3:
		io_receive(t, b, t->pair[0], t->pair[1], "datagram-receive", at, n);
		break;
	case 4:
		io_file(t, b, at, n);
		break;
	case 5:
		io_direct(t, b);
		break;
	default:
		io_read(t, b, at, n);
	}
	check_some(t, b);
}

/* ---- compute ---- */

static struct block *other(struct thread *t, const struct block *a)
{
	for (int k = 0; k < 8; k++) {
		struct block *b = &t->block[below(t, SLOTS)];
		if (b != a && b->p)
			return b;
	}
	return NULL;
}

/* The largest n, at most `most`, for which n columns of leading dimension ld(n) = n + pad fit into words. */
static int side(size_t words, int pad, int most)
{
	int n = most;

	while (n > 4 && (size_t)(n + pad) * (size_t)n > words)
		n -= 1 + n / 16;
	return n;
}

/* C = f A S, or C += f A S, where S is the identity with its columns shifted. A has only its base. */
static void gemm(struct thread *t, struct block *a, struct block *c)
{
	int pad_a = (int)below(t, 3) * 37, pad_c = (int)below(t, 3) * 41;
	int k = 32 + (int)below(t, one_in(t, 5) ? 460 : 180);
	size_t words = a->words - a->words % 8;
	int na = side(words, pad_a, k), nc = side(c->words, pad_c, k), n = na < nc ? na : nc;
	int lda = n + pad_a, ldc = n + pad_c, shift = (int)below(t, (size_t)n), factor = 1 + (int)below(t, 3);
	bool add = one_in(t, 2);
	double alpha = factor, beta = add, *s = calloc((size_t)n * (size_t)n, sizeof(double));

	if (!s)
		return;
	if (c->layers >= LAYERS - 1)
		settle(c);
	for (int j = 0; j < n; j++)
		s[(j + shift) % n + (size_t)j * (size_t)n] = 1;
	did(t, a, "gemm-in");
	did(t, c, add ? "gemm-add" : "gemm-out");
	dgemm_(plain, plain, &n, &n, &n, &alpha, a->p, &lda, s, &n, &beta, c->p, &ldc);
	*layer_add(c) = (struct layer){.what = RECT,
				       .count = (size_t)ldc * (size_t)(n - 1) + (size_t)n,
				       .seed = a->seed,
				       .shift = (size_t)shift,
				       .rows = n,
				       .cols = n,
				       .ld = ldc,
				       .from_ld = lda,
				       .factor = factor,
				       .add = add};
	free(s);
	products++;
}

/* The element (i, j) of A A' over k columns. */
static double square(const struct block *a, int k, int lda, int i, int j)
{
	double s = 0;
	for (int l = 0; l < k; l++)
		s += pattern(a->seed, a->skipped + (size_t)i + (size_t)l * (size_t)lda) *
		     pattern(a->seed, a->skipped + (size_t)j + (size_t)l * (size_t)lda);
	return s;
}

/* C's upper triangle = A A'; the other triangle and the padding stay. C is painted anew afterwards. */
static void syrk(struct thread *t, struct block *a, struct block *c)
{
	int pad = 1 + (int)below(t, 60),
	    n = side(a->words < c->words ? a->words : c->words, pad, 40 + (int)below(t, 160));
	int ld = n + pad, k = 1 + (int)below(t, (size_t)n);
	double one = 1, zero = 0;

	did(t, a, "syrk-in");
	did(t, c, "syrk-out");
	dsyrk_(upper, plain, &n, &k, &one, a->p, &ld, &zero, c->p, &ld);
	for (int j = 0; j < n; j++)
		for (int i = one_in(t, 8) ? 0 : j; i < n; i += 1 + (int)below(t, 16)) {
			size_t at = (size_t)i + (size_t)j * (size_t)ld;
			double want = i <= j ? square(a, k, ld, i, j) : expected(c, at), got = c->p[at];
			if (got != want)
				wrong(t, c, "syrk: (%d, %d) of %d is %g, not %g", i, j, n, got, want);
		}
	repaint(t, c);
	products++;
}

/* y = A x with y inside C, at a place that is no page's start. */
static void gemv(struct thread *t, struct block *a, struct block *c)
{
	int pad = (int)below(t, 80), n = side(a->words, pad, 60 + (int)below(t, 300)), ld = n + pad, one_ = 1;
	size_t at = below(t, c->words - (size_t)n);
	double one = 1, zero = 0, *x = malloc((size_t)n * sizeof(double));
	bool trans = one_in(t, 2);

	if (!x)
		return;
	for (int i = 0; i < n; i++)
		x[i] = i % 3 - 1;
	did(t, a, "gemv-in");
	did(t, c, "gemv-out");
	dgemv_(trans ? transposed : plain, &n, &n, &one, a->p, &ld, x, &one_, &zero, &c->p[at], &one_);
	for (int i = 0; i < n; i += 1 + (int)below(t, 8)) {
		double want = 0, got = c->p[at + (size_t)i];
		for (int j = 0; j < n; j++)
			want += x[j] * pattern(a->seed, a->skipped + (size_t)(trans ? j : i) +
								(size_t)(trans ? i : j) * (size_t)ld);
		if (got != want)
			wrong(t, c, "gemv: element %d of %d is %g, not %g", i, n, got, want);
	}
	for (int i = 0; i < n; i++)
		c->p[at + (size_t)i] = expected(c, at + (size_t)i);
	free(x);
	products++;
}

/* The rectangles take their pattern from the start of A's. */
static void compute_with(struct thread *t, struct block *a)
{
	struct block *c = other(t, a);

	if (!c)
		return;
	switch (a->skipped ? 1 + draw(t) % 2 : draw(t) % 5) {
	case 1:
		syrk(t, a, c);
		break;
	case 2:
		gemv(t, a, c);
		break;
	default:
		gemm(t, a, c);
	}
	check_some(t, c);
	if (!t->child && one_in(t, 3))
		check_some(t, a);
}

static void compute(struct thread *t, struct block *a)
{
	settle(a);
	compute_with(t, a);
}

/* ---- memory that all threads share ---- */

/* A matrix of which each thread owns a strip of columns, so that threads' operands share pages; rows from COMMON_N on
 * are counters: each thread's own in its own columns (plain increments), and in the last row everybody's. */
#define COMMON_N 24
#define COMMON_LD 1024
static double *common, *common_in;
static uint64_t own[THREADS][COMMON_LD];
static _Atomic uint64_t shared_adds;

static uint64_t *counter(int n, int row)
{
	return (uint64_t *)(common + (size_t)n * COMMON_N * COMMON_LD + (size_t)(row % COMMON_N) * COMMON_LD) + row;
}
static _Atomic uint64_t *shared_counter(uint32_t i)
{
	return (_Atomic uint64_t *)(common + (size_t)(i % (THREADS * COMMON_N)) * COMMON_LD) + COMMON_LD - 1;
}

static void common_count(struct thread *t)
{
	t->now = "count";
	for (int i = 0; i < 200; i++) {
		int row = COMMON_N + (int)below(t, COMMON_LD - 1 - COMMON_N);
		++*(volatile uint64_t *)counter(t->number, row);
		own[t->number][row]++;
	}
	for (int i = 0; i < 20; i++)
		atomic_fetch_add(shared_counter(draw(t)), 1);
	atomic_fetch_add(&shared_adds, 20);
}

static void common_compute(struct thread *t)
{
	int n = COMMON_N, ld = COMMON_LD;
	double *a = common_in + (size_t)t->number * COMMON_N * COMMON_LD,
	       *c = common + (size_t)t->number * COMMON_N * COMMON_LD;
	double factor = 1 + (double)below(t, 1000), zero = 0, ones[COMMON_N * COMMON_N];

	t->now = "common-gemm";
	for (int i = 0; i < COMMON_N * COMMON_N; i++)
		ones[i] = 1;
	for (int j = 0; j < n; j++)
		for (int i = 0; i < n; i++)
			a[i + j * ld] = i;
	dgemm_(plain, plain, &n, &n, &n, &factor, a, &ld, ones, &n, &zero, c, &ld);
	for (int j = 0; j < n; j++)
		for (int i = 0; i < n; i++)
			if (c[i + j * ld] != factor * i * n)
				wrong(t, NULL, "common: (%d, %d) is %g, not %g", i, j, c[i + j * ld], factor * i * n);
}

static void common_check(void)
{
	struct thread *t = &thread[0];
	uint64_t sum = 0;

	t->now = "common-check";
	for (int n = 0; n < THREADS; n++)
		for (int row = COMMON_N; row < COMMON_LD - 1; row++)
			if (*counter(n, row) != own[n][row])
				wrong(t, NULL, "counter %d of thread %d is %lu, not %lu", row, n,
				      (unsigned long)*counter(n, row), (unsigned long)own[n][row]);
	for (uint32_t i = 0; i < THREADS * COMMON_N; i++)
		sum += *shared_counter(i);
	if (sum != shared_adds)
		wrong(t, NULL, "shared counters: %lu, not %lu", (unsigned long)sum, (unsigned long)shared_adds);
}

/* ---- fork ---- */

static void child_main(struct thread *t)
{
	alarm(STUCK_S);
	t->child = true;
	errors = 0;
	for (int i = 0; i < SLOTS; i++)
		if (t->block[i].p)
			check_some(t, &t->block[i]);
	for (int i = 0; i < 4; i++) {
		struct block *b = &t->block[below(t, SLOTS)];
		if (!b->p)
			continue;
		if (one_in(t, 2))
			write_some(t, b);
		else
			compute(t, b);
		check_some(t, b);
	}
	fflush(stdout);
	_exit(errors ? 1 : 0);
}

/* The child works on its copy while the parent goes on with its own. */
static void fork_one(struct thread *t)
{
	int status = 0;

	t->now = "fork";
	pid_t child = fork();
	if (!child)
		child_main(t);
	if (child < 0)
		return;
	draw(t); /* another sequence than the child's */
	for (int i = 0; i < 3; i++) {
		struct block *b = &t->block[below(t, SLOTS)];
		if (!b->p)
			continue;
		write_some(t, b);
		check_some(t, b);
	}
	t->now = "waitpid";
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (status)
		wrong(t, NULL, "a forked child ended with status %#x", (unsigned)status);
	forks++;
}

/* ---- threads ---- */

static void deed(struct thread *t)
{
	struct block *b = &t->block[below(t, SLOTS)];

	if (!b->p) {
		fresh(t, b);
		return;
	}
	switch (draw(t) % 16) {
	case 0:
	case 1:
		release(t, b);
		break;
	case 2:
		resize(t, b);
		break;
	case 3:
		advise(t, b);
		break;
	case 4:
		protect(t, b);
		break;
	case 5:
	case 6:
	case 7:
		io(t, b);
		break;
	case 8:
		write_some(t, b);
		check_some(t, b);
		break;
	case 9:
		common_count(t);
		common_compute(t);
		break;
	case 10:
		if (one_in(t, 8))
			fork_one(t);
		else
			check_some(t, b);
		break;
	default:
		compute(t, b);
	}
}

static void *worker(void *arg)
{
	struct thread *t = arg;

	while (!stop) {
		while (!round_over) {
			deed(t);
			t->deeds++;
		}
		for (int i = 0; i < SLOTS; i++)
			release(t, &t->block[i]);
		t->now = "rest";
		pthread_barrier_wait(&barrier); /* all is freed */
		pthread_barrier_wait(&barrier); /* it has been measured */
	}
	return NULL;
}

static void nap(int ms)
{
	struct timespec left = {ms / 1000, ms % 1000 * 1000000l};
	while (nanosleep(&left, &left) && errno == EINTR)
		;
}

/* The device goes and comes. After offline nothing is there. */
static void *controller(void *arg)
{
	struct thread *t = arg;

	while (!stop) {
		nap(300 + (int)below(t, 1500));
		if (!cdm_offline)
			continue;
		int e = cdm_offline();
		if (e)
			wrong(t, NULL, "offline: error %d", -e);
		nap((int)below(t, 60));
		e = cdm_online();
		if (e)
			wrong(t, NULL, "online: error %d", -e);
		offlines++;
	}
	return NULL;
}

/* ---- growth ---- */

#define SAMPLES 4096
static long maps_at[SAMPLES], rss_at[SAMPLES];
static int samples;

static long maps_lines(void)
{
	int fd = open("/proc/self/maps", O_RDONLY), c = 0;
	char buffer[16384];
	long lines = 0;

	for (ssize_t n; (n = read(fd, buffer, sizeof(buffer))) > 0;)
		for (c = 0; c < n; c++)
			lines += buffer[c] == '\n';
	close(fd);
	return lines;
}

static long rss(void)
{
	char line[128];
	long size = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (f && fgets(line, sizeof(line), f))
		sscanf(line, "%ld %ld", &size, &resident);
	if (f)
		fclose(f);
	return resident * (long)PAGE;
}

static void sample(void)
{
	if (samples == SAMPLES) { /* an hour and more: every second one is enough */
		for (int i = 0; i < SAMPLES / 2; i++)
			maps_at[i] = maps_at[2 * i], rss_at[i] = rss_at[2 * i];
		samples = SAMPLES / 2;
	}
	malloc_trim(0); /* what libc keeps for itself is not ours to judge */
	maps_at[samples] = maps_lines();
	rss_at[samples++] = rss();
}

static int compare(const void *a, const void *b)
{
	long x = *(const long *)a, y = *(const long *)b;
	return (x > y) - (x < y);
}

static long median(const long *v, int from, int to)
{
	long copy[SAMPLES];

	memcpy(copy, v + from, (size_t)(to - from) * sizeof(long));
	qsort(copy, (size_t)(to - from), sizeof(long), compare);
	return copy[(to - from) / 2];
}

static void growth_check(struct thread *t)
{
	int warm = WARM_UP_MS / ROUND_MS, n = samples - warm, third = n / 3;

	t->now = "growth";
	if (n < 6)
		return;
	long maps0 = median(maps_at, warm, warm + third), maps1 = median(maps_at, samples - third, samples);
	long rss0 = median(rss_at, warm, warm + third), rss1 = median(rss_at, samples - third, samples);
	printf("soak: %d rounds; mappings %ld at first, %ld at last; memory %ld MiB at first, %ld MiB at last\n",
	       samples, maps0, maps1, rss0 >> 20, rss1 >> 20);
	if (maps1 > maps0 + MAPS_SLACK)
		wrong(t, NULL, "mappings grew from %ld to %ld", maps0, maps1);
	if (rss1 > rss0 + RSS_SLACK)
		wrong(t, NULL, "memory grew from %ld to %ld MiB", rss0 >> 20, rss1 >> 20);
}

/* What is kept for reuse goes back to the kernel in the end. */
static void idle_check(struct thread *t, long maps0, long rss0)
{
	t->now = "idle";
	printf("soak: at rest\n"); /* the next one may start */
	fflush(stdout);
	nap(IDLE_S * 1000);
	for (int i = 0; i < 100; i++) { /* each gives some back of what is overdue */
		void *volatile p = malloc(3 << 20);
		free(p);
	}
	malloc_trim(0);
	long maps1 = maps_lines(), rss1 = rss();
	printf("soak: mappings %ld at the start, %ld in the end; memory %ld MiB, %ld MiB\n", maps0, maps1, rss0 >> 20,
	       rss1 >> 20);
	if (maps1 > maps0 + MAPS_LEFT)
		wrong(t, NULL, "%ld mappings are left, %ld at the start", maps1, maps0);
	if (rss1 > rss0 + RSS_LEFT)
		wrong(t, NULL, "%ld MiB are left, %ld at the start", rss1 >> 20, rss0 >> 20);
}

/* ---- main ---- */

static void stuck(void)
{
	printf("ERROR: a thread does not go on; threads are in:");
	for (int i = 0; i < THREADS; i++)
		printf(" %s", thread[i].now);
	printf("\n");
	fflush(stdout);
	_exit(3);
}

/* Waits until the round is over and everybody rests. Deeds are watched. */
static void round_run(int ms)
{
	static long seen[THREADS];
	static int still[THREADS];

	for (; ms > 0; ms -= 500) {
		nap(ms < 500 ? ms : 500);
		for (int i = 0; i < THREADS; i++) {
			still[i] = thread[i].deeds == seen[i] ? still[i] + 1 : 0;
			seen[i] = thread[i].deeds;
			if (still[i] * 500 > STUCK_S * 1000)
				stuck();
		}
	}
	round_over = 1;
}

static void on_alarm(int sig)
{
	(void)sig;
	stuck();
}

static void rounds_run(int seconds)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	for (time_t end = now.tv_sec + seconds; now.tv_sec < end && errors < ERRORS_SHOWN;
	     clock_gettime(CLOCK_MONOTONIC, &now)) {
		round_run(ROUND_MS);
		alarm(STUCK_S);
		pthread_barrier_wait(&barrier);
		alarm(0);
		sample();
		common_check();
		clock_gettime(CLOCK_MONOTONIC, &now);
		stop = now.tv_sec >= end || errors >= ERRORS_SHOWN;
		round_over = 0;
		pthread_barrier_wait(&barrier);
	}
}

static int pattern_file(void)
{
	int fd = mkstemp(scratch_path);
	double *w = malloc(FILE_WORDS * sizeof(double));

	for (size_t i = 0; i < FILE_WORDS; i++)
		w[i] = pattern(FILE_SEED, i);
	bool ok = fd >= 0 && write(fd, w, FILE_WORDS * sizeof(double)) == (ssize_t)(FILE_WORDS * sizeof(double)) &&
		  !fsync(fd);
	free(w);
	direct_fd = ok ? open(scratch_path, O_RDONLY | O_DIRECT) : -1;
	unlink(scratch_path);
	return ok ? fd : -1;
}

static void thread_init(struct thread *t, int number, uint64_t seed)
{
	t->number = number;
	t->random = seed * 0x9e3779b97f4a7c15u + (uint64_t)number * 0xbf58476d1ce4e5b9u;
	t->now = "start";
	if (pipe(t->pipe) || socketpair(AF_UNIX, SOCK_DGRAM, 0, t->pair)) {
		perror("soak");
		exit(2);
	}
}

static void counters_show(void)
{
	struct cdm_counters k;

	if (!getenv("SOAK_DEVICE"))
		return;
	if (!cdm_counters || cdm_counters(&k, sizeof(k))) {
		wrong(&thread[0], NULL, "libcdm is not there");
		return;
	}
	printf("soak: %lu calls, %lu offloaded, %lu MiB out, %lu MiB home, %lu MiB staged, %lu host faults, %lu "
	       "evictions, %lu thrash, peak %lu of %lu MiB\n",
	       k.calls, k.offloaded, k.to_device >> 20, k.to_host >> 20, k.staged >> 20, k.host_faults, k.evictions,
	       k.thrash, k.device_peak >> 20, k.device_capacity >> 20);
	if (k.device_peak > k.device_capacity)
		wrong(&thread[0], NULL, "more on the device than it has");
	/* A run without work for the device proves nothing. */
	if (!k.offloaded || !k.to_device || !k.to_host || !k.evictions)
		wrong(&thread[0], NULL, "nothing was offloaded, moved or evicted");
}

int main(int argc, char **argv)
{
	int seconds = argc > 1 ? atoi(argv[1]) : 30;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL) * 1000003 + (uint64_t)getpid();
	size_t common_words = (size_t)THREADS * COMMON_N * COMMON_LD;
	static struct thread control;
	long deeds = 0;

	printf("soak: seed %lu, %d s\n", (unsigned long)seed, seconds);
	fflush(stdout);
	signal(SIGALRM, on_alarm);
	file_fd = pattern_file();
	device_fd = open("/dev/cdm0", O_RDWR);
	common = calloc(common_words, sizeof(double));
	common_in = calloc(common_words, sizeof(double));
	long maps0 = maps_lines(), rss0 = rss();
	if (file_fd < 0 || !common || !common_in)
		return 2;
	pthread_barrier_init(&barrier, NULL, THREADS + 1);
	thread_init(&control, THREADS, seed);
	for (int i = 0; i < THREADS; i++) {
		thread_init(&thread[i], i, seed);
		pthread_create(&thread[i].id, NULL, worker, &thread[i]);
	}
	pthread_create(&control.id, NULL, controller, &control);
	rounds_run(seconds);
	stop = 1;
	for (int i = 0; i < THREADS; i++) {
		pthread_join(thread[i].id, NULL);
		deeds += thread[i].deeds;
	}
	pthread_join(control.id, NULL);
	growth_check(&control);
	idle_check(&control, maps0, rss0);
	counters_show();
	printf("soak: seed %lu, %ld deeds, %ld products, %ld forks, %ld times offline, %ld errors\n",
	       (unsigned long)seed, deeds, (long)products, (long)forks, (long)offlines, (long)errors);
	return errors != 0;
}

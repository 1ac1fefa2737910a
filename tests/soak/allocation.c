/* Allocation: blocks come, go, and change their size and their place. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/soak/soak.h"

static int device_fd; /* -1: none */

void device_open(void)
{
	device_fd = open("/dev/cdm0", O_RDWR);
}

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

void allocate(struct thread *t, struct block *b)
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

void release(struct thread *t, struct block *b)
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

void resize(struct thread *t, struct block *b)
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

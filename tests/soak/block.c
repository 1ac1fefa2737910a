/* Blocks: what they should hold, errors, checks and writing. */
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#include "tests/soak/soak.h"

_Atomic long errors;

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

double expected(const struct block *b, size_t i)
{
	return expected_under(b, i, b->layers);
}

bool pages_in(struct thread *t, const struct block *b, size_t *at, size_t *words)
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

/* ---- errors and checks ---- */

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

void wrong(struct thread *t, const struct block *b, const char *what, ...)
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

void did(struct thread *t, struct block *b, const char *what)
{
	b->deed[b->deeds++ % MEMORY] = what;
	t->now = what;
}

void check_range(struct thread *t, const struct block *b, size_t from, size_t to)
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

void check_some(struct thread *t, const struct block *b)
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

void paint(struct block *b, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		b->p[i] = pattern(b->seed, i + b->skipped);
}

void repaint(struct thread *t, struct block *b)
{
	b->seed = draw(t);
	b->layers = 0;
	paint(b, 0, b->words);
}

void settle(struct block *b)
{
	for (; b->layers > 0; b->layers--) {
		const struct layer *l = &b->layer[b->layers - 1];
		paint(b, l->at, l->at + l->count);
	}
}

struct layer *layer_add(struct block *b)
{
	if (b->layers == LAYERS)
		settle(b);
	struct layer *l = &b->layer[b->layers++];
	*l = (struct layer){0};
	return l;
}

void write_some(struct thread *t, struct block *b)
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

/* The table for people. */
#include <limits.h>
#include <string.h>

#include "tools/bench/faults.h"

static const char *pages_word(enum pages p)
{
	return p == PAGES_HUGE ? "huge" : "4K";
}

/* The row under other circumstances, or NULL. */
static const struct row *same_but(const struct bench *b, const struct cell *c, int threads, enum condition condition)
{
	for (size_t i = 0; i < b->rows; i++) {
		const struct cell *o = &b->row[i].cell;
		if (o->mech == c->mech && o->bytes == c->bytes && o->pages == c->pages && o->threads == threads &&
		    o->condition == condition)
			return &b->row[i];
	}
	return NULL;
}

static void put_ratio(FILE *f, uint64_t ns, uint64_t yardstick)
{
	double ratio = yardstick ? (double)ns / (double)yardstick : 0;

	if (ns && yardstick)
		fprintf(f, " %8.*f", ratio < 10 ? 2 : ratio < 100 ? 1 : 0, ratio);
	else
		fprintf(f, " %8s", "-");
}

static void put_gbps(FILE *f, double gbps)
{
	if (gbps <= 0) {
		fprintf(f, " %8s", "-");
		return;
	}
	fprintf(f, " %8.*f", gbps < 10 ? 2 : gbps < 100 ? 1 : 0, gbps);
}

static void put_name(FILE *f, const struct cell *c)
{
	char size[16];

	fprintf(f, "%-21s %7s %4s", c->mech->key, bench_size(c->bytes, size), pages_word(c->pages));
}

static void put_latency(FILE *f, const struct result *r)
{
	if (r->ns.samples)
		fprintf(f, " %8lu %8lu %8lu", (unsigned long)r->ns.p10, (unsigned long)r->ns.p50,
			(unsigned long)r->ns.p90);
	else
		fprintf(f, " %8s %8s %8s", "-", "-", "-");
}

static void put_figures(FILE *f, const struct bench *b, const struct row *row)
{
	const struct result *r = &row->result;

	put_latency(f, r);
	put_gbps(f, r->gbps);
	put_ratio(f, r->ns.p50, bench_yardstick(b, &row->cell, &mech_memcpy));
	put_ratio(f, r->ns.p50, bench_yardstick(b, &row->cell, &mech_minor));
	if (r->mappings == INT_MIN)
		fprintf(f, " %4s", "-");
	else
		fprintf(f, " %4d", r->mappings);
}

/* Share of the operations that were refused. */
static void put_refused(FILE *f, const struct result *r)
{
	uint64_t refused = bench_refused(r), all = refused + r->ns.samples;

	if (refused)
		fprintf(f, " %6.1f%%", 100.0 * (double)refused / (double)all);
	else
		fprintf(f, " %7s", "0");
}

/* Of a row beside others; "-": not planned, or all was refused. */
static bool put_median(FILE *f, const struct row *row)
{
	bool failed = row && !row->result.measured;

	if (row && row->result.ns.samples)
		fprintf(f, " | %8lu", (unsigned long)row->result.ns.p50);
	else
		fprintf(f, " | %8s", failed ? "failed" : "-");
	return row && !failed;
}

/* Median and refusals under a condition. */
static void put_condition(FILE *f, const struct row *row)
{
	if (put_median(f, row))
		put_refused(f, &row->result);
	else
		fprintf(f, " %7s", "-");
}

static void put_threads(FILE *f, const struct row *row)
{
	put_gbps(f, put_median(f, row) ? row->result.gbps : 0);
}

/* One line for each mechanism, size and kind of page. */
static void short_line(FILE *f, const struct bench *b, const struct row *row)
{
	const struct cell *c = &row->cell;

	put_name(f, c);
	if (row->result.measured) {
		put_figures(f, b, row);
		if (b->threads > 1)
			put_threads(f, same_but(b, c, b->threads, QUIET));
		for (int i = FORKING; i < CONDITIONS; i++)
			if (b->condition[i].measured)
				put_condition(f, same_but(b, c, 1, (enum condition)i));
	} else {
		fprintf(f, "  %s", row->result.why);
	}
	fputc('\n', f);
}

static void short_head(FILE *f, const struct bench *b)
{
	char title[32];

	(void)snprintf(title, sizeof(title), "%d threads", b->threads);
	fprintf(f, "%-21s %7s %4s %26s %8s %8s %8s %4s", "one thread, quiet", "", "", "ns", "", "x memcpy", "x minor",
		"maps");
	if (b->threads > 1)
		fprintf(f, " | %-17s", title);
	for (int i = FORKING; i < CONDITIONS; i++)
		if (b->condition[i].measured)
			fprintf(f, " | %-16s", condition_name((enum condition)i));
	fprintf(f, "\n%-21s %7s %4s %8s %8s %8s %8s %8s %8s %4s", "mechanism", "window", "page", "p10", "median", "p90",
		"GB/s", "", "fault", "+");
	if (b->threads > 1)
		fprintf(f, " | %8s %8s", "median", "GB/s");
	for (int i = FORKING; i < CONDITIONS; i++)
		if (b->condition[i].measured)
			fprintf(f, " | %8s %7s", "median", "refused");
	fputc('\n', f);
}

/* One line for each row. */
static void long_line(FILE *f, const struct bench *b, const struct row *row)
{
	const struct result *r = &row->result;

	put_name(f, &row->cell);
	fprintf(f, " %7d %-10s", row->cell.threads, condition_name(row->cell.condition));
	if (r->measured) {
		put_figures(f, b, row);
		for (int i = 0; i < REFUSALS; i++)
			fprintf(f, " %6lu", (unsigned long)r->refused[i]);
		fprintf(f, " %6lu %6lu\n", (unsigned long)r->events, (unsigned long)r->ns.samples);
	} else {
		fprintf(f, "  %s\n", r->why);
	}
}

static void long_head(FILE *f)
{
	fprintf(f, "%-21s %7s %4s %7s %-10s %8s %8s %8s %8s %8s %8s %4s %6s %6s %6s %6s %6s\n", "mechanism", "window",
		"page", "threads", "condition", "p10 ns", "median", "p90", "GB/s", "x memcpy", "x minor", "maps",
		"EBUSY", "EAGAIN", "other", "events", "n");
}

/* In the order of the table of mechanisms, each with its sizes. */
static void lines_of(FILE *f, const struct bench *b, const struct mech *m)
{
	for (size_t i = 0; i < b->rows; i++) {
		const struct row *row = &b->row[i];
		if (row->cell.mech != m)
			continue;
		if (!row->cell.bytes)
			fprintf(f, "%-21s %7s %4s  %s\n", m->key, "-", "-", row->result.why);
		else if (b->all)
			long_line(f, b, row);
		else if (row->cell.threads == 1 && row->cell.condition == QUIET)
			short_line(f, b, row);
	}
}

void table_print(FILE *f, const struct bench *b)
{
	machine_print(f, &b->machine);
	fprintf(f, "times of one operation on a window, its handler included; %zu rows in %.1f s\n\n", b->rows,
		(double)b->took_ns * 1e-9);
	if (b->all)
		long_head(f);
	else
		short_head(f, b);
	for (int i = 0; mech_table[i]; i++)
		lines_of(f, b, mech_table[i]);
	for (int i = FORKING; i < CONDITIONS; i++)
		if (!b->condition[i].measured)
			fprintf(f, "not measured %s: %s\n", condition_name((enum condition)i), b->condition[i].why);
}

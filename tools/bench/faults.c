#include "tools/bench/faults.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "offload/base/stats.h"

#define QUICK_NS 2700000000u
#define DEFAULT_NS 33000000000u
#define SLICE_LEAST 1000000u
#define SLICE_MOST 150000000u
#define THREADS_MOST 1024

/* ---- options ---- */

static bool bad(const char *what, const char *value, const char *accepted)
{
	fprintf(stderr, "cdm: bench faults: %s%s%s%s%s\n", what, value ? " '" : "", value ? value : "",
		value ? "'" : "", accepted);
	return false;
}

static bool known(const char *names)
{
	size_t len = strcspn(names, ",");

	for (int i = 0; mech_table[i]; i++)
		if (strlen(mech_table[i]->key) == len && !strncmp(names, mech_table[i]->key, len))
			return !names[len] || known(names + len + 1);
	return false;
}

static bool refuse_only(const char *names)
{
	fprintf(stderr, "cdm: bench faults: --only takes names with commas between them, not '%s'; there are", names);
	for (int i = 0; mech_table[i]; i++)
		fprintf(stderr, "%s %s", i ? "," : "", mech_table[i]->key);
	fprintf(stderr, "\n");
	return false;
}

static bool read_threads(struct bench *b, const char *value)
{
	char *end;
	long n = strtol(value, &end, 10);

	if (*value < '0' || *value > '9' || *end || n < 1 || n > THREADS_MOST)
		return bad("--threads takes a number from 1 to 1024, not", value, "");
	b->threads = (int)n;
	return true;
}

/* What can be known before it has taken its time. Nothing is created: a benchmark that is killed leaves no file. */
static bool writable(const char *path)
{
	char dir[4096] = ".";
	const char *slash = strrchr(path, '/');
	struct stat st;

	if (!stat(path, &st))
		return !S_ISDIR(st.st_mode) && !access(path, W_OK);
	if (slash)
		(void)snprintf(dir, sizeof(dir), "%.*s", slash == path ? 1 : (int)(slash - path), path);
	return *path && !access(dir, W_OK | X_OK);
}

static bool read_json(struct bench *b, const char *path)
{
	b->json = path;
	return writable(path) || bad("cannot write", path, "");
}

static bool read_value(struct bench *b, const char *name, const char *value)
{
	if (!value)
		return bad(name, NULL, " needs a value");
	if (!strcmp(name, "--threads"))
		return read_threads(b, value);
	if (!strcmp(name, "--json"))
		return read_json(b, value);
	b->only = value;
	return known(value) || refuse_only(value);
}

static bool read_options(struct bench *b, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *name = argv[i];
		if (!strcmp(name, "--quick"))
			b->quick = true;
		else if (!strcmp(name, "--all"))
			b->all = true;
		else if (!strcmp(name, "--spoil"))
			b->spoil = true;
		else if (strcmp(name, "--threads") && strcmp(name, "--json") && strcmp(name, "--only"))
			return bad("unexpected argument", name, " (see cdm --help)");
		else if (!read_value(b, name, i + 1 < argc ? argv[i + 1] : NULL))
			return false;
		else
			i++;
	}
	return true;
}

/* ---- measuring ---- */

static void progress(const struct bench *b, const struct row *row)
{
	const struct cell *c = &row->cell;
	char size[16];

	if (!isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\r\033[K%zu/%zu %s %s %s, %d thread%s, %s", (size_t)(row - b->row) + 1, b->rows, c->mech->key,
		bench_size(c->bytes, size), c->pages == PAGES_HUGE ? "huge" : "4K", c->threads,
		c->threads > 1 ? "s" : "", condition_name(c->condition));
}

/* What is left of the time, less what it takes to start and end the processes, in equal parts. */
static uint64_t slice(const struct bench *b, size_t done, size_t left, uint64_t outside)
{
	uint64_t all = b->quick ? QUICK_NS : DEFAULT_NS, gone = cdm_now_ns() - b->begun_ns;
	uint64_t each = gone < all ? (all - gone) / left : 0, cost = done ? outside / done : 0;

	each = each > cost ? each - cost : 0;
	return each < SLICE_LEAST ? SLICE_LEAST : each < SLICE_MOST ? each : SLICE_MOST;
}

/* Rows that bring a time of their own with them are not paid from the others'. */
static void measure_row(struct bench *b, struct row *row, size_t done, size_t left, uint64_t *outside)
{
	bool own = row->cell.slice_ns;
	uint64_t begun = cdm_now_ns();

	progress(b, row);
	if (!own)
		row->cell.slice_ns = slice(b, done, left, *outside);
	cell_measure(&row->cell, &b->machine, &row->result);
	uint64_t took = cdm_now_ns() - begun;
	if (!own && took > row->cell.slice_ns)
		*outside += took - row->cell.slice_ns;
}

static void measure(struct bench *b)
{
	size_t left = 0, done = 0;
	uint64_t outside = 0;

	for (size_t i = 0; i < b->rows; i++)
		left += b->row[i].cell.bytes > 0;
	for (size_t i = 0; i < b->rows; i++)
		if (b->row[i].cell.bytes)
			measure_row(b, &b->row[i], done++, left--, &outside);
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K");
}

/* ---- what came of it ---- */

uint64_t bench_yardstick(const struct bench *b, const struct cell *c, const struct mech *m)
{
	for (size_t i = 0; i < b->rows; i++) {
		const struct cell *o = &b->row[i].cell;
		if (o->mech == m && o->bytes == c->bytes && o->pages == c->pages && o->threads == c->threads &&
		    o->condition == c->condition)
			return b->row[i].result.ns.p50;
	}
	return 0;
}

uint64_t bench_refused(const struct result *r)
{
	uint64_t sum = 0;

	for (int i = 0; i < REFUSALS; i++)
		sum += r->refused[i];
	return sum;
}

const char *bench_size(size_t bytes, char text[16])
{
	bool mib = bytes >= (size_t)1 << 20;

	(void)snprintf(text, 16, "%u %s", (unsigned)(bytes >> (mib ? 20 : 10)) & 0xffff, mib ? "MiB" : "KiB");
	return text;
}

static void complain(const struct row *row, const char *text)
{
	char size[16];

	fprintf(stderr, "cdm: bench faults: %s, %s of %s pages, %d thread%s, %s: %s\n", row->cell.mech->key,
		bench_size(row->cell.bytes, size), row->cell.pages == PAGES_HUGE ? "huge" : "4 KiB", row->cell.threads,
		row->cell.threads > 1 ? "s" : "", condition_name(row->cell.condition), text);
}

/* The exit status: 1 when data was wrong or a measurement broke down. */
static int verdict(const struct bench *b)
{
	char text[128];
	int status = 0;

	for (size_t i = 0; i < b->rows; i++) {
		const struct result *r = &b->row[i].result;
		if (r->wrong) {
			(void)snprintf(text, sizeof(text), "%lu windows with wrong data, the first at byte %lu",
				       (unsigned long)r->wrong, (unsigned long)r->wrong_at);
			complain(&b->row[i], text);
		}
		if (r->crashed)
			complain(&b->row[i], r->why);
		status |= r->wrong || r->crashed;
	}
	return status;
}

int bench_faults(int argc, char **argv)
{
	struct bench b = {0};

	if (!read_options(&b, argc, argv))
		return 2;
	machine_read(&b.machine);
	if (!b.threads)
		b.threads = b.machine.cpus_allowed < THREADS_MOST ? b.machine.cpus_allowed : THREADS_MOST;
	if (!plan_make(&b)) {
		fprintf(stderr, "cdm: bench faults: no memory\n");
		return 1;
	}
	b.begun_ns = cdm_now_ns();
	measure(&b);
	b.took_ns = cdm_now_ns() - b.begun_ns;
	table_print(stdout, &b);
	int status = verdict(&b), error = b.json ? json_write(&b) : 0;
	if (error)
		fprintf(stderr, "cdm: bench faults: cannot write '%s': %s\n", b.json, strerror(-error));
	free(b.row);
	return fflush(stdout) || error ? 1 : status;
}

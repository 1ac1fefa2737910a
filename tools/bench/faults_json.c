/* The result for programs. Keys are a contract: add, never rename or drop. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "offload/base/json.h"
#include "offload/base/version.h"
#include "tools/bench/faults.h"

#define ROOM_FIXED ((size_t)64 << 10)
#define ROOM_ROW ((size_t)2048)

static void comma(struct cdm_text *t)
{
	cdm_textf(t, ",");
}

static void put_bool(struct cdm_text *t, const char *key, bool v)
{
	cdm_textf(t, "\"%s\":%s,", key, v ? "true" : "false");
}

static void put_count(struct cdm_text *t, const char *key, uint64_t v)
{
	cdm_json_count(t, key, v);
	comma(t);
}

/* A number that a row without samples does not have. */
static void put_sampled(struct cdm_text *t, const char *key, const struct result *r, double v)
{
	if (r->ns.samples && v > 0)
		cdm_json_number(t, key, v);
	else
		cdm_json_number(t, key, NAN);
	comma(t);
}

static void put_times(struct cdm_text *t, const struct result *r)
{
	const struct {
		const char *key;
		uint64_t ns;
	} times[] = {{"min_ns", r->ns.min}, {"p10_ns", r->ns.p10}, {"p50_ns", r->ns.p50}, {"p90_ns", r->ns.p90}};

	for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++)
		if (r->ns.samples)
			put_count(t, times[i].key, times[i].ns);
		else
			cdm_textf(t, "\"%s\":null,", times[i].key);
}

static double ratio(uint64_t ns, uint64_t yardstick)
{
	return yardstick ? (double)ns / (double)yardstick : NAN;
}

/* The key by which a row is found again in another machine's result. */
static void put_id(struct cdm_text *t, const struct cell *c)
{
	if (c->bytes)
		cdm_textf(t, "\"id\":\"%s/%zuK/%s/%d/%s\",", c->mech->key, c->bytes >> 10,
			  c->pages == PAGES_HUGE ? "huge" : "small", c->threads, condition_name(c->condition));
	else
		cdm_textf(t, "\"id\":\"%s\",", c->mech->key);
}

static void put_circumstances(struct cdm_text *t, const struct cell *c)
{
	put_id(t, c);
	cdm_json_string(t, "mechanism", c->mech->key);
	comma(t);
	put_count(t, "bytes", c->bytes);
	cdm_json_string(t, "pages", !c->bytes ? NULL : c->pages == PAGES_HUGE ? "huge" : "small");
	comma(t);
	put_count(t, "threads", (uint64_t)c->threads);
	cdm_json_string(t, "condition", c->bytes ? condition_name(c->condition) : NULL);
	comma(t);
}

static void put_row(struct cdm_text *t, const struct bench *b, const struct row *row)
{
	const struct result *r = &row->result;

	cdm_textf(t, "{");
	put_circumstances(t, &row->cell);
	put_bool(t, "measured", r->measured);
	cdm_json_string(t, "why", r->measured ? NULL : r->why);
	comma(t);
	put_count(t, "samples", r->ns.samples);
	put_times(t, r);
	put_sampled(t, "gbps", r, r->gbps);
	put_sampled(t, "per_memcpy", r, ratio(r->ns.p50, bench_yardstick(b, &row->cell, &mech_memcpy)));
	put_sampled(t, "per_minor_fault", r, ratio(r->ns.p50, bench_yardstick(b, &row->cell, &mech_minor)));
	put_count(t, "refused", bench_refused(r));
	put_count(t, "ebusy", r->refused[REFUSED_BUSY]);
	put_count(t, "eagain", r->refused[REFUSED_AGAIN]);
	put_count(t, "retries", r->again);
	if (!r->measured || r->mappings == INT_MIN)
		cdm_textf(t, "\"mappings_added\":null,");
	else
		cdm_textf(t, "\"mappings_added\":%d,", r->mappings);
	put_count(t, "events", r->events);
	put_count(t, "events_refused", r->events_none);
	cdm_json_count(t, "wrong", r->wrong);
	cdm_textf(t, "}");
}

/* NULL: the machine has it. */
static const char *why_missing(const struct bench *b, const struct mech *m)
{
	for (size_t i = 0; i < b->rows; i++)
		if (b->row[i].cell.mech == m && !b->row[i].cell.bytes)
			return b->row[i].result.why;
	return NULL;
}

static void put_mechanisms(struct cdm_text *t, const struct bench *b)
{
	cdm_textf(t, "\"mechanisms\":[");
	for (int i = 0; mech_table[i]; i++) {
		const char *why = why_missing(b, mech_table[i]);
		cdm_textf(t, i ? ",\n{" : "\n{");
		cdm_json_string(t, "name", mech_table[i]->key);
		comma(t);
		cdm_json_string(t, "what", mech_table[i]->what);
		comma(t);
		put_bool(t, "available", !why);
		cdm_json_string(t, "why", why);
		cdm_textf(t, "}");
	}
	cdm_textf(t, "],\n");
}

static void put_conditions(struct cdm_text *t, const struct bench *b)
{
	cdm_textf(t, "\"conditions\":[");
	for (int i = 0; i < CONDITIONS; i++) {
		cdm_textf(t, i ? ",{" : "{");
		cdm_json_string(t, "name", condition_name((enum condition)i));
		comma(t);
		put_bool(t, "measured", b->condition[i].measured);
		cdm_json_string(t, "why", b->condition[i].measured ? NULL : b->condition[i].why);
		cdm_textf(t, "}");
	}
	cdm_textf(t, "],\n");
}

static void put_all(struct cdm_text *t, const struct bench *b)
{
	cdm_textf(t, "{\"version\":1,\"benchmark\":\"faults\",\"cdm\":\"%s\",", CDM_VERSION);
	put_bool(t, "quick", b->quick);
	put_count(t, "threads", (uint64_t)b->threads);
	cdm_json_number(t, "wall_s", (double)b->took_ns * 1e-9);
	cdm_textf(t, ",\n\"machine\":");
	machine_json(t, &b->machine);
	cdm_textf(t, ",\n");
	put_conditions(t, b);
	put_mechanisms(t, b);
	cdm_textf(t, "\"rows\":[");
	for (size_t i = 0; i < b->rows; i++) {
		cdm_textf(t, i ? ",\n" : "\n");
		put_row(t, b, &b->row[i]);
	}
	cdm_textf(t, "]}\n");
}

static int write_all(const char *path, const char *s, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666), error = 0;

	if (fd < 0)
		return -errno;
	while (n && !error) {
		ssize_t went = write(fd, s, n);
		error = went < 0 && errno != EINTR ? -errno : 0;
		s += went > 0 ? went : 0;
		n -= went > 0 ? (size_t)went : 0;
	}
	return close(fd) && !error ? -errno : error;
}

int json_write(const struct bench *b)
{
	size_t cap = ROOM_FIXED + b->rows * ROOM_ROW;
	char *buf = malloc(cap);
	struct cdm_text t;

	if (!buf)
		return -ENOMEM;
	cdm_text_init(&t, buf, cap);
	put_all(&t, b);
	int error = t.cut ? -EOVERFLOW : write_all(b->json, buf, t.len);
	free(buf);
	return error;
}

#include "offload/base/config.h"
#include "offload/base/json.h"
#include "offload/op/report_view.h"
#include "policy/policy.h"

/* The keys are a contract with users' scripts: add, never rename or drop. */

/* The first CDM_REPORT_NAME bytes of s. */
static void put_string(struct cdm_text *t, const char *key, const char *s)
{
	char cut[CDM_REPORT_NAME + 1];

	if (s)
		(void)cdm_fmt(cut, sizeof(cut), "%s", s);
	cdm_json_string(t, key, s ? cut : NULL);
}

static void comma(struct cdm_text *t)
{
	cdm_textf(t, ",");
}

static void put_device(struct cdm_text *t, const struct cdm_report_facts *f)
{
	cdm_textf(t, "\"device\":{");
	put_string(t, "name", f->device);
	comma(t);
	cdm_json_count(t, "capacity", f->capacity);
	comma(t);
	cdm_json_count(t, "peak", f->peak);
	comma(t);
	put_string(t, "blas", f->blas);
	comma(t);
	put_string(t, "mechanism", f->mechanism);
	comma(t);
	cdm_json_count(t, "threads", f->threads > 0 ? (uint64_t)f->threads : 0);
	cdm_textf(t, "},\n");
}

static void put_calls(struct cdm_text *t, const struct cdm_report_view *v)
{
	const char *separator = "";

	cdm_textf(t, "\"calls\":{");
	cdm_json_count(t, "seen", v->seen);
	comma(t);
	cdm_json_count(t, "offloaded", v->offloaded);
	cdm_textf(t, ",\"declined\":{");
	for (int i = 0; i < CDM_DECLINE_COUNT; i++) {
		if (!v->declined[i])
			continue;
		cdm_textf(t, "%s", separator);
		cdm_json_count(t, cdm_decline_key[i], v->declined[i]);
		separator = ",";
	}
	cdm_textf(t, "},");
	cdm_json_count(t, "tiny", v->tiny);
	comma(t);
	cdm_json_count(t, "forwarded", v->forwarded);
	cdm_textf(t, "},\n");
}

static void put_libraries(struct cdm_text *t, const struct cdm_report_facts *f)
{
	cdm_textf(t, "\"libraries\":[");
	for (int i = 0; i < f->library_count; i++) {
		cdm_textf(t, i ? ",\n{" : "\n{");
		put_string(t, "name", f->libraries[i].name);
		comma(t);
		cdm_json_count(t, "calls", f->libraries[i].calls);
		cdm_textf(t, "}");
	}
	cdm_textf(t, "],\n");
}

static void put_bytes(struct cdm_text *t, const struct cdm_report_view *v)
{
	const struct {
		const char *key;
		uint64_t bytes;
	} rows[] = {
		{"to_device", v->to_device}, {"to_host", v->to_host}, {"first_touch", v->first_touch},
		{"staged", v->staged},       {"reused", v->reused},   {"in_place", v->in_place},
	};

	cdm_textf(t, "\"bytes\":{");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (i)
			comma(t);
		cdm_json_count(t, rows[i].key, rows[i].bytes);
	}
	cdm_textf(t, "},\n\"faults\":{");
	cdm_json_count(t, "host", v->host_faults);
	cdm_textf(t, "},");
	cdm_json_count(t, "evictions", v->evictions);
	comma(t);
	cdm_json_count(t, "thrash", v->thrash);
	cdm_textf(t, ",\n");
}

static void put_config(struct cdm_text *t, const struct cdm_report_facts *f)
{
	cdm_textf(t, "\"config\":{");
	put_string(t, "policy", cdm_policy_get(cdm_config.policy)->name);
	comma(t);
	cdm_json_number(t, "min_work", f->min_work);
	comma(t);
	cdm_json_count(t, "min_alloc", cdm_config.min_alloc);
	cdm_textf(t, "},\n");
}

static void put_routine(struct cdm_text *t, const struct cdm_report_routine *r)
{
	cdm_textf(t, "{");
	put_string(t, "name", r->name);
	comma(t);
	cdm_json_count(t, "calls", r->calls);
	comma(t);
	cdm_json_count(t, "offloaded", r->offloaded);
	comma(t);
	cdm_json_number(t, "device_s", r->device_s);
	comma(t);
	cdm_json_number(t, "move_s", r->move_s);
	comma(t);
	cdm_json_number(t, "host_s", r->host_s);
	comma(t);
	cdm_json_number(t, "gflop", r->gflop);
	cdm_textf(t, "}");
}

static void put_region(struct cdm_text *t, const struct cdm_report_region *r)
{
	char site[CDM_REPORT_NAME + 32];
	struct cdm_text s;

	cdm_text_init(&s, site, sizeof(site));
	cdm_report_site(&s, r->site, 1);
	cdm_textf(t, "{");
	cdm_json_count(t, "bytes", r->bytes);
	comma(t);
	cdm_textf(t, "\"site\":");
	cdm_text_json(t, site);
	comma(t);
	cdm_json_count(t, "device_uses", r->device_uses);
	comma(t);
	cdm_json_count(t, "moved", r->moved);
	comma(t);
	put_string(t, "origin", r->origin);
	cdm_textf(t, "}");
}

static void put_provider(struct cdm_text *t, const struct cdm_provider *p)
{
	cdm_textf(t, "{");
	put_string(t, "path", p->path);
	comma(t);
	put_string(t, "door", p->door);
	comma(t);
	cdm_json_count(t, "routines", (uint64_t)p->routines);
	comma(t);
	cdm_json_count(t, "patched", (uint64_t)p->patched);
	comma(t);
	cdm_json_count(t, "refused", (uint64_t)p->refused);
	comma(t);
	put_string(t, "why", p->why);
	cdm_textf(t, "}");
}

void cdm_report_json(struct cdm_text *t, const struct cdm_report_view *v)
{
	const struct cdm_report_facts *f = v->facts;

	cdm_textf(t, "{\"version\":1,\"pid\":%d,", f->pid);
	put_string(t, "program", f->program);
	comma(t);
	cdm_json_number(t, "wall_s", f->wall_s);
	comma(t);
	put_string(t, "note", f->note);
	cdm_textf(t, ",\n");
	put_device(t, f);
	put_calls(t, v);
	put_libraries(t, f);
	put_bytes(t, v);
	put_config(t, f);
	cdm_textf(t, "\"routines\":[");
	for (int i = 0; i < v->routines; i++) {
		cdm_textf(t, i ? ",\n" : "\n");
		put_routine(t, &v->routine[i]);
	}
	cdm_textf(t, "],\n\"regions\":[");
	for (int i = 0; i < v->regions; i++) {
		cdm_textf(t, i ? ",\n" : "\n");
		put_region(t, v->region[i]);
	}
	cdm_textf(t, "],\n\"providers\":[");
	for (int i = 0; i < f->provider_count; i++) {
		cdm_textf(t, i ? ",\n" : "\n");
		put_provider(t, &f->providers[i]);
	}
	cdm_textf(t, "]}\n");
}

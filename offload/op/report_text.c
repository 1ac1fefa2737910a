#include <math.h>
#include <string.h>

#include "offload/op/report_view.h"

/* The report for a person: at most 100 columns, unless a name is longer than that. */

#define LABEL "  %-9s "

/* A number with its unit: "1.5 GiB". */
struct amount {
	char text[32];
};

static struct amount scaled(double v, double step, const char *const *units, int count)
{
	struct amount a;
	int unit = 0;
	/* Past 999.95 one decimal would read 1000.0. */
	for (; v >= (step == 1000 ? 999.95 : 1023.95) && unit < count - 1; unit++)
		v /= step;
	(void)cdm_fmt(a.text, sizeof(a.text), unit ? "%.1f %s" : "%.0f %s", v, units[unit]);
	return a;
}

static struct amount bytes(uint64_t v)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
	return scaled((double)v, 1024, units, 6);
}

static struct amount flops(double v)
{
	static const char *const units[] = {"flop", "kflop", "Mflop", "Gflop", "Tflop", "Pflop"};
	return scaled(v, 1000, units, 6);
}

/* "1 call", "2 calls" */
static struct amount calls(uint64_t n)
{
	struct amount a;
	(void)cdm_fmt(a.text, sizeof(a.text), "%lu call%s", (unsigned long)n, n == 1 ? "" : "s");
	return a;
}

static double percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

/* The last 60 bytes of a long name: the end of a path tells more than its beginning. */
static const char *tail(const char *s)
{
	size_t n = strlen(s);
	return n > 60 ? s + n - 60 : s;
}

/* The path, in parentheses at the end, on a line of its own. */
static void library(struct cdm_text *t, const char *label, const char *blas)
{
	const char *path = strstr(blas, " (");
	int head = path ? (int)(path - blas) : 80;
	char line[96];

	cdm_fmt(line, (size_t)(head < 80 ? head : 80) + 1, "%s", blas);
	cdm_textf(t, LABEL "%s\n", label, line);
	if (path)
		cdm_textf(t, LABEL "%.86s\n", "", path + 1);
}

/* Those that were open beside the first. */
static void more_libraries(struct cdm_text *t, const struct cdm_report_facts *f)
{
	for (int i = 1; i < f->library_count; i++)
		library(t, "beside it", f->libraries[i].name);
}

static void header(struct cdm_text *t, const struct cdm_report_view *v)
{
	const struct cdm_report_facts *f = v->facts;

	cdm_textf(t, "libcdm: report of %s, process %d, %.3f s\n", f->program ? tail(f->program) : "(unknown program)",
		  f->pid, f->wall_s);
	cdm_textf(t, LABEL, "device");
	if (f->capacity)
		cdm_textf(t, "%.40s, %s, at most %s used (%.0f%%), mechanism %.20s\n", f->device ? f->device : "none",
			  bytes(f->capacity).text, bytes(f->peak).text, percent(f->peak, f->capacity),
			  f->mechanism ? f->mechanism : "none");
	else
		cdm_textf(t, "%.40s\n", f->device ? f->device : "none");
	library(t, "computes", f->blas ? f->blas : "no compute library was opened");
	more_libraries(t, f);
	if (f->note)
		cdm_textf(t, LABEL "%.400s\n", "note", f->note);
}

static void no_calls(struct cdm_text *t, const struct cdm_report_facts *f)
{
	cdm_textf(t, LABEL "no BLAS call was seen. ", "calls");
	if (f->provider_count)
		cdm_textf(t, "The program may not have reached its linear algebra.\n");
	else
		cdm_textf(t, "No library of this process has functions that libcdm knows.\n");
}

static void summary(struct cdm_text *t, const struct cdm_report_view *v)
{
	cdm_textf(t, LABEL "%s seen, %lu offloaded (%.1f%%)\n", "calls", calls(v->seen).text,
		  (unsigned long)v->offloaded, percent(v->offloaded, v->seen));
	if (v->tiny)
		cdm_textf(t, LABEL "%s of the others were tiny and computed at once\n", "", calls(v->tiny).text);
	if (v->forwarded)
		cdm_textf(t, LABEL "%s of the others were small and computed by the device's library on the host\n", "",
			  calls(v->forwarded).text);
}

static void routine(struct cdm_text *t, const struct cdm_report_routine *r)
{
	cdm_textf(t, "  %-9.20s %10lu %10lu %11.3f ", r->name, (unsigned long)r->calls, (unsigned long)r->offloaded,
		  r->gflop);
	if (r->device_s > 0)
		cdm_textf(t, "%9.1f", r->gflop / r->device_s);
	else
		cdm_textf(t, "%9s", "-");
	cdm_textf(t, " %10.3f %10.3f %10.3f\n", r->device_s, r->move_s, r->host_s);
}

static void routines(struct cdm_text *t, const struct cdm_report_view *v)
{
	cdm_textf(t, "\n  %-9s %10s %10s %11s %9s %10s %10s %10s\n", "routine", "calls", "offloaded", "Gflop",
		  "Gflop/s", "device s", "moving s", "host s");
	for (int i = 0; i < v->routines; i++)
		routine(t, &v->routine[i]);
}

static void declined(struct cdm_text *t, const struct cdm_report_view *v)
{
	const char *heading = "\n  stayed on the host\n";

	for (int i = 0; i < CDM_DECLINE_COUNT; i++) {
		if (!v->declined[i])
			continue;
		cdm_textf(t, "%s  %20lu  %s", heading, (unsigned long)v->declined[i], cdm_decline_text[i]);
		if (i == CDM_DECLINE_SMALL && isfinite(v->facts->min_work) && v->facts->min_work > 0)
			cdm_textf(t, " (%s); not timed", flops(v->facts->min_work).text);
		cdm_textf(t, "\n");
		heading = "";
	}
}

static void amount_row(struct cdm_text *t, uint64_t n, const char *what)
{
	if (n)
		cdm_textf(t, "  %20s  %s\n", bytes(n).text, what);
}

static void data(struct cdm_text *t, const struct cdm_report_view *v)
{
	cdm_textf(t, "\n  data\n");
	cdm_textf(t, "  %20s  moved to the device\n", bytes(v->to_device).text);
	cdm_textf(t, "  %20s  moved home\n", bytes(v->to_host).text);
	cdm_textf(t, "  %20s  found on the device by a call: no move was needed\n", bytes(v->reused).text);
	amount_row(t, v->first_touch, "began on the device and were never copied there");
	amount_row(t, v->staged, "staged: copied for one call");
	amount_row(t, v->in_place, "used by the device where they were");
	if (v->evictions)
		cdm_textf(t, "  %20lu  evictions: the device was full\n", (unsigned long)v->evictions);
	if (v->thrash)
		cdm_textf(t, "  %20lu  times that a region went to and fro and was left on the host for a while\n",
			  (unsigned long)v->thrash);
	if (v->host_faults)
		cdm_textf(t, "  %20lu  page faults of the host\n", (unsigned long)v->host_faults);
}

static void region(struct cdm_text *t, const struct cdm_report_region *r)
{
	char site[CDM_REPORT_NAME + 32];
	struct cdm_text s;

	cdm_text_init(&s, site, sizeof(site));
	cdm_report_site(&s, r->site, 0);
	cdm_textf(t, "  %20s  %10s  %9lu  %-8.8s  %s\n", bytes(r->moved).text, bytes(r->bytes).text,
		  (unsigned long)r->device_uses, r->origin ? r->origin : "", tail(site));
}

static void regions(struct cdm_text *t, const struct cdm_report_view *v)
{
	int shown = v->regions < 5 ? v->regions : 5;

	if (!shown)
		return;
	cdm_textf(t, "\n  %20s  %10s  %9s  %-8s  %s\n", "memory: moved", "of size", "uses", "from", "allocated at");
	for (int i = 0; i < shown; i++)
		region(t, v->region[i]);
	if (v->facts->region_count > shown)
		cdm_textf(t, "  %20s  and %d more\n", "", v->facts->region_count - shown);
}

static void provider(struct cdm_text *t, const struct cdm_provider *p)
{
	cdm_textf(t, "  %20d  %-16s  ", p->routines, p->door);
	if (p->patched)
		cdm_textf(t, "%d patched, ", p->patched);
	cdm_textf(t, "%s\n", tail(p->path));
	if (p->refused)
		cdm_textf(t, "  %20s  not seen: %d entry points; %s\n", "", p->refused, p->why);
	else if (p->why[0])
		cdm_textf(t, "  %20s  not seen: %s\n", "", p->why);
}

static void providers(struct cdm_text *t, const struct cdm_report_facts *f)
{
	if (!f->provider_count)
		return;
	cdm_textf(t, "\n  %20s  %-16s  %s\n", "BLAS entry points", "seen through", "in");
	for (int i = 0; i < f->provider_count; i++)
		provider(t, &f->providers[i]);
}

void cdm_report_text(struct cdm_text *t, const struct cdm_report_view *v)
{
	header(t, v);
	if (!v->seen) {
		no_calls(t, v->facts);
		providers(t, v->facts);
		return;
	}
	summary(t, v);
	routines(t, v);
	declined(t, v);
	if (v->offloaded || v->to_device || v->first_touch)
		data(t, v);
	regions(t, v);
	providers(t, v->facts);
}

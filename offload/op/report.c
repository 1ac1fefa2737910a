#include "offload/op/report.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/limits.h>
#include <string.h>

#include "offload/base/arena.h"
#include "offload/base/log.h"
#include "offload/base/sys.h"
#include "offload/dev/dev.h"
#include "offload/op/report_view.h"

/* ---- reading ---------------------------------------------------------------------------------------- */

static double seconds(const cdm_counter *ns)
{
	return (double)cdm_counted(ns) * 1e-9;
}

static double busy(const struct cdm_report_routine *r)
{
	return r->device_s + r->move_s + r->host_s;
}

static bool before(const struct cdm_report_routine *a, const struct cdm_report_routine *b)
{
	return busy(a) > busy(b) || (busy(a) == busy(b) && a->calls > b->calls);
}

static void insert_routine(struct cdm_report_view *v, const struct cdm_report_routine *r)
{
	int i = v->routines++;
	for (; i > 0 && before(r, &v->routine[i - 1]); i--)
		v->routine[i] = v->routine[i - 1];
	v->routine[i] = *r;
}

static void read_routines(struct cdm_report_view *v)
{
	for (int i = 0; i < cdm_routine_count && i < CDM_MAX_ROUTINES; i++) {
		struct cdm_routine_stats sum;
		struct cdm_report_routine r = {.name = cdm_routines[i].name, .calls = cdm_stats_seen(i)};
		if (!r.calls)
			continue;
		cdm_stats_routine(&sum, i);
		r.offloaded = sum.offloaded;
		r.device_s = seconds(&sum.device_ns);
		r.move_s = seconds(&sum.move_ns);
		r.host_s = seconds(&sum.host_ns);
		r.gflop = (double)cdm_counted(&sum.kiloflop) * 1e-6;
		v->seen += r.calls;
		v->offloaded += r.offloaded;
		insert_routine(v, &r);
	}
}

/* Keeps the regions that moved the most, in that order. */
static void insert_region(struct cdm_report_view *v, const struct cdm_report_region *r)
{
	int i = v->regions;
	if (i == CDM_REPORT_REGIONS && r->moved <= v->region[--i]->moved)
		return;
	for (; i > 0 && r->moved > v->region[i - 1]->moved; i--)
		v->region[i] = v->region[i - 1];
	v->region[i] = r;
	v->regions += v->regions < CDM_REPORT_REGIONS;
}

void cdm_report_read(struct cdm_report_view *v, const struct cdm_report_facts *facts)
{
	memset(v, 0, sizeof(*v));
	v->facts = facts;
	read_routines(v);
	for (int i = 0; i < CDM_DECLINE_COUNT; i++)
		v->declined[i] = cdm_stats_declined(i);
	for (int i = 0; i < facts->region_count; i++)
		insert_region(v, &facts->regions[i]);
	v->tiny = cdm_stats_stays(CDM_STAYS_TINY);
	v->forwarded = cdm_stats_stays(CDM_STAYS_FORWARDED);
	v->to_device = cdm_counted(&cdm_stats.to_device);
	v->to_host = cdm_counted(&cdm_stats.to_host);
	v->first_touch = cdm_counted(&cdm_stats.first_touch);
	v->staged = cdm_counted(&cdm_stats.staged);
	v->reused = cdm_stats_reused();
	v->in_place = cdm_stats_in_place();
	v->host_faults = cdm_counted(&cdm_stats.host_faults);
	v->evictions = cdm_counted(&cdm_stats.evictions);
	v->thrash = cdm_counted(&cdm_stats.thrash);
}

void cdm_report_site(struct cdm_text *t, const void *site, int full_path)
{
	Dl_info info;

	if (!site) {
		cdm_textf(t, "unknown");
	} else if (dladdr(site, &info) && info.dli_fname) {
		const char *slash = full_path ? NULL : strrchr(info.dli_fname, '/');
		cdm_textf(t, "%.512s+0x%zx", slash ? slash + 1 : info.dli_fname,
			  (size_t)((const char *)site - (const char *)info.dli_fbase));
		_Static_assert(CDM_REPORT_NAME == 512, "the precision above");
	} else {
		cdm_textf(t, "%p", site);
	}
}

/* ---- writing ---------------------------------------------------------------------------------------- */

static const char *reason(int err)
{
	static const struct {
		int err;
		const char *text;
	} reasons[] = {
		{EACCES, "permission denied"},
		{EPERM, "operation not permitted"},
		{ENOENT, "no such directory"},
		{ENOTDIR, "a part of the path is not a directory"},
		{EISDIR, "it is a directory"},
		{EROFS, "read-only file system"},
		{ENOSPC, "no space left"},
		{EDQUOT, "disk quota exceeded"},
		{EFBIG, "file size limit"},
		{EMFILE, "too many open files"},
		{ENAMETOOLONG, "the path is too long"},
		{ELOOP, "too many symbolic links"},
		{EPIPE, "nobody reads it"},
		{ENOMEM, "no memory"},
		{EBADF, "it is closed"},
	};
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].err == -err)
			return reasons[i].text;
	return "it cannot be written";
}

/* where with %p as the pid; -ENAMETOOLONG. */
static int expand(char *path, size_t cap, const char *where, int pid)
{
	struct cdm_text t;

	cdm_text_init(&t, path, cap);
	for (; *where; where++) {
		if (where[0] == '%' && where[1] == 'p') {
			cdm_textf(&t, "%d", pid);
			where++;
		} else {
			cdm_textf(&t, "%c", *where);
		}
	}
	return t.cut ? -ENAMETOOLONG : 0;
}

static bool ends_in(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);
	return n >= m && !strcmp(s + n - m, end);
}

static int write_file(const char *path, const struct cdm_text *t)
{
	int fd = cdm_sys_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
	if (fd < 0)
		return fd;
	int err = cdm_write_all(fd, t->buf, t->len);
	int closed = cdm_sys_close(fd);
	return err ? err : closed;
}

static int render(struct cdm_text *t, const struct cdm_report_facts *facts, bool json)
{
	struct cdm_report_view *v = cdm_arena_alloc(sizeof(*v));
	char *buf = cdm_arena_alloc(CDM_REPORT_BYTES);
	if (!v || !buf)
		return -ENOMEM;
	cdm_text_init(t, buf, CDM_REPORT_BYTES);
	cdm_report_read(v, facts);
	(json ? cdm_report_json : cdm_report_text)(t, v);
	return 0;
}

void cdm_report_write(const char *where, const struct cdm_report_facts *facts)
{
	char path[PATH_MAX];
	struct cdm_text t;
	bool to_stderr = !strcmp(where, "stderr");

	int err = expand(path, sizeof(path), where, facts->pid);
	if (!err)
		err = render(&t, facts, !to_stderr && ends_in(path, ".json"));
	if (!err)
		err = to_stderr ? cdm_write_all(2, t.buf, t.len) : write_file(path, &t);
	if (err)
		cdm_log(CDM_LOG_WARN, "CDM_REPORT=%s: no report was written: %s (error %d)", where, reason(err), -err);
}

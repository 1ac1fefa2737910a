/* The report: complete, valid JSON whatever the names are, and one line when it cannot be written. */
#include <criterion/criterion.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "offload/base/config.h"
#include "offload/base/stats.h"
#include "offload/dev/dev.h"
#include "offload/op/report.h"
#include "tests/unit/capture.h"

static const struct cdm_routine table[] = {
	{"dgemm", CDM_D},
	{"dsyrk", CDM_D},
	{"ztrsm", CDM_Z},
};
const struct cdm_routine *cdm_routines = table;
int cdm_routine_count = 3;

static struct cdm_report_region region[30];
static struct capture said;
static char dir[64];

static struct cdm_report_facts some_facts(void)
{
	return (struct cdm_report_facts){
		.wall_s = 1.5,
		.program = "/usr/bin/solve",
		.pid = 4711,
		.device = "emu",
		.blas = "OpenBLAS 0.3.21, core Zen, 2 threads",
		.mechanism = "move",
		.capacity = (size_t)4 << 30,
		.peak = (size_t)1 << 30,
		.min_work = 1e6,
		.threads = 2,
	};
}

static void some_calls(void)
{
	struct cdm_caller *self = cdm_caller_get(), *other;

	cdm_caller_self = NULL;
	other = cdm_caller_draw(); /* another thread's */
	cr_assert_neq(self, other);
	cdm_caller_self = self;
	cdm_count_own(self, &self->n[CDM_CALLS_CONSIDERED][0], 10);
	cdm_count_own(other, &other->n[CDM_CALLS_CONSIDERED][0], 5);
	cdm_count_own(self, &self->n[CDM_CALLS_CONSIDERED][2], 2);
	cdm_count_own(other, &other->declined[CDM_DECLINE_SMALL], 4);
	cdm_count_own(self, &self->declined[CDM_DECLINE_NO_MEMORY], 1);
	cdm_count_own(self, &self->routine[0].offloaded, 8);
	cdm_count_own(other, &other->routine[0].offloaded, 3);
	cdm_count_own(self, &self->routine[0].device_ns, 2000000000);
	cdm_count_own(self, &self->routine[0].move_ns, 250000000);
	cdm_count_own(self, &self->routine[0].kiloflop, 300000000);
	cdm_count_own(self, &self->routine[2].offloaded, 1);
	cdm_count_own(self, &self->routine[2].host_ns, 5);
	cdm_count_own(self, &self->reused, (uint64_t)1 << 30);
	cdm_count_own(other, &other->reused, (uint64_t)2 << 30);
	cdm_count_own(other, &other->in_place, 77);
	cdm_count(&cdm_stats.to_device, 1 << 20);
	cdm_count(&cdm_stats.to_host, 4096);
	cdm_count(&cdm_stats.first_touch, 8192);
	cdm_count(&cdm_stats.staged, 100);
	cdm_count(&cdm_stats.host_faults, 3);
	cdm_count(&cdm_stats.evictions, 2);
	cdm_count(&cdm_stats.thrash, 4);
}

static void some_regions(struct cdm_report_facts *f)
{
	for (int i = 0; i < 30; i++)
		region[i] = (struct cdm_report_region){.bytes = 4096,
						       .site = (void *)(uintptr_t)(i % 3 ? 0x10 : 0),
						       .device_uses = 2,
						       .moved = (uint64_t)i * 4096,
						       .origin = "malloc"};
	region[7].moved = 1 << 30;
	region[7].site = (void *)(uintptr_t)some_regions;
	f->regions = region;
	f->region_count = 30;
}

static const char *in_dir(const char *name)
{
	static char path[256];
	if (!dir[0])
		cr_assert_not_null(mkdtemp(strcpy(dir, "/tmp/cdm_report_XXXXXX")));
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static const char *contents(const char *path)
{
	static char text[1 << 20];
	FILE *f = fopen(path, "r");
	cr_assert_not_null(f, "%s", path);
	text[fread(text, 1, sizeof(text) - 1, f)] = 0;
	fclose(f);
	remove(path);
	return text;
}

static const char *written(const char *name, const struct cdm_report_facts *f)
{
	const char *path = in_dir(name);
	capture_begin(&said);
	cdm_report_write(path, f);
	cr_assert_str_eq(capture_end(&said), "");
	const char *text = contents(path);
	rmdir(dir);
	dir[0] = 0;
	return text;
}

static void has(const char *text, const char *part)
{
	cr_assert_not_null(strstr(text, part), "missing %s in:\n%s", part, text);
}

static int occurrences(const char *text, const char *part)
{
	int n = 0;
	for (; (text = strstr(text, part)); text++)
		n++;
	return n;
}

/* ---- a JSON reader that only says yes or no ---------------------------------------------------------- */

static const char *json_value(const char *p);

static const char *json_blank(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

static const char *json_string(const char *p)
{
	if (*p++ != '"')
		return NULL;
	for (; *p != '"'; p++) {
		if ((unsigned char)*p < 0x20)
			return NULL;
		if (*p != '\\')
			continue;
		p++;
		if (*p == 'u' && strspn(p + 1, "0123456789abcdefABCDEF") < 4)
			return NULL;
		if (!*p || !strchr("u\"\\/bfnrt", *p))
			return NULL;
	}
	return p + 1;
}

static const char *json_number(const char *p)
{
	const char *q = p + (*p == '-');
	size_t n = strspn(q, "0123456789");
	if (!n || (n > 1 && *q == '0'))
		return NULL;
	q += n;
	if (*q == '.') {
		n = strspn(++q, "0123456789");
		q = n ? q + n : NULL;
	}
	return q;
}

static const char *json_members(const char *p, char close)
{
	p = json_blank(p + 1);
	if (*p == close)
		return p + 1;
	for (;;) {
		if (close == '}') {
			p = json_string(json_blank(p));
			if (!p || *(p = json_blank(p)) != ':')
				return NULL;
			p++;
		}
		p = json_value(p);
		if (!p)
			return NULL;
		p = json_blank(p);
		if (*p == close)
			return p + 1;
		if (*p++ != ',')
			return NULL;
	}
}

static const char *json_value(const char *p)
{
	p = json_blank(p);
	if (*p == '{')
		return json_members(p, '}');
	if (*p == '[')
		return json_members(p, ']');
	if (*p == '"')
		return json_string(p);
	return strncmp(p, "null", 4) ? json_number(p) : p + 4;
}

static void valid_json(const char *text)
{
	const char *end = json_value(text);
	cr_assert(end && !*json_blank(end), "not JSON:\n%s", text);
}

/* ---- tests ------------------------------------------------------------------------------------------ */

Test(report, json_has_the_agreed_keys)
{
	struct cdm_report_facts f = some_facts();
	some_calls();
	some_regions(&f);
	const char *text = written("r.json", &f);
	valid_json(text);
	has(text, "{\"version\":1,\"pid\":4711,\"program\":\"/usr/bin/solve\",\"wall_s\":1.5");
	has(text, "\"device\":{\"name\":\"emu\",\"capacity\":4294967296,\"peak\":1073741824,\"blas\":\"OpenBLAS");
	has(text, "\"mechanism\":\"move\"");
	has(text, "\"calls\":{\"seen\":17,\"offloaded\":12,\"declined\":{\"small\":4,\"no_memory\":1},\"tiny\":0,"
		  "\"forwarded\":0}");
	has(text, "\"bytes\":{\"to_device\":1048576,\"to_host\":4096,\"first_touch\":8192,\"staged\":100,\"reused\":"
		  "3221225472,"
		  "\"in_place\":77}");
	has(text, "\"faults\":{\"host\":3},\"evictions\":2,\"thrash\":4");
	has(text, "{\"name\":\"dgemm\",\"calls\":15,\"offloaded\":11,\"device_s\":2.000000000,\"move_s\":0.250000000,"
		  "\"host_s\":0.000000000,\"gflop\":300.000000000}");
	cr_assert_null(strstr(text, "dsyrk"));
	cr_assert_eq(occurrences(text, "\"device_uses\":2"), 20);
	has(text, "\"regions\":[\n{\"bytes\":4096,\"site\":\"");
	has(text, "+0x");
	has(text, "\"site\":\"unknown\"");
}

Test(report, json_of_a_program_without_calls)
{
	struct cdm_report_facts f = {.wall_s = NAN, .min_work = INFINITY};
	const char *text = written("r.json", &f);
	valid_json(text);
	has(text, "\"program\":null,\"wall_s\":null");
	has(text, "\"declined\":{}");
	has(text, "\"routines\":[]");
	has(text, "\"regions\":[]");
}

Test(report, json_is_valid_with_hostile_names)
{
	static char name[5000];
	struct cdm_report_facts f = some_facts();
	some_calls();
	some_regions(&f);
	for (int i = 0; i < 30; i++)
		region[i].origin = name;
	f.program = f.blas = f.device = f.mechanism = f.note = name;
	srand(7);
	printf("seed 7\n");
	for (int i = 0; i < 300; i++) {
		size_t n = (size_t)rand() % (sizeof(name) - 1);
		for (size_t j = 0; j < n; j++)
			name[j] = (char)(rand() % (i % 2 ? 255 : 31) + 1);
		name[n] = 0;
		valid_json(written("r.json", &f));
	}
}

Test(report, text)
{
	struct cdm_report_facts f = some_facts();
	some_calls();
	some_regions(&f);
	f.note = "something that matters";
	const char *text = written("report", &f);
	has(text, "report of /usr/bin/solve, process 4711, 1.500 s");
	has(text, "emu, 4.0 GiB, at most 1.0 GiB used (25%), mechanism move");
	has(text, "OpenBLAS 0.3.21");
	has(text, "17 calls seen, 12 offloaded (70.6%)");
	has(text, "less work than CDM_MIN_WORK (1.0 Mflop)");
	has(text, "the device had no room");
	has(text, "1.0 MiB  moved to the device");
	has(text, "3.0 GiB  found on the device");
	has(text, "150.0 "); /* Gflop/s */
	has(text, "2  evictions");
	has(text, "4  times that a region went to and fro");
	has(text, "something that matters");
	for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
		cr_assert_leq(strcspn(line, "\n"), 100, "%.120s", line);
}

Test(report, text_of_a_program_without_calls)
{
	struct cdm_report_facts f = some_facts();
	f.blas = NULL;
	const char *text = written("report", &f);
	has(text, "no BLAS call was seen");
	has(text, "No library of this process");
	cr_assert_null(strstr(text, "routine "));
}

static const struct cdm_provider providers[] = {
	{.path = "/usr/lib/libblas.so.3", .door = "symbols", .routines = 292},
	{.path = "the program", .door = "patch", .routines = 9, .patched = 7, .refused = 2, .why = "dgemm_: too short"},
	{.path = "lib\"odd\".so", .door = "none", .routines = 1, .why = "bound to itself"},
};

Test(report, providers)
{
	struct cdm_report_facts f = some_facts();
	f.providers = providers;
	f.provider_count = 3;
	const char *text = written("report", &f);
	has(text, "no BLAS call was seen. The program may not have reached");
	has(text, "292  symbols           /usr/lib/libblas.so.3");
	has(text, "9  patch             7 patched, the program");
	has(text, "not seen: 2 entry points; dgemm_: too short");
	has(text, "not seen: bound to itself");
	some_calls();
	text = written("r.json", &f);
	valid_json(text);
	has(text, "{\"path\":\"the program\",\"door\":\"patch\",\"routines\":9,\"patched\":7,\"refused\":2,\"why\":"
		  "\"dgemm_: too short\"}");
}

Test(report, stderr_and_pid)
{
	struct cdm_report_facts f = some_facts();
	capture_begin(&said);
	cdm_report_write("stderr", &f);
	has(capture_end(&said), "libcdm: report of");
	cdm_report_write(in_dir("r-%p-%p.json"), &f);
	valid_json(contents(in_dir("r-4711-4711.json")));
	rmdir(dir);
}

Test(report, file_mode_follows_the_umask)
{
	struct cdm_report_facts f = some_facts();
	struct stat st;
	umask(027);
	const char *path = in_dir("r");
	cdm_report_write(path, &f);
	stat(path, &st);
	remove(path);
	rmdir(dir);
	cr_assert_eq(st.st_mode & 0777, 0640);
}

/* One line, which says where and why. */
static void refused(const char *where, const char *why)
{
	struct cdm_report_facts f = some_facts();
	capture_begin(&said);
	cdm_report_write(where, &f);
	const char *text = capture_end(&said);
	cr_assert_eq(lines_of(text), 1, "%s", text);
	has(text, "libcdm: CDM_REPORT=");
	has(text, why);
}

Test(report, unwritable)
{
	static char longer[5000];
	refused("/nonexistent/report", "no such directory");
	refused("/tmp", "directory");
	refused("/dev/full", "no space left");
	memset(longer, 'a', sizeof(longer) - 1);
	longer[0] = '/';
	capture_begin(&said);
	struct cdm_report_facts f = some_facts();
	cdm_report_write(longer, &f);
	cr_assert_eq(lines_of(capture_end(&said)), 1);
}

/* The program's exit must not become a death by SIGPIPE or SIGXFSZ. */
Test(report, a_closed_pipe_raises_no_signal)
{
	struct cdm_report_facts f = some_facts();
	int p[2], saved = dup(2);
	cr_assert_eq(pipe(p), 0);
	close(p[0]);
	dup2(p[1], 2);
	cdm_report_write("stderr", &f);
	dup2(saved, 2);
	sigset_t set;
	sigpending(&set);
	cr_assert_not(sigismember(&set, SIGPIPE));
}

Test(report, a_file_size_limit_raises_no_signal)
{
	struct rlimit none = {0, 0};
	const char *path = in_dir("r");
	setrlimit(RLIMIT_FSIZE, &none);
	refused(path, "file size limit");
	remove(path);
	rmdir(dir);
}

Test(report, after_fork_counts_start_at_zero)
{
	struct cdm_routine_stats sum;
	struct cdm_caller *self = cdm_caller_get();

	some_calls();
	cdm_count_own(self, &self->routine[1].host_ns, 5); /* it was timed, and then stayed for its size */
	cdm_stats.start_ns = 1;
	cdm_stats_after_fork();
	cr_assert_eq(cdm_stats_seen(0), 0);
	cr_assert_eq(cdm_stats_declined(CDM_DECLINE_SMALL), 0);
	cr_assert_eq(cdm_stats_reused(), 0);
	cdm_stats_routine(&sum, 0);
	cr_assert_eq(sum.offloaded + sum.device_ns + sum.move_ns + sum.kiloflop, 0);
	cdm_stats_routine(&sum, 1);
	cr_assert_eq(sum.host_ns, 0);
	cr_assert_gt(cdm_stats.start_ns, 1);
}

#include "offload/base/config.h"

#include <errno.h>
#include <linux/limits.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "offload/base/arena.h"
#include "offload/base/config_parse.h"
#include "offload/base/fmt.h"
#include "offload/base/log.h"
#include "offload/base/sys.h"

#define PREFIX "CDM_"
#define ADDRESS_SPACE ((uint64_t)128 << 40)

struct cdm_config cdm_config;

/* A word that a variable accepts. later: agreed, but not in this build; value is what stands in for it. A later
 * name that ends in ':' stands for itself with a number. */
struct choice {
	const char *name;
	int value;
	bool later;
};

static const struct choice device_choices[] = {
	{"none", CDM_DEVICE_NONE, false},
	{"emu", CDM_DEVICE_EMU, false},
	{"emu:private", CDM_DEVICE_EMU_PRIVATE, false},
	{"numa:", CDM_DEVICE_EMU, true},
	{"cuda:", CDM_DEVICE_EMU, true},
	{NULL, 0, false},
};
static const struct choice policy_choices[] = {
	{"never", CDM_POLICY_NEVER, false},         {"copy", CDM_POLICY_COPY, false},
	{"first-use", CDM_POLICY_FIRST_USE, false}, {"in-place", CDM_POLICY_IN_PLACE, false},
	{"adaptive", CDM_POLICY_ADAPTIVE, false},   {NULL, 0, false},
};
static const struct choice hook_choices[] = {
	{"auto", CDM_HOOK_AUTO, false},
	{"plt", CDM_HOOK_PLT, false},
	{"patch", CDM_HOOK_PATCH, false},
	{NULL, 0, false},
};
static const struct choice control_choices[] = {
	{"off", 0, false},
	{"on", 1, false},
	{NULL, 0, false},
};
static const struct choice touch_choices[] = {
	{"signal", CDM_TOUCH_SIGNAL, false},
	{"thread", CDM_TOUCH_THREAD, false},
	{NULL, 0, false},
};
static const struct choice mechanism_choices[] = {
	{"auto", CDM_MECHANISM_AUTO, false},
	{"move", CDM_MECHANISM_MOVE, false},
	{"remap", CDM_MECHANISM_REMAP, false},
	{NULL, 0, false},
};
static const struct choice log_choices[] = {
	{"error", CDM_LOG_ERROR, false},
	{"warn", CDM_LOG_WARN, false},
	{"info", CDM_LOG_INFO, false},
	{"debug", CDM_LOG_DEBUG, false},
	{NULL, 0, false},
};

/* How a type of value is read and shown. read: 0, or -EINVAL with the field untouched. */
struct option;
struct kind {
	int (*read)(const struct option *o, const char *s, void *field);
	void (*show)(const struct option *o, struct cdm_text *t, const void *field);
	const struct choice *choices;
};

struct option {
	const char *name;
	size_t offset; /* of its field in struct cdm_config */
	const struct kind *kind;
	const char *standard, *accepted, *help;
};

/* ---- kinds ------------------------------------------------------------------------------------------ */

static bool is_number(const char *s)
{
	return *s && s[strspn(s, "0123456789")] == 0;
}

static bool choice_matches(const struct choice *c, const char *s)
{
	size_t n = strlen(c->name);
	if (c->name[n - 1] == ':')
		return !strncmp(s, c->name, n) && is_number(s + n);
	return !strcmp(s, c->name);
}

static const char *choice_name(const struct choice *c, int value)
{
	while (c->name && (c->value != value || c->later))
		c++;
	return c->name ? c->name : "?";
}

static int read_choice(const struct option *o, const char *s, void *field)
{
	const struct choice *c = o->kind->choices;
	while (c->name && !choice_matches(c, s))
		c++;
	if (!c->name)
		return -EINVAL;
	if (c->later)
		cdm_log(CDM_LOG_WARN, "%s=%s is not available in this build, which accepts %s; using %s", o->name, s,
			o->accepted, choice_name(o->kind->choices, c->value));
	*(int *)field = c->value;
	return 0;
}

static void show_choice(const struct option *o, struct cdm_text *t, const void *field)
{
	cdm_textf(t, "%s", choice_name(o->kind->choices, *(const int *)field));
}

static int read_size(const struct option *o, const char *s, void *field)
{
	uint64_t v;
	(void)o;
	if (cdm_parse_size(s, &v) < 0 || v < CDM_PAGE || v > ADDRESS_SPACE)
		return -EINVAL;
	*(size_t *)field = v;
	return 0;
}

static uint64_t ram_bytes(void)
{
	struct sysinfo si;
	if (cdm_sys3(SYS_sysinfo, (long)&si, 0, 0) < 0)
		return (uint64_t)1 << 30;
	return (uint64_t)si.totalram * si.mem_unit;
}

static int read_capacity(const struct option *o, const char *s, void *field)
{
	uint64_t v;
	(void)o;
	if (cdm_parse_share(s, strchr(s, '%') ? ram_bytes() : 0, &v) < 0 || v > ADDRESS_SPACE)
		return -EINVAL;
	*(size_t *)field = v < CDM_HUGE ? CDM_HUGE : cdm_round_down(v, CDM_HUGE);
	return 0;
}

static void show_size(const struct option *o, struct cdm_text *t, const void *field)
{
	size_t v = *(const size_t *)field;
	int unit = 0;
	(void)o;
	for (; v && v % 1024 == 0 && unit < 4; unit++)
		v /= 1024;
	cdm_textf(t, "%zu", v);
	if (unit)
		cdm_textf(t, "%c", "KMGT"[unit - 1]);
}

static int read_work(const struct option *o, const char *s, void *field)
{
	(void)o;
	if (strcmp(s, "auto"))
		return cdm_parse_number(s, field);
	*(double *)field = CDM_MIN_WORK_AUTO;
	return 0;
}

static void show_work(const struct option *o, struct cdm_text *t, const void *field)
{
	double v = *(const double *)field;
	(void)o;
	if (v < 0)
		cdm_textf(t, "auto");
	else
		cdm_textf(t, v == (double)(uint64_t)(v < 1e18 ? v : 0) ? "%.0f" : "%.3f", v);
}

static int read_threads(const struct option *o, const char *s, void *field)
{
	uint64_t v = 0;
	(void)o;
	if (strcmp(s, "auto") && (!is_number(s) || cdm_parse_size(s, &v) < 0 || v < 1 || v > 1024))
		return -EINVAL;
	*(int *)field = (int)v;
	return 0;
}

static void show_threads(const struct option *o, struct cdm_text *t, const void *field)
{
	int v = *(const int *)field;
	(void)o;
	if (v)
		cdm_textf(t, "%d", v);
	else
		cdm_textf(t, "auto");
}

/* The concatenation a b c; without memory c alone, in the environment. */
static const char *keep(const char *a, const char *b, const char *c)
{
	size_t n = strlen(a) + strlen(b) + strlen(c) + 1;
	char *p = cdm_arena_alloc(n);
	if (!p)
		return c;
	(void)cdm_fmt(p, n, "%s%s%s", a, b, c);
	return p;
}

/* A relative path means the directory that the program was started in, wherever it goes later. */
static const char *absolute(const char *s)
{
	char cwd[PATH_MAX];
	if (s[0] == '/' || cdm_sys3(SYS_getcwd, (long)cwd, sizeof(cwd), 0) < 0 || cwd[0] != '/')
		return keep("", "", s);
	return keep(cwd, cwd[1] ? "/" : "", s);
}

static int read_path(const struct option *o, const char *s, void *field)
{
	(void)o;
	*(const char **)field = strcmp(s, "stderr") ? absolute(s) : keep("", "", s);
	return 0;
}

/* A path when there is a slash in it, else a name to be searched for. */
static int read_file(const struct option *o, const char *s, void *field)
{
	(void)o;
	*(const char **)field = strchr(s, '/') ? absolute(s) : keep("", "", s);
	return 0;
}

static const char *const fault_names[CDM_FAULT_OPS] = {
	[CDM_FAULT_ALLOC] = "alloc",
	[CDM_FAULT_COPY_OUT] = "copy-out",
	[CDM_FAULT_COPY_HOME] = "copy-home",
	[CDM_FAULT_COMPUTE] = "compute",
};

/* NAME:N[+] at s; returns its end, or NULL. */
static const char *read_fault(const char *s, struct cdm_fault_rule rules[CDM_FAULT_OPS])
{
	size_t name = strcspn(s, ":"), digits = s[name] ? strspn(s + name + 1, "0123456789") : 0;
	const char *end = s + name + 1 + digits;
	uint64_t n = 0;
	int op = 0;

	while (op < CDM_FAULT_OPS && (strlen(fault_names[op]) != name || strncmp(fault_names[op], s, name)))
		op++;
	if (op == CDM_FAULT_OPS || digits < 1 || digits > 18 || rules[op].first)
		return NULL;
	for (const char *d = s + name + 1; d < end; d++)
		n = n * 10 + (uint64_t)(*d - '0');
	rules[op] = (struct cdm_fault_rule){n, *end == '+'};
	if (!n || (rules[op].onwards && op == CDM_FAULT_COPY_HOME))
		return NULL;
	return end + rules[op].onwards;
}

int cdm_config_faults(const char *spec, struct cdm_fault_rule rules[CDM_FAULT_OPS])
{
	struct cdm_fault_rule read[CDM_FAULT_OPS] = {0};

	for (const char *s = spec;; s++) {
		s = read_fault(s, read);
		if (!s || (*s && *s != ','))
			return -EINVAL;
		if (!*s)
			break;
	}
	memcpy(rules, read, sizeof(read));
	return 0;
}

static int read_faults(const struct option *o, const char *s, void *field)
{
	struct cdm_fault_rule rules[CDM_FAULT_OPS];

	(void)o;
	if (cdm_config_faults(s, rules) < 0)
		return -EINVAL;
	*(const char **)field = keep("", "", s);
	return 0;
}

static void show_string(const struct option *o, struct cdm_text *t, const void *field)
{
	const char *s = *(const char *const *)field;
	(void)o;
	cdm_textf(t, "%s", s ? s : "unset");
}

static const struct kind kind_device = {read_choice, show_choice, device_choices};
static const struct kind kind_policy = {read_choice, show_choice, policy_choices};
static const struct kind kind_hook = {read_choice, show_choice, hook_choices};
static const struct kind kind_control = {read_choice, show_choice, control_choices};
static const struct kind kind_touch = {read_choice, show_choice, touch_choices};
static const struct kind kind_mechanism = {read_choice, show_choice, mechanism_choices};
static const struct kind kind_log = {read_choice, show_choice, log_choices};
static const struct kind kind_capacity = {read_capacity, show_size, NULL};
static const struct kind kind_size = {read_size, show_size, NULL};
static const struct kind kind_work = {read_work, show_work, NULL};
static const struct kind kind_threads = {read_threads, show_threads, NULL};
static const struct kind kind_path = {read_path, show_string, NULL};
static const struct kind kind_fault = {read_faults, show_string, NULL};
static const struct kind kind_file = {read_file, show_string, NULL};

/* ---- the table -------------------------------------------------------------------------------------- */

#define OPTION(name, field, kind, standard, accepted, help)                                                            \
	{PREFIX #name, offsetof(struct cdm_config, field), &kind_##kind, standard, accepted, help},
static const struct option options[] = {
#include "offload/base/config.def"
};
#undef OPTION
#define OPTIONS (sizeof(options) / sizeof(options[0]))

static void *field_of(const struct option *o)
{
	return (char *)&cdm_config + o->offset;
}

/* A value as it may stand in a line of text: at most 60 characters, none of them a control character. */
struct shown {
	char text[64];
};

static struct shown shown(const char *s)
{
	struct shown q;
	size_t n = 0;
	for (; s[n] && n < 60; n++)
		q.text[n] = (unsigned char)s[n] < 0x20 || s[n] == 0x7f ? '?' : s[n];
	(void)cdm_fmt(q.text + n, sizeof(q.text) - n, "%s", s[n] ? "..." : "");
	return q;
}

/* The first value of name in envp, or NULL when it is unset or empty. */
static const char *lookup(char *const *envp, const char *name)
{
	size_t n = strlen(name);
	for (; envp && *envp; envp++)
		if (!strncmp(*envp, name, n) && (*envp)[n] == '=')
			return (*envp)[n + 1] ? *envp + n + 1 : NULL;
	return NULL;
}

static void read_option(const struct option *o, char *const *envp)
{
	void *field = field_of(o);
	const char *s = lookup(envp, o->name);

	if (s && o->kind->read(o, s, field) == 0)
		return;
	if (s)
		cdm_log(CDM_LOG_WARN, "%s=%s is not understood: accepted is %s; using the default%s%s", o->name,
			shown(s).text, o->accepted, o->standard ? ", " : "", o->standard ? o->standard : "");
	if (o->standard)
		(void)o->kind->read(o, o->standard, field);
	else
		*(const char **)field = NULL;
}

static const struct option *nearest(const char *name)
{
	const struct option *best = &options[0];
	int least = cdm_edit_distance(name, best->name);
	for (const struct option *o = options + 1; o < options + OPTIONS; o++) {
		int d = cdm_edit_distance(name, o->name);
		if (d < least) {
			least = d;
			best = o;
		}
	}
	return best;
}

/* entry: NAME=VALUE */
static void check_name(const char *entry)
{
	size_t n = strcspn(entry, "=");
	char name[64];

	if (entry[n] != '=' || !entry[n + 1])
		return;
	for (const struct option *o = options; o < options + OPTIONS; o++)
		if (strlen(o->name) == n && !strncmp(o->name, entry, n))
			return;
	(void)cdm_fmt(name, n + 1 < sizeof(name) ? n + 1 : sizeof(name), "%s", entry);
	cdm_log(CDM_LOG_WARN, "%s is not a variable of libcdm; the nearest is %s", shown(name).text,
		nearest(name)->name);
}

void cdm_config_read(char *const *envp)
{
	for (const struct option *o = options; o < options + OPTIONS; o++)
		if (o->kind == &kind_log)
			read_option(o, envp);
	cdm_log_level = cdm_config.log;
	for (const struct option *o = options; o < options + OPTIONS; o++)
		if (o->kind != &kind_log)
			read_option(o, envp);
	if (cdm_config.trace)
		cdm_log(CDM_LOG_WARN, "CDM_TRACE=%s: the timeline is not available in this build; ignored",
			shown(cdm_config.trace).text);
	for (; envp && *envp; envp++)
		if (!strncmp(*envp, PREFIX, strlen(PREFIX)))
			check_name(*envp);
}

/* ---- printing --------------------------------------------------------------------------------------- */

static void print_row(struct cdm_text *t, const struct option *o)
{
	char value[128];
	struct cdm_text v;

	cdm_text_init(&v, value, sizeof(value));
	o->kind->show(o, &v, field_of(o));
	cdm_textf(t, "%-14s %-12s default %-9s %s [%s]\n", o->name, value, o->standard ? o->standard : "unset", o->help,
		  o->accepted);
}

static void print_markdown_row(struct cdm_text *t, const struct option *o)
{
	cdm_textf(t, "| `%s` | %s | %s | %s%s%s |\n", o->name, o->help, o->accepted, o->standard ? "`" : "",
		  o->standard ? o->standard : "unset", o->standard ? "`" : "");
}

void cdm_config_print(struct cdm_text *t, int markdown)
{
	if (markdown)
		cdm_textf(t, "| variable | meaning | accepted | default |\n|---|---|---|---|\n");
	for (const struct option *o = options; o < options + OPTIONS; o++)
		(markdown ? print_markdown_row : print_row)(t, o);
}

#include "offload/dev/choice.h"

#include <cpuid.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "offload/base/sys.h"
#include "offload/base/version.h"
#include "offload/dev/cpus.h"

/* ---- key -------------------------------------------------------------------------------------------- */

/* The first line of the file. */
static const char magic[] = "cdm-choice 5";

#define FNV_START 14695981039346656037u
#define FNV_PRIME 1099511628211u

static void mix(uint64_t *h, const void *p, size_t n)
{
	for (const unsigned char *b = p; n; n--)
		*h = (*h ^ *b++) * FNV_PRIME;
}

/* With its NUL, so that neighbours cannot run into each other. */
static void mix_text(uint64_t *h, const char *s)
{
	mix(h, s, strlen(s) + 1);
}

static void mix_number(uint64_t *h, uint64_t v)
{
	mix(h, &v, sizeof(v));
}

static void mix_cpu(uint64_t *h)
{
	unsigned r[4] = {0};

	if (__get_cpuid(1, &r[0], &r[1], &r[2], &r[3]))
		mix_number(h, r[0]); /* family, model, stepping; the rest differs from core to core */
	for (unsigned leaf = 0x80000002; leaf <= 0x80000004; leaf++)
		if (__get_cpuid(leaf, &r[0], &r[1], &r[2], &r[3]))
			mix(h, r, sizeof(r));
}

uint64_t cdm_choice_key(const struct cdm_blas_file *list, int n, const char *want, int threads)
{
	uint64_t h = FNV_START;

	mix_text(&h, CDM_VERSION);
	mix_text(&h, magic);
	mix_cpu(&h);
	mix_number(&h, (uint64_t)cdm_allowed_cpus());
	mix_number(&h, (uint64_t)threads);
	mix_text(&h, want ? want : "");
	for (int i = 0; i < n; i++) {
		mix_text(&h, list[i].path);
		mix_number(&h, list[i].size);
		mix_number(&h, (uint64_t)list[i].mtime_ns);
	}
	return h;
}

/* ---- text ------------------------------------------------------------------------------------------- */

static const char scalar_letters[] = "sdcz";

/* A line of a table: "team gemm d square 0011112222222222"; none for a row that is as in a plan without rows. */
static void print_row(struct cdm_text *t, const char *which, int family, int type, int aspect, const uint8_t *row,
		      uint8_t usual)
{
	char digits[CDM_CLASSES + 1] = "";
	bool differs = false;

	for (int i = 0; i < CDM_CLASSES; i++) {
		digits[i] = (char)('0' + row[i]);
		differs |= row[i] != usual;
	}
	if (differs)
		cdm_textf(t, "%s %s %c %s %s\n", which, cdm_family_name[family], scalar_letters[type],
			  cdm_aspect_name[aspect], digits);
}

static void print_table(struct cdm_text *t, const char *which, const cdm_plan_table *table, uint8_t usual)
{
	for (int f = 0; f < CDM_FAMILIES; f++)
		for (int s = 0; s < 4; s++)
			for (int a = 0; a < CDM_ASPECTS; a++)
				print_row(t, which, f, s, a, (*table)[f][s][a], usual);
}

/* "from gemm d square 1048576" */
static void print_starts(struct cdm_text *t, const struct cdm_plan *plan)
{
	for (int f = 0; f < CDM_FAMILIES; f++)
		for (int s = 0; s < 4; s++)
			for (int a = 0; a < CDM_ASPECTS; a++)
				if (plan->team_from[f][s][a])
					cdm_textf(t, "from %s %c %s %lu\n", cdm_family_name[f], scalar_letters[s],
						  cdm_aspect_name[a], (unsigned long)plan->team_from[f][s][a]);
}

void cdm_choice_print(struct cdm_text *t, const struct cdm_choice *c, uint64_t key)
{
	cdm_textf(t, "%s\nkey %lx\n", magic, (unsigned long)key);
	for (int i = 0; i < c->plan.settings; i++) {
		const struct cdm_setting *s = &c->plan.setting[i];
		cdm_textf(t, "setting %d %s %s\n", s->threads, s->core[0] ? s->core : "-", s->library);
	}
	print_table(t, "team", &c->plan.team, 0);
	print_table(t, "alone", &c->plan.alone, (uint8_t)cdm_plan_first_alone(&c->plan));
	print_starts(t, &c->plan);
	cdm_textf(t, "mflops %lu\ncrossover %lu\ndetailed %lu\nprovisional %lu\nend\n", (unsigned long)c->mflops,
		  (unsigned long)c->crossover, (unsigned long)c->detailed, (unsigned long)c->provisional);
}

/* A part of a line, up to a space or the line's end. */
struct word {
	const char *s;
	size_t len;
};

static struct word next_word(const char **at, const char *end)
{
	struct word w = {*at, 0};

	while (w.s + w.len < end && w.s[w.len] != ' ')
		w.len++;
	*at = w.s + w.len < end ? w.s + w.len + 1 : end;
	return w;
}

static bool is(struct word w, const char *text)
{
	return strlen(text) == w.len && !memcmp(w.s, text, w.len);
}

static int index_of(struct word w, const char *const *names, int n)
{
	for (int i = 0; i < n; i++)
		if (is(w, names[i]))
			return i;
	return -1;
}

static int number(struct word w, unsigned base, uint64_t *v)
{
	static const char digits[] = "0123456789abcdef";
	uint64_t n = 0;

	if (!w.len)
		return -EINVAL;
	for (size_t i = 0; i < w.len; i++) {
		const char *d = memchr(digits, w.s[i], base);
		if (!d || __builtin_mul_overflow(n, base, &n) || __builtin_add_overflow(n, (uint64_t)(d - digits), &n))
			return -EINVAL;
	}
	*v = n;
	return 0;
}

static int copy(struct word w, char *buf, size_t cap)
{
	if (!w.len || w.len >= cap)
		return -EINVAL;
	memcpy(buf, w.s, w.len);
	buf[w.len] = '\0';
	return 0;
}

static const char *const number_names[] = {"key", "mflops", "crossover", "detailed", "provisional"};
enum { NUMBERS = sizeof(number_names) / sizeof(*number_names) };

struct parsed {
	struct cdm_choice c;
	uint64_t number[NUMBERS];
	unsigned seen; /* bit per number */
	bool rows;     /* met: there are no more settings */
};

/* The rest of the line: a library's path may have spaces. */
static int parse_setting(struct parsed *p, const char *at, const char *end)
{
	struct cdm_plan *plan = &p->c.plan;
	struct cdm_setting *s = &plan->setting[plan->settings];
	uint64_t threads;

	if (p->rows || plan->settings == CDM_SETTINGS || number(next_word(&at, end), 10, &threads) || threads > 4096)
		return -EINVAL;
	struct word core = next_word(&at, end), path = {at, (size_t)(end - at)};
	if ((!is(core, "-") && copy(core, s->core, sizeof(s->core))) || copy(path, s->library, sizeof(s->library)))
		return -EINVAL;
	s->threads = (int)threads;
	plan->settings++;
	memset(plan->alone, cdm_plan_first_alone(plan), sizeof(plan->alone));
	return 0;
}

/* Family, type and aspect, and what follows them. */
static int parse_row(struct parsed *p, struct word name, const char *at, const char *end)
{
	struct cdm_plan *plan = &p->c.plan;
	int family = index_of(next_word(&at, end), cdm_family_name, CDM_FAMILIES);
	struct word scalar = next_word(&at, end);
	int aspect = index_of(next_word(&at, end), cdm_aspect_name, CDM_ASPECTS);
	struct word value = next_word(&at, end);
	const char *letter = scalar.len == 1 ? memchr(scalar_letters, scalar.s[0], 4) : NULL;

	if (family < 0 || aspect < 0 || !letter)
		return -EINVAL;
	p->rows = true;
	if (is(name, "from"))
		return number(value, 10, &plan->team_from[family][letter - scalar_letters][aspect]);
	cdm_plan_table *table = is(name, "team") ? &plan->team : &plan->alone;
	for (int i = 0; value.len == CDM_CLASSES && i < CDM_CLASSES; i++)
		(*table)[family][letter - scalar_letters][aspect][i] = (uint8_t)(value.s[i] - '0');
	return value.len == CDM_CLASSES ? 0 : -EINVAL;
}

static int parse_line(struct parsed *p, const char *line, size_t len)
{
	const char *at = line, *end = line + len;
	struct word name = next_word(&at, end);
	int n = index_of(name, number_names, NUMBERS);

	if (is(name, "setting"))
		return parse_setting(p, at, end);
	if (is(name, "team") || is(name, "alone") || is(name, "from"))
		return parse_row(p, name, at, end);
	if (n < 0 || p->seen & 1u << n)
		return -EINVAL;
	p->seen |= 1u << n;
	return number((struct word){at, (size_t)(end - at)}, n ? 10 : 16, &p->number[n]);
}

#define MOST_CROSSOVER 1000000000000000u /* flops */

static bool complete(const struct parsed *p)
{
	return p->seen == (1u << NUMBERS) - 1 && p->number[2] <= MOST_CROSSOVER && cdm_plan_is_valid(&p->c.plan);
}

/* The lines up to "end". */
static int parse_lines(struct parsed *p, const char *text)
{
	for (bool first = true;; first = false) {
		size_t len = strcspn(text, "\n");
		struct word line = {text, len};
		if (text[len] != '\n')
			return -EINVAL; /* cut short: "end" not met */
		if (first ? !is(line, magic) : !is(line, "end") && parse_line(p, text, len))
			return -EINVAL;
		if (!first && is(line, "end"))
			return 0;
		text += len + 1;
	}
}

int cdm_choice_parse(const char *text, uint64_t key, struct cdm_choice *c)
{
	struct parsed p;

	memset(&p, 0, sizeof(p));
	if (parse_lines(&p, text) || !complete(&p))
		return -EINVAL;
	if (p.number[0] != key)
		return -ESTALE;
	p.c.mflops = p.number[1];
	p.c.crossover = p.number[2];
	p.c.detailed = p.number[3];
	p.c.provisional = p.number[4];
	*c = p.c;
	return 0;
}

/* ---- file ------------------------------------------------------------------------------------------- */

static const char *absolute(const char *name)
{
	const char *v = secure_getenv(name);
	return v && v[0] == '/' ? v : NULL;
}

int cdm_choice_path(char *buf, size_t cap, const char *name)
{
	struct cdm_text t;
	const char *dir = absolute("XDG_CACHE_HOME");
	const char *sub = "";

	if (!dir) {
		dir = absolute("HOME");
		sub = "/.cache";
	}
	if (!dir)
		return -ENOENT;
	cdm_text_init(&t, buf, cap);
	cdm_textf(&t, "%s%s/cdm/%s", dir, sub, name);
	return t.cut ? -ENAMETOOLONG : 0;
}

static int key_path(char *buf, size_t cap, uint64_t key, const char *suffix)
{
	char name[64];

	cdm_fmt(name, sizeof(name), "blas-%lx%s", (unsigned long)key, suffix);
	return cdm_choice_path(buf, cap, name);
}

/* *age: seconds since the file was written. */
static int read_trusted(int fd, char *buf, size_t cap, int64_t *age)
{
	struct stat st;
	size_t n = 0;
	ssize_t got;

	if (cdm_sys3(SYS_fstat, fd, (long)&st, 0) < 0 || !S_ISREG(st.st_mode) || (st.st_mode & (S_IWGRP | S_IWOTH)) ||
	    st.st_uid != (uid_t)cdm_sys3(SYS_geteuid, 0, 0, 0))
		return -EACCES;
	*age = time(NULL) - st.st_mtim.tv_sec;
	while (n < cap - 1 && (got = cdm_sys_read(fd, buf + n, cap - 1 - n)) > 0)
		n += (size_t)got;
	buf[n] = '\0';
	return 0;
}

int cdm_choice_load(uint64_t key, struct cdm_choice *c)
{
	char path[CDM_BLAS_PATH], text[CDM_CHOICE_MAX];
	struct cdm_choice found;
	int64_t age = 0;
	int ret = key_path(path, sizeof(path), key, "");

	if (ret < 0)
		return ret;
	int fd = cdm_sys_open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0);
	if (fd < 0)
		return fd == -ELOOP ? -EACCES : fd;
	ret = read_trusted(fd, text, sizeof(text), &age);
	cdm_sys_close(fd);
	if (!ret)
		ret = cdm_choice_parse(text, key, &found);
	if (!ret && found.provisional && (age < 0 || age > CDM_CHOICE_PROVISIONAL_S))
		ret = -ESTALE;
	if (!ret)
		*c = found;
	return ret;
}

void cdm_choice_make_directory(void)
{
	char path[CDM_BLAS_PATH];

	if (cdm_choice_path(path, sizeof(path), ""))
		return;
	char *last = strrchr(path, '/');
	*last = '\0';
	char *above = strrchr(path, '/');
	*above = '\0';
	(void)cdm_sys3(SYS_mkdir, (long)path, 0700, 0);
	*above = '/';
	(void)cdm_sys3(SYS_mkdir, (long)path, 0700, 0);
}

static int write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t put = cdm_sys_write(fd, p, n);
		if (put == -EINTR)
			continue;
		if (put <= 0)
			return put ? (int)put : -EIO;
		p += put;
		n -= (size_t)put;
	}
	return 0;
}

int cdm_choice_save(uint64_t key, const struct cdm_choice *c)
{
	char path[CDM_BLAS_PATH], temp[CDM_BLAS_PATH], text[CDM_CHOICE_MAX], suffix[24];
	struct cdm_text t;

	cdm_text_init(&t, text, sizeof(text));
	cdm_choice_print(&t, c, key);
	cdm_fmt(suffix, sizeof(suffix), ".%d.new", cdm_sys_getpid());
	int ret = key_path(path, sizeof(path), key, "");
	if (!ret)
		ret = key_path(temp, sizeof(temp), key, suffix);
	if (ret || t.cut)
		return ret ? ret : -ENAMETOOLONG;
	cdm_choice_make_directory();
	int fd = cdm_sys_open(temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return fd;
	ret = write_all(fd, text, t.len);
	cdm_sys_close(fd);
	if (!ret)
		ret = (int)cdm_sys3(SYS_rename, (long)temp, (long)path, 0);
	if (ret)
		(void)cdm_sys3(SYS_unlink, (long)temp, 0, 0);
	return ret;
}

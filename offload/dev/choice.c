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

/* ---- key -------------------------------------------------------------------------------------------- */

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

int cdm_allowed_cpus(void)
{
	unsigned long mask[1024 / sizeof(long)];
	int n = 0;
	long bytes = cdm_sys3(SYS_sched_getaffinity, 0, sizeof(mask), (long)mask);

	for (long i = 0; i < bytes / (long)sizeof(long); i++)
		n += __builtin_popcountl(mask[i]);
	return n > 0 ? n : 1;
}

uint64_t cdm_choice_key(const struct cdm_blas_file *list, int n, const char *want, int threads)
{
	uint64_t h = FNV_START;

	mix_text(&h, CDM_VERSION);
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

static const char magic[] = "cdm-choice 1";

void cdm_choice_print(struct cdm_text *t, const struct cdm_choice *c, uint64_t key)
{
	cdm_textf(t, "%s\nkey %lx\nlibrary %s\n", magic, (unsigned long)key, c->library);
	if (c->core[0])
		cdm_textf(t, "core %s\n", c->core);
	cdm_textf(t, "threads %d\nmflops %lu\ncrossover %lu\nprovisional %lu\nend\n", c->threads,
		  (unsigned long)c->mflops, (unsigned long)c->crossover, (unsigned long)c->provisional);
}

static int number(const char *s, size_t len, unsigned base, uint64_t *v)
{
	static const char digits[] = "0123456789abcdef";
	uint64_t n = 0;

	if (!len)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		const char *d = memchr(digits, s[i], base);
		if (!d || __builtin_mul_overflow(n, base, &n) || __builtin_add_overflow(n, (uint64_t)(d - digits), &n))
			return -EINVAL;
	}
	*v = n;
	return 0;
}

static int word(const char *s, size_t len, char *buf, size_t cap)
{
	if (!len || len >= cap)
		return -EINVAL;
	memcpy(buf, s, len);
	buf[len] = '\0';
	return 0;
}

enum field { F_KEY, F_LIBRARY, F_CORE, F_THREADS, F_MFLOPS, F_CROSSOVER, F_PROVISIONAL, F_COUNT };
static const char *const field_names[F_COUNT] = {"key",    "library",   "core",       "threads",
						 "mflops", "crossover", "provisional"};

struct parsed {
	struct cdm_choice c;
	uint64_t key, threads;
	unsigned seen; /* bit per field */
};

static int parse_field(struct parsed *p, int field, const char *s, size_t len)
{
	if (p->seen & 1u << field)
		return -EINVAL;
	p->seen |= 1u << field;
	switch (field) {
	case F_KEY:
		return number(s, len, 16, &p->key);
	case F_LIBRARY:
		return word(s, len, p->c.library, sizeof(p->c.library));
	case F_CORE:
		return word(s, len, p->c.core, sizeof(p->c.core));
	case F_THREADS:
		return number(s, len, 10, &p->threads);
	case F_MFLOPS:
		return number(s, len, 10, &p->c.mflops);
	case F_CROSSOVER:
		return number(s, len, 10, &p->c.crossover);
	default:
		return number(s, len, 10, &p->c.provisional);
	}
}

static int parse_line(struct parsed *p, const char *line, size_t len)
{
	const char *space = memchr(line, ' ', len);

	for (int f = 0; space && f < F_COUNT; f++)
		if (!strncmp(line, field_names[f], (size_t)(space - line)) && !field_names[f][space - line])
			return parse_field(p, f, space + 1, len - (size_t)(space + 1 - line));
	return -EINVAL;
}

static bool complete(const struct parsed *p)
{
	return (p->seen | 1u << F_CORE) == (1u << F_COUNT) - 1 && p->c.library[0] == '/' && p->threads >= 1 &&
	       p->threads <= 4096;
}

int cdm_choice_parse(const char *text, uint64_t key, struct cdm_choice *c)
{
	struct parsed p;
	bool first = true;

	memset(&p, 0, sizeof(p));
	for (;;) {
		size_t len = strcspn(text, "\n");
		if (text[len] != '\n')
			return -EINVAL; /* cut short: "end" not met */
		if (first ? len != strlen(magic) || strncmp(text, magic, len) : 0)
			return -EINVAL;
		if (!first && len == 3 && !strncmp(text, "end", 3))
			break;
		if (!first && parse_line(&p, text, len))
			return -EINVAL;
		first = false;
		text += len + 1;
	}
	if (!complete(&p))
		return -EINVAL;
	if (p.key != key)
		return -ESTALE;
	p.c.threads = (int)p.threads;
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

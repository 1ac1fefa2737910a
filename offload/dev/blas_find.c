#include "offload/dev/blas_find.h"

#include <dirent.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "offload/base/cpu.h"
#include "offload/base/fmt.h"
#include "offload/base/sys.h"

static const char *const bases[] = {
	"/usr/local/lib",
	"/usr/lib/x86_64-linux-gnu",
	"/usr/lib64",
	"/usr/lib",
	"/opt/intel/oneapi/mkl/latest/lib",
	"/opt/intel/oneapi/mkl/latest/lib/intel64",
	NULL,
};
static const char *const subdirs[] = {
	"",
	"/openblas-pthread",
	"/openblas-openmp",
	"/openblas-serial",
	"/openblas",
	"/blis-pthread",
	"/blis-openmp",
	"/blis-serial",
	"/mkl",
	"/atlas",
	"/blas",
	NULL,
};
/* In a directory that has one of these, its libblas.so.3 is the same code under the generic name. */
static const char *const names[] = {
	"libopenblas.so.0",  "libopenblas.so",
	"libopenblasp.so.0", "libopenblaso.so.0",
	"libblis.so.4",      "libblis.so.3",
	"libblis.so",        "libmkl_rt.so.3",
	"libmkl_rt.so.2",    "libmkl_rt.so.1",
	"libmkl_rt.so",      "libtatlas.so.3",
	"libsatlas.so.3",    NULL,
};
static const char generic[] = "libblas.so.3";

struct search {
	const char *file; /* only this file name; NULL: the usual ones */
	const char *part; /* only paths that match; NULL: any */
	struct cdm_blas_file *list;
	int n, max;
};

static const char *file_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static bool matches(const char *path, const char *part)
{
	if (!part)
		return true;
	if (!strcasecmp(part, "netlib") || !strcasecmp(part, "reference"))
		return strstr(path, "/blas/") || (!strncmp(file_name(path), "libblas", 7) && !strstr(path, "atlas"));
	return strcasestr(path, part);
}

/* The file behind path, its name resolved by the kernel. */
static bool identify(const char *path, struct cdm_blas_file *f)
{
	struct stat st;
	char link[32];
	int fd = cdm_sys_open(path, O_PATH | O_CLOEXEC, 0);

	if (fd < 0)
		return false;
	cdm_fmt(link, sizeof(link), "/proc/self/fd/%d", fd);
	bool ok = cdm_sys3(SYS_fstat, fd, (long)&st, 0) == 0 && S_ISREG(st.st_mode);
	long len = cdm_sys3(SYS_readlink, (long)link, (long)f->path, sizeof(f->path) - 1);
	cdm_sys_close(fd);
	if (!ok || len >= (long)sizeof(f->path) - 1)
		return false;
	if (len > 0)
		f->path[len] = '\0';
	else
		cdm_fmt(f->path, sizeof(f->path), "%s", path);
	f->dev = st.st_dev;
	f->ino = st.st_ino;
	f->size = (uint64_t)st.st_size;
	f->mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	return true;
}

/* True when the file exists, whether or not it was new and wanted. */
static bool add(struct search *s, const char *path)
{
	struct cdm_blas_file f;

	if (!identify(path, &f))
		return false;
	for (int i = 0; i < s->n; i++)
		if (s->list[i].dev == f.dev && s->list[i].ino == f.ino)
			return true;
	if (s->n < s->max && matches(f.path, s->part))
		s->list[s->n++] = f;
	return true;
}

static bool add_in(struct search *s, const char *dir, const char *file)
{
	char path[CDM_BLAS_PATH];
	struct cdm_text t;

	cdm_text_init(&t, path, sizeof(path));
	cdm_textf(&t, "%s/%s", dir, file);
	return !t.cut && add(s, path);
}

static void search_dir(struct search *s, const char *dir)
{
	bool any = false;
	int fd = cdm_sys_open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);

	if (fd < 0)
		return;
	cdm_sys_close(fd);
	if (s->file) {
		add_in(s, dir, s->file);
		return;
	}
	for (int i = 0; names[i]; i++)
		any |= add_in(s, dir, names[i]);
	if (!any)
		add_in(s, dir, generic);
}

/* The absolute directories of a colon-separated list. */
static void search_list(struct search *s, const char *dirs)
{
	char dir[CDM_BLAS_PATH];

	while (dirs && *dirs) {
		size_t len = strcspn(dirs, ":");
		if (dirs[0] == '/' && len < sizeof(dir)) {
			memcpy(dir, dirs, len);
			dir[len] = '\0';
			search_dir(s, dir);
		}
		dirs += len + (dirs[len] == ':');
	}
}

static void search_system(struct search *s)
{
	char dir[CDM_BLAS_PATH];

	for (int i = 0; bases[i]; i++)
		for (int j = 0; subdirs[j]; j++) {
			cdm_fmt(dir, sizeof(dir), "%s%s", bases[i], subdirs[j]);
			search_dir(s, dir);
		}
}

/* ---- Python's wheels ------------------------------------------------------------------------------------ */

/* In a directory of Python's packages: what NumPy and SciPy bring along, and OpenBLAS as a package of its own. */
static const char *const wheel_dirs[] = {"numpy.libs", "scipy.libs", "scipy_openblas32/lib", "scipy_openblas64/lib"};
static const char wheel_name[] = "libscipy_openblas";

/* Calls visit for the entries of dir that begin with prefix. */
static void each_entry(struct search *s, const char *dir, const char *prefix,
		       void (*visit)(struct search *s, const char *dir, const char *name))
{
	char buf[4096];
	int fd = cdm_sys_open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);

	for (long got; fd >= 0 && (got = cdm_sys3(SYS_getdents64, fd, (long)buf, sizeof(buf))) > 0;)
		for (long at = 0; at < got;) {
			struct dirent64 *d = (struct dirent64 *)(buf + at);
			at += d->d_reclen;
			if (!strncmp(d->d_name, prefix, strlen(prefix)))
				visit(s, dir, d->d_name);
		}
	if (fd >= 0)
		cdm_sys_close(fd);
}

static void add_wheel(struct search *s, const char *dir, const char *name)
{
	add_in(s, dir, name);
}

static void search_packages(struct search *s, const char *dir, const char *packages)
{
	char wheel[CDM_BLAS_PATH];

	for (size_t i = 0; i < sizeof(wheel_dirs) / sizeof(*wheel_dirs); i++) {
		cdm_fmt(wheel, sizeof(wheel), "%s/%s/%s", dir, packages, wheel_dirs[i]);
		each_entry(s, wheel, wheel_name, add_wheel);
	}
}

static void search_python(struct search *s, const char *dir, const char *name)
{
	char path[CDM_BLAS_PATH];

	cdm_fmt(path, sizeof(path), "%s/%s", dir, name);
	search_packages(s, path, "site-packages");
	search_packages(s, path, "dist-packages");
}

/* Below a prefix that Python or Conda is installed in. */
static void search_prefix(struct search *s, const char *prefix, const char *sub)
{
	char dir[CDM_BLAS_PATH];

	if (!prefix || prefix[0] != '/')
		return;
	cdm_fmt(dir, sizeof(dir), "%s%s/lib", prefix, sub);
	search_dir(s, dir);
	each_entry(s, dir, "python3", search_python);
}

static void search_wheels(struct search *s)
{
	search_prefix(s, secure_getenv("VIRTUAL_ENV"), "");
	search_prefix(s, secure_getenv("CONDA_PREFIX"), "");
	search_prefix(s, secure_getenv("HOME"), "/.local");
	search_prefix(s, "/usr/local", "");
	search_prefix(s, "/usr", "");
}

/* Smaller is tried first where nothing was measured. MKL is last: without its threading library it exits. */
static int rank(const struct cdm_blas_file *f)
{
	const char *name = file_name(f->path);

	if (strstr(name, "openblas"))
		return strstr(f->path, "serial") ? 2 : 0;
	if (strstr(name, "blis"))
		return strstr(f->path, "serial") ? 3 : 1;
	if (strstr(name, "mkl"))
		return 6;
	return strstr(f->path, "atlas") ? 4 : 5;
}

static bool after(const struct cdm_blas_file *a, const struct cdm_blas_file *b)
{
	return rank(a) != rank(b) ? rank(a) > rank(b) : strcmp(a->path, b->path) > 0;
}

/* The same order for the same files, wherever the search began: the cached choice depends on it. */
static void sort(struct cdm_blas_file *list, int n)
{
	for (int i = 1; i < n; i++) {
		struct cdm_blas_file f = list[i];
		int j = i;
		for (; j > 0 && after(&list[j - 1], &f); j--)
			list[j] = list[j - 1];
		list[j] = f;
	}
}

int cdm_blas_find(const char *want, struct cdm_blas_file *list, int max)
{
	struct search s = {.list = list, .max = max};

	if (want && strchr(want, '/')) {
		add(&s, want);
		return s.n;
	}
	if (want && strstr(want, ".so"))
		s.file = want;
	else
		s.part = want;
	search_list(&s, secure_getenv("LD_LIBRARY_PATH"));
	search_system(&s);
	if (!s.file)
		search_wheels(&s);
	sort(list, s.n);
	return s.n;
}

int cdm_blas_core_types(const char **types, int max)
{
	int n = 0;
#define TYPE(name, can)                                                                                                \
	if ((can) && n < max)                                                                                          \
	types[n++] = (name)
	unsigned cpu = cdm_cpu(), amd = cpu & CDM_CPU_AMD, avx2 = cpu & CDM_CPU_AVX2;

	/* First: the next two may be wrong (blas_check.c), and have the same kernels else. */
	TYPE("SkylakeX", cpu & CDM_CPU_AVX512);
	TYPE("SapphireRapids", cpu & CDM_CPU_BF16 && !amd);
	TYPE("Cooperlake", cpu & CDM_CPU_BF16);
	TYPE("Zen", avx2 && amd);
	TYPE("Haswell", avx2);
	TYPE("Zen", avx2 && !amd);
	TYPE("Sandybridge", cpu & CDM_CPU_AVX && !avx2);
	TYPE("Nehalem", cpu & CDM_CPU_SSE42 && !(cpu & CDM_CPU_AVX));
#undef TYPE
	return n;
}

bool cdm_blas_is_openblas(const char *path)
{
	return strstr(path, "openblas");
}

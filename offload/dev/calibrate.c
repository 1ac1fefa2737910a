#include "offload/dev/calibrate.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "offload/base/log.h"
#include "offload/base/mapped.h"
#include "offload/base/sys.h"
#include "offload/dev/cpus.h"
#include "offload/dev/spawn.h"

#ifndef MFD_CLOEXEC
#define MFD_CLOEXEC 1u
#endif

/* ---- the tool's path -------------------------------------------------------------------------------- */

/* The tool beside this code: in the build tree, or installed under a common prefix. */
static int find_tool(char *path, size_t cap)
{
	static const char *const places[] = {"cdm", "../bin/cdm", "../../bin/cdm"};
	char self[CDM_BLAS_PATH];
	int ret = cdm_mapped_file((uintptr_t)&find_tool, self, sizeof(self));

	if (ret)
		return ret;
	*strrchr(self, '/') = '\0';
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		struct cdm_text t;
		cdm_text_init(&t, path, cap);
		cdm_textf(&t, "%s/%s", self, places[i]);
		if (!t.cut && !cdm_sys6(SYS_faccessat, AT_FDCWD, (long)path, 1 /* X_OK */, 0, 0, 0))
			return 0;
	}
	return -ENOENT;
}

/* ---- running it ------------------------------------------------------------------------------------- */

/* What decides where the cache is and which libraries there are; nothing else of the program's environment. */
static void tool_environment(char **env, size_t max, char *buf, size_t cap)
{
	static const char *const pass[] = {"HOME", "XDG_CACHE_HOME", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "CONDA_PREFIX"};
	struct cdm_text t;
	size_t n = 0;

	for (size_t i = 0; i < sizeof(pass) / sizeof(*pass) && n + 1 < max; i++) {
		const char *value = secure_getenv(pass[i]);
		if (!value)
			continue;
		cdm_text_init(&t, buf, cap);
		cdm_textf(&t, "%s=%s", pass[i], value);
		if (t.cut)
			continue;
		env[n++] = buf;
		buf += t.len + 1;
		cap -= t.len + 1;
	}
	env[n] = NULL;
}

static int run_tool(const char *tool, const char *want, int threads, int out)
{
	char count[16], env_text[4096], *env[6];
	const char *argv[] = {"cdm", "calibrate", "--child", "--threads", count, want ? "--blas" : NULL, want, NULL};

	cdm_fmt(count, sizeof(count), "%d", threads);
	tool_environment(env, sizeof(env) / sizeof(*env), env_text, sizeof(env_text));
	return cdm_spawn_quietly(tool, (char *const *)argv, env, out, CDM_CALIBRATE_LIMIT_MS);
}

static int measure(const char *want, int threads, uint64_t key, struct cdm_choice *c)
{
	char tool[CDM_BLAS_PATH], text[CDM_CHOICE_MAX];
	int ret = find_tool(tool, sizeof(tool));

	if (ret)
		return ret;
	int out = (int)cdm_sys3(SYS_memfd_create, (long)"cdm", MFD_CLOEXEC, 0);
	if (out < 0)
		return out;
	ret = run_tool(tool, want, threads, out);
	ssize_t len = ret ? 0 : cdm_sys_pread(out, text, sizeof(text) - 1, 0);
	cdm_sys_close(out);
	if (len <= 0) {
		cdm_log(CDM_LOG_INFO, "the calibration by %s failed (%d)", tool, ret);
		return -EIO;
	}
	text[len] = '\0';
	return cdm_choice_parse(text, key, c) ? -EIO : 0;
}

/* A file that names a library which the search did not find is not followed. */
static int known(const struct cdm_blas_file *list, int n, const struct cdm_choice *c)
{
	for (int s = 0; s < c->plan.settings; s++) {
		int i = 0;
		while (i < n && strcmp(list[i].path, c->plan.setting[s].library))
			i++;
		if (i == n)
			return 0;
	}
	return 1;
}

int cdm_calibrate(const struct cdm_blas_file *list, int n, const char *want, int threads, struct cdm_choice *c)
{
	uint64_t key = cdm_choice_key(list, n, want, threads);
	struct cdm_choice found;
	int ret = cdm_choice_load(key, &found);

	if (ret == -EACCES)
		cdm_log(CDM_LOG_INFO, "the cached choice of a BLAS library is not the user's own file: ignored");
	if (ret || !known(list, n, &found))
		ret = measure(want, threads, key, &found);
	if (!ret && !known(list, n, &found))
		ret = -EIO;
	if (!ret)
		*c = found;
	return ret;
}

void cdm_calibrate_guess(const struct cdm_blas_file *list, int threads, struct cdm_choice *c)
{
	struct cdm_setting s = {.threads = threads ? threads : cdm_allowed_cpus()};
	const char *type;

	cdm_fmt(s.library, sizeof(s.library), "%s", list[0].path);
	if (cdm_blas_is_openblas(list[0].path) && cdm_blas_core_types(&type, 1))
		cdm_fmt(s.core, sizeof(s.core), "%s", type);
	memset(c, 0, sizeof(*c));
	cdm_plan_simple(&c->plan, &s);
	c->crossover = (uint64_t)(CDM_DISPATCH_SHARE * CDM_DISPATCH_S * 20e9); /* at 20 GFLOP/s, a slow core */
}

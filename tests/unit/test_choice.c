/* The calibrated choice: text, key, the file's trust, and the search for libraries. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "offload/dev/choice.h"
#include "offload/dev/cpus.h"

static char dir[64];

static void temporary_cache(void)
{
	strcpy(dir, "/tmp/cdm-choice-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	setenv("XDG_CACHE_HOME", dir, 1);
}

static void remove_cache(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	cr_assert_eq(system(command), 0);
}

TestSuite(choice, .init = temporary_cache, .fini = remove_cache);

static struct cdm_choice sample(void)
{
	struct cdm_choice c = {.mflops = 123456, .crossover = 987654, .detailed = 1};
	struct cdm_setting team = {.library = "/a directory/libx.so.1", .core = "Haswell", .threads = 7};
	struct cdm_setting other = {.library = "/b/liby.so", .threads = 1};

	cdm_plan_simple(&c.plan, &team);
	c.plan.setting[c.plan.settings++] = other;
	c.plan.setting[c.plan.settings] = team;
	strcpy(c.plan.setting[c.plan.settings++].core, "Zen");
	c.plan.team[CDM_FAMILY_GETRF][CDM_Z][CDM_WIDE][3] = 3;
	c.plan.team_from[CDM_FAMILY_SYRK][CDM_C][CDM_FLAT] = 1234567;
	c.plan.alone[CDM_FAMILY_GEMM][CDM_S][CDM_DEEP][CDM_CLASSES - 1] = 2;
	return c;
}

static void expect_sample(const struct cdm_choice *c)
{
	struct cdm_choice want = sample();

	cr_assert_eq(c->plan.settings, want.plan.settings);
	for (int i = 0; i < want.plan.settings; i++) {
		cr_assert_str_eq(c->plan.setting[i].library, want.plan.setting[i].library);
		cr_assert_str_eq(c->plan.setting[i].core, want.plan.setting[i].core);
		cr_assert_eq(c->plan.setting[i].threads, want.plan.setting[i].threads);
	}
	cr_assert_eq(memcmp(c->plan.team, want.plan.team, sizeof(c->plan.team)), 0);
	cr_assert_eq(memcmp(c->plan.team_from, want.plan.team_from, sizeof(c->plan.team_from)), 0);
	cr_assert_eq(memcmp(c->plan.alone, want.plan.alone, sizeof(c->plan.alone)), 0);
	cr_assert_eq(c->mflops, want.mflops);
	cr_assert_eq(c->crossover, want.crossover);
	cr_assert_eq(c->detailed, want.detailed);
}

static void print_sample(char *text, uint64_t key)
{
	struct cdm_choice c = sample();
	struct cdm_text t;

	cdm_text_init(&t, text, CDM_CHOICE_MAX);
	cdm_choice_print(&t, &c, key);
	cr_assert(!t.cut);
}

Test(choice, text_round_trip)
{
	char text[CDM_CHOICE_MAX];
	struct cdm_choice c;

	print_sample(text, 0xfedcba9876543210u);
	cr_assert_eq(cdm_choice_parse(text, 0xfedcba9876543210u, &c), 0);
	expect_sample(&c);
	cr_assert_eq(cdm_choice_parse(text, 1, &c), -ESTALE);
}

Test(choice, every_truncation_is_refused)
{
	char text[CDM_CHOICE_MAX];
	struct cdm_choice c;

	print_sample(text, 5);
	for (size_t n = strlen(text); n-- > 0;) {
		text[n] = '\0';
		cr_assert_eq(cdm_choice_parse(text, 5, &c), -EINVAL, "%zu bytes", n);
	}
}

Test(choice, damage_is_refused_or_harmless)
{
	char good[CDM_CHOICE_MAX], text[CDM_CHOICE_MAX];
	struct cdm_choice c;

	print_sample(good, 5);
	for (size_t i = 0; i < strlen(good); i++)
		for (int b = 1; b < 256; b++) {
			strcpy(text, good);
			text[i] = (char)b;
			if (!cdm_choice_parse(text, 5, &c))
				cr_assert(cdm_plan_is_valid(&c.plan));
		}
}

#define HEAD "cdm-choice 5\nkey 5\n"
#define TAIL "mflops 1\ncrossover 1\ndetailed 0\nprovisional 0\nend\n"

Test(choice, bad_fields)
{
	static const char *const bad[] = {
		"",
		"\n",
		("cdm-choice 1\nkey 5\nsetting 1 - /l\nmflops 1\ncrossover 1\ndetailed 0\nprovisional 0\nend\n"),
		HEAD "setting 1 - l\n" TAIL,
		HEAD "setting 0 - /l\n" TAIL,
		HEAD "setting 99999999999999999999 - /l\n" TAIL,
		HEAD "setting 5000 - /l\n" TAIL,
		HEAD "setting 1 /l\n" TAIL,
		HEAD "setting 1 -\n" TAIL,
		HEAD "" TAIL,
		HEAD "setting 1 - /l\nsetting 1 - /l\nsetting 1 - /l\nsetting 1 - /l\nsetting 1 - /l\n" TAIL,
		HEAD "setting 1 - /l\nteam gemm d square 1000000000000000\n" TAIL,
		HEAD "setting 2 - /l\nsetting 1 - /l\nalone gemm d square 0000000000000000\n" TAIL,
		HEAD "setting 1 - /l\nteam gemm d square 000000000000000\n" TAIL,
		HEAD "setting 1 - /l\nteam gemm q square 0000000000000000\n" TAIL,
		HEAD "setting 1 - /l\nteam gemm d round 0000000000000000\n" TAIL,
		HEAD "setting 1 - /l\nteam gelsd d square 0000000000000000\n" TAIL,
		HEAD "setting 1 - /l\nteam gemm d square 0000000000000000\nsetting 1 - /l\n" TAIL,
		HEAD "setting 2 - /l\nsetting 1 - /l\nteam gemm d square 0000000000000001\n" TAIL,
		HEAD "setting 1 - /l\nfrom gemm d square -1\n" TAIL,
		HEAD "setting 1 - /l\nfrom gemm d square\n" TAIL,
		HEAD "setting 1 - /l\nfrom gemm e square 1\n" TAIL,
		HEAD "key 5\nsetting 1 - /l\n" TAIL,
		("cdm-choice 5\nkey 5\nsetting 1 - /l\ncrossover 1\ndetailed 0\nprovisional 0\nend\n"),
		("cdm-choice 5\nkey 5\nsetting 1 - /l\nmflops -1\ncrossover 1\ndetailed 0\nprovisional 0\nend\n"),
		HEAD "setting 1 - /l\nother 1\n" TAIL,
		HEAD "setting 1 - /l\nmflops 1\ncrossover 9223372036854775808\ndetailed 0\nprovisional 0\nend\n",
	};
	struct cdm_choice c;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		cr_assert_eq(cdm_choice_parse(bad[i], 5, &c), -EINVAL, "case %zu", i);
}

Test(choice, file_round_trip_and_trust)
{
	struct cdm_choice c = sample();
	char path[256], to[256];

	cr_assert_eq(cdm_choice_load(42, &c), -ENOENT);
	cr_assert_eq(cdm_choice_save(42, &c), 0);
	memset(&c, 0, sizeof(c));
	cr_assert_eq(cdm_choice_load(42, &c), 0);
	expect_sample(&c);
	cr_assert_eq(cdm_choice_load(43, &c), -ENOENT);

	snprintf(path, sizeof(path), "%s/cdm/blas-2a", dir);
	cr_assert_eq(chmod(path, 0620), 0);
	cr_assert_eq(cdm_choice_load(42, &c), -EACCES);
	cr_assert_eq(chmod(path, 0602), 0);
	cr_assert_eq(cdm_choice_load(42, &c), -EACCES);
	cr_assert_eq(chmod(path, 0600), 0);
	cr_assert_eq(cdm_choice_load(42, &c), 0);

	snprintf(to, sizeof(to), "%s/elsewhere", dir);
	cr_assert_eq(rename(path, to), 0);
	cr_assert_eq(symlink(to, path), 0);
	cr_assert_eq(cdm_choice_load(42, &c), -EACCES);
	cr_assert_eq(cdm_choice_save(42, &c), 0); /* replaces the link, not what it names */
	cr_assert_eq(cdm_choice_load(42, &c), 0);

	if (geteuid() == 0) {
		cr_assert_eq(chown(path, 12345, (gid_t)-1), 0);
		cr_assert_eq(cdm_choice_load(42, &c), -EACCES);
	}
}

Test(choice, provisional_ends)
{
	struct cdm_choice c = sample();
	struct timespec old[2] = {{.tv_sec = time(NULL) - CDM_CHOICE_PROVISIONAL_S - 5}};
	char path[256];

	old[1] = old[0];
	snprintf(path, sizeof(path), "%s/cdm/blas-9", dir);
	for (c.provisional = 0; c.provisional < 2; c.provisional++) {
		cr_assert_eq(cdm_choice_save(9, &c), 0);
		cr_assert_eq(cdm_choice_load(9, &c), 0);
		cr_assert_eq(utimensat(AT_FDCWD, path, old, 0), 0);
		cr_assert_eq(cdm_choice_load(9, &(struct cdm_choice){0}), c.provisional ? -ESTALE : 0);
	}
}

Test(choice, no_cache_directory)
{
	struct cdm_choice c = sample();
	char path[64];

	setenv("XDG_CACHE_HOME", "relative", 1);
	unsetenv("HOME");
	cr_assert_eq(cdm_choice_load(1, &c), -ENOENT);
	cr_assert_eq(cdm_choice_save(1, &c), -ENOENT);
	setenv("HOME", "/h", 1);
	cr_assert_eq(cdm_choice_path(path, sizeof(path), "x"), 0);
	cr_assert_str_eq(path, "/h/.cache/cdm/x");
	cr_assert_eq(cdm_choice_path(path, 8, "x"), -ENAMETOOLONG);
	setenv("XDG_CACHE_HOME", "/proc/no-such", 1);
	cr_assert_lt(cdm_choice_save(1, &c), 0);
}

Test(choice, key_follows_everything)
{
	struct cdm_blas_file f[2] = {{.path = "/a", .size = 1, .mtime_ns = 1}, {.path = "/b"}}, g[2];
	uint64_t key = cdm_choice_key(f, 2, NULL, 0);
	cpu_set_t set;

	cr_assert_eq(cdm_choice_key(f, 2, NULL, 0), key);
	cr_assert_neq(cdm_choice_key(f, 1, NULL, 0), key);
	cr_assert_neq(cdm_choice_key(f, 2, "blis", 0), key);
	cr_assert_neq(cdm_choice_key(f, 2, NULL, 1), key);
	memcpy(g, f, sizeof(g));
	g[0].size++;
	cr_assert_neq(cdm_choice_key(g, 2, NULL, 0), key);
	memcpy(g, f, sizeof(g));
	g[0].mtime_ns++;
	cr_assert_neq(cdm_choice_key(g, 2, NULL, 0), key);
	memcpy(g, f, sizeof(g));
	g[0].path[1] = 'c';
	cr_assert_neq(cdm_choice_key(g, 2, NULL, 0), key);

	int cpus = cdm_allowed_cpus();
	cr_assert_eq(sched_getaffinity(0, sizeof(set), &set), 0);
	cr_assert_eq(cpus, CPU_COUNT(&set));
	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	cr_assert_eq(sched_setaffinity(0, sizeof(set), &set), 0);
	cr_assert_eq(cdm_allowed_cpus(), 1);
	cr_assert(cpus == 1 || cdm_choice_key(f, 2, NULL, 0) != key);
}

static void make_file(const char *name)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	cr_assert_not_null(f);
	fputs(name, f);
	fclose(f);
}

Test(choice, search_finds_each_file_once)
{
	struct cdm_blas_file f[CDM_BLAS_MAX];
	char path[256], link[256];

	make_file("libblis.so.4");
	make_file("libblas.so.3"); /* beside a real library: only its other name */
	snprintf(path, sizeof(path), "%s/libblis.so.4", dir);
	snprintf(link, sizeof(link), "%s/libopenblas.so.0", dir);
	cr_assert_eq(symlink(path, link), 0);
	setenv("LD_LIBRARY_PATH", dir, 1);

	int seen = 0, n = cdm_blas_find(NULL, f, CDM_BLAS_MAX);
	for (int i = 0; i < n; i++)
		if (!strncmp(f[i].path, dir, strlen(dir))) {
			cr_assert_str_eq(f[i].path, path);
			cr_assert_eq(f[i].size, strlen("libblis.so.4"));
			seen++;
		}
	cr_assert_eq(seen, 1);
	cr_assert_geq(cdm_blas_find("blis", f, CDM_BLAS_MAX), 1);
	n = cdm_blas_find("libblas.so.3", f, CDM_BLAS_MAX);
	for (int i = 0; i < n; i++)
		cr_assert(strstr(f[i].path, "/libblas.so.3"), "%s", f[i].path);
	cr_assert_geq(n, 1);
	cr_assert_eq(cdm_blas_find(link, f, CDM_BLAS_MAX), 1);
	cr_assert_str_eq(f[0].path, path);
	cr_assert_eq(cdm_blas_find("/nonexistent", f, CDM_BLAS_MAX), 0);
	cr_assert_eq(cdm_blas_find("no such library", f, CDM_BLAS_MAX), 0);
	cr_assert_eq(cdm_blas_find(NULL, f, 0), 0);
}

Test(choice, wheels_are_found)
{
	struct cdm_blas_file f[CDM_BLAS_MAX];
	char path[256];
	bool found = false;

	setenv("VIRTUAL_ENV", dir, 1);
	snprintf(path, sizeof(path), "mkdir -p '%s/lib/python3.99/site-packages/numpy.libs'", dir);
	cr_assert_eq(system(path), 0);
	make_file("lib/python3.99/site-packages/numpy.libs/libscipy_openblas64_-0123.so");
	make_file("lib/python3.99/site-packages/numpy.libs/libgfortran-4567.so");
	for (int i = 0, n = cdm_blas_find(NULL, f, CDM_BLAS_MAX); i < n; i++) {
		found |= strstr(f[i].path, "libscipy_openblas64_-0123") != NULL;
		cr_assert_null(strstr(f[i].path, "libgfortran"));
	}
	cr_assert(found);
}

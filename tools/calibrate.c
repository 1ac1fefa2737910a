/* The measurement.
 *
 *	1. every library, OpenBLAS with every core type that the CPU has: one small size (order 256). Whoever is far
 *	   behind the best is out: a slow library costs a few milliseconds.
 *	2. the rest in turns, a few calls each per round, also at the largest order whose call takes at most 60 ms: what
 *	   disturbs the machine for a moment disturbs all of them (rank.h).
 *	3. the winner's threads: all allowed CPUs, half of them, and so on down to 1.
 *	4. the survey: the finalists, with one thread and with the team, at points that stand for the classes of the plan. For a
 *	   program that waits, double and square shapes stand for all; `cdm calibrate` takes one to two minutes for everything.
 *	5. the crossover: the work from which dispatching is a small part of the call, by the survey's times.
 */
#include "tools/calibrate.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "offload/base/stats.h"
#include "offload/dev/calibrate.h"
#include "offload/dev/cpus.h"
#include "tools/measure.h"
#include "tools/rank.h"
#include "tools/show.h"
#include "tools/survey.h"

enum {
	MAX_CONFIGS = 24,
	MAX_LADDER = 12,
	ROUNDS = 5,
	SMALL = 256,
	SMALL_US = 12000,
	LARGE_US = 60000,
	TURN_US = 4000,
	LADDER_US = 30000,
	DETAILED_MS = 240000,
};
#define DISTURBED 0.10
#define GAIN 1.08 /* by which fewer threads must be faster: on a busy machine they seem to be */
#define MS 1000000u

struct rung {
	int threads;
	double large;
};

struct calibration {
	struct cdm_blas_file files[CDM_BLAS_MAX];
	int nfiles, threads, order, nconfigs, nrungs;
	struct contender configs[MAX_CONFIGS], *best;
	struct rung ladder[MAX_LADDER];
	uint64_t begun, soft, hard; /* ns: start no more; wait no longer */
	struct cdm_choice choice;
	struct survey survey;
};

static struct calibration cal;

static double flops(int n)
{
	return 2.0 * n * n * n;
}

static bool late(void)
{
	return cdm_now_ns() > cal.soft;
}

/* ---- 1: everybody, at the small size ---------------------------------------------------------------- */

/* The same library with the same core type in effect was measured before. */
static bool duplicate(const struct contender *c)
{
	for (const struct contender *d = cal.configs; d < c; d++)
		if (!d->error && !strcmp(d->m.library, c->m.library) && !strcmp(d->m.core, c->m.core))
			return true;
	return false;
}

static void try_config(const char *library, const char *core)
{
	struct contender *c = &cal.configs[cal.nconfigs];

	if (cal.nconfigs == MAX_CONFIGS || late())
		return;
	memset(c, 0, sizeof(*c));
	c->error = measure_start(&c->m, library, core, cal.threads, cal.hard);
	if (!c->error && core[0] && duplicate(c)) {
		measure_end(&c->m);
		return;
	}
	cal.nconfigs++;
	if (c->error)
		return;
	double t = measure_dgemm(&c->m, SMALL, cal.threads, cal.survey.detailed ? 5 * SMALL_US : SMALL_US, cal.hard);
	if (t < 0)
		c->error = -EIO;
	else
		c->small = t;
	if (!c->error && rank_hopeless(cal.configs, cal.nconfigs, c))
		measure_end(&c->m);
}

static void try_library(const char *path)
{
	const char *types[8];
	int n = cdm_blas_is_openblas(path) ? cdm_blas_core_types(types, 8) : 0;

	try_config(path, "");
	for (int i = 0; i < n; i++)
		try_config(path, types[i]);
}

/* ---- 2: the finalists, in turns --------------------------------------------------------------------- */

/* Ends all but the finalists of those that still run. */
static void choose_finalists(void)
{
	bool stays[MAX_CONFIGS];

	for (int i = 0; i < cal.nconfigs; i++)
		stays[i] = rank_finalist(cal.configs, cal.nconfigs, &cal.configs[i]);
	for (int i = 0; i < cal.nconfigs; i++)
		if (!stays[i])
			measure_end(&cal.configs[i].m);
}

static void choose_order(void)
{
	static const int orders[] = {2048, 1536, 1024, 768, 512};
	double rate = flops(SMALL) / rank_best_small(cal.configs, cal.nconfigs);

	for (size_t i = 0; i < sizeof(orders) / sizeof(*orders); i++) {
		cal.order = orders[i];
		if (flops(cal.order) / rate * 1e6 <= LARGE_US)
			return;
	}
}

static void keep_best(double *best, double t)
{
	if (t > 0 && (!*best || t < *best))
		*best = t;
}

static void measure_in_turns(void)
{
	for (int round = 0; round < ROUNDS && !(late() && round > 0); round++)
		for (int i = 0; i < cal.nconfigs; i++) {
			struct contender *c = &cal.configs[i];
			keep_best(&c->large, measure_dgemm(&c->m, cal.order, cal.threads, 0, cal.hard));
			keep_best(&c->small, measure_dgemm(&c->m, SMALL, cal.threads, TURN_US, cal.hard));
		}
}

static void end_all(void)
{
	for (int i = 0; i < cal.nconfigs; i++)
		measure_end(&cal.configs[i].m);
}

/* ---- was the machine ours? ---------------------------------------------------------------------------- */

/* Seconds that the allowed CPUs have worked, for anybody. */
static double busy_seconds(void)
{
	char line[512];
	unsigned long user, nice, system, idle, wait, irq, soft;
	double ticks = 0;
	cpu_set_t allowed;
	int cpu;
	FILE *f = fopen("/proc/stat", "re");

	CPU_ZERO(&allowed);
	sched_getaffinity(0, sizeof(allowed), &allowed);
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "cpu%d %lu %lu %lu %lu %lu %lu %lu", &cpu, &user, &nice, &system, &idle, &wait, &irq,
			   &soft) == 8 &&
		    cpu < CPU_SETSIZE && CPU_ISSET(cpu, &allowed))
			ticks += (double)(user + nice + system + irq + soft);
	if (f)
		fclose(f);
	return ticks / (double)sysconf(_SC_CLK_TCK);
}

static double own_seconds(void)
{
	double sum = 0;
	struct rusage u;

	for (int who = RUSAGE_CHILDREN; who <= RUSAGE_SELF; who++)
		if (!getrusage(who, &u))
			sum += (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
			       1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
	return sum;
}

/* Others took more than DISTURBED of what the allowed CPUs have, since busy was read. Only ended measuring processes
 * are counted as our own. */
static bool disturbed(double busy)
{
	double span = (double)(cdm_now_ns() - cal.begun) * 1e-9 * cdm_allowed_cpus();

	return busy_seconds() - busy - own_seconds() > DISTURBED * span;
}

/* ---- 3: the winner's threads ------------------------------------------------------------------------ */

static void climb_down(bool forced)
{
	for (int t = cal.threads; t >= 1 && cal.nrungs < MAX_LADDER && !(forced && t < cal.threads); t /= 2) {
		struct rung *r = &cal.ladder[cal.nrungs];
		bool first = t == cal.threads;
		if (!first && late())
			break;
		r->threads = t;
		r->large = first ? cal.best->large : measure_dgemm(&cal.best->m, cal.order, t, LADDER_US, cal.hard);
		if (r->large < 0)
			break;
		cal.nrungs++;
	}
}

/* Sets the threads of large work. */
static void choose_threads(void)
{
	const struct rung *best = cal.ladder;

	for (int i = 1; i < cal.nrungs; i++)
		if (cal.ladder[i].large * GAIN < best->large)
			best = &cal.ladder[i];
	cal.threads = best->threads;
	cal.choice.mflops = (uint64_t)(flops(cal.order) / best->large / 1e6);
}

/* ---- 4: the survey ----------------------------------------------------------------------------------- */

static void add_candidate(struct contender *c, int threads)
{
	struct survey *s = &cal.survey;

	if (s->candidates < SURVEY_MAX)
		s->candidate[s->candidates++] = (struct candidate){&c->m, threads};
}

static void survey(void)
{
	add_candidate(cal.best, cal.threads);
	if (cal.threads > 1)
		add_candidate(cal.best, 1);
	for (int i = 0; i < cal.nconfigs; i++) {
		struct contender *c = &cal.configs[i];
		if (c == cal.best || !c->m.pid)
			continue;
		add_candidate(c, 1);
		if (cal.threads > 1)
			add_candidate(c, cal.threads);
	}
	survey_run(&cal.survey);
	cal.choice.detailed = cal.survey.detailed;
}

/* ---- 5: the crossover ------------------------------------------------------------------------------- */

/* Flops of a call that takes CDM_DISPATCH_SHARE dispatch overheads. */
static double crossover(void)
{
	const double enough = CDM_DISPATCH_SHARE * CDM_DISPATCH_S;
	double flops = survey_flops(&cal.survey, enough);

	return flops > 0 ? flops : enough * 1e6 * (double)cal.choice.mflops;
}

/* ---- the whole -------------------------------------------------------------------------------------- */

/* All processes have ended when the machine's use is asked for. */
static void fill_choice(bool forced, double busy)
{
	climb_down(forced);
	choose_threads();
	survey();
	end_all();
	cal.choice.provisional = cal.survey.disturbed = disturbed(busy);
	survey_plan(&cal.survey, &cal.choice.plan);
	cal.choice.crossover = (uint64_t)crossover();
}

/* threads: CDM_THREADS or the like, 0: automatic. detailed: somebody waits for all of it. 0, or -ENOENT: no library could be
 * measured. */
static int calibrate(int threads, bool detailed)
{
	double busy = busy_seconds() - own_seconds();
	uint64_t limit = detailed ? DETAILED_MS : CDM_CALIBRATE_LIMIT_MS * 4 / 5;

	cal.begun = cdm_now_ns();
	cal.soft = cal.begun + (uint64_t)CDM_CALIBRATE_MS * 2 / 3 * MS;
	cal.hard = cal.survey.hard = cal.begun + limit * MS;
	cal.survey.soft = detailed ? cal.hard : cal.begun + (uint64_t)CDM_CALIBRATE_MS * MS;
	cal.survey.detailed = detailed;
	cal.threads = threads ? threads : cdm_allowed_cpus();
	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < cal.nfiles; i++)
		try_library(cal.files[i].path);
	if (isinf(rank_best_small(cal.configs, cal.nconfigs)))
		return -ENOENT;
	choose_finalists();
	choose_order();
	measure_in_turns();
	cal.best = rank_first(cal.configs, cal.nconfigs);
	if (!cal.best)
		return -ENOENT;
	fill_choice(threads != 0, busy);
	return 0;
}

/* One calibration at a time for each user: two would measure each other. -1: no cache directory, or no turn in time. */
static int take_turn(void)
{
	char path[CDM_BLAS_PATH];
	struct timespec nap = {.tv_nsec = 20 * MS};

	cdm_choice_make_directory();
	if (cdm_choice_path(path, sizeof(path), "lock"))
		return -1;
	int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	for (int waited = 0; fd >= 0 && waited < CDM_CALIBRATE_LIMIT_MS / 2; waited += 20) {
		if (!flock(fd, LOCK_EX | LOCK_NB))
			return fd;
		nanosleep(&nap, NULL);
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

static void print_choice(FILE *f, uint64_t key)
{
	char text[CDM_CHOICE_MAX];
	struct cdm_text t;

	cdm_text_init(&t, text, sizeof(text));
	cdm_choice_print(&t, &cal.choice, key);
	fputs(text, f);
}

int calibrate_child(const char *want, int threads)
{
	alarm(CDM_CALIBRATE_LIMIT_MS / 1000 + 1);
	cal.nfiles = cdm_blas_find(want, cal.files, CDM_BLAS_MAX);
	uint64_t key = cdm_choice_key(cal.files, cal.nfiles, want, threads);
	take_turn();
	if (cdm_choice_load(key, &cal.choice)) {
		if (calibrate(threads, false))
			return 1;
		cdm_choice_save(key, &cal.choice);
	}
	print_choice(stdout, key);
	return fflush(stdout) ? 1 : 0;
}

static void print_rate(int order, double seconds)
{
	if (seconds > 0)
		printf(" %10.1f", flops(order) / seconds / 1e9);
	else
		printf(" %10s", "-");
}

static void print_table(void)
{
	printf("%-44s %10d %10d\n", "GFLOP/s of dgemm, by order", SMALL, cal.order);
	for (int i = 0; i < cal.nconfigs; i++) {
		const struct contender *c = &cal.configs[i];
		if (c->error) {
			printf("  %-42s %s: %s\n", c->m.library, c->m.asked,
			       c->error == -EDOM ? "its results are wrong, not used" : strerror(-c->error));
			continue;
		}
		printf("%s %-42s", c == cal.best ? "*" : " ", c->m.name);
		print_rate(SMALL, c->small);
		print_rate(cal.order, c->large);
		printf("  %s\n", c->m.library);
	}
	for (int i = 0; i < cal.nrungs; i++) {
		printf("%s %-42d", cal.ladder[i].threads == cal.threads ? "*" : " ", cal.ladder[i].threads);
		printf(" %10s", "");
		print_rate(cal.order, cal.ladder[i].large);
		printf("  threads\n");
	}
}

int calibrate_show(const char *want, int threads)
{
	char path[CDM_BLAS_PATH];

	cal.nfiles = cdm_blas_find(want, cal.files, CDM_BLAS_MAX);
	if (!cal.nfiles) {
		fprintf(stderr, "cdm: no BLAS library found%s%s\n", want ? " for CDM_BLAS=" : "", want ? want : "");
		return 1;
	}
	uint64_t key = cdm_choice_key(cal.files, cal.nfiles, want, threads);
	take_turn();
	cal.survey.progress = isatty(STDERR_FILENO) ? show_progress : NULL;
	int ret = calibrate(threads, true);
	print_table();
	if (!ret)
		show_survey(&cal.survey, &cal.choice.plan);
	if (ret) {
		fprintf(stderr, "cdm: none of the libraries can be used\n");
		return 1;
	}
	printf("calls from %.2g flops on are offloaded; %.1f s\n", (double)cal.choice.crossover,
	       (double)(cdm_now_ns() - cal.begun) * 1e-9);
	if (cal.choice.provisional)
		printf("other programs kept the CPUs busy meanwhile: to be measured again in %d minutes\n",
		       CDM_CHOICE_PROVISIONAL_S / 60);
	if (cdm_choice_save(key, &cal.choice))
		printf("not cached: neither XDG_CACHE_HOME nor HOME gives a directory that can be written\n");
	else if (!cdm_choice_path(path, sizeof(path), ""))
		printf("cached in %s\n", path);
	return 0;
}

/* The process of a cell: its workers, their rounds, and what comes of them. See mech.h. */
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "offload/base/stats.h"
#include "offload/base/sys.h"
#include "tools/bench/mech.h"

#define SPINS 1000
#define SPINS_START 1000000 /* tens of milliseconds */
#define SAMPLES 32768       /* of all workers of a cell */
#define ROUNDS_KEPT ((size_t)4096)
#define SLOTS_LEAST ((size_t)3)
#define SLOTS_ALL ((size_t)8192)

_Noreturn void team_fail(struct team *team, const char *where, int error)
{
	if (!atomic_exchange(&team->failed, true)) {
		team->result->where = where;
		team->result->error = -error;
		_exit(0);
	}
	for (;;) /* another thread ends the process */
		pause();
}

/* ---- a worker's rounds ---- */

/* Until all workers are here: `spins` times looking, then leaving the processor to others in between. */
static void barrier(struct team *team, int spins)
{
	unsigned now = team->barriers;

	if (atomic_fetch_add(&team->at_barrier, 1) + 1 == team->cell->threads) {
		team->at_barrier = 0;
		team->barriers++;
		return;
	}
	for (int i = 0; team->barriers == now; i++)
		if (i < spins)
			__builtin_ia32_pause();
		else
			sched_yield();
}

/* The start of what is timed: who gave the processor away would come late, and operations of microseconds would not meet. */
static void start_together(struct team *team)
{
	barrier(team, team->cell->threads <= team->machine->cpus_allowed ? SPINS_START : SPINS);
}

/* The slots [from, to). */
static void reset(struct worker *w, size_t from, size_t to)
{
	const struct mech *mech = w->team->cell->mech;
	int r = 0;

	w->round++;
	for (size_t i = from; !r && i < to; i++)
		r = mech->reset(w, i);
	if (!r && mech->ready)
		r = mech->ready(w);
	if (r)
		team_fail(w->team, "reset", r);
}

static void refused(struct worker *w, int error)
{
	enum refusal kind = error == -EBUSY ? REFUSED_BUSY : error == -EAGAIN ? REFUSED_AGAIN : REFUSED_OTHER;

	if (kind == REFUSED_OTHER && error != -EACCES && error != -EEXIST)
		team_fail(w->team, "operation", error);
	w->refused[kind] += w->recording;
}

static void record(struct worker *w, uint64_t ns)
{
	w->busy_ns += ns;
	if (!w->recording || w->samples == w->team->sample_cap)
		return;
	w->ns[w->samples++] = ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
}

static int run_slot(struct worker *w, size_t slot)
{
	w->slot = slot;
	w->done[slot] = 0;
	uint64_t t = cdm_now_ns();
	int r = w->team->cell->mech->run(w, slot);
	t = cdm_now_ns() - t;
	t = t > w->team->clock_ns ? t - w->team->clock_ns : 0;
	if (r) {
		w->busy_ns += t;
		refused(w, r);
		return r;
	}
	w->done[slot] = w->team->cell->bytes;
	record(w, t);
	return 0;
}

/* For tests: as the kernel would write, whatever the page's protection. */
static void spoil(struct worker *w, size_t slot)
{
	int fd = cdm_sys_open("/proc/self/mem", O_RDWR | O_CLOEXEC, 0);
	char *p = slot_at(w, w->b, slot) + w->team->cell->bytes / 2 + 9, byte = (char)~*p;

	if (fd < 0 || pwrite(fd, &byte, 1, (off_t)(uintptr_t)p) != 1)
		team_fail(w->team, "spoil", fd < 0 ? fd : -errno);
	cdm_sys_close(fd);
}

static void check(struct worker *w, size_t slot)
{
	const struct cell *c = w->team->cell;
	bool went = w->done[slot] == c->bytes;

	if (!went && !c->mech->check_refused)
		return;
	if (went && c->spoil && !w->id && slot == w->slots / 2)
		spoil(w, slot);
	size_t at = (went ? c->mech->check : c->mech->check_refused)(w, slot);
	if (at < c->bytes && !w->wrong++)
		w->wrong_at = at;
}

/* By the clock on the wall, from the first start to the last end; the clock's own time, twice an operation, is taken off. */
static double wall_rate(const struct team *team)
{
	uint64_t begun = UINT64_MAX, ended = 0, clocks = 2 * team->clock_ns * team->slots, went = 0;

	for (int i = 0; i < team->cell->threads; i++) {
		const struct worker *w = &team->worker[i];
		begun = w->begun_ns < begun ? w->begun_ns : begun;
		ended = w->ended_ns > ended ? w->ended_ns : ended;
		went += w->went;
	}
	uint64_t wall = ended - begun > clocks ? ended - begun - clocks : 1;
	return (double)(went * team->cell->bytes) / (double)wall;
}

static double sum_of_rates(const struct team *team)
{
	double sum = 0;

	for (int i = 0; i < team->cell->threads; i++) {
		const struct worker *w = &team->worker[i];
		sum += (double)(w->went * team->cell->bytes) / (double)(w->busy_ns ? w->busy_ns : 1);
	}
	return sum;
}

/* What the team did in this round. Where each worker has a processor, their rates add up: on a busy machine they seldom have
 * them at the same moment, and the clock on the wall would tell of that alone. Worker 0, while the others check. */
static void rate(struct team *team)
{
	bool own = team->cell->threads <= team->machine->cpus_allowed;
	double gbps = own ? sum_of_rates(team) : wall_rate(team), ps = gbps > 0 ? 1024000 / gbps : 0;

	if (gbps > 0 && team->rounds < ROUNDS_KEPT)
		team->ps_per_kib[team->rounds++] = ps < UINT32_MAX ? (uint32_t)ps : UINT32_MAX;
}

/* Timed. */
static void run_all(struct worker *w)
{
	w->went = 0;
	w->busy_ns = 0;
	w->begun_ns = cdm_now_ns();
	for (size_t i = 0; i < w->slots; i++)
		w->went += !run_slot(w, i);
	w->ended_ns = cdm_now_ns();
}

static bool one_round(struct worker *w, uint64_t warm, uint64_t end)
{
	struct team *team = w->team;

	reset(w, 0, w->slots);
	start_together(team);
	w->recording = cdm_now_ns() >= warm;
	run_all(w);
	barrier(team, SPINS);
	if (!w->id && w->recording)
		rate(team);
	for (size_t i = 0; i < w->slots; i++)
		check(w, i);
	if (!w->id && (cdm_now_ns() >= end || w->samples == team->sample_cap))
		team->stop = true;
	barrier(team, SPINS);
	return !team->stop;
}

/* Each worker on a processor of its own, as far as there are. */
static void pin(int id)
{
	cpu_set_t allowed, one;

	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return;
	int nth = id % CPU_COUNT(&allowed), cpu = 0;
	for (; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed) && !nth--)
			break;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	(void)sched_setaffinity(0, sizeof(one), &one);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	const struct cell *c = w->team->cell;

	pin(w->id);
	answers_worker(w);
	int r = w->id && c->mech->prepare ? c->mech->prepare(w) : 0; /* worker 0 had its trial */
	if (r)
		team_fail(w->team, "prepare", r);
	barrier(w->team, SPINS);
	uint64_t now = cdm_now_ns(), warm = now + c->warm_ns;
	while (one_round(w, warm, warm + c->slice_ns))
		;
	return NULL;
}

/* ---- the team ---- */

/* An aligned area with nothing of ours beside it. */
static char *area_new(const struct worker *w, size_t len)
{
	char *p = cdm_sys_mmap(NULL, len + 2 * CDM_HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (cdm_sys_failed(p))
		team_fail(w->team, "mmap", (int)(intptr_t)p);
	p = (char *)cdm_round_up((uintptr_t)p + 1, CDM_HUGE);
	int r = area_map_at(w, p, len);
	if (r)
		team_fail(w->team, "mmap", r);
	return p;
}

static void hire(struct team *team, int id)
{
	struct worker *w = &team->worker[id];
	const struct mech *mech = team->cell->mech;

	*w = (struct worker){.team = team, .id = id, .slots = team->slots};
	/* add_up() gathers all in the first one's. */
	w->ns = malloc((id ? 1 : (size_t)team->cell->threads) * team->sample_cap * sizeof(*w->ns));
	w->done = calloc(w->slots, sizeof(*w->done));
	if (!w->ns || !w->done)
		team_fail(team, "malloc", -ENOMEM);
	w->a = area_new(w, team->area);
	w->b = area_new(w, team->area);
	int r = mech->uffd_mode ? uffd_register(team->uffd, w->b, team->area, mech->uffd_mode) : 0;
	if (r)
		team_fail(team, "UFFDIO_REGISTER", r);
}

static void open_mech(struct team *team)
{
	const struct mech *mech = team->cell->mech;
	enum uffd_right right;
	int r = 0;

	if (mech->uffd_mode && (team->uffd = uffd_new(mech->features, &right)) < 0)
		team_fail(team, "userfaultfd", team->uffd);
	if (mech->open)
		r = mech->open(team);
	if (!r)
		r = answers_start(team);
	if (r)
		team_fail(team, "open", r);
}

static int count_mappings(void)
{
	static char text[16384];
	int fd = cdm_sys_open("/proc/self/maps", O_RDONLY | O_CLOEXEC, 0), lines = 0;
	ssize_t n;

	while (fd >= 0 && (n = cdm_sys_read(fd, text, sizeof(text))) > 0)
		for (ssize_t i = 0; i < n; i++)
			lines += text[i] == '\n';
	if (fd >= 0)
		cdm_sys_close(fd);
	return lines;
}

/* Whether the cell's kind of pages was to be had. */
static bool has_huge_page(const struct worker *w)
{
	return huge_bytes(w->a, w->team->area) + huge_bytes(w->b, w->team->area) >= CDM_HUGE;
}

/* Before anything else goes on: what one operation in the middle of a mapping adds, and whether pages are huge. */
static void trial(struct worker *w)
{
	struct team *team = w->team;
	const struct mech *mech = team->cell->mech;
	size_t middle = w->slots / 2;
	int r = mech->prepare ? mech->prepare(w) : 0;

	answers_worker(w);
	if (r)
		team_fail(team, "prepare", r);
	reset(w, middle - 1, middle + 2);
	int before = count_mappings();
	r = run_slot(w, middle);
	team->result->mappings = before && !r ? count_mappings() - before : INT_MIN;
	if (team->cell->pages == PAGES_HUGE && !has_huge_page(w))
		team_fail(team, "no huge page was to be had", 0);
	check(w, middle);
}

static void add_up(struct team *team)
{
	struct result *r = team->result;
	uint32_t *ns = team->worker[0].ns;
	struct stats pace;
	size_t samples = 0;

	for (int i = 0; i < team->cell->threads; i++) {
		struct worker *w = &team->worker[i];
		memmove(ns + samples, w->ns, w->samples * sizeof(*ns));
		samples += w->samples;
		r->again += w->again;
		if (w->wrong && !r->wrong)
			r->wrong_at = w->wrong_at;
		r->wrong += w->wrong;
		for (int k = 0; k < REFUSALS; k++)
			r->refused[k] += w->refused[k];
	}
	stats_of(ns, samples, &r->ns);
	stats_of(team->ps_per_kib, team->rounds, &pace);
	r->gbps = pace.p50 ? 1024000 / (double)pace.p50 : 0;
	r->events = team->events;
	r->events_none = team->events_none;
	r->measured = true;
}

static void start_workers(struct team *team)
{
	for (int i = 1; i < team->cell->threads; i++) {
		int error = pthread_create(&team->worker[i].thread, NULL, work, &team->worker[i]);
		if (error)
			team_fail(team, "pthread_create", -error);
	}
}

/* Enough windows that a round takes longer than its barriers, few enough that a short measurement has several rounds and
 * that mechanisms which split mappings stay far from the limit of their number. */
static void size_areas(struct team *team, size_t threads)
{
	const struct cell *c = team->cell;

	team->area = SLOTS_LEAST * c->bytes > CDM_HUGE ? SLOTS_LEAST * c->bytes : CDM_HUGE;
	team->slots = team->area / c->bytes;
	if (team->slots > c->slots_most)
		team->slots = c->slots_most;
	if (team->slots > SLOTS_ALL / threads)
		team->slots = SLOTS_ALL / threads;
	if (team->slots < SLOTS_LEAST)
		team->slots = SLOTS_LEAST;
}

void team_run(struct team *team)
{
	const struct cell *c = team->cell;
	size_t n = (size_t)c->threads;
	pthread_t disturber;

	size_areas(team, n);
	team->sample_cap = SAMPLES / n > 256 ? SAMPLES / n : 256;
	team->clock_ns = stats_clock_ns();
	team->worker = calloc(n, sizeof(*team->worker));
	team->ps_per_kib = malloc(ROUNDS_KEPT * sizeof(*team->ps_per_kib));
	if (!team->worker || !team->ps_per_kib)
		team_fail(team, "malloc", -ENOMEM);
	disturb_prepare(team);
	open_mech(team);
	for (int i = 0; i < c->threads; i++)
		hire(team, i);
	trial(&team->worker[0]);
	bool disturbed = disturb_start(team, &disturber);
	start_workers(team);
	work(&team->worker[0]);
	for (int i = 1; i < c->threads; i++)
		pthread_join(team->worker[i].thread, NULL);
	if (disturbed)
		pthread_join(disturber, NULL);
	disturb_end(team);
	add_up(team);
}

#include "tools/bench/machine.h"

#include <ctype.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "offload/base/json.h"
#include "tools/bench/stats.h"

#define THP "/sys/kernel/mm/transparent_hugepage/"
#define NODES "/sys/devices/system/node/"

void machine_line(const char *path, char *line, size_t cap)
{
	FILE *f = fopen(path, "re");

	line[0] = '\0';
	if (!f)
		return;
	if (!fgets(line, (int)cap, f))
		line[0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	fclose(f);
}

static long number(const char *path)
{
	char line[64];

	machine_line(path, line, sizeof(line));
	return line[0] ? strtol(line, NULL, 10) : -1;
}

/* The word in brackets: "always [madvise] never". */
static void chosen(const char *path, char *word, size_t cap)
{
	char line[256], *open, *close;

	machine_line(path, line, sizeof(line));
	open = strchr(line, '[');
	close = open ? strchr(open, ']') : NULL;
	word[0] = '\0';
	if (close)
		(void)snprintf(word, cap, "%.*s", (int)(close - open - 1), open + 1);
}

uint64_t machine_vmstat(const char *name)
{
	char line[128];
	size_t len = strlen(name);
	uint64_t value = 0;
	FILE *f = fopen("/proc/vmstat", "re");

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, len) && line[len] == ' ')
			value = strtoull(line + len, NULL, 10);
	if (f)
		fclose(f);
	return value;
}

/* The value of the first line "key : value" of /proc/cpuinfo. */
static void cpuinfo(const char *key, char *value, size_t cap)
{
	char line[8192];
	size_t len = strlen(key);
	FILE *f = fopen("/proc/cpuinfo", "re");

	value[0] = '\0';
	while (f && !value[0] && fgets(line, sizeof(line), f)) {
		char *colon = strchr(line, ':');
		if (strncmp(line, key, len) || !colon)
			continue;
		line[strcspn(line, "\n")] = '\0';
		(void)snprintf(value, cap, "%s", colon + 1 + strspn(colon + 1, " "));
	}
	if (f)
		fclose(f);
}

static void read_processor(struct machine *m)
{
	char flags[8192];
	cpu_set_t allowed;
	struct utsname name;

	cpuinfo("model name", m->cpu, sizeof(m->cpu));
	cpuinfo("flags", flags, sizeof(flags));
	m->hypervisor = strstr(flags, " hypervisor") != NULL;
	m->cpus_online = (int)sysconf(_SC_NPROCESSORS_ONLN);
	m->cpus_allowed = sched_getaffinity(0, sizeof(allowed), &allowed) ? m->cpus_online : CPU_COUNT(&allowed);
	if (uname(&name))
		return;
	(void)snprintf(m->kernel, sizeof(m->kernel), "%s", name.release);
	(void)snprintf(m->arch, sizeof(m->arch), "%s", name.machine);
}

static void add_mthp(struct machine *m, long kib)
{
	char path[128], word[16];
	size_t used = strlen(m->mthp);

	(void)snprintf(path, sizeof(path), THP "hugepages-%ldkB/enabled", kib);
	chosen(path, word, sizeof(word));
	if ((uint64_t)kib * 1024 != m->huge_page && word[0] && strcmp(word, "never"))
		(void)snprintf(m->mthp + used, sizeof(m->mthp) - used, "%s%ldK %s", used ? ", " : "", kib, word);
}

static void read_huge_pages(struct machine *m)
{
	long bytes = number(THP "hpage_pmd_size");

	m->huge_page = bytes > 0 ? (uint64_t)bytes : 0;
	chosen(THP "enabled", m->thp, sizeof(m->thp));
	chosen(THP "defrag", m->thp_defrag, sizeof(m->thp_defrag));
	chosen(THP "shmem_enabled", m->thp_shmem, sizeof(m->thp_shmem));
	for (long kib = 8; kib <= 1024; kib *= 2)
		add_mthp(m, kib);
}

/* A list of numbers, "0-2,5": each to the array, as long as there is room. Returns how many. */
static int number_list(const char *s, int *to, int room)
{
	int n = 0;

	while (isdigit((unsigned char)*s)) {
		char *end;
		long from = strtol(s, &end, 10), until = from;
		if (*end == '-')
			until = strtol(end + 1, &end, 10);
		for (; from <= until && n < room; from++)
			to[n++] = (int)from;
		s = *end == ',' ? end + 1 : end;
	}
	return n;
}

static void read_nodes(struct machine *m)
{
	char line[256];
	int online[MACHINE_NODES];
	long on = number("/proc/sys/kernel/numa_balancing");

	machine_line(NODES "online", line, sizeof(line));
	m->nodes = number_list(line, online, MACHINE_NODES);
	machine_line(NODES "has_memory", line, sizeof(line));
	m->memory_nodes = number_list(line, m->memory_node, MACHINE_NODES);
	m->numa_balancing = on < 0 ? BALANCING_ABSENT : on ? BALANCING_ON : BALANCING_OFF;
}

static void read_userfaultfd(struct machine *m)
{
	int error, fd = uffd_new(0, &m->userfaultfd);

	if (fd >= 0)
		close(fd);
	m->userfaultfd_features = uffd_features(&error);
	m->unprivileged_userfaultfd = number("/proc/sys/vm/unprivileged_userfaultfd");
}

void machine_read(struct machine *m)
{
	memset(m, 0, sizeof(*m));
	m->page = (uint64_t)sysconf(_SC_PAGESIZE);
	m->memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * m->page;
	m->overcommit = number("/proc/sys/vm/overcommit_memory");
	m->max_map_count = number("/proc/sys/vm/max_map_count");
	machine_line("/sys/devices/system/clocksource/clocksource0/current_clocksource", m->clocksource,
		     sizeof(m->clocksource));
	m->clock_ns = stats_clock_ns();
	read_processor(m);
	read_huge_pages(m);
	read_nodes(m);
	read_userfaultfd(m);
}

/* ---- output ---- */

const char *machine_balancing(enum balancing b)
{
	static const char *const words[] = {"absent", "off", "on"};
	return words[b];
}

static const char *right_word(enum uffd_right r)
{
	static const char *const words[] = {"none", "user", "kernel"};
	return words[r];
}

void machine_print(FILE *f, const struct machine *m)
{
	fprintf(f, "%s, %d CPUs (%d allowed)%s, %.1f GiB, Linux %s\n", m->cpu[0] ? m->cpu : m->arch, m->cpus_online,
		m->cpus_allowed, m->hypervisor ? " of a virtual machine" : "", (double)m->memory / 0x1p30, m->kernel);
	fprintf(f,
		"huge pages %s, defrag %s; NUMA nodes %d (%d with memory), balancing %s; userfaultfd faults: %s; "
		"overcommit %ld\n",
		m->thp[0] ? m->thp : "absent", m->thp_defrag[0] ? m->thp_defrag : "absent", m->nodes, m->memory_nodes,
		machine_balancing(m->numa_balancing), right_word(m->userfaultfd), m->overcommit);
}

static void member_string(struct cdm_text *t, const char *key, const char *s)
{
	cdm_json_string(t, key, s[0] ? s : NULL);
	cdm_textf(t, ",");
}

static void member_count(struct cdm_text *t, const char *key, uint64_t v)
{
	cdm_json_count(t, key, v);
	cdm_textf(t, ",");
}

static void member_setting(struct cdm_text *t, const char *key, long v)
{
	if (v < 0)
		member_string(t, key, "");
	else
		member_count(t, key, (uint64_t)v);
}

void machine_json(struct cdm_text *t, const struct machine *m)
{
	cdm_textf(t, "{");
	member_string(t, "cpu", m->cpu);
	member_string(t, "arch", m->arch);
	member_count(t, "cpus_online", (uint64_t)m->cpus_online);
	member_count(t, "cpus_allowed", (uint64_t)m->cpus_allowed);
	cdm_textf(t, "\"hypervisor\":%s,", m->hypervisor ? "true" : "false");
	member_string(t, "kernel", m->kernel);
	member_count(t, "memory_bytes", m->memory);
	member_count(t, "page_bytes", m->page);
	member_count(t, "huge_page_bytes", m->huge_page);
	member_string(t, "thp_enabled", m->thp);
	member_string(t, "thp_defrag", m->thp_defrag);
	member_string(t, "thp_shmem", m->thp_shmem);
	member_string(t, "thp_other_sizes", m->mthp);
	member_count(t, "numa_nodes", (uint64_t)m->nodes);
	member_count(t, "numa_memory_nodes", (uint64_t)m->memory_nodes);
	member_string(t, "numa_balancing", machine_balancing(m->numa_balancing));
	member_setting(t, "overcommit_memory", m->overcommit);
	member_setting(t, "max_map_count", m->max_map_count);
	member_string(t, "userfaultfd", right_word(m->userfaultfd));
	member_count(t, "userfaultfd_features", m->userfaultfd_features);
	member_setting(t, "unprivileged_userfaultfd", m->unprivileged_userfaultfd);
	member_string(t, "clocksource", m->clocksource);
	cdm_json_count(t, "clock_ns", m->clock_ns);
	cdm_textf(t, "}");
}

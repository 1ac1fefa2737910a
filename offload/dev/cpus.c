#include "offload/dev/cpus.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "offload/base/fmt.h"
#include "offload/base/sys.h"

enum { PATH = 512, UNLIMITED = 1 << 20 };

/* ---- the cgroup's quota ------------------------------------------------------------------------------- */

/* The start of a file, NUL-terminated; empty where it cannot be read. */
static void read_start(const char *path, char *buf, size_t cap)
{
	int fd = cdm_sys_open(path, O_RDONLY | O_CLOEXEC, 0);
	ssize_t n = fd < 0 ? 0 : cdm_sys_read(fd, buf, cap - 1);

	if (fd >= 0)
		cdm_sys_close(fd);
	buf[n > 0 ? n : 0] = '\0';
}

/* The number at *s, which is moved behind it; -1: there is none ("max", "-1", nothing). */
static int64_t take_number(const char **s)
{
	int64_t v = -1;

	while (**s == ' ')
		++*s;
	for (; **s >= '0' && **s <= '9' && v < INT64_MAX / 16; ++*s)
		v = (v < 0 ? 0 : v) * 10 + (**s - '0');
	return v;
}

/* CPUs that a quota of so many microseconds each period is worth. */
static int quota_cpus(int64_t quota, int64_t period)
{
	if (quota <= 0 || period <= 0 || quota / period >= UNLIMITED)
		return UNLIMITED;
	return (int)((quota + period - 1) / period);
}

static int quota_v2(const char *dir)
{
	char path[PATH], text[64];
	const char *at = text;

	cdm_fmt(path, sizeof(path), "%s/cpu.max", dir);
	read_start(path, text, sizeof(text));
	int64_t quota = take_number(&at);
	return quota_cpus(quota, take_number(&at));
}

static int quota_v1(const char *dir)
{
	char path[PATH], text[64];
	const char *at = text;

	cdm_fmt(path, sizeof(path), "%s/cpu.cfs_quota_us", dir);
	read_start(path, text, sizeof(text));
	int64_t quota = take_number(&at);
	cdm_fmt(path, sizeof(path), "%s/cpu.cfs_period_us", dir);
	read_start(path, text, sizeof(text));
	at = text;
	return quota_cpus(quota, take_number(&at));
}

/* The least quota of a group and those that it is in; group is a path below root and is cut. */
static int least_quota(const char *root, char *group, int (*quota)(const char *dir))
{
	char dir[PATH];
	int least = UNLIMITED;

	for (;;) {
		cdm_fmt(dir, sizeof(dir), "%s%s", root, group);
		int n = quota(dir);
		least = n < least ? n : least;
		char *slash = strrchr(group, '/');
		if (!slash || !group[0])
			return least;
		*slash = '\0';
	}
}

/* A line of /proc/self/cgroup: "0::/path", or "4:cpu,cpuacct:/path". */
static int line_quota(char *line)
{
	char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;

	if (!group)
		return UNLIMITED;
	*group++ = '\0';
	controllers++;
	if (!controllers[0])
		return least_quota("/sys/fs/cgroup", group, quota_v2);
	if (strncmp(controllers, "cpu", 3) || (controllers[3] && controllers[3] != ','))
		return UNLIMITED;
	return least_quota("/sys/fs/cgroup/cpu", group, quota_v1);
}

static int quota_of_groups(void)
{
	char text[4096];
	int least = UNLIMITED;

	read_start("/proc/self/cgroup", text, sizeof(text));
	for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
		*end = '\0';
		int n = line_quota(line);
		least = n < least ? n : least;
	}
	return least;
}

/* ---- */

int cdm_allowed_cpus(void)
{
	static _Atomic int quota; /* 0: not read yet; the same for all threads */
	unsigned long mask[1024 / sizeof(long)];
	int n = 0;
	long bytes = cdm_sys3(SYS_sched_getaffinity, 0, sizeof(mask), (long)mask);

	for (long i = 0; i < bytes / (long)sizeof(long); i++)
		n += __builtin_popcountl(mask[i]);
	if (!atomic_load(&quota))
		atomic_store(&quota, quota_of_groups());
	if (n > atomic_load(&quota))
		n = atomic_load(&quota);
	return n > 0 ? n : 1;
}

int cdm_wanted_threads(void)
{
	static const char *const names[] = {"OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS",
					    "OMP_NUM_THREADS"};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		const char *value = secure_getenv(names[i]);
		int64_t n = value ? take_number(&value) : -1;
		if (n >= 1)
			return n < 1024 ? (int)n : 1024;
	}
	return 0;
}

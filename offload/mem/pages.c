#include "offload/mem/pages.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <sys/ioctl.h>

#include "offload/base/sys.h"

#define PRESENT_OR_SWAPPED ((uint64_t)3 << 62) /* Documentation/admin-guide/mm/pagemap.rst: bits 63 and 62 */

#define ENTRIES 64 /* read at a time: this runs in signal handlers, on small stacks */

static int present_word(int fd, uintptr_t addr, size_t pages, uint64_t *bits)
{
	uint64_t entry[ENTRIES];
	ssize_t n = cdm_sys_pread(fd, entry, pages * 8, (off_t)(addr / CDM_PAGE * 8));

	if (n != (ssize_t)(pages * 8))
		return n < 0 ? (int)n : -EIO;
	for (size_t i = 0; i < pages; i++)
		if (entry[i] & PRESENT_OR_SWAPPED)
			*bits |= (uint64_t)1 << i;
	return 0;
}

int cdm_pages_present(uintptr_t addr, size_t len, uint64_t bits[8])
{
	size_t pages = len / CDM_PAGE;
	int r = 0;

	memset(bits, 0, 8 * sizeof(bits[0]));
	/* Opened each time: a descriptor kept could be closed by the program, and its number be another file's. */
	int fd = cdm_sys_open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	for (size_t i = 0; !r && i < pages; i += ENTRIES)
		r = present_word(fd, addr + i * CDM_PAGE, pages - i < ENTRIES ? pages - i : ENTRIES, &bits[i / 64]);
	cdm_sys_close(fd);
	return r;
}

/* PAGEMAP_SCAN of Documentation/admin-guide/mm/pagemap.rst: newer than the headers of the oldest distribution supported. */
struct scan {
	uint64_t size, flags, start, end, walk_end, regions, room, max_pages;
	uint64_t inverted, all_of, any_of, report;
};
struct scanned {
	uint64_t start, end, categories;
};
#define SCAN _IOWR('f', 16, struct scan)
#define SCAN_PRESENT 8
#define SCAN_HUGE 64

bool cdm_pages_small(uintptr_t addr, size_t len, uintptr_t *small)
{
	struct scanned found;
	struct scan s = {.size = sizeof(s),
			 .start = addr,
			 .end = addr + len,
			 .regions = (uintptr_t)&found,
			 .room = 1,
			 .max_pages = 1,
			 .inverted = SCAN_HUGE,
			 .all_of = SCAN_PRESENT | SCAN_HUGE};
	int fd = cdm_sys_open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC, 0);

	if (fd < 0)
		return false;
	int r = cdm_sys_ioctl(fd, SCAN, &s);
	cdm_sys_close(fd);
	*small = r > 0 ? found.start : 0;
	return r > 0;
}

/* Reads a file in pieces and hands each line, without its newline, to fn until that returns true. */
static int each_line(const char *path, bool (*fn)(const char *line, void *arg), void *arg)
{
	char buf[4096];
	size_t have = 0;
	ssize_t n;
	int fd = cdm_sys_open(path, O_RDONLY | O_CLOEXEC, 0), r = -ENOENT;

	if (fd < 0)
		return fd;
	while (r && (n = cdm_sys_read(fd, buf + have, sizeof(buf) - 1 - have)) > 0) {
		char *line = buf, *nl;
		have += (size_t)n;
		buf[have] = 0;
		while (r && (nl = strchr(line, '\n'))) {
			*nl = 0;
			if (fn(line, arg))
				r = 0;
			line = nl + 1;
		}
		have -= (size_t)(line - buf);
		memmove(buf, line, have);
		if (have == sizeof(buf) - 1)
			have = 0; /* a longer line than any we look for */
	}
	cdm_sys_close(fd);
	return r;
}

static bool count_line(const char *line, void *arg)
{
	(void)line;
	++*(size_t *)arg;
	return false;
}

size_t cdm_pages_mappings(void)
{
	size_t n = 0;
	each_line("/proc/self/maps", count_line, &n);
	return n;
}

static bool number_line(const char *line, void *arg)
{
	size_t v = 0;

	while (*line >= '0' && *line <= '9')
		v = v * 10 + (size_t)(*line++ - '0');
	*(size_t *)arg = v;
	return true;
}

size_t cdm_pages_mapping_limit(void)
{
	size_t v = 65530; /* the kernel's default */
	each_line("/proc/sys/vm/max_map_count", number_line, &v);
	return v;
}

static const char *hex(const char *s, uintptr_t *v)
{
	for (*v = 0;; s++) {
		if (*s >= '0' && *s <= '9')
			*v = *v << 4 | (uintptr_t)(*s - '0');
		else if (*s >= 'a' && *s <= 'f')
			*v = *v << 4 | (uintptr_t)(*s - 'a' + 10);
		else
			return s;
	}
}

struct wanted {
	uintptr_t addr;
	struct cdm_mapping *m;
};

/* "start-end perms offset dev inode   name" (proc_pid_maps(5)) */
static bool mapping_line(const char *line, void *arg)
{
	struct wanted *w = arg;
	struct cdm_mapping *m = w->m;
	const char *s = hex(line, &m->start);

	if (*s != '-')
		return false;
	s = hex(s + 1, &m->end);
	if (w->addr < m->start || w->addr >= m->end || *s != ' ')
		return false;
	memcpy(m->perms, s + 1, 4);
	m->perms[4] = 0;
	for (int field = 0; field < 4 && s; field++)
		s = strchr(s + 1, ' ');
	while (s && *s == ' ')
		s++;
	if (s && *s >= '0' && *s <= '9') { /* the inode */
		s = strchr(s, ' ');
		while (s && *s == ' ')
			s++;
	}
	m->name[0] = 0;
	if (s)
		strncat(m->name, s, sizeof(m->name) - 1);
	return true;
}

int cdm_pages_mapping(uintptr_t addr, struct cdm_mapping *m)
{
	struct wanted w = {addr, m};
	return each_line("/proc/self/maps", mapping_line, &w);
}

#include "offload/base/mapped.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "offload/base/sys.h"

/* The path at the end of one line of /proc/self/maps, when the line's range holds addr. */
static const char *mapped_path(const char *line, uintptr_t addr)
{
	uintptr_t bound[2] = {0, 0};
	int i = 0;

	for (; *line && *line != ' '; line++) {
		if (*line == '-' && ++i > 1)
			return NULL;
		if (*line != '-')
			bound[i] = bound[i] << 4 | (uintptr_t)(*line <= '9' ? *line - '0' : *line - 'a' + 10);
	}
	return addr >= bound[0] && addr < bound[1] ? strchr(line, '/') : NULL;
}

int cdm_mapped_file(uintptr_t addr, char *path, size_t cap)
{
	char buf[4096 + 1];
	size_t have = 0;
	ssize_t got;
	int ret = -ENOENT;
	int fd = cdm_sys_open("/proc/self/maps", O_RDONLY | O_CLOEXEC, 0);

	if (fd < 0)
		return fd;
	while (ret && (got = cdm_sys_read(fd, buf + have, sizeof(buf) - 1 - have)) > 0) {
		char *line = buf, *end;
		buf[have += (size_t)got] = '\0';
		for (; ret && (end = strchr(line, '\n')); line = end + 1) {
			*end = '\0';
			const char *file = mapped_path(line, addr);
			if (file && strlen(file) < cap)
				ret = (strcpy(path, file), 0);
		}
		have = strlen(line);
		memmove(buf, line, have + 1);
	}
	cdm_sys_close(fd);
	return ret;
}

/* Walking /proc/self/maps. See maps.h. */
#include "shim/maps.h"

#include <errno.h>
#include <string.h>

#include "offload/base/sys.h"

#define LINE 128 /* a line is cut to LINE - 1 characters */

static uintptr_t read_hex(const char **s)
{
	uintptr_t v = 0;

	for (;; (*s)++) {
		if (**s >= '0' && **s <= '9')
			v = v << 4 | (uintptr_t)(**s - '0');
		else if (**s >= 'a' && **s <= 'f')
			v = v << 4 | (uintptr_t)(**s - 'a' + 10);
		else
			return v;
	}
}

/* lo-hi rwxp offset device inode name */
static bool parse(const char *s, struct cdm_mapping *m)
{
	m->lo = read_hex(&s);
	if (*s++ != '-')
		return false;
	m->hi = read_hex(&s);
	if (strlen(s) < 5)
		return false;
	m->prot = (s[1] == 'r' ? PROT_READ : 0) | (s[2] == 'w' ? PROT_WRITE : 0) | (s[3] == 'x' ? PROT_EXEC : 0);
	m->shared = s[4] == 's';
	m->stack = strstr(s, "[stack]") != NULL;
	return true;
}

int cdm_maps_each(bool (*fn)(const struct cdm_mapping *m, void *arg), void *arg)
{
	char buf[CDM_PAGE], line[LINE];
	struct cdm_mapping m;
	size_t len = 0;
	ssize_t n;
	bool stop = false;
	int fd = cdm_sys_open("/proc/self/maps", O_RDONLY | O_CLOEXEC, 0);

	if (fd < 0)
		return fd;
	while (!stop && ((n = cdm_sys_read(fd, buf, sizeof(buf))) > 0 || n == -EINTR))
		for (ssize_t i = 0; i < n && !stop; i++) {
			if (buf[i] != '\n') {
				line[len] = buf[i];
				len += len < LINE - 1;
				continue;
			}
			line[len] = 0;
			len = 0;
			stop = parse(line, &m) && fn(&m, arg);
		}
	(void)cdm_sys_close(fd);
	return n < 0 ? (int)n : stop;
}

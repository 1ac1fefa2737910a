#include "offload/base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>

#include "offload/base/fmt.h"
#include "offload/base/sys.h"

#define LINE 1000

int cdm_log_level = CDM_LOG_WARN;

static uint64_t bit(int sig)
{
	return (uint64_t)1 << (sig - 1);
}

static uint64_t pending(void)
{
	uint64_t set = 0;
	(void)cdm_sys3(SYS_rt_sigpending, (long)&set, sizeof(set), 0);
	return set;
}

/* A non-blocking descriptor gets a second to drain. */
static bool wait_writable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	return cdm_sys3(SYS_poll, (long)&p, 1, 1000) > 0;
}

static int write_whole(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t r = cdm_sys_write(fd, p, n);
		if (r == -EINTR || (r == -EAGAIN && wait_writable(fd)))
			continue;
		if (r <= 0)
			return r ? (int)r : -EIO;
		p += r;
		n -= (size_t)r;
	}
	return 0;
}

int cdm_write_all(int fd, const char *p, size_t n)
{
	struct timespec none = {0, 0};
	uint64_t mask, drop = bit(SIGPIPE) | bit(SIGXFSZ);

	cdm_sys_block_all(&mask);
	drop &= ~pending();
	int err = write_whole(fd, p, n);
	if (err == -EPIPE || err == -EFBIG)
		while (cdm_sys6(SYS_rt_sigtimedwait, (long)&drop, 0, (long)&none, sizeof(drop), 0, 0) > 0)
			;
	cdm_sys_unblock(&mask);
	return err;
}

void cdm_log(int level, const char *fmt, ...)
{
	char line[LINE + 1];
	struct cdm_text t;
	va_list ap;

	if (level > cdm_log_level)
		return;
	cdm_text_init(&t, line, LINE);
	cdm_textf(&t, "libcdm: ");
	va_start(ap, fmt);
	cdm_textv(&t, fmt, ap);
	va_end(ap);
	line[t.len++] = '\n';
	(void)cdm_write_all(2, line, t.len);
}

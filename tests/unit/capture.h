/* What is written to stderr between capture_begin() and capture_end(), as one string; at most 64 KiB. For tests that
 * Criterion runs in a process of their own. */
#ifndef CDM_TESTS_CAPTURE_H
#define CDM_TESTS_CAPTURE_H

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct capture {
	int pipe[2], saved;
	char text[65537];
};

static inline void capture_begin(struct capture *c)
{
	if (pipe(c->pipe) < 0)
		_exit(99);
	fcntl(c->pipe[1], F_SETPIPE_SZ, 65536);
	c->saved = dup(2);
	dup2(c->pipe[1], 2);
	close(c->pipe[1]);
}

static inline const char *capture_end(struct capture *c)
{
	size_t n = 0;
	ssize_t r;
	dup2(c->saved, 2);
	close(c->saved);
	while (n < sizeof(c->text) - 1 && (r = read(c->pipe[0], c->text + n, sizeof(c->text) - 1 - n)) > 0)
		n += (size_t)r;
	c->text[n] = 0;
	close(c->pipe[0]);
	return c->text;
}

static inline int lines_of(const char *s)
{
	int n = 0;
	for (; *s; s++)
		n += *s == '\n';
	return n;
}

#endif

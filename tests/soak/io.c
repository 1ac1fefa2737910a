/* I/O: the kernel reads and writes blocks. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/soak/soak.h"

#define FILE_SEED 77u
#define FILE_WORDS (1ul << 20)

static int file_fd, direct_fd; /* the pattern file; direct_fd: past the page cache, -1: cannot be */

bool pattern_file_open(void)
{
	char path[] = "soak.XXXXXX";
	double *w = malloc(FILE_WORDS * sizeof(double));

	file_fd = mkstemp(path);
	for (size_t i = 0; i < FILE_WORDS; i++)
		w[i] = pattern(FILE_SEED, i);
	bool ok = file_fd >= 0 &&
		  write(file_fd, w, FILE_WORDS * sizeof(double)) == (ssize_t)(FILE_WORDS * sizeof(double)) &&
		  !fsync(file_fd);
	free(w);
	direct_fd = ok ? open(path, O_RDONLY | O_DIRECT) : -1;
	unlink(path);
	return ok;
}

static bool all(struct thread *t, const struct block *b, const char *what, ssize_t got, size_t want)
{
	if (got == (ssize_t)want)
		return true;
	wrong(t, b, "%s: %zd of %zu bytes, %s", what, got, want, got < 0 ? strerror(errno) : "short");
	return false;
}

/* Words of the pattern file come in at `at`. */
static void io_read(struct thread *t, struct block *b, size_t at, size_t n)
{
	size_t off = below(t, FILE_WORDS - n);
	struct iovec v[3] = {
		{&b->p[at], n / 3 * 8}, {&b->p[at + n / 3], n / 3 * 8}, {&b->p[at + n / 3 * 2], (n - n / 3 * 2) * 8}};
	struct layer *l = layer_add(b);
	ssize_t got;

	*l = (struct layer){.what = RANGE, .at = at, .count = n, .seed = FILE_SEED, .shift = off};
	if (one_in(t, 3)) {
		did(t, b, "preadv");
		got = preadv(file_fd, v, 3, (off_t)off * 8);
	} else {
		did(t, b, "pread");
		got = pread(file_fd, &b->p[at], n * 8, (off_t)off * 8);
	}
	all(t, b, "pread", got, n * 8);
}

/* Whole pages of the pattern file, past the page cache. */
static void io_direct(struct thread *t, struct block *b)
{
	size_t at, n;

	if (direct_fd < 0 || !pages_in(t, b, &at, &n))
		return;
	n = n < FILE_WORDS / 4 ? n : FILE_WORDS / 4;
	size_t off = below(t, (FILE_WORDS - n) / PER_PAGE) * PER_PAGE;
	struct layer *l = layer_add(b);
	*l = (struct layer){.what = RANGE, .at = at, .count = n, .seed = FILE_SEED, .shift = off};
	did(t, b, "pread-direct");
	all(t, b, "pread, O_DIRECT", pread(direct_fd, &b->p[at], n * 8, (off_t)off * 8), n * 8);
}

/* Words [at, at + n) go out, to a small buffer that is compared. */
static void io_write(struct thread *t, struct block *b, int out, int in, const char *what, size_t at, size_t n)
{
	double back[1024];

	n = n < 1024 ? n : 1024;
	did(t, b, what);
	if (!all(t, b, what, write(out, &b->p[at], n * 8), n * 8) || !all(t, b, what, read(in, back, n * 8), n * 8))
		return;
	for (size_t i = 0; i < n; i++)
		if (back[i] != expected(b, at + i)) {
			wrong(t, b, "%s took %g from element %zu, not %g", what, back[i], at + i, expected(b, at + i));
			return;
		}
}

/* A pattern comes in through a pipe or as one datagram. */
static void io_receive(struct thread *t, struct block *b, int out, int in, const char *what, size_t at, size_t n)
{
	double small[1024];
	struct layer *l = layer_add(b);

	n = n < 1024 ? n : 1024;
	*l = (struct layer){.what = RANGE, .at = at, .count = n, .seed = draw(t)};
	for (size_t i = 0; i < n; i++)
		small[i] = pattern(l->seed, i);
	did(t, b, what);
	if (all(t, b, what, write(out, small, n * 8), n * 8))
		all(t, b, what, read(in, &b->p[at], n * 8), n * 8);
}

/* Out of the block into an unlinked file of its own and back to another place. */
static void io_file(struct thread *t, struct block *b, size_t at, size_t n)
{
	char path[] = "soak.XXXXXX";
	double back[256];
	int fd = mkstemp(path);

	if (fd < 0)
		return;
	unlink(path);
	did(t, b, "pwrite");
	if (all(t, b, "pwrite", pwrite(fd, &b->p[at], n * 8, 0), n * 8)) {
		size_t m = n < 256 ? n : 256, off = below(t, n - m + 1);
		all(t, b, "pread", pread(fd, back, m * 8, (off_t)off * 8), m * 8);
		for (size_t i = 0; i < m; i++)
			if (back[i] != expected(b, at + off + i)) {
				wrong(t, b, "the file has %g for element %zu, not %g", back[i], at + off + i,
				      expected(b, at + off + i));
				break;
			}
	}
	close(fd);
}

void io(struct thread *t, struct block *b)
{
	size_t at = below(t, b->words), n = 1 + below(t, one_in(t, 2) ? 1000 : 100000);

	n = n < b->words - at ? n : b->words - at;
	switch (draw(t) % 8) {
	case 0:
		io_write(t, b, t->pipe[1], t->pipe[0], "pipe-write", at, n);
		break;
	case 1:
		io_write(t, b, t->pair[1], t->pair[0], "datagram-send", at, n);
		break;
	case 2:
		io_receive(t, b, t->pipe[1], t->pipe[0], "pipe-read", at, n);
		break;
	case 3:
		io_receive(t, b, t->pair[0], t->pair[1], "datagram-receive", at, n);
		break;
	case 4:
		io_file(t, b, at, n);
		break;
	case 5:
		io_direct(t, b);
		break;
	default:
		io_read(t, b, at, n);
	}
	check_some(t, b);
}

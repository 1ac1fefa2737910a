/* mmap(2) and friends keep the kernel's semantics: partial munmap, mremap in all forms, mprotect, madvise, shared
 * and file mappings, fork.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/prog/check.h"

#define MiB ((size_t)1 << 20)
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static int all(const char *p, size_t n, char value)
{
	return p[0] == value && memcmp(p, p + 1, n - 1) == 0;
}

/* Whether every page of the range is mapped. */
static int mapped(char *p, size_t n)
{
	unsigned char *vec = malloc(n / 4096 + 1);
	int yes = mincore(p, n, vec) == 0;
	free(vec);
	return yes;
}

static char *map(size_t n, char value)
{
	char *p = mmap(NULL, n, RW, ANON, -1, 0);
	CHECK(p != MAP_FAILED);
	CHECK(all(p, n, 0));
	memset(p, value, n);
	return p;
}

static void test_munmap(void)
{
	char *p = map(12 * MiB, 1);
	CHECK(munmap(p + 4 * MiB, MiB) == 0);
	CHECK(!mapped(p + 4 * MiB, 4096) && mapped(p, 4 * MiB) && mapped(p + 5 * MiB, 7 * MiB));
	CHECK(all(p, 4 * MiB, 1) && all(p + 5 * MiB, 7 * MiB, 1));
	CHECK(mmap(p + 4 * MiB, MiB, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0) == p + 4 * MiB);
	CHECK(all(p + 4 * MiB, MiB, 0));
	CHECK(mmap(p + MiB, 2 * MiB, RW, ANON | MAP_FIXED, -1, 0) == p + MiB);
	CHECK(all(p, MiB, 1) && all(p + MiB, 2 * MiB, 0) && all(p + 3 * MiB, MiB, 1));
	CHECK(munmap(p, 12 * MiB) == 0 && !mapped(p, 4096));
	CHECK(munmap(p, 12 * MiB) == 0);
}

static void test_refusals(void)
{
	char *p = map(4 * MiB, 1);
	errno = 0;
	CHECK(munmap(p + 1, 4096) == -1 && errno == EINVAL);
	errno = 0;
	CHECK(munmap(p, 0) == -1 && errno == EINVAL);
	errno = 0;
	CHECK(mmap(NULL, 0, RW, ANON, -1, 0) == MAP_FAILED && errno == EINVAL);
	errno = 0;
	CHECK(mmap(NULL, 4096, RW, MAP_PRIVATE, -1, 0) == MAP_FAILED && errno == EBADF);
	errno = 0;
	CHECK(mmap(p, MiB, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED && errno == EEXIST);
	errno = 0;
	CHECK(mprotect(p + 1, 4096, PROT_READ) == -1 && errno == EINVAL);
	errno = 0;
	CHECK(madvise(p, MiB, 9999) == -1 && errno == EINVAL);
	CHECK(all(p, 4 * MiB, 1));
	CHECK(munmap(p, 4 * MiB) == 0);
	errno = 0;
	CHECK(mremap(p, MiB, 2 * MiB, MREMAP_MAYMOVE) == MAP_FAILED && errno == EFAULT);
	errno = 0;
	CHECK(mprotect(p, MiB, PROT_READ) == -1 && errno == ENOMEM);
}

static void test_mremap(void)
{
	char *p = map(4 * MiB, 1);
	p = mremap(p, 4 * MiB, 16 * MiB, MREMAP_MAYMOVE);
	CHECK(p != MAP_FAILED && all(p, 4 * MiB, 1) && all(p + 4 * MiB, 12 * MiB, 0));
	p = mremap(p, 16 * MiB, 3 * MiB, 0);
	CHECK(p != MAP_FAILED && all(p, 3 * MiB, 1) && !mapped(p + 3 * MiB, 4096));
	char *to = map(8 * MiB, 9);
	CHECK(mremap(p, 3 * MiB, 3 * MiB, MREMAP_MAYMOVE | MREMAP_FIXED, to + 2 * MiB) == to + 2 * MiB);
	CHECK(!mapped(p, 4096));
	CHECK(all(to, 2 * MiB, 9) && all(to + 2 * MiB, 3 * MiB, 1) && all(to + 5 * MiB, 3 * MiB, 9));
	char *middle = mremap(to + 2 * MiB, MiB, 2 * MiB, MREMAP_MAYMOVE);
	CHECK(middle != MAP_FAILED && all(middle, MiB, 1) && all(middle + MiB, MiB, 0));
	CHECK(middle == to + 2 * MiB || !mapped(to + 2 * MiB, 4096));
	CHECK(munmap(middle, 2 * MiB) == 0 && munmap(to, 8 * MiB) == 0);
}

static void test_mprotect(void)
{
	char *p = map(6 * MiB, 1);
	int fd[2];
	CHECK(pipe(fd) == 0);
	CHECK(mprotect(p + 2 * MiB, 2 * MiB, PROT_READ) == 0);
	CHECK(all(p + 2 * MiB, 2 * MiB, 1));
	CHECK(write(fd[1], p + 2 * MiB, 100) == 100);
	errno = 0;
	CHECK(read(fd[0], p + 3 * MiB, 100) == -1 && errno == EFAULT);
	CHECK(read(fd[0], p, 100) == 100);
	CHECK(mprotect(p, 6 * MiB, PROT_NONE) == 0);
	errno = 0;
	CHECK(write(fd[1], p, 100) == -1 && errno == EFAULT);
	CHECK(mprotect(p, 6 * MiB, RW) == 0 && all(p, 6 * MiB, 1));
	close(fd[0]), close(fd[1]);
	CHECK(munmap(p, 6 * MiB) == 0);
}

static void test_madvise(void)
{
	char *p = map(8 * MiB, 1);
	CHECK(madvise(p + MiB, 2 * MiB, MADV_DONTNEED) == 0);
	CHECK(all(p, MiB, 1) && all(p + MiB, 2 * MiB, 0) && all(p + 3 * MiB, 5 * MiB, 1));
	CHECK(madvise(p, 8 * MiB, MADV_FREE) == 0);
	memset(p, 2, 8 * MiB);
	CHECK(all(p, 8 * MiB, 2));
	CHECK(madvise(p, 8 * MiB, MADV_WILLNEED) == 0 && madvise(p, 8 * MiB, MADV_SEQUENTIAL) == 0);
	CHECK(munmap(p, 8 * MiB) == 0);
}

static void test_file(void)
{
	char name[] = "/tmp/cdm-maps-XXXXXX";
	int fd = mkstemp(name);
	CHECK(fd >= 0);
	unlink(name);
	char *buf = malloc(3 * MiB);
	memset(buf, 4, 3 * MiB);
	CHECK(write(fd, buf, 3 * MiB) == (ssize_t)(3 * MiB));
	char *shared = mmap(NULL, 3 * MiB, RW, MAP_SHARED, fd, 0), *own = mmap(NULL, 3 * MiB, RW, MAP_PRIVATE, fd, 0);
	CHECK(shared != MAP_FAILED && own != MAP_FAILED && all(own, 3 * MiB, 4));
	memset(own, 5, MiB);
	memset(shared + MiB, 6, MiB);
	CHECK(pread(fd, buf, 3 * MiB, 0) == (ssize_t)(3 * MiB));
	CHECK(all(buf, MiB, 4) && all(buf + MiB, MiB, 6) && all(own, MiB, 5));
	CHECK(madvise(own, 3 * MiB, MADV_DONTNEED) == 0 && all(own, MiB, 4));
	CHECK(munmap(shared, 3 * MiB) == 0 && munmap(own, 3 * MiB) == 0);
	close(fd);
	free(buf);
}

static void test_fork(void)
{
	char *own = map(4 * MiB, 1), *shared = mmap(NULL, 4 * MiB, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(shared != MAP_FAILED);
	pid_t child = fork();
	if (child == 0) {
		memset(own, 2, 2 * MiB);
		memset(shared, 3, 2 * MiB);
		_exit(!(all(own + 2 * MiB, 2 * MiB, 1) && munmap(own, MiB) == 0));
	}
	int status = 1;
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	CHECK(all(own, 4 * MiB, 1) && all(shared, 2 * MiB, 3) && all(shared + 2 * MiB, 2 * MiB, 0));
	CHECK(munmap(own, 4 * MiB) == 0 && munmap(shared, 4 * MiB) == 0);
}

int main(void)
{
	for (int i = 0; i < 5; i++) {
		test_munmap();
		test_refusals();
		test_mremap();
		test_mprotect();
		test_madvise();
		test_file();
		test_fork();
	}
	return check_end("maps");
}

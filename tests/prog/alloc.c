/* What malloc(3), posix_memalign(3) and friends promise, across the limit from which libcdm serves them itself.
 *
 * usage: alloc [portable]     portable: leaves out what is glibc's own choice (for runs beside jemalloc and such)
 */
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/prog/check.h"

#define KiB ((size_t)1024)
#define MiB ((size_t)1 << 20)
#define COUNT(array) (sizeof(array) / sizeof *(array))

static const size_t sizes[] = {1,       24,          4096,    65535,          64 * KiB, MiB - 16,    MiB - 1, MiB,
			       MiB + 1, 2 * MiB - 1, 2 * MiB, 2 * MiB + 4097, 3 * MiB,  9 * MiB + 7, 40 * MiB};
static int portable;

/* Out of the compiler's sight: requests that no allocator can meet. */
static void *(*volatile resize)(void *, size_t) = realloc;
static void *(*volatile resize_array)(void *, size_t, size_t) = reallocarray;
static volatile size_t huge_size = (size_t)PTRDIFF_MAX + 1, half_size = SIZE_MAX / 2 + 1;

static unsigned char mark(size_t i, unsigned seed)
{
	return (unsigned char)(i * 31 + (i >> 12) * 7 + seed);
}

static void paint(unsigned char *p, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i += i + 97 < n ? 97 : 1)
		p[i] = mark(i, seed);
}
static int painted(const unsigned char *p, size_t n, size_t of, unsigned seed)
{
	for (size_t i = 0; i < n; i += i + 97 < of ? 97 : 1)
		if (p[i] != mark(i, seed))
			return 0;
	return 1;
}
static int all(const unsigned char *p, size_t n, unsigned char value)
{
	return n == 0 || (p[0] == value && memcmp(p, p + 1, n - 1) == 0);
}

static void test_malloc(void)
{
	for (size_t i = 0; i < COUNT(sizes); i++) {
		unsigned char *p = malloc(sizes[i]), *q = malloc(sizes[i]);
		CHECK(p && q && p != q);
		CHECK((uintptr_t)p % (portable ? 8 : 16) == 0);
		size_t usable = malloc_usable_size(p);
		CHECK(usable >= sizes[i]);
		memset(p, 1, usable);
		memset(q, 2, sizes[i]);
		CHECK(all(p, usable, 1));
		CHECK(all(q, sizes[i], 2));
		errno = 77;
		free(p);
		free(q);
		CHECK(errno == 77);
	}
	CHECK(malloc_usable_size(NULL) == 0);
	free(NULL);
	free(malloc(0));
}

static void test_calloc(void)
{
	for (size_t i = 0; i < COUNT(sizes); i++) {
		unsigned char *p = malloc(sizes[i]);
		CHECK(p);
		memset(p, 0xa5, sizes[i]);
		free(p);
		p = calloc(1, sizes[i]);
		CHECK(p && all(p, sizes[i], 0));
		memset(p, 0xa5, sizes[i]);
		free(p);
		p = calloc(sizes[i], 2);
		CHECK(p && all(p, sizes[i] * 2, 0));
		free(p);
	}
}

static void test_refusals(void)
{
	errno = 0;
	CHECK(!malloc(huge_size) && errno == ENOMEM);
	errno = 0;
	CHECK(!calloc(half_size, 2) && (portable || errno == ENOMEM));
	errno = 0;
	CHECK(!calloc(huge_size, 1) && errno == ENOMEM);
	void *p = NULL;
	CHECK(posix_memalign(&p, 64, huge_size) == ENOMEM && !p);
	CHECK(posix_memalign(&p, 24, 100) == EINVAL && !p);
	CHECK(posix_memalign(&p, 2, 100) == EINVAL && !p);
	CHECK(posix_memalign(&p, 0, 3 * MiB) == EINVAL && !p);
	for (size_t i = 0; i < COUNT(sizes); i++) {
		unsigned char *q = malloc(sizes[i]);
		paint(q, sizes[i], 9);
		errno = 0;
		CHECK(!resize(q, huge_size) && (portable || errno == ENOMEM));
		errno = 0;
		CHECK(!resize_array(q, half_size, 4) && errno == ENOMEM);
		CHECK(painted(q, sizes[i], sizes[i], 9));
		free(q);
	}
}

static void test_realloc(void)
{
	for (size_t i = 0; i < COUNT(sizes); i++)
		for (size_t j = 0; j < COUNT(sizes); j++) {
			size_t less = sizes[i] < sizes[j] ? sizes[i] : sizes[j];
			unsigned char *p = malloc(sizes[i]);
			paint(p, sizes[i], (unsigned)j);
			p = j % 2 ? realloc(p, sizes[j]) : reallocarray(p, 1, sizes[j]);
			CHECK(p && malloc_usable_size(p) >= sizes[j]);
			CHECK(painted(p, less > 97 ? less - 97 : 1, sizes[i], (unsigned)j));
			memset(p, 3, sizes[j]);
			free(p);
		}
	unsigned char *p = realloc(NULL, 5 * MiB);
	CHECK(p);
	for (size_t n = 5 * MiB; n < 60 * MiB; n += 7 * MiB + 11) {
		paint(p, 5 * MiB, (unsigned)n);
		p = realloc(p, n);
		CHECK(p && painted(p, 5 * MiB, 5 * MiB, (unsigned)n));
	}
	if (portable)
		free(p);
	else
		CHECK(!realloc(p, 0));
}

static void test_aligned(void)
{
	for (size_t align = 8; align <= 8 * MiB; align *= 4)
		for (size_t i = 0; i < COUNT(sizes); i += 2) {
			void *p = NULL;
			errno = 5;
			CHECK(posix_memalign(&p, align, sizes[i]) == 0 && errno == 5);
			CHECK(p && (uintptr_t)p % align == 0 && malloc_usable_size(p) >= sizes[i]);
			memset(p, 1, sizes[i]);
			void *q = i % 4 ? memalign(align, sizes[i])
					: aligned_alloc(align, (sizes[i] + align - 1) & -align);
			CHECK(q && (uintptr_t)q % align == 0);
			memset(q, 2, sizes[i]);
			CHECK(all(p, sizes[i], 1));
			p = realloc(p, sizes[i] * 2);
			CHECK(p && all(p, sizes[i], 1));
			free(p);
			free(q);
		}
}

static void test_pages(void)
{
	if (portable)
		return;
	for (size_t i = 0; i < COUNT(sizes); i++) {
		char *v = valloc(sizes[i]), *p = pvalloc(sizes[i]);
		CHECK(v && (uintptr_t)v % 4096 == 0);
		CHECK(p && (uintptr_t)p % 4096 == 0 && malloc_usable_size(p) >= ((sizes[i] + 4095) & ~(size_t)4095));
		memset(p, 4, (sizes[i] + 4095) & ~(size_t)4095);
		memset(v, 5, sizes[i]);
		free(v);
		free(p);
	}
}

static void *free_it(void *p)
{
	CHECK(painted(p, 4 * MiB, 4 * MiB, 1));
	free(p);
	unsigned char *q = malloc(6 * MiB);
	paint(q, 6 * MiB, 2);
	return q;
}

static void test_threads(void)
{
	for (int i = 0; i < 20; i++) {
		unsigned char *p = malloc(4 * MiB);
		paint(p, 4 * MiB, 1);
		pthread_t thread;
		void *q = NULL;
		CHECK(pthread_create(&thread, NULL, free_it, p) == 0 && pthread_join(thread, &q) == 0);
		CHECK(painted(q, 6 * MiB, 6 * MiB, 2));
		free(q);
	}
}

/* A child has its own copy of every block, and frees and allocates as it likes. */
static void test_fork(void)
{
	unsigned char *p = malloc(12 * MiB), *q = malloc(3 * MiB);
	paint(p, 12 * MiB, 1);
	paint(q, 3 * MiB, 2);
	pid_t child = fork();
	if (child == 0) {
		int good = painted(p, 12 * MiB, 12 * MiB, 1) && painted(q, 3 * MiB, 3 * MiB, 2);
		memset(p, 0, 12 * MiB);
		free(q);
		q = calloc(1, 3 * MiB);
		good &= q && all(q, 3 * MiB, 0);
		p = realloc(p, 20 * MiB);
		good &= p && all(p, 12 * MiB, 0);
		free(p);
		_exit(!good);
	}
	int status = 1;
	memset(q, 7, 1000);
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	CHECK(painted(p, 12 * MiB, 12 * MiB, 1) && all(q, 1000, 7));
	free(p);
	free(q);
}

/* Advice on and system calls into a block. */
static void test_kernel(void)
{
	unsigned char *p = malloc(8 * MiB);
	int fd[2];
	CHECK(pipe(fd) == 0);
	memset(p, 1, 8 * MiB);
	unsigned char *page = (unsigned char *)(((uintptr_t)p + 4095) & ~(uintptr_t)4095);
	CHECK(madvise(page, MiB, MADV_DONTNEED) == 0);
	CHECK(all(page, MiB, 0) && all(page + MiB, MiB, 1));
	CHECK(write(fd[1], "kernel", 6) == 6 && read(fd[0], page + 3 * MiB, 6) == 6);
	CHECK(memcmp(page + 3 * MiB, "kernel", 6) == 0);
	CHECK(write(fd[1], page + 3 * MiB, 6) == 6);
	close(fd[0]), close(fd[1]);
	free(p);
	p = calloc(1, 8 * MiB);
	CHECK(all(p, 8 * MiB, 0));
	free(p);
}

static void test_dlclose(const char *self)
{
	char path[4096];
	snprintf(path, sizeof path, "%.*s/ctor_lib.so", (int)(strrchr(self, '/') - self), self);
	for (int i = 0; i < 20; i++) {
		void *handle = dlopen(path, RTLD_NOW);
		CHECK(handle);
		if (!handle)
			return;
		int (*intact)(void) = (int (*)(void))dlsym(handle, "ctor_intact");
		CHECK(intact && intact());
		void *between = malloc(3 * MiB);
		memset(between, 1, 3 * MiB);
		CHECK(intact && intact());
		CHECK(dlclose(handle) == 0);
		free(between);
	}
}

static unsigned char *early;
__attribute__((constructor)) static void before_main(void)
{
	early = malloc(5 * MiB);
	paint(early, 5 * MiB, 1);
}

int main(int argc, char **argv)
{
	portable = argc > 1;
	CHECK(early && painted(early, 5 * MiB, 5 * MiB, 1));
	free(early);
	test_malloc();
	test_calloc();
	test_refusals();
	test_realloc();
	test_aligned();
	test_pages();
	test_threads();
	test_fork();
	test_kernel();
	test_dlclose(argv[0]);
	return check_end("alloc");
}

/* What a program may do to its memory while libcdm moves it: each case found in a review, each with the same outcome
 * as without libcdm. usage: semantics CASE; exit status 0: as expected. */
#include <cblas.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "tests/prog/check.h"

#define MIB ((size_t)1 << 20)
#define N 200

/* Multiplies constants in the given memory, three matrices long. */
static int multiply(double *m)
{
	double *a = m, *b = m + N * N, *c = m + 2 * N * N;

	for (int i = 0; i < N * N; i++)
		a[i] = 1, b[i] = 3, c[i] = -1;
	cblas_dgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, N, N, N, 1, a, N, b, N, 0, c, N);
	for (int i = 0; i < N * N; i++)
		if (c[i] != 3.0 * N)
			return 0;
	return 1;
}

static int all(const char *p, size_t n, char value)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != value)
			return 0;
	return 1;
}

/* Locked memory cannot be dropped, but calloc must return zeros. */
static void locked(void)
{
	char *p = malloc(64 * MIB);
	mlock(p, 64 * MIB);
	memset(p, 7, 64 * MIB);
	free(p);
	p = calloc(1, 64 * MIB);
	CHECK(all(p, 64 * MIB, 0));
	CHECK(multiply((double *)p));
	free(p);
}

/* What was freed does not stand in the way of a limit. */
static void limited(void)
{
	struct rlimit limit = {3072 * MIB, 3072 * MIB};
	setrlimit(RLIMIT_AS, &limit);
	free(malloc(1000 * MIB));
	CHECK(malloc(2200 * MIB) != NULL);
}

/* A mapping placed over freed memory has one owner. */
static void over_freed(void)
{
	char *p = malloc(4 * MIB);
	memset(p, 1, 4 * MIB);
	free(p);
	char *m = mmap(p, 4 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	memset(m, 9, 4 * MIB);
	for (int i = 0; i < 4; i++)
		memset(malloc(4 * MIB), i, 4 * MIB);
	CHECK(all(m, 4 * MIB, 9));
}

/* Calls that the kernel refuses change nothing. */
static void refused(void)
{
	char *p = malloc(4 * MIB), *m = mmap(NULL, 8 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(munmap(m, (size_t)1 << 47) == -1 && errno == EINVAL);
	CHECK(mprotect(m, (size_t)-1, PROT_NONE) == -1);
	CHECK(madvise(m, (size_t)-1, MADV_DONTNEED) == -1);
	CHECK(mremap(m, 4 * MIB, 4 * MIB, MREMAP_FIXED, p) == MAP_FAILED);
	memset(p, 1, 4 * MIB);
	memset(m, 2, 8 * MIB);
	CHECK(all(p, 4 * MIB, 1));
	CHECK(realloc(p, 6 * MIB) != NULL);
}

/* Advice is for the memory it was given for. */
static void advised(int advice)
{
	int status;
	char *p = malloc(4 * MIB);
	memset(p, 5, 4 * MIB);
	madvise(p, 4 * MIB, advice);
	free(p);
	p = malloc(4 * MIB);
	memset(p, 6, 4 * MIB);
	if (fork() == 0)
		_exit(!all(p, 4 * MIB, 6));
	wait(&status);
	CHECK(status == 0);
}

/* mremap across two mappings that the kernel has merged, both used by the device. */
static void remapped(void)
{
	int status;
	size_t half = 4 * MIB;
	char *m = mmap(NULL, 2 * half, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < 2; i++)
		mmap(m + i * half, half, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK(multiply((double *)m) && multiply((double *)(m + half)));
	memset(m, 4, 2 * half);
	char *q = mremap(m, 2 * half, 3 * half, MREMAP_MAYMOVE);
	CHECK(q != MAP_FAILED && all(q, 2 * half, 4));
	CHECK(multiply((double *)q));
	munmap(q, 3 * half);
	CHECK(multiply(malloc(8 * MIB)));
	if (fork() == 0)
		_exit(!multiply(malloc(8 * MIB)));
	wait(&status);
	CHECK(status == 0);
}

static ucontext_t back, there;
static int on_own_stack_ok;

static void on_own_stack(void)
{
	double m[3 * N * N];
	on_own_stack_ok = multiply(m) && multiply(m);
}

/* A coroutine computes with matrices on its own, mapped stack. */
static void coroutine(void)
{
	getcontext(&there);
	there.uc_stack.ss_size = 8 * MIB;
	there.uc_stack.ss_sp = mmap(NULL, 8 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	there.uc_link = &back;
	makecontext(&there, on_own_stack, 0);
	swapcontext(&back, &there);
	CHECK(on_own_stack_ok);
}

static _Atomic int stop;
static double *shared;

static void *writer(void *arg)
{
	sigset_t all_signals;
	long n = 0;

	(void)arg;
	sigfillset(&all_signals);
	pthread_sigmask(SIG_SETMASK, &all_signals, NULL);
	volatile long *count = (volatile long *)(shared + 3 * N * N);
	while (!stop)
		count[n++ % 1000]++;
	return (void *)n;
}

/* A thread that blocks every signal writes beside operands that move to and fro. */
static void blocked(void)
{
	pthread_t t;
	void *n;
	long sum = 0;
	double *others[40];

	shared = calloc(1, 4 * MIB);
	pthread_create(&t, NULL, writer, NULL);
	for (int round = 0; round < 3; round++)
		for (int i = 0; i < 40; i++) {
			others[i] = malloc(4 * MIB); /* pushes the shared block off the device */
			CHECK(multiply(others[i]) && multiply(shared));
			if (i % 4 == 3)
				for (int k = i - 3; k <= i; k++)
					free(others[k]);
		}
	stop = 1;
	pthread_join(t, &n);
	for (int i = 0; i < 1000; i++)
		sum += ((long *)(shared + 3 * N * N))[i];
	CHECK(sum == (long)n);
}

/* A daemon closes all descriptors that it did not open. */
static void closed(void)
{
	for (int i = 0; i < 30; i++) {
		double *m = malloc(4 * MIB);
		CHECK(multiply(m));
		for (int fd = 3; fd < 30000; fd++)
			close(fd);
		CHECK(multiply(m));
		CHECK(multiply(malloc(4 * MIB)));
	}
}

static void on_alarm(int sig)
{
	static double m[3 * N * N];
	(void)sig;
	CHECK(multiply(m));
}

/* A timer's handler computes, also while its thread forks. */
static void timed(void)
{
	struct itimerval every = {{0, 40000}, {0, 40000}};
	signal(SIGALRM, on_alarm);
	setitimer(ITIMER_REAL, &every, NULL);
	for (int i = 0; i < 300; i++) {
		pid_t child = fork();
		if (child == 0)
			_exit(0);
		waitpid(child, NULL, 0);
	}
	setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

#define CASE(f, ...)                                                                                                   \
	if (!strcmp(name, #f)) {                                                                                       \
		f(__VA_ARGS__);                                                                                        \
		return check_end(#f);                                                                                  \
	}
	CASE(locked)
	CASE(limited)
	CASE(over_freed)
	CASE(refused)
	CASE(remapped)
	CASE(coroutine)
	CASE(blocked)
	CASE(closed)
	CASE(timed)
	if (!strcmp(name, "dontfork") || !strcmp(name, "wipeonfork")) {
		advised(!strcmp(name, "dontfork") ? MADV_DONTFORK : 18 /* MADV_WIPEONFORK */);
		return check_end(name);
	}
	return 2;
}

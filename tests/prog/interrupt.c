/* What comes in between: handlers that fork, compute or wait, and another thread in the loader. The program knows nothing of libcdm.
 *
 *   interrupt loader     a block is freed by who holds a lock that another thread waits for in dl_iterate_phdr()
 *   interrupt opening    a handler forks when the first large call lets signals in; the child computes, too
 *   interrupt fork N     a handler forks N times while malloc() and free() run in the only thread
 *   interrupt compute N  a handler computes N times while the thread makes small calls
 *   interrupt leave      a handler leaves a large call by longjmp; another thread makes some
 *   interrupt cancel N   a thread that is being cancelled makes the first calls, of order N
 *   interrupt wait       one waits in a handler, out of a small call; a child forked meanwhile forks, and makes small calls
 */
#include <link.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/prog/check.h"

/* A product that is forwarded: too long to be computed at once, too little work for the device. */
#define LONG 300
#define SHORT 8
#define MEDIUM 200
#define LARGE 600
#define MOST 2000
#define BLOCK ((size_t)64 << 20)

extern void dgemm_(const char *ta, const char *tb, const int *m, const int *n, const int *k, const double *alpha,
		   const double *a, const int *lda, const double *b, const int *ldb, const double *beta, double *c,
		   const int *ldc);

static volatile sig_atomic_t handled;
static double *a, *b, *c, *other;

static void product(int n, double *to)
{
	double one = 1, zero = 0;

	dgemm_("N", "N", &n, &n, &n, &one, a, &n, b, &n, &zero, to, &n);
}

static void small(double *to)
{
	double one = 1, zero = 0;
	int m = LONG, n = SHORT;

	dgemm_("N", "N", &m, &n, &n, &one, a, &m, b, &n, &zero, to, &m);
}

static double *matrix(void)
{
	return calloc((size_t)MOST * MOST, sizeof(double));
}

static void every(int us, void (*handler)(int))
{
	struct sigaction act = {.sa_handler = handler};
	struct itimerval interval = {{0, us}, {0, us}};

	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &interval, NULL);
}

static void never_more(void)
{
	struct itimerval interval = {{0, 0}, {0, 0}};

	setitimer(ITIMER_REAL, &interval, NULL);
}

static int ended_well(pid_t pid)
{
	int status = -1;

	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

/* ---- loader -------------------------------------------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_int iterating, freeing;

static int visit(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)info, (void)size, (void)arg;
	atomic_store(&iterating, 1);
	while (!atomic_load(&freeing))
		;
	pthread_mutex_lock(&lock);
	pthread_mutex_unlock(&lock);
	return 1;
}

static void *iterate(void *arg)
{
	dl_iterate_phdr(visit, NULL);
	return arg;
}

static void in_the_loader(void)
{
	pthread_t thread;
	char *block = malloc(BLOCK);

	memset(block, 1, BLOCK);
	pthread_mutex_lock(&lock);
	pthread_create(&thread, NULL, iterate, NULL);
	while (!atomic_load(&iterating))
		;
	atomic_store(&freeing, 1);
	free(block);
	pthread_mutex_unlock(&lock);
	pthread_join(thread, NULL);
}

/* ---- handlers ------------------------------------------------------------------------------------------------- */

static volatile pid_t child = -1;

static void fork_once(int signal)
{
	(void)signal;
	child = fork();
}

static void while_opening(void)
{
	struct sigaction act = {.sa_handler = fork_once};
	struct itimerval once = {.it_value = {0, 3000}};

	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &once, NULL);
	for (int i = 0; i < 3 || child < 0; i++)
		product(LARGE, c);
	if (child == 0)
		_exit(0);
	CHECK(ended_well(child));
}

static void fork_away(int signal)
{
	(void)signal;
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	CHECK(ended_well(pid));
	handled++;
}

static void while_allocating(int times)
{
	every(500, fork_away);
	while (handled < times) {
		char *p = malloc((size_t)2 << 20);
		*(volatile char *)p = 1;
		free(p);
	}
	never_more();
}

static void compute(int signal)
{
	(void)signal;
	if (handled % 64)
		small(other);
	else
		product(MEDIUM, other);
	handled++;
}

static void while_computing(int times)
{
	for (int i = 0; i < 20000; i++)
		small(c);
	every(200, compute);
	while (handled < times)
		small(c);
	never_more();
}

static atomic_int computing, waiting, ends;

static void wait_for_the_end(int signal)
{
	(void)signal;
	atomic_store(&waiting, 1);
	while (!atomic_load(&ends))
		usleep(1000);
}

static void *compute_to_the_end(void *arg)
{
	for (int i = 0; !atomic_load(&ends); i++) {
		small(other);
		atomic_store(&computing, i > 20000);
	}
	return arg;
}

static void fork_twice(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		pid = fork();
		if (pid == 0)
			_exit(0);
		CHECK(ended_well(pid));
		for (int i = 0; i < 1000; i++)
			small(c);
		exit(check_end("child"));
	}
	CHECK(ended_well(pid));
}

static void while_one_waits(void)
{
	struct sigaction act = {.sa_handler = wait_for_the_end};
	pthread_t thread;

	sigaction(SIGUSR1, &act, NULL);
	pthread_create(&thread, NULL, compute_to_the_end, NULL);
	while (!atomic_load(&computing))
		small(c);
	pthread_kill(thread, SIGUSR1);
	while (!atomic_load(&waiting))
		;
	fork_twice();
	atomic_store(&ends, 1);
	pthread_join(thread, NULL);
}

/* ---- cancellation -------------------------------------------------------------------------------------------------- */

static atomic_int came_back;

static void *cancelled(void *order)
{
	pthread_cancel(pthread_self());
	for (double n = *(int *)order, flops = 0; flops < 2e9; flops += 2 * n * n * n)
		product(*(int *)order, c);
	atomic_fetch_add(&came_back, 1);
	pthread_testcancel();
	return NULL;
}

/* BLAS is no point of cancellation. */
static void by_cancellation(int order)
{
	pthread_t thread;
	void *result;

	pthread_create(&thread, NULL, cancelled, &order);
	pthread_join(thread, &result);
	CHECK(result == PTHREAD_CANCELED);
	CHECK(atomic_load(&came_back) == 1);
}

/* ---- longjmp --------------------------------------------------------------------------------------------------- */

static sigjmp_buf out;

static void leave(int signal)
{
	(void)signal;
	siglongjmp(out, 1);
}

static void *large(void *arg)
{
	product(LARGE, other);
	product(LARGE, other);
	return arg;
}

static void by_longjmp(void)
{
	struct sigaction act = {.sa_handler = leave};
	struct itimerval once = {.it_value = {0, 100000}};
	pthread_t thread;

	product(MOST, c); /* so that the next ones compute and do nothing else */
	sigaction(SIGALRM, &act, NULL);
	if (!sigsetjmp(out, 1)) {
		setitimer(ITIMER_REAL, &once, NULL);
		for (;;)
			product(MOST, c);
	}
	pthread_create(&thread, NULL, large, NULL);
	pthread_join(thread, NULL);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	int times = argc > 2 ? atoi(argv[2]) : 1000;

	a = matrix(), b = matrix(), c = matrix(), other = matrix();
	if (!strcmp(what, "loader"))
		in_the_loader();
	else if (!strcmp(what, "opening"))
		while_opening();
	else if (!strcmp(what, "fork"))
		while_allocating(times);
	else if (!strcmp(what, "compute"))
		while_computing(times);
	else if (!strcmp(what, "wait"))
		while_one_waits();
	else if (!strcmp(what, "cancel"))
		by_cancellation(times);
	else if (!strcmp(what, "leave"))
		by_longjmp();
	else
		return 2;
	return check_end("interrupt");
}

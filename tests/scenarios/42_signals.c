/* The program's own handling of SIGSEGV and SIGBUS, while touches of memory on the device are answered without its noticing:
 * handlers installed before and after, with every kind of flag, asked back, left with siglongjmp, on a stack of their own; real
 * faults reach them with the right address and code; signals that are blocked or ignored; timers that touch such memory.
 */
#include <setjmp.h>
#include <sys/time.h>

#include "tests/scenarios/vector.h"

enum { BYTES = 4 << 20, COUNT = BYTES / 8 };

static sigjmp_buf back;
static volatile sig_atomic_t caught;
static void *volatile caught_at;
static volatile int caught_code;
static volatile bool on_own_stack;
static char own_stack[65536];
static double *volatile device_memory; /* touched by handlers */

static void leave(int sig, siginfo_t *info, void *context)
{
	char here;
	(void)context;
	caught = sig;
	caught_at = info->si_addr;
	caught_code = info->si_code;
	on_own_stack = &here >= own_stack && &here < own_stack + sizeof(own_stack);
	if (device_memory) /* a handler meets memory on the device */
		device_memory[COUNT / 2] += 1;
	siglongjmp(back, 1);
}

static void repair(int sig, siginfo_t *info, void *context)
{
	(void)context;
	caught = sig;
	caught_at = info->si_addr;
	mprotect((void *)((uintptr_t)info->si_addr & ~(PAGE - 1)), PAGE, PROT_READ | PROT_WRITE);
}

static void install(int sig, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction act = {.sa_flags = SA_SIGINFO | flags};
	act.sa_sigaction = handler;
	sigemptyset(&act.sa_mask);
	CHECK(!sigaction(sig, &act, NULL));
}

/* Memory of which one page is not accessible, the rest on the device. */
static char *with_hole(size_t hole)
{
	char *p = map_private(BYTES, false);
	resident((double *)p, COUNT, 1);
	CHECK(!mprotect(p + hole, PAGE, PROT_NONE));
	return p;
}

/* The program's own fault, in the middle of memory on the device. */
static void real_fault(int times, bool writes)
{
	size_t hole = BYTES / 2 + 3 * PAGE;
	char *p = with_hole(hole);
	volatile char *at = p + hole + 123;

	for (int i = 0; i < times; i++) {
		caught = 0;
		if (!sigsetjmp(back, 1)) {
			if (writes)
				*at = 1;
			else
				(void)*at;
			CHECK(false, "a protected page was accessible");
		}
		CHECK(caught == SIGSEGV && caught_at == at, "signal %d at %p, not %p", (int)caught, caught_at,
		      (void *)at);
		CHECK(caught_code == SEGV_ACCERR, "code %d", caught_code);
	}
	CHECK(!mprotect(p + hole, PAGE, PROT_READ | PROT_WRITE));
	caught = 0;
	EXPECT((double *)p, COUNT, 1, 1);
	CHECK(!caught, "the program saw a fault that was not its own");
	CHECK(!munmap(p, BYTES));

	caught = 0;
	if (!sigsetjmp(back, 1))
		*(volatile char *)p = 1;
	CHECK(caught == SIGSEGV && caught_at == p && caught_code == SEGV_MAPERR, "code %d", caught_code);
}

static void handlers(void)
{
	struct sigaction old;

	/* Installed before the first fault, and asked back. */
	install(SIGSEGV, leave, 0);
	install(SIGBUS, leave, 0);
	real_fault(50, true);
	CHECK(!sigaction(SIGSEGV, NULL, &old) && old.sa_sigaction == leave && old.sa_flags & SA_SIGINFO);
	CHECK(!sigaction(SIGBUS, NULL, &old) && old.sa_sigaction == leave);

	/* Installed while memory is on the device. */
	double *x = resident_block(BYTES, 2);
	install(SIGSEGV, repair, SA_RESTART);
	CHECK(!sigaction(SIGSEGV, NULL, &old) && old.sa_sigaction == repair);
	caught = 0;
	EXPECT(x, COUNT, 2, 1);
	CHECK(!caught);
	char *p = with_hole(PAGE);
	p[PAGE + 5] = 9;
	CHECK(caught == SIGSEGV && caught_at == p + PAGE + 5 && p[PAGE + 5] == 9);
	CHECK(!munmap(p, BYTES));

	/* It touches memory on the device itself. */
	bump(x, COUNT);
	device_memory = x;
	install(SIGSEGV, leave, SA_NODEFER);
	real_fault(1, false);
	device_memory = NULL;
	x[COUNT / 2] -= 2; /* two faults */
	EXPECT(x, COUNT, 2, 2);
	free(x);
}

static void stacks(void)
{
	stack_t own = {.ss_sp = own_stack, .ss_size = sizeof(own_stack)}, old;

	CHECK(!sigaltstack(&own, &old));
	install(SIGSEGV, leave, SA_ONSTACK);
	real_fault(3, true);
	CHECK(on_own_stack, "the handler did not run on its stack");
	install(SIGSEGV, leave, 0);
	real_fault(3, true);
	CHECK(!on_own_stack, "the handler ran on a stack that it did not ask for");
	CHECK(!sigaltstack(NULL, &old) && old.ss_sp == own_stack);
	CHECK(!sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL));
}

static volatile int resets;
static void once(int sig)
{
	(void)sig;
	resets++;
	siglongjmp(back, 1);
}

/* SA_RESETHAND, signal(), raise() and kill(): as POSIX says, with touches between. */
static void once_only(void)
{
	struct sigaction act = {.sa_handler = once, .sa_flags = (int)SA_RESETHAND}, old;
	double *x = resident_block(BYTES, 3);

	CHECK(!sigaction(SIGSEGV, &act, NULL));
	EXPECT(x, COUNT, 3, 1);
	CHECK(resets == 0);
	char *p = with_hole(0);
	if (!sigsetjmp(back, 1))
		p[0] = 1;
	CHECK(resets == 1);
	CHECK(!sigaction(SIGSEGV, NULL, &old) && old.sa_handler == SIG_DFL, "SA_RESETHAND had no effect");
	bump(x, COUNT);
	EXPECT(x, COUNT, 3, 2);
	CHECK(!munmap(p, BYTES));

	CHECK(signal(SIGSEGV, once) == SIG_DFL && signal(SIGSEGV, once) == once);
	if (!sigsetjmp(back, 1))
		raise(SIGSEGV);
	CHECK(resets == 2);
	install(SIGBUS, leave, 0);
	if (!sigsetjmp(back, 1))
		kill(getpid(), SIGBUS);
	CHECK(caught == SIGBUS && caught_code == SI_USER, "code %d", caught_code);
	signal(SIGSEGV, SIG_DFL);
	signal(SIGBUS, SIG_DFL);
	free(x);
}

/* Blocked or ignored: touches are answered all the same, the mask reads as it was set. */
static void blocked(void)
{
	sigset_t all, old, now;
	double *x = resident_block(BYTES, 4);

	sigfillset(&all);
	CHECK(!sigprocmask(SIG_SETMASK, &all, &old));
	EXPECT(x, COUNT, 4, 1);
	x[7] += 1;
	CHECK(!sigprocmask(SIG_BLOCK, NULL, &now));
	CHECK(sigismember(&now, SIGUSR1) && sigismember(&now, SIGTERM));
	bump(x, COUNT);
	x[7] -= 1;
	EXPECT(x, COUNT, 4, 2);
	CHECK(!pthread_sigmask(SIG_SETMASK, &old, &now) && sigismember(&now, SIGUSR1));
	CHECK(!sigprocmask(SIG_BLOCK, NULL, &now) && !sigismember(&now, SIGSEGV) && !sigismember(&now, SIGBUS));

	signal(SIGSEGV, SIG_IGN);
	signal(SIGBUS, SIG_IGN);
	bump(x, COUNT);
	EXPECT(x, COUNT, 4, 3);
	signal(SIGSEGV, SIG_DFL);
	signal(SIGBUS, SIG_DFL);
	free(x);
}

/* A handler that blocks everything touches memory on the device. */
static void masked_touch(int sig)
{
	(void)sig;
	device_memory[COUNT / 4] += 1;
	caught = 1;
}
static void in_handler(void)
{
	struct sigaction act = {.sa_handler = masked_touch};
	double *x = resident_block(BYTES, 5);

	sigfillset(&act.sa_mask);
	CHECK(!sigaction(SIGUSR1, &act, NULL));
	device_memory = x;
	caught = 0;
	raise(SIGUSR1);
	CHECK(caught == 1);
	x[COUNT / 4] -= 1;
	EXPECT(x, COUNT, 5, 1);
	device_memory = NULL;
	free(x);
}

static volatile long ticks;
static void tick(int sig)
{
	(void)sig;
	ticks++;
	device_memory[(size_t)ticks * 1031 % COUNT / 512 * 512] += 1; /* element 0 of some column */
}

/* A timer's handler writes into memory that the device is using, which moves all the time. */
static void timer(void)
{
	double *x = malloc(BYTES), sum = 0;
	long bumps = 0;
	struct sigaction act = {.sa_handler = tick, .sa_flags = SA_RESTART};
	struct itimerval often = {{0, 2000}, {0, 2000}}, never = {{0, 0}, {0, 0}};
	const int m = 511, n = COUNT / 512, k = 1, ld = 512;
	const double one = 1;
	double column[512], row[COUNT / 512];

	CHECK(x);
	memset(x, 0, BYTES);
	for (int i = 0; i < 512; i++)
		column[i] = 1;
	for (int i = 0; i < n; i++)
		row[i] = 1;
	device_memory = x;
	CHECK(!sigaction(SIGALRM, &act, NULL) && !setitimer(ITIMER_REAL, &often, NULL));
	for (double end = seconds() + (is_small() ? 1 : 2); seconds() < end; bumps++)
		dgemm_("N", "N", &m, &n, &k, &one, column, &m, row, &k, &one, x + 1, &ld); /* rows 1..511 */
	CHECK(!setitimer(ITIMER_REAL, &never, NULL));
	for (size_t i = 0; i < COUNT; i++) {
		if (i % 512 == 0)
			sum += x[i];
		else
			CHECK(x[i] == (double)bumps, "element %zu is %g after %ld operations", i, x[i], bumps);
	}
	CHECK(ticks > 10 && sum == (double)ticks, "%ld ticks, %g written", ticks, sum);
	device_memory = NULL;
	free(x);
}

/* A file mapping's end is a SIGBUS of the program's own. */
static void beyond_the_end(void)
{
	FILE *f = tmpfile();
	CHECK(f && !ftruncate(fileno(f), 100));
	char *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(f), 0);
	CHECK(p != MAP_FAILED);
	install(SIGBUS, leave, 0);
	caught = 0;
	if (!sigsetjmp(back, 1))
		p[PAGE + 9] = 1;
	CHECK(caught == SIGBUS && caught_at == p + PAGE + 9 && caught_code == BUS_ADRERR, "signal %d, code %d",
	      (int)caught, caught_code);
	signal(SIGBUS, SIG_DFL);
	CHECK(!munmap(p, 2 * PAGE));
	fclose(f);
}

/* Without a handler, and with one that is ignored, a real fault kills. */
static void killed(void (*disposition)(int), bool inside)
{
	pid_t pid = fork();
	if (!pid) {
		char *p = with_hole(BYTES / 2);
		signal(SIGSEGV, disposition);
		if (inside)
			p[BYTES / 2] = 1;
		else
			*(volatile char *)16 = 1;
		_exit(0);
	}
	child_killed(pid, SIGSEGV);
}

int main(void)
{
	handlers();
	stacks();
	once_only();
	blocked();
	in_handler();
	beyond_the_end();
	for (int i = 0; i < 2; i++) {
		killed(SIG_DFL, i);
		killed(SIG_IGN, i);
	}
	timer();
	return 0;
}

/* Calls at awkward moments. hard MODE [PLUGIN...]; prints what it prints without libcdm, too.
 *
 *   constructor   opens a plugin whose constructor waits for a thread that calls dgemm_
 *   handler       calls ddot_ from a signal handler while libraries are opened and closed
 *   live          opens a library while three threads run in a plugin that is bound to itself
 *   mixed         a small cblas_dgemm, then large dgemm_ calls from another function
 *   empty         an empty product with null scalars
 */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

void dgemm_();
double ddot_(const int *, const double *, const int *, const double *, const int *);
void cblas_dgemm(int, int, int, int, int, int, double, const double *, int, const double *, int, double, double *, int);

static double a[200 * 200], b[200 * 200], c[200 * 200];
static const double one = 1, zero = 0;

static __attribute__((noinline)) void product(int n)
{
	volatile char deeper[200];

	deeper[0] = 0;
	dgemm_("N", "N", &n, &n, &n, &one, a, &n, b, &n, &zero, c, &n, 1L, 1L);
	(void)deeper[0];
}

#ifdef PLUGIN
static void *call(void *arg)
{
	product(4);
	return arg;
}
__attribute__((constructor)) static void wait_for_a_call(void)
{
	pthread_t t;
	if (!getenv("CONSTRUCTOR"))
		return;
	pthread_create(&t, NULL, call, NULL);
	pthread_join(t, NULL);
	puts("called");
}
double dot(int n)
{
	const int inc = 1;
	return ddot_(&n, a, &inc, b, &inc);
}
#else
static atomic_int handled, wrong, stop;

static void on_alarm(int sig)
{
	static const double x[4] = {1, 2, 3, 4};
	const int n = 4, inc = 1;

	(void)sig;
	wrong += ddot_(&n, x, &inc, x, &inc) != 30;
	handled++;
}

static int handler(const char *plugin)
{
	struct itimerval often = {{0, 300}, {0, 300}};

	signal(SIGALRM, on_alarm);
	setitimer(ITIMER_REAL, &often, NULL);
	for (int i = 0; i < 300; i++) {
		void *p = dlopen(plugin, RTLD_NOW);
		if (p && dlsym(p, "dot"))
			dlclose(p);
	}
	often = (struct itimerval){{0, 0}, {0, 0}};
	setitimer(ITIMER_REAL, &often, NULL);
	printf("wrong %d\n", wrong);
	return !handled;
}

static double (*dot)(int);
static void *run_in_it(void *arg)
{
	while (!stop)
		wrong += dot(3) != 0;
	return arg;
}

static int live(const char *plugin, const char *other)
{
	pthread_t t[3];
	void *p = dlopen(plugin, RTLD_NOW);

	dot = p ? (double (*)(int))dlsym(p, "dot") : NULL;
	for (int i = 0; dot && i < 3; i++)
		pthread_create(&t[i], NULL, run_in_it, NULL);
	for (int i = 0; i < 20; i++) {
		void *o = dlopen(other, RTLD_NOW);
		usleep(1000);
		(void)dlsym(o, "j0");
	}
	stop = 1;
	for (int i = 0; dot && i < 3; i++)
		pthread_join(t[i], NULL);
	printf("wrong %d\n", wrong);
	return !dot;
}

int main(int argc, char **argv)
{
	const char *mode = argv[1];

	if (!strcmp(mode, "constructor"))
		return !dlopen(argv[2], RTLD_NOW);
	if (!strcmp(mode, "handler"))
		return handler(argv[2]);
	if (!strcmp(mode, "live") && argc > 3)
		return live(argv[2], argv[3]);
	if (!strcmp(mode, "mixed")) {
		cblas_dgemm(102, 111, 111, 2, 2, 2, 1, a, 2, b, 2, 0, c, 2);
		for (int i = 0; i < 30; i++)
			product(200);
		puts("CALLS 31");
	}
	if (!strcmp(mode, "empty")) {
		int n = 5, none = 0;
		dgemm_("N", "N", &none, &n, &n, NULL, a, &n, b, &n, NULL, c, &n, 1L, 1L);
		puts("CALLS 1");
	}
	return 0;
}
#endif

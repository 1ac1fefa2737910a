/* Control from outside, as the controlled program sees it. usage: offline CASE path-of-cdm
 *
 * The program runs `cdm WORD its-own-pid` and looks at the answer, at its memory and at what it could notice. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/cdm.h"
#include "tests/prog/check.h"

#define N 512

void dgemm_(const char *ta, const char *tb, const int *m, const int *n, const int *k, const double *alpha,
	    const double *a, const int *lda, const double *b, const int *ldb, const double *beta, double *c,
	    const int *ldc);

static const char *tool;
static char said[512]; /* by the last `cdm`, on both its outputs */

/* Exit status of `cdm word pid`. */
static int cdm(const char *word, pid_t pid)
{
	char number[16];
	int out[2], status;
	size_t n = 0;

	snprintf(number, sizeof(number), "%d", (int)pid);
	if (pipe(out))
		return -1;
	pid_t child = fork();
	if (!child) {
		dup2(out[1], 1);
		dup2(out[1], 2);
		close(out[0]);
		close(out[1]);
		unsetenv("LD_PRELOAD");
		execl(tool, tool, word, number, NULL);
		_exit(99);
	}
	close(out[1]);
	for (ssize_t r; (r = read(out[0], said + n, sizeof(said) - 1 - n)) > 0;)
		n += (size_t)r;
	said[n] = 0;
	close(out[0]);
	waitpid(child, &status, 0);
	if (getenv("SHOW"))
		fprintf(stderr, "cdm %s %s: %s", word, number, said);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* One line that starts so. */
static bool says(const char *start)
{
	char *end = strchr(said, '\n');
	bool good = !strncmp(said, start, strlen(start)) && end && !end[1];

	if (!good)
		fprintf(stderr, "said: %s", said);
	return good;
}

/* ---- products whose elements are known ---- */

struct set {
	double *a, *b, *c;
	double sum; /* of c's column 0, as it has to be */
};

/* a: element (i, j) is i + j; b: the identity times 2; so the product adds 2 (i + j). */
static struct set set_new(void)
{
	struct set s;

	s.a = calloc(N * N, 8);
	s.b = calloc(N * N, 8);
	s.c = calloc(N * N, 8);
	for (int j = 0; j < N; j++)
		for (int i = 0; i < N; i++)
			s.a[i + j * N] = i + j;
	for (int i = 0; i < N; i++)
		s.b[i + i * N] = 2;
	s.sum = 0;
	return s;
}

/* c += a b */
static void product(struct set *s)
{
	int n = N;
	double one = 1;

	dgemm_("N", "N", &n, &n, &n, &one, s->a, &n, s->b, &n, &one, s->c, &n);
	s->sum += 2;
}

static bool right(const struct set *s)
{
	for (int j = 0; j < N; j++)
		for (int i = 0; i < N; i++)
			if (s->c[i + j * N] != s->sum * (i + j))
				return false;
	return true;
}

static struct cdm_counters counters(void)
{
	struct cdm_counters k = {0};
	CHECK(cdm_counters && !cdm_counters(&k, sizeof(k)));
	return k;
}

static size_t away(const struct set *s)
{
	struct cdm_where w[3] = {{0}};

	if (cdm_query)
		CHECK(!cdm_query(s->a, N * N * 8, &w[0]) && !cdm_query(s->b, N * N * 8, &w[1]) &&
		      !cdm_query(s->c, N * N * 8, &w[2]));
	return w[0].device + w[0].shared + w[1].device + w[1].shared + w[2].device + w[2].shared;
}

/* ---- cases ---- */

static void cycle(void)
{
	struct set s = set_new();
	pid_t me = getpid();

	product(&s);
	CHECK(away(&s) >= 2 * N * N * 8); /* the identity may be the one that stays */
	CHECK(cdm("status", me) == 0 && says("ok online, "));
	CHECK(strstr(said, "1 of 1 calls offloaded"));
	CHECK(cdm("offline", me) == 0 && says("ok ") && strstr(said, " MiB home in "));
	CHECK(strncmp(said, "ok 0.0 ", 7)); /* c, at least, was on the device alone */
	CHECK(away(&s) == 0);
	CHECK(counters().device_bytes == 0);
	CHECK(cdm("status", me) == 0 && says("ok offline, "));
	CHECK(right(&s));
	struct cdm_counters before = counters();
	product(&s);
	CHECK(counters().offloaded == before.offloaded && counters().declined == before.declined + 1);
	CHECK(away(&s) == 0 && right(&s));
	CHECK(cdm("offline", me) == 0 && says("ok 0.0 MiB home in "));
	CHECK(cdm("online", me) == 0 && says("ok online"));
	CHECK(cdm("online", me) == 0 && says("ok online"));
	CHECK(cdm("status", me) == 0 && says("ok online, "));
	product(&s);
	CHECK(counters().offloaded == before.offloaded + 1 && counters().declined == before.declined + 1);
	CHECK(away(&s) > 0 && right(&s));
	/* The same from inside; the two know of each other. */
	CHECK(cdm_offline && !cdm_offline() && away(&s) == 0);
	CHECK(cdm("status", me) == 0 && says("ok offline, "));
	CHECK(cdm("online", me) == 0 && says("ok online"));
	product(&s);
	CHECK(away(&s) > 0 && right(&s));
}

static _Atomic bool stop;
static _Atomic int products;

static void *compute(void *arg)
{
	struct set s = set_new();

	(void)arg;
	for (int i = 0; !stop; i++) {
		product(&s);
		products++;
		if (i % 3 == 0)
			CHECK(right(&s));
		if (i % 7 == 0)
			s.a[i % N] += 0; /* a CPU write that changes nothing */
	}
	CHECK(right(&s));
	return NULL;
}

static void busy(void)
{
	pthread_t t[2];
	pid_t me = getpid();
	uint64_t offloaded, seen;

	for (int i = 0; i < 2; i++)
		CHECK(!pthread_create(&t[i], NULL, compute, NULL));
	while (products < 4)
		usleep(1000);
	for (int i = 0; i < 15; i++) {
		CHECK(cdm("offline", me) == 0 && says("ok "));
		offloaded = counters().offloaded;
		seen = counters().calls;
		int from = products;
		while (products < from + 4)
			usleep(1000);
		CHECK(counters().offloaded == offloaded && counters().calls > seen);
		CHECK(counters().device_bytes == 0);
		CHECK(cdm("online", me) == 0 && says("ok online"));
		/* What has gone to and fro too often stays on the host for a while. */
		for (int ms = 0; ms < 5000 && counters().offloaded == offloaded; ms++)
			usleep(1000);
		CHECK(counters().offloaded > offloaded);
	}
	stop = true;
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
}

static int entries(const char *path)
{
	DIR *d = opendir(path);
	int n = 0;

	for (struct dirent *e; d && (e = readdir(d));)
		n += e->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

static bool is_socket(int fd)
{
	int kind;
	socklen_t len = sizeof(kind);

	return !getsockopt(fd, SOL_SOCKET, SO_TYPE, &kind, &len);
}

static int sockets(void)
{
	int n = 0;

	for (int fd = 0; fd < 20000; fd++)
		n += is_socket(fd);
	return n;
}

static int wait_for(pid_t child)
{
	int status;

	return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void forked(void)
{
	struct set s = set_new();
	pid_t parent = getpid();

	int low = open("/dev/null", O_RDONLY);
	close(low);
	CHECK(sockets() == 0);
	product(&s);
	CHECK(sockets() == 1);
	CHECK(open("/dev/null", O_RDONLY) == low && !close(low)); /* the low numbers are the program's */
	fflush(NULL);
	pid_t child = fork();
	if (!child) {
		check_failures = 0;
		CHECK(sockets() == 0 && entries("/proc/self/task") == 1);
		CHECK(cdm("status", getpid()) == 1 && strstr(said, "has not used the device yet"));
		CHECK(cdm("offline", parent) == 0 && says("ok "));
		product(&s);
		CHECK(right(&s));
		CHECK(cdm("status", getpid()) == 0 && says("ok online"));
		CHECK(sockets() == 1);
		CHECK(cdm("offline", getpid()) == 0 && says("ok "));
		CHECK(right(&s));
		_exit(check_failures);
	}
	CHECK(wait_for(child) == 0);
	CHECK(cdm("status", parent) == 0 && says("ok offline"));
	CHECK(cdm("online", parent) == 0 && says("ok online"));
	product(&s);
	CHECK(right(&s));
	CHECK(cdm("status", child) == 1 && strstr(said, "does not exist"));
}

/* The program closes sockets that it does not know, and its own get the numbers. */
static void closed(void)
{
	struct set s = set_new();
	int pair[2], low = open("/dev/null", O_RDWR);
	char c;

	product(&s);
	close(low);
	for (int round = 0; round < 3; round++) {
		int taken[16], n = 0;
		CHECK(!socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
		for (int fd = 100; fd < 20000 && n < 16; fd++)
			if (is_socket(fd) && dup2(pair[0], fd) == fd)
				taken[n++] = fd;
		CHECK(n > 0); /* libcdm's was there */
		CHECK(cdm("status", getpid()) == 0 && says("ok "));
		CHECK(cdm("offline", getpid()) == 0 && says("ok "));
		CHECK(recv(pair[1], &c, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
		for (int i = 0; i < n; i++) {
			CHECK(send(pair[1], "x", 1, 0) == 1 && recv(taken[i], &c, 1, MSG_DONTWAIT) == 1 && c == 'x');
			CHECK(!close(taken[i]));
		}
		close(pair[0]);
		close(pair[1]);
		CHECK(cdm("online", getpid()) == 0 && says("ok "));
		product(&s);
	}
	CHECK(right(&s));
}

static void *work(void *arg)
{
	usleep(300000);
	CHECK(cdm("status", getpid()) == 0 && says("ok "));
	CHECK(right(arg));
	exit(check_end("ends"));
}

/* main() ends; the process lives on in a thread of its own. */
static void ends(void)
{
	static struct set s;
	pthread_t t;

	s = set_new();
	product(&s);
	pthread_create(&t, NULL, work, &s);
	pthread_exit(NULL);
}

/* And with no other thread it is over: the control thread does not count. */
static void ends_alone(void)
{
	struct set s = set_new();

	product(&s);
	CHECK(right(&s) && cdm("status", getpid()) == 0);
	if (check_failures)
		exit(1);
	pthread_exit(NULL);
}

static void *idle(void *arg)
{
	(void)arg;
	while (!stop)
		usleep(1000);
	return NULL;
}

/* libc tells all threads that it knows of, and waits for them. */
static void users(void)
{
	struct set s = set_new();
	pthread_t t;
	pid_t me = getpid();

	pthread_create(&t, NULL, idle, NULL);
	product(&s);
	alarm(20);
	CHECK(!setgid(getgid()) && !setuid(getuid()));
	CHECK(cdm("status", me) == 0 && says("ok "));
	stop = true;
	pthread_join(t, NULL);
	if (getuid())
		return;
	/* Another user's: refused, and nothing happened. */
	fflush(NULL);
	pid_t child = fork();
	if (!child) {
		check_failures = 0;
		CHECK(!setgid(65534) && !setuid(65534));
		CHECK(cdm("offline", me) == 1);
		CHECK(strstr(said, "only the program's user and root may do that"));
		_exit(check_failures);
	}
	CHECK(wait_for(child) == 0);
	CHECK(cdm("status", me) == 0 && says("ok online"));
	/* One that has become another user's; root may. */
	CHECK(!setuid(65534));
	product(&s);
	CHECK(right(&s));
}

static volatile sig_atomic_t caught;
static pthread_t catcher;

static void on_signal(int sig)
{
	(void)sig;
	caught++;
	catcher = pthread_self();
}

static void signals(void)
{
	struct set s = set_new();
	char path[300], line[256], name[32];
	unsigned long long mask;
	int found = 0;

	product(&s);
	signal(SIGUSR1, on_signal);
	for (int i = 0; i < 200; i++)
		kill(getpid(), SIGUSR1);
	CHECK(caught > 0 && pthread_equal(catcher, pthread_self()));
	DIR *d = opendir("/proc/self/task");
	for (struct dirent *e; (e = readdir(d));) {
		snprintf(path, sizeof(path), "/proc/self/task/%s/status", e->d_name);
		FILE *f = e->d_name[0] == '.' ? NULL : fopen(path, "r");
		bool ours = false;
		while (f && fgets(line, sizeof(line), f)) {
			if (sscanf(line, "Name: %31s", name) == 1)
				ours = !strcmp(name, "cdm-control");
			if (ours && sscanf(line, "SigBlk: %llx", &mask) == 1) {
				found++; /* all but KILL and STOP, which cannot be */
				CHECK((mask | 1ull << (SIGKILL - 1) | 1ull << (SIGSTOP - 1)) == ~0ull);
			}
		}
		if (f)
			fclose(f);
	}
	closedir(d);
	CHECK(found == 1);
}

/* Sends n bytes with a descriptor to this process's door; the answer is in said. */
static bool post(const char *word, size_t n, int descriptor)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX}, any = {.sun_family = AF_UNIX};
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
	int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct timeval patience = {5, 0};
	size_t len = offsetof(struct sockaddr_un, sun_path) + 1 +
		     (size_t)sprintf(a.sun_path + 1, "cdm-%d-%u", (int)getpid(), (unsigned)geteuid());
	struct iovec iov = {(void *)word, n};
	struct msghdr m = {.msg_name = &a, .msg_namelen = (socklen_t)len, .msg_iov = &iov, .msg_iovlen = 1};

	if (descriptor >= 0) {
		m.msg_control = control;
		m.msg_controllen = sizeof(control);
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		*c = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
		memcpy(CMSG_DATA(c), &descriptor, sizeof(int));
	}
	bind(s, (struct sockaddr *)&any, sizeof(any.sun_family));
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	ssize_t r = sendmsg(s, &m, 0) == (ssize_t)n ? recv(s, said, sizeof(said) - 1, 0) : -1;
	said[r > 0 ? r : 0] = 0;
	close(s);
	return r > 0;
}

static void junk(void)
{
	struct set s = set_new();
	char big[4000];
	struct rlimit limit;

	product(&s);
	int before = entries("/proc/self/fd"), null = open("/dev/null", O_RDONLY);
	memset(big, 'x', sizeof(big));
	CHECK(post("nonsense", 8, -1) && says("error: not a command"));
	CHECK(post("", 0, -1) && says("error: not a command"));
	CHECK(post("offline now", 11, -1) && says("error: not a command"));
	CHECK(post("\0offline", 8, -1) && says("error: not a command"));
	CHECK(post(big, sizeof(big), -1) && says("error: not a command"));
	CHECK(post("status\n", 7, null) && says("ok online"));
	for (int i = 0; i < 2000; i++)
		CHECK(post("status", 6, i % 2 ? null : -1));
	close(null);
	CHECK(entries("/proc/self/fd") == before);
	/* Without a free descriptor it answers all the same. */
	getrlimit(RLIMIT_NOFILE, &limit);
	int s_ = socket(AF_UNIX, SOCK_DGRAM, 0);
	close(s_);
	limit.rlim_cur = (rlim_t)s_ + 1;
	setrlimit(RLIMIT_NOFILE, &limit);
	CHECK(post("status", 6, -1) && says("ok online"));
}

/* A program that never uses the device has nothing of libcdm's that could be asked. */
static void unused(void)
{
	CHECK(cdm("status", getpid()) == 1);
	CHECK(strstr(said, getenv("LD_PRELOAD") ? "has not used the device yet" : "runs without libcdm"));
	CHECK(entries("/proc/self/task") == 1 && sockets() == 0);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} cases[] = {{"cycle", cycle}, {"busy", busy},        {"forked", forked}, {"closed", closed},
		     {"ends", ends},   {"alone", ends_alone}, {"users", users},   {"signals", signals},
		     {"junk", junk},   {"unused", unused}};

	tool = argc > 2 ? argv[2] : "build/cdm";
	for (size_t i = 0; argc > 1 && i < sizeof(cases) / sizeof(cases[0]); i++)
		if (!strcmp(argv[1], cases[i].name)) {
			cases[i].run();
			return check_end(argv[1]);
		}
	fprintf(stderr, "usage: offline CASE path-of-cdm\n");
	return 2;
}

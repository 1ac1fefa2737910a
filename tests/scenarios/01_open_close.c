/* libcdm is loaded and its device never used: nothing is left behind and nothing is printed.
 *
 * The program runs itself again with an argument and looks at what that one writes, at its exit status, and at what
 * the preload has added to the process: no descriptor, no thread, no handler, no file. */
#include "tests/scenarios/scenario.h"

#include <dirent.h>

static int entries(const char *path)
{
	DIR *d = opendir(path);
	int n = 0;

	CHECK(d, "%s", path);
	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static bool default_action(int sig)
{
	struct sigaction now;
	return !sigaction(sig, NULL, &now) && now.sa_handler == SIG_DFL;
}

static void idle_process(void)
{
	struct cdm_counters k = counters();

	CHECK(entries("/proc/self/fd") == 4, "%d descriptors", entries("/proc/self/fd")); /* and that of the listing */
	CHECK(entries("/proc/self/task") == 1);
	CHECK(default_action(SIGSEGV) && default_action(SIGBUS), "a handler that the program did not install");
	CHECK(!k.calls && !k.offloaded && !k.declined && !k.to_device && !k.to_host && !k.staged && !k.host_faults,
	      COUNT_FORMAT, COUNT_ARGS(k));
	CHECK(k.device_bytes == 0 && k.device_peak == 0 && k.device_capacity > 0);
	errno = 0;
	char *p = malloc(4 * HUGE); /* memory that could have moved, but never did */
	CHECK(errno == 0);
	memset(p, 1, 4 * HUGE);
	CHECK_HOME(p, 4 * HUGE);
	free(p);
	exit(42);
}

int main(int argc, char **argv)
{
	char text[512], dir[] = "/tmp/scenario_XXXXXX";
	int out[2], status;
	size_t n = 0;

	(void)argv;
	if (argc > 1)
		idle_process();
	int shm = access("/dev/shm", R_OK) ? 0 : entries("/dev/shm");
	CHECK(mkdtemp(dir) && !pipe(out));
	pid_t pid = fork();
	if (!pid) {
		CHECK(!chdir(dir) && dup2(open("/dev/null", O_RDONLY), 0) == 0);
		CHECK(dup2(out[1], 1) == 1 && dup2(out[1], 2) == 2);
		for (int fd = 3; fd < 4096; fd++)
			close(fd);
		execl("/proc/self/exe", "idle", "idle", (char *)NULL);
		_exit(127);
	}
	close(out[1]);
	for (ssize_t r; n < sizeof(text) - 1 && (r = read(out[0], text + n, sizeof(text) - 1 - n)) > 0;)
		n += (size_t)r;
	text[n] = 0;
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(n == 0, "it wrote: %s", text);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42, "status %#x", (unsigned)status);
	CHECK(entries(dir) == 0 && !rmdir(dir));
	CHECK(access("/dev/shm", R_OK) || entries("/dev/shm") <= shm);
	return 0;
}

/* Memory that has been freed leaves the process by itself while the program sleeps, and so does the thread that saw to it.
 *
 * usage: idle [alone]     alone: at once, as there is no thread
 */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/prog/check.h"

#define BLOCKS 48
#define BYTES ((size_t)4 << 20)

static long resident_kib(void)
{
	char line[256];
	long kib = -1;
	FILE *f = fopen("/proc/self/status", "r");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "VmRSS:", 6))
			kib = atol(line + 6);
	if (f)
		fclose(f);
	return kib;
}

static int tasks(void)
{
	int n = 0;
	DIR *d = opendir("/proc/self/task");
	for (struct dirent *e; d && (e = readdir(d));)
		n += e->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

static void use(void)
{
	char *p[BLOCKS];
	for (int i = 0; i < BLOCKS; i++)
		p[i] = memset(malloc(BYTES), i, BYTES);
	for (int i = 0; i < BLOCKS; i++)
		free(p[i]);
}

/* Whether it goes below, within 40 s. */
static int falls(long (*what)(void), long below)
{
	for (int i = 0; i < 400 && what() >= below; i++)
		usleep(100000);
	return what() < below;
}
static long threads(void)
{
	return tasks();
}

static void rest(int alone, long before)
{
	long slack = 24 << 10;

	use();
	CHECK(alone ? tasks() == 1 && resident_kib() < before + slack : falls(resident_kib, before + slack));
	CHECK(falls(threads, 2));
}

int main(int argc, char **argv)
{
	int alone = argc > 1 && !strcmp(argv[1], "alone"), status = 1;
	long before = resident_kib();

	CHECK(tasks() == 1);
	use();
	pid_t child = fork();
	if (!child) {
		rest(alone, before);
		_exit(check_failures != 0);
	}
	rest(alone, before);
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	return check_end("idle");
}

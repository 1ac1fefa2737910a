/* vfork, posix_spawn, system and popen, from several threads, with memory on the device: the children get their arguments and
 * end as they should, and the memory is right before, between and after.
 * limit: 120
 */
#include <spawn.h>

#include "tests/scenarios/vector.h"

extern char **environ;

enum { BYTES = 4 << 20, COUNT = BYTES / 8, THREADS = 3 };

static void ended(pid_t pid, int code)
{
	int status;
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == code, "status %#x, not exit status %d", (unsigned)status,
	      code);
}

static void by_vfork(int code)
{
	char command[32];
	snprintf(command, sizeof(command), "exit %d", code);
	pid_t pid = vfork();
	if (!pid) {
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	ended(pid, code);
	pid = vfork();
	if (!pid)
		_exit(code);
	ended(pid, code);
}

static void by_posix_spawn(int code)
{
	char command[32];
	char *const argv[] = {"sh", "-c", command, NULL};
	posix_spawn_file_actions_t actions;
	pid_t pid;

	snprintf(command, sizeof(command), "exit %d", code);
	CHECK(!posix_spawn_file_actions_init(&actions));
	CHECK(!posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0));
	CHECK(!posix_spawn(&pid, "/bin/sh", &actions, NULL, argv, environ));
	ended(pid, code);
	CHECK(!posix_spawnp(&pid, "sh", NULL, NULL, argv, environ));
	ended(pid, code);
	CHECK(posix_spawn(&pid, "/nonexistent/program", NULL, NULL, argv, environ) == ENOENT);
	posix_spawn_file_actions_destroy(&actions);
}

static void by_system(int code)
{
	char command[64], line[64] = "";
	snprintf(command, sizeof(command), "exit %d", code);
	int status = system(command);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == code, "status %#x", (unsigned)status);
	snprintf(command, sizeof(command), "echo it is %d", code);
	FILE *f = popen(command, "r");
	CHECK(f && fgets(line, sizeof(line), f) && !pclose(f));
	snprintf(command, sizeof(command), "it is %d\n", code);
	CHECK(!strcmp(line, command), "popen: %s", line);
}

/* All that the new program gets lies in memory on the device. */
static void from_device(void)
{
	char *memory = malloc(BYTES);
	struct {
		char path[16], name[8], option[8], command[96], variable[16];
		char *argv[4], *envp[2];
	} * args;
	pid_t pid;

	CHECK(memory);
	for (int kind = 0; kind < 3; kind++) {
		resident((double *)(void *)memory, COUNT, 1);
		args = (void *)(memory + BYTES / 2);
		strcpy(args->path, "/bin/sh");
		strcpy(args->name, "sh");
		strcpy(args->option, "-c");
		strcpy(args->command, "test \"$WORD\" = 42 && exit 9");
		strcpy(args->variable, "WORD=42");
		args->argv[0] = args->name, args->argv[1] = args->option, args->argv[2] = args->command,
		args->argv[3] = NULL;
		args->envp[0] = args->variable, args->envp[1] = NULL;
		CHECK(!cdm_prefetch(args, sizeof(*args), CDM_TO_DEVICE));
		CHECK(on_device(args, sizeof(*args)) > 0);
		if (kind == 0) {
			CHECK(!posix_spawn(&pid, args->path, NULL, NULL, args->argv, args->envp));
			ended(pid, 9);
		} else if (kind == 1) {
			pid = vfork();
			if (!pid) {
				execve(args->path, args->argv, args->envp);
				_exit(127);
			}
			ended(pid, 9);
		} else {
			setenv("WORD", "42", 1);
			int status = system(args->command);
			CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 9, "status %#x", (unsigned)status);
		}
	}
	free(memory);
}

static void *storm(void *arg)
{
	int me = (int)(intptr_t)arg, calls = 0;
	double *x = malloc(BYTES);

	CHECK(x);
	fill(x, COUNT, (unsigned)me);
	for (int i = 0; i < (is_small() ? 3 : 12); i++) {
		bump(x, COUNT);
		by_vfork(10 + i);
		bump(x, COUNT);
		by_posix_spawn(20 + i);
		bump(x, COUNT);
		by_system(30 + i);
		calls += 3;
		EXPECT(x, COUNT, (unsigned)me, calls);
	}
	free(x);
	return NULL;
}

int main(void)
{
	pthread_t thread[THREADS];
	double *idle = resident_block(BYTES, 7);

	unsetenv("CDM_REPORT");
	for (int i = 0; i < THREADS; i++)
		CHECK(!pthread_create(&thread[i], NULL, storm, (void *)(intptr_t)i));
	for (int i = 0; i < THREADS; i++)
		CHECK(!pthread_join(thread[i], NULL));
	CHECK(where(idle, BYTES).device == BYTES || !is_private(), "new programs brought memory home");
	EXPECT(idle, COUNT, 7, 1);
	from_device();
	return 0;
}

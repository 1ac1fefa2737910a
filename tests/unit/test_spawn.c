/* A helper process of which the program sees nothing: no signal, no child, no descriptors, no output. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "offload/base/stats.h"
#include "offload/dev/spawn.h"

static volatile sig_atomic_t children;

static void on_child(int sig)
{
	(void)sig;
	children++;
}

static int shell(const char *script, int out, int limit_ms)
{
	const char *argv[] = {"sh", "-c", script, NULL}, *env[] = {"ONLY=this", NULL};
	return cdm_spawn_quietly("/bin/sh", (char *const *)argv, (char *const *)env, out, limit_ms);
}

Test(spawn, nothing_to_notice)
{
	char text[64] = "";
	uint64_t begun;
	int out = memfd_create("out", MFD_CLOEXEC);

	signal(SIGCHLD, on_child);
	cr_assert_eq(shell("echo $ONLY $HOME; echo error >&2; ls /proc/self/fd | wc -l", out, 5000), 0);
	cr_assert_gt(pread(out, text, sizeof(text) - 1, 0), 0);
	cr_assert_str_eq(text, "this\n4\n"); /* 0, 1, 2 and the directory */
	cr_assert_eq(WEXITSTATUS(shell("exit 3", out, 5000)), 3);
	cr_assert_eq(
		WEXITSTATUS(cdm_spawn_quietly("/nonexistent", (char *const[]){NULL}, (char *const[]){NULL}, out, 5000)),
		127);
	begun = cdm_now_ns();
	cr_assert_eq(shell("trap '' INT TERM; sleep 30", out, 100), -ETIMEDOUT);
	cr_assert_lt(cdm_now_ns() - begun, 2000000000u);
	signal(SIGCHLD, SIG_IGN);
	cr_assert_eq(WEXITSTATUS(shell("kill -CHLD $$; exit 4", out, 5000)), 4);
	cr_assert_eq(children, 0);
	cr_assert_eq(waitpid(-1, NULL, WNOHANG | __WALL), -1);
	cr_assert_eq(errno, ECHILD);
	close(out);
}

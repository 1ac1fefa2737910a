#include "tools/control.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define ASK_AGAIN_MS 500

/* The address of a process's control socket. */
struct door {
	struct sockaddr_un at;
	socklen_t len;
};

static int usage(int argc, char **argv)
{
	if (argc == 2)
		fprintf(stderr, "cdm: %s: '%s' is not a process number; ", argv[0], argv[1]);
	else
		fprintf(stderr, "cdm: %s: which process? ", argv[0]);
	fprintf(stderr, "usage: cdm %s PID\n", argv[0]);
	return 2;
}

static int failed(const char *text, pid_t pid)
{
	fprintf(stderr, "cdm: process %d %s\n", (int)pid, text);
	return 1;
}

/* -1: not a number of a process. */
static pid_t read_pid(const char *s)
{
	char *end;

	errno = 0;
	long n = strtol(s, &end, 10);
	return isdigit((unsigned char)*s) && !*end && !errno && n > 0 && n <= 0x7fffffff ? (pid_t)n : -1;
}

/* False: no such process. Its directory belongs to its effective user, or to root where others may not look inside. */
static bool door_of(pid_t pid, struct door *door)
{
	char path[32];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	if (stat(path, &st))
		return false;
	memset(door, 0, sizeof(*door));
	door->at.sun_family = AF_UNIX;
	int n = snprintf(door->at.sun_path + 1, sizeof(door->at.sun_path) - 1, "cdm-%d-%u", (int)pid, st.st_uid);
	door->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
	return true;
}

/* A socket with an address of its own for the answer, which comes with its sender's credentials. */
static int mailbox(void)
{
	struct sockaddr_un any = {.sun_family = AF_UNIX};
	int on = 1, s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (s >= 0 && !setsockopt(s, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) &&
	    !bind(s, (struct sockaddr *)&any, sizeof(any.sun_family)))
		return s;
	perror("cdm: no socket");
	return -1;
}

/* Why nobody listens. */
static const char *why_silent(pid_t pid)
{
	char path[32], line[4352];
	bool there = false;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	FILE *f = fopen(path, "re");
	if (!f)
		return kill(pid, 0) && errno == ESRCH ? "has ended" : "belongs to another user";
	while (!there && fgets(line, sizeof(line), f))
		there = strstr(line, "/libcdm.so") != NULL;
	fclose(f);
	return there ? "has not used the device yet" : "runs without libcdm";
}

/* True: nobody is behind the door any more. */
static bool closed(const struct door *door)
{
	int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool refused = s >= 0 && connect(s, (const struct sockaddr *)&door->at, door->len) && errno == ECONNREFUSED;

	if (s >= 0)
		close(s);
	return refused;
}

/* The next datagram that pid has sent: its length, without its end of line. -1: something else came. */
static int receive(int s, pid_t pid, char *text, size_t cap)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct ucred))];
	struct iovec iov = {text, cap - 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(s, &m, 0);
	struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(&m);
	struct ucred who;

	if (!c || c->cmsg_type != SCM_CREDENTIALS)
		return -1;
	memcpy(&who, CMSG_DATA(c), sizeof(who));
	if (who.pid != pid)
		return -1;
	text[n] = 0;
	text[strcspn(text, "\n")] = 0;
	return (int)n;
}

/* Waits as long as the process lives and listens: to bring much memory home takes time. False: it does not any more. */
static bool wait_answer(int s, pid_t pid, const struct door *door, char *text, size_t cap)
{
	struct pollfd p = {.fd = s, .events = POLLIN};

	for (int silent = 0; silent < 2;) {
		if (poll(&p, 1, ASK_AGAIN_MS) > 0) {
			if (receive(s, pid, text, cap) >= 0)
				return true;
		} else {
			silent = closed(door) ? silent + 1 : 0; /* one may fall into a moment when it is opened anew */
		}
	}
	return false;
}

static int ask(int s, pid_t pid, const struct door *door, const char *word)
{
	char text[256];

	if (sendto(s, word, strlen(word), 0, (const struct sockaddr *)&door->at, door->len) < 0) {
		if (errno == ECONNREFUSED)
			return failed(why_silent(pid), pid);
		perror("cdm: control socket");
		return 1;
	}
	if (!wait_answer(s, pid, door, text, sizeof(text)))
		return failed("has ended without an answer", pid);
	if (strncmp(text, "ok", 2)) {
		const char *why = strncmp(text, "error: ", 7) ? text : text + 7;
		fprintf(stderr, "cdm: process %d: %s\n", (int)pid, why);
		return 1;
	}
	return printf("%s\n", text) < 0 || fflush(stdout);
}

int control_process(int argc, char **argv)
{
	struct door door;
	pid_t pid = argc == 2 ? read_pid(argv[1]) : -1;

	if (pid < 0)
		return usage(argc, argv);
	if (!door_of(pid, &door))
		return failed("does not exist", pid);
	int s = mailbox();
	if (s < 0)
		return 1;
	int status = ask(s, pid, &door, argv[0]);
	close(s);
	return status;
}

#include "offload/op/control.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "offload/base/config.h"
#include "offload/base/descriptor.h"
#include "offload/base/fmt.h"
#include "offload/base/log.h"
#include "offload/base/stats.h"
#include "offload/base/sys.h"
#include "offload/base/thread.h"
#include "offload/mem/device.h"
#include "offload/offload.h"
#include "offload/op/dispatch.h"

#define WORD 32
#define MIB ((double)(1 << 20))

static _Atomic bool started;
/* Written before the thread starts, then by the thread alone. */
static int fd = -1;
static ino_t inode; /* of the socket: whether the descriptor is still libcdm's */
static struct cdm_thread thread;

/* ---- the socket -------------------------------------------------------------------------------------------- */

static ino_t inode_of(int descriptor)
{
	struct stat st;

	return cdm_sys3(SYS_fstat, descriptor, (long)&st, 0) == 0 && S_ISSOCK(st.st_mode) ? st.st_ino : 0;
}

static bool bind_name(int s)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int on = 1;
	size_t n = cdm_fmt(a.sun_path + 1, sizeof(a.sun_path) - 1, "cdm-%d-%u", cdm_sys_getpid(),
			   (unsigned)cdm_sys3(SYS_geteuid, 0, 0, 0));

	return !cdm_sys6(SYS_setsockopt, s, SOL_SOCKET, SO_PASSCRED, (long)&on, sizeof(on), 0) &&
	       !cdm_sys3(SYS_bind, s, (long)&a, (long)(offsetof(struct sockaddr_un, sun_path) + 1 + n));
}

static bool socket_open(void)
{
	int s = (int)cdm_sys3(SYS_socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (s < 0)
		return false;
	if (!bind_name(s)) {
		cdm_sys_close(s);
		return false;
	}
	fd = cdm_descriptor_raise(s);
	inode = inode_of(fd);
	return inode != 0;
}

/* The program may close any descriptor, and its number may be the program's own by now. */
static bool socket_ours(void)
{
	return fd >= 0 && inode_of(fd) == inode;
}

/* ---- commands ---------------------------------------------------------------------------------------------- */

static void do_offline(struct cdm_text *t)
{
	uint64_t begun = cdm_now_ns();
	size_t home;
	int r = cdm_engine_offline(&home);

	if (r)
		cdm_textf(t, "error: the device is not free yet (error %d), %.1f MiB home", -r, (double)home / MIB);
	else
		cdm_textf(t, "ok %.1f MiB home in %.3f s", (double)home / MIB, (double)(cdm_now_ns() - begun) * 1e-9);
}

static void do_online(struct cdm_text *t)
{
	int r = cdm_engine_online();

	if (r)
		cdm_textf(t, "error: there is no device (error %d)", -r);
	else
		cdm_textf(t, "ok online");
}

static void do_status(struct cdm_text *t)
{
	struct cdm_totals now;

	cdm_engine_totals(&now);
	cdm_textf(t, "ok %s, %s: %.1f of %.1f MiB in use, %lu of %lu calls offloaded",
		  cdm_dispatch_is_offline() ? "offline" : "online", cdm_device.mem->name,
		  (double)now.device_bytes / MIB, (double)now.device_capacity / MIB, (unsigned long)now.offloaded,
		  (unsigned long)now.calls);
}

static const struct {
	const char *word;
	void (*run)(struct cdm_text *answer);
} commands[] = {{"offline", do_offline}, {"online", do_online}, {"status", do_status}};

static void obey(const char *word, struct cdm_text *answer)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(word, commands[i].word)) {
			commands[i].run(answer);
			return;
		}
	cdm_textf(answer, "error: not a command of this version of libcdm");
}

/* ---- the thread -------------------------------------------------------------------------------------------- */

struct request {
	char word[WORD];
	struct sockaddr_un from;
	socklen_t from_len;
	struct ucred who;
};

/* The kernel's word on who sent it; nobody is (uid_t)-1. */
CDM_THREAD_CODE static struct ucred sender(struct msghdr *m)
{
	struct ucred who = {.uid = (uid_t)-1};
	struct cmsghdr *c = CMSG_FIRSTHDR(m);

	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS)
		memcpy(&who, CMSG_DATA(c), sizeof(who));
	return who;
}

/* 0, or a negative errno. The room for control data is what credentials take: descriptors are refused. */
CDM_THREAD_CODE static int receive(struct request *q)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct ucred))];
	struct iovec iov = {q->word, WORD - 1};
	struct msghdr m = {.msg_name = &q->from,
			   .msg_namelen = sizeof(q->from),
			   .msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};
	long n = cdm_sys3(SYS_recvmsg, fd, (long)&m, 0);

	if (n < 0)
		return (int)n;
	q->word[n] = 0;
	q->word[strcspn(q->word, "\n")] = 0;
	q->from_len = m.msg_namelen;
	q->who = sender(&m);
	return 0;
}

/* Of the user that the thread has, and the socket's name. */
CDM_THREAD_CODE static bool allowed(const struct request *q)
{
	return q->who.uid == 0 || q->who.uid == (uid_t)cdm_sys3(SYS_geteuid, 0, 0, 0);
}

CDM_THREAD_CODE static void answer(const struct request *q)
{
	char line[160];
	struct cdm_text t;

	cdm_text_init(&t, line, sizeof(line) - 1);
	if (allowed(q))
		obey(q->word, &t);
	else
		cdm_textf(&t, "error: only the program's user and root may do that");
	line[t.len] = '\n';
	if (socket_ours() || socket_open())
		(void)cdm_sys6(SYS_sendto, fd, (long)line, (long)t.len + 1, MSG_DONTWAIT | MSG_NOSIGNAL, (long)&q->from,
			       q->from_len);
}

/* Ends where there is no socket to be had any more. */
CDM_THREAD_CODE static void thread_main(void)
{
	struct request q;

	(void)cdm_sys6(SYS_prctl, PR_SET_NAME, (long)"cdm-control", 0, 0, 0, 0);
	while (socket_ours() || socket_open()) {
		int r = receive(&q);
		if (!r)
			answer(&q);
		else if (r != -EINTR && r != -EBADF && r != -ENOTSOCK)
			return;
	}
}

/* ---- its start --------------------------------------------------------------------------------------------- */

/* What an end of the thread, or a fork without it, leaves. */
static void clear(void)
{
	if (socket_ours())
		cdm_sys_close(fd);
	fd = -1;
	cdm_thread_forget(&thread);
}

void cdm_control_prepare(void)
{
	if (cdm_config.control && !atomic_load(&started) && !socket_ours())
		(void)socket_open();
}

void cdm_control_start(void)
{
	if (!cdm_config.control || atomic_load_explicit(&started, memory_order_relaxed) ||
	    atomic_exchange(&started, true))
		return;
	if ((socket_ours() || socket_open()) && cdm_thread_start(&thread, thread_main))
		return;
	clear();
	cdm_log(CDM_LOG_INFO, "no control from outside: its socket or its thread cannot be had");
}

void cdm_control_reset(void)
{
	clear();
	atomic_store(&started, false);
}

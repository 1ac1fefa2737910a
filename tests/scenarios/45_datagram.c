/* A datagram that is received into memory on the device is delivered, once and whole; one that is sent from there arrives. */
#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "tests/scenarios/vector.h"

enum { BYTES = 4 << 20, COUNT = BYTES / 8, LENGTH = 4000, AT = BYTES / 2 - 1000 }; /* across a border of 2 MiB */

static char *memory;
static char sent[LENGTH];

enum way { RECV, RECVFROM, RECVMSG, RECVMMSG, READ, READV, PEEK, WAYS };
static const char *const name[] = {"recv", "recvfrom", "recvmsg", "recvmmsg", "read", "readv", "recv, MSG_PEEK first"};

static ssize_t receive(int fd, enum way way, char *at)
{
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	struct iovec v[2] = {{at, 1500}, {at + 1500, LENGTH - 1500}};
	struct mmsghdr m = {.msg_hdr = {.msg_iov = v, .msg_iovlen = 2}};

	switch (way) {
	case RECV:
		return recv(fd, at, LENGTH, 0);
	case RECVFROM:
		return recvfrom(fd, at, LENGTH, 0, (struct sockaddr *)&from, &len);
	case RECVMSG:
		return recvmsg(fd, &m.msg_hdr, 0);
	case RECVMMSG:
		return recvmmsg(fd, &m, 1, 0, NULL) == 1 ? (ssize_t)m.msg_len : -1;
	case READ:
		return read(fd, at, LENGTH);
	case READV:
		return readv(fd, v, 2);
	case PEEK:
		return recv(fd, at, LENGTH, MSG_PEEK) == LENGTH ? recv(fd, at, LENGTH, 0) : -1;
	default:
		return -1;
	}
}

/* The memory is on the device when the datagram comes. */
static void incoming(int to, int from, enum way way, unsigned seed)
{
	char *at = memory + AT;
	char more;

	resident((double *)memory, COUNT, seed);
	for (int i = 0; i < LENGTH; i++)
		sent[i] = (char)(i * 31 + (int)seed);
	CHECK(send(from, sent, LENGTH, 0) == LENGTH);
	ssize_t got = receive(to, way, at);
	CHECK(got == LENGTH, "%s: %zd, %s", name[way], got, strerror(errno));
	CHECK(!memcmp(at, sent, LENGTH), "%s: not what was sent", name[way]);
	CHECK(recv(to, &more, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN, "%s: delivered twice", name[way]);
	EXPECT((double *)memory, AT / 8, seed, 1);
	EXPECT_FROM((double *)memory, (AT + LENGTH) / 8, COUNT, seed, 1);
	/* The device sees it, too: -0.0 and what is no number do not occur in small integers. */
	for (int i = 0; i < LENGTH / 8; i++)
		((double *)at)[i] = value(AT / 8 + (size_t)i, seed) + 1;
	bump((double *)memory, COUNT);
	EXPECT((double *)memory, COUNT, seed, 2);
}

enum { SEND, SENDTO, SENDMSG, SENDMMSG, WRITE, WRITEV, OUT_WAYS };

static ssize_t transmit(int fd, int way, char *at)
{
	struct iovec v[2] = {{at, 1500}, {at + 1500, LENGTH - 1500}};
	struct mmsghdr m = {.msg_hdr = {.msg_iov = v, .msg_iovlen = 2}};

	switch (way) {
	case SEND:
		return send(fd, at, LENGTH, 0);
	case SENDTO:
		return sendto(fd, at, LENGTH, 0, NULL, 0);
	case SENDMSG:
		return sendmsg(fd, &m.msg_hdr, 0);
	case SENDMMSG:
		return sendmmsg(fd, &m, 1, 0) == 1 ? (ssize_t)m.msg_len : -1;
	case WRITE:
		return write(fd, at, LENGTH);
	case WRITEV:
		return writev(fd, v, 2);
	default:
		return -1;
	}
}

static void outgoing(int from, int to, int way, unsigned seed)
{
	static char got[LENGTH];
	double *x = (double *)memory, y;

	resident(x, COUNT, seed);
	CHECK(transmit(from, way, memory + AT) == LENGTH, "way %d: %s", way, strerror(errno));
	CHECK(recv(to, got, LENGTH, 0) == LENGTH);
	for (int i = 0; i < LENGTH / 8; i++) {
		memcpy(&y, got + 8 * i, 8);
		CHECK(y == value(AT / 8 + (size_t)i, seed) + 1, "way %d: element %d is %g", way, i, y);
	}
	EXPECT(x, COUNT, seed, 1);
}

static void both(int a, int b)
{
	for (int way = 0; way < WAYS; way++)
		incoming(a, b, way, (unsigned)way + 1);
	for (int way = 0; way < OUT_WAYS; way++)
		outgoing(a, b, way, (unsigned)way + 1);
}

/* Two UDP sockets on the loopback interface that are connected to each other; false where there is none. */
static bool udp(int fd[2])
{
	struct sockaddr_in at[2];
	socklen_t len = sizeof(at[0]);

	for (int i = 0; i < 2; i++) {
		at[i] = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		fd[i] = socket(AF_INET, SOCK_DGRAM, 0);
		if (fd[i] < 0 || bind(fd[i], (struct sockaddr *)&at[i], len) ||
		    getsockname(fd[i], (struct sockaddr *)&at[i], &len))
			return false;
	}
	return !connect(fd[0], (struct sockaddr *)&at[1], len) && !connect(fd[1], (struct sockaddr *)&at[0], len);
}

int main(void)
{
	int fd[2];

	for (int kind = 0; kind < 2; kind++) {
		memory = kind ? map_private(BYTES, true) : malloc(BYTES);
		CHECK(memory);
		CHECK(!socketpair(AF_UNIX, SOCK_DGRAM, 0, fd));
		both(fd[0], fd[1]);
		close(fd[0]), close(fd[1]);
		if (udp(fd))
			both(fd[0], fd[1]);
		else
			printf("no loopback interface: without UDP\n");
		close(fd[0]), close(fd[1]);
	}
	return 0;
}

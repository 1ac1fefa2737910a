/* The kernel writes into memory whose pages are on their way: a reader fills its part of a block from a datagram
 * socket and a pipe, over and over, while other threads' products send the block to the device and home. Every byte
 * must arrive, and no call may fail. usage: kernel [seconds] */
#include <cblas.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "tests/prog/check.h"

#define MIB ((size_t)1 << 20)
#define N 128
#define PACKET 60000

static _Atomic int stop;
static char *block; /* two matrices and the reader's two buffers, by turns, half a MiB each */
static _Atomic long packets;

static void *reader(void *arg)
{
	int pair[2], pipes[2];
	char *in = block + MIB / 2, *out = block + MIB + MIB / 2; /* in the same 2 MiB as the matrices */

	(void)arg;
	CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0 && pipe(pipes) == 0);
	for (long i = 0; !stop; i++) {
		memset(out, (int)(i & 127) + 1, PACKET);
		memset(in, 0, 2 * PACKET);
		CHECK(send(pair[0], out, PACKET, 0) == PACKET);
		CHECK(recv(pair[1], in, PACKET, 0) == PACKET);
		CHECK(in[0] == out[0] && !memcmp(in, out, PACKET));
		struct iovec iov[2] = {{out, 3000}, {out + 5000, 1000}};
		CHECK(writev(pipes[1], iov, 2) == 4000);
		CHECK(read(pipes[0], in + PACKET, 4000) == 4000 && in[PACKET + 3999] == out[0]);
		packets++;
	}
	return NULL;
}

/* Three large blocks in turn leave the reader's no room on the device; then it is needed again. */
static void *computer(void *arg)
{
	double *m = arg, *other[3];

	for (int i = 0; i < 3; i++)
		other[i] = calloc(1, 6 * MIB);
	while (!stop) {
		for (int i = 0; i < 6; i++)
			cblas_dgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, N, N, N, 1, other[i % 3], N,
				    other[i % 3], N, 0, other[i % 3] + 400000, N);
		cblas_dgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, N, N, N, 1, m, N, m, N, 0, m + N * N, N);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct timespec left = {argc > 1 ? atoi(argv[1]) : 3, 0};
	pthread_t t[3];

	block = calloc(1, 2 * MIB);
	pthread_create(&t[0], NULL, reader, NULL);
	for (int i = 1; i < 3; i++)
		pthread_create(&t[i], NULL, computer, block + (size_t)(i - 1) * MIB);
	while (nanosleep(&left, &left) && errno == EINTR)
		;
	stop = 1;
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	CHECK(packets > 0);
	printf("%ld packets\n", (long)packets);
	return check_end("kernel");
}

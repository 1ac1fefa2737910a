/* A server that forks for each request: 32 clients, one child each. A child fills a buffer of its own and writes
 * into the one it inherited; the parent's stays as it was. Prints the replies.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHARED ((size_t)16 << 20)

static uint64_t sum(const unsigned char *p, size_t n)
{
	uint64_t h = 1469598103934665603u;
	for (size_t i = 0; i < n; i += 61)
		h = (h ^ p[i]) * 1099511628211u;
	return h;
}

static void serve(int fd, unsigned char *inherited)
{
	size_t bytes;
	if (read(fd, &bytes, sizeof bytes) != sizeof bytes)
		_exit(1);
	unsigned char *own = malloc(bytes);
	if (!own)
		_exit(2);
	memset(own, (int)(bytes & 0xff), bytes);
	memset(inherited, 0xee, SHARED / 2);
	uint64_t reply = sum(own, bytes) ^ sum(inherited, SHARED);
	free(own);
	_exit(write(fd, &reply, sizeof reply) != sizeof reply);
}

int main(void)
{
	unsigned char *inherited = calloc(1, SHARED);
	if (!inherited)
		return 2;
	memset(inherited + SHARED / 4, 3, SHARED / 4);
	uint64_t before = sum(inherited, SHARED);
	for (size_t i = 0; i < 32; i++) {
		int pair[2];
		size_t bytes = 100 + i * 300007;
		uint64_t reply = 0;
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
			return 3;
		pid_t child = fork();
		if (child == 0)
			serve(pair[1], inherited);
		int status = 0;
		if (write(pair[0], &bytes, sizeof bytes) != sizeof bytes ||
		    read(pair[0], &reply, sizeof reply) != sizeof reply || waitpid(child, &status, 0) != child ||
		    status)
			return 4;
		printf("%zu %016llx\n", bytes, (unsigned long long)reply);
		close(pair[0]), close(pair[1]);
	}
	printf("parent %s\n", sum(inherited, SHARED) == before ? "unchanged" : "CHANGED");
	free(inherited);
	return 0;
}

/* System calls that no function of libc's makes, on memory that a private device has: tests/prog/touch.sh.
 * Prints the result of a read, and of a readv whose list is away, too; and whether the data arrived. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "shim/cdm.h"

#define LENGTH ((size_t)8 << 20)

static long raw(long nr, long a, long b, long c)
{
	long r;
	__asm__ volatile("syscall" : "=a"(r) : "a"(nr), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return r;
}

static int check(int ok, const char *what)
{
	if (!ok)
		printf("FAILED: %s\n", what);
	return ok;
}

int main(void)
{
	char *p = malloc(LENGTH);
	struct iovec *list = (struct iovec *)(void *)(p + (1 << 20));
	struct cdm_where w;
	int fd = open("/dev/zero", O_RDONLY);

	memset(p, 5, LENGTH);
	*list = (struct iovec){p + (4 << 20), 5000};
	/* An operation that writes would leave it nowhere else: so does a second life on the device. */
	char *q = cdm_alloc(LENGTH);
	if (!check(p && q && fd >= 0, "set-up") || !check(!cdm_query(q, LENGTH, &w) && w.device == LENGTH, "cdm_alloc"))
		return 1;
	long r = raw(SYS_read, fd, (long)(q + 4096), 100000);
	if (!check(!cdm_prefetch(p, LENGTH, CDM_TO_DEVICE) && !cdm_query(p, LENGTH, &w) && w.shared == LENGTH,
		   "prefetch"))
		return 1;
	long v = raw(SYS_readv, fd, (long)list, 1);
	int arrived = p[4 << 20] == 0 && p[(4 << 20) + 4999] == 0 && p[(4 << 20) + 5000] == 5 && p[0] == 5;
	printf("read %ld readv %ld arrived %d\n", r, v, arrived);
	return 0;
}

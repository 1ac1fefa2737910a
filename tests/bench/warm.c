/* Touches memory on huge pages and gives it back, before a program is timed:
 *
 *   warm MIB
 *
 * A virtual machine may give free memory back to its host, 2 MiB at a time and after two seconds (free page reporting,
 * mm/page_reporting.c). Who touches it next waits for the host: measured 4.5 ms for 2 MiB, against 0.1. Whether a program meets
 * such memory depends on what ran before it, and falls on those with huge pages.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int main(int argc, char **argv)
{
	size_t len = (size_t)(argc == 2 ? atoi(argv[1]) : 0) << 20;
	char *p = len ? mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : MAP_FAILED;

	if (p == MAP_FAILED) {
		fprintf(stderr, "usage: warm MIB\n");
		return 2;
	}
	madvise(p, len, MADV_HUGEPAGE);
	memset(p, 1, len);
	return 0;
}

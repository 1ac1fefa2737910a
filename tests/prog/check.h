/* Assertions of the test programs: each failure is a line, the exit status says whether there was one. */
#ifndef CDM_TEST_CHECK_H
#define CDM_TEST_CHECK_H

#include <stdatomic.h>
#include <stdio.h>

static atomic_int check_failures, check_count;

#define CHECK(what)                                                                                                    \
	do {                                                                                                           \
		check_count++;                                                                                         \
		if (!(what)) {                                                                                         \
			check_failures++;                                                                              \
			fprintf(stderr, "%s:%d: %s: not so: %s\n", __FILE__, __LINE__, __func__, #what);               \
		}                                                                                                      \
	} while (0)

static inline int check_end(const char *name)
{
	printf("%s: %d checks, %d failed\n", name, (int)check_count, (int)check_failures);
	return check_failures != 0;
}

#endif

/* A library that allocates, computes with and keeps large and small blocks in its constructor, and gives them
 * back in its destructor. */
#include <stdlib.h>
#include <string.h>

static char *large, *small;

/* 1 while both blocks hold what the constructor wrote. */
int ctor_intact(void);
int ctor_intact(void)
{
	return large && small && large[0] == 5 && large[(3 << 20) - 1] == 5 && small[99] == 6;
}

__attribute__((constructor)) static void begin(void)
{
	large = malloc(3 << 20);
	small = malloc(100);
	if (large)
		memset(large, 5, 3 << 20);
	if (small)
		memset(small, 6, 100);
}

__attribute__((destructor)) static void end(void)
{
	free(large);
	free(small);
}

/* What run.sh counts: callgrind writes down its counts, and begins anew, whenever counts_mark() is entered (--dump-before). A
 * path is run once to warm up, then for n operations between two marks, then for 2 n. */
#ifndef CDM_TESTS_MARK_H
#define CDM_TESTS_MARK_H

#include <stdio.h>

void counts_mark(void);
__attribute__((noinline)) void counts_mark(void)
{
	__asm__ volatile("" ::: "memory");
}

struct path {
	const char *group, *name;
	void (*run)(long n);
	void (*prepare)(long n);
};

static inline void counts_run(const struct path *p, long n)
{
	if (p->prepare)
		p->prepare(n);
	counts_mark();
	p->run(n);
	counts_mark();
}

static inline void counts_measure(const struct path *p, long n)
{
	if (p->prepare)
		p->prepare(n);
	p->run(n);
	printf("%ld %s\n", n, p->name);
	counts_run(p, n);
	counts_run(p, 2 * n);
}

#endif

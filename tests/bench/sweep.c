/* One routine at one shape, timed on request, so that several libraries can be compared point by point: bench.py keeps a
 * process for each and asks them in turn.
 *
 *   sweep [LIBRARY [PREFIX SUFFIX]]
 *
 * calls the routines that the program is linked to, or those of LIBRARY (whose dgemm is PREFIXdgemmSUFFIX, "" and "_" by
 * default). A request is a line "ROUTINE M N K MICROSECONDS" on stdin; the answer a line with the nanoseconds of one call, the
 * fastest batch within that time (at least one), or "-" when the library lacks the routine. Before a point is measured it is
 * called once, but for slow calls of the same point as before. The process ends with its parent, even when it is stopped.
 * tools/point.h says what is called.
 */
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "tools/point.h"

static const char types[] = "sdcz";

#define DECLARE(name) extern point_fn s##name##_, d##name##_, c##name##_, z##name##_;
POINT_ROUTINES(DECLARE)
#define LINKED(name) {s##name##_, d##name##_, c##name##_, z##name##_},
static struct point_table table = {{POINT_ROUTINES(LINKED)}};

static void look_up(const char *path, const char *prefix, const char *suffix)
{
	void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
	char name[64];

	if (!library) {
		fprintf(stderr, "%s\n", dlerror());
		exit(2);
	}
	for (int r = 0; r < POINT_COUNT; r++)
		for (int t = 0; t < 4; t++) {
			snprintf(name, sizeof name, "%s%c%s%s", prefix, types[t], point_name[r], suffix);
			table.fn[r][t] = (point_fn *)dlsym(library, name);
		}
}

static int in_range(int n)
{
	return n > 0 && n <= POINT_MOST;
}

static int parse(const char *line, struct point *p, double *budget)
{
	char name[16];

	memset(p, 0, sizeof *p);
	if (sscanf(line, "%15s %d %d %d %lf", name, &p->m, &p->n, &p->k, budget) != 5)
		return 0;
	const char *type = strchr(types, name[0]);
	if (!type || !name[0])
		return 0;
	p->type = (int)(type - types);
	while (p->routine < POINT_COUNT && strcmp(point_name[p->routine], name + 1))
		p->routine++;
	return p->routine < POINT_COUNT && in_range(p->m) && in_range(p->n) && in_range(p->k);
}

int main(int argc, char **argv)
{
	char line[256];
	struct point p;
	double budget;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (argc > 1)
		look_up(argv[1], argc > 3 ? argv[2] : "", argc > 3 ? argv[3] : "_");
	while (fgets(line, sizeof line, stdin)) {
		if (!parse(line, &p, &budget)) {
			fprintf(stderr, "not understood: %s", line);
			return 2;
		}
		double seconds = point_measure(&table, &p, budget > 1 ? budget : 1);
		if (seconds > 0)
			printf("%.1f\n", seconds * 1e9);
		else
			printf("-\n");
		fflush(stdout);
	}
	return 0;
}

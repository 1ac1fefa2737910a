/* `cdm bench faults`: page faults and page migration, mechanism by mechanism. */
#ifndef CDM_BENCH_FAULTS_H
#define CDM_BENCH_FAULTS_H

#include "tools/bench/mech.h"

/* Runs the verb; argv[0] is "faults". An exit status. */
int bench_faults(int argc, char **argv);

/* ---- its parts ---- */

struct row {
	struct cell cell; /* bytes 0: of a mechanism that this machine does not have */
	struct result result;
};

struct condition_state {
	bool measured;
	char why[128]; /* not measured */
};

struct bench {
	struct machine machine;
	bool quick, all, spoil;
	int threads;      /* at most */
	const char *only; /* words of mechanisms' names, with commas; NULL: all */
	const char *json; /* NULL, or a path */
	struct row *row;
	size_t rows;
	struct condition_state condition[CONDITIONS];
	uint64_t begun_ns, took_ns;
};

/* The rows that are to be measured and, with bytes 0, those that cannot be. False: no memory. */
bool plan_make(struct bench *b);
/* Median of a yardstick under the same circumstances, or 0. */
uint64_t bench_yardstick(const struct bench *b, const struct cell *c, const struct mech *m);
uint64_t bench_refused(const struct result *r);
/* "64 KiB" */
const char *bench_size(size_t bytes, char text[16]);

void table_print(FILE *f, const struct bench *b);
/* 0, or a negative errno: it could not be written. */
int json_write(const struct bench *b);

#endif

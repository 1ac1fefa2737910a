/* The report of CDM_REPORT: what was seen, what was offloaded, what was not and why.
 *
 * Counters come from cdm_stats and the registered routines; what only the engine knows comes in as facts.
 */
#ifndef CDM_OP_REPORT_H
#define CDM_OP_REPORT_H

#include <stddef.h>
#include <stdint.h>

#include "offload/offload.h"

struct cdm_report_region {
	size_t bytes;
	const void *site;     /* who allocated it, or NULL */
	uint64_t device_uses; /* operations that used it on the device */
	uint64_t moved;       /* bytes, both directions */
	const char *origin;   /* "malloc", "mmap", ... or NULL */
};

/* A compute library in use: as its describe() says, and the calls that were offloaded to it. */
struct cdm_report_library {
	const char *name;
	uint64_t calls;
};

/* Strings may be NULL where there is nothing to name. */
struct cdm_report_facts {
	double wall_s;
	const char *program;
	int pid;
	const char *device, *blas, *mechanism;
	size_t capacity, peak;                      /* bytes of device memory */
	double min_work;                            /* flops in force; not finite: nothing is offloaded */
	int threads;                                /* of the device */
	const struct cdm_report_library *libraries; /* the first is blas */
	int library_count;
	const struct cdm_report_region *regions;
	int region_count;
	const struct cdm_provider *providers;
	int provider_count;
	const char *note; /* one sentence that the reader should not miss */
};

/* Writes the report to where: "stderr", or a path, in which %p becomes the pid; JSON when the path ends in .json.
 * The file is created or truncated, with mode 0666 less the umask. What cannot be written costs one warning line.
 *
 * Called at exit, once, on any thread; other threads may go on counting. The path is not tried at the start: that
 * would leave an empty file for every short-lived child, and the one warning is as clear at the end. */
void cdm_report_write(const char *where, const struct cdm_report_facts *facts);

#endif

/* What a benchmark's figures depend on: processor, kernel, its memory settings and privileges. */
#ifndef CDM_BENCH_MACHINE_H
#define CDM_BENCH_MACHINE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "offload/base/fmt.h"
#include "tools/bench/kernel.h"

#define MACHINE_NODES 64

enum balancing { BALANCING_ABSENT, BALANCING_OFF, BALANCING_ON };

/* Settings that the kernel does not have are empty, numbers -1. */
struct machine {
	char cpu[128], kernel[128], arch[72], clocksource[32];
	char thp[16], thp_defrag[24], thp_shmem[16];
	char mthp[256]; /* sizes of huge pages other than the largest that are not off: "64K madvise, 128K always" */
	int cpus_online, cpus_allowed;
	uint64_t memory, page, huge_page; /* bytes; huge_page is 0 without transparent huge pages */
	int nodes, memory_nodes;
	int memory_node[MACHINE_NODES]; /* the first memory_nodes of them */
	long overcommit, max_map_count, unprivileged_userfaultfd;
	enum balancing numa_balancing;
	enum uffd_right userfaultfd;
	uint64_t userfaultfd_features;
	bool hypervisor;
	uint64_t clock_ns; /* of one reading of the clock */
};

void machine_read(struct machine *m);
/* Two lines for people; an object for programs. Keys are a contract: add, never rename or drop. */
void machine_print(FILE *f, const struct machine *m);
void machine_json(struct cdm_text *t, const struct machine *m);
const char *machine_balancing(enum balancing b);

/* The first line of a file, without its end; empty where it cannot be read. */
void machine_line(const char *path, char *line, size_t cap);
/* Counter of /proc/vmstat, 0 where there is none. */
uint64_t machine_vmstat(const char *name);

#endif

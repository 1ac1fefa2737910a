/* What is mapped, and how. */
#ifndef CDM_SHIM_MAPS_H
#define CDM_SHIM_MAPS_H

#include <stdbool.h>
#include <stdint.h>

struct cdm_mapping {
	uintptr_t lo, hi;
	int prot;
	bool shared, stack;
};

/* This process's mappings by ascending address, until fn returns true. Returns what the last fn returned, or a negative errno. No
 * allocation. */
int cdm_maps_each(bool (*fn)(const struct cdm_mapping *m, void *arg), void *arg);

#endif

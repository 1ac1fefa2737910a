/* Inside the report: one reading of the counters, which text and JSON both print. */
#ifndef CDM_OP_REPORT_VIEW_H
#define CDM_OP_REPORT_VIEW_H

#include <stddef.h>
#include <stdint.h>

#include "offload/base/fmt.h"
#include "offload/base/stats.h"
#include "offload/op/report.h"

#define CDM_REPORT_REGIONS 20 /* those that moved the most bytes */

struct cdm_report_routine {
	const char *name;
	uint64_t calls, offloaded;
	double device_s, move_s, host_s, gflop;
};

struct cdm_report_view {
	const struct cdm_report_facts *facts;
	struct cdm_report_routine routine[CDM_MAX_ROUTINES]; /* those with calls, most time first */
	int routines;
	const struct cdm_report_region *region[CDM_REPORT_REGIONS];
	int regions;
	uint64_t seen, offloaded, tiny, forwarded, declined[CDM_DECLINE_COUNT];
	uint64_t to_device, to_host, first_touch, staged, reused, in_place, host_faults, evictions, thrash;
};

/* What is longer than this of a program's, library's or file's name is left out, so that a report has a bound. */
#define CDM_REPORT_NAME 512
/* Bytes that hold any report. */
#define CDM_REPORT_BYTES ((size_t)256 << 10)

void cdm_report_read(struct cdm_report_view *v, const struct cdm_report_facts *facts);
/* Both leave t uncut when it has CDM_REPORT_BYTES. */
void cdm_report_text(struct cdm_text *t, const struct cdm_report_view *v);
void cdm_report_json(struct cdm_text *t, const struct cdm_report_view *v);
/* site as "module+0xoffset", the module by its path or by its last component alone; the address in hexadecimal when
 * it is in no module, "unknown" for NULL. */
void cdm_report_site(struct cdm_text *t, const void *site, int full_path);

#endif

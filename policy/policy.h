/* Placement policy: facts in, decision out.
 *
 * Functions here are pure: no locks, no clocks, no system calls, no state but the facts handed in. They may be
 * called from any thread. A new policy is one file with one `const struct cdm_policy` and one row in policy.c.
 */
#ifndef CDM_POLICY_H
#define CDM_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cdm_place { CDM_PLACE_HOST, CDM_PLACE_MOVE, CDM_PLACE_COPY, CDM_PLACE_IN_PLACE };

#define CDM_POLICY_OPERANDS 8

struct cdm_operand_facts {
	size_t bytes;    /* owned by the operand */
	size_t resident; /* of its pages, bytes that are on the device already */
	size_t span;     /* bytes from its first to its last page */
	size_t away;     /* of these, bytes that only the device has, out of the CPU's reach */
	bool movable;    /* its memory can move at all */
	bool reads, writes;
	bool scratch; /* workspace, of no value before or after the call */
	double work; /* flops of earlier device operations with its region, since any of that last came to the device */
};

struct cdm_call_facts {
	double flops;
	double min_work;         /* CDM_MIN_WORK in force */
	size_t capacity, in_use; /* device bytes */
	bool coherent;           /* the device can use host memory in place */
	bool streaming;          /* each element takes part in few operations: levels 1 and 2 */
	int operands;
	struct cdm_operand_facts op[CDM_POLICY_OPERANDS];
};

/* call == CDM_PLACE_HOST: run on the host; otherwise on the device, and op[] says how each operand gets there. */
struct cdm_decision {
	enum cdm_place call;
	enum cdm_place op[CDM_POLICY_OPERANDS];
};

/* A candidate for eviction. Smaller value is evicted first. */
struct cdm_candidate {
	size_t bytes;  /* resident on the device */
	uint64_t uses; /* device uses since it came */
	uint64_t age;  /* device operations since its last use */
};

struct cdm_policy {
	const char *name;
	bool moves; /* it may decide so where the device can reach the program's memory */
	struct cdm_decision (*decide)(const struct cdm_call_facts *facts);
	/* Index of the victim among n > 0 candidates. */
	int (*victim)(const struct cdm_candidate *candidates, int n);
};

extern const struct cdm_policy cdm_policy_never, cdm_policy_copy, cdm_policy_first_use;
extern const struct cdm_policy cdm_policy_in_place, cdm_policy_adaptive;
/* By CDM_POLICY's number (order: never, copy, first-use, in-place, adaptive). */
const struct cdm_policy *cdm_policy_get(int kind);

/* Shared by the policies: the call is worth the device by its flops, or its data is out of the CPU's reach and less would
 * have to go there than to come home. */
bool cdm_policy_worth(const struct cdm_call_facts *facts);
/* Shared by the policies: the least uses per byte and age. */
int cdm_policy_coldest(const struct cdm_candidate *candidates, int n);

#endif

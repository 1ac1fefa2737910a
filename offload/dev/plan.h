/* The plan: which library, with which settings, computes which call.
 *
 * BLAS libraries differ most where matrices are small or thin, and no one of them is best everywhere. So calls are sorted into
 * families of routines that share their kernels, by the type of their elements, by the aspect of the result and by their work;
 * for each of these the plan names a setting: a library, its core type, its number of threads; and for each row of classes, the
 * work from which several threads are better. Pure data and functions.
 */
#ifndef CDM_DEV_PLAN_H
#define CDM_DEV_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "offload/dev/blas_find.h"
#include "offload/offload.h"

/* X(identifier, name of the routine that stands for the family) */
#define CDM_FAMILIES_TABLE(X)                                                                                          \
	X(GEMM, gemm) X(TRSM, trsm) X(SYRK, syrk) X(GEMV, gemv) X(GETRF, getrf) X(POTRF, potrf) X(GEQRF, geqrf)
enum cdm_family {
#define X(id, name) CDM_FAMILY_##id,
	CDM_FAMILIES_TABLE(X)
#undef X
		CDM_FAMILIES
};
extern const char *const cdm_family_name[CDM_FAMILIES];

extern const char *const cdm_aspect_name[CDM_ASPECTS];

/* Work is sorted into classes by powers of 4, from 64 flops on: a factor of 1.6 in the order of a matrix. */
#define CDM_CLASSES 16
#define CDM_CLASS_LEAST 6 /* log2 of the first class's lower end */

#define CDM_SETTINGS 4
#define CDM_CORE_NAME 32

struct cdm_setting {
	char library[CDM_BLAS_PATH]; /* absolute */
	char core[CDM_CORE_NAME];    /* OpenBLAS core type to ask for; "": the library's own guess */
	int threads;                 /* >= 1 */
};

/* Numbers of settings by family, type, aspect and class. */
typedef uint8_t cdm_plan_table[CDM_FAMILIES][4][CDM_ASPECTS][CDM_CLASSES];

struct cdm_plan {
	struct cdm_setting setting
		[CDM_SETTINGS]; /* [0]: the best for large work, with all its threads; of those with LAPACK, if there are such */
	int settings;
	cdm_plan_table team;  /* of the settings with all threads */
	cdm_plan_table alone; /* of the settings with one thread */
	/* Flops from which a call that has the machine to itself is for a setting with all threads. */
	uint64_t team_from[CDM_FAMILIES][4][CDM_ASPECTS];
};

/* The family of a routine's name with its type ("dsymm" is of GEMM). -1: of none. */
int cdm_plan_family(const char *routine);
/* The class of so much work; 0 for less than the first, the last for all that is more. */
int cdm_plan_class(double flops);
/* Flops in the middle of a class. */
double cdm_plan_work(int size);
/* Flops at its lower end. */
uint64_t cdm_plan_least(int size);
enum cdm_aspect cdm_plan_aspect_of(const struct cdm_call *call, int family);

/* The setting for a call. alone: others compute beside it. */
int cdm_plan_setting(const struct cdm_plan *plan, int family, int type, enum cdm_aspect aspect, double flops,
		     bool alone);

/* The first setting with one thread, or 0: what the table `alone` names where nothing else is known. */
int cdm_plan_first_alone(const struct cdm_plan *plan);
/* A plan of one setting, or of a second one with a single thread. */
void cdm_plan_simple(struct cdm_plan *plan, const struct cdm_setting *first);
/* Every number in the tables is one of a setting; those of alone have one thread (or nothing has), those of team as many as the
 * first setting. */
bool cdm_plan_is_valid(const struct cdm_plan *plan);

#endif

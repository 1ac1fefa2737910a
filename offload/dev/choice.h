/* The calibrated plan of compute libraries and settings, and its file in the user's cache.
 *
 *	$XDG_CACHE_HOME/cdm/blas-<key>   or   $HOME/.cache/cdm/blas-<key>
 *
 * The key is a hash of everything that the choice depends on: libcdm's version, the CPU's model, the number of
 * CPUs that it may use, CDM_THREADS, CDM_BLAS, and path, size and modification time of every candidate library. A file is
 * believed only if it belongs to the user and nobody else may write it. No allocation; thread-safe.
 */
#ifndef CDM_DEV_CHOICE_H
#define CDM_DEV_CHOICE_H

#include <stddef.h>
#include <stdint.h>

#include "offload/base/fmt.h"
#include "offload/dev/plan.h"

#define CDM_CHOICE_MAX 16384         /* bytes of a choice as text */
#define CDM_CHOICE_PROVISIONAL_S 600 /* by the file's modification time */

struct cdm_choice {
	struct cdm_plan plan;
	uint64_t mflops;    /* of setting 0, measured, in 1e6 flop/s; 0: not measured */
	uint64_t crossover; /* flops from which a call is worth offloading */
	uint64_t
		detailed; /* 1: every type and aspect was measured, by `cdm calibrate`; else d and square stand for all */
	uint64_t provisional; /* 1: others kept the CPUs busy meanwhile; valid for CDM_CHOICE_PROVISIONAL_S */
};

/* want and threads as in the configuration (NULL and 0: automatic). */
uint64_t cdm_choice_key(const struct cdm_blas_file *list, int n, const char *want, int threads);

void cdm_choice_print(struct cdm_text *t, const struct cdm_choice *c, uint64_t key);
/* text is NUL-terminated. -EINVAL: damaged or of another version; -ESTALE: of another key. *c is set on success. */
int cdm_choice_parse(const char *text, uint64_t key, struct cdm_choice *c);

/* Path of a file in the cache directory. -ENOENT: the user has no cache directory. -ENAMETOOLONG. */
int cdm_choice_path(char *buf, size_t cap, const char *name);
/* Makes the cache directory where it is missing. */
void cdm_choice_make_directory(void);
/* -ENOENT: not cached. -EACCES: the file cannot be trusted. -ESTALE: also a provisional choice whose time is over. Else
 * as cdm_choice_parse(). */
int cdm_choice_load(uint64_t key, struct cdm_choice *c);
/* Replaces the file atomically. */
int cdm_choice_save(uint64_t key, const struct cdm_choice *c);

#endif

/* Which library, core type and thread count to use: from the cache, else measured by the cdm tool in a process of its
 * own (at most a few seconds, once per user and machine).
 */
#ifndef CDM_DEV_CALIBRATE_H
#define CDM_DEV_CALIBRATE_H

#include "offload/dev/choice.h"

/* The tool stops measuring after CDM_CALIBRATE_MS and is killed after CDM_CALIBRATE_LIMIT_MS. Waiting for another
 * process's calibration counts. */
#define CDM_CALIBRATE_MS 2400
#define CDM_CALIBRATE_LIMIT_MS 5000

/* The choice among the n > 0 libraries of list. want and threads as in the configuration (NULL and 0: automatic).
 * -ENOENT: the tool is not beside the library. -EIO: it measured nothing. Not to be called by two threads at once. */
int cdm_calibrate(const struct cdm_blas_file *list, int n, const char *want, int threads, struct cdm_choice *c);
/* A guess, where nothing can be measured. mflops is 0. */
void cdm_calibrate_guess(const struct cdm_blas_file *list, int threads, struct cdm_choice *c);

/* Flops that a library of so many flop/s needs for a call to hide its own dispatch: 20 times 1 us. */
#define CDM_DISPATCH_S 1e-6
#define CDM_DISPATCH_SHARE 20

#endif

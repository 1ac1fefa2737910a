/* Batches of products: taken apart when their products are worth offloading one by one. */
#ifndef CDM_SHIM_BLAS_BATCH_H
#define CDM_SHIM_BLAS_BATCH_H

#include "shim/blas_args.h"

/* g: a gathered ?gemm_batch or ?gemm_batch_strided. True: every product is done, on the device or by the program's own ?gemm,
 * and counted as a call of ?gemm. False: nothing is done or counted. */
bool cdm_batch_run(const struct cdm_gathered *g, const struct cdm_frame *f);

#endif

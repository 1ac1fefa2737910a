/* Libraries that are known to compute wrong are not opened. */
#include <criterion/criterion.h>

#include "offload/dev/blas_find.h"
#include "offload/dev/blas_library.h"

typedef float float_sum(const int64_t *n, const float *x, const int64_t *inc);

/* OpenBLAS 0.3.21's scasum is wrong with the core type Cooperlake. The right one comes first: where a library cannot be opened twice
 * it keeps the first core type. */
Test(blas_check, what_is_open_adds_up)
{
	static const char *const cores[] = {"SkylakeX", "Cooperlake", "Haswell", "Zen", ""};
	struct cdm_blas_file list[CDM_BLAS_MAX];
	int n = cdm_blas_find("openblas", list, CDM_BLAS_MAX), open = 0;
	float x[90], sum = 0;

	for (int k = 0; k < 90; k++) {
		x[k] = (float)(k % 3 ? k % 11 + 1 : -(k % 11 + 1));
		sum += x[k] < 0 ? -x[k] : x[k];
	}
	for (size_t i = 0; n > 0 && i < sizeof(cores) / sizeof(*cores); i++) {
		struct cdm_blas_library lib;
		if (cdm_blas_open(&lib, list[0].path, cores[i], 1))
			continue;
		float_sum *scasum = (float_sum *)cdm_blas_entry(&lib, "scasum");
		cr_assert_eq(scasum(&(int64_t){45}, x, &(int64_t){1}), sum, "core type %s", lib.core);
		open++;
	}
	cr_assert(n <= 0 || open > 0, "no core type is right");
}

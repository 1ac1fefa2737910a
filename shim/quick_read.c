/* Reading small calls. Compiled without vector registers. */
#include "shim/quick_read.h"

#include "shim/blas_shapes.h"

bool cdm_quick_has(int shape)
{
	switch (shape) {
	case CDM_SHAPE_GEMM:
	case CDM_SHAPE_GEMV:
	case CDM_SHAPE_SYRK:
	case CDM_SHAPE_HERK:
	case CDM_SHAPE_TRMM:
	case CDM_SHAPE_GETRF:
	case CDM_SHAPE_POTRF:
		return true;
	default:
		return false;
	}
}

static bool read_fortran(struct cdm_quick *q, const struct cdm_regs *r, int shape, bool complex)
{
	switch (shape) {
	case CDM_SHAPE_GEMM:
		gemm_fortran(q, r);
		return gemm_legal(q);
	case CDM_SHAPE_GEMV:
		gemv_fortran(q, r);
		return gemv_legal(q);
	case CDM_SHAPE_SYRK:
	case CDM_SHAPE_HERK:
		rank_fortran(q, r);
		return rank_legal(q, complex, shape == CDM_SHAPE_HERK);
	case CDM_SHAPE_TRMM:
		solve_fortran(q, r);
		return solve_legal(q);
	case CDM_SHAPE_GETRF:
		return getrf(q, r);
	default:
		return potrf(q, r);
	}
}

static bool read_cblas(struct cdm_quick *q, const struct cdm_regs *r, int shape, bool complex)
{
	if (!ordered(r))
		return false;
	switch (shape) {
	case CDM_SHAPE_GEMM:
		gemm_cblas(q, r, complex);
		return gemm_legal(q);
	case CDM_SHAPE_GEMV:
		gemv_cblas(q, r, complex);
		return gemv_legal(q);
	case CDM_SHAPE_SYRK:
		rank_cblas(q, r, complex, false);
		return rank_legal(q, complex, false);
	case CDM_SHAPE_HERK:
		rank_cblas(q, r, false, true);
		return rank_legal(q, complex, true);
	default:
		solve_cblas(q, r, complex);
		return solve_legal(q);
	}
}

bool cdm_quick_read(struct cdm_quick *q, const struct cdm_regs *regs, const struct cdm_slot *slot)
{
	bool complex = cdm_blas_table[slot->routine].type >= CDM_C;
	int shape = cdm_blas_shape[slot->routine];
	bool legal = slot->flags & CDM_SLOT_CBLAS ? read_cblas(q, regs, shape, complex)
						  : read_fortran(q, regs, shape, complex);

	q->work *= slot->coef;
	return legal;
}

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

static bool read_call(struct cdm_quick *q, const struct cdm_regs *r, const struct cdm_slot *slot)
{
	bool complex = cdm_scalar_complex(cdm_blas_table[slot->routine].type);

	switch (cdm_blas_shape[slot->routine]) {
	case CDM_SHAPE_GEMM:
		return gemm_read(q, r, slot, complex) && gemm_legal(q);
	case CDM_SHAPE_GEMV:
		return gemv_read(q, r, slot, complex) && gemv_legal(q);
	case CDM_SHAPE_SYRK:
		return rank_read(q, r, slot, complex, false) && rank_legal(q, complex, false);
	case CDM_SHAPE_HERK:
		return rank_read(q, r, slot, true, true) && rank_legal(q, true, true);
	case CDM_SHAPE_TRMM:
		return solve_read(q, r, slot, complex) && solve_legal(q);
	case CDM_SHAPE_GETRF:
		return getrf(q, r);
	default:
		return potrf(q, r);
	}
}

bool cdm_quick_read(struct cdm_quick *q, const struct cdm_regs *regs, const struct cdm_slot *slot)
{
	bool legal = read_call(q, regs, slot);

	q->work *= slot->coef;
	return legal;
}

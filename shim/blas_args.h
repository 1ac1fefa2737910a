/* From registers and stack to the normalised call. */
#ifndef CDM_SHIM_BLAS_ARGS_H
#define CDM_SHIM_BLAS_ARGS_H

#include "shim/blas_shapes.h"
#include "shim/gate.h"

/* A call on its way: what its arguments point to, and where its outputs go, outlives it. */
struct cdm_gathered {
	struct cdm_call call;
	double value[CDM_MAX_ARGS]; /* scalars passed by value */
	double scratch[2];
	void *output[CDM_MAX_ARGS]; /* Fortran: the program's own integer for each O of the list */
	void *answer;               /* CBLAS: where a complex result goes */
	int order;                  /* CBLAS: as passed, or 0 */
	bool illegal_order;
};

/* Reads the list as the slot says. The call has neither operands nor flops yet, and is row-major if the program's is. */
void cdm_gather(struct cdm_gathered *g, const struct cdm_frame *f);
/* The rest: column-major, checked, operands and flops. */
enum cdm_verdict cdm_gather_finish(struct cdm_gathered *g);
/* After the device or an original has run the normalised call: hands its outputs to the program. */
void cdm_gather_return(const struct cdm_gathered *g, struct cdm_frame *f);

/* An empty list of a routine's: all but letter, n and arg is set. */
void cdm_gather_begin(struct cdm_gathered *g, int routine, bool wide, const void *site);
/* The upper-case letter that a Fortran letter or CBLAS's number of a transpose stands for; 0: none. */
char cdm_gather_letter(uint32_t v, bool cblas);

/* The gate's indices of the shape's extents for a way of calling. */
void cdm_gather_dims(struct cdm_slot *slot);

#endif

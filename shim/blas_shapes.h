/* The argument lists of blas.def's routines. */
#ifndef CDM_SHIM_BLAS_SHAPES_H
#define CDM_SHIM_BLAS_SHAPES_H

#include "offload/offload.h"

/* How a row-major CBLAS call becomes a column-major one, on the transposes. */
enum cdm_row_major {
	CDM_ROW_NONE,  /* the list has no storage order */
	CDM_ROW_HOST,  /* it does not: vectors would have to be conjugated */
	CDM_ROW_GEMM,  /* C' = op(B)' op(A)': operands change places, and m with n */
	CDM_ROW_GEMMT, /* the same, and upper becomes lower */
	CDM_ROW_SIDE,  /* C' = B' A': left becomes right, upper lower, m and n change places */
	CDM_ROW_RANK,  /* upper becomes lower, no transpose a transpose and back */
	CDM_ROW_UPLO,  /* upper becomes lower */
	CDM_ROW_GEMV,  /* transpose flips, m and n, kl and ku change places */
	CDM_ROW_GER,   /* m and n, x and y change places */
	CDM_ROW_TR,    /* upper becomes lower, transpose flips */
};

struct cdm_fill;
struct cdm_shape {
	char args[CDM_MAX_ARGS + 2]; /* see struct cdm_call */
	char result;                 /* 'v' none, 't' the routine's type, 'r' the real type, 'i' integer, 'd' double */
	uint8_t level;               /* enum cdm_level */
	bool driver;
	uint8_t row_major; /* enum cdm_row_major */
	uint16_t coef;     /* at most coef * dim[0] * dim[1] * dim[2] real operations; complex: four times as many */
	uint8_t dim[3];    /* indices into args, or CDM_DIM_ONE, CDM_DIM_MAX */
	/* Checks the arguments as the reference does, describes the operands and counts the work. */
	void (*fill)(struct cdm_fill *f);
};

#define CDM_SHAPES(X)                                                                                                  \
	X(GEMM)                                                                                                        \
	X(GEMMT)                                                                                                       \
	X(SYMM)                                                                                                        \
	X(SYRK)                                                                                                        \
	X(HERK)                                                                                                        \
	X(SYR2K)                                                                                                       \
	X(HER2K)                                                                                                       \
	X(TRMM) X(GEMM_BATCH) X(GEMM_STRIDED) X(GEMV) X(GBMV) X(TRMV) X(TBMV) X(TPMV) X(SYMV) X(SBMV) X(SPMV) X(HEMV)  \
		X(HBMV) X(HPMV) X(GER) X(GERC) X(SYR) X(SPR) X(SYR2) X(SPR2) X(HER) X(HPR) X(HER2) X(HPR2) X(SWAP)     \
			X(COPY) X(AXPY) X(AXPBY) X(SCAL) X(RSCAL) X(DOT) X(DOTC) X(NRM2) X(ASUM) X(IAMAX) X(SDSDOT)    \
				X(DSDOT) X(ROT) X(RROT) X(ROTM) X(ROTG) X(ROTMG) X(OMATCOPY) X(IMATCOPY) X(GETRF)      \
					X(GETRS) X(GESV) X(GETRI) X(POTRF) X(POTRS) X(POSV) X(TRTRI) X(TRTRS) X(GEQRF) \
						X(ORGQR) X(ORMQR) X(GELS) X(GEQP3) X(CGEQP3) X(GELSY) X(CGELSY) X(GELSD) X(CGELSD) X(SYEVR) X(HEEVR) X(SYEV) X(HEEV) X(SYEVD) X(HEEVD) X(GESVD)   \
							X(CGESVD) X(GESDD) X(CGESDD) X(GEEV) X(CGEEV)
enum cdm_shape_id {
#define X(id) CDM_SHAPE_##id,
	CDM_SHAPES(X)
#undef X
		CDM_SHAPE_COUNT
};
extern const struct cdm_shape cdm_shapes[CDM_SHAPE_COUNT];
/* By routine identifier. */
extern const uint8_t cdm_blas_shape[];

enum cdm_verdict {
	CDM_VERDICT_RUN,
	CDM_VERDICT_INVALID, /* an original would call xerbla, or may do so */
	CDM_VERDICT_QUICK,   /* nothing to compute, or a question about workspace */
	CDM_VERDICT_FORM,    /* legal, but no form that a device takes */
};

/* A call whose list is complete: fills in operands and flops. */
enum cdm_verdict cdm_shape_fill(struct cdm_call *call);
/* Turns the list of a row-major call into a column-major one. scratch: room for a changed scalar. */
enum cdm_verdict cdm_shape_transpose(struct cdm_call *call, double scratch[2]);

#endif

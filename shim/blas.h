/* What the BLAS entry points of all calling conventions share. Private to shim/.
 *
 * An entry point (blas_fortran.c, blas_cblas.c) computes the work of the call and, when it is worth a look,
 * gathers its arguments into struct cdm_blas_args and calls cdm_blas_offload():
 *
 *   entry point --- inside another one ----------------------------------------> original
 *        |--------- less work than cdm_min_work: cdm_call_stays() -------------> original
 *        `--------- cdm_blas_offload() --- illegal, nothing to do: stays ------> original
 *                        `---------------- cdm_call_offload() --- no ---timed--> original
 *                                                `-- yes: done
 */
#ifndef CDM_SHIM_BLAS_H
#define CDM_SHIM_BLAS_H

#include <stdbool.h>
#include <stdint.h>

#include "offload/offload.h"
#include "shim/blas_shapes.h"
#include "shim/host.h"

#define CDM_EXPORT __attribute__((visibility("default")))

enum cdm_blas_shape {
	CDM_SHAPE_GEMM,
	CDM_SHAPE_GEMMT,
	CDM_SHAPE_SYMM,
	CDM_SHAPE_SYRK,
	CDM_SHAPE_SYR2K,
	CDM_SHAPE_TRMM,
};

/* Routine identifiers: CDM_BLAS_sgemm, CDM_BLAS_dgemm, ... */
enum cdm_blas_routine {
#define ROUTINE(t, T, name) CDM_BLAS_##t##name,
#define CDM_BLAS(name, family, shape, types, ...) CDM_EACH_##types(ROUTINE, name)
#include "shim/blas.def"
#undef CDM_BLAS
#undef ROUTINE
	CDM_BLAS_COUNT
};

/* A row of blas.def as data, by routine identifier. */
struct cdm_blas_traits {
	uint8_t shape;              /* enum cdm_blas_shape */
	bool real_alpha, real_beta; /* a real scalar in a complex routine */
	const char *trans;          /* legal letters */
};
extern const struct cdm_blas_traits cdm_blas_traits[CDM_BLAS_COUNT];
extern const struct cdm_routine cdm_blas_table[CDM_BLAS_COUNT + 1];

/* The program's own entry points. */
extern struct cdm_host_slot cdm_blas_fortran[CDM_BLAS_COUNT], cdm_blas_cblas[CDM_BLAS_COUNT];

/* Real-type operations of one call, see blas.def; negative sizes give any number. */
#define CDM_BLAS(name, family, shape, types, alpha, beta, real_trans, complex_trans, work)                             \
	static inline double cdm_work_##name(bool left, double m, double n, double k)                                  \
	{                                                                                                              \
		(void)left, (void)m, (void)n, (void)k;                                                                 \
		return work;                                                                                           \
	}
#include "shim/blas.def"
#undef CDM_BLAS

/* The arguments of a call as Fortran means them; what its shape lacks is 0. Letters as the caller gave them, 0
 * for a CBLAS number that stands for none. */
struct cdm_blas_args {
	char side, uplo, transa, transb, diag;
	int m, n, k, lda, ldb, ldc;
	const void *alpha, *beta;
	const void *a, *b;
	void *c;
	double scalar[2]; /* where a changed alpha lives */
};

enum cdm_blas_verdict { CDM_BLAS_RUN, CDM_BLAS_INVALID, CDM_BLAS_QUICK };

/* Fills all of call but flops and site from args. INVALID: reference BLAS would call xerbla, and call is
 * undefined. QUICK: there is no product to form (an empty operand, or alpha == 0). */
enum cdm_blas_verdict cdm_blas_normalise(struct cdm_call *call, int routine, const struct cdm_blas_args *args);

/* A call between cdm_blas_offload() and cdm_blas_ended(). */
struct cdm_blas_turn {
	struct cdm_call call;
	uint64_t begun;
	bool timed; /* cdm_inside is held */
};

/* True: the call is done. False: the caller runs the original, then calls cdm_blas_ended(). args outlives both. */
bool cdm_blas_offload(struct cdm_blas_turn *turn, int routine, const struct cdm_blas_args *args, double flops,
		      const void *site);
void cdm_blas_ended(struct cdm_blas_turn *turn);

/* Set by a CBLAS entry point while the original runs a call that was counted and stays: the Fortran entry points
 * that the original calls in turn pass it by.
 *
 * cdm_inside is not held then, because the original of a call that stays may meet an illegal argument, and a
 * program's own xerbla may leave by longjmp() or by an exception. A guard left held would turn offloading off for
 * the thread; this flag, left set, does so for Fortran calls until the next CBLAS call. A Fortran call that stays
 * (R, Octave) leaves nothing behind. */
extern __thread bool cdm_blas_counted __attribute__((tls_model("initial-exec")));

static inline bool cdm_blas_too_small(double flops)
{
	return flops < atomic_load_explicit(&cdm_min_work, memory_order_relaxed);
}

/* Runs the call by the Fortran entry point of the program's library or, failing that, of the device's: for a
 * CBLAS call whose original does not exist. Illegal arguments reach that library's xerbla. */
void cdm_blas_by_fortran(int routine, const struct cdm_blas_args *args, const void *site);

/* Hands the table to the engine. Called once, from the constructor. */
void cdm_blas_register(void);

#endif

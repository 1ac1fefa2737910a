/* The tables that blas.def expands to, and the part of a call that no calling convention differs in. */
#include "shim/blas.h"

#include "offload/base/stats.h"

_Static_assert((int)CDM_BLAS_COUNT <= CDM_MAX_ROUTINES, "more routines than the statistics have room for");

__thread bool cdm_blas_counted __attribute__((tls_model("initial-exec")));

/* clang-format off */
const struct cdm_routine cdm_blas_table[CDM_BLAS_COUNT + 1] = {
#define ROUTINE(t, T, name, family) [CDM_BLAS_##t##name] = { #t #name, CDM_##family, CDM_##T },
#define CDM_BLAS(name, family, shape, types, ...) CDM_EACH_##types(ROUTINE, name, family)
#include "shim/blas.def"
#undef CDM_BLAS
#undef ROUTINE
};

#define IS_REAL_T false
#define IS_REAL_R true
#define TRANS_s(real, complex) real
#define TRANS_d(real, complex) real
#define TRANS_c(real, complex) complex
#define TRANS_z(real, complex) complex

const struct cdm_blas_traits cdm_blas_traits[CDM_BLAS_COUNT] = {
#define ROUTINE(t, T, name, shape, alpha, beta, real_trans, complex_trans) \
	[CDM_BLAS_##t##name] = { \
		CDM_SHAPE_##shape, IS_REAL_##alpha, IS_REAL_##beta, TRANS_##t(real_trans, complex_trans) \
	},
#define CDM_BLAS(name, family, shape, types, alpha, beta, real_trans, complex_trans, work) \
	CDM_EACH_##types(ROUTINE, name, shape, alpha, beta, real_trans, complex_trans)
#include "shim/blas.def"
#undef CDM_BLAS
#undef ROUTINE
};

#define CDM_BLAS(name, family, shape, types, ...) CDM_EACH_##types(SLOT, name)
struct cdm_host_slot cdm_blas_fortran[CDM_BLAS_COUNT] = {
#define SLOT(t, T, name) [CDM_BLAS_##t##name] = { .symbol = #t #name "_", .routine = CDM_BLAS_##t##name },
#include "shim/blas.def"
#undef SLOT
};

struct cdm_host_slot cdm_blas_cblas[CDM_BLAS_COUNT] = {
#define SLOT(t, T, name) [CDM_BLAS_##t##name] = { .symbol = "cblas_" #t #name, .routine = CDM_HOST_NO_FALLBACK },
#include "shim/blas.def"
#undef SLOT
};
#undef CDM_BLAS
/* clang-format on */

void cdm_blas_register(void)
{
	cdm_engine_routines(cdm_blas_table, CDM_BLAS_COUNT);
}

bool cdm_blas_offload(struct cdm_blas_turn *turn, int routine, const struct cdm_blas_args *args, double flops,
		      const void *site)
{
	enum cdm_blas_verdict verdict = cdm_blas_normalise(&turn->call, routine, args);

	turn->timed = false;
	if (verdict != CDM_BLAS_RUN) {
		cdm_call_stays(routine, verdict == CDM_BLAS_QUICK ? CDM_STAY_QUICK : CDM_STAY_INVALID);
		return false;
	}
	turn->call.flops = flops;
	turn->call.site = site;
	cdm_inside++;
	if (cdm_call_offload(&turn->call)) {
		cdm_inside--;
		return true;
	}
	turn->timed = true;
	turn->begun = cdm_call_host_begin();
	return false;
}

void cdm_blas_ended(struct cdm_blas_turn *turn)
{
	if (!turn->timed)
		return;
	cdm_call_host_end(&turn->call, turn->begun);
	cdm_inside--;
}

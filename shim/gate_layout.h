/* What entry.S and C have to agree on: numbers, and the names that a routine goes by. */
#ifndef CDM_SHIM_GATE_LAYOUT_H
#define CDM_SHIM_GATE_LAYOUT_H

/* clang-format off */
/* struct cdm_slot */
#define CDM_SLOT_SIZE      64
#define CDM_SLOT_ORIGINAL  0
#define CDM_SLOT_KEY       32
#define CDM_SLOT_DEPTH     34
#define CDM_SLOT_WORDS     35

/* struct cdm_regs: words below it that hold the first scalars, xmm0 and xmm1 */
#define CDM_REGS_SCALARS   2

/* struct cdm_mark */
#define CDM_MARK_KEY       0
#define CDM_MARK_STACK     8
#define CDM_MARK_LIBRARY   16
#define CDM_MARK_LENGTH    24

/* The sign of an address that cdm_gate_look() returns, which no address of a program has; any other bit may be. */
#define CDM_GATE_VISIT     63

/* struct cdm_frame */
#define CDM_FRAME_GP       0
#define CDM_FRAME_XMM      48
#define CDM_FRAME_SLOT     176
#define CDM_FRAME_STACK    184
#define CDM_FRAME_SITE     192
#define CDM_FRAME_RESULT   200
#define CDM_FRAME_TIMED    208
#define CDM_FRAME_WORDS    212
#define CDM_FRAME_RETURNS  216
#define CDM_FRAME_SIZE     256

/* stub.c: where a stub's slot is, seen from the return address of its call of the gate */
#define CDM_STUB_SLOT      (4096 - 10)

/* The names of a routine: X(NAME, variant). Suffixes with 64 mean 64-bit integers (OpenBLAS, MKL, netlib, Julia's and
 * SciPy's builds spell it differently); a name without may mean either. */
#define CDM_FORTRAN_NAMES(X, name) \
	X(name##_, F) X(name, F_BARE) X(name##64_, F_64U) X(name##_64_, F_U64U) X(name##_64, F_U64) X(name##64, F_64) \
	X(scipy_##name##_, F_SCIPY) X(scipy_##name##64_, F_SCIPY_64U) X(scipy_##name##_64_, F_SCIPY_U64U)
#define CDM_CBLAS_NAMES(X, name) \
	X(cblas_##name, C) X(cblas_##name##64_, C_64U) X(cblas_##name##_64_, C_U64U) X(cblas_##name##_64, C_U64) \
	X(cblas_##name##64, C_64) X(scipy_cblas_##name, C_SCIPY) X(scipy_cblas_##name##64_, C_SCIPY_64U)

#define CDM_VARIANT_F            0
#define CDM_VARIANT_F_BARE       1
#define CDM_VARIANT_F_64U        2
#define CDM_VARIANT_F_U64U       3
#define CDM_VARIANT_F_U64        4
#define CDM_VARIANT_F_64         5
#define CDM_VARIANT_F_SCIPY      6
#define CDM_VARIANT_F_SCIPY_64U  7
#define CDM_VARIANT_F_SCIPY_U64U 8
#define CDM_VARIANT_C            9
#define CDM_VARIANT_C_64U        10
#define CDM_VARIANT_C_U64U       11
#define CDM_VARIANT_C_U64        12
#define CDM_VARIANT_C_64         13
#define CDM_VARIANT_C_SCIPY      14
#define CDM_VARIANT_C_SCIPY_64U  15
#define CDM_VARIANTS             16
/* clang-format on */

#endif

/* The gate: what every intercepted BLAS or LAPACK call goes through. The way is drawn in entry.S.
 *
 * A slot is one door to one routine: an exported name, a function pointer that dlsym() handed out, or a patched entry
 * point. It says how the arguments are passed, and which original would have run without libcdm.
 */
#ifndef CDM_SHIM_GATE_H
#define CDM_SHIM_GATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "offload/offload.h"
#include "shim/gate_layout.h"

#define CDM_EXPORT __attribute__((visibility("default")))

/* Routine identifiers: CDM_BLAS_sgemm, CDM_BLAS_dgemm, ... */
enum cdm_blas_routine {
#define CDM_ROUTINE(name, type, shape, doors) CDM_BLAS_##name,
#include "shim/blas.def"
	CDM_BLAS_COUNT
};
extern const struct cdm_routine cdm_blas_table[CDM_BLAS_COUNT];

/* Where the gate finds a routine's extents: an index into struct cdm_regs, taken as an array of words, or one of these. */
enum { CDM_DIM_ONE = 0xff, CDM_DIM_MAX = 0xfe /* the larger of the first two */ };
/* As coef: no product of extents bounds the work, so every call is looked at. */
#define CDM_COEF_LOOK 0x3fff

enum cdm_slot_flags {
	CDM_SLOT_CBLAS = 1, /* integers by value; else by address */
	CDM_SLOT_WIDE = 2,  /* 64-bit integers */
	CDM_SLOT_FIXED = 4, /* made at run time for one original, which is never looked up again */
	CDM_SLOT_UNSURE =
		16, /* the width of its integers is to be found out at the first call, from the slot's library */
	CDM_SLOT_QUICK = 32,    /* its list is read by quick.h */
	CDM_SLOT_FORWARD = 64,  /* a better library than the original's is known */
	CDM_SLOT_DECIDED = 128, /* whether that is so */
	CDM_SLOT_FOREIGN = 8,   /* a function of the same name that is no BLAS: passed through */
};

/* Zero until the first call; the fields that describe arguments are complete before original is set. */
struct cdm_slot {
	_Atomic(void *) for_all;      /* the original, when it is the same for all callers */
	_Atomic(void *) original;     /* the original for callers in [caller, caller + caller_len) */
	uintptr_t caller, caller_len; /* everywhere: 0, UINTPTR_MAX */
	uint16_t key;                 /* of struct cdm_mark; of a Fortran slot, or CDM_KEY_CBLAS */
	uint8_t depth;                /* bytes of stack arguments of the Fortran list */
	uint8_t words;                /* stack arguments of a call through this slot */
	uint16_t routine, coef;       /* the work of a call is at most coef * dim[0] * dim[1] * dim[2] flops */
	uint8_t variant, flags, level;
	uint8_t own_library;  /* slot_kind.c */
	uint8_t dims, dim[3]; /* how many, and where */
	bool linked;
	uint16_t link; /* slot.c: the next slot that keeps something, as index + 1 */
	uint32_t library_len;
	uintptr_t library; /* where the original is: a CBLAS function itself, or the module that defines it */
} __attribute__((aligned(CDM_SLOT_SIZE)));
_Static_assert(sizeof(struct cdm_slot) == CDM_SLOT_SIZE && offsetof(struct cdm_slot, for_all) == CDM_SLOT_ORIGINAL,
	       "entry.S");

extern struct cdm_slot cdm_slots[CDM_BLAS_COUNT * CDM_VARIANTS] __attribute__((visibility("hidden")));

/* The registers as cdm_gate saved them; stack follows the return address, and two scalars come before. */
struct cdm_regs {
	uint64_t gp[6];
	struct cdm_slot *slot;
	const void *site;
	uint64_t stack[];
};

/* The same for the slow way, with room for a result. */
struct cdm_frame {
	uint64_t gp[6];
	union {
		double d[2];
		float s[4];
	} xmm[8]; /* [0] and [1]: the result, too */
	struct cdm_slot *slot;
	const uint64_t *stack;
	const void *site;
	uint64_t result; /* an integer */
	int timed;       /* run the original in a frame of the gate's, then cdm_gate_ended() */
	int words;       /* on the stack that are arguments */
	int returns;     /* of a call that is done: see struct cdm_call */
	int made;        /* by cdm_gate_made: never timed */
	int guarded;     /* cdm_inside is held for it */
	int routine;
	uint64_t begun;
};
_Static_assert(offsetof(struct cdm_frame, xmm) == CDM_FRAME_XMM && offsetof(struct cdm_frame, slot) == CDM_FRAME_SLOT &&
		       offsetof(struct cdm_frame, stack) == CDM_FRAME_STACK &&
		       offsetof(struct cdm_frame, site) == CDM_FRAME_SITE &&
		       offsetof(struct cdm_frame, result) == CDM_FRAME_RESULT &&
		       offsetof(struct cdm_frame, timed) == CDM_FRAME_TIMED &&
		       offsetof(struct cdm_frame, words) == CDM_FRAME_WORDS &&
		       offsetof(struct cdm_frame, returns) == CDM_FRAME_RETURNS &&
		       sizeof(struct cdm_frame) <= CDM_FRAME_SIZE,
	       "entry.S");

/* entry.S. Entered by a jump with r11 = the slot, all else as the caller of a BLAS function left it. */
void cdm_gate(void);
/* Called by a stub of stub.c. */
void cdm_gate_made(void);
/* Bytes of xsave's area; a multiple of 64. Set before the first such stub exists. */
extern uint64_t cdm_xsave_bytes __attribute__((visibility("hidden")));
/* 0: the original is to run; 1: the slow way; 2: nothing is to be done. Uses integer registers only. */
int cdm_gate_look_made(const struct cdm_regs *regs, struct cdm_slot *slot);
void *cdm_gate_slow_made(struct cdm_frame *frame);
/* The function to jump to, counted as too small; or NULL: the slow way. With bit CDM_GATE_VISIT: it is to be called, and
 * cdm_gate_visited be decremented. Uses integer registers only, but for calls that it has computed: they jump to cdm_gate_done. */
void *cdm_gate_look(const struct cdm_regs *regs, struct cdm_slot *slot);
extern __thread _Atomic int *cdm_gate_visited __attribute__((tls_model("initial-exec"), visibility("hidden")));
/* entry.S: returns to the caller. */
void cdm_gate_done(void);
/* The same without looking for quick calls. */
void *cdm_gate_look_plain(const struct cdm_regs *regs, struct cdm_slot *slot);
/* The original to run, or NULL: the call is done, its result is in the frame. */
void *cdm_gate_slow(struct cdm_frame *frame);
void cdm_gate_ended(struct cdm_frame *frame);

/* The last call that went on to a CBLAS original: a Fortran call of the same routine out of that original's library, from a deeper
 * frame, is the same call (reference CBLAS is a layer over Fortran) and is not counted again. A mark that an original left
 * behind, by longjmp() or because it makes no such call, does no harm: every call replaces it. The caller of the CBLAS
 * function may be in the same module (a BLAS linked statically) and call the Fortran one next: its frame is as deep as
 * before but for the stack arguments. */
struct cdm_mark {
	uint32_t key; /* 0: none */
	uintptr_t stack, library, library_len;
};
#define CDM_KEY_CBLAS 0xffff /* matches no mark */
/* BLIS's sdsdot is a call of dsdot. */
static inline uint16_t cdm_mark_key(int routine)
{
	return (uint16_t)((routine == CDM_BLAS_sdsdot ? CDM_BLAS_dsdot : routine) + 1);
}
_Static_assert(offsetof(struct cdm_slot, key) == CDM_SLOT_KEY && offsetof(struct cdm_slot, depth) == CDM_SLOT_DEPTH &&
		       offsetof(struct cdm_slot, words) == CDM_SLOT_WORDS &&
		       offsetof(struct cdm_mark, key) == CDM_MARK_KEY &&
		       offsetof(struct cdm_mark, stack) == CDM_MARK_STACK &&
		       offsetof(struct cdm_mark, library) == CDM_MARK_LIBRARY &&
		       offsetof(struct cdm_mark, library_len) == CDM_MARK_LENGTH,
	       "entry.S");
extern __thread struct cdm_mark cdm_gate_mark __attribute__((tls_model("initial-exec")));

/* Whether a call through slot is the marked one again; stack: where its return address is. entry.S asks the same for slots that
 * are not made at run time. */
static inline bool cdm_mark_covers(const struct cdm_slot *slot, const void *site, const void *stack)
{
	const struct cdm_mark *m = &cdm_gate_mark;

	return m->key == slot->key && (uintptr_t)site - m->library < m->library_len &&
	       (intptr_t)(m->stack - (uintptr_t)stack) > slot->depth;
}

/* The slot whose door a call with cdm_inside < 0 came through. */
extern __thread struct cdm_slot *cdm_gate_arrived __attribute__((tls_model("initial-exec"), visibility("hidden")));

#endif

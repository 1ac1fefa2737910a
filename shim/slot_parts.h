/* Between the parts of slot.h: finding originals (slot.c), the names of slots (slot_name.c), and what an original is (slot_kind.c). */
#ifndef CDM_SHIM_SLOT_PARTS_H
#define CDM_SHIM_SLOT_PARTS_H

#include "shim/slot.h"

/* ---- slot_name.c: what a variant's spelling says ---- */

/* 64-bit integers. */
bool cdm_slot_is_wide(int variant);
/* Without decoration: it may be any function's. */
bool cdm_slot_is_bare(int variant);
bool cdm_slot_is_cblas(int variant);

/* ---- slot_kind.c ---- */

/* Fills in what is known of a slot before its first call. fn: where its original is, or NULL; size and own_library as for
 * cdm_slot_door(). */
void cdm_slot_describe(struct cdm_slot *s, int routine, int variant, void *fn, size_t size, int own_library);
/* The first call of a slot that is CDM_SLOT_UNSURE: it is no more. */
void cdm_slot_settle_width(struct cdm_slot *s);
/* Parts of cdm_slot_keep_loaded() and cdm_slot_after_fork(). */
void cdm_slot_kind_keep_loaded(bool (*is_loaded)(uintptr_t addr, const void *arg), const void *arg);
void cdm_slot_kind_after_fork(void);

/* ---- slot.c ---- */

/* Made by cdm_slot_door(), not an exported name's. */
bool cdm_slot_is_door(const struct cdm_slot *slot);

#endif

/* The names of slots. See slot.h. */
#include <stdatomic.h>
#include <string.h>

#include "offload/base/fmt.h"
#include "shim/slot_parts.h"

/* clang-format off */
/* The text before and after the name, by variant. */
static const struct { char prefix[13], suffix[5]; } spelling[CDM_VARIANTS] = {
	[CDM_VARIANT_F] = {"", "_"},
	[CDM_VARIANT_F_BARE] = {"", ""},
	[CDM_VARIANT_F_64U] = {"", "64_"},
	[CDM_VARIANT_F_U64U] = {"", "_64_"},
	[CDM_VARIANT_F_U64] = {"", "_64"},
	[CDM_VARIANT_F_64] = {"", "64"},
	[CDM_VARIANT_F_SCIPY] = {"scipy_", "_"},
	[CDM_VARIANT_F_SCIPY_64U] = {"scipy_", "64_"},
	[CDM_VARIANT_F_SCIPY_U64U] = {"scipy_", "_64_"},
	[CDM_VARIANT_C] = {"cblas_", ""},
	[CDM_VARIANT_C_64U] = {"cblas_", "64_"},
	[CDM_VARIANT_C_U64U] = {"cblas_", "_64_"},
	[CDM_VARIANT_C_U64] = {"cblas_", "_64"},
	[CDM_VARIANT_C_64] = {"cblas_", "64"},
	[CDM_VARIANT_C_SCIPY] = {"scipy_cblas_", ""},
	[CDM_VARIANT_C_SCIPY_64U] = {"scipy_cblas_", "64_"},
};

enum { DOORS_F, DOORS_FC, DOORS_FS };
static const uint8_t doors_of[CDM_BLAS_COUNT] = {
#define CDM_ROUTINE(name, type, shape, doors) [CDM_BLAS_##name] = DOORS_##doors,
#include "shim/blas.def"
};
/* clang-format on */

bool cdm_slot_is_wide(int variant)
{
	return strstr(spelling[variant].suffix, "64");
}

bool cdm_slot_is_bare(int variant)
{
	return variant == CDM_VARIANT_F_BARE || variant == CDM_VARIANT_F_64;
}

bool cdm_slot_is_cblas(int variant)
{
	return variant >= CDM_VARIANT_C;
}

static const char *middle(int routine, int variant)
{
	return cdm_slot_is_cblas(variant) && doors_of[routine] == DOORS_FS ? "_sub" : "";
}

void cdm_slot_name(char name[CDM_SLOT_NAME], int routine, int variant)
{
	cdm_fmt(name, CDM_SLOT_NAME, "%s%s%s%s", spelling[variant].prefix, cdm_blas_table[routine].name,
		middle(routine, variant), spelling[variant].suffix);
}

/* Routine identifiers + 1 by the hash of their names, open addressing; made on first use, by whoever comes first. */
#define HASH_SIZE 1024
_Static_assert(CDM_BLAS_COUNT <= HASH_SIZE / 2, "room to probe");
static uint16_t table[HASH_SIZE];
static _Atomic bool table_made;

static unsigned hash(const char *name, size_t len)
{
	unsigned h = 2166136261u; /* FNV-1a */

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)name[i]) * 16777619u;
	return (h ^ h >> 15) % HASH_SIZE;
}

/* Two threads at once store the same values in the same order. */
static void make_table(void)
{
	for (int r = 0; r < CDM_BLAS_COUNT; r++) {
		const char *name = cdm_blas_table[r].name;
		unsigned h = hash(name, strlen(name));
		while (table[h] && table[h] != r + 1)
			h = (h + 1) % HASH_SIZE;
		table[h] = (uint16_t)(r + 1);
	}
	atomic_store_explicit(&table_made, true, memory_order_release);
}

/* The routine called by the first len characters of name, or -1. */
static int routine_named(const char *name, size_t len)
{
	if (!atomic_load_explicit(&table_made, memory_order_acquire))
		make_table();
	for (unsigned h = hash(name, len); table[h]; h = (h + 1) % HASH_SIZE) {
		const char *other = cdm_blas_table[table[h] - 1].name;
		if (!strncmp(name, other, len) && !other[len])
			return table[h] - 1;
	}
	return -1;
}

bool cdm_slot_parse(const char *name, int *routine, int *variant)
{
	size_t len = strlen(name);

	if (len < 4 || len >= CDM_SLOT_NAME)
		return false;
	for (int v = 0; v < CDM_VARIANTS; v++) {
		size_t p = strlen(spelling[v].prefix), s = strlen(spelling[v].suffix);
		if (len <= p + s || strncmp(name, spelling[v].prefix, p) || strcmp(name + len - s, spelling[v].suffix))
			continue;
		size_t n = len - p - s;
		bool sub = cdm_slot_is_cblas(v) && n > 4 && !strncmp(name + p + n - 4, "_sub", 4);
		int r = routine_named(name + p, sub ? n - 4 : n);
		if (r < 0 || sub != (middle(r, v)[0] != 0) || (cdm_slot_is_cblas(v) && doors_of[r] == DOORS_F))
			continue;
		*routine = r;
		*variant = v;
		return true;
	}
	return false;
}

/* The memory of a case of blas_case.h, the words of a call in it, and comparison with another one's. */
#ifndef CDM_TESTS_BLAS_MEMORY_H
#define CDM_TESTS_BLAS_MEMORY_H

#include "tests/unit/blas_case.h"

struct memory {
	char *at[ARGS]; /* separate, but for aliased vectors */
	bool wide;
	int64_t output[ARGS]; /* info, a rank */
	union value answer;
	struct {
		int64_t v;
	} integer[ARGS]; /* what Fortran's integers are addresses of */
	char letter[ARGS];
};

static inline int second_vector(const struct test_case *t)
{
	return t->alias < 0 ? -1 : is_scalar(t->kind[1]) ? 4 : 3;
}

static inline void memory_make(struct memory *m, const struct test_case *t, bool wide)
{
	memset(m, 0, sizeof(*m));
	m->wide = wide;
	for (int i = 0; i < t->count; i++) {
		m->output[i] = 0x7777777777777777;
		if (!t->data[i])
			continue;
		m->at[i] = malloc(array_bytes(t, i));
		if (is_array(t->kind[i]) && !is_workspace(t->kind[i]))
			memcpy(m->at[i], t->data[i], array_bytes(t, i));
		else if (is_integers(t->kind[i]) && !is_workspace(t->kind[i]))
			for (int k = 0; k < t->cells; k++) {
				int64_t v = ((int64_t *)t->data[i])[k];
				if (wide)
					((int64_t *)m->at[i])[k] = v;
				else
					((int32_t *)m->at[i])[k] = (int32_t)v;
			}
	}
}

static inline void memory_free(struct memory *m)
{
	for (int i = 0; i < ARGS; i++)
		free(m->at[i]);
}

static inline void *array_at(const struct test_case *t, const struct memory *m, int i)
{
	if (i != second_vector(t))
		return m->at[i];
	return m->at[i - 2] + (size_t)t->alias * cdm_scalar_size(cdm_blas_table[t->routine].type);
}

static inline int number_of(char kind, char letter)
{
	switch (kind) {
	case 's':
		return letter == 'L' ? 141 : 142;
	case 'u':
		return letter == 'U' ? 121 : 122;
	case 'd':
		return letter == 'N' ? 131 : 132;
	case 'o':
		return letter == 'R' ? 101 : 102;
	default:
		return letter == 'N' ? 111 : letter == 'T' ? 112 : letter == 'C' ? 113 : 114;
	}
}

#define GARBAGE 0xdeadbeef00000000u /* above an int */

static inline void push_cblas(struct words *w, const struct test_case *t, struct memory *m, int i)
{
	char k = t->kind[i];
	bool by_value = is_scalar(k) && !(is_complex(t->routine) && strchr("ab+", k));

	if (is_letter(k))
		push(w, GARBAGE | (uint32_t)(t->number[i] ? t->number[i] : number_of(k, t->letter[i])));
	else if (by_value)
		memcpy(&w->xmm[w->doubles++], t->scalar[i], is_single(t->routine) ? 4 : 8);
	else if (is_scalar(k))
		push_address(w, t->scalar[i]);
	else if (t->data[i])
		push_address(w, array_at(t, m, i));
	else
		push(w, m->wide ? (uint64_t)t->n[i] : GARBAGE | (uint32_t)t->n[i]);
}

static inline void push_fortran(struct words *w, const struct test_case *t, struct memory *m, int i)
{
	if (is_letter(t->kind[i])) {
		m->letter[i] = (char)(t->letter[i] | (t->lower ? 0x20 : 0));
		push_address(w, &m->letter[i]);
	} else if (is_scalar(t->kind[i])) {
		push_address(w, t->scalar[i]);
	} else if (t->data[i]) {
		push_address(w, array_at(t, m, i));
	} else if (t->kind[i] == 'O') {
		push_address(w, &m->output[i]);
	} else {
		m->integer[i].v = m->wide ? t->n[i] : (int64_t)(GARBAGE | (uint32_t)t->n[i]);
		push_address(w, &m->integer[i]);
	}
}

/* The words of a call in m's memory; they live as long as it. */
static inline struct words words_of(const struct test_case *t, struct memory *m, enum way way)
{
	struct words w = {.words = 0};

	for (int i = 0; i < DOUBLES; i++)
		memset(&w.xmm[i], 0x50 + i, sizeof(w.xmm[i])); /* above a float */
	if (!is_cblas(way)) {
		for (int i = 0; i < t->count; i++)
			push_fortran(&w, t, m, i);
		for (int i = 0; i < t->count; i++)
			if (is_letter(t->kind[i]))
				push(&w, 1);
		return w;
	}
	if (has_order(t->routine))
		push(&w, GARBAGE | (uint32_t)(t->order ? t->order : t->row ? 101 : 102));
	for (int i = 0; i < t->count; i++)
		push_cblas(&w, t, m, i);
	if (rows[t->routine].doors[1] == 'S')
		push_address(&w, &m->answer);
	return w;
}

/* ---- comparison ------------------------------------------------------------------------------------- */

static inline void describe(const struct test_case *t, enum way way, char *text, size_t size)
{
	int n = snprintf(text, size, "%s (%s%s)", cdm_blas_table[t->routine].name, way_names[way],
			 t->row ? ", by rows" : "");

	for (int i = 0; i < t->count && n < (int)size; i++)
		if (is_letter(t->kind[i]))
			n += snprintf(text + n, size - (size_t)n, " %c", t->letter[i]);
		else if (is_scalar(t->kind[i]))
			n += snprintf(text + n, size - (size_t)n, " %c=%g,%g", t->kind[i],
				      get(t->scalar[i], t->routine, 0), get(t->scalar[i], t->routine, 1));
		else if (!t->data[i] && t->kind[i] != 'O')
			n += snprintf(text + n, size - (size_t)n, " %c=%d", t->kind[i], (int)t->n[i]);
	if (t->alias >= 0 && n < (int)size)
		snprintf(text + n, size - (size_t)n, " alias %d", t->alias);
}

static inline bool near(double g, double w, bool single)
{
	return g == w || (isnan(g) && isnan(w)) || fabs(g - w) <= (single ? 1e-4 : 1e-12) * (1 + fabs(w));
}

static inline int64_t integer_at(const struct memory *m, const void *base, int k)
{
	return m->wide ? ((const int64_t *)base)[k] : ((const int32_t *)base)[k];
}

static inline void same_array(const struct test_case *t, const struct memory *a, const struct memory *b, int i,
			      const char *what)
{
	if (is_integers(t->kind[i]) && !is_workspace(t->kind[i]))
		for (int k = 0; k < t->cells; k++)
			cr_assert_eq(integer_at(a, a->at[i], k), integer_at(b, b->at[i], k), "%s: integer %d", what, k);
	else if (is_array(t->kind[i]) && !is_workspace(t->kind[i]) && memcmp(a->at[i], b->at[i], array_bytes(t, i)))
		for (int k = 0; k < reals(t); k++) {
			double g = get(a->at[i], t->routine, k), w = get(b->at[i], t->routine, k);
			cr_assert(near(g, w, is_single(t->routine)), "%s: argument %d [%d] is %g, not %g", what, i, k,
				  g, w);
		}
}

/* All arrays but workspace whole, info, and complex results of CBLAS. */
static inline void same_memory(const struct test_case *t, enum way way, const struct memory *a, const struct memory *b)
{
	char what[512];

	describe(t, way, what, sizeof(what));
	for (int i = 0; i < t->count; i++)
		if (a->at[i])
			same_array(t, a, b, i, what);
	for (int i = 0; i < t->count; i++)
		if (t->kind[i] == 'O')
			cr_assert_eq(integer_at(a, &a->output[i], 0), integer_at(b, &b->output[i], 0),
				     "%s: argument %d", what, i);
	cr_assert_eq(memcmp(&a->answer, &b->answer, sizeof(a->answer)), 0, "%s: result", what);
}

static inline void same_value(const struct test_case *t, enum way way, const union value *a, const union value *b)
{
	char what[512];
	char returns = returns_of(t->routine);

	describe(t, way, what, sizeof(what));
	if (returns == 'i')
		cr_assert_eq(way == FORTRAN ? (int32_t)a->i : a->i,
			     way == FORTRAN || way == FORTRAN_64 ? (int32_t)b->i : b->i, "%s", what);
	else if (rows[t->routine].doors[1] != 'S' || !is_cblas(way))
		cr_assert_eq(memcmp(a, b,
				    (size_t)(returns == 's'                     ? 4
					     : returns == 'd' || returns == 'c' ? 8
					     : returns == 'z'                   ? 16
										: 0)),
			     0, "%s: result", what);
}

#endif

#include "offload/op/operand.h"

size_t cdm_operand_bytes(const struct cdm_operand *o)
{
	return (size_t)o->rows * (size_t)o->cols * o->elem;
}

size_t cdm_operand_extent(const struct cdm_operand *o)
{
	if (o->rows <= 0 || o->cols <= 0)
		return 0;
	return ((size_t)(o->cols - 1) * (size_t)o->ld + (size_t)o->rows) * o->elem;
}

static char *column(const struct cdm_operand *o, int64_t j, int64_t row)
{
	return (char *)o->base + ((size_t)j * (size_t)o->ld + (size_t)row) * o->elem;
}

/* The referenced rows of column j: [*first, *last). */
static void column_rows(const struct cdm_operand *o, int64_t j, int64_t *first, int64_t *last)
{
	*first = o->tri == 'L' ? (j < o->rows ? j : o->rows) : 0;
	*last = o->tri == 'U' && j + 1 < o->rows ? j + 1 : o->rows;
}

#define COPY_TRIES 3

static int copy_patiently(int (*copy)(void *dst, const void *src, size_t len), void *dst, const void *src, size_t len)
{
	int r = copy(dst, src, len);

	for (int i = 1; r && i < COPY_TRIES; i++)
		r = copy(dst, src, len);
	return r;
}

int cdm_operand_copy(const struct cdm_operand *to, const struct cdm_operand *from,
		     int (*copy)(void *dst, const void *src, size_t len))
{
	int r = 0;

	if (!from->tri && from->ld == from->rows && to->ld == to->rows)
		return copy_patiently(copy, to->base, from->base, cdm_operand_bytes(from));
	for (int64_t j = 0; !r && j < from->cols; j++) {
		int64_t first, last;
		column_rows(from, j, &first, &last);
		if (last > first)
			r = copy_patiently(copy, column(to, j, first), column(from, j, first),
					   (size_t)(last - first) * from->elem);
	}
	return r;
}

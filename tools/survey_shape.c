/* The survey's points: shapes that stand for the classes of the plan. */
#include <math.h>

#include "tools/survey.h"

#define THIN 16     /* the long side of a tall or wide shape, in short sides */
#define AS_MUCH 1.8 /* work as the middle of a class's, within a factor */

static int on_grid(double side, int step)
{
	int v = step * (int)(fmin(side, POINT_MOST) / step + 0.5);

	return v < 1 ? 1 : v;
}

/* Sides in multiples of one length. */
struct form {
	int m, n, k;
};

static bool form_of(int family, int aspect, struct form *f)
{
	static const struct form product[CDM_ASPECTS] = {
		{1, 1, 1}, {THIN, 1, 1}, {1, THIN, 1}, {1, 1, THIN}, {8, 8, 1}};
	static const struct form rank[CDM_ASPECTS] = {{1, 1, 1}, {0}, {0}, {1, 1, THIN}, {8, 8, 1}};
	static const struct form matrix[CDM_ASPECTS] = {{1, 1, 1}, {THIN, 1, 1}, {1, THIN, 1}};
	static const struct form square[CDM_ASPECTS] = {{1, 1, 1}};
	static const struct form *const forms[CDM_FAMILIES] = {
		[CDM_FAMILY_GEMM] = product, [CDM_FAMILY_TRSM] = matrix,  [CDM_FAMILY_SYRK] = rank,
		[CDM_FAMILY_GEMV] = matrix,  [CDM_FAMILY_GETRF] = matrix, [CDM_FAMILY_POTRF] = square,
		[CDM_FAMILY_GEQRF] = matrix,
	};

	*f = forms[family][aspect];
	return f->m != 0;
}

/* As LAPACK Working Note 41 counts, the leading terms. */
static double flops_of(int family, int type, double m, double n, double k)
{
	double least = fmin(m, n), lu = least * least * (fmax(m, n) - least / 3);
	const double real[CDM_FAMILIES] = {
		[CDM_FAMILY_GEMM] = 2 * m * n * k, [CDM_FAMILY_TRSM] = m * m * n, [CDM_FAMILY_SYRK] = n * n * k,
		[CDM_FAMILY_GEMV] = 2 * m * n,     [CDM_FAMILY_GETRF] = lu,       [CDM_FAMILY_POTRF] = n * n * n / 3,
		[CDM_FAMILY_GEQRF] = 2 * lu,
	};

	return real[family] * (cdm_scalar_complex((enum cdm_scalar)type) ? 4 : 1);
}

/* Both tables have the same routines in the same order. */
#define X(id, name) _Static_assert((int)CDM_FAMILY_##id == (int)POINT_##name, "plan.h and point.h");
CDM_FAMILIES_TABLE(X)
#undef X

/* Programs have sides of 32 and 512 more often than of 40 and 645, and libraries share those out among threads with no rest: what
 * the team gains at 32 it may not gain at 40. So sides are multiples of 16, or of less where that changes the work too much. */
bool survey_point(int family, int type, int aspect, int size, struct point *p)
{
	struct form f;

	if (!form_of(family, aspect, &f))
		return false;
	double work = cdm_plan_work(size) / flops_of(family, type, f.m, f.n, f.k);
	double length = family == CDM_FAMILY_GEMV ? sqrt(work) : cbrt(work);
	for (int step = 16; step; step /= 2) {
		*p = (struct point){.routine = family,
				    .type = type,
				    .m = on_grid(f.m * length, step),
				    .n = on_grid(f.n * length, step),
				    .k = on_grid(f.k * length, step)};
		if (fabs(log(flops_of(family, type, p->m, p->n, p->k) / cdm_plan_work(size))) < log(AS_MUCH))
			break;
	}
	return true;
}

double survey_work(int family, int type, int aspect, int size)
{
	struct point p;

	return survey_point(family, type, aspect, size, &p) ? flops_of(family, type, p.m, p.n, p.k) : 0;
}

#include "tests/unit/blas_model.h"

#include <complex.h>
#include <string.h>

typedef double complex z;

struct dense {
	int rows, cols;
	z at[MODEL_MAX][MODEL_MAX];
};

static z load(const void *p, enum cdm_scalar type)
{
	const float *f = p;
	const double *d = p;

	switch (type) {
	case CDM_S:
		return f[0];
	case CDM_D:
		return d[0];
	case CDM_C:
		return f[0] + f[1] * I;
	case CDM_Z:
		return d[0] + d[1] * I;
	}
	return 0;
}

static void store(void *p, enum cdm_scalar type, z v)
{
	float *f = p;
	double *d = p;

	if (type == CDM_S || type == CDM_C)
		f[0] = (float)creal(v);
	else
		d[0] = creal(v);
	if (type == CDM_C)
		f[1] = (float)cimag(v);
	if (type == CDM_Z)
		d[1] = cimag(v);
}

static char *element(const struct cdm_operand *op, int64_t i, int64_t j)
{
	return (char *)op->base + (i + j * op->ld) * op->elem;
}

static bool owns(const struct cdm_operand *op, int64_t i, int64_t j)
{
	return !op->tri || (op->tri == 'U' ? i <= j : i >= j);
}

/* The elements that the operand owns, 0 elsewhere. */
static struct dense read_operand(const struct cdm_operand *op, enum cdm_scalar type)
{
	struct dense m = {.rows = (int)op->rows, .cols = (int)op->cols};

	for (int i = 0; i < m.rows; i++)
		for (int j = 0; j < m.cols; j++)
			m.at[i][j] = owns(op, i, j) ? load(element(op, i, j), type) : 0;
	return m;
}

static struct dense transpose(const struct dense *a, bool conjugate)
{
	struct dense t = {.rows = a->cols, .cols = a->rows};

	for (int i = 0; i < t.rows; i++)
		for (int j = 0; j < t.cols; j++)
			t.at[i][j] = conjugate ? conj(a->at[j][i]) : a->at[j][i];
	return t;
}

static struct dense apply_trans(const struct dense *a, char trans)
{
	return trans == 'N' ? *a : transpose(a, trans == 'C');
}

static struct dense multiply(const struct dense *a, const struct dense *b)
{
	struct dense c = {.rows = a->rows, .cols = b->cols};

	for (int i = 0; i < c.rows; i++)
		for (int j = 0; j < c.cols; j++)
			for (int l = 0; l < a->cols; l++)
				c.at[i][j] += a->at[i][l] * b->at[l][j];
	return c;
}

static void add(struct dense *to, z factor, const struct dense *m)
{
	for (int i = 0; i < m->rows; i++)
		for (int j = 0; j < m->cols; j++)
			to->at[i][j] += factor * m->at[i][j];
}

/* A triangle with its mirror image; a Hermitian diagonal is real whatever is stored. */
static void mirror(struct dense *a, char uplo, bool hermitian)
{
	for (int i = 0; i < a->rows; i++)
		for (int j = 0; j < a->cols; j++) {
			if (i == j && hermitian)
				a->at[i][i] = creal(a->at[i][i]);
			if (uplo == 'U' ? i > j : i < j)
				a->at[i][j] = hermitian ? conj(a->at[j][i]) : a->at[j][i];
		}
}

/* a x = b in place of b, by Gauss and Jordan; a triangular matrix needs no pivots. */
static void solve(struct dense a, struct dense *b)
{
	for (int p = 0; p < a.rows; p++)
		for (int i = 0; i < a.rows; i++) {
			z factor = i == p ? 0 : a.at[i][p] / a.at[p][p];

			for (int j = 0; factor != 0 && j < a.cols; j++)
				a.at[i][j] -= factor * a.at[p][j];
			for (int j = 0; factor != 0 && j < b->cols; j++)
				b->at[i][j] -= factor * b->at[p][j];
		}
	for (int i = 0; i < a.rows; i++)
		for (int j = 0; j < b->cols; j++)
			b->at[i][j] /= a.at[i][i];
}

/* C = product + beta C on what C owns. */
static void finish(const struct cdm_operand *op, enum cdm_scalar type, const struct dense *product, z beta, bool real)
{
	for (int i = 0; i < product->rows; i++)
		for (int j = 0; j < product->cols; j++) {
			z v = product->at[i][j];

			if (!owns(op, i, j))
				continue;
			if (op->access == CDM_RW)
				v += beta * load(element(op, i, j), type);
			store(element(op, i, j), type, real && i == j ? creal(v) : v);
		}
}

static struct dense product_gemm(const struct cdm_call *call, enum cdm_scalar type)
{
	struct dense a = read_operand(&call->op[0], type), b = read_operand(&call->op[1], type);

	a = apply_trans(&a, call->transa);
	b = apply_trans(&b, call->transb);
	return multiply(&a, &b);
}

static struct dense product_symm(const struct cdm_call *call, enum cdm_scalar type, bool hermitian)
{
	struct dense a = read_operand(&call->op[0], type), b = read_operand(&call->op[1], type);

	mirror(&a, call->uplo, hermitian);
	return call->side == 'L' ? multiply(&a, &b) : multiply(&b, &a);
}

/* op(first) op(second)', the last transposition conjugated for the Hermitian families. */
static struct dense product_outer(const struct cdm_call *call, enum cdm_scalar type, int first, int second,
				  bool hermitian)
{
	struct dense x = read_operand(&call->op[first], type), y = read_operand(&call->op[second], type);

	x = apply_trans(&x, call->transa);
	y = apply_trans(&y, call->transa);
	y = transpose(&y, hermitian);
	return multiply(&x, &y);
}

static void run_triangular(const struct cdm_call *call, enum cdm_scalar type, z alpha, bool inverse)
{
	struct dense a = read_operand(&call->op[0], type), b = read_operand(&call->op[1], type);
	struct dense result = {.rows = b.rows, .cols = b.cols}, scaled = result;

	for (int i = 0; call->diag == 'U' && i < a.rows; i++)
		a.at[i][i] = 1;
	a = apply_trans(&a, call->transa);
	add(&scaled, alpha, &b);
	if (!inverse) {
		result = call->side == 'L' ? multiply(&a, &scaled) : multiply(&scaled, &a);
	} else if (call->side == 'L') {
		solve(a, &scaled);
		result = scaled;
	} else {
		scaled = transpose(&scaled, false);
		solve(transpose(&a, false), &scaled);
		result = transpose(&scaled, false);
	}
	struct cdm_operand out = call->op[1];
	out.access = CDM_W; /* its old contents are in the result already */
	finish(&out, type, &result, 0, false);
}

void model_run(const struct cdm_call *call, const struct cdm_routine *routine)
{
	enum cdm_scalar type = routine->type, real = type == CDM_C ? CDM_S : type == CDM_Z ? CDM_D : type;
	enum cdm_family f = routine->family;
	bool hermitian = f == CDM_HEMM || f == CDM_HERK || f == CDM_HER2K;
	bool real_c = f == CDM_HERK || f == CDM_HER2K;
	const struct cdm_operand *out = &call->op[call->operands - 1];
	z alpha = load(call->alpha, f == CDM_HERK ? real : type);
	z beta = call->beta ? load(call->beta, real_c ? real : type) : 0;
	struct dense product, sum = {.rows = (int)out->rows, .cols = (int)out->cols};

	switch (f) {
	case CDM_GEMM:
	case CDM_GEMMT:
		product = product_gemm(call, type);
		break;
	case CDM_SYMM:
	case CDM_HEMM:
		product = product_symm(call, type, hermitian);
		break;
	case CDM_SYRK:
	case CDM_HERK:
		product = product_outer(call, type, 0, 0, hermitian);
		break;
	case CDM_SYR2K:
	case CDM_HER2K:
		product = product_outer(call, type, 1, 0, hermitian);
		add(&sum, hermitian ? conj(alpha) : alpha, &product);
		product = product_outer(call, type, 0, 1, hermitian);
		break;
	default:
		run_triangular(call, type, alpha, f == CDM_TRSM);
		return;
	}
	add(&sum, alpha, &product);
	finish(out, type, &sum, beta, real_c);
}

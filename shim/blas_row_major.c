/* Row-major calls as column-major ones. See enum cdm_row_major. */
#include <string.h>

#include "shim/blas_shapes.h"
#include "shim/gate.h"

static void swap_args(struct cdm_call *c, int i, int j)
{
	void *arg = c->arg[i];
	int64_t n = c->n[i];
	char l = c->letter[i];

	if (c->args[i] == 'M') {
		c->arg[i] = c->arg[j];
		c->arg[j] = arg;
	}
	c->n[i] = c->n[j];
	c->n[j] = n;
	c->letter[i] = c->letter[j];
	c->letter[j] = l;
}

static void flip(struct cdm_call *c, int i, char one, char two)
{
	char *l = &c->letter[i];

	*l = *l == one ? two : *l == two ? one : *l;
}

/* N becomes with; T and C become N where they are legal. A letter that is not stays so, for the check to find. */
static bool flip_trans(struct cdm_call *c, int i, char with, const char *legal)
{
	char *l = &c->letter[i];

	if (*l == 'N')
		*l = with;
	else if (*l && strchr(legal, *l))
		*l = 'N';
	else
		return false;
	return true;
}

static void conjugate(struct cdm_call *c, int i, double scratch[2])
{
	if (cdm_blas_table[c->routine].type == CDM_C) {
		float *to = (float *)scratch;
		const float *from = c->arg[i];
		to[0] = from[0];
		to[1] = -from[1];
	} else {
		const double *from = c->arg[i];
		scratch[0] = from[0];
		scratch[1] = -from[1];
	}
	c->arg[i] = scratch;
}

/* HER2K's alpha is conjugated: alpha A B* + conj(alpha) B A* transposes to conj(alpha) A'* B' + alpha B'* A'. */
static void transpose_rank(struct cdm_call *c, double scratch[2])
{
	int shape = cdm_blas_shape[c->routine];
	bool hermitian = shape == CDM_SHAPE_HERK || shape == CDM_SHAPE_HER2K;
	bool complex = cdm_scalar_complex(cdm_blas_table[c->routine].type);

	flip(c, 0, 'U', 'L');
	flip_trans(c, 1, hermitian ? 'C' : 'T', hermitian ? "C" : complex ? "T" : "TC");
	if (shape == CDM_SHAPE_HER2K)
		conjugate(c, 4, scratch);
}

enum cdm_verdict cdm_shape_transpose(struct cdm_call *c, double scratch[2])
{
	const struct cdm_shape *s = &cdm_shapes[cdm_blas_shape[c->routine]];
	bool complex = cdm_scalar_complex(cdm_blas_table[c->routine].type);
	int n;

	switch ((enum cdm_row_major)s->row_major) {
	case CDM_ROW_NONE:
		break;
	case CDM_ROW_HOST:
		return CDM_VERDICT_FORM;
	case CDM_ROW_GEMM:
	case CDM_ROW_GEMMT:
		n = s->row_major == CDM_ROW_GEMMT;
		if (n)
			flip(c, 0, 'U', 'L');
		else
			swap_args(c, 2, 3);
		swap_args(c, n, n + 1);
		swap_args(c, 6, 8);
		swap_args(c, 7, 9);
		break;
	case CDM_ROW_SIDE:
		n = (int)(strchr(s->args, 'N') - s->args);
		flip(c, 0, 'L', 'R');
		flip(c, 1, 'U', 'L');
		swap_args(c, n, n + 1);
		break;
	case CDM_ROW_RANK:
		transpose_rank(c, scratch);
		break;
	case CDM_ROW_GEMV:
		if (complex && c->letter[0] == 'C')
			return CDM_VERDICT_FORM;
		flip_trans(c, 0, 'T', "TC");
		swap_args(c, 1, 2);
		if (s->args[3] == 'N')
			swap_args(c, 3, 4);
		break;
	case CDM_ROW_TR:
		if (complex && c->letter[1] == 'C')
			return CDM_VERDICT_FORM;
		flip_trans(c, 1, 'T', "TC");
		flip(c, 0, 'U', 'L');
		break;
	case CDM_ROW_UPLO:
		flip(c, 0, 'U', 'L');
		break;
	case CDM_ROW_GER:
		swap_args(c, 0, 1);
		swap_args(c, 3, 5);
		swap_args(c, 4, 6);
		break;
	}
	return CDM_VERDICT_RUN;
}

/* Random legal calls of every routine of blas.def, and what they do to memory.
 *
 * A list has a character for each argument, in Fortran's order; it knows nothing of the shim's tables.
 *
 *   letters    s LR  u UL  t NTC  y the rank update's (real NTC, complex NT)  Y Hermitian's NC  h (real NT, complex NC)
 *              d UN  j NV  J ASON  E AVI  o RC  x NTCR
 *   sizes      m n k r, extents: with one of them zero nothing is computed; p q: bandwidths
 *   scalars    a b: alpha, beta;  A B: real ones;  + *: others, real ones;  ( ) the ends of an interval
 *   arrays     @RC or @RC0: R x C, transposed if that letter is not N;  #R: R rows in either storage order
 *              v a vector or packed matrix;  f rotm's parameters;  w g workspace (typed, real);  P pivots;  Q zeros and ones;  z workspace
 *              < > one integer each, 1 <= < <= > <= n
 *   and        l leading dimension of the array before;  i increment;  e positive increment
 *              W G Z the sizes of w g z;  O info, or another integer that is written
 */
#ifndef CDM_TESTS_BLAS_CASE_H
#define CDM_TESTS_BLAS_CASE_H

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "tests/unit/blas_call.h"

/* clang-format off */
#define LIST_GEMM         "ttmnka@mk0l@kn1lb@mnl"
#define LIST_GEMMT        "uttnka@nk1l@kn2lb@nnl"
#define LIST_SYMM         "sumna@LLl@mnlb@mnl"
#define LIST_SYRK         "uynka@nk1lb@nnl"
#define LIST_HERK         "uYnkA@nk1lB@nnl"
#define LIST_SYR2K        "uynka@nk1l@nk1lb@nnl"
#define LIST_HER2K        "uYnka@nk1l@nk1lB@nnl"
#define LIST_TRMM         "sutdmna@LLl@mnl"
#define LIST_GEMM_BATCH   ""
#define LIST_GEMM_STRIDED ""
#define LIST_GEMV         "tmna@mnlvibvi"
#define LIST_GBMV         "tmnpqa#Dlvibvi"
#define LIST_TRMV         "utdn@nnlvi"
#define LIST_TBMV         "utdnp#Klvi"
#define LIST_TPMV         "utdnvvi"
#define LIST_SYMV         "una@nnlvibvi"
#define LIST_SBMV         "unpa#Klvibvi"
#define LIST_SPMV         "unavvibvi"
#define LIST_HEMV         LIST_SYMV
#define LIST_HBMV         LIST_SBMV
#define LIST_HPMV         LIST_SPMV
#define LIST_GER          "mnavivi@mnl"
#define LIST_GERC         LIST_GER
#define LIST_SYR          "unavi@nnl"
#define LIST_SPR          "unaviv"
#define LIST_SYR2         "unavivi@nnl"
#define LIST_SPR2         "unaviviv"
#define LIST_HER          "unAvi@nnl"
#define LIST_HPR          "unAviv"
#define LIST_HER2         LIST_SYR2
#define LIST_HPR2         LIST_SPR2
#define LIST_SWAP         "nvivi"
#define LIST_COPY         "nvivi"
#define LIST_AXPY         "navivi"
#define LIST_AXPBY        "n+vi+vi"
#define LIST_SCAL         "nave"
#define LIST_RSCAL        "nAve"
#define LIST_DOT          "nvivi"
#define LIST_DOTC         "nvivi"
#define LIST_NRM2         "nvi"
#define LIST_ASUM         "nvi"
#define LIST_IAMAX        "nvi"
#define LIST_SDSDOT       "n+vivi"
#define LIST_DSDOT        "nvivi"
#define LIST_ROT          "nvivi++"
#define LIST_RROT         "nvivi**"
#define LIST_ROTM         "nvivif"
#define LIST_ROTG         "vvvv"
#define LIST_ROTMG        "vvv+v"
#define LIST_OMATCOPY     "oxmn+#El#Fl"
#define LIST_IMATCOPY     "oxmn+vll"
#define LIST_GETRF        "mn@mnlPO"
#define LIST_GETRS        "tnr@nnlP@nrlO"
#define LIST_GESV         "nr@nnlP@nrlO"
#define LIST_GETRI        "n@nnlPwWO"
#define LIST_POTRF        "un@nnlO"
#define LIST_POTRS        "unr@nnl@nrlO"
#define LIST_POSV         "unr@nnl@nrlO"
#define LIST_TRTRI        "udn@nnlO"
#define LIST_TRTRS        "utdnr@nnl@nrlO"
#define LIST_GEQRF        "mn@mnlvwWO"
#define LIST_ORGQR        "mnk@mnlvwWO"
#define LIST_ORMQR        "shmnk@Lklv@mnlwWO"
#define LIST_GELS         "hmnr@mnl@XrlwWO"
#define LIST_GEQP3        "mn@mnlQvwWO"
#define LIST_CGEQP3       "mn@mnlQvwWgO"
#define LIST_GELSY        "mnr@mnl@XrlQ*OwWO"
#define LIST_CGELSY       "mnr@mnl@XrlQ*OwWgO"
#define LIST_GELSD        "mnr@mnl@Xrlv*OwWzO"
#define LIST_CGELSD       "mnr@mnl@Xrlv*OwWgzO"
#define LIST_SYEVR        "jEun@nnl()<>*Ov@nnlPwWzZO"
#define LIST_HEEVR        "jEun@nnl()<>*Ov@nnlPwWgGzZO"
#define LIST_SYEV         "jun@nnlvwWO"
#define LIST_HEEV         "jun@nnlvwWgO"
#define LIST_SYEVD        "jun@nnlvwWzZO"
#define LIST_HEEVD        "jun@nnlvwWgGzZO"
#define LIST_GESVD        "JJmn@mnlv@mml@nnlwWO"
#define LIST_CGESVD       "JJmn@mnlv@mml@nnlwWgO"
#define LIST_GESDD        "Jmn@mnlv@mml@nnlwWzO"
#define LIST_CGESDD       "Jmn@mnlv@mml@nnlwWgzO"
#define LIST_GEEV         "jjn@nnlvv@nnl@nnlwWO"
#define LIST_CGEEV        "jjn@nnlv@nnl@nnlwWgO"

/* clang-format on */

static const struct {
	const char *list, *shape, *doors;
} rows[CDM_BLAS_COUNT] = {
#define CDM_ROUTINE(name, type, shape, doors) [CDM_BLAS_##name] = {LIST_##shape, #shape, #doors},
#include "shim/blas.def"
};

enum way { FORTRAN, CBLAS_COL, CBLAS_ROW, FORTRAN_64, CBLAS_64, WAYS };
static const char *const way_names[WAYS] = {"Fortran", "CBLAS, columns", "CBLAS, rows", "Fortran, 64 bits",
					    "CBLAS, 64 bits"};

static inline bool is_wide(enum way way)
{
	return way >= FORTRAN_64;
}
static inline bool is_cblas(enum way way)
{
	return way != FORTRAN && way != FORTRAN_64;
}
static inline bool has_word(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *s = list; (s = strstr(s, word)); s += len)
		if ((s == list || s[-1] == ' ') && (!s[len] || s[len] == ' '))
			return true;
	return false;
}
static inline bool has_shape(int routine, const char *names)
{
	return has_word(names, rows[routine].shape);
}
static inline bool is_lapack(int routine)
{
	return rows[routine].doors[1] == 0;
}
static inline bool is_single(int routine)
{
	return cdm_blas_table[routine].type == CDM_S || cdm_blas_table[routine].type == CDM_C;
}
static inline bool is_complex(int routine)
{
	return cdm_blas_table[routine].type >= CDM_C;
}
/* Level 1 and the copies have no order of storage in front. */
static inline bool has_order(int routine)
{
	return strpbrk(rows[routine].list, "l@u") && !strpbrk(rows[routine].list, "o");
}
static inline char returns_of(int routine)
{
	char type = "sdcz"[cdm_blas_table[routine].type];

	if (has_shape(routine, "DOT DOTC"))
		return type;
	if (has_shape(routine, "NRM2 ASUM"))
		return is_single(routine) ? 's' : 'd';
	return has_shape(routine, "IAMAX")    ? 'i'
	       : has_shape(routine, "SDSDOT") ? 's'
	       : has_shape(routine, "DSDOT")  ? 'd'
					      : 'v';
}

/* ---- random numbers --------------------------------------------------------------------------------- */

static unsigned seed;

static inline int below(int n)
{
	return (int)((unsigned)rand_r(&seed) % (unsigned)n);
}
static inline char pick(const char *set)
{
	return set[below((int)strlen(set))];
}
/* Away from zero, so that triangles can be solved with. */
static inline double number(void)
{
	double v = 0.5 + below(1001) / 2000.0;
	return below(2) ? v : -v;
}

/* ---- a case ----------------------------------------------------------------------------------------- */

enum { ARGS = 24, SMALL_CELLS = 256, LARGE_CELLS = 8192, WORK_CELLS = 65536 };

struct test_case {
	int routine, count, cells;
	bool row, lower; /* row-major; lower-case letters */
	int limit;       /* of the sizes */
	char kind[ARGS];
	struct {
		char r, c;
		int op;
	} shape[ARGS];
	char letter[ARGS];
	int number[ARGS]; /* CBLAS: instead of the letter's, if not 0 */
	int order;        /* the same for the order */
	int64_t n[ARGS], least[ARGS];
	double scalar[ARGS][2];
	int size[128]; /* by character */
	bool alpha_zero, beta_zero;
	int alias;        /* of the second vector: elements behind the first; -1: elsewhere */
	char *data[ARGS]; /* what the arrays hold at first */
};

static inline void put(void *base, int routine, int i, double v)
{
	if (is_single(routine))
		((float *)base)[i] = (float)v;
	else
		((double *)base)[i] = v;
}
static inline double get(const void *base, int routine, int i)
{
	return is_single(routine) ? (double)((const float *)base)[i] : ((const double *)base)[i];
}
static inline bool is_array(char kind)
{
	return strchr("@#vfwg", kind);
}
static inline bool is_integers(char kind)
{
	return strchr("PQz<>", kind);
}
static inline bool is_letter(char kind)
{
	return strchr("sutyYhdjJEox", kind);
}
static inline bool is_scalar(char kind)
{
	return strchr("abAB+*()", kind);
}

static inline void parse(struct test_case *t)
{
	t->count = 0;
	for (const char *s = rows[t->routine].list; *s; s++) {
		int i = t->count++;
		t->kind[i] = *s;
		t->shape[i].op = -1;
		if (*s == '@' || *s == '#') {
			t->shape[i].r = *++s;
			t->shape[i].c = t->kind[i] == '@' ? *++s : 0;
			if (s[1] >= '0' && s[1] <= '9')
				t->shape[i].op = *++s - '0';
		}
	}
}

static inline int dim(const struct test_case *t, char c)
{
	const int *s = t->size;
	bool row = t->letter[0] == 'R', flip = t->letter[1] == 'T' || t->letter[1] == 'C';

	switch (c) {
	case 'L':
		return t->letter[0] == 'L' ? s['m'] : s['n'];
	case 'X':
		return s['m'] > s['n'] ? s['m'] : s['n'];
	case 'D':
		return s['p'] + s['q'] + 1;
	case 'K':
		return s['p'] + 1;
	case 'E':
		return row ? s['n'] : s['m'];
	case 'F':
		return row == flip ? s['m'] : s['n'];
	default:
		return s[(int)c];
	}
}

/* The least legal leading dimension of the array at i. */
static inline int least_ld(const struct test_case *t, int i)
{
	bool flip = t->shape[i].op >= 0 && t->letter[t->shape[i].op] != 'N';
	int r, n;

	if (t->kind[i] != '@' && t->kind[i] != '#') /* imatcopy's */
		return t->size['m'] > t->size['n'] ? t->size['m'] : t->size['n'];
	r = dim(t, t->shape[i].r);
	n = t->kind[i] == '#' ? r : flip != t->row ? dim(t, t->shape[i].c) : r;
	return n > 1 ? n : 1;
}

static inline const char *letters_of(const struct test_case *t, char kind)
{
	bool complex = is_complex(t->routine);

	switch (kind) {
	case 's':
		return "LR";
	case 'u':
		return "UL";
	case 't':
		return "NTC";
	case 'y':
		return complex ? "NT" : "NTC";
	case 'Y':
		return "NC";
	case 'h':
		return complex ? "NC" : "NT";
	case 'd':
		return "UN";
	case 'j':
		return "NV";
	case 'J':
		return "ASON";
	case 'E':
		return "AVI";
	case 'o':
		return "RC";
	default:
		return "NTCR";
	}
}

static inline void choose_sizes(struct test_case *t)
{
	int *s = t->size;

	/* For nothing to do, netlib's cblas_?gemv by rows may loop for ever, and OpenBLAS's copies call it illegal. */
	bool nothing = !has_shape(t->routine, "OMATCOPY IMATCOPY") && !(t->row && has_shape(t->routine, "GEMV GBMV"));
	for (const char *c = "mnkr"; *c; c++)
		s[(int)*c] = nothing ? below(t->limit + 1) : 1 + below(t->limit);
	s['p'] = below(4);
	s['q'] = below(4);
	for (int i = 0; i < t->count; i++)
		if (is_letter(t->kind[i]))
			t->letter[i] = pick(letters_of(t, t->kind[i]));
	if (has_shape(t->routine, "ORGQR")) {
		s['n'] = below(s['m'] + 1);
		s['k'] = below(s['n'] + 1);
	}
	if (has_shape(t->routine, "ORMQR"))
		s['k'] = below(dim(t, 'L') + 1);
	if (has_shape(t->routine, "GESVD CGESVD") && t->letter[0] == 'O')
		t->letter[1] = pick("ASN");
	if (has_shape(t->routine, "IMATCOPY"))
		s['n'] = s['m'];
	/* Sizes of nothing that netlib's own calls inside call illegal. */
	if (has_shape(t->routine, "GELSD CGELSD"))
		s['r'] += !s['r'];
	if (has_shape(t->routine, "GEQP3 CGEQP3"))
		s['m'] += !s['m'];
}

static inline void choose_scalar(struct test_case *t, int i)
{
	bool complex = is_complex(t->routine) && strchr("ab+", t->kind[i]);
	int kind = below(5);
	double re = kind == 0 ? 0 : kind == 1 ? 1 : number(), im = kind < 2 || !complex ? 0 : number();

	if (strchr("()", t->kind[i]))
		re = fabs(number()) * (t->kind[i] == '(' ? -1 : 1);
	put(t->scalar[i], t->routine, 0, re);
	put(t->scalar[i], t->routine, 1, im);
	if (t->kind[i] == 'a' || t->kind[i] == 'A')
		t->alpha_zero = kind == 0;
}

static inline int reals(const struct test_case *t)
{
	return t->cells * (is_complex(t->routine) ? 2 : 1);
}

/* Square matrices of LAPACK: safe to factorize and to solve with, but for one in eight; eigenvalues take anything. */
static inline void condition(struct test_case *t, int i)
{
	int n = dim(t, t->shape[i].r), parts = is_complex(t->routine) ? 2 : 1;

	if (!is_lapack(t->routine) || t->shape[i].r != t->shape[i].c || strpbrk(rows[t->routine].list, "jJ"))
		return;
	for (int k = 0; k < n; k++) {
		int at = (int)(k + k * t->n[i + 1]) * parts;
		put(t->data[i], t->routine, at, get(t->data[i], t->routine, at) + 2 * n);
	}
	if (n > 1 && below(8) == 0)
		for (int k = 0; k < parts; k++)
			put(t->data[i], t->routine, (int)((n - 1) * (t->n[i + 1] + 1)) * parts + k, 0);
}

static inline bool is_workspace(char kind)
{
	return strchr("wgz", kind);
}

static inline int cells_of(const struct test_case *t, int i)
{
	return is_workspace(t->kind[i]) ? WORK_CELLS : t->cells;
}

static inline size_t array_bytes(const struct test_case *t, int i)
{
	return (size_t)cells_of(t, i) * 16;
}

static inline int64_t integer_for(const struct test_case *t, int i, int k)
{
	int n = t->size['n'];

	switch (t->kind[i]) {
	case 'Q':
		return below(2);
	case '<':
		return n ? 1 + below(n) : 1;
	case '>': {
		int64_t first = ((int64_t *)t->data[i - 1])[0];
		return n ? first + below(n - (int)first + 1) : 0;
	}
	default: /* pivots: each row with itself or a later one */
		return k < n ? k + 1 + below(n - k) : below(100);
	}
}

static inline void fill_array(struct test_case *t, int i)
{
	if (is_workspace(t->kind[i]))
		return;
	if (is_integers(t->kind[i])) {
		for (int k = 0; k < t->cells; k++)
			((int64_t *)t->data[i])[k] = integer_for(t, i, k);
		return;
	}
	for (int k = 0; k < reals(t); k++)
		put(t->data[i], t->routine, k, number());
	if (t->kind[i] == 'f')
		put(t->data[i], t->routine, 0, below(4) - 2);
	if (t->kind[i] == '@')
		condition(t, i);
}

/* beta = 0: the output is not read. */
static inline void poison_output(struct test_case *t)
{
	int b = -1, out = -1;

	for (int i = 0; i < t->count; i++) {
		if (t->kind[i] == 'b' || t->kind[i] == 'B')
			b = i;
		if (is_array(t->kind[i]))
			out = i;
	}
	if (b < 0 || get(t->scalar[b], t->routine, 0) != 0 || get(t->scalar[b], t->routine, 1) != 0)
		return;
	t->beta_zero = true;
	for (int k = 0; k < reals(t); k++)
		put(t->data[out], t->routine, k, NAN);
}

static inline void case_free(struct test_case *t)
{
	for (int i = 0; i < ARGS; i++)
		free(t->data[i]);
	memset(t->data, 0, sizeof(t->data));
}

static inline void case_make(struct test_case *t, int routine, enum way way, int limit)
{
	*t = (struct test_case){
		.routine = routine, .row = way == CBLAS_ROW || (way == CBLAS_64 && below(2)), .limit = limit};
	t->cells = limit > 9 ? LARGE_CELLS : SMALL_CELLS;
	t->lower = below(4) == 0;
	t->alias = -1;
	parse(t);
	choose_sizes(t);
	for (int i = 0; i < t->count; i++) {
		char k = t->kind[i];
		if (is_scalar(k))
			choose_scalar(t, i);
		else if (k == 'l')
			t->n[i] = (t->least[i] = least_ld(t, t->kind[i - 1] == 'l' ? i - 2 : i - 1)) + below(3);
		else if (k == 'i' || k == 'e')
			t->n[i] = (1 + below(3)) * (k == 'i' && below(2) ? -1 : 1);
		else if (strchr("WGZ", k))
			t->n[i] = WORK_CELLS;
		else
			t->n[i] = t->size[(int)k];
	}
	if (!strncmp(rows[routine].list + (is_scalar(t->kind[1]) ? 2 : 1), "vivi", 4) && t->n[0] > 1 && below(4) == 0)
		t->alias = has_shape(routine, "COPY") ? 0 : below(2); /* memcpy() */
	for (int i = 0; i < t->count; i++)
		if (is_array(t->kind[i]) || is_integers(t->kind[i])) {
			t->data[i] = malloc(array_bytes(t, i));
			fill_array(t, i);
		}
	poison_output(t);
}

static inline bool has_empty(const struct test_case *t)
{
	for (int i = 0; i < t->count; i++)
		if (strchr("mnkr", t->kind[i]) && t->n[i] == 0)
			return true;
	return false;
}

#endif

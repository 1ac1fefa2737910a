/* The shapes of LAPACK. */
#include "shim/blas_fill.h"

/* ---- LAPACK: systems -------------------------------------------------------------------------------- */

static double cube(double n)
{
	return n * n * n;
}

static double flops_getrf(double m, double n)
{
	double k = m < n ? m : n;

	return 2 * (m * n * k - (m + n) * k * k / 2 + cube(k) / 3);
}

/* m n a lda ipiv info */
void cdm_fill_GETRF(struct cdm_fill *f)
{
	int64_t m = num(f, 0), n = num(f, 1);

	matrix(f, 2, m, n, CDM_RW, 0);
	integers(f, 4, least(m, n), CDM_W);
	flops(f, flops_getrf((double)m, (double)n));
}

/* trans n nrhs a lda ipiv b ldb info */
void cdm_fill_GETRS(struct cdm_fill *f)
{
	int64_t n = num(f, 1), nrhs = num(f, 2);

	trans(f, 0);
	matrix(f, 3, n, n, CDM_R, 0);
	integers(f, 5, n, CDM_R);
	matrix(f, 6, n, nrhs, CDM_RW, 0);
	flops(f, 2.0 * (double)n * (double)n * (double)nrhs);
}

/* n nrhs a lda ipiv b ldb info */
void cdm_fill_GESV(struct cdm_fill *f)
{
	int64_t n = num(f, 0), nrhs = num(f, 1);

	matrix(f, 2, n, n, CDM_RW, 0);
	integers(f, 4, n, CDM_W);
	matrix(f, 5, n, nrhs, CDM_RW, 0);
	flops(f, flops_getrf((double)n, (double)n) + 2.0 * (double)n * (double)n * (double)nrhs);
}

/* n a lda ipiv work lwork info */
void cdm_fill_GETRI(struct cdm_fill *f)
{
	int64_t n = num(f, 0);

	matrix(f, 1, n, n, CDM_RW, 0);
	integers(f, 3, n, CDM_R);
	work(f, 4, 5, f->elem, n);
	flops(f, 4.0 / 3 * cube((double)n));
}

/* uplo n a lda info; the inverse takes twice the work of the factorization */
void cdm_fill_POTRF(struct cdm_fill *f)
{
	int64_t n = num(f, 1);

	matrix(f, 2, n, n, CDM_RW, letter(f, 0, "UL"));
	flops(f, cube((double)n) / 3);
}

/* uplo n nrhs a lda b ldb info */
static void cholesky_solve(struct cdm_fill *f, enum cdm_access a, double factorize)
{
	int64_t n = num(f, 1), nrhs = num(f, 2);

	matrix(f, 3, n, n, a, letter(f, 0, "UL"));
	matrix(f, 5, n, nrhs, CDM_RW, 0);
	flops(f, factorize + 2.0 * (double)n * (double)n * (double)nrhs);
}
void cdm_fill_POTRS(struct cdm_fill *f)
{
	cholesky_solve(f, CDM_R, 0);
}
void cdm_fill_POSV(struct cdm_fill *f)
{
	cholesky_solve(f, CDM_RW, cube(real_num(f, 1)) / 3);
}

/* uplo diag n a lda info */
void cdm_fill_TRTRI(struct cdm_fill *f)
{
	int64_t n = num(f, 2);

	letter(f, 1, "UN");
	matrix(f, 3, n, n, CDM_RW, letter(f, 0, "UL"));
	flops(f, cube((double)n) / 3);
}

/* uplo trans diag n nrhs a lda b ldb info */
void cdm_fill_TRTRS(struct cdm_fill *f)
{
	int64_t n = num(f, 3), nrhs = num(f, 4);

	trans(f, 1);
	letter(f, 2, "UN");
	matrix(f, 5, n, n, CDM_R, letter(f, 0, "UL"));
	matrix(f, 7, n, nrhs, CDM_RW, 0);
	flops(f, (double)n * (double)n * (double)nrhs);
}

/* ---- LAPACK: orthogonal factorizations -------------------------------------------------------------- */

static double flops_geqrf(double m, double n)
{
	double large = m > n ? m : n, small = m > n ? n : m;

	return 2 * large * small * small - 2.0 / 3 * cube(small);
}

/* m n a lda tau work lwork info */
void cdm_fill_GEQRF(struct cdm_fill *f)
{
	int64_t m = num(f, 0), n = num(f, 1);

	matrix(f, 2, m, n, CDM_RW, 0);
	array(f, 4, least(m, n), f->elem, CDM_W);
	work(f, 5, 6, f->elem, n);
	flops(f, flops_geqrf((double)m, (double)n));
}

/* m n k a lda tau work lwork info */
void cdm_fill_ORGQR(struct cdm_fill *f)
{
	int64_t m = num(f, 0), n = num(f, 1), k = num(f, 2);
	double dm = (double)m, dn = (double)n, dk = (double)k;

	matrix(f, 3, m, n, CDM_RW, 0);
	array(f, 5, k, f->elem, CDM_R);
	work(f, 6, 7, f->elem, n);
	f->legal &= n <= m && k <= n;
	flops(f, 4 * dm * dn * dk - 2 * (dm + dn) * dk * dk + 4.0 / 3 * cube(dk));
}

/* side trans m n k a lda tau c ldc work lwork info */
void cdm_fill_ORMQR(struct cdm_fill *f)
{
	int64_t m = num(f, 2), n = num(f, 3), k = num(f, 4);
	bool left = letter(f, 0, "LR") == 'L';
	int64_t order = left ? m : n, other = left ? n : m;
	double dm = (double)m, dn = (double)n, dk = (double)k;

	letter(f, 1, f->complex ? "NC" : "NT");
	matrix(f, 5, order, k, CDM_RW, 0); /* written and restored on the way */
	array(f, 7, k, f->elem, CDM_R);
	matrix(f, 8, m, n, CDM_RW, 0);
	work(f, 10, 11, f->elem, other);
	f->legal &= k <= order;
	flops(f, 4 * dm * dn * dk - 2 * (double)other * dk * dk);
}

/* trans m n nrhs a lda b ldb work lwork info */
void cdm_fill_GELS(struct cdm_fill *f)
{
	int64_t m = num(f, 1), n = num(f, 2), nrhs = num(f, 3), k = least(m, n);

	letter(f, 0, f->complex ? "NC" : "NT");
	matrix(f, 4, m, n, CDM_RW, 0);
	matrix(f, 6, most(m, n), nrhs, CDM_RW, 0);
	work(f, 8, 9, f->elem, k + most(k, nrhs));
	flops(f, flops_geqrf((double)m, (double)n) + 4.0 * (double)m * (double)n * (double)nrhs);
}

/* m n a lda jpvt tau work lwork info */
void cdm_fill_GEQP3(struct cdm_fill *f)
{
	int64_t m = num(f, 0), n = num(f, 1);

	matrix(f, 2, m, n, CDM_RW, 0);
	integers(f, 4, n, CDM_RW);
	array(f, 5, least(m, n), f->elem, CDM_W);
	work(f, 6, 7, f->elem, f->complex ? n + 1 : 3 * n + 1);
	flops(f, flops_geqrf((double)m, (double)n));
}
/* ... work lwork rwork info */
void cdm_fill_CGEQP3(struct cdm_fill *f)
{
	cdm_fill_GEQP3(f);
	work_fixed(f, 8, 2 * num(f, 1), f->real);
}

/* m n nrhs a lda b ldb ...: the solution takes the place of the right-hand side. */
static void least_squares(struct cdm_fill *f)
{
	int64_t m = num(f, 0), n = num(f, 1), nrhs = num(f, 2);

	matrix(f, 3, m, n, CDM_RW, 0);
	matrix(f, 5, most(m, n), nrhs, CDM_RW, 0);
}

/* ... ldb jpvt rcond rank work lwork info */
void cdm_fill_GELSY(struct cdm_fill *f)
{
	int64_t m = num(f, 0), n = num(f, 1), nrhs = num(f, 2), k = least(m, n);

	least_squares(f);
	integers(f, 7, n, CDM_RW);
	work(f, 10, 11, f->elem, k + most(most(2 * k, n + 1), k + nrhs));
	flops(f, flops_geqrf((double)m, (double)n) + 4.0 * (double)m * (double)n * (double)nrhs);
}
/* ... work lwork rwork info */
void cdm_fill_CGELSY(struct cdm_fill *f)
{
	cdm_fill_GELSY(f);
	work_fixed(f, 12, 2 * num(f, 1), f->real);
}

/* ---- LAPACK: eigenvalues and singular values -------------------------------------------------------- */

/* Workspace of integers at arg, its size behind it; -1 asks how many. */
static void work_of_integers(struct cdm_fill *f, int arg, int64_t least_size)
{
	int64_t n = num(f, arg + 1);

	work_integers(f, arg, n);
	f->quick |= n == -1;
	f->legal &= n == -1 || n >= least_size;
}

/* jobz uplo n a lda w ... */
static int64_t symmetric_eigen(struct cdm_fill *f)
{
	int64_t n = num(f, 2);
	bool vectors = letter(f, 0, "NV") == 'V';

	letter(f, 1, "UL");
	matrix(f, 3, n, n, CDM_RW, 0); /* the other triangle is written for vectors only, never read */
	array(f, 5, n, f->real, CDM_W);
	flops(f, (vectors ? 9 : 4.0 / 3) * cube((double)n));
	return n;
}
void cdm_fill_SYEV(struct cdm_fill *f)
{
	int64_t n = symmetric_eigen(f);

	work(f, 6, 7, f->elem, 3 * n - 1);
}
void cdm_fill_HEEV(struct cdm_fill *f)
{
	int64_t n = symmetric_eigen(f);

	work(f, 6, 7, f->elem, 2 * n - 1);
	work_fixed(f, 8, 3 * n - 2, f->real);
}
/* ... w work lwork iwork liwork info */
void cdm_fill_SYEVD(struct cdm_fill *f)
{
	int64_t n = symmetric_eigen(f);
	bool vectors = f->c->letter[0] == 'V';

	work(f, 6, 7, f->elem, n <= 1 ? 1 : vectors ? 1 + 6 * n + 2 * n * n : 2 * n + 1);
	work_of_integers(f, 8, n > 1 && vectors ? 3 + 5 * n : 1);
}
/* ... w work lwork rwork lrwork iwork liwork info */
void cdm_fill_HEEVD(struct cdm_fill *f)
{
	int64_t n = symmetric_eigen(f);
	bool vectors = f->c->letter[0] == 'V';

	work(f, 6, 7, f->elem, n <= 1 ? 1 : vectors ? 2 * n + n * n : n + 1);
	work(f, 8, 9, f->real, n <= 1 ? 1 : vectors ? 1 + 5 * n + 2 * n * n : n);
	work_of_integers(f, 10, n > 1 && vectors ? 3 + 5 * n : 1);
}

/* An argument that this call does not refer to: its address may be anything, and a device would read it. */
static void unused(struct cdm_fill *f, int arg)
{
	f->c->n[arg] = 0;
	f->c->arg[arg] = &f->c->n[arg];
}

/* An integer that only some calls refer to, read now and handed over like those that all do. */
static int64_t optional_integer(struct cdm_fill *f, int arg)
{
	int64_t wide;
	int32_t narrow;

	memcpy(&wide, f->c->arg[arg], f->c->wide ? sizeof(wide) : sizeof(narrow));
	memcpy(&narrow, &wide, sizeof(narrow));
	f->c->n[arg] = f->c->wide ? wide : narrow;
	f->c->arg[arg] = &f->c->n[arg];
	return f->c->n[arg];
}

/* range ... n ... vl vu il iu: how many eigenvalues are wanted. For those in an interval of numbers nobody knows
 * beforehand, nor how many columns Z has. */
static int64_t eigenvalues_wanted(struct cdm_fill *f)
{
	int64_t n = num(f, 3), il = 1, iu = n;
	char range = letter(f, 1, "AVI");

	f->form |= range == 'V';
	if (range == 'I') {
		il = optional_integer(f, 8);
		iu = optional_integer(f, 9);
		f->legal &= n == 0 || (1 <= il && il <= iu && iu <= n);
	} else {
		unused(f, 8);
		unused(f, 9);
	}
	unused(f, 6);
	unused(f, 7);
	return f->legal ? iu - il + 1 : 0;
}

/* jobz range uplo n a lda vl vu il iu abstol m w z ldz isuppz ...; reduction to tridiagonal form, whose eigenvectors are
 * transformed back: what is between them is O(n^2) (LAPACK Working Note 182, section 1). */
static int64_t relatively_robust(struct cdm_fill *f)
{
	int64_t n = num(f, 3), count = eigenvalues_wanted(f);
	bool vectors = letter(f, 0, "NV") == 'V';
	double dn = (double)n;

	letter(f, 2, "UL");
	matrix(f, 4, n, n, CDM_RW, 0); /* one triangle, and the diagonal; the other is kept */
	array(f, 12, n, f->real, count < n ? CDM_RW : CDM_W);
	if (vectors)
		matrix(f, 13, n, count, CDM_W, 0);
	if (vectors && count == n)
		integers(f, 15, 2 * n, CDM_RW);
	f->legal &= num(f, 14) >= 1;
	flops(f, 4.0 / 3 * cube(dn) + (vectors ? 2 * dn * dn * (double)count : 0));
	return n;
}

/* ... isuppz work lwork iwork liwork info */
void cdm_fill_SYEVR(struct cdm_fill *f)
{
	int64_t n = relatively_robust(f);

	work(f, 16, 17, f->elem, 26 * n);
	work_of_integers(f, 18, most(10 * n, 1));
}
/* ... isuppz work lwork rwork lrwork iwork liwork info */
void cdm_fill_HEEVR(struct cdm_fill *f)
{
	int64_t n = relatively_robust(f);

	work(f, 16, 17, f->elem, 2 * n);
	work(f, 18, 19, f->real, 24 * n);
	work_of_integers(f, 20, most(10 * n, 1));
}

/* U (m x columns) and VT (rows x n) at their places, as far as they are referenced; the leading dimensions are checked
 * as if they were. */
static void singular_vectors(struct cdm_fill *f, int u, int64_t columns, int64_t rows, int64_t m, int64_t n)
{
	if (columns)
		matrix(f, u, m, columns, CDM_W, 0);
	if (rows)
		matrix(f, u + 2, rows, n, CDM_W, 0);
	f->legal &= num(f, u + 1) >= 1 && num(f, u + 3) >= 1;
}

static double flops_svd(double m, double n, bool vectors)
{
	double large = m > n ? m : n, small = m > n ? n : m;

	return vectors ? 14 * large * small * small + 8 * cube(small)
		       : 4 * large * small * small - 4.0 / 3 * cube(small);
}

/* jobu jobvt m n a lda s u ldu vt ldvt work lwork [rwork] info */
static void singular_values(struct cdm_fill *f)
{
	char jobu = letter(f, 0, "ASON"), jobvt = letter(f, 1, "ASON");
	int64_t m = num(f, 2), n = num(f, 3), k = least(m, n);

	f->legal &= jobu != 'O' || jobvt != 'O';
	matrix(f, 4, m, n, CDM_RW, 0);
	array(f, 6, k, f->real, CDM_W);
	singular_vectors(f, 7, jobu == 'A' ? m : jobu == 'S' ? k : 0, jobvt == 'A' ? n : jobvt == 'S' ? k : 0, m, n);
	/* A matrix much longer than wide is factorized first, which takes less if its long side's vectors are not wanted. */
	work(f, 11, 12, f->elem, (m >= n ? jobu : jobvt) == 'N' ? 5 * k : most(3 * k + most(m, n), 5 * k));
	flops(f, flops_svd((double)m, (double)n, jobu != 'N' || jobvt != 'N'));
}
void cdm_fill_GESVD(struct cdm_fill *f)
{
	singular_values(f);
}
void cdm_fill_CGESVD(struct cdm_fill *f)
{
	singular_values(f);
	work_fixed(f, 13, 5 * least(num(f, 2), num(f, 3)), f->real);
}

/* jobz m n a lda s u ldu vt ldvt work lwork [rwork] iwork info */
static void divide_and_conquer(struct cdm_fill *f, int64_t least_work)
{
	char job = letter(f, 0, "ASON");
	int64_t m = num(f, 1), n = num(f, 2), k = least(m, n);
	bool u = job == 'A' || job == 'S' || (job == 'O' && m < n),
	     vt = job == 'A' || job == 'S' || (job == 'O' && m >= n);

	matrix(f, 3, m, n, CDM_RW, 0);
	array(f, 5, k, f->real, CDM_W);
	singular_vectors(f, 6, u ? (job == 'S' ? k : m) : 0, vt ? (job == 'S' ? k : n) : 0, m, n);
	work(f, 10, 11, f->elem, least_work);
	flops(f, flops_svd((double)m, (double)n, job != 'N'));
}
/* The minima that the code of LAPACK checks. Those in its documentation are larger than what it answers when asked. */
static int64_t least_gesdd(char job, int64_t large, int64_t k)
{
	int64_t bd = 3 * k * k + 4 * k;

	if (large >= k * 11 / 6)
		return job == 'N'   ? 8 * k
		       : job == 'O' ? bd + 2 * k * k + 3 * k
		       : job == 'S' ? bd + k * k + 3 * k
				    : k * k + most(3 * k + bd, k + large);
	return 3 * k + most(large, job == 'N' ? 7 * k : job == 'O' ? k * k + bd : bd);
}
static int64_t least_cgesdd(char job, int64_t large, int64_t k)
{
	if (large >= k * 17 / 9)
		return job == 'N'   ? 3 * k
		       : job == 'O' ? 2 * k * k + 3 * k
		       : job == 'S' ? k * k + 3 * k
				    : k * k + most(3 * k, k + large);
	return 2 * k + large + (job == 'O' ? k * k : 0);
}
void cdm_fill_GESDD(struct cdm_fill *f)
{
	int64_t k = least(num(f, 1), num(f, 2)), large = most(num(f, 1), num(f, 2));

	divide_and_conquer(f, least_gesdd(f->c->letter[0], large, k));
	work_integers(f, 12, 8 * k);
}
void cdm_fill_CGESDD(struct cdm_fill *f)
{
	int64_t k = least(num(f, 1), num(f, 2)), large = most(num(f, 1), num(f, 2));

	divide_and_conquer(f, least_cgesdd(f->c->letter[0], large, k));
	work_fixed(f, 12, f->c->letter[0] == 'N' ? 7 * k : most(5 * k * k + 7 * k, 2 * large * k + 2 * k * k + k),
		   f->real);
	work_integers(f, 13, 8 * k);
}

/* Levels of the divide and conquer, whose leaves have SMLSIZ = 25 rows (ILAENV's ninth): 1 + log2(k / 26) cut towards
 * zero, so that more than half a leaf is a level. */
enum { LEAF = 25 };
static int64_t tree_levels(int64_t k)
{
	int64_t levels = 2 * k > LEAF + 1;

	for (int64_t size = 2 * (LEAF + 1); size <= k; size *= 2)
		levels++;
	return levels;
}

/* m n nrhs a lda b ldb s rcond rank work lwork [rwork] iwork info; iwork at w */
static void least_squares_svd(struct cdm_fill *f, int64_t least_work, int w)
{
	int64_t m = num(f, 0), n = num(f, 1), nrhs = num(f, 2), k = least(m, n);

	least_squares(f);
	array(f, 7, k, f->real, CDM_W);
	work(f, 10, 11, f->elem, least_work);
	work_integers(f, w, 3 * k * tree_levels(k) + 11 * k);
	flops(f, flops_svd((double)m, (double)n, false) + 4.0 * (double)m * (double)n * (double)nrhs);
}
void cdm_fill_GELSD(struct cdm_fill *f)
{
	int64_t nrhs = num(f, 2), k = least(num(f, 0), num(f, 1)), large = most(num(f, 0), num(f, 1));
	int64_t solve = 9 * k + 2 * k * LEAF + 8 * k * tree_levels(k) + k * nrhs + (LEAF + 1) * (LEAF + 1);

	least_squares_svd(f, 3 * k + most(most(large, nrhs), solve), 12);
}
void cdm_fill_CGELSD(struct cdm_fill *f)
{
	int64_t nrhs = num(f, 2), k = least(num(f, 0), num(f, 1)), large = most(num(f, 0), num(f, 1));
	int64_t merge = most((LEAF + 1) * (LEAF + 1), k * (1 + nrhs) + 2 * nrhs);

	least_squares_svd(f, 2 * k + most(large, k * nrhs), 13);
	work_fixed(f, 12, 10 * k + 2 * k * LEAF + 8 * k * tree_levels(k) + 3 * LEAF * nrhs + merge, f->real);
}

/* jobvl jobvr n a lda ...; vl at v */
static int64_t general_eigen(struct cdm_fill *f, int v)
{
	int64_t n = num(f, 2);
	bool left = letter(f, 0, "NV") == 'V', right = letter(f, 1, "NV") == 'V';

	matrix(f, 3, n, n, CDM_RW, 0);
	if (left)
		matrix(f, v, n, n, CDM_W, 0);
	if (right)
		matrix(f, v + 2, n, n, CDM_W, 0);
	f->legal &= num(f, v + 1) >= 1 && num(f, v + 3) >= 1;
	flops(f, (left || right ? 25.0 : 10.0) * cube((double)n));
	return n;
}
/* jobvl jobvr n a lda wr wi vl ldvl vr ldvr work lwork info */
void cdm_fill_GEEV(struct cdm_fill *f)
{
	int64_t n = general_eigen(f, 7);

	array(f, 5, n, f->elem, CDM_W);
	array(f, 6, n, f->elem, CDM_W);
	work(f, 11, 12, f->elem, 4 * n);
}
/* jobvl jobvr n a lda w vl ldvl vr ldvr work lwork rwork info */
void cdm_fill_CGEEV(struct cdm_fill *f)
{
	int64_t n = general_eigen(f, 6);

	array(f, 5, n, f->elem, CDM_W);
	work(f, 10, 11, f->elem, 2 * n);
	work_fixed(f, 12, 2 * n, f->real);
}

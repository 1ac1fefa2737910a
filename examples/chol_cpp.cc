// Blocked Cholesky factorisation A = L L^T with std::vector and the Fortran BLAS. An indefinite matrix is an
// exception. Checked with a vector: L (L^T x) = A x.
//
// usage: chol_cpp [n]

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <vector>

extern "C" {
void dsyrk_(const char *uplo, const char *trans, const int *n, const int *k, const double *alpha, const double *a,
	    const int *lda, const double *beta, double *c, const int *ldc);
void dgemm_(const char *transa, const char *transb, const int *m, const int *n, const int *k, const double *alpha,
	    const double *a, const int *lda, const double *b, const int *ldb, const double *beta, double *c,
	    const int *ldc);
void dtrsm_(const char *side, const char *uplo, const char *transa, const char *diag, const int *m, const int *n,
	    const double *alpha, const double *a, const int *lda, double *b, const int *ldb);
}

struct Matrix {
	int n;
	std::vector<double> data;
	explicit Matrix(int order) : n(order), data(static_cast<size_t>(order) * order) {}
	double &operator()(int i, int j) { return data[static_cast<size_t>(j) * n + i]; }
	double operator()(int i, int j) const { return data[static_cast<size_t>(j) * n + i]; }
};

static void diagonal_block(Matrix &a, int k, int nb)
{
	for (int j = k; j < k + nb; j++) {
		for (int p = k; p < j; p++)
			for (int i = j; i < k + nb; i++)
				a(i, j) -= a(i, p) * a(j, p);
		if (!(a(j, j) > 0))
			throw std::runtime_error("the matrix is not positive definite");
		const double pivot = std::sqrt(a(j, j));
		for (int i = j; i < k + nb; i++)
			a(i, j) /= pivot;
	}
}

static void cholesky(Matrix &a)
{
	const double one = 1, minus = -1;
	for (int k = 0; k < a.n; k += 128) {
		const int nb = std::min(128, a.n - k), rest = a.n - k - nb;
		diagonal_block(a, k, nb);
		if (!rest)
			break;
		dtrsm_("R", "L", "T", "N", &rest, &nb, &one, &a(k, k), &a.n, &a(k + nb, k), &a.n);
		dsyrk_("L", "N", &rest, &nb, &minus, &a(k + nb, k), &a.n, &one, &a(k + nb, k + nb), &a.n);
	}
}

static Matrix spd(int n)
{
	Matrix g(n), a(n);
	unsigned long state = 42;
	for (double &x : g.data) {
		state = state * 6364136223846793005ul + 1442695040888963407ul;
		x = static_cast<double>(state >> 33) / 2147483648.0 - 0.5;
	}
	const double one = 1, zero = 0;
	dgemm_("N", "T", &n, &n, &n, &one, g.data.data(), &n, g.data.data(), &n, &zero, a.data.data(), &n);
	for (int i = 0; i < n; i++)
		a(i, i) += n;
	return a;
}

static double residual(const Matrix &a, const Matrix &l)
{
	const int n = a.n;
	std::vector<double> y(n), z(n), w(n);
	for (int j = 0; j < n; j++) {
		const double x = 1 + j % 17;
		for (int i = 0; i < n; i++)
			y[i] += a(i, j) * x;
		for (int i = j; i < n; i++)
			z[j] += l(i, j) * (1 + i % 17);
	}
	for (int j = 0; j < n; j++)
		for (int i = j; i < n; i++)
			w[i] += l(i, j) * z[j];
	double diff = 0, norm = 0;
	for (int i = 0; i < n; i++) {
		diff += (w[i] - y[i]) * (w[i] - y[i]);
		norm += y[i] * y[i];
	}
	return std::sqrt(diff / norm);
}

static bool indefinite_is_refused()
{
	Matrix bad(300);
	for (int i = 0; i < bad.n; i++)
		bad(i, i) = i == 200 ? -1 : 1;
	try {
		cholesky(bad);
	} catch (const std::runtime_error &) {
		return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	const int n = argc > 1 ? std::atoi(argv[1]) : 1000;
	if (n < 1)
		return 2;
	const Matrix a = spd(n);
	Matrix l = a;
	const auto begin = std::chrono::steady_clock::now();
	cholesky(l);
	const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
	double sum = 0;
	for (int j = 0; j < n; j++)
		for (int i = j; i < n; i++)
			sum += l(i, j) * l(i, j);
	const double res = residual(a, l);
	std::printf("chol_cpp n=%d residual=%.1e\nchecksum=%.15e\nseconds=%.6f\n", n, res, std::sqrt(sum),
		    took.count());
	return !(res < 1e-12 && indefinite_is_refused());
}

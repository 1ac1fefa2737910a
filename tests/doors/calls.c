/* The same calls through whatever door this file is built for. Inputs are small integers, so that results are exact in any
 * order of summation and every library prints the same.
 *
 *   (nothing)     undefined symbols, a main()
 *   -DPLUGIN      undefined symbols, run_calls() exported
 *   -DLOOKUP      addresses from dlsym(handle): calls LIBRARY FLAGS [LAPACK-LIBRARY]
 *
 * Prints a line for each call; with the argument "lapack" LAPACK's too. CALLS in the output is the number of calls made.
 */
#include <complex.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef float complex c32;
typedef double complex c64;
enum { ROW = 101, COL, NO = 111, TRANS, CONJ, UPPER = 121, LOWER, NONUNIT = 131, LEFT = 141 };

static int made;
static void *handle, *lapack_handle;

#ifdef LOOKUP
static void *entry(void *from, const char *name)
{
	void *fn = dlsym(from, name);
	if (!fn) {
		printf("no %s\n", name);
		exit(1);
	}
	return fn;
}
#define FN(type, name)	   ((type(*)())entry(handle, #name))
#define LAPACK(type, name) ((type(*)())entry(lapack_handle, #name))
#else
#define FN(type, name)                                                                                                 \
	({                                                                                                             \
		extern type name();                                                                                    \
		name;                                                                                                  \
	})
#define LAPACK FN
#endif
/* A call with a prototype: floats would be promoted without. */
#define TYPED(name, type, ...) ((type(*)(__VA_ARGS__))FN(void, name))

enum { N = 4 };
static double a[N * N], b[N * N], c[N * N], x[N], y[N];
static float sa[N * N], sb[N * N], sc[N * N], sx[N], sy[N];
static c64 za[N * N], zb[N * N], zc[N * N], zx[N], zy[N];
static c32 ca[N * N], cb[N * N], cc[N * N], cx[N], cy[N];
static int n = N, one = 1, minus = -1, two = 2;

static void reset(void)
{
	made++;
	for (int i = 0; i < N * N; i++) {
		za[i] = (i * 7) % 5 - 2 + ((i * 3) % 7 - 3) * I;
		zb[i] = (i * 5) % 7 - 3 + ((i * 11) % 5 - 2) * I;
		zc[i] = i % 3 - 1 + i % 2 * I;
	}
	for (int i = 0; i < N; i++) /* triangles are well behaved: powers of two on the diagonal */
		za[i * (N + 1)] = 1 << i % 2;
	for (int i = 0; i < N * N; i++) {
		ca[i] = (c32)za[i], cb[i] = (c32)zb[i], cc[i] = (c32)zc[i];
		a[i] = creal(za[i]), b[i] = creal(zb[i]), c[i] = creal(zc[i]);
		sa[i] = (float)a[i], sb[i] = (float)b[i], sc[i] = (float)c[i];
	}
	for (int i = 0; i < N; i++) {
		zx[i] = i - 1 + (2 - i) * I, zy[i] = 2 * i - 3 + i % 2 * I;
		cx[i] = (c32)zx[i], cy[i] = (c32)zy[i];
		x[i] = creal(zx[i]), y[i] = creal(zy[i]);
		sx[i] = (float)x[i], sy[i] = (float)y[i];
	}
}

static void show(const char *name, const void *p, int count, int type)
{
	printf("%s", name);
	for (int i = 0; i < count; i++) {
		double v = type == 's' ? (double)((const float *)p)[i] : type == 'i' ? ((const int *)p)[i] : ((const double *)p)[i];
		printf(" %.6g", v == 0 ? 0.0 : v); /* no negative zeros */
	}
	printf("\n");
}

static void level3(void)
{
	double al = 2, be = -1;
	float sal = 2, sbe = -1;
	c64 zal = 1 + 2 * I, zbe = 3 - I;
	c32 cal = 1 + 2 * I, cbe = 3 - I;

	reset(), FN(void, dgemm_)("N", "T", &n, &n, &n, &al, a, &n, b, &n, &be, c, &n, 1L, 1L), show("dgemm_", c, 16, 'd');
	reset(), FN(void, sgemm_)("T", "N", &n, &n, &n, &sal, sa, &n, sb, &n, &sbe, sc, &n, 1L, 1L), show("sgemm_", sc, 16, 's');
	reset(), FN(void, zgemm_)("C", "N", &n, &n, &n, &zal, za, &n, zb, &n, &zbe, zc, &n, 1L, 1L), show("zgemm_", zc, 32, 'd');
	reset(), FN(void, cgemm_)("N", "C", &n, &n, &n, &cal, ca, &n, cb, &n, &cbe, cc, &n, 1L, 1L), show("cgemm_", cc, 32, 's');
	reset(), TYPED(cblas_dgemm, void, int, int, int, int, int, int, double, double *, int, double *, int, double, double *, int)(ROW, NO, TRANS, N, N, N, al, a, N, b, N, be, c, N), show("cblas_dgemm", c, 16, 'd');
	reset(), TYPED(cblas_sgemm, void, int, int, int, int, int, int, float, float *, int, float *, int, float, float *, int)(COL, NO, NO, N, N, N, sal, sa, N, sb, N, sbe, sc, N), show("cblas_sgemm", sc, 16, 's');
	reset(), FN(void, cblas_zgemm)(ROW, CONJ, NO, N, N, N, &zal, za, N, zb, N, &zbe, zc, N), show("cblas_zgemm", zc, 32, 'd');
	reset(), FN(void, dtrsm_)("L", "L", "N", "N", &n, &n, &al, a, &n, b, &n, 1L, 1L, 1L, 1L), show("dtrsm_", b, 16, 'd');
	reset(), TYPED(cblas_dtrsm, void, int, int, int, int, int, int, int, double, double *, int, double *, int)(ROW, LEFT, UPPER, NO, NONUNIT, N, N, al, a, N, b, N), show("cblas_dtrsm", b, 16, 'd');
	reset(), FN(void, dsyrk_)("U", "N", &n, &n, &al, a, &n, &be, c, &n, 1L, 1L), show("dsyrk_", c, 16, 'd');
	reset(), FN(void, zher2k_)("L", "C", &n, &n, &zal, za, &n, zb, &n, &be, zc, &n, 1L, 1L), show("zher2k_", zc, 32, 'd');
	reset(), TYPED(cblas_zherk, void, int, int, int, int, int, double, void *, int, double, void *, int)(ROW, UPPER, NO, N, N, al, za, N, be, zc, N), show("cblas_zherk", zc, 32, 'd');
}

static void level2(void)
{
	double al = 2, be = -1;
	c64 zal = 1 + 2 * I;

	reset(), FN(void, dgemv_)("T", &n, &n, &al, a, &n, x, &minus, &be, y, &one, 1L), show("dgemv_", y, 4, 'd');
	reset(), TYPED(cblas_dgemv, void, int, int, int, int, double, double *, int, double *, int, double, double *, int)(ROW, NO, N, N, al, a, N, x, 1, be, y, -1), show("cblas_dgemv", y, 4, 'd');
	reset(), FN(void, dsymv_)("U", &n, &al, a, &n, x, &one, &be, y, &one, 1L), show("dsymv_", y, 4, 'd');
	reset(), FN(void, zgerc_)(&n, &n, &zal, zx, &one, zy, &one, zc, &n), show("zgerc_", zc, 32, 'd');
	reset(), TYPED(cblas_dger, void, int, int, int, double, double *, int, double *, int, double *, int)(ROW, N, N, al, x, 1, y, 1, c, N), show("cblas_dger", c, 16, 'd');
	reset(), FN(void, dtrmv_)("U", "N", "N", &n, a, &n, x, &one, 1L, 1L, 1L), show("dtrmv_", x, 4, 'd');
	reset(), TYPED(cblas_strsv, void, int, int, int, int, int, float *, int, float *, int)(COL, LOWER, NO, NONUNIT, N, sa, N, sx, 1), show("cblas_strsv", sx, 4, 's');
	reset(), FN(void, dspr_)("L", &n, &al, x, &one, c, 1L), show("dspr_", c, 10, 'd');
}

static void level1(void)
{
	double al = 2, cs = 2, sn = 1, d;
	float s;
	c64 z;
	c32 w;

	reset(), d = FN(double, ddot_)(&n, x, &one, y, &minus), show("ddot_", &d, 1, 'd');
	reset(), s = TYPED(sdot_, float, int *, float *, int *, float *, int *)(&n, sx, &one, sy, &one), show("sdot_", &s, 1, 's');
	reset(), z = FN(c64, zdotc_)(&n, zx, &one, zy, &one), show("zdotc_", &z, 2, 'd');
	reset(), w = TYPED(cdotu_, c32, int *, c32 *, int *, c32 *, int *)(&n, cx, &one, cy, &one), show("cdotu_", &w, 2, 's');
	reset(), FN(void, cblas_zdotu_sub)(N, zx, 1, zy, 1, &z), show("cblas_zdotu_sub", &z, 2, 'd');
	reset(), FN(void, cblas_cdotc_sub)(N, cx, 1, cy, 1, &w), show("cblas_cdotc_sub", &w, 2, 's');
	reset(), d = FN(double, cblas_ddot)(N, x, 1, y, 1), show("cblas_ddot", &d, 1, 'd');
	reset(), d = FN(double, dsdot_)(&n, sx, &one, sy, &one), show("dsdot_", &d, 1, 'd');
	reset(), s = TYPED(cblas_sdsdot, float, int, float, float *, int, float *, int)(N, 5, sx, 1, sy, 1), show("cblas_sdsdot", &s, 1, 's');
	reset(), d = FN(int, idamax_)(&n, y, &one), show("idamax_", &d, 1, 'd');
	reset(), d = (double)FN(size_t, cblas_izamax)(N, zy, 1), show("cblas_izamax", &d, 1, 'd');
	reset(), d = FN(double, dasum_)(&n, x, &one), show("dasum_", &d, 1, 'd');
	reset(), s = TYPED(scasum_, float, int *, c32 *, int *)(&n, cx, &one), show("scasum_", &s, 1, 's');
	reset(), d = FN(double, dznrm2_)(&two, zy, &one), show("dznrm2_", &d, 1, 'd');
	reset(), FN(void, daxpy_)(&n, &al, x, &one, y, &minus), show("daxpy_", y, 4, 'd');
	reset(), TYPED(cblas_saxpy, void, int, float, float *, int, float *, int)(N, 3, sx, 1, sy, 1), show("cblas_saxpy", sy, 4, 's');
	reset(), FN(void, zdscal_)(&n, &al, zx, &one), show("zdscal_", zx, 8, 'd');
	reset(), FN(void, dswap_)(&n, x, &one, y, &one), show("dswap_", x, 4, 'd');
	reset(), FN(void, drot_)(&n, x, &one, y, &one, &cs, &sn), show("drot_", y, 4, 'd');
}

static void lapack(void)
{
	int pivots[N], info = 7;

	reset(), LAPACK(void, dgetrf_)(&n, &n, a, &n, pivots, &info), show("dgetrf_", pivots, 4, 'i'), show("", &info, 1, 'i');
	reset(), LAPACK(void, dgesv_)(&n, &one, a, &n, pivots, x, &n, &info), show("dgesv_", x, 4, 'd');
	reset(), a[0] = -1, LAPACK(void, dpotrf_)("L", &n, a, &n, &info, 1L), show("dpotrf_", &info, 1, 'i');
	reset(), LAPACK(void, ztrtri_)("U", "N", &n, za, &n, &info, 1L, 1L), show("ztrtri_", za, 8, 'd');
}

int run_calls(int with_lapack)
{
	made = 0;
	level3();
	level2();
	level1();
#ifndef NO_LAPACK
	if (with_lapack)
		lapack();
#endif
	(void)with_lapack, (void)lapack, (void)lapack_handle, (void)handle;
	printf("CALLS %d\n", made);
	return 0;
}

#ifndef PLUGIN
int main(int argc, char **argv)
{
#ifdef LOOKUP
	int flags = argc > 2 ? atoi(argv[2]) : 0;
	handle = dlopen(argv[1], RTLD_NOW | flags);
	lapack_handle = argc > 3 ? dlopen(argv[3], RTLD_NOW | flags) : NULL;
	if (!handle)
		printf("%s\n", dlerror());
	return !handle || run_calls(lapack_handle != NULL);
#else
	return run_calls(argc > 1 && !strcmp(argv[1], "lapack"));
#endif
}
#endif

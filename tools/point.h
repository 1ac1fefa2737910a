/* One routine at one shape, timed: what calibration and the sweeps of the benchmark measure. One thread only.
 *
 *   gemm   C (m x n) += A (m x k) B (k x n)            trsm   lower, from the left, B (m x n)
 *   syrk   lower, C (n x n) += A (n x k) A'            gemv   y += A (m x n) x
 *   getrf  A (m x n)                                   potrf  lower, A (n x n)
 *   geqrf  A (m x n)
 */
#ifndef CDM_TOOLS_POINT_H
#define CDM_TOOLS_POINT_H

#define POINT_ROUTINES(X) X(gemm) X(trsm) X(syrk) X(gemv) X(getrf) X(potrf) X(geqrf)
enum point_routine {
#define POINT_ID(name) POINT_##name,
	POINT_ROUTINES(POINT_ID)
#undef POINT_ID
		POINT_COUNT
};
extern const char *const point_name[POINT_COUNT];

/* Fortran entry points by routine and type (s, d, c, z); NULL: the library lacks it. Their integers have 32 or 64 bits. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
typedef void point_fn(); /* any list of arguments */
#pragma GCC diagnostic pop
struct point_table {
	point_fn *fn[POINT_COUNT][4];
};

#define POINT_MOST 8192 /* the largest dimension */
struct point {
	int routine, type, m, n, k;
};

/* Seconds of one call: the fastest batch of calls within so many microseconds, one batch at least, after one call to warm up (but
 * for slow calls of the same point as before). Without a budget: of the first call. Negative: the routine is missing, or there is no
 * memory. */
double point_measure(const struct point_table *table, const struct point *point, double budget_us);

#endif

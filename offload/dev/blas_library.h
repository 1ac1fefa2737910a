/* One BLAS library, opened at run time, kept apart from the program.
 *
 * Isolated (the rule): in a link-map namespace of its own, together with a C library of its own. The program's
 * symbols, its environment, its malloc and a second instance of the same library that it may have loaded itself
 * stay out of reach, and settings such as OPENBLAS_CORETYPE are made in the namespace alone.
 *
 * Private (the fallback): dlopen(RTLD_LOCAL | RTLD_DEEPBIND) in the program's namespace, where no namespace can be
 * had, and for libraries on an OpenMP runtime: those keep thread-specific data under pthread keys, and two C
 * libraries would hand out the same keys for the one table in a thread's descriptor.
 *
 * The library's worker threads block the program's signals (but for those that an OpenMP runtime starts), and its
 * destructors never run: at exit other threads may still be computing in it.
 */
#ifndef CDM_DEV_BLAS_LIBRARY_H
#define CDM_DEV_BLAS_LIBRARY_H

#include <stdbool.h>

#include "offload/base/fmt.h"

enum cdm_blas_kind { CDM_BLAS_OTHER, CDM_BLAS_OPENBLAS, CDM_BLAS_BLIS, CDM_BLAS_MKL };

struct cdm_blas_library {
	enum cdm_blas_kind kind;
	bool isolated;
	bool shared;      /* the program had this very instance loaded */
	int threads;      /* in use; 1 where the library cannot be told */
	char core[32];    /* as the library reports it; "" when it does not */
	char version[48]; /* "0.3.21", or "" */
	bool wide;        /* its integers have 64 bits */
	/* private to blas_library.c */
	int most;      /* threads that it may have started */
	bool crippled; /* in a fork child, by threads that are not there: it stays with one */
	int number;    /* of those opened in this process, from 0 */
	int naming;    /* how its symbols are spelled */
	void *handle, *libc;
	void (*set_threads)(long);  /* int or long there: the same register */
	void (*stop_workers)(void); /* OpenBLAS: joins them; the next call starts new ones */
	void (*ctype_init)(void);   /* the namespace's C library: per-thread tables */
	void (*omp_set_threads)(int);
	int (*omp_get_threads)(void);
	int (*omp_pause)(int);
};

/* Opens path with at most threads threads; core: OpenBLAS core type to ask for, or "". Fills *lib on success only.
 * -ELIBACC: the file cannot be loaded; -ELIBBAD: it has no dgemm; -EDOM: it is known to compute wrong (blas_check.h). Not to be called by two threads at once; the library is never closed. */
int cdm_blas_open(struct cdm_blas_library *lib, const char *path, const char *core, int threads);
/* The Fortran entry point of a routine ("dgemm"), or NULL. */
void *cdm_blas_entry(const struct cdm_blas_library *lib, const char *routine);
/* The same in CBLAS's convention. */
void *cdm_blas_cblas_entry(const struct cdm_blas_library *lib, const char *routine);
/* The number of threads of calls to come. No call may be running. */
void cdm_blas_set_threads(struct cdm_blas_library *lib, int threads);

/* What enter() does once for each thread and library. */
void cdm_blas_enter_first(const struct cdm_blas_library *lib);
/* Around every call into the library, on the calling thread. leave takes what enter returned. */
int cdm_blas_enter(const struct cdm_blas_library *lib);
void cdm_blas_leave(const struct cdm_blas_library *lib, int entered);

/* fork: no call is running. After prepare the library has no threads that the child would miss; child repairs what
 * prepare cannot. The parent goes on as it was. */
void cdm_blas_fork_prepare(const struct cdm_blas_library *lib);
void cdm_blas_fork_child(struct cdm_blas_library *lib);

/* "OpenBLAS 0.3.21, core Zen, 2 threads" */
void cdm_blas_describe(const struct cdm_blas_library *lib, struct cdm_text *t);

#endif

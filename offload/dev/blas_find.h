/* The BLAS libraries on this machine: files in the usual places, each once (by inode), symbolic links resolved.
 *
 * Nothing is opened as a library here. No allocation; thread-safe.
 */
#ifndef CDM_DEV_BLAS_FIND_H
#define CDM_DEV_BLAS_FIND_H

#include <stdbool.h>
#include <stdint.h>

#define CDM_BLAS_PATH 512
#define CDM_BLAS_MAX 24

struct cdm_blas_file {
	char path[CDM_BLAS_PATH]; /* absolute, without symbolic links */
	uint64_t dev, ino, size;
	int64_t mtime_ns;
};

/* Fills list with at most max candidates and returns their number. want: NULL for all; a path (it has a '/'); a
 * file name ("libopenblas.so.0"); or a part of a path, "netlib" for the reference library. Best guess first.
 * LD_LIBRARY_PATH is searched before the system's directories, and these before Python's wheels (below VIRTUAL_ENV, CONDA_PREFIX,
 * ~/.local, /usr/local, /usr). */
int cdm_blas_find(const char *want, struct cdm_blas_file *list, int max);

/* OpenBLAS core types that this CPU can run, best guess first; returns their number (<= max). */
int cdm_blas_core_types(const char **types, int max);
/* True when the file is an OpenBLAS by its name, so that a core type may be asked of it. */
bool cdm_blas_is_openblas(const char *path);

#endif

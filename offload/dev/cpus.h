/* How many CPUs this process may keep busy, and how many threads its user has asked for. */
#ifndef CDM_DEV_CPUS_H
#define CDM_DEV_CPUS_H

/* The CPUs of the calling thread's affinity mask, at most the cgroup's quota (cpu.max of each level of cgroup v2, cpu.cfs_quota_us
 * of v1), rounded up; at least 1. The quota is read once; where it cannot be read there is none. */
int cdm_allowed_cpus(void);
/* What the user has set for BLAS libraries: OPENBLAS_NUM_THREADS, MKL_NUM_THREADS, BLIS_NUM_THREADS or OMP_NUM_THREADS, the
 * first that is set to a number from 1 on, at most 1024. 0: none is. */
int cdm_wanted_threads(void);

#endif

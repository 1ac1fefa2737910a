/* libcdm's public interface, for programs that want a say in where their memory lives. None has to use it.
 *
 * All functions are weak: a program built with this header runs without libcdm, too, and tests for it with
 *
 *     if (cdm_prefetch)
 *         cdm_prefetch(a, bytes, CDM_TO_DEVICE);
 *
 * Thread-safe; not for signal handlers. Functions that return int give 0 or a negative errno: they change where
 * memory lives, never what it holds, so a program may ignore them. Lengths are bytes; a range is widened to whole pages.
 */
#ifndef CDM_H
#define CDM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CDM_API __attribute__((visibility("default"), weak))

/* Advice for madvise(2) and cdm_advise(). Without libcdm the kernel refuses it with EINVAL and nothing happens. */
#define CDM_MADV_DEVICE 0x43444d01 /* move to the device now */
#define CDM_MADV_HOST 0x43444d02   /* bring home now */
#define CDM_MADV_PIN 0x43444d03    /* bring home and never move; devices stage what they need of it */
#define CDM_MADV_UNPIN 0x43444d04  /* end of CDM_MADV_PIN */

#define CDM_TO_HOST 0
#define CDM_TO_DEVICE 1

/* Memory that is born on the device, where there is room, else on the host. Reads as zeros. 2 MiB-aligned from 2 MiB
 * on, else page-aligned. Freed with cdm_free() or free(). NULL: no memory. */
CDM_API void *cdm_alloc(size_t bytes);
CDM_API void cdm_free(void *p);

/* -ENOSPC: the device has no room even after eviction; -EPERM: memory that never moves (shared, file, locked, stack, code);
 * -EBUSY: pinned or in use just now; -ENODEV: no device, or it is offline; -EFAULT: not mapped. */
CDM_API int cdm_prefetch(const void *p, size_t bytes, int where);
/* One of CDM_MADV_*; -EINVAL: none of them. */
CDM_API int cdm_advise(const void *p, size_t bytes, int advice);

/* Where the pages of a range live, in bytes. The sum of untracked and the four states is the range in whole pages. */
struct cdm_where {
	size_t untracked; /* memory that libcdm has not met: on the host */
	size_t host;      /* on the host alone */
	size_t shared;    /* valid on both, read-only for the CPU (private devices) */
	size_t device;    /* on the device */
	size_t moving;    /* on the way */
	size_t pinned;    /* of all these: stays on the host */
	uint64_t
		generation; /* of the region of the first page; changes when the memory is freed or mapped anew; 0: untracked */
};
CDM_API int cdm_query(const void *p, size_t bytes, struct cdm_where *where);

/* Takes the device away while the program runs: operations in flight end, all data comes home, later calls run on the
 * host. online gives it back. From outside: `cdm offline PID`, `cdm online PID`. */
CDM_API int cdm_offline(void);
CDM_API int cdm_online(void);

/* What has happened in this process so far. size: sizeof(struct cdm_counters), so that it can grow. */
struct cdm_counters {
	uint64_t calls, offloaded, declined;
	uint64_t to_device, to_host, first_touch, staged; /* bytes, as in the report */
	uint64_t host_faults;                             /* CPU touches that libcdm answered */
	uint64_t evictions;
	uint64_t thrash; /* times a region was left on the host because it went to and fro */
	uint64_t device_bytes, device_peak, device_capacity;
};
CDM_API int cdm_counters(struct cdm_counters *counters, size_t size);

#ifdef __cplusplus
}
#endif

#endif

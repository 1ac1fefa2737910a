/* A device: two small vtables, memory and compute, which combine freely (arena + host BLAS today; a NUMA node,
 * or VRAM, with a GPU BLAS later).
 */
#ifndef CDM_DEV_H
#define CDM_DEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "offload/offload.h"

/* Device memory is reserved as address ranges and committed in pages: reserve costs no memory, commit does and
 * is where the capacity is enforced. `dva` is the device's address of a range; on a host-backed device (emu) it
 * is also a valid host pointer.
 *
 * A coherent device's frames may leave their range for a program's address (the `move` and `remap` mechanisms of
 * mem/): they stay charged until discharge(), wherever they live. A private device's memory stays in its range, and the
 * program's bytes are copied there and back; what lies around committed pages in a reservation can be read.
 *
 * All return 0 or a negative errno; thread-safe. Lengths are multiples of a page. */
struct cdm_mem_ops {
	const char *name;
	bool coherent;        /* the CPU addresses device memory and the device addresses host memory */
	bool interchangeable; /* a host frame can become a device frame: no memory of its own (unbound arena) */
	int (*open)(size_t capacity);
	/* An address range of len bytes, 2 MiB-aligned from 2 MiB on. -ENOMEM: no address space. */
	int (*reserve)(size_t len, void **dva);
	/* Gives [dva, dva+len), already charged, memory that reads as zeros. -ENOMEM: the machine has none. */
	int (*commit)(void *dva, size_t len);
	/* Takes the memory of [dva, dva+len) away again; it stays charged. Private devices. */
	void (*decommit)(void *dva, size_t len);
	/* Ends a reservation; whatever memory is still in it goes, and stays charged. */
	void (*unreserve)(void *dva, size_t len);
	/* Copies host to device and back; done on return. -EIO: failed, dst holds anything. */
	int (*copy_out)(void *dva, const void *host, size_t len);
	int (*copy_home)(void *host, const void *dva, size_t len);
	/* Takes bytes of the capacity, or gives them back. -ENOSPC: not that much is left. */
	int (*charge)(size_t bytes);
	void (*discharge)(size_t bytes);
	size_t (*capacity)(void);
	size_t (*in_use)(void);
	size_t (*peak)(void);
};

/* Compute: runs one normalised call on pointers that the device can address. */
struct cdm_compute_ops {
	/* Opens the compute library; slow the first time (calibration). -ENOENT: none. Called once. */
	int (*open)(void);
	bool (*supports)(int routine);
	/* Runs call on call->arg[] and sets its result, info and device_ns. -EIO: failed, outputs may be half-written. -EOVERFLOW,
	 * -ENOMEM: not started. */
	int (*run)(struct cdm_call *call);
	/* run() may fail half-way: whoever calls it keeps what the call overwrites. */
	bool fallible;
	void *(*entry)(int routine);   /* Fortran-ABI entry point or NULL */
	bool (*owns_thread)(int tid);  /* false also when nobody knows */
	const char *(*describe)(void); /* "OpenBLAS 0.3.21, core Zen, 2 threads" */
	double (*crossover)(void);     /* measured flops from which offloading pays */
	/* Whether open() takes milliseconds, not seconds: nothing has to be measured first. */
	bool (*prepared)(void);
	/* Opens the libraries for calls on one thread. False: another thread is opening one, ask again. */
	bool (*small_ready)(void);
	/* The entry point with 32-bit integers, Fortran's or CBLAS's, of the library that computes calls of an aspect and a class of
	 * work (plan.h) best on one thread and on the host's memory. NULL: none. */
	void *(*small)(int routine, bool cblas, enum cdm_aspect aspect, int size);
	/* Flops from which several threads are better for calls of this aspect, and the work is enough for an operation where the
	 * host's library is reference BLAS. UINT64_MAX: never. */
	uint64_t (*team_from)(int routine, enum cdm_aspect aspect);
	/* Tells the libraries of small() of the calling thread. */
	void (*greet)(void);
	/* path is the library of most of them, with this core type. */
	bool (*is_small)(const char *path, const char *core);
	/* The i-th library in use, and its calls so far; NULL: there are no more. */
	const char *(*library)(int i, uint64_t *calls);
	/* fork: called with no run() in progress. prepare leaves nothing that the child would miss. */
	void (*fork_prepare)(void);
	void (*fork_child)(void);
};

/* Calls of reference BLAS are worth offloading that much earlier. It computes at 4.5 to 7 GFLOP/s where libraries reach 38 to 197
 * (measured): a 30th of the crossover's work takes it 5 us or more, and an offloaded call 1 to 2. */
#define CDM_REFERENCE_SPEED 30

struct cdm_device {
	const struct cdm_mem_ops *mem;
	const struct cdm_compute_ops *compute;
};

extern const struct cdm_mem_ops cdm_mem_emu, cdm_mem_emu_private;
extern const struct cdm_compute_ops cdm_compute_blas;
/* The table that cdm_engine_routines() registered. */
extern const struct cdm_routine *cdm_routines;
extern int cdm_routine_count;

#endif

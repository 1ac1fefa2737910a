/* The engine as the shim sees it: the only header of offload/ that shim/ and examples/ include.
 *
 * shim -> offload.h -> op -> mem -> dev -> base. Everything here is thread-safe. Nothing here is
 * async-signal-safe unless it says so. Nothing here sets errno.
 */
#ifndef CDM_OFFLOAD_H
#define CDM_OFFLOAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- life ------------------------------------------------------------------------------------------- */

/* Reads the configuration and readies the engine; called once, from the constructor, on the first thread.
 * Opens no library and no file. envp as in main(). */
void cdm_engine_init(char *const *envp);
/* Writes the report and the like. Called once, at exit; other threads may still be running. */
void cdm_engine_fini(void);
/* fork(2), around it, in this order, on the forking thread. begin, before any fork handler of another library,
 * waits for operations in flight (other than the caller's own) and keeps new ones out until parent or child is
 * called; prepare waits for moves and takes the locks, and does what begin does if that was not called. */
void cdm_engine_fork_begin(void);
/* Whether prepare may keep the map lock until the fork: true only when no other library's prepare handler can run after
 * it. An allocator starts before all constructors, and its handler takes locks that a thread inside mmap() may hold.
 * Then the lock is not taken; a child that finds it held (a thread was in the middle of a change) stops tracking. */
void cdm_engine_fork_holds(bool holds);
void cdm_engine_fork_prepare(void);
void cdm_engine_fork_parent(void);
void cdm_engine_fork_child(void);
/* Around a fork that runs nobody's handlers, possibly in a signal handler: what a private device has comes home, no
 * library is asked to do anything, and the child neither tracks nor offloads. */
void cdm_engine_fork_bare_prepare(void);
void cdm_engine_fork_bare_parent(void);
void cdm_engine_fork_bare_child(void);

/* Registers what to call when the mechanism in force needs one of the program's signals, SIGSEGV or SIGBUS. */
void cdm_engine_on_faults(void (*install)(int signal));
/* Registers a question: is the program's own library for a routine, called from site, the reference BLAS? */
void cdm_engine_on_host(bool (*is_reference)(int routine, const void *site));
/* A library that defines BLAS or LAPACK routines, and how libcdm sees the calls to it. */
#define CDM_PROVIDER_PATH 256
struct cdm_provider {
	char path[CDM_PROVIDER_PATH];
	char door[32];        /* "symbols", "patch", "symbols, patch" or "none" */
	int routines;         /* entry points that libcdm knows */
	int patched, refused; /* of these */
	char why[160];        /* why some cannot be seen, with the first names; or "" */
};
/* tid is a thread of the device's library, which never runs the program's code. False: it is not, or nobody knows. */
bool cdm_engine_own_thread(int tid);
/* Registers what lists them: fills in at most max, returns how many. Called for the report. */
void cdm_engine_on_providers(int (*list)(struct cdm_provider *providers, int max));
/* A read of addr, or a write to it, faulted: true when the page was on its way or on the device, and the toucher, having
 * waited, may try again. Async-signal-safe. */
bool cdm_fault(uintptr_t addr, bool write);

/* ---- memory: blocks (malloc and friends) ------------------------------------------------------------ */

/* Allocations of at least this many bytes become regions. SIZE_MAX until the engine is ready. */
extern size_t cdm_min_alloc;

/* A block of at least size bytes, aligned to align (a power of two) and to a page; 2 MiB-aligned from 2 MiB
 * on. zero: the bytes read as 0. NULL when there is no memory. site: the caller, for the report. */
void *cdm_block_alloc(size_t size, size_t align, bool zero, const void *site);
/* The usable bytes of the block that starts at p, or 0 when p is not the start of a live block. */
size_t cdm_block_size(const void *p);
/* Frees the block that starts at p. False, and nothing done, when p is not one. */
bool cdm_block_free(void *p);
/* realloc of a live block to a size >= cdm_min_alloc. NULL, and the block untouched, when it cannot. */
void *cdm_block_realloc(void *p, size_t size, const void *site);

/* ---- memory: mappings (mmap and friends) ------------------------------------------------------------ */

/* The program's own calls, with the kernel's semantics and return values (negative errno on failure). They do
 * the system call and keep the shadow page map and residency in step. */
void *cdm_map_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off, const void *site);
int cdm_map_munmap(void *addr, size_t len);
void *cdm_map_mremap(void *addr, size_t old, size_t len, int flags, void *to);
int cdm_map_madvise(void *addr, size_t len, int advice);
int cdm_map_mprotect(void *addr, size_t len, int prot);
/* The regions in the range stay where they are for the rest of their life: the kernel writes there on its own (a
 * thread's stack, a signal stack), or the program has locked them. */
void cdm_map_keep(const void *addr, size_t len);
/* All that is tracked now stays at home. */
void cdm_map_keep_all(void);
/* False when kernel accesses wait like the program's own, or when nothing ever moves: then there is nothing to pin. */
extern bool cdm_pins_needed;
/* The kernel is about to read (or write) [addr, addr+n) in a system call: brings it home, waits for a mover, and keeps
 * others away until drop. Returns a number for drop; 0 when there is nothing to keep. Async-signal-safe as far as system
 * calls are. */
int cdm_pin_take(uintptr_t addr, size_t n, bool write);
void cdm_pin_drop(int pin);
/* Moves a range to the device, or home. 0, -ENODEV, -ENOSPC, -EPERM, -EBUSY or -EFAULT (nothing is mapped there). */
int cdm_engine_place(const void *p, size_t len, bool to_device);
/* Fresh memory, all zeros: gets it to the device, where there is room. */
void cdm_engine_birth(void *p, size_t len);
/* The descriptor that watches pages of a private device, or -1. Any thread. */
int cdm_engine_descriptor(void);
/* Gives it another number; the old one is closed. */
void cdm_engine_descriptor_move(void);
/* Brings a range home and keeps it there until told otherwise. Whole regions. 0, -EPERM: memory that never moves anyway. */
int cdm_engine_keep(const void *p, size_t len, bool keep);
/* Bytes of a range by where they live. */
struct cdm_placement {
	size_t untracked, host, shared, device, moving, pinned;
	uint64_t generation; /* of the first page's region; 0: untracked */
};
int cdm_engine_where(const void *p, size_t len, struct cdm_placement *where);

/* Takes the device away: waits for operations, brings everything home, and has later calls run on the host; *home: the
 * bytes that came. -ENODEV: there is none; -EBUSY: something is still there. Online gives it back. */
int cdm_engine_offline(size_t *home);
int cdm_engine_online(void);

/* What has happened so far, see shim/cdm.h. */
struct cdm_totals {
	uint64_t calls, offloaded, declined, to_device, to_host, first_touch, staged, host_faults, evictions, thrash;
	uint64_t device_bytes, device_peak, device_capacity;
};
void cdm_engine_totals(struct cdm_totals *totals);
/* A library was unloaded: adopted static memory that is no longer mapped ends. */
void cdm_map_dlclosed(void);

/* ---- calls ------------------------------------------------------------------------------------------ */

enum cdm_scalar { CDM_S, CDM_D, CDM_C, CDM_Z }; /* float, double, complex float, complex double */
static inline size_t cdm_scalar_size(enum cdm_scalar t)
{
	return (size_t[]){4, 8, 8, 16}[t];
}
static inline bool cdm_scalar_complex(enum cdm_scalar t)
{
	return t >= CDM_C;
}

/* How much a routine computes for each byte that it touches: what decides whether its operands are worth a move. */
enum cdm_level {
	CDM_LEVEL_MATRIX, /* O(n) operations an element: level 3, LAPACK */
	CDM_LEVEL_VECTOR, /* O(1): levels 1 and 2, copies */
	CDM_LEVELS
};

#define CDM_ROUTINE_NAME 24
/* Routine identifiers: the rows of shim/blas.def, in that order. */
struct cdm_routine {
	char name[CDM_ROUTINE_NAME]; /* "dgemm": as in the report; the Fortran symbol is name + "_" */
	uint8_t type;                /* enum cdm_scalar */
};
/* The table has count rows and lives for ever. Generated from shim/blas.def, registered at start. */
void cdm_engine_routines(const struct cdm_routine *table, int count);

enum cdm_access { CDM_R = 1, CDM_W = 2, CDM_RW = 3 };

#define CDM_NO_ARG 0xff
/* A column-major matrix: element (i, j) at base + (i + j * ld) * elem, 0 <= i < rows, 0 <= j < cols.
 * It owns rows of each ld elements: the rest is somebody else's memory (design invariant 5).
 * A vector of n elements with the increment inc is a matrix of 1 x n, ld = |inc|: base is its lowest address. */
struct cdm_operand {
	void *base;
	int64_t rows, cols, ld; /* elements */
	uint8_t elem;           /* bytes per element */
	uint8_t access;         /* enum cdm_access */
	char tri;               /* 'U' or 'L': only that triangle is referenced; 0: all of it */
	uint8_t arg, ld_arg;    /* indices into cdm_call.arg; ld_arg may be CDM_NO_ARG: packed */
	bool integers;          /* elements are the program's integers, 4 or 8 bytes */
	bool scratch;           /* workspace: its contents do not matter before or after the call */
};

#define CDM_MAX_ARGS 24
#define CDM_MAX_OPERANDS 8

/* One call, normalised: Fortran's argument list, column-major, upper-case letters, arguments already validated.
 *
 * args names the list, one letter per argument: L letter, N integer, S scalar of the routine's type, R real scalar,
 * J integer that not all calls refer to, M matrix, vector or workspace, I array of integers, O integer output (info, a
 * rank). arg[i] points to the i-th argument: for N, J and O to n[i], for L to letter[i], for S and R to a scalar that is
 * read only during the call. */
struct cdm_call {
	int routine;
	uint8_t level; /* enum cdm_level */
	char returns;  /* 'v' nothing; 's' 'd' 'c' 'z' a value of that type; 'i' an integer */
	const char *args;
	uint8_t count, letters; /* arguments; of these, letters */
	uint8_t operands;
	bool wide; /* the program's integers have 64 bits: matters for op[].integers alone */
	void *arg[CDM_MAX_ARGS];
	int64_t n[CDM_MAX_ARGS];
	char letter[CDM_MAX_ARGS];
	struct cdm_operand op[CDM_MAX_OPERANDS];
	double flops;
	const void *site;   /* return address in the program */
	uint64_t device_ns; /* that it took on the device, which sets it */
	union {
		float s;
		double d;
		float c[2];
		double z[2];
		int64_t i;
	} result; /* of a function, set by the device */
};

/* > 0 while this thread is inside a wrapper: nested calls go straight through and are not counted. < 0: the gate answers
 * that a call has arrived, and does nothing (shim/gate.h). */
extern __thread int cdm_inside __attribute__((tls_model("initial-exec")));
/* Calls with fewer flops than this stay on the host without a look at anything else, by enum cdm_level: CDM_MIN_WORK;
 * UINT64_MAX while nothing can be offloaded. Changes when the calibration is read. */
extern _Atomic uint64_t cdm_min_work[CDM_LEVELS];

/* Calls with fewer flops than this may be computed at once (offload/tiny) or forwarded to a better library than the program's; 0: none.
 * Falls to 0 while a fork is going on. */
extern _Atomic uint64_t cdm_quick_limit;
/* Where small calls of a routine go, by aspect and class of work: functions in Fortran's and in CBLAS's convention with 32-bit integers,
 * or NULL. */
#define CDM_FORWARD_CLASSES 16
static inline int cdm_forward_class(uint64_t work)
{
	int n = work < 64 ? 0 : (63 - __builtin_clzll(work) - 6) / 2;
	return n < CDM_FORWARD_CLASSES ? n : CDM_FORWARD_CLASSES - 1;
}
/* Of the result, rows x columns, and of the sums that each element is, the depth. One is far from another from a factor of 4. */
enum cdm_aspect { CDM_SQUARE, CDM_TALL, CDM_WIDE, CDM_DEEP, CDM_FLAT, CDM_ASPECTS };
static inline enum cdm_aspect cdm_aspect(uint64_t rows, uint64_t cols, uint64_t depth)
{
	const uint64_t far = 4;

	if (rows >= far * cols)
		return CDM_TALL;
	if (cols >= far * rows)
		return CDM_WIDE;
	if (depth >= far * (rows > cols ? rows : cols))
		return CDM_DEEP;
	return depth * far <= (rows < cols ? rows : cols) ? CDM_FLAT : CDM_SQUARE;
}
struct cdm_forward_row {
	void *fn[2][CDM_FORWARD_CLASSES]; /* [cblas] */
};
struct cdm_forward {
	struct cdm_forward_row square;
	const struct cdm_forward_row *by_aspect; /* [CDM_ASPECTS]; NULL: all are as square */
	uint64_t team_from[CDM_ASPECTS];         /* flops from which a call is for several threads */
	uint64_t team_least;                     /* the least of these */
};
extern struct cdm_forward *_Atomic cdm_forward_table; /* by routine; NULL: nothing is forwarded yet */
/* Readies forwarding, if all threads' small calls have been worth what that costs now, and introduces the thread to the libraries.
 * True: the table is there. routine, site: of the call that asks. */
bool cdm_forward_start(int routine, const void *site);
/* Flops of small calls that are worth it; fewer once the libraries are open anyway. A thread asks every CDM_FORWARD_ASKS-th part of
 * it, as the others work, too. */
extern _Atomic uint64_t cdm_forward_ask;
#define CDM_FORWARD_ASKS 8
/* The library at path computes as well as the plan's own: it is the same file with the same core type ("": unknown). */
bool cdm_forward_is_same(const char *path, const char *core);

/* Counts a call of routine, and why it stays on the host. A few nanoseconds: no lock, no clock. */
enum cdm_stay { CDM_STAY_SMALL, CDM_STAY_INVALID, CDM_STAY_QUICK, CDM_STAY_FORM };
void cdm_call_stays(int routine, enum cdm_stay why);
/* Counts the call and runs it on the device. False: the caller runs the original, between host_begin and
 * host_end, which time it. The data is whole in either case. Caller holds cdm_inside > 0. */
bool cdm_call_offload(struct cdm_call *call);
uint64_t cdm_call_host_begin(void);
void cdm_call_host_end(int routine, uint64_t begun);
/* The device library's own Fortran entry of a routine (32-bit integers), or NULL: the last resort when the program's
 * own library cannot be found. It computes on the host's memory. */
void *cdm_call_fallback(int routine);
/* Calls fn, an entry point in Fortran's convention, with the call's arguments; sets call->result. */
void cdm_call_invoke(void *fn, struct cdm_call *call);

#endif

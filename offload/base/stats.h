/* Counters of the report. Relaxed atomics, sharded where a hot path increments them; read only for reports. */
#ifndef CDM_BASE_STATS_H
#define CDM_BASE_STATS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* Why a call stayed on the host. X(identifier, report key, what a person reads) */
#define CDM_DECLINE_REASONS(X)                                                                                         \
	X(SMALL, "small", "less work than CDM_MIN_WORK")                                                               \
	X(POLICY, "policy", "the policy said host")                                                                    \
	X(NO_DEVICE, "no_device", "no device (CDM_DEVICE=none)")                                                       \
	X(NO_LIBRARY, "no_library", "no compute library could be opened")                                              \
	X(NO_ROUTINE, "no_routine", "the compute library lacks the routine")                                           \
	X(INVALID, "invalid", "illegal argument, left to the program's own xerbla")                                    \
	X(QUICK, "quick", "nothing to compute")                                                                        \
	X(FORM, "form", "a form of the call that the device does not take")                                            \
	X(PROTECTED, "protected", "an operand is not accessible as the call needs")                                    \
	X(NO_MEMORY, "no_memory", "the device had no room")                                                            \
	X(OFFLINE, "offline", "the device was offline")                                                                \
	X(STARTING, "starting", "another thread was opening the compute library")                                      \
	X(FORK, "fork", "a fork interrupted an operation of this process")                                             \
	X(FAILED, "failed", "the device reported an error")

enum cdm_decline {
#define X(id, key, text) CDM_DECLINE_##id,
	CDM_DECLINE_REASONS(X)
#undef X
		CDM_DECLINE_COUNT
};
extern const char *const cdm_decline_key[CDM_DECLINE_COUNT];
extern const char *const cdm_decline_text[CDM_DECLINE_COUNT];

#define CDM_MAX_ROUTINES 320 /* blas.def has fewer rows; checked at compile time */
#define CDM_STAT_SHARDS 8    /* threads share a shard by thread number */

typedef _Atomic uint64_t cdm_counter;
static inline void cdm_count(cdm_counter *c, uint64_t n)
{
	atomic_fetch_add_explicit(c, n, memory_order_relaxed);
}
static inline uint64_t cdm_counted(const cdm_counter *c)
{
	return atomic_load_explicit((cdm_counter *)c, memory_order_relaxed);
}

/* Hot counters: one per routine, incremented on every call, so sharded. */
struct cdm_shard {
	cdm_counter seen[CDM_MAX_ROUTINES]; /* but for calls that stayed at first sight */
	cdm_counter declined[CDM_DECLINE_COUNT];
} __attribute__((aligned(64)));

/* What became of a call that did not pass the gate's first look. */
enum {
	CDM_STAYS_SMALL,     /* on the program's own library */
	CDM_STAYS_OTHERWISE, /* so, too, for cdm_stays_reason */
	CDM_STAYS_TINY,      /* small, and computed at once */
	CDM_STAYS_FORWARDED, /* small, and computed by a better library */
	CDM_STAYS_KINDS
};

/* A calling thread, as the gate knows it. The first threads have one each, so that nothing here takes an atomic operation; the
 * last one is shared by all others, which forward nothing. */
#define CDM_CALLERS 65
struct cdm_caller {
	_Atomic int busy; /* inside a forwarded call (op/forward.h); more than 1 in signal handlers */
	bool shared;
	bool entered;     /* the libraries of forwarded calls have been told of this thread */
	cdm_counter work; /* flops of small calls that might have been forwarded; the thread itself writes it */
	uint64_t ask;     /* and at how many to ask whether they should be */
	cdm_counter n[CDM_STAYS_KINDS][CDM_MAX_ROUTINES];
} __attribute__((aligned(64)));

/* The flops of all callers' small calls that might have been forwarded. */
uint64_t cdm_callers_work(void);

/* Cool counters of one routine: calls that were offloaded or timed on the host. Times in nanoseconds. */
struct cdm_routine_stats {
	cdm_counter offloaded, device_ns, move_ns, host_ns, kiloflop; /* kiloflop: of offloaded calls */
};

struct cdm_stats {
	struct cdm_shard shard[CDM_STAT_SHARDS];
	struct cdm_caller caller[CDM_CALLERS];
	struct cdm_routine_stats routine[CDM_MAX_ROUTINES];
	cdm_counter to_device, to_host, first_touch, staged; /* bytes */
	cdm_counter reused;                                  /* bytes found resident by a call */
	cdm_counter in_place;                                /* bytes the device used at home */
	cdm_counter host_faults, evictions, thrash;
	uint64_t start_ns;
};
extern struct cdm_stats cdm_stats;

/* The calling thread's number, from 1; drawn once per thread, with its struct cdm_caller. */
extern __thread int cdm_shard_index __attribute__((tls_model("initial-exec")));
int cdm_shard_draw(void);
static inline struct cdm_shard *cdm_shard(void)
{
	int i = cdm_shard_index;
	return &cdm_stats.shard[((i ? i : cdm_shard_draw()) - 1) % CDM_STAT_SHARDS];
}

/* Monotonic nanoseconds. */
static inline uint64_t cdm_now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}
/* What a call that stays at first sight counts as: CDM_STAYS_SMALL; or CDM_STAYS_OTHERWISE, and nothing is offloaded. */
extern _Atomic int cdm_stays_kind;
extern enum cdm_decline cdm_stays_reason;
/* The calling thread's; NULL until it has drawn its number. */
extern __thread struct cdm_caller *cdm_caller_self __attribute__((tls_model("initial-exec")));

/* Both use integer registers only; self as above, not NULL. */
static inline void cdm_count_kind(struct cdm_caller *self, int routine, int kind)
{
	cdm_counter *c = &self->n[kind][routine];

	if (__builtin_expect(self->shared, 0))
		cdm_count(c, 1);
	else
		atomic_store_explicit(c, cdm_counted(c) + 1, memory_order_relaxed);
}
static inline void cdm_count_stay(struct cdm_caller *self, int routine)
{
	cdm_count_kind(self, routine, atomic_load_explicit(&cdm_stays_kind, memory_order_relaxed));
}
static inline struct cdm_caller *cdm_caller_get(void)
{
	if (!cdm_caller_self)
		cdm_shard_draw();
	return cdm_caller_self;
}

/* Sums over the shards. */
uint64_t cdm_stats_seen(int routine); /* calls of one routine */
uint64_t cdm_stats_declined(int reason);
uint64_t cdm_stats_stays(int kind);
/* Fork child: counters start at zero, as the report is per process. */
void cdm_stats_after_fork(void);

#endif

/* Counters of the report. Relaxed atomics; those of calls are the calling thread's own. Read only for reports. */
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

typedef _Atomic uint64_t cdm_counter;
static inline void cdm_count(cdm_counter *c, uint64_t n)
{
	atomic_fetch_add_explicit(c, n, memory_order_relaxed);
}
static inline uint64_t cdm_counted(const cdm_counter *c)
{
	return atomic_load_explicit((cdm_counter *)c, memory_order_relaxed);
}

/* What became of a call. */
enum {
	CDM_STAYS_SMALL,     /* did not pass the gate's first look: on the program's own library */
	CDM_STAYS_OTHERWISE, /* so, too, for cdm_stays_reason */
	CDM_STAYS_TINY,      /* small, and computed at once */
	CDM_STAYS_FORWARDED, /* small, and computed by a better library */
	CDM_STAYS_KINDS,
	CDM_CALLS_CONSIDERED = CDM_STAYS_KINDS, /* all others: offloaded, or declined for a reason */
	CDM_CALLS_KINDS
};

/* Of one routine: calls that were offloaded or timed on the host. Times in nanoseconds. */
struct cdm_routine_stats {
	cdm_counter offloaded, device_ns, move_ns, host_ns, kiloflop; /* kiloflop: of offloaded calls */
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
	/* What is counted, to the end: */
	cdm_counter n[CDM_CALLS_KINDS][CDM_MAX_ROUTINES];
	cdm_counter declined[CDM_DECLINE_COUNT]; /* of those considered */
	cdm_counter reused;                      /* bytes found resident by a call */
	cdm_counter in_place;                    /* bytes the device used at home */
	struct cdm_routine_stats routine[CDM_MAX_ROUTINES];
} __attribute__((aligned(64)));

/* The flops of all callers' small calls that might have been forwarded. */
uint64_t cdm_callers_work(void);

struct cdm_stats {
	struct cdm_caller caller[CDM_CALLERS];
	cdm_counter to_device, to_host, first_touch, staged; /* bytes */
	cdm_counter host_faults, evictions, thrash;
	uint64_t start_ns;
};
extern struct cdm_stats cdm_stats;

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
/* The calling thread's; NULL until it has drawn one. */
extern __thread struct cdm_caller *cdm_caller_self __attribute__((tls_model("initial-exec")));
struct cdm_caller *cdm_caller_draw(void);
static inline struct cdm_caller *cdm_caller_get(void)
{
	struct cdm_caller *self = cdm_caller_self;
	return self ? self : cdm_caller_draw();
}

/* c is one of self's, the calling thread's. One instruction, before or after which a handler may count, too. Integer registers only, as
 * all below. */
static inline void cdm_count_own(const struct cdm_caller *self, cdm_counter *c, uint64_t n)
{
	if (__builtin_expect(self->shared, 0))
		cdm_count(c, n);
	else
		__asm__("addq %1, %0" : "+m"(*c) : "er"(n) : "cc");
}
static inline void cdm_count_kind(struct cdm_caller *self, int routine, int kind)
{
	cdm_count_own(self, &self->n[kind][routine], 1);
}
static inline void cdm_count_stay(struct cdm_caller *self, int routine)
{
	cdm_count_kind(self, routine, atomic_load_explicit(&cdm_stays_kind, memory_order_relaxed));
}

/* Sums over the callers. */
uint64_t cdm_stats_seen(int routine); /* calls of one routine */
void cdm_stats_routine(struct cdm_routine_stats *sum, int routine);
uint64_t cdm_stats_reused(void);
uint64_t cdm_stats_in_place(void);
uint64_t cdm_stats_declined(int reason);
uint64_t cdm_stats_stays(int kind);
/* Fork child: counters start at zero, as the report is per process. */
void cdm_stats_after_fork(void);

#endif

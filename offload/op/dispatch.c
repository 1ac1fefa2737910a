/* Which calls become operations: thresholds, the compute library's opening, the device's absence. See design section 5.
 */
#include "offload/op/dispatch.h"

#include <pthread.h>
#include <stdlib.h>

#include "offload/base/config.h"
#include "offload/base/lock.h"
#include "offload/base/log.h"
#include "offload/base/quiet.h"
#include "offload/base/stats.h"
#include "offload/mem/device.h"
#include "offload/mem/residency.h"
#include "offload/op/inflight.h"
#include "offload/op/control.h"
#include "offload/op/forward.h"
#include "offload/op/operation.h"

/* Before the calibration is known: 2 x 80^3, worth opening the library for. */
#define MIN_WORK_GUESS 1000000
/* Levels 1 and 2, where the host has reference BLAS: some 30 us of it. */
#define STREAMING_WORK 100000
#define EXIT_PATIENCE_NS 2000000000ull

__thread int cdm_inside;
_Atomic uint64_t cdm_min_work[CDM_LEVELS] = {UINT64_MAX, UINT64_MAX};
const struct cdm_routine *cdm_routines;
int cdm_routine_count;

static const struct cdm_policy *policy;
/* What cdm_min_work is meant to be. The gates stand open, at 0, from the first operation of a private device on: small
 * calls whose data is there run there. */
static _Atomic uint64_t worth[CDM_LEVELS] = {UINT64_MAX, UINT64_MAX};
static _Atomic bool gates_open, offline;

static void threshold_set(enum cdm_level level, uint64_t flops)
{
	atomic_store(&worth[level], flops);
	atomic_store(&cdm_min_work[level], flops != UINT64_MAX && atomic_load(&gates_open) ? 0 : flops);
}

static void gates_follow(void)
{
	if (cdm_device.mem->coherent || atomic_load_explicit(&gates_open, memory_order_relaxed))
		return;
	atomic_store(&gates_open, true);
	for (int i = 0; i < CDM_LEVELS; i++)
		atomic_store(&cdm_min_work[i], 0);
}

void cdm_dispatch_offline(bool is)
{
	atomic_store(&offline, is);
}

bool cdm_dispatch_is_offline(void)
{
	return atomic_load(&offline);
}

uint64_t cdm_dispatch_worth(enum cdm_level level)
{
	return atomic_load(&worth[level]);
}

void cdm_engine_routines(const struct cdm_routine *table, int count)
{
	cdm_routines = table;
	cdm_routine_count = count < CDM_MAX_ROUTINES ? count : CDM_MAX_ROUTINES;
}

/* ---- the compute library ---- */

enum { COMPUTE_UNKNOWN, COMPUTE_READY, COMPUTE_NONE, COMPUTE_BROKEN };
static _Atomic int compute_state;
static cdm_lock compute_lock;
static int computes; /* the process whose operations are counted here */

void cdm_dispatch_break_compute(void)
{
	atomic_store(&compute_state, COMPUTE_BROKEN);
}
bool cdm_dispatch_compute_open(void)
{
	return atomic_load(&compute_state) == COMPUTE_READY;
}
void cdm_dispatch_reset_locks(void)
{
	computes = cdm_sys_getpid();
	cdm_lock_reset(&compute_lock);
}

static bool (*host_is_reference)(int routine, const void *site);

void cdm_engine_on_host(bool (*is_reference)(int routine, const void *site))
{
	host_is_reference = is_reference;
}

static void nothing_offloaded(enum cdm_decline why)
{
	cdm_stays_reason = why;
	atomic_store(&cdm_stays_kind, CDM_STAYS_OTHERWISE);
	for (int i = 0; i < CDM_LEVELS; i++)
		threshold_set(i, UINT64_MAX);
}

/* Where one thread is best, calls go to a library of one thread either way, and forwarded they cost less: while that is a percent or
 * two of the call, and although calibration may have met a slow moment. */
#define FORWARD_REACH 2

/* The calibrated crossover supposes a library as fast as the device's. Where it is reference BLAS calls pay much earlier; levels 1 and
 * 2 pay only then. */
static void set_crossover(const struct cdm_call *call)
{
	bool slow = call && host_is_reference && host_is_reference(call->routine, call->site);
	double flops = cdm_device.compute->crossover();

	threshold_set(CDM_LEVEL_MATRIX, (uint64_t)(slow ? flops / CDM_REFERENCE_SPEED : flops));
	if (slow)
		threshold_set(CDM_LEVEL_VECTOR, STREAMING_WORK);
	cdm_forward_limit((uint64_t)(flops * FORWARD_REACH));
}

/* At exit, before libraries end: OpenBLAS joins its threads then, for ever if one of the program's other threads is in the
 * middle of a call. Later calls run on the host. */
static void compute_leave(void)
{
	if (cdm_sys_getpid() != computes) /* forked by a system call: the operations counted are the parent's */
		return;
	cdm_dispatch_offline(true);
	cdm_inflight_close_within(EXIT_PATIENCE_NS);
	cdm_inflight_open();
}

static void compute_open(const struct cdm_call *call)
{
	uint64_t mask;

	cdm_forward_prepare();
	cdm_control_prepare();
	if (policy->moves)
		cdm_residency_ready();
	cdm_sys_block_sent(&mask); /* for the library's threads, which are not for the program's handlers to run on */
	int r = cdm_device.compute->open();
	cdm_sys_unblock(&mask);

	if (r) {
		cdm_log_once(CDM_LOG_INFO,
			     "no compute library can be opened (error %d): calls run on the program's own", -r);
		nothing_offloaded(CDM_DECLINE_NO_LIBRARY);
		cdm_control_reset();
	} else if (cdm_config.min_work < 0) {
		set_crossover(call);
	}
	if (!r)
		atexit(compute_leave);
	computes = cdm_sys_getpid();
	/* A handler that came when signals were let in again may have forked: the child that returns here has no threads of the
	 * library's, and says so already. */
	int unknown = COMPUTE_UNKNOWN;
	atomic_compare_exchange_strong(&compute_state, &unknown, r ? COMPUTE_NONE : COMPUTE_READY);
}

/* The loader has points of cancellation. A thread that ended in one would leave the loader's lock held. */
static void compute_open_whole(const struct cdm_call *call)
{
	int cancel;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	compute_open(call);
	pthread_setcancelstate(cancel, NULL);
}

/* Opens the library on first need. A second thread does not wait for the first: it may hold the loader's lock,
 * inside a constructor, and the first may need it. CDM_DECLINE_COUNT: ready. */
static enum cdm_decline compute_get(const struct cdm_call *call)
{
	if (atomic_load(&compute_state) == COMPUTE_UNKNOWN) {
		if (!cdm_lock_try(&compute_lock))
			return CDM_DECLINE_STARTING;
		if (atomic_load(&compute_state) == COMPUTE_UNKNOWN)
			compute_open_whole(call);
		cdm_lock_drop(&compute_lock);
	}
	switch (atomic_load(&compute_state)) {
	case COMPUTE_READY:
		cdm_control_start();
		return CDM_DECLINE_COUNT;
	case COMPUTE_BROKEN:
		return CDM_DECLINE_FORK;
	default:
		return CDM_DECLINE_NO_LIBRARY;
	}
}

bool cdm_dispatch_compute(int routine, const void *site)
{
	struct cdm_call call = {.routine = routine, .site = site};

	return compute_get(&call) == CDM_DECLINE_COUNT;
}

void *cdm_call_fallback(int routine)
{
	return compute_get(NULL) == CDM_DECLINE_COUNT ? cdm_device.compute->entry(routine) : NULL;
}

/* ---- one call ---- */

static enum cdm_decline op_run(struct cdm_call *call)
{
	uint64_t threshold = atomic_load_explicit(&worth[call->level], memory_order_relaxed);

	if (atomic_load_explicit(&offline, memory_order_relaxed))
		return CDM_DECLINE_OFFLINE;
	enum cdm_decline no = compute_get(call);
	if (no != CDM_DECLINE_COUNT)
		return no;
	if (!cdm_device.compute->supports(call->routine))
		return CDM_DECLINE_NO_ROUTINE;
	return cdm_operation_run(call, policy, (double)threshold);
}

bool cdm_call_offload(struct cdm_call *call)
{
	struct cdm_caller *self = cdm_caller_get();

	if (call->flops < (double)atomic_load_explicit(&worth[call->level], memory_order_relaxed) &&
	    !cdm_operation_away(call)) {
		cdm_count_stay(self, call->routine); /* the gates are open, and it has no reason to come in */
		return false;
	}
	cdm_count_kind(self, call->routine, CDM_CALLS_CONSIDERED);
	cdm_residency_stack();
	if (cdm_defers)
		cdm_signals_hold();
	cdm_inflight_enter();
	enum cdm_decline no = op_run(call);
	cdm_inflight_leave();
	if (no != CDM_DECLINE_COUNT)
		cdm_count_own(self, &self->declined[no], 1);
	else
		gates_follow();
	if (cdm_defers)
		cdm_signals_release();
	return no == CDM_DECLINE_COUNT;
}

void cdm_call_stays(int routine, enum cdm_stay why)
{
	static const enum cdm_decline reasons[] = {
		[CDM_STAY_INVALID] = CDM_DECLINE_INVALID,
		[CDM_STAY_QUICK] = CDM_DECLINE_QUICK,
		[CDM_STAY_FORM] = CDM_DECLINE_FORM,
	};
	struct cdm_caller *self = cdm_caller_get();

	if (why == CDM_STAY_SMALL) {
		cdm_count_stay(self, routine);
		return;
	}
	cdm_count_kind(self, routine, CDM_CALLS_CONSIDERED);
	cdm_count_own(self, &self->declined[reasons[why]], 1);
}

/* Large calls pass the gate on the host, too: OpenBLAS hangs when it is forked in the middle of a call, and the
 * program's own library may be that. */
uint64_t cdm_call_host_begin(void)
{
	cdm_inflight_enter();
	return cdm_now_ns();
}

void cdm_call_host_end(int routine, uint64_t begun)
{
	struct cdm_caller *self = cdm_caller_get();

	cdm_count_own(self, &self->routine[routine].host_ns, cdm_now_ns() - begun);
	cdm_inflight_leave();
}

static uint64_t whole_flops(double n)
{
	if (n >= 9e18)
		return UINT64_MAX;
	return (uint64_t)n + (n > (double)(uint64_t)n);
}

void cdm_dispatch_init(void)
{
	policy = cdm_policy_get(cdm_config.policy);
	if (cdm_config.device == CDM_DEVICE_NONE)
		nothing_offloaded(CDM_DECLINE_NO_DEVICE);
	else if (cdm_config.policy == CDM_POLICY_NEVER)
		nothing_offloaded(CDM_DECLINE_POLICY);
	else if (cdm_config.min_work < 0) {
		threshold_set(CDM_LEVEL_MATRIX, MIN_WORK_GUESS);
		cdm_forward_init();
	} else
		for (int i = 0; i < CDM_LEVELS; i++)
			threshold_set(i, whole_flops(cdm_config.min_work));
}

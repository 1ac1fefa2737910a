/* The path of one call: gate, policy, operands, device, release. See design section 5.
 *
 * The gate keeps fork and operations apart: an operation in flight is counted, and fork closes the gate and waits
 * until no other thread's operation is left. A compute library forked in the middle of a call would leave the
 * child with locks that nobody holds and threads that are not there.
 */
#include "offload/op/dispatch.h"

#include <errno.h>
#include <string.h>

#include "offload/base/config.h"
#include "offload/base/lock.h"
#include "offload/base/log.h"
#include "offload/base/stats.h"
#include "offload/mem/device.h"
#include "offload/mem/residency.h"
#include "offload/op/operand.h"
#include "offload/op/stage.h"

/* Before the calibration is known: 2 x 80^3, worth opening the library for. */
#define MIN_WORK_GUESS 1000000
/* Levels 1 and 2, where the host has reference BLAS: some 30 us of it. */
#define STREAMING_WORK 100000
#define REFERENCE_SPEED 10
/* A fork waits this long for operations. One that has not ended by then was left by longjmp, or waits for a lock that
 * the forking thread holds: the fork goes on, and the child computes on the host. */
#define GATE_PATIENCE_NS 10000000000ull

__thread int cdm_inside;
_Atomic uint64_t cdm_min_work[CDM_LEVELS] = {UINT64_MAX, UINT64_MAX};
const struct cdm_routine *cdm_routines;
int cdm_routine_count;

static const struct cdm_policy *policy;

void cdm_engine_routines(const struct cdm_routine *table, int count)
{
	cdm_routines = table;
	cdm_routine_count = count < CDM_MAX_ROUTINES ? count : CDM_MAX_ROUTINES;
}

/* ---- the gate ---- */

static _Atomic int in_flight, gate_closed;
static __thread int in_flight_here;
static int given_up;            /* operations that a fork has waited for in vain; guarded by the gate */
static __thread bool gate_mine; /* this thread closed it */

static void op_leave(void)
{
	atomic_fetch_sub(&in_flight, 1);
	in_flight_here--; /* after: a handler that forks in between must not wait for itself */
	if (atomic_load(&gate_closed))
		cdm_futex_wake(&in_flight, INT_MAX);
}

static void op_enter(void)
{
	for (;;) {
		in_flight_here++;
		atomic_fetch_add(&in_flight, 1);
		/* A handler of a thread that forks, or that is in an operation, must not wait for its own thread. */
		if (!atomic_load(&gate_closed) || gate_mine || in_flight_here > 1)
			return;
		op_leave();
		cdm_futex_wait(&gate_closed, 1);
	}
}

void cdm_dispatch_fork_prepare(void)
{
	int seen, closed = 0;

	if (gate_mine)
		return;
	while (!atomic_compare_exchange_strong(&gate_closed, &closed, 1)) { /* another thread forks */
		cdm_futex_wait(&gate_closed, 1);
		closed = 0;
	}
	gate_mine = true;
	uint64_t begun = cdm_now_ns();
	while ((seen = atomic_load(&in_flight)) > in_flight_here + given_up && cdm_now_ns() - begun < GATE_PATIENCE_NS)
		cdm_futex_wait_ms(&in_flight, seen, 100);
	given_up = seen > in_flight_here ? seen - in_flight_here : 0; /* the next fork does not wait for these again */
}

bool cdm_dispatch_drained(void)
{
	return atomic_load(&in_flight) == 0;
}

void cdm_dispatch_fork_parent(void)
{
	gate_mine = false;
	atomic_store(&gate_closed, 0);
	cdm_futex_wake(&gate_closed, INT_MAX);
}

void cdm_dispatch_fork_child(void)
{
	gate_mine = false;
	atomic_store(&in_flight, in_flight_here);
	atomic_store(&gate_closed, 0);
	cdm_stage_after_fork();
}

/* ---- the compute library ---- */

enum { COMPUTE_UNKNOWN, COMPUTE_READY, COMPUTE_NONE, COMPUTE_BROKEN };
static _Atomic int compute_state;
static cdm_lock compute_lock;

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
	atomic_store(&cdm_stays_kind, 1);
	for (int i = 0; i < CDM_LEVELS; i++)
		atomic_store(&cdm_min_work[i], UINT64_MAX);
}

/* The calibrated crossover supposes a library as fast as the device's. Reference BLAS is an order of magnitude
 * slower (4.5 of 38 to 197 GFLOP/s, measured), and calls pay that much earlier; levels 1 and 2 pay only then. */
static void set_crossover(const struct cdm_call *call)
{
	bool slow = call && host_is_reference && host_is_reference(call->routine, call->site);
	double flops = cdm_device.compute->crossover();

	atomic_store(&cdm_min_work[CDM_LEVEL_MATRIX], (uint64_t)(slow ? flops / REFERENCE_SPEED : flops));
	if (slow)
		atomic_store(&cdm_min_work[CDM_LEVEL_VECTOR], STREAMING_WORK);
}

static void compute_open(const struct cdm_call *call)
{
	int r = cdm_device.compute->open();

	if (r) {
		cdm_log_once(CDM_LOG_INFO,
			     "no compute library can be opened (error %d): calls run on the program's own", -r);
		nothing_offloaded(CDM_DECLINE_NO_LIBRARY);
	} else if (cdm_config.min_work < 0) {
		set_crossover(call);
	}
	atomic_store(&compute_state, r ? COMPUTE_NONE : COMPUTE_READY);
}

/* Opens the library on first need. A second thread does not wait for the first: it may hold the loader's lock,
 * inside a constructor, and the first may need it. CDM_DECLINE_COUNT: ready. */
static enum cdm_decline compute_get(const struct cdm_call *call)
{
	if (atomic_load(&compute_state) == COMPUTE_UNKNOWN) {
		if (!cdm_lock_try(&compute_lock))
			return CDM_DECLINE_STARTING;
		if (atomic_load(&compute_state) == COMPUTE_UNKNOWN)
			compute_open(call);
		cdm_lock_drop(&compute_lock);
	}
	switch (atomic_load(&compute_state)) {
	case COMPUTE_READY:
		return CDM_DECLINE_COUNT;
	case COMPUTE_BROKEN:
		return CDM_DECLINE_FORK;
	default:
		return CDM_DECLINE_NO_LIBRARY;
	}
}

void *cdm_call_fallback(int routine)
{
	return compute_get(NULL) == CDM_DECLINE_COUNT ? cdm_device.compute->entry(routine) : NULL;
}

/* ---- one call ---- */

struct op {
	struct cdm_call *call;
	struct cdm_call *device; /* the call as the device sees it: the same, or staged */
	struct cdm_call staged;
	struct cdm_hold hold[CDM_MAX_OPERANDS];
	struct cdm_stage stage[CDM_MAX_OPERANDS];
	struct cdm_call_facts facts;
	struct cdm_decision decision;
};

/* Workspace, and results of less than a page, are used where they are: not worth a search for what they belong to. */
static bool is_minor(const struct cdm_operand *o)
{
	return o->scratch || (o->ld_arg == CDM_NO_ARG && cdm_operand_bytes(o) < CDM_PAGE);
}

/* False: an operand must not be touched as the call would. */
static bool facts_gather(struct op *op)
{
	const struct cdm_call *c = op->call;
	struct cdm_call_facts *f = &op->facts;

	f->flops = c->flops;
	f->min_work = (double)atomic_load_explicit(&cdm_min_work[c->level], memory_order_relaxed);
	f->capacity = cdm_device.mem->capacity();
	f->in_use = cdm_device.mem->in_use();
	f->coherent = cdm_device.mem->coherent;
	f->streaming = c->level == CDM_LEVEL_VECTOR;
	f->operands = c->operands;
	for (int i = 0; i < c->operands; i++) {
		const struct cdm_operand *o = &c->op[i];
		f->op[i].bytes = cdm_operand_bytes(o);
		f->op[i].reads = (o->access & CDM_R) != 0;
		f->op[i].writes = (o->access & CDM_W) != 0;
		f->op[i].scratch = o->scratch;
		if (f->coherent && is_minor(o))
			continue;
		if (!cdm_residency_survey((uintptr_t)o->base, cdm_operand_extent(o), f->op[i].writes, &op->hold[i],
					  &f->op[i]))
			return false;
	}
	return true;
}

/* Makes the device's call use operand i's stage, which is packed. */
static void use_staged(struct op *op, int i)
{
	const struct cdm_operand *o = &op->stage[i].device;
	struct cdm_call *d = &op->staged;

	if (op->device != d) {
		*d = *op->call;
		op->device = d;
	}
	d->op[i] = *o;
	d->arg[o->arg] = o->base;
	if (o->ld_arg == CDM_NO_ARG)
		return;
	d->n[o->ld_arg] = op->call->n[o->ld_arg] < 0 ? -o->ld : o->ld;
	d->arg[o->ld_arg] = &d->n[o->ld_arg];
}

/* Brings operand i to where the decision says; on a coherent device what cannot move is used in place. */
static int operand_place(struct op *op, int i)
{
	const struct cdm_operand *o = &op->call->op[i];
	enum cdm_place place = op->decision.op[i];

	if (place == CDM_PLACE_COPY) {
		int r = cdm_stage_in(&op->stage[i], o, policy);
		if (!r)
			use_staged(op, i);
		return r;
	}
	if (place == CDM_PLACE_MOVE && op->hold[i].region && !cdm_residency_acquire(&op->hold[i], policy))
		return 0;
	cdm_residency_hold(&op->hold[i]);
	cdm_count(&cdm_stats.in_place, cdm_operand_bytes(o));
	return op->facts.coherent ? 0 : -ENOSPC;
}

static void operands_drop(struct op *op, bool used)
{
	for (int i = 0; i < op->call->operands; i++) {
		if (op->stage[i].buffer && used)
			cdm_stage_out(&op->stage[i], &op->call->op[i]);
		cdm_stage_drop(&op->stage[i]);
		cdm_residency_release(&op->hold[i], used);
	}
}

static enum cdm_decline operands_place(struct op *op)
{
	for (int i = 0; i < op->call->operands; i++)
		if (operand_place(op, i)) {
			operands_drop(op, false);
			return CDM_DECLINE_NO_MEMORY;
		}
	return CDM_DECLINE_COUNT;
}

static enum cdm_decline op_execute(struct op *op, struct cdm_routine_stats *stats)
{
	uint64_t t0 = cdm_now_ns();
	enum cdm_decline no = operands_place(op);

	if (no != CDM_DECLINE_COUNT)
		return no;
	uint64_t t1 = cdm_now_ns();
	int r = cdm_device.compute->run(op->device);
	uint64_t t2 = cdm_now_ns();
	operands_drop(op, r == 0);
	if (r)
		return CDM_DECLINE_FAILED;
	op->call->result = op->device->result;
	bool staged = op->decision.op[0] == CDM_PLACE_COPY;
	cdm_count(&stats->offloaded, 1);
	cdm_count(&stats->device_ns, t2 - t1);
	cdm_count(&stats->move_ns, t1 - t0 + (staged ? cdm_now_ns() - t2 : 0));
	cdm_count(&stats->kiloflop, (uint64_t)(op->call->flops * 1e-3));
	return CDM_DECLINE_COUNT;
}

/* Field by field: what is large is not cleared. */
static void op_init(struct op *op, struct cdm_call *call)
{
	op->call = op->device = call;
	memset(op->hold, 0, (size_t)call->operands * sizeof(op->hold[0]));
	memset(op->stage, 0, (size_t)call->operands * sizeof(op->stage[0]));
	memset(&op->facts, 0, sizeof(op->facts));
}

static enum cdm_decline op_run(struct cdm_call *call)
{
	enum cdm_decline no = compute_get(call);

	if (no != CDM_DECLINE_COUNT)
		return no;
	if (!cdm_device.compute->supports(call->routine))
		return CDM_DECLINE_NO_ROUTINE;
	struct op op;
	op_init(&op, call);
	if (!facts_gather(&op))
		return CDM_DECLINE_PROTECTED;
	op.decision = policy->decide(&op.facts);
	if (op.decision.call == CDM_PLACE_HOST)
		return call->flops < op.facts.min_work ? CDM_DECLINE_SMALL : CDM_DECLINE_POLICY;
	return op_execute(&op, &cdm_stats.routine[call->routine]);
}

bool cdm_call_offload(struct cdm_call *call)
{
	struct cdm_shard *shard = cdm_shard();

	cdm_count(&shard->seen[call->routine], 1);
	op_enter();
	enum cdm_decline no = op_run(call);
	op_leave();
	if (no != CDM_DECLINE_COUNT)
		cdm_count(&shard->declined[no], 1);
	return no == CDM_DECLINE_COUNT;
}

void cdm_call_stays(int routine, enum cdm_stay why)
{
	static const enum cdm_decline reasons[] = {
		[CDM_STAY_INVALID] = CDM_DECLINE_INVALID,
		[CDM_STAY_QUICK] = CDM_DECLINE_QUICK,
		[CDM_STAY_FORM] = CDM_DECLINE_FORM,
	};
	struct cdm_shard *shard = cdm_shard();

	if (why == CDM_STAY_SMALL) {
		cdm_count_stay(routine);
		return;
	}
	cdm_count(&shard->seen[routine], 1);
	cdm_count(&shard->declined[reasons[why]], 1);
}

/* Large calls pass the gate on the host, too: OpenBLAS hangs when it is forked in the middle of a call, and the
 * program's own library may be that. */
uint64_t cdm_call_host_begin(void)
{
	op_enter();
	return cdm_now_ns();
}

void cdm_call_host_end(int routine, uint64_t begun)
{
	cdm_count(&cdm_stats.routine[routine].host_ns, cdm_now_ns() - begun);
	op_leave();
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
	else if (cdm_config.min_work < 0)
		atomic_store(&cdm_min_work[CDM_LEVEL_MATRIX], MIN_WORK_GUESS);
	else
		for (int i = 0; i < CDM_LEVELS; i++)
			atomic_store(&cdm_min_work[i], whole_flops(cdm_config.min_work));
}

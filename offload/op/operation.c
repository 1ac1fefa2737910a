/* The order in which a private device's operation gets its operands matters: a thread that holds a region must not touch the
 * program's memory, as the touch might wait for the region to be let go. So scalars are read and operands staged first,
 * regions acquired after, and when one is refused all are let go before anything is staged instead; results are staged
 * home when nothing is held any more.
 */
#include "offload/op/operation.h"

#include <errno.h>
#include <immintrin.h>
#include <string.h>

#include "offload/base/sys.h"
#include "offload/mem/device.h"
#include "offload/mem/recall.h"
#include "offload/mem/residency.h"
#include "offload/op/operand.h"
#include "offload/op/snapshot.h"
#include "offload/op/stage.h"

#define PATIENCE 50 /* times that a region wanted by the CPU is waited for */

struct op {
	struct cdm_caller *self;
	struct cdm_call *call;
	struct cdm_call *device; /* the call as the device sees it: the same, or with other addresses */
	struct cdm_call elsewhere;
	double scalar[CDM_MAX_ARGS][2];
	struct cdm_hold hold[CDM_MAX_OPERANDS];
	struct cdm_stage stage[CDM_MAX_OPERANDS];
	struct cdm_snapshot snapshot[CDM_MAX_OPERANDS];
	struct cdm_call_facts facts;
	struct cdm_decision decision;
};

/* Workspace, and results of less than a page, are used where they are: not worth a search for what they belong to. */
static bool is_minor(const struct cdm_operand *o)
{
	return o->scratch || (o->ld_arg == CDM_NO_ARG && cdm_operand_bytes(o) < CDM_PAGE);
}

static bool operand_survey(struct op *op, int i)
{
	const struct cdm_operand *o = &op->call->op[i];
	struct cdm_operand_facts *f = &op->facts.op[i];

	return cdm_residency_survey((uintptr_t)o->base, cdm_operand_extent(o), f->writes, &op->hold[i], f);
}

/* False: an operand must not be touched as the call would. */
static bool facts_gather(struct op *op, double min_work)
{
	const struct cdm_call *c = op->call;
	struct cdm_call_facts *f = &op->facts;

	f->flops = c->flops;
	f->min_work = min_work;
	f->capacity = cdm_device.mem->capacity();
	f->in_use = cdm_device.mem->in_use();
	f->coherent = cdm_device.mem->coherent;
	f->streaming = c->level == CDM_LEVEL_VECTOR;
	f->operands = c->operands;
	for (int i = 0; i < c->operands; i++) {
		const struct cdm_operand *o = &c->op[i];
		f->op[i] = (struct cdm_operand_facts){
			.bytes = cdm_operand_bytes(o),
			.reads = (o->access & CDM_R) != 0,
			.writes = (o->access & CDM_W) != 0,
			.scratch = o->scratch,
		};
		if (f->coherent && is_minor(o))
			continue;
		if (!operand_survey(op, i))
			return false;
	}
	return true;
}

bool cdm_operation_away(const struct cdm_call *call)
{
	if (cdm_device.mem->coherent)
		return false;
	for (int i = 0; i < call->operands; i++)
		if (cdm_residency_away((uintptr_t)call->op[i].base, cdm_operand_extent(&call->op[i])))
			return true;
	return false;
}

/* The device's call is a copy from now on. */
static struct cdm_call *device_call(struct op *op)
{
	if (op->device != &op->elsewhere) {
		op->elsewhere = *op->call;
		op->device = &op->elsewhere;
	}
	return op->device;
}

/* Makes the device's call use a view of operand i elsewhere: its stage, which is packed, or its image. */
static void use_view(struct op *op, int i, const struct cdm_operand *o)
{
	struct cdm_call *d = device_call(op);

	d->op[i] = *o;
	d->arg[o->arg] = o->base;
	if (o->ld_arg == CDM_NO_ARG)
		return;
	d->n[o->ld_arg] = op->call->n[o->ld_arg] < 0 ? -o->ld : o->ld;
	d->arg[o->ld_arg] = &d->n[o->ld_arg];
}

/* A private device gets its scalars by value. */
static void scalars_read(struct op *op)
{
	enum cdm_scalar type = (enum cdm_scalar)cdm_routines[op->call->routine].type;
	size_t size = cdm_scalar_size(type), real = cdm_scalar_complex(type) ? size / 2 : size;
	struct cdm_call *d = device_call(op);

	for (int i = 0; i < d->count; i++) {
		if ((d->args[i] != 'S' && d->args[i] != 'R') || !d->arg[i])
			continue;
		memcpy(op->scalar[i], d->arg[i], d->args[i] == 'S' ? size : real);
		d->arg[i] = op->scalar[i];
	}
}

/* Brings operand i to where the decision says; on a coherent device what cannot move is used in place. */
static int operand_place(struct op *op, int i, const struct cdm_policy *policy)
{
	const struct cdm_operand *o = &op->call->op[i];
	enum cdm_place place = op->decision.op[i];
	struct cdm_hold *hold = &op->hold[i];
	int r = 0;

	if (place == CDM_PLACE_COPY) {
		if (op->stage[i].buffer) /* since an earlier attempt */
			return 0;
		r = cdm_stage_in(&op->stage[i], o, policy);
		if (!r)
			use_view(op, i, &op->stage[i].device);
		return r;
	}
	if (place == CDM_PLACE_MOVE && hold->region) {
		r = cdm_residency_acquire(hold, policy);
		if (!r && !op->facts.coherent) {
			struct cdm_operand view = *o;
			view.base = cdm_residency_address(hold);
			use_view(op, i, &view);
		}
		if (!r || !op->facts.coherent)
			return r;
	}
	if (!op->facts.coherent)
		return -EPERM;
	cdm_residency_hold(hold);
	cdm_count_own(op->self, &op->self->in_place, cdm_operand_bytes(o));
	return 0;
}

/* Places what is staged, or what is not. Sets *at to the operand that is refused. */
static int operands_place(struct op *op, const struct cdm_policy *policy, bool staged, int *at)
{
	int r = 0;

	for (int i = 0; !r && i < op->call->operands; i++) {
		if ((op->decision.op[i] == CDM_PLACE_COPY) != staged)
			continue;
		*at = i;
		r = operand_place(op, i, policy);
	}
	return r;
}

static bool counted_before(const struct op *op, int i)
{
	for (int j = 0; j < i; j++)
		if (op->hold[j].region == op->hold[i].region)
			return true;
	return false;
}

static void operands_let_go(struct op *op)
{
	for (int i = 0; i < op->call->operands; i++)
		cdm_residency_release(&op->hold[i], NULL);
}

static void operands_used(struct op *op)
{
	struct cdm_use use = cdm_residency_use(op->call->flops), again = {.tick = use.tick};

	for (int i = 0; i < op->call->operands; i++)
		cdm_residency_release(&op->hold[i], counted_before(op, i) ? &again : &use);
}

/* Staged results go home. 0, or -EIO: one cannot be brought home. */
static int stages_end(struct op *op, bool used)
{
	int r = 0;

	for (int i = 0; i < op->call->operands; i++) {
		if (op->stage[i].buffer && used) {
			int e = cdm_stage_out(&op->stage[i], &op->call->op[i]);
			r = r ? r : e;
		}
		cdm_stage_drop(&op->stage[i]);
	}
	return r;
}

/* Gets every operand to its place. What a private device's mechanism refuses is staged. */
static enum cdm_decline op_place(struct op *op, const struct cdm_policy *policy)
{
	int at = 0, patience = PATIENCE;

	for (;;) {
		int r = operands_place(op, policy, true, &at);
		if (!r)
			r = operands_place(op, policy, false, &at);
		if (!r)
			return CDM_DECLINE_COUNT;
		operands_let_go(op);
		if (op->facts.coherent || op->decision.op[at] == CDM_PLACE_COPY) {
			stages_end(op, false);
			return r == -EIO ? CDM_DECLINE_FAILED : CDM_DECLINE_NO_MEMORY;
		}
		if (r == -EAGAIN && patience-- > 0)
			cdm_residency_wait_wanted(&op->hold[at]);
		else if (r != -ESTALE || patience-- <= 0 || !operand_survey(op, at))
			op->decision.op[at] = CDM_PLACE_COPY;
	}
}

/* ---- devices that fail ---- */

static void snapshots_drop(struct op *op)
{
	for (int i = 0; i < op->call->operands; i++)
		cdm_snapshot_drop(&op->snapshot[i]);
}

/* Keeps what the call overwrites and needs, where the program has no other copy. */
static int snapshots_take(struct op *op)
{
	int r = 0;

	for (int i = 0; !r && i < op->call->operands; i++)
		if (op->call->op[i].access == CDM_RW && !op->call->op[i].scratch && !op->stage[i].buffer)
			r = cdm_snapshot_take(&op->snapshot[i], &op->device->op[i]);
	if (r)
		snapshots_drop(op);
	return r;
}

static void snapshots_restore(struct op *op)
{
	for (int i = 0; i < op->call->operands; i++)
		cdm_snapshot_restore(&op->snapshot[i], &op->call->op[i]);
}

/* ---- one operation ---- */

/* A private device raises no floating-point signals: a handler would run while regions are held. */
static int compute(const struct op *op)
{
	unsigned control = _mm_getcsr();

	if (!op->facts.coherent)
		_mm_setcsr(control | _MM_MASK_MASK);
	int r = cdm_device.compute->run(op->device);
	if (!op->facts.coherent)
		_mm_setcsr(control);
	return r;
}

static int op_compute(struct op *op)
{
	bool fallible = cdm_device.compute->fallible;
	int r = fallible ? snapshots_take(op) : 0;

	if (r)
		return r;
	cdm_on_device++;
	r = compute(op);
	cdm_on_device--;
	return r;
}

/* Some operand may not be where the decision wants it: that takes time. What a private device refuses is not known before. */
static bool moves(const struct op *op)
{
	if (!op->facts.coherent)
		return true;
	for (int i = 0; i < op->call->operands; i++) {
		const struct cdm_operand_facts *f = &op->facts.op[i];

		if (op->decision.op[i] == CDM_PLACE_COPY ||
		    (op->decision.op[i] == CDM_PLACE_MOVE && f->resident < f->span))
			return true;
	}
	return false;
}

static void count(const struct op *op, uint64_t moving)
{
	struct cdm_caller *self = op->self;
	struct cdm_routine_stats *stats = &self->routine[op->call->routine];

	cdm_count_own(self, &stats->offloaded, 1);
	cdm_count_own(self, &stats->device_ns, op->device->device_ns);
	cdm_count_own(self, &stats->kiloflop, (uint64_t)(op->call->flops * 1e-3));
	cdm_count_own(self, &stats->move_ns, moving);
}

static enum cdm_decline op_execute(struct op *op, const struct cdm_policy *policy)
{
	bool timed = moves(op);
	uint64_t begun = timed ? cdm_now_ns() : 0;
	enum cdm_decline no = op_place(op, policy);

	if (no != CDM_DECLINE_COUNT)
		return no;
	uint64_t moving = timed ? cdm_now_ns() - begun : 0;
	int r = op_compute(op);
	if (r)
		operands_let_go(op);
	else
		operands_used(op);
	if (r == -EIO)
		snapshots_restore(op); /* the CPU does it, which may have to wait: nothing is held */
	snapshots_drop(op);
	begun = timed ? cdm_now_ns() : 0;
	int e = stages_end(op, r == 0);
	moving += timed ? cdm_now_ns() - begun : 0;
	if (r || e)
		return CDM_DECLINE_FAILED;
	op->call->result = op->device->result;
	count(op, moving);
	return CDM_DECLINE_COUNT;
}

/* Field by field: what is large is not cleared, nor what facts_gather() sets for each operand. */
static void op_init(struct op *op, struct cdm_call *call)
{
	op->self = cdm_caller_get();
	call->device_ns = 0;
	op->call = op->device = call;
	for (int i = 0; i < call->operands; i++) {
		op->hold[i] = (struct cdm_hold){0};
		op->stage[i].buffer = NULL;
		op->snapshot[i].memory = NULL;
	}
}

enum cdm_decline cdm_operation_run(struct cdm_call *call, const struct cdm_policy *policy, double min_work)
{
	struct op op;

	op_init(&op, call);
	if (!facts_gather(&op, min_work))
		return CDM_DECLINE_PROTECTED;
	op.decision = policy->decide(&op.facts);
	if (op.decision.call == CDM_PLACE_HOST)
		return call->flops < min_work ? CDM_DECLINE_SMALL : CDM_DECLINE_POLICY;
	if (!op.facts.coherent)
		scalars_read(&op);
	return op_execute(&op, policy);
}

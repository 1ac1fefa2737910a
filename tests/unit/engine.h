/* A working engine inside a unit test: the memory side for real, compute by a few plain loops, SIGSEGV as the shim
 * would route it. Each Criterion test is a process of its own, so there is nothing to undo. */
#ifndef CDM_TESTS_ENGINE_H
#define CDM_TESTS_ENGINE_H

#include <criterion/criterion.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

#include "offload/base/config.h"
#include "offload/base/stats.h"
#include "offload/mem/device.h"
#include "offload/mem/recall.h"
#include "offload/mem/region.h"
#include "offload/mem/residency.h"
#include "offload/offload.h"
#include "offload/op/dispatch.h"

static int loops_open(void)
{
	return 0;
}
static bool loops_supports(int routine)
{
	return routine >= 0;
}
static void *loops_entry(int routine)
{
	(void)routine;
	return NULL;
}
static const char *loops_describe(void)
{
	return "loops";
}
static double loops_crossover(void)
{
	return 0;
}
static bool loops_owns_thread(int tid)
{
	(void)tid;
	return false;
}
static void loops_nothing(void) {}

static double *at(const struct cdm_operand *o, int64_t i, int64_t j)
{
	return (double *)o->base + i + j * o->ld;
}

/* C = alpha A B + beta C, of dgemm's list without transposes */
static int loops_run(struct cdm_call *c)
{
	double alpha = *(const double *)c->arg[5], beta = *(const double *)c->arg[10];

	for (int64_t j = 0; j < c->n[3]; j++)
		for (int64_t i = 0; i < c->n[2]; i++) {
			double sum = 0;
			for (int64_t k = 0; k < c->n[4]; k++)
				sum += *at(&c->op[0], i, k) * *at(&c->op[1], k, j);
			double *to = at(&c->op[2], i, j);
			*to = alpha * sum + (beta == 0 ? 0 : beta * *to);
		}
	return 0;
}

static const struct cdm_compute_ops loops = {
	.open = loops_open,
	.supports = loops_supports,
	.run = loops_run,
	.entry = loops_entry,
	.owns_thread = loops_owns_thread,
	.describe = loops_describe,
	.crossover = loops_crossover,
	.fork_prepare = loops_nothing,
	.fork_child = loops_nothing,
};

static const struct cdm_routine routines[] = {{"dgemm", CDM_D}};

static void on_touch(int sig, siginfo_t *info, void *context)
{
	bool write = ((ucontext_t *)context)->uc_mcontext.gregs[REG_ERR] & 2;

	if (!cdm_recall_fault((uintptr_t)info->si_addr, write))
		signal(sig, SIG_DFL);
}

static void faults(int sig)
{
	struct sigaction sa = {.sa_sigaction = on_touch, .sa_flags = SA_SIGINFO};
	sigaction(sig, &sa, NULL);
}

static inline void engine_start_on(int device, int mechanism, int policy, size_t capacity)
{
	cdm_config.device = device;
	if (device == CDM_DEVICE_EMU_PRIVATE)
		cdm_device.mem = &cdm_mem_emu_private;
	cdm_config.mechanism = mechanism;
	cdm_config.policy = policy;
	cdm_config.min_work = 0;
	cdm_device.compute = &loops;
	cdm_device.mem->open(capacity);
	cdm_engine_routines(routines, 1);
	cdm_engine_on_faults(faults);
	cdm_dispatch_init();
	cdm_min_alloc = 1 << 20;
}

static inline void engine_start(int mechanism, int policy, size_t capacity)
{
	engine_start_on(CDM_DEVICE_EMU, mechanism, policy, capacity);
}

/* The call C = A B of n x n blocks with leading dimension ld. */
static inline struct cdm_call gemm(double *a, double *b, double *c, int64_t n, int64_t ld)
{
	static double one = 1, zero = 0;
	struct cdm_call call = {
		.args = "LLNNNSMNMNSMN",
		.returns = 'v',
		.count = 13,
		.letters = 2,
		.arg = {"N", "N", NULL, NULL, NULL, &one, a, NULL, b, NULL, &zero, c, NULL},
		.n = {0, 0, n, n, n, 0, 0, ld, 0, ld, 0, 0, ld},
		.operands = 3,
		.flops = 2.0 * (double)(n * n * n),
	};
	static const uint8_t arg[3] = {6, 8, 11};

	for (int i = 0; i < 3; i++)
		call.op[i] = (struct cdm_operand){.base = call.arg[arg[i]],
						  .rows = n,
						  .cols = n,
						  .ld = ld,
						  .elem = 8,
						  .access = i == 2 ? CDM_W : CDM_R,
						  .arg = arg[i],
						  .ld_arg = (uint8_t)(arg[i] + 1)};
	return call;
}

static inline const char *mechanism_name(int m)
{
	return m == CDM_MECHANISM_REMAP ? "remap" : "move";
}

#endif

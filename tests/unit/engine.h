/* A working engine inside a unit test: the memory side for real, compute by a few plain loops, SIGSEGV as the shim
 * would route it. Each Criterion test is a process of its own, so there is nothing to undo. */
#ifndef CDM_TESTS_ENGINE_H
#define CDM_TESTS_ENGINE_H

#include <criterion/criterion.h>
#include <math.h>
#include <signal.h>
#include <string.h>

#include "offload/base/config.h"
#include "offload/base/stats.h"
#include "offload/mem/device.h"
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
static void loops_nothing(void) {}

static double *at(const struct cdm_operand *o, int64_t i, int64_t j)
{
	return (double *)o->base + i + j * o->ld;
}

/* C = alpha A B + beta C */
static int loops_run(const struct cdm_call *c)
{
	for (int64_t j = 0; j < c->n; j++)
		for (int64_t i = 0; i < c->m; i++) {
			double sum = 0, beta = *(const double *)c->beta;
			for (int64_t k = 0; k < c->k; k++)
				sum += *at(&c->op[0], i, k) * *at(&c->op[1], k, j);
			double *to = at(&c->op[2], i, j);
			*to = *(const double *)c->alpha * sum + (beta == 0 ? 0 : beta * *to);
		}
	return 0;
}

static const struct cdm_compute_ops loops = {
	.open = loops_open,
	.supports = loops_supports,
	.run = loops_run,
	.entry = loops_entry,
	.describe = loops_describe,
	.crossover = loops_crossover,
	.fork_prepare = loops_nothing,
	.fork_child = loops_nothing,
};

static const struct cdm_routine routines[] = {{"dgemm", CDM_GEMM, CDM_D}, {NULL, 0, 0}};

static void on_segv(int sig, siginfo_t *info, void *context)
{
	(void)context;
	if (!cdm_residency_fault((uintptr_t)info->si_addr))
		signal(sig, SIG_DFL);
}

static void faults(void)
{
	struct sigaction sa = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO};
	sigaction(SIGSEGV, &sa, NULL);
}

static inline void engine_start(int mechanism, int policy, size_t capacity)
{
	cdm_config.device = CDM_DEVICE_EMU;
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

/* The call C = A B of n x n blocks with leading dimension ld. */
static inline struct cdm_call gemm(double *a, double *b, double *c, int64_t n, int64_t ld)
{
	static const double one = 1, zero = 0;
	struct cdm_call call = {.transa = 'N',
				.transb = 'N',
				.m = n,
				.n = n,
				.k = n,
				.alpha = &one,
				.beta = &zero,
				.operands = 3,
				.flops = 2.0 * (double)(n * n * n)};
	double *base[3] = {a, b, c};

	for (int i = 0; i < 3; i++)
		call.op[i] = (struct cdm_operand){
			.base = base[i], .rows = n, .cols = n, .ld = ld, .elem = 8, .access = i == 2 ? CDM_W : CDM_R};
	return call;
}

static inline const char *mechanism_name(int m)
{
	return m == CDM_MECHANISM_REMAP ? "remap" : "move";
}

#endif

/* Moving 2 MiB pages to the coherent device and home, beside a resident memcpy in the same round. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "offload/base/config.h"
#include "offload/base/stats.h"
#include "offload/mem/device.h"
#include "offload/mem/residency.h"
#include "offload/offload.h"
#include "offload/op/dispatch.h"

#define LEN ((size_t)256 << 20)
#define ROUNDS 9

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median(double *v)
{
	qsort(v, ROUNDS, sizeof(*v), ascending);
	return v[ROUNDS / 2];
}

static int fetch(void *p)
{
	struct cdm_hold hold;
	struct cdm_operand_facts facts;

	cdm_residency_survey((uintptr_t)p, LEN, true, &hold, &facts);
	int r = cdm_residency_acquire(&hold, cdm_policy_get(CDM_POLICY_FIRST_USE));
	struct cdm_use use = cdm_residency_use(1e6);
	cdm_residency_release(&hold, r ? NULL : &use);
	return r;
}

static double timed_copy(void *to, const void *from)
{
	uint64_t t = cdm_now_ns();
	memcpy(to, from, LEN);
	__asm__ volatile("" ::: "memory");
	return (double)(cdm_now_ns() - t);
}

static void rows(int mechanism, const char *name)
{
	double out[ROUNDS], home[ROUNDS];
	char *p = cdm_block_alloc(LEN, 1, false, NULL), *a = cdm_block_alloc(LEN, 1, false, NULL);
	char *b = cdm_block_alloc(LEN, 1, false, NULL);

	cdm_config.mechanism = mechanism;
	memset(p, 1, LEN);
	memset(a, 2, LEN);
	memset(b, 3, LEN);
	if (fetch(p) || strcmp(cdm_residency_mechanism(), name))
		exit(1);
	cdm_residency_home((uintptr_t)p, LEN);
	for (int i = 0; i < ROUNDS; i++) {
		double copy = timed_copy(a, b);
		uint64_t t0 = cdm_now_ns();
		fetch(p);
		uint64_t t1 = cdm_now_ns();
		cdm_residency_home((uintptr_t)p, LEN);
		uint64_t t2 = cdm_now_ns();
		copy = (copy + timed_copy(b, a)) / 2;
		out[i] = copy / (double)(t1 - t0);
		home[i] = copy / (double)(t2 - t1);
	}
	printf("ROW|move 256 MiB to the device (%s) / resident memcpy|>=|0.85|%.3f|x\n", name, median(out));
	printf("ROW|move 256 MiB home (%s) / resident memcpy|>=|0.85|%.3f|x\n", name, median(home));
}

/* A process of its own for each mechanism: it is chosen once. */
static void measure(int mechanism, const char *name)
{
	pid_t child = fork();

	if (child > 0) {
		waitpid(child, NULL, 0);
		return;
	}
	cdm_config.device = CDM_DEVICE_EMU;
	cdm_config.policy = CDM_POLICY_FIRST_USE;
	cdm_device.mem->open((size_t)1 << 30);
	cdm_dispatch_init();
	rows(mechanism, name);
	fflush(stdout);
	_exit(0);
}

int main(void)
{
	measure(CDM_MECHANISM_MOVE, "move");
	measure(CDM_MECHANISM_REMAP, "remap");
	return 0;
}

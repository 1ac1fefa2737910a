/* Failures on purpose: which calls fail, what they leave behind, and that all others do what the device does. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "offload/base/log.h"
#include "offload/dev/inject.h"
#include "tests/unit/capture.h"
#include "tests/unit/engine.h"

#include <criterion/parameterized.h>

#define N 24
#define LD 31

static struct cdm_device device;
static _Atomic int commits;
static int outs, homes, runs;

static int fake_commit(void *dva, size_t len)
{
	(void)dva;
	(void)len;
	commits++;
	return 0;
}
static int fake_out(void *dva, const void *host, size_t len)
{
	outs++;
	memcpy(dva, host, len);
	return 0;
}
static int fake_home(void *host, const void *dva, size_t len)
{
	homes++;
	memcpy(host, dva, len);
	return 0;
}
static int fake_charge(size_t bytes)
{
	return bytes > 100 ? -ENOSPC : 0;
}
static int fake_run(struct cdm_call *call)
{
	runs++;
	return loops_run(call);
}

static const struct cdm_mem_ops fake_mem = {
	.name = "fake", .commit = fake_commit, .copy_out = fake_out, .copy_home = fake_home, .charge = fake_charge};
static struct cdm_compute_ops fake_compute;

static void start(const char *spec)
{
	fake_compute = loops;
	fake_compute.run = fake_run;
	device = (struct cdm_device){&fake_mem, &fake_compute};
	cdm_inject_init(&device, spec);
}

/* Which of six calls failed, as a string: "..x..." is the third. All fail with error. */
static void pattern(const char *spec, int (*call)(void), int error, const char *want)
{
	char got[7] = "......";

	cdm_inject_init(&device, spec);
	for (int i = 0; i < 6; i++) {
		int r = call();
		cr_assert(r == 0 || r == error, "%s: %d", spec, r);
		got[i] = r ? 'x' : '.';
	}
	cr_assert_str_eq(got, want, "%s: %s", spec, got);
}

static int one_commit(void)
{
	return device.mem->commit(NULL, 4096);
}

static int one_copy(int (*copy)(void *to, const void *from, size_t len))
{
	unsigned char from[64], to[64];

	memset(from, 7, 64);
	memset(to, 9, 64);
	int r = copy(to, from, 64);
	for (int i = 0; i < 64; i++)
		cr_assert_eq(to[i], r == 0 ? 7 : i < 32 ? 0xa5 : 9);
	for (int i = 0; i < 64; i++)
		cr_assert_eq(from[i], 7);
	return r;
}
static int one_copy_out(void)
{
	return one_copy(device.mem->copy_out);
}
static int one_copy_home(void)
{
	return one_copy(device.mem->copy_home);
}
static int one_run(void)
{
	double m[3] = {2, 3, 0};
	struct cdm_call c = gemm(&m[0], &m[1], &m[2], 1, 1);
	int r = device.compute->run(&c);
	cr_assert(r || m[2] == 6);
	return r;
}

Test(inject, which_calls_fail)
{
	start(NULL);
	pattern("alloc:3", one_commit, -ENOMEM, "..x...");
	pattern("alloc:1", one_commit, -ENOMEM, "x.....");
	pattern("alloc:3+", one_commit, -ENOMEM, "..xxxx");
	pattern("alloc:1+", one_commit, -ENOMEM, "xxxxxx");
	pattern("alloc:7", one_commit, -ENOMEM, "......");
	pattern("copy-out:2", one_copy_out, -EIO, ".x....");
	pattern("copy-out:5+", one_copy_out, -EIO, "....xx");
	pattern("copy-home:6", one_copy_home, -EIO, ".....x");
	pattern("compute:4", one_run, -EIO, "...x..");
	pattern("compute:2+", one_run, -EIO, ".xxxxx");
	pattern("copy-out:1+,compute:1+,alloc:1+", one_copy_home, -EIO, "......");
	pattern("copy-home:1,compute:1+,alloc:1+", one_copy_out, -EIO, "......");
	pattern("copy-home:1,compute:1+,copy-out:2", one_commit, -ENOMEM, "......");
	pattern("copy-home:1+", one_copy_home, -EIO, "......"); /* malformed */
	pattern(NULL, one_copy_home, -EIO, "......");
}

/* A failed call did not reach the device; the rest of the tables is the device's own. */
Test(inject, stands_in_front)
{
	start("alloc:2,copy-out:1,copy-home:3,compute:2+");
	for (int i = 0; i < 4; i++) {
		(void)one_commit();
		(void)one_copy_out();
		(void)one_copy_home();
		(void)one_run();
	}
	cr_assert(commits == 3 && outs == 3 && homes == 3 && runs == 1);
	cr_assert_str_eq(device.mem->name, "fake");
	cr_assert_eq(device.mem->charge(100), 0);
	cr_assert_eq(device.mem->charge(101), -ENOSPC);
	cr_assert_eq(device.compute->describe, fake_compute.describe);
	cr_assert(device.compute->fallible);
	start("alloc:1"); /* the device in front of it may be another one by now */
	cr_assert_not(device.compute->fallible);
}

/* Every byte of a written operand that is the call's own is spoiled, and no other: not the padding, not the other
 * triangle, not what is only read. */
static void spoils(uint8_t access, char tri)
{
	double m[3][LD * N];
	unsigned char *c = (unsigned char *)m[2];
	struct cdm_call call = gemm(m[0], m[1], m[2], N, LD);

	memset(m, 1, sizeof(m));
	call.op[2].access = access;
	call.op[2].tri = tri;
	call.op[2].base = NULL; /* the device's address is the argument */
	cr_assert_eq(device.compute->run(&call), -EIO);
	for (size_t i = 0; i < 2 * sizeof(m[0]); i++)
		cr_assert_eq(((unsigned char *)m)[i], 1);
	for (int j = 0; j < N; j++)
		for (int i = 0; i < LD; i++) {
			bool owned = i < N && (tri != 'U' || i <= j) && (tri != 'L' || i >= j) && (access & CDM_W);
			for (int b = 0; b < 8; b++)
				cr_assert_eq(c[(i + j * LD) * 8 + b], owned ? 0xa5 : 1, "%d %d %c", i, j, tri);
		}
}

Test(inject, what_is_spoiled)
{
	start("compute:1+");
	for (int i = 0; i < 3; i++) {
		spoils(CDM_W, "\0UL"[i]);
		spoils(CDM_RW, "\0UL"[i]);
		spoils(CDM_R, "\0UL"[i]);
	}
	cr_assert_eq(runs, 0);
}

static _Atomic int struck;

static void *many(void *arg)
{
	(void)arg;
	for (int i = 0; i < 200000; i++)
		struck += device.mem->commit(NULL, 0) != 0;
	return NULL;
}

/* All threads' calls are counted: the last fails, and no other. */
Test(inject, threads)
{
	pthread_t t[4];

	start("alloc:800000");
	for (int i = 0; i < 4; i++)
		cr_assert_eq(pthread_create(&t[i], NULL, many, NULL), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	cr_assert_eq(struck, 1);
}

/* Nothing is said at the usual level. */
Test(inject, quiet)
{
	static struct capture said;

	start("alloc:1+");
	capture_begin(&said);
	cr_assert_eq(one_commit(), -ENOMEM);
	cr_assert_str_eq(capture_end(&said), "");
	cdm_log_level = CDM_LOG_INFO;
	capture_begin(&said);
	cr_assert_eq(one_commit(), -ENOMEM);
	cr_assert_str_eq(capture_end(&said), "libcdm: CDM_FAULT: allocation 2 fails\n");
}

/* ---- the engine with a device that fails ---- */

#define LINE 2500 /* leading dimension: three regions of their own */
#define SIDE 80
#define CALLS 5

struct cell {
	int device, mechanism, policy;
};

static double *matrix(void)
{
	double *m = cdm_block_alloc(SIDE * LINE * sizeof(double), 1, false, NULL);

	for (int i = 0; i < SIDE * LINE; i++)
		m[i] = i % 7 - 3;
	return m;
}

/* The program's call, whoever runs it: c = a b + beta c. */
static bool multiply_add(double *a, double *b, double *c, double *beta)
{
	struct cdm_call call = gemm(a, b, c, SIDE, LINE);

	call.arg[10] = beta;
	call.op[2].access = *beta == 0 ? CDM_W : CDM_RW;
	bool offloaded = cdm_call_offload(&call);
	if (!offloaded)
		loops_run(&call);
	return offloaded;
}

/* Every other call reads what the one before has written. Returns how many were offloaded; the result, with everything
 * around it, is in c. */
static int program(double *a, double *b, double *c)
{
	double one = 1, zero = 0;
	int offloaded = 0;

	for (int i = 0; i < CALLS; i++) {
		offloaded += multiply_add(a, b, c, i % 2 ? &zero : &one);
		c[i * LINE] += 1; /* and the CPU has its share */
	}
	return offloaded;
}

static void faulty(const struct cell *cell, const char *spec, const double *want)
{
	double *m[3] = {matrix(), matrix(), matrix()};

	cdm_inject_init(&cdm_device, spec);
	uint64_t failed = cdm_stats_declined(CDM_DECLINE_FAILED);
	int offloaded = program(m[0], m[1], m[2]);
	failed = cdm_stats_declined(CDM_DECLINE_FAILED) - failed;
	for (int i = 0; i < SIDE * LINE; i++)
		cr_assert(m[0][i] == i % 7 - 3 && m[1][i] == i % 7 - 3 && m[2][i] == want[i],
			  "%d, %s, %d: %s: [%d] %g %g", cell->device, mechanism_name(cell->mechanism), cell->policy,
			  spec, i, m[2][i], want[i]);
	if (!spec)
		cr_assert_eq(offloaded, CALLS);
	else if (!strncmp(spec, "compute:1+", 10))
		cr_assert(offloaded == 0 && failed == CALLS);
	else if (!strncmp(spec, "compute:", 8))
		cr_assert(offloaded == CALLS - 1 && failed == 1, "%s: %d %d", spec, offloaded, (int)failed);
	for (int i = 0; i < 3; i++)
		cdm_block_free(m[i]);
	cdm_inject_init(&cdm_device, NULL);
}

ParameterizedTestParameters(inject, data_stays_whole)
{
	static struct cell cells[] = {
		{CDM_DEVICE_EMU, CDM_MECHANISM_MOVE, CDM_POLICY_FIRST_USE},
		{CDM_DEVICE_EMU, CDM_MECHANISM_REMAP, CDM_POLICY_FIRST_USE},
		{CDM_DEVICE_EMU_PRIVATE, CDM_MECHANISM_MOVE, CDM_POLICY_FIRST_USE},
		{CDM_DEVICE_EMU_PRIVATE, CDM_MECHANISM_REMAP, CDM_POLICY_FIRST_USE},
		{CDM_DEVICE_EMU, CDM_MECHANISM_AUTO, CDM_POLICY_COPY},
		{CDM_DEVICE_EMU_PRIVATE, CDM_MECHANISM_AUTO, CDM_POLICY_COPY},
	};
	return cr_make_param_array(struct cell, cells, sizeof(cells) / sizeof(cells[0]));
}

/* Whatever fails, and whenever: the program's data is as it would be without a device. */
ParameterizedTest(struct cell *cell, inject, data_stays_whole, .timeout = 120)
{
	static const char *const specs[] = {
		NULL,
		"compute:1",
		"compute:2",
		"compute:1+",
		"compute:3",
		"alloc:1+",
		"copy-out:1+",
		"compute:1+,copy-out:4+",
		"compute:1+,copy-home:2",
		"compute:2,copy-home:1",
		"alloc:3+,copy-out:3,copy-home:1,compute:2+",
	};
	static const char *const kinds[] = {"alloc", "copy-out", "copy-home"};
	static double want[SIDE * LINE];
	double *a = malloc(sizeof(want));

	for (int i = 0; i < SIDE * LINE; i++)
		a[i] = want[i] = i % 7 - 3;
	for (int i = 0; i < CALLS; i++) {
		double beta = i % 2 ? 0 : 1;
		struct cdm_call call = gemm(a, a, want, SIDE, LINE);
		call.arg[10] = &beta;
		loops_run(&call);
		want[i * LINE] += 1;
	}
	free(a);
	engine_start_on(cell->device, cell->mechanism, cell->policy, (size_t)64 << 20);
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++)
		faulty(cell, specs[i], want);
	for (int kind = 0; kind < 3; kind++)
		for (int n = 1; n <= 12; n++) {
			char spec[32];
			snprintf(spec, sizeof(spec), "%s:%d", kinds[kind], n);
			faulty(cell, spec, want);
		}
	faulty(cell, NULL, want); /* as good as new */
}

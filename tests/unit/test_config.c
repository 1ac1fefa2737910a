/* Every variable: good values, bad values, and what is said about them. */
#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysinfo.h>

#include "offload/base/config.h"
#include "offload/base/config_parse.h"
#include "offload/base/fmt.h"
#include "offload/base/log.h"
#include "tests/unit/capture.h"

#define MiB ((uint64_t)1 << 20)

static struct capture said;

/* Reads the configuration from at most two settings; returns what was said on stderr. */
static const char *configure(const char *a, const char *b)
{
	char *envp[] = {(char *)"HOME=/", (char *)a, (char *)b, NULL};
	cdm_log_level = CDM_LOG_WARN;
	capture_begin(&said);
	cdm_config_read(envp);
	return capture_end(&said);
}

static void quiet(const char *setting)
{
	cr_assert_str_eq(configure(setting, NULL), "", "%s: %s", setting, said.text);
}

/* One line that holds all of the words. */
static void warned(const char *setting, const char *w1, const char *w2, const char *w3)
{
	const char *text = configure(setting, NULL);
	cr_assert_eq(lines_of(text), 1, "%s: %s", setting, text);
	cr_assert(strstr(text, w1) && strstr(text, w2) && strstr(text, w3), "%s: %s", setting, text);
	cr_assert(!strncmp(text, "libcdm: ", 8));
}

Test(config, defaults)
{
	struct sysinfo si;
	quiet(NULL);
	sysinfo(&si);
	uint64_t quarter = (uint64_t)si.totalram * si.mem_unit / 4;
	cr_assert_eq(cdm_config.device, CDM_DEVICE_EMU);
	cr_assert_eq(cdm_config.device_mem, quarter / (2 * MiB) * (2 * MiB));
	cr_assert_eq(cdm_config.policy, CDM_POLICY_ADAPTIVE);
	cr_assert_eq(cdm_config.min_work, CDM_MIN_WORK_AUTO);
	cr_assert_eq(cdm_config.min_alloc, MiB);
	cr_assert_eq(cdm_config.threads, 0);
	cr_assert_eq(cdm_config.mechanism, CDM_MECHANISM_AUTO);
	cr_assert_eq(cdm_config.log, CDM_LOG_WARN);
	cr_assert_null(cdm_config.blas);
	cr_assert_null(cdm_config.report);
	cr_assert_null(cdm_config.trace);
	cr_assert_null(cdm_config.fault);
	cdm_config_read(NULL);
	cr_assert_eq(cdm_config.policy, CDM_POLICY_ADAPTIVE);
}

Test(config, words)
{
	quiet("CDM_DEVICE=none");
	cr_assert_eq(cdm_config.device, CDM_DEVICE_NONE);
	quiet("CDM_POLICY=never");
	cr_assert_eq(cdm_config.policy, CDM_POLICY_NEVER);
	quiet("CDM_POLICY=copy");
	cr_assert_eq(cdm_config.policy, CDM_POLICY_COPY);
	quiet("CDM_POLICY=first-use");
	cr_assert_eq(cdm_config.policy, CDM_POLICY_FIRST_USE);
	quiet("CDM_POLICY=in-place");
	cr_assert_eq(cdm_config.policy, CDM_POLICY_IN_PLACE);
	quiet("CDM_POLICY=adaptive");
	cr_assert_eq(cdm_config.policy, CDM_POLICY_ADAPTIVE);
	quiet("CDM_MECHANISM=remap");
	cr_assert_eq(cdm_config.mechanism, CDM_MECHANISM_REMAP);
	quiet("CDM_CONTROL=off");
	cr_assert_eq(cdm_config.control, 0);
	quiet("CDM_TOUCH=thread");
	cr_assert_eq(cdm_config.touch, CDM_TOUCH_THREAD);
	quiet("CDM_LOG=debug");
	cr_assert_eq(cdm_log_level, CDM_LOG_DEBUG);
	quiet("CDM_POLICY=");
	cr_assert_eq(cdm_config.policy, CDM_POLICY_ADAPTIVE);
}

Test(config, malformed)
{
	warned("CDM_DEVICE=foo", "CDM_DEVICE=foo", "emu, emu:private, none", "using the default, emu");
	warned("CDM_DEVICE_MEM=banana", "CDM_DEVICE_MEM=banana", "percentage of RAM", "using the default, 25%");
	warned("CDM_POLICY=Never", "CDM_POLICY=Never", "adaptive, first-use, in-place, copy, never",
	       "using the default, adaptive");
	warned("CDM_MIN_WORK=-1", "CDM_MIN_WORK=-1", "flops", "auto");
	warned("CDM_MIN_ALLOC=100", "CDM_MIN_ALLOC=100", "4K", "1M");
	warned("CDM_THREADS=two", "CDM_THREADS=two", "1 to 1024", "auto");
	warned("CDM_THREADS=0", "CDM_THREADS=0", "1 to 1024", "auto");
	warned("CDM_MECHANISM=mov", "CDM_MECHANISM=mov", "auto, move, remap", "auto");
	warned("CDM_CONTROL=maybe", "CDM_CONTROL=maybe", "on, off", "on");
	warned("CDM_TOUCH=cpu", "CDM_TOUCH=cpu", "signal, thread", "signal");
	warned("CDM_FAULT=compute", "CDM_FAULT=compute", "copy-home:N", "using the default");
	warned("CDM_LOG=loud", "CDM_LOG=loud", "error, warn, info, debug", "warn");
	warned("CDM_DEVICE=a\nb\x1b[1m", "CDM_DEVICE=a?b?[1m", "emu, emu:private, none", "emu");
	cr_assert_eq(cdm_config.device, CDM_DEVICE_EMU);
}

Test(config, agreed_but_not_built)
{
	warned("CDM_DEVICE=numa:1", "CDM_DEVICE=numa:1", "emu, emu:private, none", "using emu");
	warned("CDM_DEVICE=cuda:0", "CDM_DEVICE=cuda:0", "emu, emu:private, none", "using emu");
	warned("CDM_DEVICE=cuda:", "CDM_DEVICE=cuda:", "not understood", "using the default, emu");
	cr_assert_eq(cdm_config.device, CDM_DEVICE_EMU);
	warned("CDM_TRACE=/tmp/t.json", "CDM_TRACE=/tmp/t.json", "timeline", "not available in this build");
}

Test(config, unknown_names)
{
	warned("CDM_POLCY=never", "CDM_POLCY", "nearest", "CDM_POLICY");
	warned("CDM_REPROT=x", "CDM_REPROT", "nearest", "CDM_REPORT");
	warned("CDM_MINWORK=0", "CDM_MINWORK", "nearest", "CDM_MIN_WORK");
	warned("CDM_DEVICE_ME=1M", "CDM_DEVICE_ME", "nearest", "CDM_DEVICE_MEM");
	warned("CDM_=1", "CDM_", "nearest", "CDM_");
	quiet("CDMX=1");
	quiet("CDM_POLCY=");
	quiet("CDM_NOVALUE");
}

/* The level applies to the warnings about the other variables, wherever it stands. */
Test(config, log_level_is_read_first)
{
	cr_assert_str_eq(configure("CDM_DEVICE=foo", "CDM_LOG=error"), "");
	cr_assert_str_eq(configure("CDM_POLCY=x", "CDM_LOG=error"), "");
}

Test(config, first_of_two_counts)
{
	cr_assert_str_eq(configure("CDM_POLICY=copy", "CDM_POLICY=never"), "");
	cr_assert_eq(cdm_config.policy, CDM_POLICY_COPY);
}

Test(config, strings_are_copies)
{
	char blas[] = "CDM_BLAS=libblis.so.4", report[] = "CDM_REPORT=out/%p.json", cwd[4096], want[4200];
	configure(blas, report);
	memset(blas, 'x', sizeof(blas) - 1);
	memset(report, 'x', sizeof(report) - 1);
	cr_assert_str_eq(cdm_config.blas, "libblis.so.4");
	snprintf(want, sizeof(want), "%s/out/%%p.json", getcwd(cwd, sizeof(cwd)));
	cr_assert_str_eq(cdm_config.report, want);
	quiet("CDM_REPORT=stderr");
	cr_assert_str_eq(cdm_config.report, "stderr");
	quiet("CDM_REPORT=/a/b");
	cr_assert_str_eq(cdm_config.report, "/a/b");
	cr_assert_null(cdm_config.blas);
	char fault[] = "CDM_FAULT=alloc:1";
	configure(fault, NULL);
	memset(fault, 'x', sizeof(fault) - 1);
	cr_assert_str_eq(cdm_config.fault, "alloc:1");
	quiet("CDM_BLAS=./lib.so");
	snprintf(want, sizeof(want), "%s/./lib.so", cwd);
	cr_assert_str_eq(cdm_config.blas, want);
}

Test(config, sizes)
{
	static const struct {
		const char *text;
		uint64_t bytes; /* UINT64_MAX: refused */
	} cases[] = {
		{"0", 0},
		{"512", 512},
		{"512M", 512 * MiB},
		{"4G", 4096 * MiB},
		{"4g", 4096 * MiB},
		{"1K", 1024},
		{"2T", 2 * MiB * MiB},
		{"4GB", 4096 * MiB},
		{"4GiB", 4096 * MiB},
		{"7B", 7},
		{"1.5G", 1536 * MiB},
		{"0.5K", 512},
		{"16777215T", (UINT64_MAX >> 40) << 40},
		{"16777216T", UINT64_MAX},
		{"18446744073709551610", UINT64_MAX - 5},
		{"18446744073709551616", UINT64_MAX},
		{"99999999999999999999999", UINT64_MAX},
		{"", UINT64_MAX},
		{"M", UINT64_MAX},
		{".", UINT64_MAX},
		{"-1", UINT64_MAX},
		{"+1", UINT64_MAX},
		{" 1", UINT64_MAX},
		{"1 ", UINT64_MAX},
		{"1MM", UINT64_MAX},
		{"1X", UINT64_MAX},
		{"1Mi", UINT64_MAX},
		{"1iB", UINT64_MAX},
		{"1e3", UINT64_MAX},
		{"0x10", UINT64_MAX},
		{"1.2.3", UINT64_MAX},
		{"25%", UINT64_MAX},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t v = UINT64_MAX;
		int err = cdm_parse_size(cases[i].text, &v);
		cr_assert_eq(v, cases[i].bytes, "%s", cases[i].text);
		cr_assert_eq(err != 0, cases[i].bytes == UINT64_MAX, "%s", cases[i].text);
	}
}

Test(config, shares)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} cases[] = {
		{"25%", 250},      {"100%", 1000},       {"0.1%", 1},          {"12.5%", 125},
		{"3K", 3072},      {"0%", UINT64_MAX},   {"101%", UINT64_MAX}, {"100.1%", UINT64_MAX},
		{"%", UINT64_MAX}, {"25%%", UINT64_MAX}, {"25 %", UINT64_MAX}, {"-5%", UINT64_MAX},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t v = UINT64_MAX;
		(void)cdm_parse_share(cases[i].text, 1000, &v);
		cr_assert_eq(v, cases[i].bytes, "%s", cases[i].text);
	}
}

Test(config, device_mem_is_a_multiple_of_2M)
{
	quiet("CDM_DEVICE_MEM=5M");
	cr_assert_eq(cdm_config.device_mem, 4 * MiB);
	quiet("CDM_DEVICE_MEM=1");
	cr_assert_eq(cdm_config.device_mem, 2 * MiB);
	quiet("CDM_DEVICE_MEM=3G");
	cr_assert_eq(cdm_config.device_mem, 3072 * MiB);
	warned("CDM_DEVICE_MEM=129T", "CDM_DEVICE_MEM=129T", "128T", "25%");
}

Test(config, numbers)
{
	static const struct {
		const char *text;
		double v; /* < 0: refused */
	} cases[] = {
		{"0", 0},
		{"1e6", 1e6},
		{"1E+6", 1e6},
		{"2.5e-1", 0.25},
		{"1000000", 1e6},
		{"0.5", 0.5},
		{"1e300", 1e300},
		{"0e99999", 0},
		{"1e400", -1},
		{"1e", -1},
		{"e6", -1},
		{"1e6x", -1},
		{"inf", -1},
		{"nan", -1},
		{"-1", -1},
		{"", -1},
		{"1e-9999999999999", 0},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		double v = -1;
		(void)cdm_parse_number(cases[i].text, &v);
		cr_assert(fabs(v - cases[i].v) <= 1e-14 * fabs(v), "%s: %g", cases[i].text, v);
	}
	quiet("CDM_MIN_WORK=0");
	cr_assert_eq(cdm_config.min_work, 0);
	quiet("CDM_MIN_WORK=1e6");
	cr_assert_eq(cdm_config.min_work, 1e6);
	quiet("CDM_THREADS=3");
	cr_assert_eq(cdm_config.threads, 3);
}

Test(config, faults)
{
	static const char *const bad[] = {"",
					  "alloc",
					  "alloc:",
					  "alloc:0",
					  "alloc:0+",
					  "alloc:-1",
					  "alloc:1x",
					  "alloc:1++",
					  "alloc:+",
					  "alloc: 1",
					  " alloc:1",
					  "Alloc:1",
					  "copy:1",
					  ":1",
					  "alloc:1,",
					  ",alloc:1",
					  "alloc:1,,compute:1",
					  "copy-home:1+",
					  "alloc:1,alloc:2",
					  "alloc:1;compute:2",
					  "alloc:1 compute:2",
					  "alloc:1+2",
					  "copy-home:5,copy-home:6",
					  "alloc:9999999999999999999",
					  "compute:1,alloc:"};
	struct cdm_fault_rule r[CDM_FAULT_OPS];

	cr_assert_eq(cdm_config_faults("compute:3+,copy-home:2,alloc:17,copy-out:1+", r), 0);
	cr_assert(r[CDM_FAULT_COMPUTE].first == 3 && r[CDM_FAULT_COMPUTE].onwards);
	cr_assert(r[CDM_FAULT_COPY_HOME].first == 2 && !r[CDM_FAULT_COPY_HOME].onwards);
	cr_assert(r[CDM_FAULT_ALLOC].first == 17 && !r[CDM_FAULT_ALLOC].onwards);
	cr_assert(r[CDM_FAULT_COPY_OUT].first == 1 && r[CDM_FAULT_COPY_OUT].onwards);
	cr_assert_eq(cdm_config_faults("compute:999999999999999999", r), 0);
	cr_assert(r[CDM_FAULT_COMPUTE].first == 999999999999999999u && !r[CDM_FAULT_COMPUTE].onwards);
	cr_assert(!r[CDM_FAULT_ALLOC].first && !r[CDM_FAULT_COPY_OUT].first && !r[CDM_FAULT_COPY_HOME].first);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cr_assert_eq(cdm_config_faults(bad[i], r), -EINVAL, "%s", bad[i]);
		cr_assert(r[CDM_FAULT_COMPUTE].first == 999999999999999999u && !r[CDM_FAULT_ALLOC].first, "%s", bad[i]);
	}
	warned("CDM_FAULT=copy-home:1+", "CDM_FAULT=copy-home:1+", "but for copy-home", "using the default");
	cr_assert_null(cdm_config.fault);
	quiet("CDM_FAULT=copy-home:1,compute:2+");
	cr_assert_str_eq(cdm_config.fault, "copy-home:1,compute:2+");
	quiet("CDM_FAULT=");
	cr_assert_null(cdm_config.fault);
}

Test(config, distance)
{
	cr_assert_eq(cdm_edit_distance("", ""), 0);
	cr_assert_eq(cdm_edit_distance("kitten", "sitting"), 3);
	cr_assert_eq(cdm_edit_distance("", "abc"), 3);
	char a[200];
	memset(a, 'a', 199);
	a[199] = 0;
	cr_assert_eq(cdm_edit_distance(a, ""), 63);
	cr_assert_eq(cdm_edit_distance(a, a), 0);
}

Test(config, print)
{
	char b[8192];
	struct cdm_text t;
	quiet("CDM_MIN_WORK=1e6");
	cdm_text_init(&t, b, sizeof(b));
	cdm_config_print(&t, 0);
	cr_assert_not(t.cut);
	cr_assert_eq(lines_of(b), 15);
	cr_assert_not_null(strstr(b, "CDM_MIN_WORK   1000000"));
	cdm_text_init(&t, b, sizeof(b));
	cdm_config_print(&t, 1);
	cr_assert_not(t.cut);
	cr_assert_lt(t.len, 4096);
	cr_assert_eq(lines_of(b), 17);
	cr_assert_not_null(strstr(b, "| `CDM_DEVICE_MEM` |"));
}

/* Random bytes and mutations of good values: one line each at most, and a configuration in range. */
Test(config, random_values, .timeout = 120)
{
	static const char *const names[] = {"CDM_DEVICE",    "CDM_DEVICE_MEM", "CDM_POLICY",    "CDM_MIN_WORK",
					    "CDM_MIN_ALLOC", "CDM_THREADS",    "CDM_MECHANISM", "CDM_LOG",
					    "CDM_FAULT",     "CDM_X"};
	static const char alphabet[] = "0123456789.%eE+-kKmMgGtTiB:emunoaudcr,pyhl \t\n\xff\x80";
	unsigned seed = getenv("TEST_SEED") ? (unsigned)strtoul(getenv("TEST_SEED"), NULL, 0) : 42;
	printf("TEST_SEED=%u\n", seed);
	srand(seed);
	for (int i = 0; i < 20000; i++) {
		char setting[128];
		int n = sprintf(setting, "%s=", names[rand() % 10]), more = rand() % (i % 100 ? 9 : 100);
		while (more--)
			setting[n++] = alphabet[(size_t)rand() % (sizeof(alphabet) - 1)];
		setting[n] = 0;
		cr_assert_leq(lines_of(configure(setting, NULL)), 1, "%s: %s", setting, said.text);
		cr_assert(cdm_config.device_mem >= 2 * MiB && cdm_config.device_mem % (2 * MiB) == 0 &&
			  cdm_config.device_mem <= (uint64_t)128 << 40);
		cr_assert(cdm_config.min_alloc >= 4096 && cdm_config.threads >= 0 && cdm_config.threads <= 1024);
		cr_assert(cdm_config.min_work == CDM_MIN_WORK_AUTO ||
			  (cdm_config.min_work >= 0 && isfinite(cdm_config.min_work)));
	}
}

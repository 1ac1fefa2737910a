/* The cdm command. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "offload/base/config.h"
#include "offload/base/fmt.h"
#include "offload/base/version.h"
#include "tools/bench/faults.h"
#include "tools/calibrate.h"
#include "tools/control.h"
#include "tools/run.h"

static const char usage[] = "usage: cdm run [-o VAR=VALUE]... [--] program [argument]...\n"
			    "                         run a program with libcdm.so preloaded and CDM_VAR set\n"
			    "       cdm env [--markdown]\n"
			    "                         the CDM_* variables: value in force, default, meaning\n"
			    "       cdm calibrate     measure the BLAS libraries again; print and keep the choice\n"
			    "       cdm bench faults [--quick] [--all] [--threads N] [--only NAME,...] [--json FILE]\n"
			    "                         measure page faults and page migration on this machine\n"
			    "       cdm offline PID   take the device from a running program; its data comes home\n"
			    "       cdm online PID    give it back\n"
			    "       cdm status PID    how a running program uses the device\n"
			    "       cdm --help | --version\n";

static int misused(const char *verb, const char *argument)
{
	fprintf(stderr, "cdm: %s: unexpected argument '%s' (see cdm --help)\n", verb, argument);
	return 2;
}

static int show_environment(int argc, char **argv)
{
	static char text[64 << 10];
	struct cdm_text t;
	int markdown = argc > 1 && !strcmp(argv[1], "--markdown");

	if (argc > 1 + markdown)
		return misused("env", argv[1 + markdown]);
	cdm_config_read(environ);
	cdm_text_init(&t, text, sizeof(text));
	cdm_config_print(&t, markdown);
	fputs(text, stdout);
	return fflush(stdout) ? 1 : 0;
}

static int calibrate_for_parent(int argc, char **argv)
{
	const char *want = NULL;
	int threads = 0;

	for (int i = 2; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--threads"))
			threads = atoi(argv[i + 1]);
		else if (!strcmp(argv[i], "--blas"))
			want = argv[i + 1];
		else
			return misused("calibrate", argv[i]);
	}
	return calibrate_child(want, threads);
}

static int calibrate_verb(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "--child"))
		return calibrate_for_parent(argc, argv);
	if (argc > 1)
		return misused("calibrate", argv[1]);
	cdm_config_read(environ);
	return calibrate_show(cdm_config.blas, cdm_config.threads);
}

static int bench_verb(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "faults"))
		return bench_faults(argc - 1, argv + 1);
	fprintf(stderr, "cdm: bench: which benchmark? There is: faults (see cdm --help)\n");
	return 2;
}

static int print(const char *text)
{
	return fputs(text, stdout) < 0 || fflush(stdout) ? 1 : 0;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";

	if (!strcmp(verb, "run"))
		return run_program(argc - 1, argv + 1);
	if (!strcmp(verb, "env"))
		return show_environment(argc - 1, argv + 1);
	if (!strcmp(verb, "calibrate"))
		return calibrate_verb(argc - 1, argv + 1);
	if (!strcmp(verb, "bench"))
		return bench_verb(argc - 1, argv + 1);
	if (!strcmp(verb, "offline") || !strcmp(verb, "online") || !strcmp(verb, "status"))
		return control_process(argc - 1, argv + 1);
	if (!strcmp(verb, "--help") || !strcmp(verb, "-h") || !strcmp(verb, "help"))
		return print(usage);
	if (!strcmp(verb, "--version"))
		return print("cdm " CDM_VERSION "\n");
	if (*verb)
		fprintf(stderr, "cdm: unknown command '%s' (see cdm --help)\n", verb);
	else
		fputs(usage, stderr);
	return 2;
}

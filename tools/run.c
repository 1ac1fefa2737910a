#include "tools/run.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool find_library(char *path, size_t cap)
{
	static const char *const places[] = {"libcdm.so", "../lib/libcdm.so", "../lib64/libcdm.so",
					     "../lib/x86_64-linux-gnu/libcdm.so"};
	char self[PATH_MAX];
	char *found;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n <= 0)
		return false;
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		char place[PATH_MAX + 64];
		snprintf(place, sizeof(place), "%s/%s", self, places[i]);
		found = realpath(place, NULL);
		bool fits = found && strlen(found) < cap;
		if (fits)
			strcpy(path, found);
		free(found);
		if (fits)
			return true;
	}
	return false;
}

static int preload(void)
{
	char library[PATH_MAX];
	const char *others = getenv("LD_PRELOAD");
	char *list = NULL;

	if (!find_library(library, sizeof(library))) {
		fprintf(stderr, "cdm: libcdm.so is neither beside this program nor in ../lib\n");
		return 125;
	}
	if (strpbrk(library, ": \t")) {
		fprintf(stderr, "cdm: '%s' cannot be preloaded: its path has a space or a colon\n", library);
		return 125;
	}
	if (asprintf(&list, "%s%s%s", library, others && *others ? ":" : "", others ? others : "") < 0 ||
	    setenv("LD_PRELOAD", list, 1)) {
		perror("cdm");
		return 125;
	}
	free(list);
	return 0;
}

/* "policy=never", "POLICY=never" and "CDM_POLICY=never" all set CDM_POLICY. */
static int set_option(const char *text)
{
	const char *value = strchr(text, '=');
	char name[64] = "CDM_";
	size_t used = strncmp(text, "CDM_", 4) ? 4 : 0;

	if (!value || value == text || (size_t)(value - text) + used >= sizeof(name)) {
		fprintf(stderr, "cdm: -o takes VARIABLE=VALUE, not '%s'\n", text);
		return 2;
	}
	for (const char *s = text; s < value; s++)
		name[used++] = *s == '-' ? '_' : (char)toupper((unsigned char)*s);
	name[used] = '\0';
	if (setenv(name, value + 1, 1)) {
		perror("cdm");
		return 125;
	}
	return 0;
}

/* Index of the program in argv, or a negative exit status. */
static int read_options(int argc, char **argv)
{
	int i = 1, ret = 0;

	for (; i < argc && argv[i][0] == '-' && strcmp(argv[i], "--"); i++) {
		const char *value = argv[i] + 2;
		if (argv[i][1] != 'o') {
			fprintf(stderr, "cdm: run: unknown option '%s'\n", argv[i]);
			return -2;
		}
		if (!*value)
			value = ++i < argc ? argv[i] : "";
		if ((ret = set_option(value)))
			return -ret;
	}
	i += i < argc && !strcmp(argv[i], "--");
	if (i < argc)
		return i;
	fprintf(stderr, "cdm: run: which program? cdm run [-o VAR=VALUE]... -- program [argument]...\n");
	return -2;
}

int run_program(int argc, char **argv)
{
	int i = read_options(argc, argv);

	if (i < 0)
		return -i;
	int ret = preload();
	if (ret)
		return ret;
	execvp(argv[i], argv + i);
	ret = errno == ENOENT ? 127 : 126;
	fprintf(stderr, "cdm: %s: %s\n", argv[i], strerror(errno));
	return ret;
}

/* Opens the plugin PATH with RTLD_LOCAL and runs ROUNDS rounds, twice, with a dlclose() between. Exit status 0 when
 * the results are right. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	for (int i = 0; i < 2; i++) {
		void *handle = argc == 3 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
		double (*run)(int) = handle ? (double (*)(int))dlsym(handle, "plugin_run") : NULL;

		if (!run) {
			fprintf(stderr, "usage: plugin PATH ROUNDS\n");
			return 2;
		}
		double result = run(atoi(argv[2]));
		if (result != 12) {
			fprintf(stderr, "%g, not 12\n", result);
			return 1;
		}
		dlclose(handle);
	}
	return 0;
}

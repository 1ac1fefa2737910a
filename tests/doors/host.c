/* Opens a plugin and runs its calls: host PLUGIN FLAGS [lapack]. Twice, closed in between. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	for (int round = 0; round < 2; round++) {
		void *plugin = dlopen(argv[1], RTLD_NOW | atoi(argv[2]));
		int (*run)(int) = plugin ? (int (*)(int))dlsym(plugin, "run_calls") : NULL;
		if (!run) {
			printf("%s\n", dlerror());
			return 1;
		}
		if (run(argc > 3))
			return 1;
		dlclose(plugin);
	}
	return 0;
}

/* `cdm run [-o VAR=VALUE]... [--] program [argument]...`: the program with libcdm.so preloaded. */
#ifndef CDM_TOOLS_RUN_H
#define CDM_TOOLS_RUN_H

/* argv[0] is "run". Returns an exit status on failure only: 2 usage, 125 libcdm.so is missing, 126 and 127 as a shell
 * does for a program that cannot be run or found. */
int run_program(int argc, char **argv);

#endif

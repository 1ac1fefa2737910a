/* `cdm offline PID`, `cdm online PID`, `cdm status PID`: see offload/op/control.h. */
#ifndef CDM_TOOLS_CONTROL_H
#define CDM_TOOLS_CONTROL_H

/* argv: the word and the process number. Exit status: 0, with the answer printed; 1, with a line that says why not;
 * 2: usage. */
int control_process(int argc, char **argv);

#endif

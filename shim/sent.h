/* The program's handlers of signals that somebody sends, where they must not run at any moment (offload/base/quiet.h). */
#ifndef CDM_SHIM_SENT_H
#define CDM_SHIM_SENT_H

#include <signal.h>

/* sigaction(2) while cdm_defers: the program's handler is called through libcdm's, and what the program asks for is what it
 * has set. */
int cdm_sent_sigaction(int sig, const struct sigaction *act, struct sigaction *old);
/* Fork child. */
void cdm_sent_after_fork(void);

#endif

/* What `cdm calibrate` shows a person: a progress bar on stderr, and the plan as a table. */
#ifndef CDM_TOOLS_SHOW_H
#define CDM_TOOLS_SHOW_H

#include "tools/survey.h"

/* Redraws the bar; share from 0 to 1, at which it goes away. */
void show_progress(double share);
/* The settings of the plan, and for each family and type who computes square shapes of which order. */
void show_survey(const struct survey *s, const struct cdm_plan *plan);

#endif

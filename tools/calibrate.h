/* `cdm calibrate`: measures every library and setting, keeps the best in the cache. */
#ifndef CDM_TOOLS_CALIBRATE_H
#define CDM_TOOLS_CALIBRATE_H

/* For a person: measures in any case and prints the table. Exit status. */
int calibrate_show(const char *want, int threads);
/* For libcdm: takes the cached choice if another process has just made it, else measures; writes the choice to standard
 * output as in the cache. Exit status. */
int calibrate_child(const char *want, int threads);

#endif

/* One line on stderr, by one write(2), without allocation. Silent below the level of CDM_LOG. */
#ifndef CDM_BASE_LOG_H
#define CDM_BASE_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum cdm_log_level { CDM_LOG_ERROR, CDM_LOG_WARN, CDM_LOG_INFO, CDM_LOG_DEBUG };

extern int cdm_log_level; /* CDM_LOG_WARN until the configuration is read */

/* Prints "libcdm: <text>\n" when level <= cdm_log_level. Directives: see fmt.h. */
void cdm_log(int level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Writes all of p to fd, outside the program's sight: a closed pipe or a file size limit gives the error and no
 * SIGPIPE or SIGXFSZ. Returns 0 or a negative errno. */
int cdm_write_all(int fd, const char *p, size_t n);
/* The same as cdm_log(), at most once per process for each call site. */
#define cdm_log_once(level, ...)                                                                                       \
	do {                                                                                                           \
		static _Atomic int cdm_once_;                                                                          \
		if (!atomic_exchange_explicit(&cdm_once_, 1, memory_order_relaxed))                                    \
			cdm_log(level, __VA_ARGS__);                                                                   \
	} while (0)

#endif

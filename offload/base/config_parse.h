/* Values of configuration variables: text to number.
 *
 * Locale-free, no allocation. The whole text must be used up: 0, or -EINVAL for what is no value (also out of the
 * type's range), with *out untouched.
 */
#ifndef CDM_BASE_CONFIG_PARSE_H
#define CDM_BASE_CONFIG_PARSE_H

#include <stdint.h>

/* Bytes: digits with an optional fraction and one of K M G T (powers of 1024, either case), then optionally B or iB.
 * A fraction of a byte is dropped. */
int cdm_parse_size(const char *s, uint64_t *out);
/* As cdm_parse_size(), or a percentage of total, above 0 and up to 100. */
int cdm_parse_share(const char *s, uint64_t total, uint64_t *out);
/* A finite number >= 0: 12, 0.5, 1e6. */
int cdm_parse_number(const char *s, double *out);
/* Insertions, deletions and replacements of characters between a and b; both are cut at 63 characters. */
int cdm_edit_distance(const char *a, const char *b);

#endif

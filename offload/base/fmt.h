/* Text without stdio: snprintf may allocate, and takes locks that a fork child finds held.
 *
 * Directives: %s %c %d %u %x (with l, ll, z), %p, %% and %.Nf (N digits, 0-9; doubles up to 1e18). %s of NULL
 * prints "(null)", %.Ns at most N bytes of it. Widths: %N and %-N for all. Output is cut at the buffer's end and always terminated.
 */
#ifndef CDM_BASE_FMT_H
#define CDM_BASE_FMT_H

#include <stdarg.h>
#include <stddef.h>

struct cdm_text {
	char *buf;
	size_t cap, len; /* len excludes the terminating NUL */
	int cut;         /* set once something did not fit */
};

void cdm_text_init(struct cdm_text *t, char *buf, size_t cap);
void cdm_textf(struct cdm_text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void cdm_textv(struct cdm_text *t, const char *fmt, va_list ap);
/* s as a JSON string with its quotes; control bytes and invalid UTF-8 become \u00XX. */
void cdm_text_json(struct cdm_text *t, const char *s);
/* Like snprintf, with the directives above; returns the length written. */
size_t cdm_fmt(char *buf, size_t cap, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif

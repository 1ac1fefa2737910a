/* Members of a JSON object: "key":value, without separators. */
#ifndef CDM_BASE_JSON_H
#define CDM_BASE_JSON_H

#include <stdint.h>

#include "offload/base/fmt.h"

/* NULL becomes null. */
void cdm_json_string(struct cdm_text *t, const char *key, const char *s);
/* Nine digits after the point; what is no finite number becomes null. */
void cdm_json_number(struct cdm_text *t, const char *key, double v);
void cdm_json_count(struct cdm_text *t, const char *key, uint64_t v);

#endif

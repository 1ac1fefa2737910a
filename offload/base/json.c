#include "offload/base/json.h"

#include <math.h>

void cdm_json_string(struct cdm_text *t, const char *key, const char *s)
{
	cdm_textf(t, "\"%s\":", key);
	if (s)
		cdm_text_json(t, s);
	else
		cdm_textf(t, "null");
}

void cdm_json_number(struct cdm_text *t, const char *key, double v)
{
	if (isfinite(v))
		cdm_textf(t, "\"%s\":%.9f", key, v);
	else
		cdm_textf(t, "\"%s\":null", key);
}

void cdm_json_count(struct cdm_text *t, const char *key, uint64_t v)
{
	cdm_textf(t, "\"%s\":%lu", key, (unsigned long)v);
}

#include "offload/mem/crowd.h"

#include "offload/mem/pages.h"

#define CHECK_EVERY 256 /* questions between two looks at the number of mappings */

static int until_check;
static bool crowded;

bool cdm_crowded(void)
{
	if (until_check-- > 0)
		return crowded;
	until_check = CHECK_EVERY;
	crowded = cdm_pages_mappings() > cdm_pages_mapping_limit() / 4 * 3;
	return crowded;
}

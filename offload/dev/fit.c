#include "offload/dev/fit.h"

int cdm_fit_threads(const struct cdm_fit *fit, int want)
{
	int n = want >> fit->halvings;

	return n > 1 ? n : 1;
}

bool cdm_fit_at_rest(const struct cdm_fit *fit)
{
	return !fit->halvings && !fit->strikes && !fit->patience;
}

static void shrink(struct cdm_fit *fit, int want)
{
	fit->strikes = fit->calls = 0;
	fit->calm = 0;
	if (cdm_fit_threads(fit, want) > 1)
		fit->halvings++;
	fit->patience = fit->patience ? fit->patience * 2 : CDM_FIT_PATIENCE;
	if (fit->patience > CDM_FIT_PATIENCE_MAX)
		fit->patience = CDM_FIT_PATIENCE_MAX;
}

static void grow(struct cdm_fit *fit)
{
	fit->calls = 0;
	fit->calm = 0;
	if (fit->halvings)
		fit->halvings--;
	else
		fit->patience = 0; /* all threads, and all is well: what was has been forgotten */
}

void cdm_fit_observe(struct cdm_fit *fit, int want, enum cdm_fit_seen seen, uint64_t wall)
{
	if (seen != CDM_FIT_CALM) {
		fit->calls = 0;
		fit->calm = 0;
		if (seen == CDM_FIT_DISTURBED && ++fit->strikes >= CDM_FIT_STRIKES)
			shrink(fit, want);
		return;
	}
	fit->strikes = 0;
	fit->calm += wall;
	if (++fit->calls >= 2 && fit->calm >= (fit->patience ? fit->patience : CDM_FIT_PATIENCE))
		grow(fit);
}

bool cdm_fit_starved(uint64_t wall, uint64_t cpu)
{
	return (double)cpu < (1 - CDM_FIT_STARVED) * (double)wall;
}

bool cdm_fit_slow(float *pace, double flops, uint64_t wall, double share)
{
	float now = (float)((double)wall / flops), best = *pace;

	*pace = best == 0 || now < best ? now : best * (float)CDM_FIT_FORGET;
	return best != 0 && now * share > CDM_FIT_SLOW * best;
}

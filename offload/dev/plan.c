#include "offload/dev/plan.h"

#include <string.h>

#include "offload/dev/dev.h"

#define X(id, name) #name,
const char *const cdm_family_name[CDM_FAMILIES] = {CDM_FAMILIES_TABLE(X)};
#undef X
const char *const cdm_aspect_name[CDM_ASPECTS] = {"square", "tall", "wide", "deep", "flat"};

/* Routines that spend their time in the same kernels, without the letter of their type. */
static const char *const members[CDM_FAMILIES] = {
	[CDM_FAMILY_GEMM] = " gemm gemmt symm hemm gemm3m gemm_batch gemm_batch_strided ",
	[CDM_FAMILY_TRSM] = " trsm trmm trtri trtrs ",
	[CDM_FAMILY_SYRK] = " syrk herk syr2k her2k ",
	[CDM_FAMILY_GEMV] = (" gemv symv hemv trmv trsv ger geru gerc syr her syr2 her2 gbmv sbmv hbmv tbmv tbsv "
			     "spmv hpmv tpmv tpsv spr hpr spr2 hpr2 "),
	[CDM_FAMILY_GETRF] = " getrf gesv getrs getri ",
	[CDM_FAMILY_POTRF] = " potrf posv potrs ",
	[CDM_FAMILY_GEQRF] = " geqrf orgqr ungqr ormqr unmqr gels ",
};

static bool is_member(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (const char *at = strstr(list, name); at && n; at = strstr(at + 1, name))
		if (at[-1] == ' ' && at[n] == ' ')
			return true;
	return false;
}

int cdm_plan_family(const char *routine)
{
	for (int f = 0; routine[0] && f < CDM_FAMILIES; f++)
		if (is_member(members[f], routine + 1))
			return f;
	return -1;
}

int cdm_plan_class(double flops)
{
	if (flops >= 0x1p62)
		return CDM_CLASSES - 1;
	if (!(flops >= 1 << CDM_CLASS_LEAST))
		return 0;
	int size = (63 - __builtin_clzll((unsigned long long)flops) - CDM_CLASS_LEAST) / 2;
	return size < CDM_CLASSES ? size : CDM_CLASSES - 1;
}

double cdm_plan_work(int size)
{
	return 2 * (double)cdm_plan_least(size);
}

uint64_t cdm_plan_least(int size)
{
	return 1ull << (CDM_CLASS_LEAST + 2 * size);
}

/* The result of a matrix routine; the matrix of a vector routine. */
static const struct cdm_operand *shaping(const struct cdm_call *call)
{
	const struct cdm_operand *found = NULL;

	for (int i = 0; i < call->operands; i++) {
		const struct cdm_operand *o = &call->op[i];
		if (o->scratch || o->integers || o->rows < 1 || o->cols < 1)
			continue;
		if (call->level == CDM_LEVEL_VECTOR ? !found || o->rows > found->rows : (o->access & CDM_W) != 0)
			found = o;
	}
	return found;
}

enum cdm_aspect cdm_plan_aspect_of(const struct cdm_call *call, int family)
{
	const struct cdm_operand *o = shaping(call);

	if (!o)
		return CDM_SQUARE;
	double rows = (double)o->rows, cols = (double)o->cols, depth = rows < cols ? rows : cols;
	/* A product's sums have flops / 2 / elements terms; a triangle's, computed once, twice as many. */
	if (family == CDM_FAMILY_GEMM || family == CDM_FAMILY_SYRK)
		depth = call->flops / (cdm_scalar_complex(cdm_routines[call->routine].type) ? 8 : 2) / rows / cols *
			(family == CDM_FAMILY_SYRK ? 2 : 1);
	return cdm_aspect((uint64_t)o->rows, (uint64_t)o->cols, depth < 0x1p62 ? (uint64_t)(depth + 0.5) : 1ull << 62);
}

int cdm_plan_setting(const struct cdm_plan *plan, int family, int type, enum cdm_aspect aspect, double flops,
		     bool alone)
{
	bool team = !alone && flops >= (double)plan->team_from[family][type][aspect];
	const cdm_plan_table *table = team ? &plan->team : &plan->alone;

	return (*table)[family][type][aspect][cdm_plan_class(flops)];
}

/* threads: that its settings have; 0: any. */
static bool in_range(const cdm_plan_table *table, const struct cdm_plan *plan, int threads)
{
	const uint8_t *entry = (const uint8_t *)table;

	for (size_t i = 0; i < sizeof(*table); i++)
		if (entry[i] >= plan->settings || (threads && plan->setting[entry[i]].threads != threads))
			return false;
	return true;
}

bool cdm_plan_is_valid(const struct cdm_plan *plan)
{
	bool any_alone = false;

	if (plan->settings < 1 || plan->settings > CDM_SETTINGS)
		return false;
	for (int i = 0; i < plan->settings; i++) {
		const struct cdm_setting *s = &plan->setting[i];
		if (s->library[0] != '/' || s->threads < 1 || s->threads > 4096)
			return false;
		any_alone |= s->threads == 1;
	}
	return in_range(&plan->team, plan, plan->setting[0].threads) && in_range(&plan->alone, plan, any_alone ? 1 : 0);
}

int cdm_plan_first_alone(const struct cdm_plan *plan)
{
	for (int i = 0; i < plan->settings; i++)
		if (plan->setting[i].threads == 1)
			return i;
	return 0;
}

void cdm_plan_simple(struct cdm_plan *plan, const struct cdm_setting *first)
{
	memset(plan, 0, sizeof(*plan));
	plan->setting[0] = *first;
	plan->settings = 1;
	if (first->threads == 1)
		return;
	plan->setting[1] = *first;
	plan->setting[1].threads = 1;
	plan->settings = 2;
	memset(plan->alone, 1, sizeof(plan->alone));
}

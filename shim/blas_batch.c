#include "shim/blas_batch.h"

#include <string.h>

#include "shim/slot.h"

/* One product as the batch describes it. */
struct product {
	char transa, transb;
	int64_t m, n, k, lda, ldb, ldc;
	const void *alpha, *beta, *a, *b;
	void *c;
};

struct batch {
	const struct cdm_gathered *g;
	int gemm; /* the routine of the products */
	bool cblas;
	void *on_host; /* the program's own ?gemm */
};

static int64_t integer(const struct batch *b, int arg, int64_t i)
{
	const void *p = b->g->call.arg[arg];

	return b->g->call.wide ? ((const int64_t *)p)[i] : ((const int32_t *)p)[i];
}

static char trans(const struct batch *b, int arg, int64_t i)
{
	const void *p = b->g->call.arg[arg];

	return cdm_gather_letter(b->cblas ? ((const uint32_t *)p)[i] : (uint32_t)((const unsigned char *)p)[i],
				 b->cblas);
}

static const void *scalar(const struct batch *b, int arg, int64_t i)
{
	return (const char *)b->g->call.arg[arg] + (size_t)i * cdm_scalar_size(cdm_blas_table[b->gemm].type);
}

static void *pointer(const struct batch *b, int arg, int64_t i)
{
	return ((void *const *)b->g->call.arg[arg])[i];
}

/* transa transb m n k alpha a lda b ldb beta c ldc group_count group_size: arrays, by group or by product */
static struct product grouped(const struct batch *b, int64_t group, int64_t i)
{
	return (struct product){
		.transa = trans(b, 0, group),
		.transb = trans(b, 1, group),
		.m = integer(b, 2, group),
		.n = integer(b, 3, group),
		.k = integer(b, 4, group),
		.alpha = scalar(b, 5, group),
		.a = pointer(b, 6, i),
		.lda = integer(b, 7, group),
		.b = pointer(b, 8, i),
		.ldb = integer(b, 9, group),
		.beta = scalar(b, 10, group),
		.c = pointer(b, 11, i),
		.ldc = integer(b, 12, group),
	};
}

/* transa transb m n k alpha a lda stride b ldb stride beta c ldc stride count */
static struct product strided(const struct batch *b, int64_t i)
{
	const struct cdm_call *c = &b->g->call;
	int64_t elem = (int64_t)cdm_scalar_size(cdm_blas_table[b->gemm].type);

	return (struct product){
		.transa = c->letter[0],
		.transb = c->letter[1],
		.m = c->n[2],
		.n = c->n[3],
		.k = c->n[4],
		.alpha = c->arg[5],
		.a = (const char *)c->arg[6] + i * c->n[8] * elem,
		.lda = c->n[7],
		.b = (const char *)c->arg[9] + i * c->n[11] * elem,
		.ldb = c->n[10],
		.beta = c->arg[12],
		.c = (char *)c->arg[13] + i * c->n[15] * elem,
		.ldc = c->n[14],
	};
}

static enum cdm_verdict make_call(const struct batch *b, const struct product *p, struct cdm_gathered *one)
{
	struct cdm_call *c = &one->call;

	cdm_gather_begin(one, b->gemm, b->g->call.wide, b->g->call.site);
	c->letter[0] = p->transa;
	c->letter[1] = p->transb;
	c->n[2] = p->m;
	c->n[3] = p->n;
	c->n[4] = p->k;
	c->n[7] = p->lda;
	c->n[9] = p->ldb;
	c->n[12] = p->ldc;
	for (int i = 0; i < c->count; i++)
		c->arg[i] = c->args[i] == 'L' ? (void *)&c->letter[i] : (void *)&c->n[i];
	c->arg[5] = (void *)(uintptr_t)p->alpha;
	c->arg[6] = (void *)(uintptr_t)p->a;
	c->arg[8] = (void *)(uintptr_t)p->b;
	c->arg[10] = (void *)(uintptr_t)p->beta;
	c->arg[11] = p->c;
	one->order = b->g->order;
	return cdm_gather_finish(one);
}

/* A legal product, worth offloading or not. */
static void run_product(const struct batch *b, const struct product *p)
{
	struct cdm_gathered one;
	enum cdm_verdict verdict = make_call(b, p, &one);

	cdm_inside++;
	if (verdict != CDM_VERDICT_RUN) {
		cdm_call_stays(b->gemm, CDM_STAY_QUICK);
		cdm_call_invoke(b->on_host, &one.call);
	} else if (!cdm_call_offload(&one.call)) {
		uint64_t begun = cdm_call_host_begin();
		cdm_call_invoke(b->on_host, &one.call);
		cdm_call_host_end(b->gemm, begun);
	}
	cdm_inside--;
}

/* Legal, and as large as the threshold. */
static bool worthwhile(const struct batch *b, const struct product *p)
{
	struct cdm_gathered one;

	return make_call(b, p, &one) == CDM_VERDICT_RUN &&
	       one.call.flops >= (double)atomic_load_explicit(&cdm_min_work[CDM_LEVEL_MATRIX], memory_order_relaxed);
}

static bool run_strided(const struct batch *b)
{
	struct product p = strided(b, 0);

	if (b->g->call.n[16] < 1 || !worthwhile(b, &p))
		return false;
	for (int64_t i = 0; i < b->g->call.n[16]; i++) {
		p = strided(b, i);
		run_product(b, &p);
	}
	return true;
}

/* All groups must be worth it: a batch of small products is the library's business. */
static bool run_grouped(const struct batch *b)
{
	int64_t groups = b->g->call.n[13], first = 0;

	for (int64_t g = 0; g < groups; first += integer(b, 14, g++)) {
		struct product p;
		if (integer(b, 14, g) < 1)
			return false;
		p = grouped(b, g, first);
		if (!worthwhile(b, &p))
			return false;
	}
	first = 0;
	for (int64_t g = 0; g < groups; first += integer(b, 14, g++))
		for (int64_t i = first; i < first + integer(b, 14, g); i++) {
			struct product p = grouped(b, g, i);
			run_product(b, &p);
		}
	return groups > 0;
}

bool cdm_batch_run(const struct cdm_gathered *g, const struct cdm_frame *f)
{
	bool is_strided = cdm_blas_shape[g->call.routine] == CDM_SHAPE_GEMM_STRIDED;
	struct batch b = {
		.g = g,
		.gemm = CDM_BLAS_sgemm + cdm_blas_table[g->call.routine].type,
		.cblas = f->slot->flags & CDM_SLOT_CBLAS,
	};

	b.on_host = cdm_slot_fortran(b.gemm, f->site, f->slot->variant);
	return b.on_host && !g->illegal_order && (is_strided ? run_strided(&b) : run_grouped(&b));
}

/* data/sample_i.h -- one sample into its place in a batch (data/sample.c), for data/batchring.c.
 * Base pictures that were decoded once are kept; any thread may call, the pictures kept are never
 * moved or freed while workers run. */
#ifndef ONX_SAMPLE_I_H
#define ONX_SAMPLE_I_H
#include <pthread.h>
#include "data/batch.h"

struct onx_sampler {
	const struct onx_source *src;
	const struct onx_loader_opts *opts;
	const struct onx_augment *augment;      /* of the running pass; NULL: none          */
	uint64_t epoch;
	struct onx_image *kept[2];              /* by sample: [0] plain, [1] with opts->augment */
	size_t n;                               /* samples that `kept` has room for         */
	size_t bytes, budget;
	pthread_mutex_t lock;                   /* kept, bytes                              */
};

/* The decoded and reduced picture of sample i: kept, or made now; *own says whether the caller is
 * to release it. */
int onx_sampler_base(struct onx_sampler *s, size_t i, struct onx_image *out, bool *own,
		     struct onx_err *e) ONX_MUST;
/* Sample i, part `part`, in memory form at v. */
int onx_sampler_make(struct onx_sampler *s, size_t i, size_t part, const struct onx_view *v,
		     struct onx_err *e) ONX_MUST;
bool onx_sampler_full(struct onx_sampler *s);
/* Closes up after samples were dropped; bad has s->n places. */
void onx_sampler_drop(struct onx_sampler *s, const bool *bad);
void onx_sampler_release(struct onx_sampler *s);

#endif

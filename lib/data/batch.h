/* data/batch.h -- batches, made beside the arithmetic.
 *
 *     onx_loader_new(src, &opts, &ld, e)              decodes once what fits the cache
 *     for each epoch:
 *             onx_loader_start(ld, order, n, epoch, e)
 *             while (onx_loader_next(ld, &b, e) == ONX_OK && b) ... b->input, b->y ...
 *     onx_loader_free(ld)
 *
 * Workers (threads of the loader's own) fill a ring of batches; a batch comes out in order, whole,
 * and with the same bits for any number of workers.  A fault met by a worker comes out of
 * onx_loader_next at its place in the order.  Stopping in the middle is always possible.
 * Decoded pictures are kept (uint8, after onx_augment_base) up to opts->cache bytes. */
#ifndef ONX_BATCH_H
#define ONX_BATCH_H
#include "data/augment.h"
#include "data/preset.h"
#include "data/source.h"
#include "data/split.h"

struct onx_loader_opts {
	const struct onx_data_want *want;       /* n_want == src->n_part; borrowed for the loader's life */
	size_t n_want;
	const struct onx_preset *preset;        /* borrowed for the loader's life                   */
	const struct onx_augment *augment;      /* NULL: none; borrowed; see onx_loader_augment       */
	size_t batch;                           /* samples a batch; the last one may be smaller     */
	int workers;                            /* 0: all cores                                     */
	int ahead;                              /* batches in the ring; 0: 3                        */
	int64_t cache;                          /* bytes; 0: nothing is kept; < 0: 512 MiB          */
	uint64_t seed;                          /* of the augmentation                              */
	bool wide;                              /* real inputs and targets as double                */
	const struct onx_note *note;            /* may be NULL                                      */
};

struct onx_batch {
	size_t n, n_input;
	const struct onx_view *input;   /* n_input, memory form, first dimension n, the others as the
					   input's with free ones settled                           */
	struct onx_view y;              /* classify: INT64 [n]; regress: FLOAT [n, n_target]        */
	const uint32_t *index;          /* n sample numbers                                         */
	size_t first;                   /* place of its first sample in the epoch's order           */
	int64_t y_dim[2];               /* behind y                                                 */
};

struct onx_loader;
/* Decodes every picture once, in parallel, as long as the cache has room; with src->skip_bad all of
 * them: those that cannot be decoded are warned about, taken out of src (sample numbers close up:
 * so make lists afterwards) and counted in src->n_bad; otherwise the first one, in order, is the
 * fault. */
int onx_loader_new(struct onx_source *src, const struct onx_loader_opts *o, struct onx_loader **out,
		   struct onx_err *e) ONX_MUST;
void onx_loader_free(struct onx_loader *l);     /* stops workers first */

/* The exact dims of input i for a batch of n samples, before any batch is made: for planning. */
int onx_loader_shape(const struct onx_loader *l, size_t i, size_t n, struct onx_shape *out,
		     struct onx_err *e) ONX_MUST;
/* Begins a pass over order[0..n) (copied); ends the pass before, wherever it was. */
int onx_loader_start(struct onx_loader *l, const uint32_t *order, size_t n, uint64_t epoch,
		     struct onx_err *e) ONX_MUST;
/* The next batch, good until the next call; *b == NULL at the end of the pass. */
int onx_loader_next(struct onx_loader *l, const struct onx_batch **b, struct onx_err *e) ONX_MUST;
void onx_loader_stop(struct onx_loader *l);     /* workers rest; the pass is over */
/* Switches augmentation for the passes that follow (NULL: off, as for validation), so one loader
 * serves the training and the validation part of one source.  What is kept with and without is
 * kept apart. */
void onx_loader_augment(struct onx_loader *l, const struct onx_augment *g);
/* Samples a batch in the passes that follow: the memory budget may want less than was asked for. */
void onx_loader_rebatch(struct onx_loader *l, size_t batch);
size_t onx_loader_cached(const struct onx_loader *l);   /* bytes kept */
size_t onx_loader_ring(const struct onx_loader *l);     /* bytes of the ring of batches for each sample of a batch */

#endif

/* op/index.h -- places in a tensor given by an index tensor.
 *
 * Gather, GatherElements and GatherND differ from one another only in where block k of the result is
 * read, the Scatters only in where block k of the updates goes.  onx_locate() answers that from the
 * index tensor and the geometry that infer left in the plan's arena.
 *
 * Indices may be computed while running, when nothing can fail any more: a block whose index is out of
 * range reads as zeros, is not written, and passes no gradient.  Indices that are known while planning
 * are checked there. */
#ifndef ONX_INDEX_H
#define ONX_INDEX_H
#include "kernel/real.h"
#include "op/infer.h"

enum onx_where { ONX_BY_AXIS, ONX_BY_ELEMENT, ONX_BY_TUPLE };
struct onx_index {
	enum onx_where where;
	size_t blocks, block;           /* blocks of `block` elements each                              */
	int rank, axis;
	int64_t n_index;                /* ONX_BY_AXIS: indices in all                                      */
	int64_t dim[ONX_RANK], stride[ONX_RANK];        /* of the tensor that is indexed, by axis       */
	int64_t index_dim[ONX_RANK];                    /* ONX_BY_ELEMENT: of the index tensor              */
	int tuple;                      /* ONX_BY_TUPLE: numbers in one index                               */
	int64_t per_batch;              /* ONX_BY_TUPLE: blocks in one batch                                */
};

#define onx_locate ONX_R(onx_locate)
#define onx_locate_run ONX_R(onx_locate_run)
#define onx_index_new ONX_R(onx_index_new)
#define onx_index_known ONX_R(onx_index_known)
#define onx_index_elements ONX_R(onx_index_elements)
#define onx_index_tuples ONX_R(onx_index_tuples)

/* Where block k starts in the indexed tensor, in elements; -1: nowhere. */
int64_t onx_locate(const struct onx_index *g, const struct onx_view *idx, size_t k);
/* The same of blocks k .. k + n - 1. */
void onx_locate_run(const struct onx_index *g, const struct onx_view *idx, size_t k, size_t n, int64_t *at);

/* Input 0 is indexed by input 1.  Geometry with rank, dim and stride filled, in s->geo. */
int onx_index_new(struct onx_infer *s, enum onx_where where, struct onx_index **out, struct onx_err *e)
	ONX_MUST;
/* If input 1 is known now: every index is in range, or a fault. */
int onx_index_known(const struct onx_infer *s, const struct onx_index *g, struct onx_err *e) ONX_MUST;
/* GatherElements: index tensor and data have one rank; the index tensor may be shorter on the axes that
 * it does not select along. */
int onx_index_elements(struct onx_infer *s, int64_t axis, struct onx_index **out, struct onx_err *e) ONX_MUST;
/* GatherND: the last axis of the index tensor holds tuples that select along axes batch, batch+1, ...
 * y = what the tuples select: the index dims but the last, then the data dims that no tuple names. */
int onx_index_tuples(struct onx_infer *s, int batch, struct onx_shape *y, struct onx_index **out,
		     struct onx_err *e) ONX_MUST;

#endif

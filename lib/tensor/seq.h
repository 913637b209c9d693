/* tensor/seq.h -- values that are no tensors: sequences, maps, and the optional that holds nothing.
 *
 * They are views too, of the types ONX_SEQUENCE, ONX_MAP and ONX_NOTHING.  A sequence of n elements has
 * rank 1 and n pointers to views; a map has two elements, the tensor of its keys and the tensor of its values.  An
 * optional that holds something is what it holds.  Elements belong to whoever made the view. */
#ifndef ONX_SEQ_H
#define ONX_SEQ_H
#include "tensor/tensor.h"

/* n elements, to be filled in; NULL on shortage of memory. */
struct onx_view *onx_seq_new(struct onx_arena *a, enum onx_dtype type, size_t n);
static inline const struct onx_view **onx_seq_items(const struct onx_view *s)
{
	return s->v;
}
static inline const struct onx_view *onx_seq_at(const struct onx_view *s, size_t i)
{
	return onx_seq_items(s)[i];
}
/* A tensor with memory of its own, zeros; NULL on shortage of memory or more than 2^48 elements. */
struct onx_view *onx_tensor_new(struct onx_arena *a, enum onx_dtype type, int rank, const int64_t *dim,
				size_t width);
/* Stands in a sequence for a tensor whose numbers are computed while running: .view.v is NULL.  id: the value of the
 * graph that holds it, UINT32_MAX where nobody knows.  A tensor without elements is known. */
struct onx_unknown { struct onx_view view; uint32_t id; };
const struct onx_view *onx_unknown_new(struct onx_arena *a, enum onx_dtype type, int rank, const int64_t *dim,
				       size_t width, uint32_t id);
/* Is it, or is in it, a tensor whose numbers are not known? */
bool onx_view_open(const struct onx_view *v);
/* A copy of all of it, elements and texts too; NULL on shortage of memory. */
const struct onx_view *onx_view_copy(struct onx_arena *a, const struct onx_view *v);
static inline bool onx_holds_views(enum onx_dtype t)
{
	return t == ONX_SEQUENCE || t == ONX_MAP || t == ONX_NOTHING;
}

#endif

/* op/sequence.h -- what the rules of sequence operators leave (onx_infer.geo) where tensors are computed while running:
 * a plan has the tensors, never the sequence (plan/unroll_seq.c). */
#ifndef ONX_OP_SEQUENCE_H
#define ONX_OP_SEQUENCE_H
#include "op/op.h"

/* SplitToSequence: the lengths of the pieces along the axis, which goes where `squeeze`. */
struct onx_pieces { const size_t *len; size_t n; int axis; bool squeeze; };
/* ConcatFromSequence: the axis; along a new one.  SequenceAt leaves the view of the element. */
struct onx_joined { int axis; bool new_axis; };

#endif

/* op/infer.h -- shape rules shared by families.
 * Faults name the input and say what was found and what was wanted; the caller (graph/facts.c) adds
 * the node. */
#ifndef ONX_INFER_H
#define ONX_INFER_H
#include "op/op.h"

static inline bool onx_has_in(const struct onx_infer *s, int i)
{
	return i < s->n_in && s->in[i].type != ONX_UNDEFINED;
}
static inline bool onx_has_out(const struct onx_infer *s, int i)
{
	return i < s->n_out && s->out_wanted[i];
}
void onx_set_out(struct onx_infer *s, int i, enum onx_dtype type, const struct onx_shape *shape);

/* out[0] = type and shape of in[0]; real types only. */
int onx_infer_same(struct onx_infer *s, const void *attr, struct onx_err *e) ONX_MUST;
/* The same for any element type. */
int onx_infer_same_any(struct onx_infer *s, const void *attr, struct onx_err *e) ONX_MUST;
/* out[0] = in[0] (x) in[1] (x) ... broadcast; all inputs of one type. */
int onx_infer_broadcast(struct onx_infer *s, const void *attr, struct onx_err *e) ONX_MUST;
/* The same of real or whole numbers. */
int onx_infer_numbers(struct onx_infer *s, const void *attr, struct onx_err *e) ONX_MUST;

int onx_want_real(const struct onx_infer *s, int i, struct onx_err *e) ONX_MUST;
int onx_want_type(const struct onx_infer *s, int i, enum onx_dtype t, struct onx_err *e) ONX_MUST;
int onx_want_same_type(const struct onx_infer *s, int i, int j, struct onx_err *e) ONX_MUST;
int onx_want_rank(const struct onx_infer *s, int i, int lo, int hi, struct onx_err *e) ONX_MUST;
/* -rank..rank-1 -> 0..rank-1, or a fault. */
int onx_axis(int64_t axis, int rank, int *out, struct onx_err *e) ONX_MUST;

/* Integers from input i, which must be known while planning (a constant, a folded shape
 * computation, or a value bound by the caller).  Borrowed from s->mem. */
int onx_in_ints(struct onx_infer *s, int i, const int64_t **v, size_t *n, struct onx_err *e) ONX_MUST;
/* The same, or where the node has no such input the attribute (NULL: none). */
int onx_in_list(struct onx_infer *s, int i, const struct onx_ints *attr, struct onx_ints *out,
		struct onx_err *e) ONX_MUST;
/* One number from input i (scalar or one element), likewise. */
int onx_in_real(struct onx_infer *s, int i, double *v, struct onx_err *e) ONX_MUST;
/* Input i where it is known while planning, NULL where it is absent. */
int onx_in_known(const struct onx_infer *s, int i, const struct onx_view **v, struct onx_err *e) ONX_MUST;
/* Output i with its numbers, for operators whose rule makes them (ONX_OP_RULE); v NULL: there was no memory. */
int onx_give(struct onx_infer *s, int i, const struct onx_view *v, struct onx_err *e) ONX_MUST;
/* Axes that older versions give as an attribute and newer ones as input i: whichever is there,
 * resolved, sorted and checked for repeats.  *n == 0 and no fault if neither is. */
int onx_axes_arg(struct onx_infer *s, const struct onx_ints *attr, int i, int rank, int *axes, int *n,
		 struct onx_err *e) ONX_MUST;

#endif

/* graph/bind.c -- sizes for the open dims of graph inputs. */
#include "graph/facts.h"

/* What an open dim gets when nobody said: the side of the usual ImageNet picture where the value looks
 * like one ([N, 1 or 3 or 4, H, W] or channels last), else 1. */
static int64_t usual(const struct onx_value *v, int d)
{
	if (v->rank != 4)
		return 1;
	const bool last = v->dim[3] == 1 || v->dim[3] == 3 || v->dim[3] == 4;
	if (d == (last ? 3 : 1))
		return 3;
	return 224;
}

int onx_bind_inputs(const struct onx_graph *g, int64_t batch, int64_t size, bool rebatch,
		    struct onx_arena *a, struct onx_feed **feed, uint32_t *n, struct onx_err *e)
{
	*feed = ONX_NEWS(a, struct onx_feed, g->n_input + 1);
	*n = g->n_input;
	if (!*feed)
		return onx_nomem(e, g->n_input * sizeof **feed, "the inputs");
	for (uint32_t i = 0; i < g->n_input; i++) {
		const struct onx_value *v = &g->value[g->input[i]];
		struct onx_feed *f = &(*feed)[i];
		f->value = g->input[i];
		f->type = v->type;
		if (v->type == ONX_UNDEFINED || !v->has_shape)
			return onx_fail(e, ONX_UNSUP, "input '%s' does not declare a tensor type and shape",
					v->name);
		f->shape.rank = v->rank;
		for (int d = 0; d < v->rank; d++) {
			const bool open = v->dim[d] < 0;
			if (d == 0 && (open || (rebatch && v->dim[0] == 1)))
				f->shape.dim[d] = batch;
			else if (open)
				f->shape.dim[d] = size > 0 && v->rank == 4 && usual(v, d) == 224 ? size
						  : usual(v, d);
			else
				f->shape.dim[d] = v->dim[d];
		}
	}
	return ONX_OK;
}

/* graph/eval.c -- one node, computed now. */
#include "graph/eval.h"

bool onx_runs_wide(const struct onx_infer *s, bool wide_plan)
{
	if (wide_plan)
		return true;
	const enum onx_dtype out = s->n_out ? s->out[0].type : ONX_UNDEFINED;
	int first = -1;
	for (int i = 0; i < s->n_in; i++) {
		if (!onx_dtype_real(s->in[i].type))
			continue;
		if (first < 0)
			first = i;
		if (onx_dtype_real(out) && (s->in[i].type == ONX_DOUBLE) == (out == ONX_DOUBLE))
			return out == ONX_DOUBLE;
	}
	if (first >= 0)
		return s->in[first].type == ONX_DOUBLE;
	for (int i = 0; i < s->n_out; i++)
		if (onx_dtype_real(s->out[i].type))
			return s->out[i].type == ONX_DOUBLE;
	return false;
}

int onx_eval(const struct onx_op *op, const void *attr, const struct onx_infer *s, const struct onx_view *x,
	     const struct onx_view *y, struct onx_rng_key rng, struct onx_pool *pool, struct onx_err *e)
{
	const size_t saved = op->saved ? op->saved(s, attr) : 0;
	const size_t scratch = op->scratch ? op->scratch(s, attr, onx_pool_threads(pool), false) : 0;
	char *mem = saved < SIZE_MAX / 4 && scratch < SIZE_MAX / 4
		    ? onx_heap(1, saved + scratch + 128) : NULL;
	if (!mem)
		return onx_nomem(e, (double)saved + (double)scratch, op->type);
	const struct onx_call c = {
		.attr = attr, .geo = s->geo, .n_x = s->n_in, .n_y = s->n_out, .x = x, .y = y,
		.save = mem, .scratch = mem + (saved + 63) / 64 * 64, .rng = rng, .train = s->train, .pool = pool };
	op->forward(&c);
	onx_heap_free(mem);
	return ONX_OK;
}

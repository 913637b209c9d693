/* train/target.c -- labels as the loss node wants them. */
#include <string.h>
#include "train/loop_i.h"

struct onx_feed onx_target_feed(const struct onx_objective *obj, const struct onx_graph *g,
				const struct onx_source *src, bool wide)
{
	const struct onx_value *v = &g->value[obj->target];
	struct onx_feed f = { .value = obj->target, .shape = { .rank = v->rank > 0 ? v->rank : 1, .dim = { 1 } } };
	for (int d = 1; d < v->rank; d++)
		f.shape.dim[d] = v->dim[d] > 0 ? v->dim[d] : src && src->n_target ? (int64_t)src->n_target : 1;
	f.type = v->type == ONX_INT64 ? ONX_INT64 : wide ? ONX_DOUBLE : ONX_FLOAT;
	return f;
}

void onx_feed_target(struct onx_exec *x, uint32_t target, const struct onx_view *y)
{
	size_t room;
	char *to = onx_exec_feed_at(x, target, &room);
	const struct onx_view *v = onx_exec_view(x, target);
	if (!to)
		return;
	if (v->type == y->type && v->n == y->n && v->width == y->width) {
		memcpy(to, y->v, room);
		return;
	}
	const size_t per = y->n ? v->n / y->n : 0;
	for (size_t i = 0; i < v->n && per; i++) {
		if (onx_dtype_real(y->type)) {
			onx_view_put_real(v, i, onx_view_real(y, i / per));
			continue;
		}
		const int64_t c = onx_view_int(y, i / per);
		onx_view_put_real(v, i, per == 1 ? (double)c : (double)(c == (int64_t)(i % per)));
	}
}

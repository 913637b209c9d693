/* op/move.c -- the shared kernels of op/move.h. */
#include "op/move.h"

int onx_move_new(struct onx_infer *s, int n, struct onx_move **out, struct onx_err *e)
{
	struct onx_move *m = ONX_NEW(s->mem, struct onx_move);
	struct onx_walk *w = ONX_NEWS(s->mem, struct onx_walk, (size_t)n);

	*out = NULL;
	if (!m || !w)
		return onx_nomem(e, (double)n * (double)sizeof *w, "walks of an operator");
	m->n = n;
	m->w = w;
	s->geo = *out = m;
	return ONX_OK;
}

int onx_move_to(struct onx_infer *s, const struct onx_shape *y, size_t *count, struct onx_move **out,
		struct onx_err *e)
{
	const int rc = onx_count(y->rank, y->dim, count, e);

	return rc < 0 ? rc : onx_move_new(s, 1, out, e);
}

void onx_move_forward(const struct onx_call *c)
{
	const struct onx_move *m = c->geo;

	onx_walk_copy(&m->w[0], c->y[0].v, c->x[0].v, c->y[0].width, c->pool);
}

void onx_move_backward(const struct onx_call *c)
{
	const struct onx_move *m = c->geo;
	const struct onx_view *dx = &c->dx[0];

	if (!dx->v)
		return;
	if (m->zero && !dx->add)
		onx_fill(dx->v, dx->n, NULL, sizeof(real));
	onx_walk_back(&m->w[0], dx->v, c->dy[0].v, dx->add, c->pool);
}

/* op/gradient.c -- Backward, the derivative of another node as a node (gradient.h).
 *
 * What the other node's backward reads of its outputs, and what its forward saved, is computed once more in scratch,
 * so that no plan need keep it: Gradient is for graphs that show their gradients, not for training. */
#include <string.h>
#include "kernel/real.h"
#include "op/gradient.h"
#include "op/infer.h"

#define ROUND64(n) (((n) + 63) / 64 * 64)

struct geo {
	struct onx_infer in;            /* of the other node */
	int version;
};

/* The row in the precision of this file, and how it is computed. */
static const struct onx_op *row_of(const struct onx_backward_attr *a)
{
	return sizeof(real) == 8 ? onx_op_wide(a->op) : a->op;
}

static const struct onx_impl *way_of(const struct onx_op *op, const struct onx_infer *s, const void *attr)
{
	for (const struct onx_impl *m = op->impl; m && m->name; m++)
		if (!m->rough && (!m->fits || m->fits(s, attr)))
			return m;
	return NULL;
}

static int infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_backward_attr *a = attr;
	const int room = a->op->max_out < ONX_MANY && a->op->max_out > a->n_y ? a->op->max_out : a->n_y;
	struct geo *g = ONX_NEW(s->mem, struct geo);
	if (!g)
		return onx_nomem(e, sizeof *g, "a gradient");
	if (s->n_in < a->n_y)
		return onx_fail(e, ONX_FORMAT, "%d inputs, wanted the gradients of %d outputs first", s->n_in, a->n_y);
	g->in = (struct onx_infer){ .version = a->version, .n_in = s->n_in - a->n_y, .n_out = room,
				    .in = s->in + a->n_y, .mem = s->mem };
	g->in.out = ONX_NEWS(s->mem, struct onx_fact, (size_t)room + 1);
	g->in.out_wanted = ONX_NEWS(s->mem, bool, (size_t)room + 1);
	if (!g->in.out || !g->in.out_wanted)
		return onx_nomem(e, sizeof *g->in.out, "a gradient");
	for (int i = 0; i < a->n_y; i++)
		g->in.out_wanted[i] = i >= 32 || (a->wanted >> i & 1);
	int rc = a->op->infer(&g->in, a->attr, e);
	if (rc == ONX_OK && g->in.train)
		rc = onx_fail(e, ONX_UNSUP, "the gradient of %s in training mode", a->op->type);
	for (int i = 0; rc == ONX_OK && i < a->n_y; i++)
		if (s->in[i].type != ONX_UNDEFINED && !onx_shape_equal(&s->in[i].shape, &g->in.out[i].shape))
			rc = onx_fail(e, ONX_SHAPE, "the gradient of output %d has another shape than it", i);
	for (int i = 0; rc == ONX_OK && i < s->n_out && i < g->in.n_in; i++)
		if (s->out_wanted[i])
			s->out[i] = (struct onx_fact){ .type = g->in.in[i].type, .shape = g->in.in[i].shape };
	s->geo = g;
	return rc;
}

/* ---- scratch: views of y and dy, the numbers of y, what forward saves, what it and backward work in ---- */

struct room { size_t view, y, save, work, all; };

static size_t bytes_of(const struct onx_fact *f)
{
	size_t n = 1;
	for (int d = 0; d < f->shape.rank; d++)
		n *= (size_t)f->shape.dim[d];
	return f->type == ONX_UNDEFINED ? 0 : ROUND64(n * onx_dtype_store(f->type, sizeof(real) == 8));
}

static bool runs_forward(const struct onx_op *op, const struct room *r)
{
	return op->keep >> 16 || r->save;
}

static struct room room_of(const struct geo *g, const struct onx_backward_attr *a, int threads)
{
	const struct onx_op *op = row_of(a);
	const struct onx_impl *m = way_of(op, &g->in, a->attr);
	size_t (*saved)(const struct onx_infer *, const void *) = m && m->backward ? m->saved : op->saved;
	struct room r = { .view = ROUND64((size_t)(g->in.n_in + 2 * g->in.n_out + 1) * sizeof(struct onx_view)) };
	r.save = saved ? ROUND64(saved(&g->in, a->attr)) : 0;
	for (int back = 0; back < 2; back++) {
		const bool by_row = !m || !m->backward;
		size_t (*work)(const struct onx_infer *, const void *, int, bool) = by_row ? op->scratch : m->scratch;
		const size_t n = work ? ROUND64(work(&g->in, a->attr, threads, back)) : 0;
		r.work = n > r.work ? n : r.work;
	}
	for (int i = 0; runs_forward(op, &r) && i < g->in.n_out; i++)
		r.y += bytes_of(&g->in.out[i]);
	r.all = r.view + r.y + r.save + r.work;
	return r;
}

static size_t scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	(void)backward;
	return room_of(s->geo, attr, threads).all;
}

static double macs(const struct onx_infer *s, const void *attr)
{
	const struct onx_backward_attr *a = attr;
	const struct geo *g = s->geo;
	return a->op->macs ? 2 * a->op->macs(&g->in, a->attr) : 0;
}

static struct onx_view shape_of(const struct onx_fact *f)
{
	struct onx_view v = { .n = 1, .rank = f->shape.rank, .dim = f->shape.dim, .type = f->type,
			      .width = (uint8_t)onx_dtype_store(f->type, sizeof(real) == 8) };
	for (int d = 0; d < v.rank; d++)
		v.n *= (size_t)v.dim[d];
	return f->type == ONX_UNDEFINED ? (struct onx_view){ 0 } : v;
}

static void zeros(const struct onx_call *c)
{
	for (int i = 0; i < c->n_y; i++)
		if (c->y[i].v)
			memset(c->y[i].v, 0, c->y[i].n * c->y[i].width);
}

static void forward(const struct onx_call *c)
{
	const struct onx_backward_attr *a = c->attr;
	const struct geo *g = c->geo;
	const struct onx_op *op = row_of(a);
	const struct onx_impl *m = way_of(op, &g->in, a->attr);
	const bool by_row = !m || !m->backward;
	const struct room r = room_of(g, a, onx_pool_threads(c->pool));
	struct onx_view *y = c->scratch, *dy = y + g->in.n_out, *dx = dy + g->in.n_out;
	char *at = (char *)c->scratch + r.view;
	bool any = false;
	for (int i = 0; i < g->in.n_out; i++) {
		y[i] = shape_of(&g->in.out[i]);
		if (y[i].rank || y[i].n)
			y[i].v = runs_forward(op, &r) ? at : NULL;
		at += y[i].v ? bytes_of(&g->in.out[i]) : 0;
		dy[i] = i < a->n_y && onx_dtype_real(c->x[i].type) ? c->x[i] : (struct onx_view){ 0 };
		any |= dy[i].v != NULL;
	}
	for (int i = 0; i < g->in.n_in; i++) {
		const bool real_dx = i < c->n_y && c->y[i].v && onx_dtype_real(c->y[i].type);
		dx[i] = real_dx && onx_op_grad(op, i) == ONX_G_DIFF ? c->y[i] : (struct onx_view){ 0 };
		dx[i].add = false;
	}
	zeros(c);
	if (!any)
		return;
	const struct onx_call in = { .attr = a->attr, .geo = g->in.geo, .n_x = g->in.n_in, .n_y = g->in.n_out,
				     .x = c->x + a->n_y, .y = y, .dy = dy, .dx = dx, .save = at,
				     .scratch = at + r.save, .rng = c->rng, .pool = c->pool };
	if (runs_forward(op, &r))
		(by_row ? op->forward : m->forward)(&in);
	(by_row ? op->backward : m->backward)(&in);
}

const struct onx_op ONX_R(onx_ops_gradient)[] = {
	{ .domain = "onnx_adapt", .type = "Backward", .since = 1, .min_in = 1, .max_in = ONX_MANY, .min_out = 0,
	  .max_out = ONX_MANY, .grad = { ONX_G_DIFF }, .n_grad = 1, .flags = ONX_OP_SECOND, .infer = infer,
	  .scratch = scratch, .macs = macs, .forward = forward },
	{ .type = NULL }
};

/* op/dropout.c -- Dropout.  Active in the training mode of the plan, or where the node itself says
 * training_mode: y = x * mask / (1 - ratio); else y = x.  Element i is dropped if the i-th number of the
 * node's stream is below ratio, so the bits do not depend on threads.  The mask (a byte an element) is
 * drawn in forward and kept in `save`, so backward sees the same one. */
#include <string.h>
#include "kernel/cpu.h"
#include "kernel/draw.h"
#include "kernel/real.h"
#include "op/infer.h"
#include "op/loop.h"

struct dropout { double ratio; int64_t seed; uint64_t given; bool is_test; };
static const struct onx_field old_field[] = {
	{ .name = "ratio", .kind = F_REAL, .off = offsetof(struct dropout, ratio), .def = "0.5", .min = 0,
	  .max = 1, .help = "share of the elements that are dropped" },
	{ .name = "is_test", .kind = F_BOOL, .off = offsetof(struct dropout, is_test), .def = "0",
	  .help = "before opset 7: whether this is inference; the run knows" },
	{ .name = NULL }
};
static const struct onx_field new_field[] = {
	{ .name = "seed", .kind = F_INT, .off = offsetof(struct dropout, seed), .def = "0",
	  .help = "replaces the run's own seed" },
	{ .name = NULL }
};
static const struct onx_table old_attr = { .name = "Dropout", .size = sizeof(struct dropout),
					   .field = old_field };
static const struct onx_table new_attr = { .name = "Dropout", .size = sizeof(struct dropout),
					   .field = new_field, .given = offsetof(struct dropout, given) };

struct geo { bool on; double ratio; uint64_t seed; bool seeded; };

static int dropout_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct dropout *p = attr;
	struct geo *g = ONX_NEW(s->mem, struct geo);
	double on = 0;
	int rc = onx_want_real(s, 0, e);

	if (!g)
		return onx_nomem(e, sizeof *g, "a node");
	g->ratio = s->version < 12 ? p->ratio : 0.5;
	if (rc == ONX_OK && onx_has_in(s, 1))
		rc = onx_in_real(s, 1, &g->ratio, e);
	if (rc == ONX_OK && onx_has_in(s, 2))
		rc = onx_in_real(s, 2, &on, e);
	if (rc < 0)
		return rc;
	if (!(g->ratio >= 0 && g->ratio < 1) && !(g->ratio == 1 && s->version < 12))
		return onx_fail(e, ONX_SHAPE, "ratio is %g, wanted a number in [0, 1)", g->ratio);
	g->on = (s->train || on != 0) && g->ratio > 0;
	g->seeded = s->version >= 12 && onx_given(&new_attr, p, "seed");
	g->seed = g->seeded ? (uint64_t)p->seed : 0;
	s->geo = g;
	onx_set_out(s, 0, s->in[0].type, &s->in[0].shape);
	onx_set_out(s, 1, s->version < 10 ? s->in[0].type : ONX_BOOL, &s->in[0].shape);
	return ONX_OK;
}

static size_t dropout_saved(const struct onx_infer *s, const void *attr)
{
	const struct geo *g = s->geo;
	struct onx_err e;
	size_t n = 0;

	(void)attr;
	if (!g || !g->on || onx_count(s->in[0].shape.rank, s->in[0].shape.dim, &n, &e) < 0)
		return 0;
	return n;
}

enum { SOME = 512 };            /* numbers drawn at once */

/* below: the number that a draw must reach to keep its element */
ONX_CLONES static void drop_run(const uint32_t *restrict draw, uint32_t below, const real *x, real up, size_t n,
				uint8_t *restrict mask, real *y)
{
	for (size_t i = 0; i < n; i++)
		mask[i] = draw[i] >= below;
	ONX_ALIKE for (size_t i = 0; i < n; i++) {
		const real v = x[i] * up;
		y[i] = draw[i] >= below ? v : 0;
	}
}

static void drop_range(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_call *c = ctx;
	const struct geo *g = c->geo;
	const real up = (real)(g->ratio < 1 ? 1 / (1 - g->ratio) : 0);
	const double below = ceil(g->ratio * 0x1p32);           /* draw * 2^-32 >= ratio */
	uint32_t draw[SOME];
	struct onx_rng r;

	onx_rng_init(&r, g->seeded ? g->seed : c->rng.seed, ONX_RNG_NODE, c->rng.step, c->rng.node);
	for (size_t i = lo, n; i < hi; i += n) {                /* pieces begin at multiples of 4 */
		n = hi - i < SOME ? hi - i : SOME;
		if (below < 0x1p32)
			onx_draw(&r, i / 4, draw, n);
		else
			memset(draw, 0, sizeof draw);
		drop_run(draw, below < 0x1p32 ? (uint32_t)below : 1, (const real *)c->x[0].v + i, up, n,
			 (uint8_t *)c->save + i, (real *)c->y[0].v + i);
	}
}

static void dropout_forward(const struct onx_call *c)
{
	const struct geo *g = c->geo;
	const struct onx_view *mask = &c->y[1];

	if (g->on)
		onx_each(c->pool, c->x[0].n, ONX_GRAIN, drop_range, c);
	else if (c->x[0].v != c->y[0].v)
		memcpy(c->y[0].v, c->x[0].v, c->x[0].n * sizeof(real));
	if (c->n_y < 2 || !mask->v)
		return;
	for (size_t i = 0; i < mask->n; i++)
		onx_view_put_real(mask, i, !g->on || ((const uint8_t *)c->save)[i]);
}

/* mask NULL: nothing was dropped */
ONX_CLONES static void back_run(const uint8_t *mask, const real *dy, real up, bool add, size_t n, real *dx)
{
	if (!mask) {
		ONX_ALIKE for (size_t i = 0; i < n; i++)
			dx[i] = (add ? dx[i] : 0) + dy[i];
		return;
	}
	ONX_ALIKE for (size_t i = 0; i < n; i++) {
		const real v = dy[i] * up;
		dx[i] = (add ? dx[i] : 0) + (mask[i] ? v : 0);
	}
}

static void back_range(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_call *c = ctx;
	const struct geo *g = c->geo;
	const real up = (real)(g->on && g->ratio < 1 ? 1 / (1 - g->ratio) : 1);

	back_run(g->on ? (const uint8_t *)c->save + lo : NULL, (const real *)c->dy[0].v + lo, up, c->dx[0].add,
		 hi - lo, (real *)c->dx[0].v + lo);
}

static void dropout_backward(const struct onx_call *c)
{
	const struct onx_view *dx = &c->dx[0];

	if (dx->v && c->dy[0].v)
		onx_each(c->pool, dx->n, ONX_GRAIN, back_range, c);
	else if (dx->v && !dx->add)
		memset(dx->v, 0, dx->n * sizeof(real));
}

#define ROW(since_, max_in_, table)                                                          \
	{ .domain = "", .type = "Dropout", .since = since_, .min_in = 1, .max_in = max_in_,  \
	  .min_out = 1, .max_out = 2, .grad = { ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 2, .alias = 1, \
	  .flags = ONX_OP_TRAIN, .attr = &table, .infer = dropout_infer,                     \
	  .saved = dropout_saved, .forward = dropout_forward, .backward = dropout_backward }

const struct onx_op ONX_R(onx_ops_dropout)[] = {
	ROW(1, 1, old_attr),
	ROW(12, 3, new_attr),
	{ .type = NULL }
};

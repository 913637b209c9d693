/* op/cache.c -- TensorScatter: a cache of keys or values with the steps of an update written into it.
 * past [b][...][most][...], update [b][...][steps][...]; sample i is written from write_indices[i] on.  What would
 * go behind the end is left out (linear) or starts at the front again (circular). */
#include <inttypes.h>
#include <string.h>
#include "kernel/real.h"
#include "op/infer.h"

struct cache { int64_t axis; int circular; };
static const char *const cache_modes[] = { "linear", "circular", NULL };
static const struct onx_field cache_field[] = {
	{ "axis", F_INT, offsetof(struct cache, axis), .def = "-2", .help = "axis of the steps" },
	{ "mode", F_ENUM, offsetof(struct cache, circular), .def = "linear", .choices = cache_modes,
	  .help = "what follows on the last place" },
	{ .name = NULL }
};
static const struct onx_table cache_attr = { "TensorScatter", sizeof(struct cache), cache_field, .check = NULL };

struct cache_geo { size_t b, middle, most, steps, inner; };

static int cache_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape, *u = &s->in[1].shape;
	struct cache_geo *g = ONX_NEW(s->mem, struct cache_geo);
	char t[ONX_SHAPE_TEXT], v[ONX_SHAPE_TEXT];
	int axis, rc;

	if (!g)
		return onx_nomem(e, sizeof *g, "TensorScatter");
	if ((rc = onx_infer_same_any(s, attr, e)) < 0 || (rc = onx_want_same_type(s, 0, 1, e)) < 0 ||
	    (rc = onx_axis(((const struct cache *)attr)->axis, x->rank, &axis, e)) < 0)
		return rc;
	if (axis == 0)
		return onx_fail(e, ONX_SHAPE, "axis 0 is the samples', not the steps'");
	for (int d = 0; d < x->rank; d++)
		if (u->rank != x->rank || (d == axis ? u->dim[d] > x->dim[d] : u->dim[d] != x->dim[d]))
			return onx_fail(e, ONX_SHAPE, "an update of shape %s for a cache of shape %s, axis %d",
					onx_shape_text(u->rank, u->dim, t, sizeof t),
					onx_shape_text(x->rank, x->dim, v, sizeof v), axis);
	if (onx_has_in(s, 2)) {
		if ((rc = onx_want_type(s, 2, ONX_INT64, e)) < 0 || (rc = onx_want_rank(s, 2, 1, 1, e)) < 0)
			return rc;
		if (s->in[2].shape.dim[0] != x->dim[0])
			return onx_fail(e, ONX_SHAPE, "%" PRId64 " places for %" PRId64 " samples",
					s->in[2].shape.dim[0], x->dim[0]);
	}
	*g = (struct cache_geo){ (size_t)x->dim[0], 1, (size_t)x->dim[axis], (size_t)u->dim[axis], 1 };
	for (int d = 1; d < x->rank; d++) {
		g->middle *= d < axis ? (size_t)x->dim[d] : 1;
		g->inner *= d > axis ? (size_t)x->dim[d] : 1;
	}
	s->geo = g;
	return ONX_OK;
}

/* Where the update of line i begins; it has no place at all if that is outside (linear). */
static bool begins(const struct onx_call *c, size_t i, size_t *at)
{
	const struct cache_geo *g = c->geo;
	int64_t first = c->n_x > 2 && c->x[2].v ? onx_view_int(&c->x[2], i / g->middle) : 0;

	if (((const struct cache *)c->attr)->circular && g->most > 0) {
		first %= (int64_t)g->most;
		first += first < 0 ? (int64_t)g->most : 0;
	}
	*at = (size_t)first;
	return first >= 0 && first < (int64_t)g->most;
}

/* The step of the update that place p of line i holds; g->steps or more: none. */
static size_t step_at(const struct onx_call *c, size_t i, size_t p)
{
	const struct cache_geo *g = c->geo;
	size_t first;

	if (!begins(c, i, &first))
		return g->steps;
	if (p >= first)
		return p - first;
	return ((const struct cache *)c->attr)->circular ? p + g->most - first : g->steps;
}

/* The place of step k of line i; g->most or more: none. */
static size_t place_of(const struct onx_call *c, size_t i, size_t k)
{
	const struct cache_geo *g = c->geo;
	size_t first;

	if (!begins(c, i, &first))
		return g->most;
	return ((const struct cache *)c->attr)->circular ? (first + k) % g->most : first + k;
}

static void cache_forward(const struct onx_call *c)
{
	const struct cache_geo *g = c->geo;
	const size_t row = g->inner * c->y[0].width;

	if (c->x[0].v != c->y[0].v && c->y[0].n > 0)
		memcpy(c->y[0].v, c->x[0].v, c->y[0].n * c->y[0].width);
	for (size_t i = 0; i < g->b * g->middle; i++)
		for (size_t k = 0; k < g->steps; k++) {
			const size_t p = place_of(c, i, k);
			if (p < g->most)
				memcpy((char *)c->y[0].v + (i * g->most + p) * row,
				       (const char *)c->x[1].v + (i * g->steps + k) * row, row);
		}
}

/* dupdate: dy where it went; dpast: dy everywhere else. */
static void cache_backward(const struct onx_call *c)
{
	const struct cache_geo *g = c->geo;
	const real *dy = c->dy[0].v;
	real *past = c->dx[0].v, *update = c->dx[1].v;

	for (size_t i = 0; past && i < c->dx[0].n; i++) {
		const size_t line = i / g->inner / g->most, p = i / g->inner % g->most;
		onx_put(&past[i], c->dx[0].add, step_at(c, line, p) < g->steps ? 0 : dy[i]);
	}
	for (size_t i = 0; update && i < c->dx[1].n; i++) {
		const size_t line = i / g->inner / g->steps, p = place_of(c, line, i / g->inner % g->steps);
		onx_put(&update[i], c->dx[1].add,
			p < g->most ? dy[(line * g->most + p) * g->inner + i % g->inner] : 0);
	}
}

const struct onx_op ONX_R(onx_ops_cache)[] = {
	{ .domain = "", .type = "TensorScatter", .since = 24, .min_in = 2, .max_in = 3, .min_out = 1, .max_out = 1,
	  .grad = { ONX_G_DIFF, ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 3, .keep = ONX_KEEP_X(2), .alias = 1,
	  .attr = &cache_attr, .infer = cache_infer, .forward = cache_forward, .backward = cache_backward },
	{ .type = NULL }
};

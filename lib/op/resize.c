/* op/resize.c -- Resize and Upsample.
 *
 * Nearest moves elements of any type (a remap, op/walk.h); linear and cubic are passes over the axes that
 * change (op/taps.h).  In mode tf_crop_and_resize an element that lies outside the input on any axis gets
 * extrapolation_value and passes no gradient. */
#include "op/resize_i.h"
#include <string.h>
#include "op/bulk.h"
#include "op/infer.h"
#include "op/remap.h"
#include "op/walk.h"
#include "op/whole.h"

static const char *const old_modes[] = { "nearest", "linear", NULL };
static const char *const modes[] = { "nearest", "linear", "cubic", NULL };
static const char *const coords[] = { "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel",
	"align_corners", "asymmetric", "tf_crop_and_resize", "tf_half_pixel_for_nn", NULL };
static const char *const nears[] = { "round_prefer_floor", "round_prefer_ceil", "floor", "ceil", NULL };
static const char *const policies[] = { "stretch", "not_larger", "not_smaller", NULL };

static const struct onx_field upsample_field[] = {
	{ "mode", F_ENUM, offsetof(struct onx_resize, mode), .def = "nearest", .choices = old_modes,
	  .help = "how elements between the given ones are made" },
	{ "scales", F_REALS, offsetof(struct onx_resize, scales), .def = "", .help = "new size / old, by axis" },
	{ .name = NULL }
};
static const struct onx_table upsample_attr = { "Upsample", sizeof(struct onx_resize), upsample_field,
	.given = offsetof(struct onx_resize, given) };
static const struct onx_field resize_field[] = {
	{ "antialias", F_BOOL, offsetof(struct onx_resize, antialias), .def = "0",
	  .help = "average over all elements that fall together when shrinking" },
	{ "axes", F_INTS, offsetof(struct onx_resize, axes), .def = "",
	  .help = "axes that roi, scales and sizes name" },
	{ "coordinate_transformation_mode", F_ENUM, offsetof(struct onx_resize, coord), .def = "half_pixel",
	  .choices = coords, .help = "where an element of the result lies in the input" },
	{ "cubic_coeff_a", F_REAL, offsetof(struct onx_resize, a), .def = "-0.75", .help = "slope of the cubic at 1" },
	{ "exclude_outside", F_BOOL, offsetof(struct onx_resize, exclude), .def = "0",
	  .help = "leave out elements beyond the border instead of repeating it" },
	{ "extrapolation_value", F_REAL, offsetof(struct onx_resize, extrapolation), .def = "0",
	  .help = "value outside the input in tf_crop_and_resize" },
	{ "keep_aspect_ratio_policy", F_ENUM, offsetof(struct onx_resize, policy), .def = "stretch",
	  .choices = policies, .help = "what `sizes` mean" },
	{ "mode", F_ENUM, offsetof(struct onx_resize, mode), .def = "nearest", .choices = modes,
	  .help = "how elements between the given ones are made" },
	{ "nearest_mode", F_ENUM, offsetof(struct onx_resize, nearest), .def = "round_prefer_floor",
	  .choices = nears, .help = "which neighbour counts as the nearest" },
	{ .name = NULL }
};
static const struct onx_table resize_attr = { "Resize", sizeof(struct onx_resize), resize_field,
	.given = offsetof(struct onx_resize, given) };

struct pass { struct onx_taps taps; size_t outer, inner, n_to; };       /* n_to: elements it makes */
struct geo {
	size_t whole_x, whole_y;        /* elements of x and y where these are whole numbers, to be computed as real */
	bool nearest, crop;
	struct onx_remap map;           /* nearest; in a crop also says (-1) what is outside          */
	int n_pass;
	struct pass pass[ONX_RANK];
	size_t most;                    /* elements of the largest tensor between two passes         */
};

/* ---- geometry ---- */

/* at[]: the nearest element, or -1 where a crop leaves the input. */
static int make_map(struct onx_infer *s, const struct onx_axis_map *m, int rank, enum onx_near near,
		    const int64_t *stride, struct onx_remap *map, struct onx_err *e)
{
	map->rank = rank;
	for (int i = 0; i < rank; i++) {
		int64_t *at = ONX_NEWS(s->mem, int64_t, (size_t)m[i].n_out + 1);

		if (!at)
			return onx_nomem(e, 8.0 * (double)m[i].n_out, "places of an axis");
		for (int64_t j = 0; j < m[i].n_out; j++) {
			double x;

			at[j] = !onx_coordinate(&m[i], j, &x) ? -1 : onx_nearest_at(&m[i], near, x) * stride[i];
		}
		map->dim[i] = m[i].n_out;
		map->at[i] = at;
	}
	return ONX_OK;
}

static bool same_axis(const struct onx_axis_map *m)
{
	return m->n_in == m->n_out && m->scale == 1 && m->roi0 == 0 && m->roi1 == 1;
}

/* Axes that shrink go first, from the outermost on, then those that grow, from the innermost on: little is computed
 * along rows, where neighbours of the result do not read neighbours. */
static int order_of_passes(const struct onx_axis_map *m, int rank, int *axes)
{
	int n = 0;

	for (int i = 0; i < rank; i++)
		if (!same_axis(&m[i]) && m[i].n_out <= m[i].n_in)
			axes[n++] = i;
	for (int i = rank - 1; i >= 0; i--)
		if (!same_axis(&m[i]) && m[i].n_out > m[i].n_in)
			axes[n++] = i;
	return n;
}

static int make_passes(struct onx_infer *s, const struct onx_resize *a, const struct onx_axis_map *m, int rank,
		       struct geo *g, struct onx_err *e)
{
	const bool cubic = a->mode == ONX_RESIZE_CUBIC;
	int64_t dim[ONX_RANK];
	int axes[ONX_RANK];

	for (int i = 0; i < rank; i++)
		dim[i] = m[i].n_in;
	g->n_pass = order_of_passes(m, rank, axes);
	for (int k = 0; k < g->n_pass; k++) {
		struct pass *p = &g->pass[k];
		const int i = axes[k];

		if (!onx_taps_make(&m[i], cubic, a->a, a->exclude, a->antialias, s->mem, &p->taps))
			return onx_nomem(e, 32.0 * (double)m[i].n_out, "weights of an axis");
		dim[i] = m[i].n_out;
		p->outer = (size_t)onx_span(dim, 0, i);
		p->inner = (size_t)onx_span(dim, i + 1, rank);
		int rc = onx_count(rank, dim, &p->n_to, e);
		if (rc < 0)
			return rc;
		g->most = p->n_to > g->most ? p->n_to : g->most;
	}
	return ONX_OK;
}

static int any_infer(struct onx_infer *s, const struct onx_resize *a, bool upsample, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape;
	const bool old = upsample || s->version < 11;
	struct onx_shape y = { .rank = x->rank };
	struct onx_axis_map m[ONX_RANK];
	int64_t stride[ONX_RANK];
	struct geo *g = ONX_NEW(s->mem, struct geo);
	size_t n;

	if (!g)
		return onx_nomem(e, sizeof *g, "geometry of a resize");
	const bool whole = onx_is_whole(s->in[0].type) || s->in[0].type == ONX_BOOL;
	int rc = a->mode == ONX_RESIZE_NEAREST || whole ? ONX_OK : onx_want_real(s, 0, e);
	if (rc == ONX_OK)
		rc = onx_resize_maps(s, a, upsample, m, e);
	for (int i = 0; rc == ONX_OK && i < x->rank; i++)
		y.dim[i] = m[i].n_out;
	if (rc == ONX_OK)
		rc = onx_count(y.rank, y.dim, &n, e);
	if (rc < 0)
		return rc;
	if (n > 0 && onx_span(x->dim, 0, x->rank) == 0)
		return onx_fail(e, ONX_SHAPE, "an empty input cannot be resized to something");
	g->nearest = a->mode == ONX_RESIZE_NEAREST;
	g->whole_x = whole && !g->nearest ? (size_t)onx_span(x->dim, 0, x->rank) : 0;
	g->whole_y = whole && !g->nearest ? n : 0;
	g->crop = !old && a->coord == ONX_TF_CROP_AND_RESIZE;
	onx_strides(x->rank, x->dim, stride);
	const enum onx_near near = old ? upsample ? ONX_NEAR_FLOOR : ONX_NEAR_SIMPLE
				       : (enum onx_near)a->nearest;
	if (n > 0 && (g->nearest || g->crop))
		rc = make_map(s, m, x->rank, near, stride, &g->map, e);
	if (rc == ONX_OK && n > 0 && !g->nearest)
		rc = make_passes(s, a, m, x->rank, g, e);
	s->geo = g;
	onx_set_out(s, 0, s->in[0].type, &y);
	return rc;
}

static int upsample_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	return any_infer(s, attr, true, e);
}

static int resize_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	return any_infer(s, attr, false, e);
}

/* ---- kernels ---- */

/* Two tensors between passes; backward in a crop also a dy without the elements outside. */
static size_t resize_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	const struct geo *g = s->geo;
	const size_t between = g->n_pass > 1 ? 2 * g->most : 0;

	(void)attr;
	(void)threads;
	if (g->nearest)
		return 0;
	return (between + (backward && g->crop ? g->most : 0) + g->whole_x + g->whole_y) * sizeof(double);
}

/* Sets or clears what a crop leaves outside: y[i] = value there. */
static void outside(const struct geo *g, real *y, size_t n, real value)
{
	for (size_t i = 0; i < n; i++) {
		size_t rest = i;
		bool out = false;

		for (int d = g->map.rank - 1; d >= 0; d--) {
			out = out || g->map.at[d][rest % (size_t)g->map.dim[d]] < 0;
			rest /= (size_t)g->map.dim[d];
		}
		if (out)
			y[i] = value;
	}
}

static void nearest_forward(const struct onx_call *c, const struct geo *g)
{
	const double value = ((const struct onx_resize *)c->attr)->extrapolation;
	union { double any[2]; const char *text; } none = { .any = { 0, 0 } };
	const struct onx_view fill = { .v = &none, .n = 1, .type = c->y[0].type, .width = c->y[0].width };

	if (onx_dtype_real(fill.type))
		onx_view_put_real(&fill, 0, value);
	else if (fill.type == ONX_STRING)
		none.text = "";
	else if (onx_dtype_class(fill.type) != ONX_CLASS_CPLX)
		onx_view_put_int(&fill, 0, (int64_t)value);
	onx_remap_copy(&g->map, c->y[0].v, c->x[0].v, &none, c->y[0].width, c->pool);
}

static void resize_forward(const struct onx_call *c)
{
	const struct geo *g = c->geo;
	const struct onx_view *y = &c->y[0];
	real *buffer[2] = { c->scratch, (real *)c->scratch + g->most };
	const real *from = c->x[0].v;

	if (y->n == 0)
		return;
	if (g->nearest) {
		nearest_forward(c, g);
		return;
	}
	if (g->n_pass == 0)
		memcpy(y->v, from, y->n * sizeof *from);
	for (int i = 0; i < g->n_pass; i++) {
		real *to = i + 1 == g->n_pass ? y->v : buffer[i % 2];

		onx_taps_forward(&g->pass[i].taps, g->pass[i].outer, g->pass[i].inner, from, to, c->pool);
		from = to;
	}
	if (g->crop)
		outside(g, y->v, y->n, (real)((const struct onx_resize *)c->attr)->extrapolation);
}

/* Whole numbers are resized as real ones and cut. */
static void any_forward(const struct onx_call *c)
{
	const struct geo *g = c->geo;
	const size_t between = g->n_pass > 1 ? 2 * g->most : 0;
	struct onx_view x = c->x[0], y = c->y[0];
	struct onx_call d = *c;

	if (!g->whole_y) {
		resize_forward(c);
		return;
	}
	x.v = (double *)c->scratch + between;
	y.v = (double *)x.v + g->whole_x;
	x.type = y.type = ONX_FLOAT;
	x.width = y.width = sizeof(real);
	d.x = &x;
	d.y = &y;
	onx_bulk_to_real(&c->x[0], x.v, c->pool);
	resize_forward(&d);
	onx_bulk_cut(&c->y[0], y.v, c->pool);
}

static void nearest_backward(const struct onx_call *c, const struct geo *g)
{
	if (!c->dx[0].add)
		onx_fill(c->dx[0].v, c->dx[0].n, NULL, sizeof(real));
	if (c->y[0].n > 0)
		onx_remap_back(&g->map, c->dx[0].v, c->dy[0].v, c->pool);
}

static void resize_backward(const struct onx_call *c)
{
	const struct geo *g = c->geo;
	const struct onx_view *dx = &c->dx[0];
	const size_t n = c->dy[0].n;
	real *buffer[2] = { c->scratch, (real *)c->scratch + g->most };
	const real *from = c->dy[0].v;

	if (!dx->v)
		return;
	if (g->nearest || n == 0) {
		nearest_backward(c, g);
		return;
	}
	if (g->crop && g->n_pass > 0) { /* behind the two buffers, if there are any */
		real *masked = (real *)c->scratch + (g->n_pass > 1 ? 2 * g->most : 0);

		memcpy(masked, from, n * sizeof *from);
		outside(g, masked, n, 0);
		from = masked;
	}
	for (size_t i = 0; g->n_pass == 0 && i < dx->n; i++)
		onx_put(&((real *)dx->v)[i], dx->add, from[i]);
	for (int i = g->n_pass - 1; i >= 0; i--) {
		real *to = i == 0 ? dx->v : buffer[i % 2];

		onx_taps_backward(&g->pass[i].taps, g->pass[i].outer, g->pass[i].inner, to, from,
				  i == 0 && dx->add, c->pool);
		from = to;
	}
}

#define RESIZE(name, version, ins, table, rule)                                             \
	{ .domain = "", .type = name, .since = version, .min_in = 1, .max_in = ins,           \
	  .min_out = 1, .max_out = 1, .grad = { ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 2,       \
	  .attr = table, .infer = rule, .scratch = resize_scratch,                            \
	  .forward = any_forward, .backward = resize_backward }
const struct onx_op ONX_R(onx_ops_resize)[] = {
	RESIZE("Upsample", 7, 2, &upsample_attr, upsample_infer),
	RESIZE("Resize", 10, 4, &resize_attr, resize_infer),
	{ .type = NULL }
};

/* op/scatter.c -- Scatter, ScatterElements, ScatterND: y = x, then block k of the updates goes where
 * index k says (op/index.h), in the order of k.
 *
 * Where several updates without a reduction meet in one place the last one wins; the standard leaves it
 * open.  Their gradient is then dy for each of them, as in PyTorch. */
#include "op/index.h"
#include <string.h>
#include "kernel/cpu.h"
#include "op/loop.h"

enum reduction { RED_NONE, RED_ADD, RED_MUL, RED_MAX, RED_MIN };
static const char *const reductions[] = { "none", "add", "mul", "max", "min", NULL };

struct scatter { int64_t axis; int reduction; uint64_t given; };
static const struct onx_field scatter_field[] = {
	{ "axis", F_INT, offsetof(struct scatter, axis), .def = "0", .help = "axis that the indices select from" },
	{ .name = NULL }
};
static const struct onx_table scatter_attr = { "Scatter", sizeof(struct scatter), scatter_field,
	.given = offsetof(struct scatter, given) };
static const struct onx_field elements_field[] = {
	{ "axis", F_INT, offsetof(struct scatter, axis), .def = "0", .help = "axis that the indices select from" },
	{ "reduction", F_ENUM, offsetof(struct scatter, reduction), .def = "none", .choices = reductions,
	  .help = "what an update does to the element that it meets" },
	{ .name = NULL }
};
static const struct onx_table elements_attr = { "ScatterElements", sizeof(struct scatter), elements_field,
	.given = offsetof(struct scatter, given) };
static const struct onx_field nd_field[] = {
	{ "reduction", F_ENUM, offsetof(struct scatter, reduction), .def = "none", .choices = reductions,
	  .help = "what an update does to the element that it meets" },
	{ .name = NULL }
};
static const struct onx_table nd_attr = { "ScatterND", sizeof(struct scatter), nd_field,
	.given = offsetof(struct scatter, given) };

static int finish(struct onx_infer *s, const struct scatter *a, const struct onx_shape *want,
		  struct onx_err *e)
{
	char have[ONX_SHAPE_TEXT], text[ONX_SHAPE_TEXT];
	const struct onx_shape *u = &s->in[2].shape;
	int rc = onx_want_same_type(s, 0, 2, e);

	if (rc < 0)
		return rc;
	if (!onx_shape_equal(u, want))
		return onx_fail(e, ONX_SHAPE, "updates of shape %s, wanted %s",
				onx_shape_text(u->rank, u->dim, have, sizeof have),
				onx_shape_text(want->rank, want->dim, text, sizeof text));
	const enum onx_class class = onx_dtype_class(s->in[0].type);
	if (a->reduction != RED_NONE && (class == ONX_CLASS_TEXT || class == ONX_CLASS_CPLX))
		return onx_fail(e, ONX_UNSUP, "no reduction '%s' of %s", reductions[a->reduction],
				onx_dtype_name(s->in[0].type));
	onx_set_out(s, 0, s->in[0].type, &s->in[0].shape);
	return ONX_OK;
}

static int elements_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct scatter *a = attr;
	struct onx_index *g;
	int rc = onx_index_elements(s, a->axis, &g, e);

	return rc < 0 ? rc : finish(s, a, &s->in[1].shape, e);
}

static int nd_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	struct onx_shape want;
	struct onx_index *g;
	int rc = onx_index_tuples(s, 0, &want, &g, e);

	return rc < 0 ? rc : finish(s, attr, &want, e);
}

static inline real meet(enum reduction r, real y, real u)
{
	switch (r) {
	case RED_ADD: return y + u;
	case RED_MUL: return y * u;
	case RED_MAX: return u > y || u != u ? u : y;
	case RED_MIN: return u < y || u != u ? u : y;
	default:      return u;
	}
}

/* Whole numbers wrap, as in C for unsigned ones. */
static int64_t meet_int(enum reduction r, bool is_unsigned, int64_t y, int64_t u)
{
	const bool less = is_unsigned ? (uint64_t)u < (uint64_t)y : u < y;

	switch (r) {
	case RED_ADD: return (int64_t)((uint64_t)y + (uint64_t)u);
	case RED_MUL: return (int64_t)((uint64_t)y * (uint64_t)u);
	case RED_MAX: return less ? y : u;
	case RED_MIN: return less ? u : y;
	default:      return u;
	}
}

enum { SOME = 256 };            /* places found at once */

/* Blocks of one real number. */
static void scatter_numbers(const struct onx_call *c, enum reduction r)
{
	const struct onx_index *g = c->geo;
	const real *u = c->x[2].v;
	real *y = c->y[0].v;
	int64_t at[SOME];

	for (size_t k = 0, n; k < g->blocks; k += n) {
		n = g->blocks - k < SOME ? g->blocks - k : SOME;
		onx_locate_run(g, &c->x[1], k, n, at);
		for (size_t i = 0; i < n; i++)
			if (at[i] >= 0)
				y[at[i]] = meet(r, y[at[i]], u[k + i]);
	}
}

static void scatter_forward(const struct onx_call *c)
{
	const enum reduction r = (enum reduction)((const struct scatter *)c->attr)->reduction;
	const struct onx_index *g = c->geo;
	const struct onx_view *y = &c->y[0], *u = &c->x[2];
	const size_t w = y->width;

	if (y->v != c->x[0].v && y->n > 0)
		memcpy(y->v, c->x[0].v, y->n * w);
	if (g->block == 1 && w == sizeof(real) && onx_dtype_real(y->type) && u->n > 0) {
		scatter_numbers(c, r);
		return;
	}
	for (size_t k = 0; u->n > 0 && k < g->blocks; k++) {
		const int64_t at = onx_locate(g, &c->x[1], k);
		const size_t from = k * g->block;

		if (at < 0)
			continue;
		if (r == RED_NONE)
			memcpy((char *)y->v + (size_t)at * w, (const char *)u->v + from * w, g->block * w);
		else if (onx_dtype_real(y->type))
			for (size_t i = 0; i < g->block; i++)
				((real *)y->v)[(size_t)at + i] = meet(r, ((real *)y->v)[(size_t)at + i],
								      ((const real *)u->v)[from + i]);
		else
			for (size_t i = 0; i < g->block; i++)
				onx_view_put_int(y, (size_t)at + i,
						 meet_int(r, onx_dtype_class(y->type) == ONX_CLASS_UINT,
							  onx_view_int(y, (size_t)at + i),
							  onx_view_int(u, from + i)));
	}
}

/* Gradients of a reduction that picks or multiplies.  part[p]: the product of the members of place p
 * that are not 0 (mul); count[p]: how many are 0 (mul) or equal the result (max, min; they share dy). */
static size_t scatter_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	const struct scatter *a = attr;
	struct onx_err e;
	size_t n;

	(void)threads;
	if (!backward || a->reduction == RED_ADD || onx_count(s->in[0].shape.rank, s->in[0].shape.dim, &n, &e) < 0)
		return 0;
	return n * (a->reduction == RED_NONE ? 1 : sizeof(double) + sizeof(uint32_t));
}

static void member(enum reduction r, real v, real y, real *part, uint32_t *count)
{
	if (r == RED_MUL && v != 0)
		*part *= v;
	else if (r == RED_MUL || v == y)
		++*count;
}

static real slope(enum reduction r, real v, real y, real part, uint32_t count)
{
	if (r != RED_MUL)
		return v == y && count > 0 ? 1 / (real)count : 0;
	if (v != 0)
		return count == 0 ? part / v : 0;
	return count == 1 ? part : 0;
}

static void reduced_backward(const struct onx_call *c, enum reduction r)
{
	const struct onx_index *g = c->geo;
	const real *x = c->x[0].v, *u = c->x[2].v, *y = c->y[0].v, *dy = c->dy[0].v;
	const size_t n = c->y[0].n;
	real *part = c->scratch, *dx = c->dx[0].v, *du = c->dx[2].v;
	uint32_t *count = (uint32_t *)(void *)(part + n);

	for (size_t p = 0; p < n; p++) {
		part[p] = 1;
		count[p] = 0;
		member(r, x[p], y[p], &part[p], &count[p]);
	}
	for (size_t k = 0; k < g->blocks; k++) {
		const int64_t at = onx_locate(g, &c->x[1], k);
		for (size_t i = 0; at >= 0 && i < g->block; i++)
			member(r, u[k * g->block + i], y[(size_t)at + i], &part[(size_t)at + i],
			       &count[(size_t)at + i]);
	}
	for (size_t p = 0; dx && p < n; p++)
		onx_put(&dx[p], c->dx[0].add, dy[p] * slope(r, x[p], y[p], part[p], count[p]));
	for (size_t k = 0; du && k < g->blocks; k++) {
		const int64_t at = onx_locate(g, &c->x[1], k);
		for (size_t i = 0; i < g->block; i++) {
			const size_t p = (size_t)at + i, q = k * g->block + i;
			onx_put(&du[q], c->dx[2].add,
				at < 0 ? 0 : dy[p] * slope(r, u[q], y[p], part[p], count[p]));
		}
	}
}

struct plain { const real *dy; real *dx; const uint8_t *hit; bool add; };

ONX_CLONES static void plain_range(const void *ctx, size_t lo, size_t hi)
{
	const struct plain *p = ctx;
	const real *dy = p->dy;
	const uint8_t *hit = p->hit;
	const bool add = p->add;
	real *dx = p->dx;

	if (!hit) {
		ONX_ALIKE for (size_t i = lo; i < hi; i++)
			dx[i] = (add ? dx[i] : 0) + dy[i];
		return;
	}
	ONX_ALIKE for (size_t i = lo; i < hi; i++) {
		const real v = dy[i];
		dx[i] = (add ? dx[i] : 0) + (hit[i] ? 0 : v);
	}
}

/* dx = dy, without the places that were overwritten.  Where dx already holds a sum,
 * adding dy and taking it away again would round, so these places are marked first. */
static void plain_dx(const struct onx_call *c, bool overwritten)
{
	const struct onx_index *g = c->geo;
	const real *dy = c->dy[0].v;
	uint8_t *hit = c->scratch;
	real *dx = c->dx[0].v;
	int64_t at[SOME];

	if (overwritten)
		memset(hit, 0, c->dx[0].n);
	for (size_t k = 0, n; overwritten && k < g->blocks; k += n) {
		n = g->blocks - k < SOME ? g->blocks - k : SOME;
		onx_locate_run(g, &c->x[1], k, n, at);
		for (size_t i = 0; i < n; i++)
			if (at[i] >= 0)
				memset(hit + at[i], 1, g->block);
	}
	const struct plain p = { dy, dx, overwritten ? hit : NULL, c->dx[0].add };
	onx_each(c->pool, c->dx[0].n, ONX_GRAIN, plain_range, &p);
}

struct updates { const struct onx_call *c; size_t grain; };

static void updates_piece(void *ctx, size_t piece, int worker)
{
	const struct updates *j = ctx;
	const struct onx_call *c = j->c;
	const struct onx_index *g = c->geo;
	const real *dy = c->dy[0].v;
	real *du = c->dx[2].v;
	int64_t at[SOME];
	size_t lo, hi;

	(void)worker;
	onx_piece(g->blocks, j->grain, piece, &lo, &hi);
	for (size_t n; lo < hi; lo += n) {
		n = hi - lo < SOME ? hi - lo : SOME;
		onx_locate_run(g, &c->x[1], lo, n, at);
		for (size_t k = 0; k < n; k++)
			for (size_t i = 0; i < g->block; i++)
				onx_put(&du[(lo + k) * g->block + i], c->dx[2].add,
					at[k] < 0 ? 0 : dy[(size_t)at[k] + i]);
	}
}

static void scatter_backward(const struct onx_call *c)
{
	const enum reduction r = (enum reduction)((const struct scatter *)c->attr)->reduction;
	const struct onx_index *g = c->geo;

	if (r >= RED_MUL) {
		reduced_backward(c, r);
		return;
	}
	if (c->dx[0].v)
		plain_dx(c, r == RED_NONE);
	struct updates j = { c, ONX_GRAIN / (g->block + 1) + 1 };
	if (c->dx[2].v && g->block > 0)
		onx_parallel(c->pool, onx_pieces(g->blocks, j.grain), updates_piece, &j);
}

#define SCATTER(name, version, table, rule)                                                 \
	{ .domain = "", .type = name, .since = version, .min_in = 3, .max_in = 3,             \
	  .min_out = 1, .max_out = 1, .grad = { ONX_G_DIFF, ONX_G_NEVER, ONX_G_DIFF },        \
	  .n_grad = 3, .alias = 1, .attr = table, .infer = rule,                              \
	  .keep = ONX_KEEP_X(0) | ONX_KEEP_X(1) | ONX_KEEP_X(2) | ONX_KEEP_Y(0),              \
	  .scratch = scatter_scratch,                                                         \
	  .forward = scatter_forward, .backward = scatter_backward }
const struct onx_op ONX_R(onx_ops_scatter)[] = {
	SCATTER("Scatter", 9, &scatter_attr, elements_infer),
	SCATTER("ScatterElements", 11, &elements_attr, elements_infer),
	SCATTER("ScatterND", 11, &nd_attr, nd_infer),
	{ .type = NULL }
};

/* op/argmax.c -- ArgMax and ArgMin: the index of the extreme along an axis; of equal ones the first, or
 * the last with select_last_index. */
#include "kernel/cpu.h"
#include "kernel/real.h"
#include "op/infer.h"
#include "op/loop.h"

struct arg { int64_t axis; bool keepdims, last; };
static const struct onx_field arg_field[] = {
	{ .name = "axis", .kind = F_INT, .off = offsetof(struct arg, axis), .def = "0", .help = "dimension" },
	{ .name = "keepdims", .kind = F_BOOL, .off = offsetof(struct arg, keepdims), .def = "1",
	  .help = "the dimension stays, with size 1" },
	{ .name = "select_last_index", .kind = F_BOOL, .off = offsetof(struct arg, last), .def = "0",
	  .help = "of equal ones take the last" },
	{ .name = NULL }
};
static const struct onx_table arg_attr = { .name = "ArgMax", .size = sizeof(struct arg),
					   .field = arg_field };

struct geo { size_t n, inner; };

static int arg_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct arg *p = attr;
	const struct onx_shape *x = &s->in[0].shape;
	const enum onx_class class = onx_dtype_class(s->in[0].type);
	struct onx_shape out = { .rank = 0 };
	struct geo *g = ONX_NEW(s->mem, struct geo);
	int axis, rc = ONX_OK;

	if (!g)
		return onx_nomem(e, sizeof *g, "a node");
	if (class != ONX_CLASS_INT && class != ONX_CLASS_UINT)
		rc = onx_want_real(s, 0, e);
	if (rc == ONX_OK)
		rc = onx_axis(p->axis, x->rank, &axis, e);
	if (rc < 0)
		return rc;
	g->n = (size_t)x->dim[axis];
	g->inner = 1;
	for (int i = 0; i < x->rank; i++) {
		if (i > axis)
			g->inner *= (size_t)x->dim[i];
		if (i != axis || p->keepdims)
			out.dim[out.rank++] = i == axis ? 1 : x->dim[i];
	}
	if (g->n == 0)
		return onx_fail(e, ONX_SHAPE, "axis %d has size 0, wanted at least one element", axis);
	s->geo = g;
	onx_set_out(s, 0, ONX_INT64, &out);
	return ONX_OK;
}

/* a before b, for the smallest (sign -1) or the largest (sign 1). */
static bool beats(const struct onx_view *x, size_t a, size_t b, int sign)
{
	if (onx_dtype_real(x->type))
		return sign * onx_view_real(x, a) > sign * onx_view_real(x, b);
	const int64_t flip = x->type == ONX_UINT64 ? INT64_MIN : 0;    /* unsigned order as signed */
	const int64_t va = onx_view_int(x, a) ^ flip, vb = onx_view_int(x, b) ^ flip;
	return sign > 0 ? va > vb : va < vb;
}

struct job { const struct onx_call *c; int sign; };

static void any_range(const void *ctx, size_t lo, size_t hi)
{
	const struct job *j = ctx;
	const struct onx_call *c = j->c;
	const struct arg *p = c->attr;
	const struct geo *g = c->geo;
	int64_t *y = c->y[0].v;

	for (size_t o = lo; o < hi; o++) {
		const size_t base = o / g->inner * g->n * g->inner + o % g->inner;
		size_t best = 0;
		for (size_t i = 1; i < g->n; i++) {
			const size_t at = base + i * g->inner, top = base + best * g->inner;
			if (p->last ? !beats(&c->x[0], top, at, j->sign) : beats(&c->x[0], at, top, j->sign))
				best = i;
		}
		y[o] = (int64_t)best;
	}
}

enum { BLOCK = 64, WIDE = 1024 };       /* of a run; side by side: a page of memory of each row */

/* n results side by side: the numbers of one step along the axis are neighbours. */
ONX_CLONES static void block(const struct job *j, const real *restrict x, size_t n, int64_t *restrict y)
{
	const struct geo *g = j->c->geo;
	const bool last = ((const struct arg *)j->c->attr)->last;
	const real sign = (real)j->sign;
	real top[WIDE];
	int32_t at[WIDE];

	for (size_t i = 0; i < n; i++) {
		top[i] = sign * x[i];
		at[i] = 0;
	}
	for (size_t k = 1; k < g->n; k++) {
		const real *row = x + k * g->inner;
		for (size_t i = 0; i < n; i++) {
			const real v = sign * row[i];
			const bool take = last ? !(top[i] > v) : v > top[i];
			top[i] = take ? v : top[i];
			at[i] = take ? (int32_t)k : at[i];
		}
	}
	for (size_t i = 0; i < n; i++)
		y[i] = at[i];
}

/* The one result of a run of n: blocks of it are asked for their extreme first, and searched where that wins. */
ONX_CLONES static int64_t along(const real *restrict x, size_t n, real sign, bool last)
{
	real top = sign * x[0];
	size_t best = 0;

	for (size_t from = 0; from < n; from += BLOCK) {
		const size_t m = n - from < BLOCK ? n - from : BLOCK;
		bool wins = false;
		for (size_t i = 0; i < m; i++)
			wins |= last ? !(top > sign * x[from + i]) : sign * x[from + i] > top;
		for (size_t i = from; wins && i < from + m; i++)
			if (i > 0 && (last ? !(top > sign * x[i]) : sign * x[i] > top)) {
				top = sign * x[i];
				best = i;
			}
	}
	return (int64_t)best;
}

static void real_range(const void *ctx, size_t lo, size_t hi)
{
	const struct job *j = ctx;
	const struct geo *g = j->c->geo;
	const bool last = ((const struct arg *)j->c->attr)->last;
	int64_t *y = j->c->y[0].v;

	for (size_t o = lo, n; o < hi; o += n) {
		const size_t left = g->inner - o % g->inner, room = hi - o < WIDE ? hi - o : WIDE;
		const real *x = (const real *)j->c->x[0].v + o / g->inner * g->n * g->inner + o % g->inner;
		n = left < room ? left : room;
		if (g->inner == 1)
			y[o] = along(x, g->n, (real)j->sign, last);
		else
			block(j, x, n, y + o);
	}
}

static void arg_run(const struct onx_call *c, int sign)
{
	const struct job j = { c, sign };
	const struct geo *g = c->geo;
	const bool fits = onx_dtype_real(c->x[0].type) && g->n <= INT32_MAX;
	const size_t grain = onx_pieces(ONX_GRAIN, g->n);

	if (c->y[0].n > 0)
		onx_each(c->pool, c->y[0].n, grain < WIDE && g->inner > 1 ? WIDE : grain,
			 fits ? real_range : any_range, &j);
}

static void max_forward(const struct onx_call *c) { arg_run(c, 1); }
static void min_forward(const struct onx_call *c) { arg_run(c, -1); }

#define ARG(name, f)                                                                         \
	{ .domain = "", .type = name, .since = 1, .min_in = 1, .max_in = 1, .min_out = 1,    \
	  .max_out = 1, .attr = &arg_attr, .infer = arg_infer, .forward = f }

const struct onx_op ONX_R(onx_ops_argmax)[] = {
	ARG("ArgMax", max_forward),
	ARG("ArgMin", min_forward),
	{ .type = NULL }
};

/* op/reduce_slope.c -- gradients of reductions, by the same runs and rows. */
#include "kernel/cpu.h"
#include "kernel/vmath.h"
#include "op/reduce_i.h"

/* Product of all but element i. */
static double product_without(const real *x, const struct onx_reduce_dims *gone, size_t i)
{
	struct onx_reduce_spot at = { .off = 0 };
	double p = 1;

	for (size_t k = 0; k < gone->count; k++, onx_reduce_next(gone, 0, &at))
		p *= k == i ? 1 : (double)x[at.off];
	return p;
}

static void product_range(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_reduce_job *j = ctx;
	const struct onx_call *c = j->c;
	const struct onx_reduce_dims *gone = &j->g->gone;

	for (size_t o = lo; o < hi; o++) {
		const size_t base = onx_reduce_seek(&j->g->kept, 0, o).off;
		const real *x = (const real *)c->x[0].v + base;
		struct onx_reduce_spot at = { .off = 0 };
		const double all = product_without(x, gone, gone->count), dy = (double)((const real *)c->dy[0].v)[o];
		for (size_t i = 0; i < gone->count; i++, onx_reduce_next(gone, 0, &at)) {
			const double others = isnormal(all) ? all / (double)x[at.off] : product_without(x, gone, i);
			onx_put((real *)c->dx[0].v + base + at.off, c->dx[0].add, (real)(dy * others));
		}
	}
}

/* dx of a run of n elements.  y, dy and part belong to all of them (one = true) or to each: part is how much of
 * dy a mean or an extreme gets. */
struct slopes { const real *x; real *dx; const double *y, *dy, *part; size_t n; bool add; };

ONX_INLINE void slope_loop(enum onx_reduction kind, const struct slopes *s, size_t one)
{
	const real *restrict x = s->x;
	const double *restrict ys = s->y, *restrict gs = s->dy, *restrict parts = s->part;
	real *restrict dx = s->dx;
	const size_t n = s->n;
	const bool add = s->add;
#define LOOP(f)                                                                              \
	for (size_t i = 0; i < n; i++) {                                                     \
		const double v = (double)x[i], y = ys[i * one], g = gs[i * one], part = parts[i * one]; \
		(void)v; (void)y; (void)part;                                                \
		dx[i] = (add ? dx[i] : 0) + (real)(f);                                       \
	}                                                                                    \
	return
	switch (kind) {
	case MAX: case MIN: LOOP(v == y ? g * part : 0);
	case L1:          LOOP(g * ((v > 0) - (v < 0)));
	case L2:          LOOP(y == 0 ? 0 : g * (v / y));
	case LOG_SUM_EXP: LOOP(g * (double)onx_vexp((real)(v - y)));
	case SUM_SQUARE:  LOOP(g * (2 * v));
	default:          LOOP(g * part);
	}
#undef LOOP
}

ONX_CLONES static void slope_run(enum onx_reduction kind, const struct slopes *s)
{
	slope_loop(kind, s, 0);
}

ONX_CLONES static void slope_row(enum onx_reduction kind, const struct slopes *s)
{
	slope_loop(kind, s, 1);
}

ONX_CLONES static double ties_run(const real *restrict x, double y, size_t n)
{
	size_t ties = 0;

	for (size_t i = 0; i < n; i++)
		ties += (double)x[i] == y;
	return (double)ties;
}

ONX_CLONES static void ties_row(const real *restrict x, const double *restrict y, size_t n, double *restrict ties)
{
	for (size_t i = 0; i < n; i++)
		ties[i] += (double)x[i] == y[i] ? 1 : 0;
}

/* What a single element of SUM, MEAN, LOG_SUM gets of dy; an extreme without its ties. */
static double share(enum onx_reduction kind, double y, size_t n)
{
	return kind == MEAN ? 1 / (double)(n ? n : 1) : kind == LOG_SUM ? exp(-y) : 1;
}

static bool plain(enum onx_reduction kind)
{
	return kind == SUM || kind == MEAN;
}

static struct slopes slopes_at(const struct onx_call *c, size_t off, size_t n)
{
	real *dx = (real *)c->dx[0].v + off;
	const real *x = c->x[0].v ? (const real *)c->x[0].v + off : dx; /* sums do without */

	return (struct slopes){ .x = x, .dx = dx, .n = n, .add = c->dx[0].add };
}

static void inner_slopes(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_reduce_job *j = ctx;
	const struct onx_call *c = j->c;
	const struct onx_reduce_dims *gone = &j->g->gone, *kept = &j->g->kept;
	const size_t n = gone->size[0], rows = gone->count / n;
	const bool extreme = j->kind == MAX || j->kind == MIN;
	struct onx_reduce_spot at = onx_reduce_seek(kept, 0, lo);

	for (size_t o = lo; o < hi; o++, onx_reduce_next(kept, 0, &at)) {
		const double y = plain(j->kind) ? 0 : (double)((const real *)c->y[0].v)[o];
		const double dy = (double)((const real *)c->dy[0].v)[o];
		double part = share(j->kind, y, gone->count), ties = 0;
		struct onx_reduce_spot row = { .off = at.off };
		for (size_t r = 0; extreme && r < rows; r++, onx_reduce_next(gone, 1, &row))
			ties += ties_run((const real *)c->x[0].v + row.off, y, n);
		part /= ties > 0 ? ties : 1;
		for (size_t r = 0; r < rows; r++, onx_reduce_next(gone, 1, &row)) {
			struct slopes s = slopes_at(c, row.off, n);
			s.y = &y;
			s.dy = &dy;
			s.part = &part;
			slope_run(j->kind, &s);
		}
	}
}

static void outer_slopes(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_reduce_job *j = ctx;
	const struct onx_call *c = j->c;
	const struct onx_reduce_dims *gone = &j->g->gone, *kept = &j->g->kept;
	const size_t width = onx_reduce_row(kept);
	const bool extreme = j->kind == MAX || j->kind == MIN;

	for (size_t o = lo, n; o < hi; o += n) {
		const size_t left = width - o % width, room = hi - o < ONX_REDUCE_BLOCK ? hi - o : ONX_REDUCE_BLOCK;
		struct onx_reduce_spot row = { .off = onx_reduce_seek(kept, 0, o).off };
		double y[ONX_REDUCE_BLOCK], dy[ONX_REDUCE_BLOCK], part[ONX_REDUCE_BLOCK];
		double ties[ONX_REDUCE_BLOCK] = { 0 };
		n = left < room ? left : room;
		for (size_t i = 0; i < n; i++) {
			y[i] = plain(j->kind) ? 0 : (double)((const real *)c->y[0].v)[o + i];
			dy[i] = (double)((const real *)c->dy[0].v)[o + i];
		}
		for (size_t r = 0; extreme && r < gone->count; r++, onx_reduce_next(gone, 0, &row))
			ties_row((const real *)c->x[0].v + row.off, y, n, ties);
		for (size_t i = 0; i < n; i++)
			part[i] = share(j->kind, y[i], gone->count) / (ties[i] > 0 ? ties[i] : 1);
		for (size_t r = 0; r < gone->count; r++, onx_reduce_next(gone, 0, &row)) {
			struct slopes s = slopes_at(c, row.off, n);
			s.y = y;
			s.dy = dy;
			s.part = part;
			slope_row(j->kind, &s);
		}
	}
}

void onx_reduce_backward(const struct onx_call *c, enum onx_reduction kind)
{
	const struct onx_reduce_job j = { c, c->geo, kind };

	if (c->dx[0].v && kind == PROD)
		onx_each(c->pool, c->y[0].n, onx_pieces(ONX_GRAIN, j.g->gone.count + 1), product_range, &j);
	else if (c->dx[0].v)
		onx_reduce_each(c, c->geo, inner_slopes, outer_slopes, &j);
}

/* op/reduce_slope.c -- gradients of reductions, by the same runs and rows. */
#include "kernel/cpu.h"
#include "kernel/vmath.h"
#include "op/reduce_i.h"

/* A product that neither overflows nor vanishes: m 2^e, |m| in [1/2, 1) unless it is no number; zeros are counted
 * beside it.  The derivative by a factor is the product over the factor (as PyTorch, where a factor is infinite). */
struct product { double m, e, zeros; };

/* m, e for m 2^e of any size. */
ONX_INLINE void rescale(double *m, double *e)
{
	uint64_t bits;
	double v = *m;

	memcpy(&bits, &v, sizeof bits);
	const uint64_t power = bits >> 52 & 0x7ff, half = (bits & ~((uint64_t)0x7ff << 52)) | (uint64_t)1022 << 52;
	const bool normal = (power != 0) & (power != 0x7ff);
	const double by = (double)(int32_t)(normal ? (int32_t)power - 1022 : 0);
	bits = normal ? half : bits;
	memcpy(m, &bits, sizeof bits);
	*e += by;
}

ONX_INLINE void times(double x, double *m, double *e, double *zeros)
{
	const bool zero = x == 0;
	double by = zero ? 1 : x;

	*zeros += zero ? 1 : 0;
	if (sizeof(real) > 4)           /* squares of those leave the range */
		rescale(&by, e);
	*m *= by;
	rescale(m, e);
}

static void product_run(const real *x, size_t n, struct product *p)
{
	for (size_t i = 0; i < n; i++)
		times((double)x[i], &p->m, &p->e, &p->zeros);
}

ONX_CLONES static void product_row(const real *restrict x, size_t n, double *restrict m, double *restrict e,
				   double *restrict zeros)
{
	for (size_t i = 0; i < n; i++)
		times((double)x[i], &m[i], &e[i], &zeros[i]);
}

/* What a factor v gets is g part y / v; with zeros among the factors, only a zero gets anything: g part hole.  2^e is
 * spread over g and part. */
static void product_slopes(const struct product *p, double *y, double *g, double *part, double *hole)
{
	const double e = p->e < -2000 ? -2000 : p->e > 2000 ? 2000 : p->e, half = floor(e / 2);

	*y = p->zeros > 0 ? 0 : p->m;
	*hole = p->zeros > 1 ? 0 : p->m;
	*g *= ldexp(1, (int)half);
	*part = ldexp(1, (int)(e - half));
}

/* dx of a run of n elements.  y, dy and part belong to all of them (one = true) or to each: part is how much of
 * dy a mean or an extreme gets. */
struct slopes { const real *x; real *dx; const double *y, *dy, *part, *hole; size_t n; bool add; };

/* exp(x - y), which stays a loop over `real` */
ONX_INLINE void soft_loop(const struct slopes *s, size_t one)
{
	enum { SOME = 64 };
	const real *restrict x = s->x;
	const double *restrict ys = s->y, *restrict gs = s->dy;
	real *restrict dx = s->dx;
	real v[SOME];

	for (size_t from = 0, n; from < s->n; from += n) {
		n = s->n - from < SOME ? s->n - from : SOME;
		for (size_t i = 0; i < n; i++)
			v[i] = (real)((double)x[from + i] - ys[(from + i) * one]);
		for (size_t i = 0; i < n; i++)
			v[i] = (real)onx_vexp(v[i]);
		for (size_t i = 0; i < n; i++)
			v[i] = (real)(gs[(from + i) * one] * (double)v[i]);
		for (size_t i = 0; i < n; i++)
			dx[from + i] = (s->add ? dx[from + i] : 0) + v[i];
	}
}

/* One loop for each kind: v is the element, g part what dy gives. */
#define SLOPES(LOOP)                                                                         \
	switch (kind) {                                                                      \
	case MAX: case MIN: LOOP(v == y ? g * part : 0);                                     \
	case L1:          LOOP(g * ((v > 0) - (v < 0)));                                     \
	case L2:          LOOP(y == 0 ? 0 : g * (v / y));                                    \
	case SUM_SQUARE:  LOOP(g * (2 * v));                                                 \
	default:          LOOP(g * part);                                                    \
	}

ONX_INLINE void slope_loop(enum onx_reduction kind, const struct slopes *s, size_t one)
{
	const real *restrict x = s->x;
	const double *restrict ys = s->y, *restrict gs = s->dy, *restrict parts = s->part, *restrict holes = s->hole;
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
	if (kind == LOG_SUM_EXP) {
		soft_loop(s, one);
		return;
	}
	if (kind == PROD) {
		LOOP(g * part * (v == 0 ? holes[i * one] : y / v));
	}
	SLOPES(LOOP)
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

/* The same dy, y, ... for a run that starts at off. */
static void slopes_at(const struct onx_call *c, size_t off, struct slopes *s)
{
	s->dx = (real *)c->dx[0].v + off;
	s->x = c->x[0].v ? (const real *)c->x[0].v + off : s->dx;       /* sums do without */
}

/* Runs too short for loops of their own, one after the other: `results` runs of n each, which are dense.  y and x may
 * be NULL where the kind does without. */
enum { SHORT = 16 };
struct shorts { const real *x, *y, *dy; real *dx; size_t n, results; bool add; };

static bool is_short(const struct onx_reduce_geo *g, enum onx_reduction kind)
{
	return g->gone.n == 1 && g->gone.size[0] <= SHORT && g->kept.n <= 1 && kind != PROD && kind != LOG_SUM_EXP;
}

ONX_INLINE void spread_loop(const struct shorts *s, double part, size_t n)
{
	const real *restrict dy = s->dy;
	real *restrict dx = s->dx;

	for (size_t o = 0; o < s->results; o++) {
		const real v = (real)((double)dy[o] * part);
		for (size_t i = 0; i < n; i++)
			dx[o * n + i] = (s->add ? dx[o * n + i] : 0) + v;
	}
}

ONX_CLONES static void short_spread(const struct shorts *s, double part)
{
	switch (s->n) {         /* widths of points and boxes: a count that is known makes it a shuffle */
	case 2: spread_loop(s, part, 2); break;
	case 3: spread_loop(s, part, 3); break;
	case 4: spread_loop(s, part, 4); break;
	case 8: spread_loop(s, part, 8); break;
	default: spread_loop(s, part, s->n);
	}
}

ONX_CLONES static void short_slopes(enum onx_reduction kind, const struct shorts *s)
{
	const real *restrict x = s->x, *restrict ys = s->y, *restrict dy = s->dy;
	real *restrict dx = s->dx;
	const size_t n = s->n;
	const bool extreme = kind == MAX || kind == MIN, add = s->add;
#define LOOP(f)                                                                              \
	for (size_t o = 0; o < s->results; o++) {                                            \
		const double y = (double)ys[o], g = (double)dy[o];                           \
		size_t ties = 0;                                                             \
		for (size_t i = 0; extreme && i < n; i++)                                    \
			ties += (double)x[o * n + i] == y;                                   \
		const double part = share(kind, y, n) / (ties > 0 ? (double)ties : 1);       \
		(void)part;                                                                  \
		for (size_t i = 0; i < n; i++) {                                             \
			const double v = (double)x[o * n + i];                               \
			(void)v;                                                             \
			dx[o * n + i] = (add ? dx[o * n + i] : 0) + (real)(f);               \
		}                                                                            \
	}                                                                                    \
	return

	SLOPES(LOOP)
#undef LOOP
}

static void short_range(const struct onx_reduce_job *j, size_t lo, size_t hi)
{
	const struct onx_call *c = j->c;
	const size_t n = j->g->gone.size[0];
	const struct shorts s = { .x = plain(j->kind) ? NULL : (const real *)c->x[0].v + lo * n,
		.y = plain(j->kind) ? NULL : (const real *)c->y[0].v + lo, .dy = (const real *)c->dy[0].v + lo,
		.dx = (real *)c->dx[0].v + lo * n, .n = n, .results = hi - lo, .add = c->dx[0].add };

	if (plain(j->kind))
		short_spread(&s, share(j->kind, 0, n));
	else
		short_slopes(j->kind, &s);
}

static void inner_slopes(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_reduce_job *j = ctx;
	const struct onx_call *c = j->c;
	const struct onx_reduce_dims *gone = &j->g->gone, *kept = &j->g->kept;
	const size_t n = gone->size[0], rows = gone->count / n;
	const bool extreme = j->kind == MAX || j->kind == MIN;
	struct onx_reduce_spot at = onx_reduce_seek(kept, 0, lo);

	if (is_short(j->g, j->kind)) {
		short_range(j, lo, hi);
		return;
	}
	for (size_t o = lo; o < hi; o++, onx_reduce_next(kept, 0, &at)) {
		double y = plain(j->kind) ? 0 : (double)((const real *)c->y[0].v)[o];
		double dy = (double)((const real *)c->dy[0].v)[o], hole = 0;
		double part = share(j->kind, y, gone->count), ties = 0;
		struct product p = { .m = 1 };
		struct onx_reduce_spot row = { .off = at.off };
		struct slopes s = { .y = &y, .dy = &dy, .part = &part, .hole = &hole, .n = n, .add = c->dx[0].add };
		for (size_t r = 0; extreme && r < rows; r++, onx_reduce_next(gone, 1, &row))
			ties += ties_run((const real *)c->x[0].v + row.off, y, n);
		for (size_t r = 0; j->kind == PROD && r < rows; r++, onx_reduce_next(gone, 1, &row))
			product_run((const real *)c->x[0].v + row.off, n, &p);
		part /= ties > 0 ? ties : 1;
		if (j->kind == PROD)
			product_slopes(&p, &y, &dy, &part, &hole);
		for (size_t r = 0; r < rows; r++, onx_reduce_next(gone, 1, &row)) {
			slopes_at(c, row.off, &s);
			slope_run(j->kind, &s);
		}
	}
}

/* What the columns of a block have in common; in place of y, dy, part: the product of each as m, e, zeros. */
struct columns { double y[ONX_REDUCE_BLOCK], dy[ONX_REDUCE_BLOCK], part[ONX_REDUCE_BLOCK], hole[ONX_REDUCE_BLOCK]; };

static void columns_of_product(const struct onx_call *c, const struct onx_reduce_dims *gone, size_t off, size_t o,
			       size_t n, struct columns *k)
{
	struct onx_reduce_spot row = { .off = off };

	for (size_t i = 0; i < n; i++) {
		k->y[i] = 1;
		k->dy[i] = k->part[i] = 0;
	}
	for (size_t r = 0; r < gone->count; r++, onx_reduce_next(gone, 0, &row))
		product_row((const real *)c->x[0].v + row.off, n, k->y, k->dy, k->part);
	for (size_t i = 0; i < n; i++) {
		const struct product p = { k->y[i], k->dy[i], k->part[i] };
		k->dy[i] = (double)((const real *)c->dy[0].v)[o + i];
		product_slopes(&p, &k->y[i], &k->dy[i], &k->part[i], &k->hole[i]);
	}
}

static void columns_of(const struct onx_reduce_job *j, size_t off, size_t o, size_t n, struct columns *k)
{
	const struct onx_call *c = j->c;
	const struct onx_reduce_dims *gone = &j->g->gone;
	struct onx_reduce_spot row = { .off = off };
	const bool extreme = j->kind == MAX || j->kind == MIN;
	double *ties = k->hole;

	for (size_t i = 0; i < n; i++) {
		k->y[i] = plain(j->kind) ? 0 : (double)((const real *)c->y[0].v)[o + i];
		k->dy[i] = (double)((const real *)c->dy[0].v)[o + i];
		ties[i] = 0;
	}
	for (size_t r = 0; extreme && r < gone->count; r++, onx_reduce_next(gone, 0, &row))
		ties_row((const real *)c->x[0].v + row.off, k->y, n, ties);
	for (size_t i = 0; i < n; i++)
		k->part[i] = share(j->kind, k->y[i], gone->count) / (ties[i] > 0 ? ties[i] : 1);
}

static void outer_slopes(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_reduce_job *j = ctx;
	const struct onx_call *c = j->c;
	const struct onx_reduce_dims *gone = &j->g->gone, *kept = &j->g->kept;
	const size_t width = onx_reduce_row(kept);
	struct columns k;

	for (size_t o = lo, n; o < hi; o += n) {
		const size_t left = width - o % width, room = hi - o < ONX_REDUCE_BLOCK ? hi - o : ONX_REDUCE_BLOCK;
		struct onx_reduce_spot row = { .off = onx_reduce_seek(kept, 0, o).off };
		n = left < room ? left : room;
		struct slopes s = { .y = k.y, .dy = k.dy, .part = k.part, .hole = k.hole, .n = n, .add = c->dx[0].add };
		if (j->kind == PROD)
			columns_of_product(c, gone, row.off, o, n, &k);
		else
			columns_of(j, row.off, o, n, &k);
		for (size_t r = 0; r < gone->count; r++, onx_reduce_next(gone, 0, &row)) {
			slopes_at(c, row.off, &s);
			slope_row(j->kind, &s);
		}
	}
}

void onx_reduce_backward(const struct onx_call *c, enum onx_reduction kind)
{
	const struct onx_reduce_job j = { c, c->geo, kind };

	if (c->dx[0].v)
		onx_reduce_each(c, c->geo, inner_slopes, outer_slopes, &j);
}

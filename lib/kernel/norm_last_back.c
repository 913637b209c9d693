/* kernel/norm_last_back.c -- backward of batch normalisation with channels last; see the header.
 * Where f is piecewise linear its derivative is found anew from x within the loops of both passes; else the masked
 * gradient of a tile is at hand in a buffer, or goes over dy. */
#include "kernel/norm_last_i.h"
#include "kernel/fuse_row.h"

struct job {
	struct onx_stripes s;
	struct onx_fuse f;
	struct onx_bn_band band;
	bool banded, over, add_x, add_z;        /* over: the masked gradient goes over dy */
	const real *x, *y;
	real *dy, *dx, *dz;
	const real *m, *a, *b, *e, *d;  /* over a stripe: mean, scale * inv, bias; dx = a g + e (x - m) + d */
	double *part;
};

/* s0 += g, s1 += g * (x - m), g = dy [f'] */
ONX_INLINE void products_tile(const struct job *j, const struct onx_tile *t, const real *dy, size_t dy_step,
			      real *restrict s0, real *restrict s1, const bool banded)
{
	const real *restrict m = j->m + t->col, *restrict a = j->a + t->col, *restrict b = j->b + t->col;
	const struct onx_bn_band band = j->band;

	for (size_t r = 0; r < t->rows; r++) {
		const real *restrict x = j->x + t->at + r * t->step, *restrict u = dy + r * dy_step;

		ONX_IN_ORDER;
		for (size_t i = 0; i < t->n; i++) {
			const real d = x[i] - m[i], g = banded ? onx_bn_inside(&band, d * a[i] + b[i], u[i]) : u[i];

			s0[i] += g;
			s1[i] += g * d;
		}
	}
}

ONX_CLONES
static void banded_products(const struct job *j, const struct onx_tile *t, real *s0, real *s1)
{
	products_tile(j, t, j->dy + t->at, t->step, s0, s1, true);
}

ONX_CLONES
static void products(const struct job *j, const struct onx_tile *t, const real *g, size_t step, real *s0, real *s1)
{
	products_tile(j, t, g, step, s0, s1, false);
}

/* The masked gradient of a tile: into g, `step` apart, which may be dy. */
ONX_CLONES
static void mask(const struct job *j, const struct onx_tile *t, real *g, size_t step)
{
	const real *restrict m = j->m + t->col, *restrict a = j->a + t->col, *restrict b = j->b + t->col;
	real arg[ONX_TILE_COLS];

	for (size_t r = 0; r < t->rows; r++, g += step) {
		const size_t at = t->at + r * t->step;
		const real *restrict x = j->x + at;

		if (j->y) {
			onx_slope_row(&j->f, j->y + at, j->dy + at, g, t->n);
			continue;
		}
		for (size_t i = 0; i < t->n; i++)
			arg[i] = (x[i] - m[i]) * a[i] + b[i];
		onx_slope_arg(&j->f, arg, j->dy + at, g, t->n);
	}
}

/* The same, where it is found in the end; *step apart. */
static const real *masked(const struct job *j, const struct onx_tile *t, real *buf, size_t *step)
{
	real *const dy = j->dy + t->at;
	const bool here = j->f.kind == ONX_FUSE_NONE || j->over;

	*step = here ? t->step : ONX_TILE_COLS;
	if (j->f.kind != ONX_FUSE_NONE)
		mask(j, t, here ? dy : buf, *step);
	return here ? dy : buf;
}

static void sums_tile(const void *job, const struct onx_tile *t, real *s0, real *s1)
{
	const struct job *j = job;
	real buf[ONX_TILE];
	size_t step;

	if (j->banded) {
		banded_products(j, t, s0, s1);
		return;
	}
	const real *g = masked(j, t, buf, &step);

	products(j, t, g, step, s0, s1);
}

static void sums_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;

	(void)worker;
	onx_stripes_sums(&j->s, piece, j->part + 2 * piece * j->s.c, sums_tile, j);
}

/* dx (=|+=) a g + e (x - m) + d, g = dy [f']; without e: a g.  dx may be dy. */
ONX_INLINE void gradient_row(const struct job *j, const real *x, const real *dy, size_t col, size_t n, real *dx,
			     const bool banded, const bool batch, const bool add)
{
	const real *m = j->m + col, *a = j->a + col, *b = j->b + col, *e = j->e + col, *d = j->d + col;
	const struct onx_bn_band band = j->band;

	ONX_ALIKE
	for (size_t i = 0; i < n; i++) {
		const real u = banded || batch ? x[i] - m[i] : 0;
		const real g = banded ? onx_bn_inside(&band, u * a[i] + b[i], dy[i]) : dy[i];
		const real v = batch ? a[i] * g + (e[i] * u + d[i]) : a[i] * g;

		dx[i] = add ? dx[i] + v : v;
	}
}

ONX_INLINE void gradient_tile(const struct job *j, const struct onx_tile *t, const real *g, size_t step,
			      const bool banded, const bool batch, const bool add)
{
	for (size_t r = 0; r < t->rows; r++) {
		const size_t at = t->at + r * t->step;

		gradient_row(j, j->x + at, g + r * step, t->col, t->n, j->dx + at, banded, batch, add);
	}
}

ONX_CLONES
static void banded_gradient(const struct job *j, const struct onx_tile *t)
{
	const real *dy = j->dy + t->at;

	if (j->e && j->add_x)
		gradient_tile(j, t, dy, t->step, true, true, true);
	else if (j->e)
		gradient_tile(j, t, dy, t->step, true, true, false);
	else if (j->add_x)
		gradient_tile(j, t, dy, t->step, true, false, true);
	else
		gradient_tile(j, t, dy, t->step, true, false, false);
}

ONX_CLONES
static void gradient(const struct job *j, const struct onx_tile *t, const real *g, size_t step)
{
	if (j->e && j->add_x)
		gradient_tile(j, t, g, step, false, true, true);
	else if (j->e)
		gradient_tile(j, t, g, step, false, true, false);
	else if (j->add_x)
		gradient_tile(j, t, g, step, false, false, true);
	else
		gradient_tile(j, t, g, step, false, false, false);
}

ONX_CLONES
static void pass_on(const struct onx_tile *t, const real *g, size_t step, real *dz, bool add)
{
	for (size_t r = 0; r < t->rows; r++, g += step, dz += t->step) {
		ONX_ALIKE
		for (size_t i = 0; i < t->n; i++)
			dz[i] = add ? dz[i] + g[i] : g[i];
	}
}

static void dx_tile(const void *job, const struct onx_tile *t)
{
	const struct job *j = job;
	real buf[ONX_TILE];
	size_t step;

	if (j->banded && !j->dz) {
		banded_gradient(j, t);
		return;
	}
	const real *g = masked(j, t, buf, &step);

	if (j->dz && j->dz + t->at != g)
		pass_on(t, g, step, j->dz + t->at, j->add_z);
	if (j->dx)
		gradient(j, t, g, step);
}

static void dx_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;

	(void)worker;
	onx_stripes_each(&j->s, piece, dx_tile, j);
}

static bool costly(enum onx_fuse_kind k)
{
	return k != ONX_FUSE_HARD_SIGMOID && k != ONX_FUSE_HARD_SWISH;
}

/* The first pass: sum [2][c] of g and of g * xhat. */
static void take_sums(struct onx_pool *pool, struct job *j, const real *inv, double *sum)
{
	onx_parallel(pool, onx_stripes_pieces(&j->s), sums_piece, j);
	onx_stripes_fold(&j->s, j->part, sum);
	for (size_t c = 0; c < j->s.c; c++)
		sum[j->s.c + c] *= (double)inv[c];
	if (j->over)
		j->f.kind = ONX_FUSE_NONE;
	j->over = false;
}

void onx_bn_last_backward(struct onx_pool *pool, const struct onx_bn_last *g, const struct ONX_R(onx_bn_last_grad) *t,
			  double *sum, void *scratch)
{
	struct job j = { .s = onx_stripes_of(g->rows, g->c), .f = g->f, .x = t->x, .y = t->y, .dy = t->dy };
	real *e = onx_bn_param(&j.s, scratch, 3), *d = onx_bn_param(&j.s, scratch, 4);
	const double n = (double)g->rows;

	if (j.s.total == 0)
		return;
	j.m = onx_bn_spread(&j.s, t->mean, NULL, onx_bn_param(&j.s, scratch, 0));
	j.a = onx_bn_spread(&j.s, t->inv, t->scale, onx_bn_param(&j.s, scratch, 1));
	j.b = onx_bn_spread(&j.s, t->bias, NULL, onx_bn_param(&j.s, scratch, 2));
	j.part = onx_bn_parts(&j.s, scratch);
	if (t->ready)
		j.f.kind = ONX_FUSE_NONE;
	j.banded = onx_bn_band_of(&j.f, &j.band) && !t->y;
	if ((t->batch || t->sums) && !t->ready) {
		j.over = j.f.kind != ONX_FUSE_NONE && !j.banded && (t->y || costly(j.f.kind));
		take_sums(pool, &j, t->inv, sum);
	}
	for (size_t i = 0, c = 0; t->batch && i < j.s.width; i++, c = c + 1 < g->c ? c + 1 : 0) {
		const double a = (double)t->scale[c] * (double)t->inv[c] / n;

		e[i] = (real)(-a * (double)t->inv[c] * sum[g->c + c]);
		d[i] = (real)(-a * sum[c]);
	}
	j.e = t->batch ? e : NULL;
	j.d = t->batch ? d : NULL;
	j.dx = t->dx;
	j.dz = t->dz;
	j.add_x = t->add_x;
	j.add_z = t->add_z;
	if (j.dx || j.dz)
		onx_parallel(pool, onx_stripes_pieces(&j.s), dx_piece, &j);
}

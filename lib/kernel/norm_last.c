/* kernel/norm_last.c -- see the header.
 * A stripe is k rows: `width` = k * c numbers.  A piece is some stripes, a tile the part of a piece whose
 * masked gradient is at hand in a buffer within the first cache. */
#include "kernel/norm_last.h"
#include <stdint.h>
#include "kernel/fuse_row.h"

enum { LANES = 8, WIDTH = 512, TILE = 4096, PIECE_STRIPES = 64, PARAMS = 5 };

typedef real lanes __attribute__((vector_size(LANES * sizeof(real)), aligned(sizeof(real)), may_alias));
#ifdef ONX_F64
typedef int64_t bits __attribute__((vector_size(LANES * sizeof(real))));
#else
typedef int32_t bits __attribute__((vector_size(LANES * sizeof(real))));
#endif
typedef double sums __attribute__((vector_size(LANES * sizeof(double)), aligned(sizeof(double)), may_alias));

struct tile { size_t at, rows, col, n; };      /* rows stripes of n numbers each, from column col on */

struct job {
	size_t width, room, total, stripes, c;  /* room: width with space behind it */
	struct onx_fuse f;
	const real *x, *z, *y;
	real *to, *dy, *dx, *dz;
	const real *m, *a, *b, *e, *d;          /* [width]: mean, scale * inv, bias; dx = a g + e (x - m) + d */
	double *part;                           /* [piece][2][width] */
	bool add_x, add_z, over, banded;
	real lo, hi, slope;                     /* banded: f' is 1 between lo and hi, slope outside */
	void (*tile)(const struct job *j, const struct tile *t, double *part);
};

/* Relu, Clip, LeakyRelu: then one loop does all.  hi = NaN: no upper end (p >= NaN is never true). */
static bool band(struct job *j)
{
	const enum onx_fuse_kind k = j->f.kind;

	j->lo = k == ONX_FUSE_CLIP ? (real)j->f.a : 0;
	j->hi = k == ONX_FUSE_CLIP ? (real)j->f.b : (real)NAN;
	j->slope = k == ONX_FUSE_LEAKY ? (real)j->f.a : 0;
	return k == ONX_FUSE_CLIP || k == ONX_FUSE_RELU || k == ONX_FUSE_LEAKY;
}

static size_t stripe_rows(size_t c)
{
	size_t unit = 16;

	for (size_t k = c; unit > 1 && k % 2 == 0; k /= 2)
		unit /= 2;
	return c == 0 || c >= WIDTH ? 1 : onx_pieces(WIDTH, unit * c) * unit;
}

static struct job make_job(const struct onx_bn_last *g, const real *x)
{
	struct job j = { .c = g->c, .x = x, .total = g->rows * g->c, .f = g->f };

	j.width = g->c ? stripe_rows(g->c) * g->c : 1;
	j.room = onx_pieces(j.width, 2 * LANES) * 2 * LANES;
	j.stripes = onx_pieces(j.total, j.width);
	return j;
}

size_t onx_bn_last_scratch(const struct onx_bn_last *g)
{
	const struct job j = make_job(g, NULL);

	return (PARAMS * sizeof(real) + 2 * onx_pieces(j.stripes, PIECE_STRIPES) * sizeof(double)) * j.room;
}

static double *parts(const struct job *j, void *scratch)
{
	return (double *)((real *)scratch + PARAMS * j->room);
}

/* Parameter number i of the scratch. */
static real *param(const struct job *j, void *scratch, size_t i)
{
	return (real *)scratch + i * j->room;
}

/* v [c] repeated over a stripe; with `by` times by [c]. */
static const real *spread(const struct job *j, const real *v, const real *by, real *to)
{
	for (size_t i = 0, c = 0; i < j->width; i++, c = c + 1 < j->c ? c + 1 : 0)
		to[i] = by ? by[c] * v[c] : v[c];
	return to;
}

static void run_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const size_t step = j->width < TILE ? TILE / j->width : 1;
	double *part = j->part ? j->part + 2 * piece * j->width : NULL;
	struct tile t;
	size_t lo, hi;

	(void)worker;
	onx_piece(j->stripes, PIECE_STRIPES, piece, &lo, &hi);
	for (size_t i = 0; part && i < 2 * j->width; i++)
		part[i] = 0;
	for (; lo < hi; lo += t.rows) {
		const size_t left = j->total - lo * j->width, whole = left / j->width;
		const size_t end = left < j->width ? left : j->width;

		t.rows = hi - lo < step ? hi - lo : step;
		t.rows = whole == 0 ? 1 : t.rows < whole ? t.rows : whole;
		for (t.col = 0; t.col < end; t.col += TILE) {
			t.at = lo * j->width + t.col;
			t.n = end - t.col < TILE ? end - t.col : TILE;
			j->tile(j, &t, part);
		}
	}
}

static void run(struct onx_pool *pool, struct job *j, void (*tile)(const struct job *, const struct tile *, double *))
{
	j->tile = tile;
	onx_parallel(pool, onx_pieces(j->stripes, PIECE_STRIPES), run_piece, j);
}

/* The parts of all pieces and of all repeats of a channel, in order: sum [2][c]. */
static void fold(const struct job *j, double *sum)
{
	const size_t pieces = onx_pieces(j->stripes, PIECE_STRIPES);

	for (size_t i = 0; i < 2 * j->c; i++)
		sum[i] = 0;
	for (size_t p = 0; p < 2 * pieces; p++)
		for (size_t i = 0; i < j->width; i += j->c)
			for (size_t c = 0; c < j->c; c++)
				sum[p % 2 * j->c + c] += j->part[p * j->width + i + c];
}

/* What the sums are of: x - m alone, with dy, or with dy behind a banded f. */
enum of { MOMENTS, PRODUCTS, BANDED };

/* Over the rows of k * LANES columns: s0 += g, s1 += g * (x - m). */
ONX_INLINE void columns(const struct job *j, const real *x, const real *dy, size_t rows, size_t n, size_t col,
			double *p, const enum of what, const int k)
{
	const lanes one = (lanes){ 0 } + 1, slope = (lanes){ 0 } + j->slope, none = { 0 };
	double *p1 = p + j->width;
	sums s0[4], s1[4], mean[4];
	lanes m[4], a[4], b[4];

	ONX_UNROLL
	for (int v = 0; v < k; v++) {
		s0[v] = *(const sums *)(p + v * LANES);
		s1[v] = *(const sums *)(p1 + v * LANES);
		m[v] = *(const lanes *)(j->m + col + v * LANES);
		a[v] = what == BANDED ? *(const lanes *)(j->a + col + v * LANES) : none;
		b[v] = what == BANDED ? *(const lanes *)(j->b + col + v * LANES) : none;
		mean[v] = __builtin_convertvector(m[v], sums);
	}
	for (size_t r = 0; r < rows; r++) {
		ONX_UNROLL
		for (int v = 0; v < k; v++) {
			const size_t at = r * n + (size_t)v * LANES;
			const lanes u = *(const lanes *)(x + at);
			const sums d = __builtin_convertvector(u, sums) - mean[v];
			lanes g = what == MOMENTS ? none : *(const lanes *)(dy + at);

			if (what == BANDED) {
				const lanes arg = (u - m[v]) * a[v] + b[v];
				const bits in = (bits)(arg > j->lo) & ~(bits)(arg >= j->hi);

				g *= (lanes)(((bits)one & in) | ((bits)slope & ~in));
			}
			const sums q = what == MOMENTS ? d : __builtin_convertvector(g, sums);

			s0[v] += q;
			s1[v] += q * d;
		}
	}
	ONX_UNROLL
	for (int v = 0; v < k; v++) {
		*(sums *)(p + v * LANES) = s0[v];
		*(sums *)(p1 + v * LANES) = s1[v];
	}
}

ONX_INLINE real inside(const struct job *j, real arg, real dy)
{
	return ((arg > j->lo) & !(arg >= j->hi)) ? dy : j->slope * dy;
}

ONX_INLINE void all_columns(const struct job *j, const struct tile *t, const real *g, double *p, const enum of what)
{
	const real *x = j->x + t->at;
	const size_t n = t->n, rows = t->rows, col = t->col;
	size_t i = 0;

	p += col;
	for (; i + 4 * LANES <= n; i += 4 * LANES)
		columns(j, x + i, g + i, rows, n, col + i, p + i, what, 4);
	for (; i + LANES <= n; i += LANES)
		columns(j, x + i, g + i, rows, n, col + i, p + i, what, 1);
	for (; i < n; i++)
		for (size_t r = 0; r < rows; r++) {
			const real u = x[r * n + i], m = j->m[col + i];
			const double d = (double)u - (double)m;
			const double q = what == MOMENTS ? d : what == PRODUCTS ? (double)g[r * n + i] :
				(double)inside(j, (u - m) * j->a[col + i] + j->b[col + i], g[r * n + i]);

			p[i] += q;
			p[i + j->width] += q * d;
		}
}

ONX_CLONES
static void moments(const struct job *j, const struct tile *t, double *part)
{
	all_columns(j, t, j->x + t->at, part, MOMENTS);
}

ONX_CLONES
static void products(const struct job *j, const struct tile *t, const real *g, double *part)
{
	all_columns(j, t, g, part, PRODUCTS);
}

ONX_CLONES
static void banded_products(const struct job *j, const struct tile *t, double *part)
{
	all_columns(j, t, j->dy + t->at, part, BANDED);
}

static void stats_tile(const struct job *j, const struct tile *t, double *part)
{
	moments(j, t, part);
}

void onx_bn_last_stats(struct onx_pool *pool, const struct onx_bn_last *g, const real *x, real *mean, real *var,
		       void *scratch)
{
	struct job j = make_job(g, x);
	const size_t pieces = onx_pieces(j.stripes, PIECE_STRIPES);
	const double n = (double)g->rows;

	j.m = spread(&j, x, NULL, param(&j, scratch, 0));
	j.part = parts(&j, scratch);
	run(pool, &j, stats_tile);
	for (size_t c = 0; c < g->c; c++) {
		double s[2] = { 0, 0 };

		for (size_t p = 0; p < 2 * pieces; p++)
			for (size_t i = c; i < j.width; i += g->c)
				s[p % 2] += j.part[p * j.width + i];
		const double v = (s[1] - s[0] * s[0] / n) / n;

		mean[c] = (real)((double)x[c] + s[0] / n);
		var[c] = (real)(v < 0 ? 0 : v);
	}
}

/* p = (x - m) * a + b */
ONX_INLINE void argument(const real *restrict x, const real *restrict m, const real *restrict a,
			 const real *restrict b, size_t rows, size_t n, real *restrict p)
{
	for (size_t r = 0; r < rows; r++, x += n, p += n)
		for (size_t i = 0; i < n; i++)
			p[i] = (x[i] - m[i]) * a[i] + b[i];
}

/* y = p + z within lo and hi: Relu and Clip in one loop. */
ONX_CLONES
static void apply_banded(const struct job *j, const struct tile *t)
{
	const real *restrict x = j->x + t->at, *restrict m = j->m + t->col, *restrict a = j->a + t->col;
	const real *restrict b = j->b + t->col, *restrict z = j->z ? j->z + t->at : NULL, lo = j->lo, hi = j->hi;
	real *restrict y = j->to + t->at;

	for (size_t r = 0; r < t->rows; r++, x += t->n, y += t->n, z += z ? t->n : 0) {
		if (z)
			for (size_t i = 0; i < t->n; i++) {
				const real p = (x[i] - m[i]) * a[i] + b[i] + z[i], q = p < lo ? lo : p;
				y[i] = q > hi ? hi : q;
			}
		else
			for (size_t i = 0; i < t->n; i++) {
				const real p = (x[i] - m[i]) * a[i] + b[i], q = p < lo ? lo : p;
				y[i] = q > hi ? hi : q;
			}
	}
}

ONX_CLONES
static void apply(const struct job *j, const struct tile *t)
{
	const real *z = j->z ? j->z + t->at : NULL;
	real *to = j->to + t->at;

	argument(j->x + t->at, j->m + t->col, j->a + t->col, j->b + t->col, t->rows, t->n, to);
	if (z)
		for (size_t i = 0; i < t->rows * t->n; i++)
			to[i] += z[i];
	onx_fuse_row(&j->f, to, t->rows * t->n);
}

static void apply_tile(const struct job *j, const struct tile *t, double *part)
{
	(void)part;
	if (j->banded)
		apply_banded(j, t);
	else
		apply(j, t);
}

void onx_bn_last_apply(struct onx_pool *pool, const struct onx_bn_last *g, const real *x, const real *mean,
		       const real *inv, const real *scale, const real *bias, const real *z, real *y, void *scratch)
{
	struct job j = make_job(g, x);

	if (j.total == 0)
		return;
	j.z = z;
	j.to = y;
	j.m = spread(&j, mean, NULL, param(&j, scratch, 0));
	j.a = spread(&j, inv, scale, param(&j, scratch, 1));
	j.b = spread(&j, bias, NULL, param(&j, scratch, 2));
	j.banded = band(&j) && j.f.kind != ONX_FUSE_LEAKY;
	run(pool, &j, apply_tile);
}

/* The masked gradient of a tile: into g (buf, or dy itself). */
ONX_CLONES
static void mask(const struct job *j, const struct tile *t, real *buf, real *g)
{
	const size_t n = t->rows * t->n;

	if (j->y) {
		onx_slope_row(&j->f, j->y + t->at, j->dy + t->at, g, n);
		return;
	}
	argument(j->x + t->at, j->m + t->col, j->a + t->col, j->b + t->col, t->rows, t->n, buf);
	onx_slope_arg(&j->f, buf, j->dy + t->at, g, n);
}

static const real *masked(const struct job *j, const struct tile *t, real *buf)
{
	real *dy = j->dy + t->at;

	if (j->f.kind == ONX_FUSE_NONE)
		return dy;
	mask(j, t, buf, j->over ? dy : buf);
	return j->over ? dy : buf;
}

static void banded_sums_tile(const struct job *j, const struct tile *t, double *part)
{
	banded_products(j, t, part);
}

static void sums_tile(const struct job *j, const struct tile *t, double *part)
{
	real buf[TILE];

	products(j, t, masked(j, t, buf), part);
}

/* dx (=|+=) a g + e (x - m) + d; e NULL: a g.  dx may be g. */
ONX_CLONES
static void gradient(const struct job *j, const struct tile *t, const real *g)
{
	const real *x = j->x + t->at, *m = j->m + t->col, *a = j->a + t->col;
	const real *e = j->e ? j->e + t->col : NULL, *d = j->d ? j->d + t->col : NULL;
	real *dx = j->dx + t->at;

	for (size_t r = 0; r < t->rows; r++, x += t->n, g += t->n, dx += t->n) {
		if (!e) {
			ONX_ALIKE
			for (size_t i = 0; i < t->n; i++)
				onx_put(&dx[i], j->add_x, a[i] * g[i]);
		} else if (j->add_x) {
			ONX_ALIKE
			for (size_t i = 0; i < t->n; i++)
				dx[i] += a[i] * g[i] + (e[i] * (x[i] - m[i]) + d[i]);
		} else {
			ONX_ALIKE
			for (size_t i = 0; i < t->n; i++)
				dx[i] = a[i] * g[i] + (e[i] * (x[i] - m[i]) + d[i]);
		}
	}
}

ONX_CLONES
static void pass_on(const real *g, real *dz, size_t n, bool add)
{
	ONX_ALIKE
	for (size_t i = 0; i < n; i++)
		onx_put(&dz[i], add, g[i]);
}

/* The same behind a banded f, from dy. */
ONX_CLONES
static void banded_gradient(const struct job *j, const struct tile *t)
{
	const real *x = j->x + t->at, *m = j->m + t->col, *a = j->a + t->col, *b = j->b + t->col;
	const real *e = j->e ? j->e + t->col : NULL, *d = j->d ? j->d + t->col : NULL, *dy = j->dy + t->at;
	real *dx = j->dx + t->at;
	const struct job k = *j;

	for (size_t r = 0; r < t->rows; r++, x += t->n, dy += t->n, dx += t->n) {
		if (!e) {
			ONX_ALIKE
			for (size_t i = 0; i < t->n; i++)
				onx_put(&dx[i], k.add_x, a[i] * inside(&k, (x[i] - m[i]) * a[i] + b[i], dy[i]));
		} else {
			ONX_ALIKE
			for (size_t i = 0; i < t->n; i++) {
				const real u = x[i] - m[i], g = inside(&k, u * a[i] + b[i], dy[i]);
				onx_put(&dx[i], k.add_x, a[i] * g + (e[i] * u + d[i]));
			}
		}
	}
}

static void banded_dx_tile(const struct job *j, const struct tile *t, double *part)
{
	(void)part;
	banded_gradient(j, t);
}

static void dx_tile(const struct job *j, const struct tile *t, double *part)
{
	real buf[TILE];
	const real *g = masked(j, t, buf);

	(void)part;
	if (j->dz && j->dz + t->at != g)
		pass_on(g, j->dz + t->at, t->rows * t->n, j->add_z);
	if (j->dx)
		gradient(j, t, g);
}

static bool costly(enum onx_fuse_kind k)
{
	return k == ONX_FUSE_TANH || k == ONX_FUSE_SIGMOID || k == ONX_FUSE_SILU;
}

void onx_bn_last_backward(struct onx_pool *pool, const struct onx_bn_last *g, const struct ONX_R(onx_bn_last_grad) *t,
			  double *sum, void *scratch)
{
	struct job j = make_job(g, t->x);
	real *e = param(&j, scratch, 3), *d = param(&j, scratch, 4);
	const double n = (double)g->rows;

	if (j.total == 0)
		return;
	j.dy = t->dy;
	j.y = t->y;
	j.m = spread(&j, t->mean, NULL, param(&j, scratch, 0));
	j.a = spread(&j, t->inv, t->scale, param(&j, scratch, 1));
	j.b = spread(&j, t->bias, NULL, param(&j, scratch, 2));
	j.banded = !t->y && band(&j);
	if (t->batch || t->sums) {
		j.over = j.f.kind != ONX_FUSE_NONE && (t->y || costly(j.f.kind));
		j.part = parts(&j, scratch);
		run(pool, &j, j.banded ? banded_sums_tile : sums_tile);
		fold(&j, sum);
		for (size_t c = 0; c < g->c; c++)
			sum[g->c + c] *= (double)t->inv[c];
		j.part = NULL;
		if (j.over)
			j.f.kind = ONX_FUSE_NONE;
		j.over = false;
	}
	for (size_t i = 0, c = 0; t->batch && i < j.width; i++, c = c + 1 < g->c ? c + 1 : 0) {
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
		run(pool, &j, j.banded ? banded_dx_tile : dx_tile);
}

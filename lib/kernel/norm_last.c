/* kernel/norm_last.c -- see the header.
 * A stripe is k rows: `width` = k * c numbers.  A piece is some stripes, a tile the part of a piece whose
 * masked gradient is at hand in a buffer within the first cache. */
#include "kernel/norm_last.h"
#include "kernel/fuse_row.h"

enum { LANES = 8, WIDTH = 512, TILE = 4096, PIECE_STRIPES = 64, PARAMS = 5 };

typedef real lanes __attribute__((vector_size(LANES * sizeof(real)), aligned(sizeof(real)), may_alias));
typedef double sums __attribute__((vector_size(LANES * sizeof(double)), aligned(sizeof(double)), may_alias));

struct tile { size_t at, rows, col, n; };      /* rows stripes of n numbers each, from column col on */

struct job {
	size_t width, room, total, stripes, c;  /* room: width with space behind it */
	struct onx_fuse f;
	const real *x, *z, *y;
	real *to, *dy, *dx, *dz;
	const real *m, *a, *b, *e, *d;          /* [width]: mean, scale * inv, bias; dx = a g + e (x - m) + d */
	double *part;                           /* [piece][2][width] */
	bool add_x, add_z, over;
	void (*tile)(const struct job *j, const struct tile *t, double *part);
};

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

/* Over the rows of some columns: s0 += g, s1 += g * (x - m); g == NULL: g is x - m. */
ONX_INLINE void columns(const real *x, const real *g, size_t rows, size_t n, const real *m, double *p0, double *p1,
			const int k)
{
	sums s0[4], s1[4], mean[4];

	ONX_UNROLL
	for (int v = 0; v < k; v++) {
		s0[v] = *(const sums *)(p0 + v * LANES);
		s1[v] = *(const sums *)(p1 + v * LANES);
		mean[v] = __builtin_convertvector(*(const lanes *)(m + v * LANES), sums);
	}
	for (size_t r = 0; r < rows; r++) {
		ONX_UNROLL
		for (int v = 0; v < k; v++) {
			const size_t at = r * n + (size_t)v * LANES;
			const sums d = __builtin_convertvector(*(const lanes *)(x + at), sums) - mean[v];
			const sums q = g ? __builtin_convertvector(*(const lanes *)(g + at), sums) : d;

			s0[v] += q;
			s1[v] += q * d;
		}
	}
	ONX_UNROLL
	for (int v = 0; v < k; v++) {
		*(sums *)(p0 + v * LANES) = s0[v];
		*(sums *)(p1 + v * LANES) = s1[v];
	}
}

ONX_INLINE void all_columns(const real *x, const real *g, size_t rows, size_t n, const real *m, double *p0,
			    double *p1)
{
	size_t i = 0;

	for (; i + 4 * LANES <= n; i += 4 * LANES)
		columns(x + i, g ? g + i : NULL, rows, n, m + i, p0 + i, p1 + i, 4);
	for (; i + LANES <= n; i += LANES)
		columns(x + i, g ? g + i : NULL, rows, n, m + i, p0 + i, p1 + i, 1);
	for (; i < n; i++)
		for (size_t r = 0; r < rows; r++) {
			const double d = (double)x[r * n + i] - (double)m[i], q = g ? (double)g[r * n + i] : d;

			p0[i] += q;
			p1[i] += q * d;
		}
}

ONX_CLONES
static void moments(const real *x, size_t rows, size_t n, const real *m, double *p0, double *p1)
{
	all_columns(x, NULL, rows, n, m, p0, p1);
}

ONX_CLONES
static void products(const real *x, const real *g, size_t rows, size_t n, const real *m, double *p0, double *p1)
{
	all_columns(x, g, rows, n, m, p0, p1);
}

static void stats_tile(const struct job *j, const struct tile *t, double *part)
{
	moments(j->x + t->at, t->rows, t->n, j->m + t->col, part + t->col, part + j->width + t->col);
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

static void sums_tile(const struct job *j, const struct tile *t, double *part)
{
	real buf[TILE];
	const real *g = masked(j, t, buf);

	products(j->x + t->at, g, t->rows, t->n, j->m + t->col, part + t->col, part + j->width + t->col);
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
	if (t->batch || t->sums) {
		j.over = j.f.kind != ONX_FUSE_NONE && (t->y || costly(j.f.kind));
		j.part = parts(&j, scratch);
		run(pool, &j, sums_tile);
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
		run(pool, &j, dx_tile);
}

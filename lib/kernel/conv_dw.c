/* kernel/conv_dw.c -- depthwise convolution: one input channel to a group, m outputs of it.
 * Every loop runs along the rows of the output, where memory is contiguous. */
#include "kernel/conv.h"
#include "kernel/cpu.h"
#include <string.h>

enum { PIECE_WORK = 1 << 16, LANES = 16 };

struct job {
	const struct onx_conv_geo *g;
	const real *x, *w, *b, *dy;
	real *y, *dx, *dw;
	bool add;
	size_t grain, planes;
};

static size_t min_z(size_t a, size_t b) { return a < b ? a : b; }
static size_t max_z(size_t a, size_t b) { return a > b ? a : b; }

/* Columns of the output for which all taps lie inside the input. */
struct cols { size_t from, to; };

static struct cols cols_of(const struct onx_window *w)
{
	struct cols c = { 0, w->out[2] };

	for (size_t k = 0; k < w->kern[2]; k++) {
		size_t lo, hi;

		onx_window_valid(w, 2, k, &lo, &hi);
		c.from = max_z(c.from, lo);
		c.to = min_z(c.to, hi);
	}
	c.from = min_z(c.from, c.to);
	return c;
}

ONX_INLINE void axpy_gather(real *restrict y, const real *restrict x, int64_t s, real w, size_t n)
{
	if (s == 1)
		for (size_t i = 0; i < n; i++)
			y[i] += w * x[i];
	else if (s == 2)
		for (size_t i = 0; i < n; i++)
			y[i] += w * x[2 * i];
	else
		for (size_t i = 0; i < n; i++)
			y[i] += w * x[(int64_t)i * s];
}

ONX_INLINE void axpy_scatter(real *restrict x, const real *restrict y, int64_t s, real w, size_t n)
{
	if (s == 1)
		for (size_t i = 0; i < n; i++)
			x[i] += w * y[i];
	else
		for (size_t i = 0; i < n; i++)
			x[(int64_t)i * s] += w * y[i];
}

/* Three neighbouring taps at once, where all of them are inside. */
ONX_INLINE void three_gather(real *restrict y, const real *restrict x, int64_t s, const real *w, size_t n)
{
	const real a = w[0], b = w[1], c = w[2];

	if (s == 1)
		for (size_t i = 0; i < n; i++)
			y[i] += a * x[i] + b * x[i + 1] + c * x[i + 2];
	else
		for (size_t i = 0; i < n; i++)
			y[i] += a * x[2 * i] + b * x[2 * i + 1] + c * x[2 * i + 2];
}

/* y[0..out) += one row of taps over one input row. */
ONX_INLINE void row_forward(const struct onx_window *w, struct cols in, const real *x, const real *k,
			    real *y)
{
	const int64_t s = w->stride[2];
	const bool fuse = w->kern[2] == 3 && w->dil[2] == 1 && s <= 2 && in.to > in.from;

	if (fuse)
		three_gather(y + in.from, x + onx_window_at(w, 2, in.from, 0), s, k, in.to - in.from);
	for (size_t t = 0; t < w->kern[2]; t++) {
		size_t lo, hi;

		onx_window_valid(w, 2, t, &lo, &hi);
		if (!fuse) {
			if (hi > lo)
				axpy_gather(y + lo, x + onx_window_at(w, 2, lo, t), s, k[t], hi - lo);
			continue;
		}
		for (size_t o = lo; o < min_z(hi, in.from); o++)
			y[o] += k[t] * x[onx_window_at(w, 2, o, t)];
		for (size_t o = max_z(lo, in.to); o < hi; o++)
			y[o] += k[t] * x[onx_window_at(w, 2, o, t)];
	}
}

/* The input row that tap row kr (kd * kern[1] + kh) of output row r meets; false in the padding. */
ONX_INLINE bool rows_meet(const struct onx_window *w, size_t r, size_t kr, size_t *row)
{
	const int64_t d = onx_window_at(w, 0, r / w->out[1], kr / w->kern[1]);
	const int64_t h = onx_window_at(w, 1, r % w->out[1], kr % w->kern[1]);

	if (d < 0 || d >= (int64_t)w->in[0] || h < 0 || h >= (int64_t)w->in[1])
		return false;
	*row = (size_t)d * w->in[1] + (size_t)h;
	return true;
}

ONX_CLONES
static void plane_forward(const struct onx_window *w, const real *x, const real *k, real b, bool add,
			  real *y)
{
	const struct cols in = cols_of(w);
	const size_t rows = w->out[0] * w->out[1], taps = w->kern[0] * w->kern[1];

	for (size_t r = 0; r < rows; r++) {
		real *to = y + r * w->out[2];
		size_t row;

		for (size_t i = 0; i < w->out[2]; i++)
			to[i] = add ? to[i] + b : b;
		for (size_t t = 0; t < taps; t++)
			if (rows_meet(w, r, t, &row))
				row_forward(w, in, x + row * w->in[2], k + t * w->kern[2], to);
	}
}

/* dx += scatter of one output plane. */
ONX_CLONES
static void plane_dgrad(const struct onx_window *w, const real *dy, const real *k, real *dx)
{
	const size_t rows = w->out[0] * w->out[1], taps = w->kern[0] * w->kern[1];
	size_t row, lo, hi;

	for (size_t r = 0; r < rows; r++)
		for (size_t t = 0; t < taps; t++) {
			if (!rows_meet(w, r, t, &row))
				continue;
			for (size_t kw = 0; kw < w->kern[2]; kw++) {
				onx_window_valid(w, 2, kw, &lo, &hi);
				if (hi > lo)
					axpy_scatter(dx + row * w->in[2] + onx_window_at(w, 2, lo, kw),
						     dy + r * w->out[2] + lo, w->stride[2],
						     k[t * w->kern[2] + kw], hi - lo);
			}
		}
}

/* Sum of a[i] * x[i * s] in a fixed order: LANES running sums that the compiler keeps in vectors. */
ONX_INLINE double dot(const real *restrict a, const real *restrict x, int64_t s, size_t n)
{
	real lane[LANES] = { 0 };
	double sum = 0;
	size_t i = 0;

	if (s == 1)
		for (; i + LANES <= n; i += LANES)
			for (size_t l = 0; l < LANES; l++)
				lane[l] += a[i + l] * x[i + l];
	else if (s == 2)
		for (; i + LANES <= n; i += LANES)
			for (size_t l = 0; l < LANES; l++)
				lane[l] += a[i + l] * x[2 * (i + l)];
	for (; i < n; i++)
		lane[i % LANES] += a[i] * x[(int64_t)i * s];
	for (size_t l = 0; l < LANES; l++)
		sum += lane[l];
	return sum;
}

/* dw[tap] of one row of taps, summed over the rows of one plane. */
ONX_CLONES
static double plane_wgrad(const struct onx_window *w, const real *x, const real *dy, size_t t, size_t kw)
{
	const size_t rows = w->out[0] * w->out[1];
	double sum = 0;
	size_t row, lo, hi;

	onx_window_valid(w, 2, kw, &lo, &hi);
	for (size_t r = 0; hi > lo && r < rows; r++)
		if (rows_meet(w, r, t, &row))
			sum += dot(dy + r * w->out[2] + lo,
				   x + row * w->in[2] + onx_window_at(w, 2, lo, kw), w->stride[2], hi - lo);
	return sum;
}

static void set_grain(struct job *j, size_t planes, size_t per_plane)
{
	j->planes = planes;
	j->grain = max_z(PIECE_WORK / max_z(per_plane, 1), 1);
}

static void forward_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const struct onx_conv_geo *g = j->g;
	size_t lo, hi;

	(void)worker;
	onx_piece(j->planes, j->grain, piece, &lo, &hi);
	for (size_t i = lo; i < hi; i++) {
		const size_t ch = i % (g->groups * g->m);

		plane_forward(&g->w, j->x + i / g->m * g->w.in_n, j->w + ch * g->w.kern_n,
			      j->b ? j->b[ch] : 0, j->add, j->y + i * g->w.out_n);
	}
}

void onx_conv_dw_forward(struct onx_pool *pool, const struct onx_conv_geo *g, const real *x,
			 const real *w, const real *b, real *y, bool add, void *scratch)
{
	struct job j = { .g = g, .x = x, .w = w, .b = b, .y = y, .add = add };

	(void)scratch;
	set_grain(&j, g->n * g->groups * g->m, g->w.out_n * g->w.kern_n);
	onx_parallel(pool, onx_pieces(j.planes, j.grain), forward_piece, &j);
}

static void dgrad_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const struct onx_conv_geo *g = j->g;
	size_t lo, hi;

	(void)worker;
	onx_piece(j->planes, j->grain, piece, &lo, &hi);
	for (size_t i = lo; i < hi; i++) {
		real *dx = j->dx + i * g->w.in_n;

		if (!j->add)
			memset(dx, 0, g->w.in_n * sizeof *dx);
		for (size_t m = i * g->m; m < (i + 1) * g->m; m++)
			plane_dgrad(&g->w, j->dy + m * g->w.out_n,
				    j->w + m % (g->groups * g->m) * g->w.kern_n, dx);
	}
}

void onx_conv_dw_dgrad(struct onx_pool *pool, const struct onx_conv_geo *g, const real *w,
		       const real *dy, real *dx, bool add, void *scratch)
{
	struct job j = { .g = g, .w = w, .dy = dy, .dx = dx, .add = add };

	(void)scratch;
	set_grain(&j, g->n * g->groups, g->m * g->w.out_n * g->w.kern_n);
	onx_parallel(pool, onx_pieces(j.planes, j.grain), dgrad_piece, &j);
}

/* A piece is a run of weights of whole channels; the images are summed one after another. */
static void wgrad_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const struct onx_conv_geo *g = j->g;
	const size_t kw = g->w.kern[2], taps = g->w.kern_n, all = g->groups * g->m;
	size_t lo, hi;

	(void)worker;
	onx_piece(j->planes, j->grain, piece, &lo, &hi);
	for (size_t ch = lo; ch < hi; ch++)
		for (size_t k = 0; k < taps; k++) {
			double sum = 0;

			for (size_t n = 0; n < g->n; n++)
				sum += plane_wgrad(&g->w,
						   j->x + (n * g->groups + ch / g->m) * g->w.in_n,
						   j->dy + (n * all + ch) * g->w.out_n, k / kw, k % kw);
			onx_put(&j->dw[ch * taps + k], j->add, (real)sum);
		}
}

void onx_conv_dw_wgrad(struct onx_pool *pool, const struct onx_conv_geo *g, const real *x,
		       const real *dy, real *dw, bool add, void *scratch)
{
	struct job j = { .g = g, .x = x, .dy = dy, .dw = dw, .add = add };

	(void)scratch;
	set_grain(&j, g->groups * g->m, g->n * g->w.out_n * g->w.kern_n);
	onx_parallel(pool, onx_pieces(j.planes, j.grain), wgrad_piece, &j);
}

/* kernel/pool_last.c -- see the header.  A piece is some rows of the output (forward) or of the input
 * (backward); within a pixel the channels go by blocks whose running values stay in the first cache. */
#include "kernel/pool_last.h"
#include "kernel/cpu.h"

enum { BLOCK = 128, TAPS = 64, NINE = 9, PIECE_WORK = 1 << 16 };

struct job {
	const struct onx_pool_last *g;
	const real *x, *dy;
	real *to;
	uint8_t *tap8;                  /* one of these */
	uint32_t *tap32;
	bool add;
	size_t rows, grain;
	void (*pixel)(const struct job *j, size_t n, const size_t *at);
};

/* Rows of size[0] * size[1] * n, a pixel at a time. */
static void run_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const size_t *size = j->dy ? j->g->w.in : j->g->w.out;
	size_t lo, hi;

	(void)worker;
	onx_piece(j->rows, j->grain, piece, &lo, &hi);
	for (; lo < hi; lo++)
		for (size_t i = 0; i < size[2]; i++) {
			const size_t at[3] = { lo / size[1] % size[0], lo % size[1], i };

			j->pixel(j, lo / size[1] / size[0], at);
		}
}

static void run(struct onx_pool *pool, struct job *j, void (*pixel)(const struct job *, size_t, const size_t *))
{
	const struct onx_window *w = &j->g->w;
	const size_t *size = j->dy ? w->in : w->out;

	j->pixel = pixel;
	j->rows = j->g->n * size[0] * size[1];
	j->grain = PIECE_WORK / (size[2] * j->g->c * (j->dy ? 4 : w->kern_n) + 1) + 1;
	onx_parallel(pool, onx_pieces(j->rows, j->grain), run_piece, j);
}

/* Pixel number in a tensor of the given spatial size. */
static size_t pixel_at(size_t n, const size_t *size, size_t a, size_t b, size_t c)
{
	return ((n * size[0] + a) * size[1] + b) * size[2] + c;
}

/* Input pixel of tap (a, b, c). */
static size_t input_of(const struct onx_window *w, size_t n, const struct onx_reach *r, int64_t a, int64_t b,
		       int64_t c)
{
	return pixel_at(n, w->in, (size_t)(r->first[0] + a * w->dil[0]), (size_t)(r->first[1] + b * w->dil[1]),
			(size_t)(r->first[2] + c * w->dil[2]));
}

/* The output whose tap k meets input position i of dimension d; false: none. */
static bool meets(const struct onx_window *w, int d, size_t i, size_t k, size_t *o)
{
	const int64_t at = (int64_t)i + w->pad[d] - (int64_t)k * w->dil[d];

	*o = at < 0 ? 0 : (size_t)(at / w->stride[d]);
	return at >= 0 && at % w->stride[d] == 0 && *o < w->out[d];
}

ONX_INLINE void max_tap(const real *restrict x, int32_t tap, size_t n, real *restrict top, int32_t *restrict which)
{
	for (size_t i = 0; i < n; i++) {
		const real v = x[i];
		const bool take = (v > top[i]) | (v != v) | (which[i] < 0);

		top[i] = take ? v : top[i];
		which[i] = take ? tap : which[i];
	}
}

/* Taps in a row, each some channels of a pixel; the first of equals wins, and NaN over all. */
struct taps { const real *x[TAPS]; int32_t number[TAPS]; size_t n; bool first; };

ONX_CLONES
static void max_taps(const struct taps *t, size_t n, real *top, int32_t *which)
{
	for (size_t i = 0; t->first && i < n; i++) {
		top[i] = -(real)INFINITY;
		which[i] = -1;
	}
	for (size_t k = 0; k < t->n; k++) {
		max_tap(t->x[k], t->number[k], n, top, which);
		ONX_IN_ORDER;
	}
}

ONX_CLONES
static void keep_taps(const int32_t *restrict which, size_t n, uint8_t *restrict tap8, uint32_t *restrict tap32)
{
	if (tap8)
		for (size_t i = 0; i < n; i++)
			tap8[i] = (uint8_t)which[i];
	else
		for (size_t i = 0; tap32 && i < n; i++)
			tap32[i] = (uint32_t)which[i];
}

/* Where nobody asks which tap it was, the largest so far stays in a register: nine, three or one tap at a time. */
ONX_INLINE void top_taps(const real *const *at, const size_t taps, bool first, size_t n, real *restrict top)
{
	const real *x[NINE] = { 0 };

	ONX_UNROLL
	for (size_t k = 0; k < taps; k++)
		x[k] = at[k];
	ONX_ALIKE
	for (size_t i = 0; i < n; i++) {
		real v = first ? -(real)INFINITY : top[i];

		ONX_UNROLL
		for (size_t k = 0; k < taps; k++)
			v = ((x[k][i] > v) | (x[k][i] != x[k][i])) ? x[k][i] : v;
		top[i] = v;
	}
}

ONX_CLONES
static void max_values(const struct taps *t, size_t n, real *top)
{
	bool first = t->first;
	size_t k = 0;

	if (first && t->n == 0)
		top_taps(t->x, 0, true, n, top);
	else if (first && t->n == NINE)
		top_taps(t->x, NINE, true, n, top);
	else
		for (; k < t->n; k++, first = false)
			if (k + 3 <= t->n) {
				top_taps(t->x + k, 3, first, n, top);
				k += 2;
			} else {
				top_taps(t->x + k, 1, first, n, top);
			}
}

static void max_block(const struct job *j, const struct taps *t, size_t n, real *top, int32_t *which)
{
	if (j->tap8 || j->tap32)
		max_taps(t, n, top, which);
	else
		max_values(t, n, top);
}

static void max_pixel(const struct job *j, size_t n, const size_t *at)
{
	const struct onx_window *w = &j->g->w;
	const struct onx_reach r = onx_window_reach(w, at);
	const size_t c = j->g->c, to = pixel_at(n, w->out, at[0], at[1], at[2]) * c;
	int32_t which[BLOCK];

	for (size_t lo = 0; lo < c; lo += BLOCK) {
		const size_t len = c - lo < BLOCK ? c - lo : BLOCK;
		struct taps t;

		t.first = true;
		t.n = 0;

		for (int64_t d = r.lo[0]; d < r.hi[0]; d++)
			for (int64_t h = r.lo[1]; h < r.hi[1]; h++)
				for (int64_t k = r.lo[2]; k < r.hi[2]; k++) {
					if (t.n == TAPS) {
						max_block(j, &t, len, j->to + to + lo, which);
						t.first = false;
						t.n = 0;
					}
					t.number[t.n] = (int32_t)((d * (int64_t)w->kern[1] + h) *
								  (int64_t)w->kern[2] + k);
					t.x[t.n++] = j->x + input_of(w, n, &r, d, h, k) * c + lo;
				}
		max_block(j, &t, len, j->to + to + lo, which);
		keep_taps(which, len, j->tap8 ? j->tap8 + to + lo : NULL, j->tap32 ? j->tap32 + to + lo : NULL);
	}
}

static bool narrow(const struct onx_pool_last *g)
{
	return g->w.kern_n <= 255;              /* 255: a window that sees only padding */
}

size_t onx_maxlast_taps(const struct onx_pool_last *g)
{
	return g->n * g->w.out_n * g->c * (narrow(g) ? 1 : 4);
}

void onx_maxlast_forward(struct onx_pool *pool, const struct onx_pool_last *g, const real *x, real *y, void *tap)
{
	struct job j = { .g = g, .x = x, .to = y, .tap8 = narrow(g) ? tap : NULL, .tap32 = narrow(g) ? NULL : tap };

	run(pool, &j, max_pixel);
}

/* dx (=|+=) dy where the tap was taken */
ONX_CLONES
static void from_tap8(const real *restrict dy, const uint8_t *restrict which, uint8_t tap, size_t n, bool add,
		      real *restrict dx)
{
	if (add)
		for (size_t i = 0; i < n; i++)
			dx[i] += which[i] == tap ? dy[i] : 0;
	else
		for (size_t i = 0; i < n; i++)
			dx[i] = which[i] == tap ? dy[i] : 0;
}

ONX_CLONES
static void from_tap32(const real *restrict dy, const uint32_t *restrict which, uint32_t tap, size_t n, bool add,
		       real *restrict dx)
{
	for (size_t i = 0; i < n; i++)
		onx_put(&dx[i], add, which[i] == tap ? dy[i] : 0);
}

/* dx (=|+=) f dy */
ONX_CLONES
static void scaled(const real *restrict dy, real f, size_t n, bool add, real *restrict dx)
{
	if (add)
		for (size_t i = 0; i < n; i++)
			dx[i] += f * dy[i];
	else
		for (size_t i = 0; i < n; i++)
			dx[i] = f * dy[i];
}

static void one_term(const struct job *j, size_t n, const size_t *o, size_t tap, bool add, real *dx)
{
	const struct onx_window *w = &j->g->w;
	const size_t c = j->g->c, from = pixel_at(n, w->out, o[0], o[1], o[2]) * c;

	if (j->tap8) {
		from_tap8(j->dy + from, j->tap8 + from, (uint8_t)tap, c, add, dx);
	} else if (j->tap32) {
		from_tap32(j->dy + from, j->tap32 + from, (uint32_t)tap, c, add, dx);
	} else {
		const struct onx_reach r = onx_window_reach(w, o);

		scaled(j->dy + from, (real)(1 / onx_reach_count(w, &r, j->g->count_pad)), c, add, dx);
	}
}

/* One input pixel: the outputs and taps that meet it, in order. */
static void back_pixel(const struct job *j, size_t n, const size_t *at)
{
	const struct onx_window *w = &j->g->w;
	real *dx = j->to + pixel_at(n, w->in, at[0], at[1], at[2]) * j->g->c;
	bool add = j->add;
	size_t o[3];

	for (size_t a = w->kern[0]; a-- > 0;) {
		if (!meets(w, 0, at[0], a, &o[0]))
			continue;
		for (size_t b = w->kern[1]; b-- > 0;) {
			if (!meets(w, 1, at[1], b, &o[1]))
				continue;
			for (size_t c = w->kern[2]; c-- > 0;) {
				if (!meets(w, 2, at[2], c, &o[2]))
					continue;
				one_term(j, n, o, (a * w->kern[1] + b) * w->kern[2] + c, add, dx);
				add = true;
			}
		}
	}
	for (size_t i = 0; !add && i < j->g->c; i++)
		dx[i] = 0;
}

void onx_maxlast_backward(struct onx_pool *pool, const struct onx_pool_last *g, const real *dy, const void *tap,
			  real *dx, bool add)
{
	struct job j = { .g = g, .dy = dy, .to = dx, .add = add };

	if (narrow(g))
		j.tap8 = (uint8_t *)(uintptr_t)tap;
	else
		j.tap32 = (uint32_t *)(uintptr_t)tap;
	run(pool, &j, back_pixel);
}

ONX_CLONES
static void sum_rows(const real *restrict x, size_t rows, size_t step, size_t n, double *restrict sum)
{
	for (size_t r = 0; r < rows; r++)
		for (size_t i = 0; i < n; i++)
			sum[i] += x[r * step + i];
}

static void avg_pixel(const struct job *j, size_t n, const size_t *at)
{
	const struct onx_window *w = &j->g->w;
	const struct onx_reach r = onx_window_reach(w, at);
	const size_t c = j->g->c;
	const double f = 1 / onx_reach_count(w, &r, j->g->count_pad);
	real *y = j->to + pixel_at(n, w->out, at[0], at[1], at[2]) * c;

	for (size_t lo = 0; lo < c; lo += BLOCK) {
		const size_t len = c - lo < BLOCK ? c - lo : BLOCK;
		const int64_t taps = r.hi[2] > r.lo[2] ? r.hi[2] - r.lo[2] : 0;
		double sum[BLOCK] = { 0 };

		for (int64_t d = r.lo[0]; d < r.hi[0]; d++)
			for (int64_t h = r.lo[1]; h < r.hi[1] && taps > 0; h++)
				sum_rows(j->x + input_of(w, n, &r, d, h, r.lo[2]) * c + lo, (size_t)taps,
					 (size_t)w->dil[2] * c, len, sum);
		for (size_t i = 0; i < len; i++)
			y[lo + i] = (real)(sum[i] * f);
	}
}

void onx_avglast_forward(struct onx_pool *pool, const struct onx_pool_last *g, const real *x, real *y)
{
	struct job j = { .g = g, .x = x, .to = y };

	run(pool, &j, avg_pixel);
}

void onx_avglast_backward(struct onx_pool *pool, const struct onx_pool_last *g, const real *dy, real *dx, bool add)
{
	struct job j = { .g = g, .dy = dy, .to = dx, .add = add };

	run(pool, &j, back_pixel);
}

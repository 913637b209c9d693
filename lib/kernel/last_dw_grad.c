/* kernel/last_dw_grad.c -- gradients of a depthwise convolution with channels last (last.h: c == m == 1).
 *
 *     dw[k][ch] = sum over n, o of dy[n][o][ch] * x[n][o*stride + k*dil - pad][ch]
 *
 * A piece is a run of rows of output pixels.  For a block of channels and one row of the window it holds the sums of
 * up to five neighbouring taps in registers while it walks along the rows, so that a number of dy is loaded once
 * for all of them.  After at most TERMS pixels the sums are added to the piece's own dw; those of all pieces
 * are added in order, in double. */
#include <string.h>
#include "kernel/cpu.h"
#include "kernel/last_dw.h"

typedef real line __attribute__((vector_size(64)));
enum { LINE = 64 / sizeof(real), TERMS = 128, ROWS = 8, PIECES = 32, RUN = 5, COLUMNS = 16 };

static bool fits(const struct onx_conv_geo *g)
{
	return g->c == 1 && g->m == 1 && g->groups > 1 && onx_slide_phases(&g->w) <= ONX_SLIDE_PHASES;
}

struct job {
	const struct onx_conv_geo *g;
	struct onx_slide s;
	size_t rows, by;                /* rows of pixels; of a piece */
	const real *x, *dy;
	real *part, *dw;                /* part [piece][kern][ch]     */
	bool add;
};

static size_t rows_by(const struct onx_conv_geo *g, size_t *rows)
{
	*rows = g->n * g->w.out[0] * g->w.out[1];
	const size_t by = onx_pieces(*rows, PIECES);

	return by > ROWS ? by : ROWS;
}

static size_t pieces_of(const struct onx_conv_geo *g)
{
	size_t rows;
	const size_t by = rows_by(g, &rows);

	return onx_pieces(rows, by);
}

/* Where the taps [t0, t0 + n) of dimension 2 are inside x: each for pixels [lo[i], hi[i]), all for [*a, *b). */
struct reach { size_t lo[RUN], hi[RUN], a, b; };

static struct reach reach_of(const struct onx_window *w, size_t t0, size_t n)
{
	struct reach r = { .a = 0, .b = w->out[2] };

	for (size_t i = 0; i < n; i++) {
		onx_window_valid(w, 2, t0 + i, &r.lo[i], &r.hi[i]);
		r.a = r.lo[i] > r.a ? r.lo[i] : r.a;
		r.b = r.hi[i] < r.b ? r.hi[i] : r.b;
	}
	if (r.b < r.a)
		r.b = r.a;
	return r;
}

/* sum[i] += dy x over pixels [o, end) of a row for n taps, `lines` lines of channels.  dy and x stand at pixel 0 and
 * tap 0 (which may lie before the row); strides in numbers. */
ONX_INLINE void walk(size_t n, size_t lines, size_t o, size_t end, const real *dy, size_t dy_step, const real *x,
		     int64_t x_step, int64_t tap, line (*sum)[2])
{
	for (; o < end; o++) {
		const real *const d = dy + o * dy_step, *const at = x + (int64_t)o * x_step;
		line g[2], v;

		for (size_t k = 0; k < lines; k++)
			memcpy(&g[k], d + k * LINE, sizeof v);
		ONX_UNROLL
		for (size_t i = 0; i < n; i++)
			ONX_UNROLL
			for (size_t k = 0; k < lines; k++) {
				memcpy(&v, at + (int64_t)i * tap + (int64_t)(k * LINE), sizeof v);
				sum[i][k] += g[k] * v;
			}
	}
}

ONX_INLINE void flush(size_t n, size_t lines, line (*sum)[2], size_t ch, real *to)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < lines; k++) {
			line v;

			memcpy(&v, to + i * ch + k * LINE, sizeof v);
			v += sum[i][k];
			memcpy(to + i * ch + k * LINE, &v, sizeof v);
			memset(&sum[i][k], 0, sizeof v);
		}
}

/* Row r of pixels under row (a, b) of the window: where dy and x stand; false in the padding. */
ONX_INLINE bool row_at(const struct job *j, size_t r, size_t a, size_t b, const real **dy, const real **x)
{
	const struct onx_slide *s = &j->s;
	const size_t n = r / (s->grid[0] * s->grid[1]), o0 = r / s->grid[1] % s->grid[0], o1 = r % s->grid[1];

	if (!onx_slide_in(s, 0, o0, a) || !onx_slide_in(s, 1, o1, b))
		return false;
	*dy = j->dy + r * s->grid[2] * j->g->groups;
	*x = j->x + ((n * s->src[0] + (size_t)onx_slide_at(s, 0, o0, a)) * s->src[1] +
		     (size_t)onx_slide_at(s, 1, o1, b)) * s->src[2] * j->g->groups;
	return true;
}

/* n neighbouring taps from t0 on of row (a, b) of the window, over rows [r0, r1), `lines` lines from channel c. */
ONX_INLINE void block(const struct job *j, size_t r0, size_t r1, size_t a, size_t b, size_t t0, size_t n,
		      size_t lines, size_t c, real *to)
{
	const struct onx_slide *s = &j->s;
	const size_t ch = j->g->groups;
	const int64_t tap = s->inc[2] * (int64_t)ch, step = s->mul[2] * (int64_t)ch;
	const struct reach reach = reach_of(&j->g->w, t0, n);
	const real *dy, *x;
	line sum[RUN][2];
	size_t terms = 0;

	memset(sum, 0, sizeof sum);
	for (size_t r = r0; r < r1; r++) {
		if (!row_at(j, r, a, b, &dy, &x))
			continue;
		/* Pixel 0 under tap t0; before the row's start where there is padding. */
		const int64_t first = (s->base[2] + (int64_t)t0 * s->inc[2]) * (int64_t)ch + (int64_t)c;

		for (size_t i = 0; i < n; i++) {
			const size_t lo = reach.lo[i], hi = reach.hi[i];
			const real *const at = x + first + (int64_t)i * tap;

			walk(1, lines, lo, hi < reach.a ? hi : reach.a, dy + c, ch, at, step, tap, &sum[i]);
			walk(1, lines, lo > reach.b ? lo : reach.b, hi, dy + c, ch, at, step, tap, &sum[i]);
		}
		for (size_t o = reach.a; o < reach.b; ) {
			const size_t end = o + TERMS < reach.b ? o + TERMS : reach.b;

			if (terms + (end - o) > TERMS) {
				flush(n, lines, sum, ch, to + c);
				terms = 0;
			}
			walk(n, lines, o, end, dy + c, ch, x + first, step, tap, sum);
			terms += end - o;
			o = end;
		}
	}
	flush(n, lines, sum, ch, to + c);
}

/* Channels [c, ch) that fill no line, one tap. */
ONX_INLINE void rest(const struct job *j, size_t r0, size_t r1, size_t a, size_t b, size_t t, size_t c, real *to)
{
	const struct onx_slide *s = &j->s;
	const size_t ch = j->g->groups;
	const struct reach reach = reach_of(&j->g->w, t, 1);
	const real *dy, *x;

	for (size_t r = r0; r < r1; r++) {
		real sum[LINE] = { 0 };

		if (!row_at(j, r, a, b, &dy, &x))
			continue;
		for (size_t o = reach.lo[0]; o < reach.hi[0]; o++)
			for (size_t i = c; i < ch; i++)
				sum[i - c] += dy[o * ch + i] * x[(size_t)onx_slide_at(s, 2, o, t) * ch + i];
		for (size_t i = c; i < ch; i++)
			to[i] += sum[i - c];
	}
}

ONX_INLINE void taps_of(const struct job *j, size_t r0, size_t r1, size_t a, size_t b, size_t t, size_t n, real *to)
{
	const size_t ch = j->g->groups;
	size_t c = 0;

	for (; c + 2 * LINE <= ch; c += 2 * LINE)
		block(j, r0, r1, a, b, t, n, 2, c, to);
	for (; c + LINE <= ch; c += LINE)
		block(j, r0, r1, a, b, t, n, 1, c, to);
	for (size_t i = 0; c < ch && i < n; i++)
		rest(j, r0, r1, a, b, t + i, c, to + i * ch);
}

ONX_CLONES
static void rows(const struct job *j, size_t r0, size_t r1, real *part)
{
	const size_t ch = j->g->groups, *taps = j->s.taps;

	for (size_t a = 0; a < taps[0]; a++)
		for (size_t b = 0; b < taps[1]; b++)
			for (size_t t = 0, n; t < taps[2]; t += n) {
				real *const to = part + ((a * taps[1] + b) * taps[2] + t) * ch;

				n = taps[2] - t >= 5 ? 5 : taps[2] - t >= 3 ? 3 : 1;
				if (n == 5)
					taps_of(j, r0, r1, a, b, t, 5, to);
				else if (n == 3)
					taps_of(j, r0, r1, a, b, t, 3, to);
				else
					taps_of(j, r0, r1, a, b, t, 1, to);
			}
}

static void rows_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const size_t n = j->g->groups * j->g->w.kern_n;
	real *const part = j->part + piece * n;
	size_t r0, r1;

	(void)worker;
	memset(part, 0, n * sizeof *part);
	onx_piece(j->rows, j->by, piece, &r0, &r1);
	rows(j, r0, r1, part);
}

/* dw as in the file: [ch][kern]. */
static void sum_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const size_t kn = j->g->w.kern_n, ch = j->g->groups, pieces = onx_pieces(j->rows, j->by);
	size_t lo, hi;

	(void)worker;
	onx_piece(ch, COLUMNS, piece, &lo, &hi);
	for (size_t k = 0; k < kn; k++)
		for (size_t c = lo; c < hi; c++) {
			double sum = 0;

			for (size_t p = 0; p < pieces; p++)
				sum += j->part[(p * kn + k) * ch + c];
			onx_put(&j->dw[c * kn + k], j->add, (real)sum);
		}
}

static void weights(struct onx_pool *pool, const struct onx_conv_geo *g, const real *x, const real *dy, real *dw,
		    bool add, void *scratch)
{
	struct job j = { .g = g, .x = x, .dy = dy, .part = scratch, .dw = dw, .add = add };

	j.by = rows_by(g, &j.rows);
	onx_slide_forward(&g->w, &j.s);
	onx_parallel(pool, pieces_of(g), rows_piece, &j);
	onx_parallel(pool, onx_pieces(g->groups, COLUMNS), sum_piece, &j);
}

static size_t scratch_of(const struct onx_conv_geo *g, int threads)
{
	const size_t parts = pieces_of(g) * g->groups * g->w.kern_n * sizeof(real), data = onx_last_dw_data_scratch(g);

	(void)threads;
	return parts > data ? parts : data;
}

const struct ONX_R(onx_last_grad) onx_last_grad_depthwise = { "depthwise", fits, scratch_of, onx_last_dw_data,
							      weights };

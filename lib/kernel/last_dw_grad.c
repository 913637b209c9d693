/* kernel/last_dw_grad.c -- gradients of a depthwise convolution with channels last (last.h: c == m == 1).
 *
 *     dw[k][ch] = sum over n, o of dy[n][o][ch] * x[n][o*stride + k*dil - pad][ch]
 *
 * A piece is a run of rows of output pixels, taken in bands that stay in the second-level cache with the lines of x
 * that they meet.  For a block of channels and one row of the window it holds the sums of
 * up to five neighbouring taps in registers while it walks along the rows of a band, so that a number of dy is loaded
 * once for all of them.  After at most TERMS pixels the sums are added to the piece's own dw; those of all pieces
 * are added in order, in double. */
#include <string.h>
#include "kernel/cpu.h"
#include "kernel/last_dw_i.h"

enum { TERMS = 128, ROWS = 8, PIECES = 32, RUN = 5, COLUMNS = 16, BAND = 3 << 16 };     /* BAND: bytes */

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
	const struct ONX_R(onx_last_shift) *shift;
	size_t r0;                      /* of a worker's band, whose rows of dy' are at `shifted` with a shift */
	real *shifted;
	struct ONX_R(onx_dw_ring) ring; /* of a worker, which is `room` bytes; spread NULL: x as it is */
	size_t ring_room, room;         /* bytes of a ring; with the rows of dy' */
	char *rooms;
};

size_t onx_dw_weights_by(const struct onx_conv_geo *g, size_t *rows)
{
	*rows = g->n * g->w.out[0] * g->w.out[1];
	const size_t by = onx_pieces(*rows, PIECES);

	return by > ROWS ? by : ROWS;
}

static size_t pieces_of(const struct onx_conv_geo *g)
{
	size_t rows;
	const size_t by = onx_dw_weights_by(g, &rows);

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

/* Row r of pixels under row (a, b) of the window: where dy and x stand; false in the padding. */
ONX_INLINE bool row_at(const struct job *j, size_t r, size_t a, size_t b, const real **dy, const real **x)
{
	const struct onx_slide *s = &j->s;
	const size_t n = r / (s->grid[0] * s->grid[1]), o0 = r / s->grid[1] % s->grid[0], o1 = r % s->grid[1];

	if (!onx_slide_in(s, 0, o0, a) || !onx_slide_in(s, 1, o1, b))
		return false;
	*dy = j->shift ? j->shifted + (r - j->r0) * s->grid[2] * j->g->groups : j->dy + r * s->grid[2] * j->g->groups;
	const size_t i = (n * s->src[0] + (size_t)onx_slide_at(s, 0, o0, a)) * s->src[1] +
			 (size_t)onx_slide_at(s, 1, o1, b);

	*x = (j->ring.spread ? j->ring.at + i % j->ring.lines * j->ring.line : j->x + i * j->ring.line);
	return true;
}

#define ONX_LINES "kernel/last_dw_grad_lines.inc"
#include "kernel/lines.h"

/* Rows of pixels whose dy and lines of x take BAND bytes together. */
static size_t band_of(const struct job *j)
{
	const struct onx_slide *s = &j->s;
	const size_t line = s->src[2] * j->g->groups * sizeof(real), dy = s->grid[2] * j->g->groups * sizeof(real);
	const size_t window = s->taps[0] * s->taps[1] * line, each = dy + (size_t)s->mul[1] * line;

	return window + each < BAND ? (BAND - window) / each : 1;
}

/* Reads a number of each cache line, one line after the other: what stands before a band's loops comes from memory
 * as a stream, which loops over blocks of channels do not look like. */
static void touch(const real *from, size_t n)
{
	for (size_t i = 0; i < n; i += 64 / sizeof(real))
		(void)*(const volatile real *)(from + i);
}

/* All that rows [r0, r1) read, in its order in memory. */
static void touch_band(const struct job *j, size_t r0, size_t r1)
{
	const struct onx_slide *s = &j->s;
	const size_t line = s->src[2] * j->g->groups, row = s->grid[2] * j->g->groups;
	const real *dy, *x;

	if (j->shift)
		onx_last_shift_rows(j->shift, j->dy + r0 * row, r0 * row, j->g->groups, 0, j->g->groups,
				    (r1 - r0) * s->grid[2], j->shifted, j->g->groups);
	else
		touch(j->dy + r0 * row, (r1 - r0) * row);
	for (size_t r = r0; r < r1 && j->ring.spread; r++)
		onx_dw_ring_fill(&j->ring, s, r);
	for (size_t r = r0; r < r1 && !j->ring.spread; r++)
		for (size_t a = 0; a < s->taps[0]; a++)
			for (size_t b = 0; b < s->taps[1]; b++)
				if (row_at(j, r, a, b, &dy, &x))
					touch(x, line);
}

static void rows_piece(void *ctx, size_t piece, int worker)
{
	static void (*const rows[ONX_ISAS])(const struct job *j, size_t r0, size_t r1, real *part) = ONX_WIDTHS(rows);
	struct job j = *(const struct job *)ctx;
	const size_t n = j.g->groups * j.g->w.kern_n, band = band_of(&j);
	real *const part = j.part + piece * n;
	size_t r0, r1;

	if (j.ring.spread)
		onx_dw_ring_at(&j.ring, j.rooms + (size_t)worker * j.room);
	j.shifted = (real *)(void *)(j.rooms + (size_t)worker * j.room + j.ring_room);
	memset(part, 0, n * sizeof *part);
	onx_piece(j.rows, j.by, piece, &r0, &r1);
	for (size_t r = r0; r < r1; r += band) {
		j.r0 = r;
		touch_band(&j, r, r + band < r1 ? r + band : r1);
		rows[onx_isa()](&j, r, r + band < r1 ? r + band : r1, part);
	}
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

static struct job job_of(const struct onx_conv_geo *g, bool normed, bool shifted)
{
	struct job j = { .g = g };

	j.by = onx_dw_weights_by(g, &j.rows);
	onx_slide_forward(&g->w, &j.s);
	j.ring.line = g->w.in[2] * g->groups;
	if (normed) {
		j.ring.lines = onx_dw_ring_lines(g, band_of(&j) < j.by ? band_of(&j) : j.by);
		j.ring_room = onx_dw_ring_bytes(&j.ring);
	}
	const size_t band = band_of(&j) < j.by ? band_of(&j) : j.by;

	j.room = j.ring_room + (shifted ? onx_dw_room(band * j.s.grid[2] * g->groups * sizeof(real)) : 0);
	return j;
}

/* Parts; parameters of the norm; a ring for each worker. */
static size_t parts_room(const struct onx_conv_geo *g)
{
	return onx_dw_room(pieces_of(g) * g->groups * g->w.kern_n * sizeof(real));
}

size_t onx_dw_weights_scratch(const struct onx_conv_geo *g, int threads, bool normed)
{
	return parts_room(g) +
	       (normed ? onx_last_spread_bytes(g->groups) + (size_t)threads * job_of(g, true, true).room : 0);
}

void onx_dw_weights(struct onx_pool *pool, const struct onx_conv_geo *g, const struct ONX_R(onx_last_norm) *norm,
		    const real *x, const real *dy, const struct ONX_R(onx_last_shift) *shift, real *dw, bool add,
		    void *scratch)
{
	struct job j = job_of(g, norm != NULL, shift != NULL);
	struct ONX_R(onx_last_spread) spread;
	char *const room = (char *)scratch + parts_room(g);

	j.x = x;
	j.dy = dy;
	j.part = scratch;
	j.dw = dw;
	j.add = add;
	j.shift = shift;
	j.rooms = room + onx_last_spread_bytes(g->groups);
	if (norm) {
		onx_last_spread_of(norm, g->groups, room, &spread);
		j.ring.spread = &spread;
		j.ring.x = x;
	}
	onx_parallel(pool, pieces_of(g), rows_piece, &j);
	onx_parallel(pool, onx_pieces(g->groups, COLUMNS), sum_piece, &j);
}

static void weights(struct onx_pool *pool, const struct onx_conv_geo *g, const real *x, const real *dy, real *dw,
		    bool add, void *scratch)
{
	onx_dw_weights(pool, g, NULL, x, dy, NULL, dw, add, scratch);
}

static size_t scratch_of(const struct onx_conv_geo *g, int threads)
{
	const size_t parts = onx_dw_weights_scratch(g, threads, false), data = onx_last_dw_data_scratch(g);

	return parts > data ? parts : data;
}

const struct ONX_R(onx_last_grad) onx_last_grad_depthwise = { "depthwise", fits, scratch_of, onx_last_dw_data,
							      weights };

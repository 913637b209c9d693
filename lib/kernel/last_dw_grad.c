/* kernel/last_dw_grad.c -- gradients of a depthwise convolution with channels last (last.h: c == m == 1).
 *
 *     dw[k][ch] = sum over n, o of dy[n][o][ch] * x[n][o*stride + k*dil - pad][ch]
 *
 * A piece is a run of rows of output pixels, one after the other.  Of four neighbouring pixels whose windows lie
 * inside the image a line of channels of dy is in registers for all taps; the sums over these pixels are added to the
 * worker's sums, those after at most TERMS additions to the piece's own dw, and those of all pieces in order, in
 * double.  So x and dy are read in streams, and a strip asks for what a later one needs, as in last_dw.c. */
#include <string.h>
#include "kernel/cpu.h"
#include "kernel/last_dw_i.h"

enum { TERMS = 32, ROWS = 8, PIECES = 32, COLUMNS = 16, SPANS = 25 };
enum { STRIP = 4, STEP = 7 };                           /* pixels of a strip; most taps at once */
enum { AHEAD = 8192 / sizeof(real) };                   /* numbers: asked for ahead */

static bool fits(const struct onx_conv_geo *g)
{
	return g->c == 1 && g->m == 1 && g->groups > 1 && onx_slide_phases(&g->w) <= ONX_SLIDE_PHASES;
}

/* A row of the window: where the first pixel of the strips meets tap 0 of x; what to ask for, or NULL; its sums. */
struct span { const real *x, *ask; real *acc; };
/* `count` strips: numbers from a pixel of x to the next, from a tap to the next. */
struct strips {
	struct span span[SPANS];
	size_t spans, count, taps, ch, mul, step;
	int64_t tap;
	const real *dy, *ask;           /* ask: where what is asked for stands beside dy */
};
/* The loops for one width of lines: numbers in a line; one pixel of any taps; strips of 3, 5, 7, any taps. */
typedef void strips_fn(const struct strips *k);
struct ways { size_t line; strips_fn *one, *many[4]; };

struct job {
	const struct onx_conv_geo *g;
	const struct ways *ways;
	struct onx_slide s;
	size_t rows, by;                /* rows of pixels; of a piece */
	size_t lo, hi;                  /* pixels of a row that meet all taps of dimension 2 inside x */
	real *part, *dw;                /* part [piece][kern][ch]     */
	bool add;
	struct ONX_R(onx_dw_ring) ring, back;   /* of a worker: x and dy as they are taken */
	size_t room;                    /* bytes of a worker: sums, rings */
	char *rooms;
	const struct ONX_R(onx_dw_then) *then;
};

/* The sums of a worker, after `terms` additions; where they go. */
struct sums { real *acc, *part; size_t n, terms; };

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

#define ONX_LINES "kernel/last_dw_grad_lines.inc"
#include "kernel/lines.h"

ONX_CLONES
static void flush(struct sums *t)
{
	real *restrict acc = t->acc, *restrict part = t->part;

	for (size_t i = 0; i < t->n; i++) {
		part[i] += acc[i];
		acc[i] = 0;
	}
	t->terms = 0;
}

/* Row i of all rows of x; where it is read. */
ONX_INLINE struct span span_of(const struct job *j, size_t i, size_t b)
{
	const struct ONX_R(onx_dw_ring) *r = &j->ring;
	const bool fresh = b + (size_t)j->s.mul[1] >= j->s.taps[1];
	const real *const x = onx_dw_ring_line(r, i);

	return (struct span){ .x = x, .ask = !fresh ? NULL : r->spread ? r->x + (i + (size_t)j->s.mul[1]) * r->line :
			      x + AHEAD };
}

/* Strips of `pixels` pixels from pixel o on. */
static void strips(const struct job *j, struct sums *t, const struct strips *row, strips_fn *fn, size_t pixels,
		   size_t tap, size_t o, size_t count)
{
	const int64_t from = onx_slide_at(&j->s, 2, o, tap) * (int64_t)row->ch;
	struct strips k = *row;

	for (size_t i = 0; i < k.spans; i++) {
		k.span[i].x += from;
		k.span[i].acc += tap * k.ch;
		k.span[i].ask += k.span[i].ask ? from : 0;
	}
	k.ask += o * k.ch;
	for (k.dy += o * k.ch; count > 0; count -= k.count) {
		if (t->terms == TERMS)
			flush(t);
		k.count = TERMS - t->terms < count ? TERMS - t->terms : count;
		fn(&k);
		for (size_t i = 0; i < k.spans; i++) {
			k.span[i].x += k.count * pixels * k.step;
			k.span[i].ask += k.span[i].ask ? k.count * pixels * k.step : 0;
		}
		k.dy += k.count * pixels * k.ch;
		k.ask += k.count * pixels * k.ch;
		t->terms += k.count;
	}
}

/* Pixels [o, end), one by one. */
static void pixels(const struct job *j, struct sums *t, struct strips *row, size_t o, size_t end)
{
	size_t lo, hi;

	for (; o < end; o++) {
		onx_slide_taps(&j->s, 2, o, &lo, &hi);
		row->taps = hi - lo;
		if (lo < hi)
			strips(j, t, row, j->ways->one, 1, lo, o, 1);
	}
}

/* Channels [c, ch) that fill no line, of a row. */
ONX_CLONES
static void rest(const struct job *j, const struct strips *row, size_t c)
{
	enum { LONGEST = 64 / sizeof(real) };
	const size_t ch = row->ch;
	size_t lo, hi;

	for (size_t i = 0; i < row->spans; i++)
		for (size_t t = 0; t < j->s.taps[2]; t++) {
			const real *const x = row->span[i].x;
			real sum[LONGEST] = { 0 };

			onx_window_valid(&j->g->w, 2, t, &lo, &hi);
			for (size_t o = lo; o < hi; o++) {
				const real *const dy = row->dy + o * ch;
				const real *const at = x + (size_t)onx_slide_at(&j->s, 2, o, t) * ch;

				for (size_t k = c; k < ch; k++)
					sum[k - c] += dy[k] * at[k];
			}
			for (size_t k = c; k < ch; k++)
				row->span[i].acc[t * ch + k] += sum[k - c];
		}
}

/* A row of pixels under some rows of the window. */
static void row_under(const struct job *j, struct sums *t, struct strips *row)
{
	const size_t taps = j->s.taps[2], kind = taps == 3 ? 0 : taps == 5 ? 1 : taps == 7 ? 2 : 3;
	const size_t many = (j->hi - j->lo) / STRIP;

	if (row->ch >= j->ways->line) {
		pixels(j, t, row, 0, j->lo);
		row->taps = taps;
		strips(j, t, row, j->ways->many[kind], STRIP, 0, j->lo, many);
		pixels(j, t, row, j->lo + many * STRIP, j->s.grid[2]);
	}
	if (row->ch % j->ways->line != 0) {
		if (t->terms++ == TERMS)
			flush(t);
		rest(j, row, row->ch - row->ch % j->ways->line);
	}
}

/* Row r of all rows of pixels. */
static void row(const struct job *j, struct sums *t, size_t r)
{
	const struct onx_slide *s = &j->s;
	const size_t n = r / (s->grid[0] * s->grid[1]), o0 = r / s->grid[1] % s->grid[0], o1 = r % s->grid[1];
	struct strips k = { .ch = j->g->groups, .mul = (size_t)s->mul[2] };

	k.step = k.mul * k.ch;
	k.tap = s->inc[2] * (int64_t)k.ch;
	k.dy = onx_dw_ring_line(&j->back, r);
	k.ask = !j->back.shift ? k.dy + AHEAD : (j->then ? j->back.shift->y : j->back.x) + (r + 1) * j->back.line;
	for (size_t ab = 0; ab < s->taps[0] * s->taps[1]; ab++) {
		const size_t a = ab / s->taps[1], b = ab % s->taps[1];

		if (!onx_slide_in(s, 0, o0, a) || !onx_slide_in(s, 1, o1, b))
			continue;
		k.span[k.spans] = span_of(j, (n * s->src[0] + (size_t)onx_slide_at(s, 0, o0, a)) * s->src[1] +
					  (size_t)onx_slide_at(s, 1, o1, b), b);
		k.span[k.spans++].acc = t->acc + ab * s->taps[2] * k.ch;
		if (k.spans == SPANS) {
			row_under(j, t, &k);
			k.spans = 0;
		}
	}
	if (k.spans > 0)
		row_under(j, t, &k);
}

static size_t sums_room(const struct onx_conv_geo *g)
{
	return onx_dw_room(g->groups * g->w.kern_n * sizeof(real));
}

static void rows_piece(void *ctx, size_t piece, int worker)
{
	struct job j = *(const struct job *)ctx;
	char *const room = j.rooms + (size_t)worker * j.room;
	struct sums t = { .acc = (real *)(void *)room, .n = j.g->groups * j.g->w.kern_n };
	size_t lo, hi;

	t.part = j.part + piece * t.n;
	memset(t.acc, 0, t.n * sizeof *t.acc);
	memset(t.part, 0, t.n * sizeof *t.part);
	onx_dw_ring_at(&j.ring, room + sums_room(j.g));
	onx_dw_ring_at(&j.back, room + sums_room(j.g) + onx_dw_ring_bytes(&j.ring));
	onx_piece(j.rows, j.by, piece, &lo, &hi);
	for (; lo < hi; lo++) {
		if (j.ring.spread)
			onx_dw_ring_fill(&j.ring, &j.s, lo / j.s.grid[1], lo % j.s.grid[1]);
		row(&j, &t, lo);
		if (j.then)
			j.then->row(j.then->ctx, &j.back, piece, lo, worker);
	}
	flush(&t);
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

static const struct ways *ways_of(enum onx_isa isa)
{
	static const struct ways *const all[ONX_ISAS] = ONX_WIDTHS(&ways);

	return all[isa];
}

/* back: places for lines of dy'. */
static struct job job_of(const struct onx_conv_geo *g, bool normed, size_t back)
{
	struct job j = { .g = g, .ways = ways_of(onx_isa()), .hi = g->w.out[2], .room = sums_room(g) };

	j.by = onx_dw_weights_by(g, &j.rows);
	onx_slide_forward(&g->w, &j.s);
	for (size_t t = 0; t < g->w.kern[2]; t++) {
		size_t lo, hi;

		onx_window_valid(&g->w, 2, t, &lo, &hi);
		j.lo = lo > j.lo ? lo : j.lo;
		j.hi = hi < j.hi ? hi : j.hi;
	}
	j.lo = j.lo < j.hi ? j.lo : j.hi;
	j.ring.line = g->w.in[2] * g->groups;
	j.ring.lines = normed ? onx_dw_ring_lines(g) : 0;
	j.back.line = g->w.out[2] * g->groups;
	j.back.lines = back;
	j.room += onx_dw_ring_bytes(&j.ring) + onx_dw_ring_bytes(&j.back);
	return j;
}

/* Parts; parameters of the norm; sums and rings for each worker. */
static size_t parts_room(const struct onx_conv_geo *g)
{
	return onx_dw_room(pieces_of(g) * g->groups * g->w.kern_n * sizeof(real));
}

static size_t spread_room(const struct onx_conv_geo *g, bool normed)
{
	return normed ? onx_last_spread_bytes(g->groups) : 0;
}

size_t onx_dw_weights_scratch(const struct onx_conv_geo *g, int threads, bool normed)
{
	return parts_room(g) + spread_room(g, normed) +
	       (size_t)threads * job_of(g, normed, normed ? onx_dw_back_lines(g) : 0).room;
}

/* Alone it needs a row of dy' at a time. */
void onx_dw_weights(struct onx_pool *pool, const struct onx_conv_geo *g, const struct ONX_R(onx_last_back) *t,
		    const struct ONX_R(onx_dw_then) *then, void *scratch)
{
	const bool normed = t->norm != NULL;
	struct job j = job_of(g, normed, !t->shift ? 0 : then ? onx_dw_back_lines(g) : 1);
	struct ONX_R(onx_last_spread) spread;
	char *const room = (char *)scratch + parts_room(g);

	j.part = scratch;
	j.dw = t->dw;
	j.add = t->add_dw;
	j.then = then;
	j.ring.x = t->x;
	j.back.x = t->dy;
	j.back.shift = t->shift;
	j.back.ch = g->groups;
	if (normed) {
		onx_last_spread_of(t->norm, g->groups, room, &spread);
		j.ring.spread = &spread;
	}
	j.rooms = room + spread_room(g, normed);
	onx_parallel(pool, pieces_of(g), rows_piece, &j);
	onx_parallel(pool, onx_pieces(g->groups, COLUMNS), sum_piece, &j);
}

static void weights(struct onx_pool *pool, const struct onx_conv_geo *g, const real *x, const real *dy, real *dw,
		    bool add, void *scratch)
{
	onx_dw_weights(pool, g, &(struct ONX_R(onx_last_back)){ .x = x, .dy = dy, .dw = dw, .add_dw = add }, NULL,
		       scratch);
}

static size_t scratch_of(const struct onx_conv_geo *g, int threads)
{
	const size_t parts = onx_dw_weights_scratch(g, threads, false), data = onx_last_dw_data_scratch(g);

	return parts > data ? parts : data;
}

const struct ONX_R(onx_last_grad) onx_last_grad_depthwise = { "depthwise", fits, scratch_of, onx_last_dw_data,
							      weights };

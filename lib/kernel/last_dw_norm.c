/* kernel/last_dw_norm.c -- depthwise convolution with channels last of normalised lines, and with what follows a line
 * of the result (last_norm.h), for two dimensions.
 *
 * A worker keeps the lines of x that a row of output pixels meets in a ring, normalised: each is made once for a piece,
 * while it comes from memory, and read from the second-level cache for the taps.  So pieces are tall.  While the taps
 * run, they ask for the line that comes next.  The gradient of the data is cut as that of the weights. */
#include "kernel/far.h"
#include "kernel/last_dw_i.h"

enum { WORK = 1 << 18, PIECES = 16 };           /* numbers of y in a piece; pieces where there are rows for them */

typedef struct ONX_R(onx_dw_job) job;
typedef struct ONX_R(onx_dw_image) image;
typedef struct ONX_R(onx_dw_ring) ring;
typedef struct ONX_R(onx_last_after) after_fn;

static bool fits(const struct onx_conv_geo *g)
{
	return g->c == 1 && g->m == 1 && g->groups > 1 && g->w.in[0] == 1 && g->w.out[0] == 1 && g->w.kern[0] == 1 &&
	       g->w.pad[0] == 0 && g->w.in_n > 0 && g->w.out_n > 0 && onx_slide_phases(&g->w) <= ONX_SLIDE_PHASES;
}

/* ---- the ring ---------------------------------------------------------------------------------------- */

size_t onx_dw_ring_lines(const struct onx_conv_geo *g, size_t rows)
{
	const struct onx_window *w = &g->w;
	const size_t in = w->in[1], out = w->out[1], images = (rows + out - 2) / out + 1;
	const size_t most = (images < g->n ? images : g->n) * in, span = (w->kern[1] - 1) * (size_t)w->dil[1] + 1;
	/* From a row to the next, also to that of the next image. */
	const int64_t step = w->stride[1], turn = (int64_t)in - (int64_t)(out - 1) * step;
	const size_t each = (size_t)(turn > step ? turn : step);

	if (span >= most || (rows > 1 && each > (most - span) / (rows - 1)))
		return most;
	return span + (rows - 1) * each;
}

size_t onx_dw_ring_bytes(const ring *r)
{
	return onx_dw_room(r->lines * sizeof *r->tag) + onx_dw_room(r->lines * r->line * sizeof *r->at);
}

void onx_dw_ring_at(ring *r, void *room)
{
	r->tag = room;
	r->at = (real *)(void *)((char *)room + onx_dw_room(r->lines * sizeof *r->tag));
	for (size_t i = 0; i < r->lines; i++)
		r->tag[i] = SIZE_MAX;
}

void onx_dw_ring_fill(const ring *r, const struct onx_slide *s, size_t row)
{
	const size_t first = row / s->grid[1] * s->src[1], o = row % s->grid[1];
	size_t lo, hi;

	onx_slide_taps(s, 1, o, &lo, &hi);
	for (; lo < hi; lo++) {
		const size_t i = first + (size_t)onx_slide_at(s, 1, o, lo), place = i % r->lines;

		if (r->tag[place] == i)
			continue;
		onx_last_norm_line(r->spread, r->x + i * r->line, r->line, r->at + place * r->line);
		r->tag[place] = i;
	}
}

/* ---- forward ----------------------------------------------------------------------------------------- */

/* Rows of y in a piece: whole images, or equal parts of one. */
static size_t forward_by(const struct onx_conv_geo *g)
{
	const size_t out = g->w.out[1], rows = g->n * out, most = onx_pieces(rows, PIECES);
	size_t by = WORK / (g->w.out[2] * g->groups) + 1;

	by = by < most || most == 0 ? by : most;
	return by >= out ? by / out * out : onx_pieces(out, onx_pieces(out, by));
}

static size_t pieces(const struct onx_conv_geo *g, bool data)
{
	const size_t by = forward_by(g);
	size_t rows = g->n * g->w.out[1];

	return data ? onx_pieces(rows, onx_dw_weights_by(g, &rows)) : onx_pieces(rows, by);
}

struct forward {
	job j;
	ring ring;                      /* of a worker; spread NULL: x as it is */
	size_t by, room;                /* rows in a piece; bytes of a worker */
	bool near;                      /* of each image */
	const after_fn *after;
	char *rooms;
};

/* Scratch: weights; parameters of the norm; for each worker a ring and a line of y. */
static struct forward forward_of(const struct onx_conv_geo *g)
{
	struct forward f = { .by = forward_by(g) };

	f.ring.line = g->w.in[2] * g->groups;
	f.ring.lines = onx_dw_ring_lines(g, 1);
	f.room = onx_dw_ring_bytes(&f.ring) + onx_dw_room(g->w.out[2] * g->groups * sizeof(real));
	return f;
}

static size_t weights_room(const struct onx_conv_geo *g)
{
	return onx_dw_room(g->groups * g->w.kern_n * sizeof(real));
}

static void forward_piece(void *ctx, size_t piece, int worker)
{
	const struct forward *f = ctx;
	const struct onx_slide *s = f->j.s;
	const size_t line = s->dst[2] * f->j.ch;
	const after_fn *const after = f->after;
	ring own = f->ring;
	image im = { .line = own.line, .near = f->near };
	char *const room = f->rooms + (size_t)worker * f->room;
	real *const row = (real *)(void *)(room + onx_dw_ring_bytes(&own));
	size_t lo, hi;

	onx_dw_ring_at(&own, room);
	onx_piece(f->j.rows, f->by, piece, &lo, &hi);
	for (; lo < hi; lo++) {
		im.first = lo / s->dst[1] * s->src[1];
		im.lines = own.spread ? own.lines : 0;
		im.x = own.spread ? own.at : f->j.x + im.first * im.line;
		if (own.spread)
			onx_dw_ring_fill(&own, s, lo);
		onx_dw_line(&f->j, lo, &im, NULL, after ? row : f->j.y + lo * line);
		if (after)
			after->run(after->ctx, &(struct ONX_R(onx_last_run)){ piece, lo * s->dst[2], s->dst[2], 0,
									     f->j.ch, f->j.ch, row });
	}
	if (f->j.far)
		onx_far_done();
}

static void forward(struct onx_pool *pool, const struct onx_conv_geo *g, const struct ONX_R(onx_last_norm) *norm,
		    const real *x, const real *w, const real *bias, const after_fn *after, real *y, void *scratch)
{
	const struct ONX_R(onx_last_end) end = { .b = bias };
	struct ONX_R(onx_last_spread) spread;
	real *const taps = scratch;
	const real *const at = taps;
	struct onx_slide s;
	struct forward f = forward_of(g);

	f.j = (job){ .s = &s, .w = &at, .phases = { 1, 1, 1 }, .stride = { 1, 1, 1 }, .ch = g->groups, .x = x,
		     .end = &end, .y = y };
	onx_slide_forward(&g->w, &s);
	onx_dw_pack(&s, g->groups, w, taps);
	onx_dw_ready(&f.j, g->n);
	f.j.far = f.j.far && !after;
	if (norm)
		onx_last_spread_of(norm, g->groups, (char *)scratch + weights_room(g), &spread);
	f.ring.spread = norm ? &spread : NULL;
	/* Of a ring, whole rows pay where y stays in a line of the worker and x is read at each pixel: with stride 2
	 * they took up to a fifth longer than strips. */
	f.near = norm ? after && g->w.stride[2] == 1 && f.room <= ONX_DW_NEAR : f.j.near;
	f.ring.x = x;
	f.after = after;
	f.rooms = (char *)scratch + weights_room(g) + onx_last_spread_bytes(g->groups);
	onx_parallel(pool, pieces(g, false), forward_piece, &f);
}

/* ---- gradient of the data ---------------------------------------------------------------------------- */

struct data {
	job j;
	size_t rows, by;                /* of dy */
	const struct ONX_R(onx_last_shift) *shift;
	const after_fn *after;
	ring ring;                      /* lines of dy', where there is a shift */
	size_t room;                    /* bytes of a worker: a line of dx, the ring */
	char *rooms;
};

/* What line i of dx meets of dy' is in the ring. */
static void shifted_lines(const struct data *t, const ring *r, size_t i)
{
	const struct onx_slide *s = t->j.s;
	const size_t first = i / s->dst[1] * s->src[1], i1 = i % s->dst[1];
	size_t lo, hi;

	s += i1 % t->j.phases[1] * t->j.phases[2];
	onx_slide_taps(s, 1, i1 / t->j.stride[1], &lo, &hi);
	for (; lo < hi; lo++) {
		const size_t k = first + (size_t)onx_slide_at(s, 1, i1 / t->j.stride[1], lo), place = k % r->lines;

		if (r->tag[place] == k)
			continue;
		onx_last_shift_rows(t->shift, t->j.x + k * r->line, k * r->line, t->j.ch, 0, t->j.ch, s->src[2],
				    r->at + place * r->line, t->j.ch);
		r->tag[place] = k;
	}
}

/* Lines of dx that stand for row r of dy. */
static void lines_of(const struct onx_slide *s, int64_t stride, size_t r, size_t *lo, size_t *hi)
{
	const size_t in = s->dst[1], out = s->src[1], o = r % out, first = r / out * in, by = (size_t)stride;

	*lo = o <= in / by ? o * by : in;
	*hi = o + 1 < out && o + 1 <= in / by ? (o + 1) * by : in;
	*lo += first;
	*hi += first;
}

static void data_piece(void *ctx, size_t piece, int worker)
{
	const struct data *t = ctx;
	const struct onx_slide *s = t->j.s;
	const size_t line = s->dst[2] * t->j.ch;
	char *const room = t->rooms + (size_t)worker * t->room;
	real *const row = (real *)(void *)room;
	image im = { .line = s->src[2] * t->j.ch, .lines = t->shift ? t->ring.lines : 0,
		     .near = !t->shift && t->j.near };
	ring own = t->ring;
	size_t r, end;

	onx_dw_ring_at(&own, room + onx_dw_room(line * sizeof(real)));
	onx_piece(t->rows, t->by, piece, &r, &end);
	for (; r < end; r++) {
		size_t lo, hi;

		im.first = r / s->src[1] * s->src[1];
		im.x = t->shift ? own.at : t->j.x + im.first * im.line;
		lines_of(s, (int64_t)t->j.stride[1], r, &lo, &hi);
		for (; lo < hi; lo++) {
			real *const to = t->after ? row : t->j.y + lo * line;

			if (t->shift)
				shifted_lines(t, &own, lo);
			onx_dw_line(&t->j, lo, &im, t->j.end->z ? to : NULL, to);
			if (t->after)
				t->after->run(t->after->ctx, &(struct ONX_R(onx_last_run)){
					piece, lo * s->dst[2], s->dst[2], 0, t->j.ch, t->j.ch, row });
		}
	}
	if (t->j.far)
		onx_far_done();
}

/* Lines of dy that one line of dx meets lie within as many as a row of y meets of x. */
static struct data data_of(const struct onx_conv_geo *g, const struct ONX_R(onx_last_shift) *shift)
{
	const size_t span = onx_dw_ring_lines(g, 1);
	struct data t = { .shift = shift };

	t.ring.line = g->w.out[2] * g->groups;
	t.ring.lines = shift ? (span < g->w.out[1] ? span : g->w.out[1]) : 0;
	t.room = onx_dw_room(g->w.in[2] * g->groups * sizeof(real)) + onx_dw_ring_bytes(&t.ring);
	return t;
}

static void data(struct onx_pool *pool, const struct onx_conv_geo *g, const real *w, const real *dy,
		 const struct ONX_R(onx_last_shift) *shift, const after_fn *after, real *dx, bool add, void *scratch)
{
	const struct ONX_R(onx_last_end) end = { .z = add && !after ? dx : NULL };
	struct onx_slide s[ONX_SLIDE_PHASES];           /* not worth clearing */
	const real *at[ONX_SLIDE_PHASES];
	struct data t = data_of(g, shift);

	onx_dw_data_of(g, w, s, at, scratch, &t.j);
	t.j.x = dy;
	t.j.y = dx;
	t.j.end = &end;
	onx_dw_ready(&t.j, g->n);
	t.j.far = t.j.far && !after;
	t.after = after;
	t.by = onx_dw_weights_by(g, &t.rows);
	t.rooms = (char *)scratch + weights_room(g);
	onx_parallel(pool, onx_pieces(t.rows, t.by), data_piece, &t);
}

static size_t scratch_of(const struct onx_conv_geo *g, int threads, bool backward)
{
	static const struct ONX_R(onx_last_shift) some;
	const size_t before = weights_room(g), of_data = before + (size_t)threads * data_of(g, &some).room;
	const size_t of_weights = onx_dw_weights_scratch(g, threads, true);

	if (!backward)
		return before + onx_last_spread_bytes(g->groups) + (size_t)threads * forward_of(g).room;
	return of_data > of_weights ? of_data : of_weights;
}

const struct ONX_R(onx_last_normed) onx_last_normed_depthwise = {
	fits, pieces, scratch_of, forward, data, onx_dw_weights };

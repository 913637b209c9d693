/* kernel/last_dw_norm.c -- depthwise convolution with channels last of normalised lines, and with what follows a line
 * of the result (last_norm.h), for two dimensions.
 *
 * A worker keeps the lines of x that a row of output pixels meets in a ring, normalised: each is made once for a piece,
 * while it comes from memory, and read from the second-level cache for the taps.  So pieces are tall.  While the taps
 * run, they ask for the line that comes next.  The gradient of the data is cut as that of the weights, so that both go
 * row by row together: what is behind a line of dx finds the lines of x and dy at hand. */
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

size_t onx_dw_ring_lines(const struct onx_conv_geo *g)
{
	const size_t span = (g->w.kern[1] - 1) * (size_t)g->w.dil[1] + 1;

	return span < g->w.in[1] ? span : g->w.in[1];
}

/* Lines of dy that one line of dx meets lie within as many as a row of y meets of x. */
size_t onx_dw_back_lines(const struct onx_conv_geo *g)
{
	const size_t span = onx_dw_ring_lines(g);

	return span < g->w.out[1] ? span : g->w.out[1];
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

const real *onx_dw_ring_line(const ring *r, size_t i)
{
	const real *const x = r->x + i * r->line;

	if (!r->spread && !r->shift)
		return x;
	real *const at = r->at + i % r->lines * r->line;

	if (r->tag[i % r->lines] == i)
		return at;
	if (r->spread)
		onx_last_norm_line(r->spread, x, r->line, at);
	else
		onx_last_shift_rows(r->shift, x, i * r->line, r->ch, 0, r->ch, r->line / r->ch, at, r->ch);
	r->tag[i % r->lines] = i;
	return at;
}

void onx_dw_ring_fill(const ring *r, const struct onx_slide *s, size_t n, size_t o)
{
	size_t lo, hi;

	onx_slide_taps(s, 1, o, &lo, &hi);
	for (; lo < hi; lo++)
		(void)onx_dw_ring_line(r, n * s->src[1] + (size_t)onx_slide_at(s, 1, o, lo));
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
	f.ring.lines = onx_dw_ring_lines(g);
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
			onx_dw_ring_fill(&own, s, lo / s->dst[1], lo % s->dst[1]);
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

/* ---- gradients --------------------------------------------------------------------------------------- */

struct data {
	job j;
	size_t rows, by;                /* of dy */
	const after_fn *after;
	ring ring;                      /* lines of dy' of a worker, where there is a shift */
	size_t line, room;              /* bytes of a line of dx; of a worker: that and the ring */
	char *rooms;
};

/* Lines of dx that stand for row r of dy. */
static void lines_of(const struct onx_slide *s, int64_t stride, size_t r, size_t *lo, size_t *hi)
{
	const size_t in = s->dst[1], out = s->src[1], o = r % out, first = r / out * in, by = (size_t)stride;

	*lo = o <= in / by ? o * by : in;
	*hi = o + 1 < out && o + 1 <= in / by ? (o + 1) * by : in;
	*lo += first;
	*hi += first;
}

/* Those lines, from dy as the ring has it. */
static void data_row(const void *ctx, const ring *dy, size_t piece, size_t r, int worker)
{
	const struct data *t = ctx;
	const job *j = &t->j;
	const struct onx_slide *s = j->s;
	const size_t line = s->dst[2] * j->ch, first = r / s->src[1] * s->src[1];
	real *const row = (real *)(void *)(t->rooms + (size_t)worker * t->room);
	const image im = { .x = dy->shift ? dy->at : j->x + first * dy->line, .line = dy->line, .first = first,
			   .lines = dy->shift ? dy->lines : 0, .near = !dy->shift && j->near };
	size_t lo, hi;

	lines_of(s, (int64_t)j->stride[1], r, &lo, &hi);
	for (; lo < hi; lo++) {
		real *const to = t->after ? row : j->y + lo * line;
		const size_t i = lo % s->dst[1];

		if (dy->shift)
			onx_dw_ring_fill(dy, s + i % j->phases[1] * j->phases[2], lo / s->dst[1], i / j->stride[1]);
		onx_dw_line(j, lo, &im, j->end->z ? to : NULL, to);
		if (t->after)
			t->after->run(t->after->ctx, &(struct ONX_R(onx_last_run)){
				piece, lo * s->dst[2], s->dst[2], 0, j->ch, j->ch, row });
	}
	if (j->far)
		onx_far_done();
}

static void data_piece(void *ctx, size_t piece, int worker)
{
	const struct data *t = ctx;
	ring own = t->ring;
	size_t lo, hi;

	onx_dw_ring_at(&own, t->rooms + (size_t)worker * t->room + t->line);
	onx_piece(t->rows, t->by, piece, &lo, &hi);
	for (; lo < hi; lo++)
		data_row(t, &own, piece, lo, worker);
}

static struct data data_of(const struct onx_conv_geo *g, const struct ONX_R(onx_last_shift) *shift)
{
	struct data t = { .line = onx_dw_room(g->w.in[2] * g->groups * sizeof(real)) };

	t.ring.shift = shift;
	t.ring.ch = g->groups;
	t.ring.line = g->w.out[2] * g->groups;
	t.ring.lines = shift ? onx_dw_back_lines(g) : 0;
	t.room = t.line + onx_dw_ring_bytes(&t.ring);
	return t;
}

static const struct ONX_R(onx_last_shift) some;

/* Weights, and what each worker has; behind it what the gradient of the weights takes. */
static size_t data_room(const struct onx_conv_geo *g, int threads)
{
	return weights_room(g) + (size_t)threads * data_of(g, &some).room;
}

/* Both in one pass where both are wanted. */
static void backward(struct onx_pool *pool, const struct onx_conv_geo *g, const struct ONX_R(onx_last_back) *b,
		     void *scratch)
{
	const struct ONX_R(onx_last_end) end = { .z = b->add_dx && !b->after ? b->dx : NULL };
	struct onx_slide s[ONX_SLIDE_PHASES];           /* not worth clearing */
	const real *at[ONX_SLIDE_PHASES];
	struct data t = data_of(g, b->shift);
	const struct ONX_R(onx_dw_then) then = { data_row, &t };
	const bool data = b->after || b->dx;

	if (data) {
		onx_dw_data_of(g, b->w, s, at, scratch, &t.j);
		t.j.x = t.ring.x = b->dy;
		t.j.y = b->dx;
		t.j.end = &end;
		onx_dw_ready(&t.j, g->n);
		t.j.far = t.j.far && !b->after;
		t.after = b->after;
		t.by = onx_dw_weights_by(g, &t.rows);
		t.rooms = (char *)scratch + weights_room(g);
	}
	if (b->dw)
		onx_dw_weights(pool, g, b, data ? &then : NULL,
			       (char *)scratch + data_room(g, onx_pool_threads(pool)));
	else if (data)
		onx_parallel(pool, onx_pieces(t.rows, t.by), data_piece, &t);
}

static size_t scratch_of(const struct onx_conv_geo *g, int threads, bool backward)
{
	if (!backward)
		return weights_room(g) + onx_last_spread_bytes(g->groups) + (size_t)threads * forward_of(g).room;
	return data_room(g, threads) + onx_dw_weights_scratch(g, threads, true);
}

const struct ONX_R(onx_last_normed) onx_last_normed_depthwise = { fits, pieces, scratch_of, forward, backward };

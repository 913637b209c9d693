/* kernel/gather.c -- the products of a gathered product; see the header. */
#include "kernel/gather.h"
#include "kernel/flat.h"
#include "kernel/fuse_row.h"
#include <stdint.h>
#include <string.h>

typedef struct ONX_R(onx_gather) gather;
typedef struct ONX_R(onx_tile_gather) tile_args;

/* Rows of a straight piece that pass along the next panel, or are acted on, while they are at hand. */
enum { CHUNK = 48 };
enum { APART = 64 };            /* bytes between rows that are copied */
enum { STREAM = 1 << 24 };      /* bytes of results beyond the caches */

static size_t min_z(size_t a, size_t b) { return a < b ? a : b; }
static size_t max_z(size_t a, size_t b) { return a > b ? a : b; }
static size_t up(size_t a, size_t to) { return (a + to - 1) / to * to; }
static size_t volume(const size_t *d) { return d[0] * d[1] * d[2]; }

struct job {
	const gather *g;
	const real *x, *packed, *zeros;
	const struct ONX_R(onx_last_end) *end;
	real *y;
	char *room;                     /* of all workers */
	bool clamp, stream;
	real lo, hi;
};

/* One worker's room: pointers, offsets of the rows in y and in the sums so far, those sums, copied spans, results for
 * `after`. */
struct room { size_t at, row, so_far, sum, stage, made, bytes; };

static size_t copy_pitch(const gather *g)
{
	return up(g->len * sizeof(real), 64) / sizeof(real) + APART / sizeof(real);
}

static size_t made_pitch(const gather *g)
{
	return up(g->run * g->cols, 64 / sizeof(real));
}

static struct room room_of(const gather *g)
{
	const size_t rows = g->tiles * g->tile->rows, cols = g->blocks > 1 ? g->cols : 0;
	struct room r = { .at = 0 };

	r.row = up(rows * g->spans * sizeof(real *), 64);
	r.so_far = r.row + up(rows * sizeof(size_t), 64);
	r.sum = r.so_far + up(rows * sizeof(size_t), 64);
	r.stage = r.sum + up(rows * cols * sizeof(real), 64);
	r.made = r.stage + (g->merged ? up(rows * g->spans * g->len * sizeof(real), 64) : 0) +
		 (g->copied ? rows * copy_pitch(g) * sizeof(real) : 0);
	r.bytes = r.made + (g->after ? rows * made_pitch(g) * sizeof(real) : 0);
	return r;
}

static size_t zeros_bytes(const gather *g)
{
	return up(g->len * sizeof(real), 64);
}

size_t onx_gather_scratch(const gather *g, int threads)
{
	return zeros_bytes(g) + room_of(g).bytes * (size_t)threads;
}

static size_t pitch_of(const gather *g, const struct ONX_R(onx_last_end) *end)
{
	return end->pitch ? end->pitch : g->groups * g->m;
}

/* What a tile went through: rows and columns that count, first and last block of terms. */
struct part { size_t rows, cols; bool first, last; };

ONX_CLONES
static void activate(const struct onx_fuse *f, real *y, const size_t *row, const struct part *p)
{
	onx_fuse_rows(f, y, row, p->rows, p->cols, ONX_TILE_COLS);
}

/* A tile at the edge is computed beside and carried over here. */
static void carry(const tile_args *t, const struct part *p, size_t width, const real *sum)
{
	for (size_t r = 0; r < p->rows; r++)
		for (size_t j = 0; j < p->cols; j++)
			t->y[t->row[r] + j] = sum[r * width + j] + (t->bias ? t->bias[j] : 0) +
					      (t->add ? t->add[t->add_row[r] + j] : 0);
}

/* A block of terms of a panel: all of the tiles' arguments but the rows. */
struct strip { tile_args t; struct part p; size_t width, wide, s0; };

static void run_tile(const struct job *j, struct strip *s)
{
	const struct ONX_R(onx_tile) *tile = j->g->tile;
	tile_args *const t = &s->t;
	const struct part *const p = &s->p;
	const size_t third = tile->rows / ONX_TILE_PARTS, part = p->rows == tile->rows ? ONX_TILE_PARTS - 1 :
								 onx_pieces(p->rows, third) - 1;
	const bool whole = p->cols == s->width && p->rows == (part + 1) * third;

	if (whole) {
		t->clamp = p->last && j->clamp;
		tile->gather[part][s->wide](t);
	} else {
		real sum[ONX_TILE_ROWS * ONX_TILE_COLS];
		size_t row[ONX_TILE_ROWS];
		tile_args beside = *t;

		for (size_t r = 0; r < tile->rows; r++)
			row[r] = r * s->width;
		beside.bias = beside.add = NULL;
		beside.y = sum;
		beside.row = row;
		beside.clamp = beside.stream = false;
		tile->gather[part][s->wide](&beside);
		carry(t, p, s->width, sum);
	}
	if (p->last && j->end->f.kind != ONX_FUSE_NONE && !(whole && j->clamp))
		activate(&j->end->f, t->y, t->row, p);
}

/* Sums of several blocks gather in `sum` and go to y, which stands at panel `from`, with the last. */
static struct strip strip_of(const struct job *j, size_t group, size_t panel, size_t block, real *sum, real *y,
			     size_t from)
{
	const gather *g = j->g;
	const size_t j0 = panel * g->cols, col = group * g->m + j0;
	struct strip s = { .t = { .lo = j->lo, .hi = j->hi } };

	s.width = min_z(g->cols, g->ends - j0);
	s.wide = s.width / g->tile->unit - 1;
	s.s0 = block / g->cuts * g->by_spans;
	s.t.first = block % g->cuts * g->by_len;
	s.t.len = min_z(g->by_len, g->len - s.t.first);
	s.t.spans = min_z(g->by_spans, g->spans - s.s0);
	s.t.b = j->packed + (group * g->ends + j0) * g->spans * g->len + (s.s0 * g->len + s.t.first) * s.width;
	s.p = (struct part){ .cols = min_z(s.width, g->m - j0), .first = block == 0, .last = block + 1 == g->blocks };
	s.t.bias = s.p.first && j->end->b ? j->end->b + col : NULL;
	s.t.add = !s.p.first ? sum : j->end->z ? j->end->z + j0 : NULL;
	s.t.y = s.p.last ? y + j0 - from * g->cols : sum;
	s.t.stream = s.p.last && j->stream;
	return s;
}

/* The rows of a piece from r on, as many as a tile takes; fresh: no panel has seen them. */
static void run_strip(const struct job *j, struct strip *s, size_t r, size_t rows, const real *const *at,
		      const size_t *row, const size_t *so_far, bool fresh)
{
	s->t.at = at + r * j->g->spans + s->s0 * j->g->tile->rows;
	s->t.row = (s->p.last ? row : so_far) + r;
	s->t.add_row = (s->p.first ? row : so_far) + r;
	s->p.rows = min_z(j->g->tile->rows, rows - r);
	fresh &= !j->g->copied && r + j->g->tile->rows < rows;
	s->t.next = fresh ? s->t.at + j->g->spans * j->g->tile->rows : NULL;
	run_tile(j, s);
}

/* All panels for a tile of rows, then the next tile; `AT_ONCE` panels at a time. */
static void rows_first(const struct job *j, size_t group, size_t p0, size_t p1, size_t rows, const real *const *at,
		       const size_t *row, real *y, size_t from)
{
	enum { AT_ONCE = 16 };
	struct strip s[AT_ONCE];

	for (size_t p = p0; p < p1; p += AT_ONCE) {
		const size_t n = min_z(AT_ONCE, p1 - p);

		for (size_t k = 0; k < n; k++)
			s[k] = strip_of(j, group, p + k, 0, NULL, y, from);
		for (size_t r = 0; r < rows; r += j->g->tile->rows)
			for (size_t k = 0; k < n; k++)
				run_strip(j, &s[k], r, rows, at, row, NULL, p + k == p0);
	}
}

/* A piece whose rows lie evenly apart: from x on, to y; z: added there, or NULL. */
struct piece {
	size_t group, p0, p1, rows, x_pitch, y_pitch;
	size_t x0, y0, left;            /* rows at x and at y, panel at y */
	const real *x, *packed, *z;
	real *y, *sum;
	size_t piece, pixel;            /* of the whole */
	real *stage, *made;             /* room for rows on their way in and out */
};

/* Block k of terms of a panel for rows [r0, r1) of a piece. */
static void straight_rows(const struct job *j, const struct piece *w, size_t panel, size_t k, size_t r0, size_t r1)
{
	const gather *g = j->g;
	const size_t j0 = panel * g->cols, first = k * g->by_len, lines = g->tile->cols / 2;
	const size_t width = min_z(g->cols, g->ends - j0);
	const bool last = k + 1 == g->blocks, acts = last && j->end->f.kind != ONX_FUSE_NONE && !j->clamp;
	real *const so_far = w->sum + r0 * g->cols;
	struct ONX_R(onx_flat) f = { .rows = r1 - r0, .len = min_z(g->by_len, g->len - first),
				     .x = w->x + (r0 - w->x0) * w->x_pitch + first, .x_pitch = w->x_pitch,
				     .b = w->packed + j0 * g->len + first * width, .add = so_far, .y = so_far,
				     .add_pitch = g->cols, .y_pitch = g->cols, .lo = j->lo, .hi = j->hi };
	size_t row[CHUNK];

	if (k == 0) {
		f.bias = j->end->b ? j->end->b + w->group * g->m + j0 : NULL;
		f.add = w->z ? w->z + r0 * w->y_pitch + j0 : NULL;
		f.add_pitch = w->y_pitch;
	}
	if (last) {
		f.y = w->y + (r0 - w->y0) * w->y_pitch + j0 - w->left * g->cols;
		f.y_pitch = w->y_pitch;
		f.clamp = j->clamp;
		f.stream = j->stream;
	}
	onx_flat_of(g->tile->isa, width == g->tile->cols ? 2 : width / lines)(&f);
	for (size_t r = 0; acts && r < f.rows; r++)
		row[r] = r * f.y_pitch;
	if (acts)
		activate(&j->end->f, f.y, row, &(struct part){ .rows = f.rows, .cols = width });
}

/* Rows [r0, r1) of a piece as the product wants them, to stage: they are pixels side by side (last_norm.h). */
static void bring(const struct job *j, struct piece *w, size_t r0, size_t r1)
{
	const gather *g = j->g;
	const real *const from = j->x + (w->pixel + r0) * g->c;

	w->x0 = r0;
	w->x = w->stage;
	if (g->norm)
		onx_last_norm_rows(g->norm, from, g->c, 0, g->c, r1 - r0, w->stage, w->x_pitch);
	else
		onx_last_shift_rows(g->shift, from, (w->pixel + r0) * g->c, g->c, 0, g->c, r1 - r0, w->stage,
				    w->x_pitch);
}

static void hand_over(const struct job *j, const struct piece *w, size_t r0, size_t r1)
{
	const gather *g = j->g;

	g->after->run(g->after->ctx, &(struct ONX_R(onx_last_run)){
		.piece = w->piece, .pixel = w->pixel + r0, .n = r1 - r0, .c0 = w->p0 * g->cols,
		.c1 = min_z(w->p1 * g->cols, g->m), .pitch = w->y_pitch, .y = w->made });
}

static void straight(const struct job *j, struct piece *w)
{
	const gather *g = j->g;
	const bool acts = j->end->f.kind != ONX_FUSE_NONE && !j->clamp;
	const size_t by = g->by_rows || acts ? CHUNK : max_z(w->rows, 1), chunks = onx_pieces(w->rows, by);
	const size_t each = g->by_rows ? 1 : chunks;    /* chunks along a panel, then the next panel */

	for (size_t c0 = 0; c0 < chunks; c0 += each) {
		const size_t r0 = c0 * by, r1 = min_z((c0 + each) * by, w->rows);

		if (g->norm || g->shift)
			bring(j, w, r0, r1);
		if (g->after)
			w->y0 = r0;
		for (size_t p = w->p0; p < w->p1; p++)
			for (size_t k = 0; k < g->blocks; k++)
				for (size_t c = c0; c < c0 + each; c++)
					straight_rows(j, w, p, k, c * by, min_z((c + 1) * by, w->rows));
		if (g->after)
			hand_over(j, w, r0, r1);
	}
}

/* Rows [r0, r1) of a group. */
ONX_CLONES
static void copy_rows(const gather *g, size_t group, size_t r0, size_t r1, const real **at, real *to)
{
	const size_t image = max_z(volume(g->s.grid), 1);

	if (g->norm)            /* they are pixels side by side */
		onx_last_norm_rows(g->norm, *at, g->c, 0, g->c, r1 - r0, to, copy_pitch(g));
	else if (g->shift)
		onx_last_shift_rows(g->shift, *at, r0 * g->c, g->c, 0, g->c, r1 - r0, to, copy_pitch(g));
	for (; (g->norm || g->shift) && r0 < r1; r0++, at++, to += copy_pitch(g))
		*at = to;
	for (size_t r = r0; r < r1; r++, at++, to += copy_pitch(g)) {
		const real *restrict from = *at, *restrict scale = NULL;
		real *restrict row = to;

		*at = row;
		if (g->scale)
			scale = g->scale + (r / image * g->groups + group) * g->c;
		for (size_t i = 0; scale && i < g->len; i++)
			row[i] = from[i] * scale[i];
		if (!scale)
			memcpy(row, from, g->len * sizeof *row);
	}
}

struct run { size_t r0, r1, p0, p1; };  /* rows, panels */

static void straight_piece(const struct job *j, size_t piece, size_t group, struct run r, char *mine)
{
	const gather *g = j->g;
	const struct room room = room_of(g);
	const real **const at = (const real **)(void *)(mine + room.at);
	const size_t pitch = pitch_of(g, j->end), y0 = r.r0 * pitch + group * g->m, all = g->groups * g->c;
	struct piece w = { .group = group, .p0 = r.p0, .p1 = r.p1, .rows = r.r1 - r.r0, .x_pitch = all,
			   .y_pitch = pitch, .x = j->x + r.r0 * all + group * g->c,
			   .z = j->end->z ? j->end->z + y0 : NULL, .y = j->y + y0,
			   .packed = j->packed + group * g->ends * g->len,
			   .sum = (real *)(void *)(mine + room.sum), .piece = piece, .pixel = r.r0,
			   .stage = (real *)(void *)(mine + room.stage),
			   .made = (real *)(void *)(mine + room.made) };

	if (g->copied)
		w.x_pitch = copy_pitch(g);
	if (g->copied && !g->norm && !g->shift) {
		onx_gather_rows(g, j->x, group, r.r0, r.r1, g->tile->rows, j->zeros, w.stage, at);
		copy_rows(g, group, r.r0, r.r1, at, w.stage);
		w.x = w.stage;
	}
	if (g->after) {
		w.y = w.made;
		w.y_pitch = made_pitch(g);
		w.left = r.p0;
	}
	straight(j, &w);
	onx_tile_settle();
}

/* Pieces run over groups, then rows, then columns. */
static void gather_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const gather *g = j->g;
	const struct room room = room_of(g);
	char *const mine = j->room + room.bytes * (size_t)worker;
	const real **const at = (const real **)(void *)(mine + room.at);
	size_t *const row = (size_t *)(void *)(mine + room.row);
	size_t *const so_far = (size_t *)(void *)(mine + room.so_far);
	real *const y = g->after ? (real *)(void *)(mine + room.made) : j->y;
	const size_t runs = onx_pieces(g->panels, g->run), rows = g->tiles * g->tile->rows, of = g->tile->rows;
	const size_t downs = onx_pieces(g->rows, rows), group = piece / runs / downs;
	size_t r0, r1, p0, p1;

	onx_piece(g->rows, rows, piece / runs % downs, &r0, &r1);
	onx_piece(g->panels, g->run, piece % runs, &p0, &p1);
	if (g->straight) {
		straight_piece(j, piece, group, (struct run){ r0, r1, p0, p1 }, mine);
		return;
	}
	onx_gather_rows(g, j->x, group, r0, r1, of, j->zeros, (real *)(void *)(mine + room.stage), at);
	if (!g->after)
		onx_gather_made(g, pitch_of(g, j->end), group, r0, r1, row);
	for (size_t r = 0; g->after && r < rows; r++)
		row[r] = r * made_pitch(g);
	if (g->copied)
		copy_rows(g, group, r0, r1, at, (real *)(void *)(mine + room.stage));
	for (size_t r = 0; g->blocks > 1 && r < rows; r++)
		so_far[r] = r * g->cols;
	if (g->by_rows)
		rows_first(j, group, p0, p1, r1 - r0, at, row, y, g->after ? p0 : 0);
	else
		for (size_t b = p0 * g->blocks; b < p1 * g->blocks; b++) {
			struct strip s = strip_of(j, group, b / g->blocks, b % g->blocks,
						  (real *)(void *)(mine + room.sum), y, g->after ? p0 : 0);

			for (size_t r = 0; r < r1 - r0; r += of)
				run_strip(j, &s, r, r1 - r0, at, row, so_far, b / g->blocks == p0);
		}
	onx_tile_settle();
	if (g->after)
		g->after->run(g->after->ctx, &(struct ONX_R(onx_last_run)){
			.piece = piece, .pixel = r0, .n = r1 - r0, .c0 = p0 * g->cols,
			.c1 = min_z(p1 * g->cols, g->m), .pitch = made_pitch(g), .y = y });
}

size_t onx_gather_pieces(const gather *g)
{
	return g->groups * onx_pieces(g->rows, g->tiles * g->tile->rows) * onx_pieces(g->panels, g->run);
}

/* Results that no cache holds until they are read need not pass through it; whole lines only. */
static bool streams(const gather *g, const struct ONX_R(onx_last_end) *end, const real *y)
{
	const size_t ch = pitch_of(g, end) * sizeof *y;

	return !g->after && end->z != y && g->n * volume(g->s.dst) * ch > STREAM && ch % 64 == 0 &&
	       g->m * sizeof *y % 64 == 0 && g->cols * sizeof *y % 64 == 0 && (uintptr_t)y % 64 == 0;
}

void onx_gather_run(struct onx_pool *pool, const gather *g, const real *x, const real *packed,
		    const struct ONX_R(onx_last_end) *end, real *y, void *scratch)
{
	const struct onx_fuse *f = &end->f;
	struct job j = { .g = g, .x = x, .packed = packed, .end = end, .y = y, .zeros = scratch,
			 .room = (char *)scratch + zeros_bytes(g), .clamp = true, .hi = (real)INFINITY };

	if (f->kind == ONX_FUSE_CLIP) {
		j.lo = (real)f->a;
		j.hi = (real)f->b;
	} else if (f->kind != ONX_FUSE_RELU) {
		j.clamp = false;
	}
	j.stream = streams(g, end, y) && (j.clamp || f->kind == ONX_FUSE_NONE);
	memset(scratch, 0, zeros_bytes(g));
	onx_parallel(pool, onx_gather_pieces(g), gather_piece, &j);
}

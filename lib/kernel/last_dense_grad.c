/* kernel/last_dense_grad.c -- the gradient of the weights of a convolution with channels last, as products (that of the
 * data is in last_dense.c).
 *
 * For each tap: dw[l][j] = sum over pixels p of x[p at the tap][l] * dy[p][j].  A piece is a run of taps,
 * of l, of j and of pixels.  It goes over its pixels in blocks of DEPTH and adds the tiles' sums (outer.h) to its part
 * of dw, which stays in the second-level cache.  x and dy are read where they lie; while a block is worked on, the next
 * one is asked for, since a block of a layer with few channels is read from far away in as much time as its products
 * take.  What does not fill whole tiles is copied into panels as wide as the tile, and so are rows so far
 * apart that they would drive each other out of the cache.  Rows that are normalised or shifted on the way
 * (last_norm.h) go beside each other, too.  Parts of several runs of pixels are added in order at the end, when dw is
 * brought into the order of the file. */
#include "kernel/last_dense.h"
#include "kernel/outer.h"
#include <string.h>

typedef struct ONX_R(onx_gather) gather;
typedef struct ONX_R(onx_outer) outer;

enum { TAPS_MOST = 2048 };

static size_t min_z(size_t a, size_t b) { return a < b ? a : b; }
static size_t max_z(size_t a, size_t b) { return a > b ? a : b; }
static size_t up(size_t a, size_t to) { return (a + to - 1) / to * to; }
static size_t bytes_of(size_t n) { return up(n * sizeof(real), 64); }

static bool fits(const struct onx_conv_geo *g)
{
	return g->c * g->m > 1 && g->c > 0 && g->w.kern_n <= TAPS_MOST && onx_slide_phases(&g->w) <= ONX_SLIDE_PHASES;
}

/* Pixels of a block: as many terms are summed from zero; numbers of x and of dy, bytes of a part, pieces at least. */
enum { DEPTH = 128, L_MOST = 264, J_MOST = 256, PART = 1 << 18, PIECES = 16 };
/* Bytes from row to row beyond which a block's rows share too few sets of the second-level cache; of the first, which
 * counts where a copy serves that many numbers of x. */
enum { APART = 8192, ASIDE = 1024, SERVES = 96 };

struct sums {
	gather x;                       /* the windows: a row is x.spans spans of x.len numbers */
	const struct ONX_R(onx_outers) *outers;
	const struct ONX_R(onx_last_shift) *shift;
	size_t m;
	bool copy_x, copy_dy;
	size_t s_run, s_cuts, l_run, l_cuts, j_run, j_cuts, pixels, splits;
	size_t j_room, l_part, part;    /* numbers: a row of a part, those of one span, all of it */
};

static size_t parts_of(const struct sums *s)
{
	return s->x.groups * s->s_cuts * s->l_cuts * s->j_cuts;
}

static struct sums sums_of(const struct onx_conv_geo *g, enum onx_isa isa, const struct ONX_R(onx_last_norm) *norm,
			   const struct ONX_R(onx_last_shift) *shift)
{
	struct sums s = { .m = g->m, .outers = onx_outers_of(isa) };

	onx_last_dense_forward_of(g, isa, &s.x);
	s.x.norm = norm;
	s.shift = shift;
	const struct ONX_R(onx_tile) *t = s.x.tile;

	s.l_run = up(onx_pieces(s.x.len, max_z(onx_pieces(s.x.len, L_MOST), 1)), t->rows);
	s.l_cuts = onx_pieces(s.x.len, s.l_run);
	s.j_cuts = onx_pieces(s.m, J_MOST);
	s.j_run = s.j_cuts > 1 ? up(onx_pieces(s.m, s.j_cuts), t->cols) : s.m;
	s.j_cuts = onx_pieces(s.m, s.j_run);
	s.j_room = up(s.j_run, t->unit);
	s.l_part = s.l_run * s.j_room;
	s.s_run = max_z(min_z(PART / (s.l_part * sizeof(real)), s.x.spans), 1);
	s.s_run = max_z(onx_pieces(s.x.spans, max_z(onx_pieces(s.x.spans, s.s_run), 1)), 1);
	s.s_cuts = onx_pieces(s.x.spans, s.s_run);
	s.part = s.s_run * s.l_part;
	s.splits = max_z(min_z(onx_pieces(PIECES, max_z(parts_of(&s), 1)), onx_pieces(s.x.rows, 4 * DEPTH)), 1);
	s.pixels = max_z(up(onx_pieces(s.x.rows, s.splits), DEPTH), DEPTH);
	s.splits = max_z(onx_pieces(s.x.rows, s.pixels), 1);
	s.copy_x = s.x.groups * s.x.c * sizeof(real) >= APART && !norm;
	s.copy_dy = s.m % t->unit != 0 ||
		    (!shift && (s.x.groups * s.m * sizeof(real) >= APART ||
				(s.x.groups * s.m * sizeof(real) >= ASIDE && s.l_run >= SERVES)));
	return s;
}

/* One worker's room: panels of x and dy, copied spans, shifted rows of dy, pointers to spans and to rows. */
struct desk { size_t l, j, stage, shifted, spans, at, bytes; };

/* From row to row of n numbers beside each other: by single lines out of each other's sets. */
static size_t beside(size_t n)
{
	return up(n, 64 / sizeof(real)) + 64 / sizeof(real);
}

static struct desk desk_of(const struct sums *s)
{
	struct desk r = { .l = 0 };

	r.j = bytes_of(s->l_run * DEPTH);
	r.stage = r.j + bytes_of(up(s->j_room, s->x.tile->cols) * DEPTH);
	r.shifted = r.stage + (s->x.merged ? bytes_of(s->x.spans * s->x.len * DEPTH) : 0) +
		    (s->x.norm ? bytes_of(beside(s->l_run) * DEPTH) : 0);
	r.spans = r.shifted + (s->shift ? bytes_of(beside(s->j_run) * DEPTH) : 0);
	r.at = r.spans + up(s->x.spans * DEPTH * sizeof(real *), 64);
	r.bytes = r.at + up(DEPTH * sizeof(real *), 64);
	return r;
}

size_t onx_last_dense_weights_scratch(const struct onx_conv_geo *g, enum onx_isa isa,
				      const struct ONX_R(onx_last_norm) *norm,
				      const struct ONX_R(onx_last_shift) *shift, int threads)
{
	const struct sums s = sums_of(g, isa, norm, shift);

	return bytes_of(s.x.len) + bytes_of(parts_of(&s) * s.splits * s.part) + desk_of(&s).bytes * (size_t)threads;
}

struct job {
	struct sums s;
	const real *x, *dy, *zeros;
	real *part, *dw;
	char *desks;
	bool add;
};

/* The end of a row, n < wide numbers, and zeros. */
ONX_INLINE void tail(const real *from, size_t n, size_t wide, real *to)
{
	for (size_t i = 0; i < wide; i++)
		to[i] = 0;
	for (size_t i = 0; i + 4 <= n; i += 4)
		memcpy(to + i, from + i, 4 * sizeof *to);
	for (size_t i = n / 4 * 4; i < n; i++)
		to[i] = from[i];
}

ONX_INLINE void rows_to(const real *const *row, size_t first, size_t rows, size_t n, size_t wide, real *to)
{
	for (size_t k = 0; k < rows; k++, to += wide) {
		const real *from = row[k] + first;
		real *panel = to;
		size_t left = n;

		for (; left >= wide; left -= wide, from += wide, panel += DEPTH * wide)
			memcpy(panel, from, wide * sizeof *to);
		if (left)
			tail(from, left, wide, panel);
	}
}

/* n numbers of each row, from `first` on, into panels [panel][row][wide]; what is left of the last one is zero.
 * The tiles' widths stand here as constants. */
ONX_CLONES
static void panels(const real *const *row, size_t first, size_t rows, size_t n, size_t wide, real *to)
{
	switch (wide) {
	case 4: rows_to(row, first, rows, n, 4, to); break;
	case 6: rows_to(row, first, rows, n, 6, to); break;
	case 8: rows_to(row, first, rows, n, 8, to); break;
	case 12: rows_to(row, first, rows, n, 12, to); break;
	case 16: rows_to(row, first, rows, n, 16, to); break;
	case 32: rows_to(row, first, rows, n, 32, to); break;
	default: rows_to(row, first, rows, n, wide, to);
	}
}

/* One block of pixels: dy and one span of x. */
struct block {
	size_t depth, n_l, n_j;
	const real *const *x;           /* [depth], from `first` on */
	size_t first, ask_x;            /* how far the next block's rows are, or 0 */
	const real *dy, *ask;           /* the next block, or NULL */
	size_t ldb, by, pitch;          /* from row to row and panel to panel of dy; from row to row of ask */
	real *l;                        /* copies of x, their rows */
	const real **at;
	real *part;
	bool add;
};

/* Rows of l [r0, r1) in tiles; o->at has the first of them at `first`, or each tile's own panel. */
static void tiles(const struct sums *s, outer *o, size_t r0, size_t r1, bool copied, size_t width, real *part)
{
	const size_t rows = s->x.tile->rows, third = rows / ONX_TILE_PARTS;

	for (size_t r = r0; r < r1; r += rows) {
		o->c = part + r * s->j_room;
		s->outers->run[o->ask != NULL][onx_pieces(min_z(rows, r1 - r), third) - 1][width](o);
		o->first += copied ? rows * DEPTH : rows;
		o->ask = o->ask_x ? o->at[0] : NULL;    /* its own part of x, and no more of dy */
		o->ask_step = 0;
	}
}

static void products(const struct sums *s, const struct block *k)
{
	const struct ONX_R(onx_tile) *t = s->x.tile;
	const size_t third = t->rows / ONX_TILE_PARTS, whole = s->copy_x ? 0 : k->n_l / third * third;
	const size_t wide = s->copy_x ? t->rows : third;
	const real *j = k->dy;
	outer o = { .depth = k->depth, .ldb = k->ldb, .ldc = s->j_room, .add = k->add };

	if (whole < k->n_l)
		panels(k->x, k->first + whole, k->depth, k->n_l - whole, wide, k->l);
	for (size_t i = 0; i < k->depth && whole < k->n_l; i++)
		k->at[i] = k->l + i * wide;
	for (size_t c = 0; c < k->n_j; c += t->cols, j += k->by) {
		const size_t width = onx_pieces(min_z(t->cols, k->n_j - c), t->unit) - 1;

		o.b = j;
		o.ask = k->ask ? k->ask + c : NULL;
		o.ask_step = k->pitch;
		o.at = k->x;
		o.first = k->first;
		o.ask_x = c == 0 ? k->ask_x : 0;
		tiles(s, &o, 0, whole, false, width, k->part + c);
		o.at = k->at;
		o.first = o.ask_x = 0;
		tiles(s, &o, whole, k->n_l, true, width, k->part + c);
	}
}

/* Channels [l0, l1) of rows that are pixels side by side; then they begin where their pointers do. */
static void normalise(const struct sums *s, size_t l0, size_t l1, size_t depth, const real **at, real *to)
{
	onx_last_norm_rows(s->x.norm, at[0] + l0, s->x.c, l0, l1 - l0, depth, to, beside(s->l_run));
	for (size_t k = 0; k < depth; k++)
		at[k] = to + k * beside(s->l_run);
}

/* Pieces run over runs of pixels, then groups, then spans, then l, then j. */
static void sums_piece(void *ctx, size_t piece, int worker)
{
	const struct job *w = ctx;
	const struct sums *s = &w->s;
	const struct desk d = desk_of(s);
	char *const desk = w->desks + d.bytes * (size_t)worker;
	real *const l = (real *)(void *)(desk + d.l), *const j = (real *)(void *)(desk + d.j);
	real *const stage = (real *)(void *)(desk + d.stage), *const part = w->part + piece * s->part;
	real *const shifted = (real *)(void *)(desk + d.shifted);
	const real **const spans = (const real **)(void *)(desk + d.spans);
	const real **const at = (const real **)(void *)(desk + d.at);
	const size_t cuts = s->l_cuts * s->j_cuts, all = s->x.groups * s->m;
	const size_t group = piece / cuts / s->s_cuts % s->x.groups;
	size_t s0, s1, l0, l1, j0, j1, p0, p1;

	onx_piece(s->x.spans, s->s_run, piece / cuts % s->s_cuts, &s0, &s1);
	onx_piece(s->x.len, s->l_run, piece / s->j_cuts % s->l_cuts, &l0, &l1);
	onx_piece(s->m, s->j_run, piece % s->j_cuts, &j0, &j1);
	onx_piece(s->x.rows, s->pixels, piece / cuts / s->s_cuts / s->x.groups, &p0, &p1);
	if (p0 >= p1)
		memset(part, 0, s->part * sizeof *part);
	for (size_t p = p0; p < p1; p += DEPTH) {
		const size_t depth = min_z(DEPTH, p1 - p);
		const real *const dy = w->dy + p * all + group * s->m + j0;
		const bool more = p + 2 * DEPTH <= p1;
		struct block b = { .depth = depth, .n_l = l1 - l0, .n_j = j1 - j0, .first = l0,
				   .dy = s->copy_dy ? j : dy, .ldb = s->copy_dy ? s->x.tile->cols : all,
				   .by = s->copy_dy ? DEPTH * s->x.tile->cols : s->x.tile->cols,
				   .pitch = all, .l = l, .at = at, .add = p > p0 };

		if (s->shift)
			onx_last_shift_rows(s->shift, dy, p * all + j0, all, j0, j1 - j0, depth, shifted,
					    beside(s->j_run));
		if (s->shift && !s->copy_dy) {
			b.dy = shifted;
			b.ldb = beside(s->j_run);
		}
		for (size_t k = 0; k < depth; k++)
			at[k] = s->shift ? shifted + k * beside(s->j_run) : dy + k * all;
		if (s->copy_dy)
			panels(at, 0, depth, j1 - j0, s->x.tile->cols, j);
		onx_gather_rows(&s->x, w->x, group, p, p + depth, DEPTH, w->zeros, stage, spans);
		if (s->x.norm) {
			normalise(s, l0, l1, depth, spans, stage);
			b.first = 0;
		}
		for (size_t i = s0; i < s1; i++) {
			b.x = spans + i * DEPTH;
			b.ask = more && i == s0 ? dy + DEPTH * all : NULL;
			b.ask_x = more && i == s0 && !s->x.norm ? DEPTH * s->x.groups * s->x.c : 0;
			b.part = part + (i - s0) * s->l_part;
			products(s, &b);
		}
	}
}

enum { COLUMNS = 16 };

/* Columns [j0, j1) of span `span` and number l, all splits together, to dw, where columns are `step` apart. */
static inline void add_up(const struct job *w, const real *from, size_t n, size_t step, real *dw)
{
	const size_t next = parts_of(&w->s) * w->s.part;
	real sum[COLUMNS] = { 0 };

	for (size_t k = 0; k < w->s.splits; k++, from += next)
		for (size_t j = 0; j < n; j++)
			sum[j] += from[j];
	for (size_t j = 0; j < n; j++)
		onx_put(&dw[j * step], w->add, sum[j]);
}

/* Columns [j0, j1) of a group into dw [j][c][taps]; in parts they lie as [span][l][j]. */
static void gather_columns(const struct job *w, size_t group, size_t j0, size_t j1)
{
	const struct sums *s = &w->s;
	const size_t c = s->x.c, taps = s->x.spans * s->x.len / c, cut = j0 / s->j_run;
	real *const dw = w->dw + (group * s->m + j0) * c * taps;

	for (size_t l = 0; l < s->x.len; l++) {
		const real *const from = w->part + l % s->l_run * s->j_room + j0 - cut * s->j_run;

		for (size_t i = 0; i < s->x.spans; i++) {
			const size_t part = ((group * s->s_cuts + i / s->s_run) * s->l_cuts + l / s->l_run) * s->j_cuts;
			const size_t at = s->x.merged ? l % c * taps + i * (s->x.len / c) + l / c : l * taps + i;

			add_up(w, from + (part + cut) * s->part + i % s->s_run * s->l_part, j1 - j0, c * taps,
			       dw + at);
		}
	}
}

/* Runs of columns end where those of the parts end. */
static void gather_piece(void *ctx, size_t piece, int worker)
{
	const struct job *w = ctx;
	const size_t runs = onx_pieces(w->s.j_run, COLUMNS), cut = piece / runs % w->s.j_cuts;
	const size_t j0 = cut * w->s.j_run + piece % runs * COLUMNS;
	const size_t end = min_z((cut + 1) * w->s.j_run, w->s.m);

	(void)worker;
	if (j0 < end)
		gather_columns(w, piece / runs / w->s.j_cuts, j0, min_z(j0 + COLUMNS, end));
}

void onx_last_dense_weights(struct onx_pool *pool, const struct onx_conv_geo *g, enum onx_isa isa,
			    const struct ONX_R(onx_last_norm) *norm, const real *x, const real *dy,
			    const struct ONX_R(onx_last_shift) *shift, real *dw, bool add, void *scratch)
{
	struct job w = { .s = sums_of(g, isa, norm, shift), .x = x, .dy = dy, .dw = dw, .zeros = scratch, .add = add };
	const size_t parts = parts_of(&w.s), zeros = bytes_of(w.s.x.len);

	memset(scratch, 0, zeros);
	w.part = (real *)(void *)((char *)scratch + zeros);
	w.desks = (char *)w.part + bytes_of(parts * w.s.splits * w.s.part);
	onx_parallel(pool, parts * w.s.splits, sums_piece, &w);
	onx_parallel(pool, g->groups * w.s.j_cuts * onx_pieces(w.s.j_run, COLUMNS), gather_piece, &w);
}

/* ---- for this processor ----------------------------------------------------------------------------- */

static size_t scratch_of(const struct onx_conv_geo *g, int threads)
{
	return max_z(onx_last_dense_data_scratch(g, onx_isa(), threads),
		     onx_last_dense_weights_scratch(g, onx_isa(), NULL, NULL, threads));
}

static void data(struct onx_pool *pool, const struct onx_conv_geo *g, const real *w, const real *dy, real *dx,
		 bool add, void *scratch)
{
	onx_last_dense_data(pool, g, onx_isa(), w, dy, dx, add, scratch);
}

static void weights(struct onx_pool *pool, const struct onx_conv_geo *g, const real *x, const real *dy, real *dw,
		    bool add, void *scratch)
{
	onx_last_dense_weights(pool, g, onx_isa(), NULL, x, dy, NULL, dw, add, scratch);
}

const struct ONX_R(onx_last_grad) onx_last_grad_dense = { "dense", fits, scratch_of, data, weights };

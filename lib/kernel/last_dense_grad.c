/* kernel/last_dense_grad.c -- the gradient of the weights of a convolution with channels last, as products (that of the
 * data is in last_dense.c).
 *
 * For each tap: dw[l][j] = sum over pixels p of x[p at the tap][l] * dy[p][j].  A piece is a run of taps,
 * of l, of j and of pixels.  It goes over its pixels in blocks of DEPTH and adds the tiles' sums (outer.h) to its part
 * of dw, which stays in the second-level cache.  x and dy are read where they lie; with each tile of a block some
 * lines of the next one are asked for (ask.h), since a block of a layer with few channels is read from far away in as
 * much time as its products take.  What does not fill whole tiles is copied into panels as wide as the tile, and so are
 * rows so far apart that they would drive each other out of the cache.  Rows that are normalised or shifted on the way
 * (last_norm.h) go beside each other, too.  Parts of several runs of pixels are added in order at the end, when dw is
 * brought into the order of the file. */
#include "kernel/ask.h"
#include "kernel/last_dense.h"
#include "kernel/outer.h"
#include <string.h>

typedef struct ONX_R(onx_gather) gather;
typedef struct ONX_R(onx_outer) outer;
typedef struct ONX_R(onx_asks) asks;

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
enum { APART = 4096, ASIDE = 1024, SERVES = 96 };

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
	const size_t row_x = s.x.groups * s.x.c * sizeof(real), row_dy = s.x.groups * s.m * sizeof(real);

	s.copy_x = !norm && row_x >= APART;
	s.copy_dy = s.m % t->unit != 0 ||
		    (!shift && (row_dy >= APART || (row_dy >= ASIDE && s.l_run >= SERVES)));
	return s;
}

/* One worker's room: panels of x and dy, copied spans, shifted rows of dy, pointers to spans of this block and the
 * next, to what is asked for, and to rows. */
struct desk { size_t l, j, stage, shifted, spans, asked, at, bytes; };

/* From row to row of n numbers beside each other: by single lines out of each other's sets. */
static size_t beside(size_t n)
{
	return up(n, 64 / sizeof(real)) + 64 / sizeof(real);
}

/* From panel to panel of so many columns: not a multiple of what the first-level cache maps to one set. */
static size_t apart(size_t wide)
{
	return DEPTH * wide + 64 / sizeof(real);
}

static struct desk desk_of(const struct sums *s)
{
	struct desk r = { .l = 0 };

	r.j = bytes_of(s->l_run / s->x.tile->rows * apart(s->x.tile->rows));
	r.stage = r.j + bytes_of(onx_pieces(s->j_room, s->x.tile->cols) * apart(s->x.tile->cols));
	r.shifted = r.stage + (s->x.merged ? bytes_of(s->x.spans * s->x.len * DEPTH) : 0) +
		    (s->x.norm ? bytes_of(beside(s->l_run) * DEPTH) : 0);
	r.spans = r.shifted + (s->shift ? bytes_of(beside(s->j_run) * DEPTH) : 0);
	r.asked = r.spans + 2 * up(s->x.spans * DEPTH * sizeof(real *), 64);
	r.at = r.asked + up((s->s_run + 2) * DEPTH * sizeof(real *), 64);
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

/* One block of pixels: dy and one span of x. */
struct block {
	size_t depth, n_l, n_j;
	const real *const *x;           /* [depth], from `first` on */
	size_t first;
	const real *dy;
	size_t ldb, by;                 /* from row to row and panel to panel of dy */
	asks ahead;
	real *l;                        /* copies of x, their rows */
	const real **at;
	real *part;
	bool add;
};

/* Rows of l [r0, r1) in tiles; o->at has the first of them at `first`, or each tile's own panel. */
static void tiles(const struct sums *s, outer *o, size_t r0, size_t r1, bool copied, size_t width, real *part,
		  asks *ahead)
{
	const size_t rows = s->x.tile->rows, third = rows / ONX_TILE_PARTS;

	for (size_t r = r0; r < r1; r += rows) {
		o->c = part + r * s->j_room;
		onx_ask(ahead);
		for (size_t i = 0; i < rows && o->add; i++)
			__builtin_prefetch(o->c + i * s->j_room, 1);
		s->outers->run[onx_pieces(min_z(rows, r1 - r), third) - 1][width](o);
		o->first += copied ? apart(rows) : rows;
	}
}

static void products(const struct sums *s, struct block *k)
{
	const struct ONX_R(onx_tile) *t = s->x.tile;
	const size_t third = t->rows / ONX_TILE_PARTS, whole = s->copy_x ? 0 : k->n_l / third * third;
	const size_t wide = s->copy_x ? t->rows : third;
	const real *j = k->dy;
	outer o = { .depth = k->depth, .ldb = k->ldb, .ldc = s->j_room, .add = k->add };

	if (whole < k->n_l)
		onx_outer_panels(k->x, k->depth, k->first + whole, k->n_l - whole, wide, apart(wide), k->l);
	for (size_t i = 0; i < k->depth && whole < k->n_l; i++)
		k->at[i] = k->l + i * wide;
	for (size_t c = 0; c < k->n_j; c += t->cols, j += k->by) {
		const size_t width = onx_pieces(min_z(t->cols, k->n_j - c), t->unit) - 1;

		o.b = j;
		o.at = k->x;
		o.first = k->first;
		tiles(s, &o, 0, whole, false, width, k->part + c, &k->ahead);
		o.at = k->at;
		o.first = 0;
		tiles(s, &o, whole, k->n_l, true, width, k->part + c, &k->ahead);
	}
}

/* Channels [l0, l1) of rows that are pixels side by side; then they begin where their pointers do. */
static void normalise(const struct sums *s, size_t l0, size_t l1, size_t depth, const real **at, real *to)
{
	onx_last_norm_rows(s->x.norm, at[0] + l0, s->x.c, l0, l1 - l0, depth, to, beside(s->l_run));
	for (size_t k = 0; k < depth; k++)
		at[k] = to + k * beside(s->l_run);
}

/* Numbers of dw that a piece sums, over pixels [p0, p1). */
struct piece { size_t group, s0, s1, l0, l1, j0, j1, p0, p1; };

/* Pieces run over runs of pixels, then groups, then spans, then l, then j. */
static struct piece piece_of(const struct sums *s, size_t piece)
{
	const size_t cuts = s->l_cuts * s->j_cuts;
	struct piece k = { .group = piece / cuts / s->s_cuts % s->x.groups };

	onx_piece(s->x.spans, s->s_run, piece / cuts % s->s_cuts, &k.s0, &k.s1);
	onx_piece(s->x.len, s->l_run, piece / s->j_cuts % s->l_cuts, &k.l0, &k.l1);
	onx_piece(s->m, s->j_run, piece % s->j_cuts, &k.j0, &k.j1);
	onx_piece(s->x.rows, s->pixels, piece / cuts / s->s_cuts / s->x.groups, &k.p0, &k.p1);
	return k;
}

/* For the block of pixels from p on, whose spans of x are known unless they are copied. */
static asks asks_of(const struct job *w, const struct piece *k, size_t p, const real *const *spans, const real **row)
{
	const struct sums *s = &w->s;
	const size_t all = s->x.groups * s->m, depth = p < k->p1 ? min_z(DEPTH, k->p1 - p) : 0;
	const size_t line = 64 / sizeof(real), n_l = k->l1 - k->l0, n_j = k->j1 - k->j0;
	const size_t tile_n = (k->s1 - k->s0) * onx_pieces(n_l, s->x.tile->rows) * onx_pieces(n_j, s->x.tile->cols);
	asks a = { .row = row, .n = n_l, .then_n = n_j };

	for (size_t i = k->s0; i < k->s1 && spans; i++)
		for (size_t d = 0; d < depth; d++)
			row[a.rows++] = spans[i * DEPTH + d] + k->l0;
	a.then = row + a.rows;
	for (size_t d = 0; d < depth; d++) {
		row[a.rows + a.then_rows++] = w->dy + (p + d) * all + k->group * s->m + k->j0;
		if (s->shift)
			row[a.rows + a.then_rows++] = s->shift->y + (p + d) * all + k->j0;
	}
	a.each = onx_pieces(a.rows * onx_pieces(n_l, line) + a.then_rows * onx_pieces(n_j, line), tile_n);
	return a;
}

/* dy of a block: where it lies, shifted beside, or copied into panels. */
static void take_dy(const struct job *w, const struct piece *k, size_t p, char *desk, struct block *b)
{
	const struct sums *s = &w->s;
	const struct desk d = desk_of(s);
	const size_t all = s->x.groups * s->m;
	const real *const dy = w->dy + p * all + k->group * s->m + k->j0;
	real *const shifted = (real *)(void *)(desk + d.shifted), *const j = (real *)(void *)(desk + d.j);

	b->dy = dy;
	b->ldb = all;
	if (s->shift) {
		b->dy = shifted;
		b->ldb = beside(s->j_run);
		onx_last_shift_rows(s->shift, dy, p * all + k->j0, all, k->j0, b->n_j, b->depth, shifted, b->ldb);
	}
	for (size_t i = 0; i < b->depth && s->copy_dy; i++)
		b->at[i] = b->dy + i * b->ldb;
	b->by = s->x.tile->cols;
	if (s->copy_dy) {
		onx_outer_panels(b->at, b->depth, 0, b->n_j, s->x.tile->cols, apart(s->x.tile->cols), j);
		b->dy = j;
		b->ldb = s->x.tile->cols;
		b->by = apart(b->ldb);
	}
}

static void sums_piece(void *ctx, size_t piece, int worker)
{
	const struct job *w = ctx;
	const struct sums *s = &w->s;
	const struct desk d = desk_of(s);
	const struct piece k = piece_of(s, piece);
	char *const desk = w->desks + d.bytes * (size_t)worker;
	real *const stage = (real *)(void *)(desk + d.stage), *const part = w->part + piece * s->part;
	const real **spans = (const real **)(void *)(desk + d.spans), **next = spans + s->x.spans * DEPTH;

	if (k.p0 >= k.p1)
		memset(part, 0, s->part * sizeof *part);
	for (size_t p = k.p0; p < k.p1; p += DEPTH) {
		const real **const now = spans;
		const size_t after = min_z(p + DEPTH, k.p1);
		struct block b = { .depth = after - p, .n_l = k.l1 - k.l0, .n_j = k.j1 - k.j0, .first = k.l0,
				   .l = (real *)(void *)(desk + d.l), .at = (const real **)(void *)(desk + d.at),
				   .add = p > k.p0 };

		take_dy(w, &k, p, desk, &b);
		if (p == k.p0 || s->x.merged)
			onx_gather_rows(&s->x, w->x, k.group, p, after, DEPTH, w->zeros, stage, spans);
		if (!s->x.merged)
			onx_gather_rows(&s->x, w->x, k.group, after, min_z(after + DEPTH, k.p1), DEPTH, w->zeros,
					stage, next);
		b.ahead = asks_of(w, &k, after, s->x.merged ? NULL : next, (const real **)(void *)(desk + d.asked));
		if (s->x.norm) {
			normalise(s, k.l0, k.l1, b.depth, spans, stage);
			b.first = 0;
		}
		for (size_t i = k.s0; i < k.s1; i++) {
			b.x = now + i * DEPTH;
			b.part = part + (i - k.s0) * s->l_part;
			products(s, &b);
		}
		if (!s->x.merged) {
			spans = next;
			next = now;
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

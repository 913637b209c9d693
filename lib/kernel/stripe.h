/* kernel/stripe.h -- a tensor with channels last as a stack of stripes, for loops and sums by channel.
 *
 * A stripe is as many rows of c numbers as make some hundred in a row, so that vector loops are long whatever c is;
 * what belongs to the channels stands once for each row of a stripe.  A piece of work is some stripes, a tile up
 * to 8 stripes by 512 columns: what is at hand in the first cache. */
#ifndef ONX_STRIPE_H
#define ONX_STRIPE_H
#include <stddef.h>
#include "base/pool.h"
#include "kernel/real.h"

enum { ONX_TILE_ROWS = 8, ONX_TILE_COLS = 512, ONX_TILE = ONX_TILE_ROWS * ONX_TILE_COLS };
enum { ONX_STRIPE_TERMS = 64 };         /* stripes whose sum may run in single precision */

struct onx_stripes {
	size_t c, width, total, count, grain;   /* numbers of a stripe and in all; stripes in all and of a piece */
};

/* `rows` stripes of `n` numbers from column `col` on, `step` apart; the first number is number `at` of all. */
struct onx_tile { size_t at, rows, step, col, n; };

static inline struct onx_stripes onx_stripes_of(size_t rows, size_t c)
{
	enum { LINE = 16, PIECES = 128 };
	struct onx_stripes s = { .c = c, .width = c ? c : 1, .total = rows * c, .grain = ONX_STRIPE_TERMS };
	size_t unit = LINE;

	for (size_t k = c; unit > 1 && k > 0 && k % 2 == 0; k /= 2)
		unit /= 2;
	if (c > 0 && unit * c <= ONX_TILE_COLS)
		s.width = ONX_TILE_COLS / (unit * c) * unit * c;
	else if (c > 0 && c <= ONX_TILE_COLS)
		s.width = ONX_TILE_COLS / c * c;
	s.count = onx_pieces(s.total, s.width);
	s.grain *= onx_pieces(s.count, (size_t)PIECES * ONX_STRIPE_TERMS);
	s.grain += s.grain == 0;
	return s;
}

static inline size_t onx_stripes_pieces(const struct onx_stripes *s)
{
	return onx_pieces(s->count, s->grain);
}

/* Up to 8 stripes from `lo` on and below `hi`, up to 512 columns from t->col on; the last stripe, where it is shorter,
 * is a tile by itself (of no columns behind its end).  Returns the stripe behind the tile. */
static inline size_t onx_tile_at(const struct onx_stripes *s, size_t lo, size_t hi, struct onx_tile *t)
{
	const size_t whole = s->total / s->width, end = lo < whole ? s->width : s->total - lo * s->width;

	if (lo < whole && hi > whole)
		hi = whole;
	t->rows = lo >= whole ? 1 : hi - lo < ONX_TILE_ROWS ? hi - lo : ONX_TILE_ROWS;
	t->step = s->width;
	t->at = lo * s->width + t->col;
	t->n = end <= t->col ? 0 : end - t->col < ONX_TILE_COLS ? end - t->col : ONX_TILE_COLS;
	return lo + t->rows;
}

/* fn over all tiles of a piece: by columns, then down. */
static inline void onx_stripes_each(const struct onx_stripes *s, size_t piece,
				    void (*fn)(const void *job, const struct onx_tile *t), const void *job)
{
	struct onx_tile t;
	size_t lo, hi;

	onx_piece(s->count, s->grain, piece, &lo, &hi);
	for (t.col = 0; t.col < s->width; t.col += ONX_TILE_COLS)
		for (size_t i = lo; i < hi; ) {
			i = onx_tile_at(s, i, hi, &t);
			fn(job, &t);
		}
}

/* Two sums by channel over a piece: fn adds those of a tile to s0 and s1 [n]; part [2][c] is set. */
static inline void onx_stripes_sums(const struct onx_stripes *s, size_t piece, double *part,
				    void (*fn)(const void *job, const struct onx_tile *t, real *s0, real *s1),
				    const void *job)
{
	struct onx_tile t;
	size_t lo, hi;

	onx_piece(s->count, s->grain, piece, &lo, &hi);
	for (size_t i = 0; i < 2 * s->c; i++)
		part[i] = 0;
	for (t.col = 0; t.col < s->width; t.col += ONX_TILE_COLS)
		for (size_t i = lo; i < hi; ) {
			const size_t end = hi - i < ONX_STRIPE_TERMS ? hi : i + ONX_STRIPE_TERMS;
			real s0[ONX_TILE_COLS] = { 0 }, s1[ONX_TILE_COLS] = { 0 };

			while (i < end) {
				i = onx_tile_at(s, i, end, &t);
				fn(job, &t, s0, s1);
			}
			for (size_t k = 0, c = t.col % s->c; k < ONX_TILE_COLS && t.col + k < s->width; k++) {
				part[c] += (double)s0[k];
				part[s->c + c] += (double)s1[k];
				c = c + 1 < s->c ? c + 1 : 0;
			}
		}
}

/* The parts [piece][2][c] of all pieces, in order. */
static inline void onx_stripes_fold(const struct onx_stripes *s, const double *part, double *sum)
{
	const size_t pieces = onx_stripes_pieces(s);

	for (size_t i = 0; i < 2 * s->c; i++)
		sum[i] = 0;
	for (size_t p = 0; p < pieces; p++, part += 2 * s->c)
		for (size_t i = 0; i < 2 * s->c; i++)
			sum[i] += part[i];
}

#endif

/* kernel/gather.h -- products whose left rows are the pixels under a window, read where they lie.
 *
 *     y[n, at(o), g, j] = f(b + z + sum over taps t, l < c of  x[n, o * mul + base + t * inc, g, l] * W[g, (t, l), j])
 *
 * x [n][src][groups * c], y [n][dst][groups * m], j < m; positions as in slide.h.  A convolution with channels last
 * is one such product, its data gradient one for each phase of the strides with the channels exchanged.
 *
 * The matrix of windows never exists: for each row and tap there is a pointer, into the image or to a row
 * of zeros, and the tile kernel (tile.h) reads through it.  Rows of all images follow each other, so
 * that small maps fill whole tiles.  Where c is small and the taps of the last dimension lie side by side
 * they are one span of taps * c numbers (`merged`); spans across the edge are copied out with zeros.
 *
 * W is packed [g][panel of columns][t][l][column], the last panel narrower.  A piece is a block of rows by a run of
 * panels; in it, for each panel and each block of at most ONX_GATHER_CHAIN terms, all tiles of rows: the
 * block of W stays in the first-level cache, the rows in the second.  A small W with few terms is read anew
 * for each tile of rows, so that x and y pass once and in their order, y beside the caches where it is large.
 * Blocks are summed from zero and then added, so that rounding stays near that of a sum of ONX_GATHER_CHAIN
 * terms; until the last they gather in a run of memory of their own, so that y is written once.
 *
 * Rows that would throw each other out of the nearest cache, that are scaled, normalised or shifted (last_norm.h) or
 * that many panels read without order are copied first, once for all panels of a piece.  Where rows then lie evenly
 * apart, as those of pointwise convolutions do, no pointers are needed: one call (flat.h) goes over all of a piece. */
#ifndef ONX_GATHER_H
#define ONX_GATHER_H
#include "kernel/last_norm.h"
#include "kernel/slide.h"
#include "kernel/tile.h"

enum { ONX_GATHER_CHAIN = 128, ONX_GATHER_MERGE = 8 };   /* terms; merged where c is at most that */

struct ONX_R(onx_gather) {
	const struct ONX_R(onx_tile) *tile;
	size_t n, groups, c, m;
	struct onx_slide s;
	/* The weights as stored: w[g * w_group + l * w_l + j * w_j + k], k = onx_slide_tap(). */
	size_t w_group, w_l, w_j;
	const real *scale;              /* [n][groups * c], multiplies x; NULL: none.  Of single spans alone */
	const struct ONX_R(onx_last_norm) *norm;        /* x is f(u) of it; NULL: it is itself.  Of one group, flat */
	const struct ONX_R(onx_last_shift) *shift;      /* the same for x that is a gradient                    */
	const struct ONX_R(onx_last_after) *after;      /* takes the results in place of y, where rows are flat */
	bool alone;                     /* inside a piece: cut for the caches, not for threads */
	/* By onx_gather_close(): */
	bool merged, flat, even;        /* even: row r writes pixel r; flat: and reads it */
	bool straight;                  /* rows of both sides lie evenly apart: flat.h's products do */
	size_t cols;                    /* of a panel as packed */
	size_t spans, len;              /* a row is `spans` spans of len numbers     */
	size_t rows, panels, ends;      /* rows of all images; panels and columns of a group as packed */
	size_t by_spans, by_len, blocks, cuts;  /* a block of terms; cuts: blocks of a span */
	size_t tiles, run;              /* of a piece: tiles of rows, panels */
	bool by_rows;                   /* all panels for a tile of rows, then the next */
	bool copied;                    /* rows are copied first, away from each other   */
};

#define onx_gather_close ONX_R(onx_gather_close)
#define onx_gather_packed ONX_R(onx_gather_packed)
#define onx_gather_pack ONX_R(onx_gather_pack)
#define onx_gather_scratch ONX_R(onx_gather_scratch)
#define onx_gather_pieces ONX_R(onx_gather_pieces)
#define onx_gather_run ONX_R(onx_gather_run)
#define onx_gather_rows ONX_R(onx_gather_rows)
#define onx_gather_made ONX_R(onx_gather_made)

/* ---- gather_cut.c: what follows from the fields above, and the weights ---- */

void onx_gather_close(struct ONX_R(onx_gather) *g);
size_t onx_gather_packed(const struct ONX_R(onx_gather) *g);    /* bytes */
void onx_gather_pack(struct onx_pool *pool, const struct ONX_R(onx_gather) *g, const real *w, real *to);

/* ---- gather.c: the products ---- */

size_t onx_gather_scratch(const struct ONX_R(onx_gather) *g, int threads);      /* bytes */
size_t onx_gather_pieces(const struct ONX_R(onx_gather) *g);    /* of onx_gather_run */
void onx_gather_run(struct onx_pool *pool, const struct ONX_R(onx_gather) *g, const real *x, const real *packed,
		    const struct ONX_R(onx_last_end) *end, real *y, void *scratch);

/* ---- gather_rows.c ---- */

/* Pointers to the spans of rows [r0, r1) of a group: at[(row / of * spans + span) * of + row % of], rows from r0
 * on; up to a whole `of` rows of zeros follow.  stage: room for the spans of these rows, if merged. */
void onx_gather_rows(const struct ONX_R(onx_gather) *g, const real *x, size_t group, size_t r0, size_t r1, size_t of,
		     const real *zeros, real *stage, const real **at);
/* Where rows [r0, r1) of a group begin in y, whose pixels are `pitch` numbers apart. */
void onx_gather_made(const struct ONX_R(onx_gather) *g, size_t pitch, size_t group, size_t r0, size_t r1, size_t *row);
#endif

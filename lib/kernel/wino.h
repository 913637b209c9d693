/* kernel/wino.h -- 3x3 convolutions with channels last, stride 1, by a quarter of the multiplications.
 *
 * Winograd's minimal filtering F(4x4, 3x3) (Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks"):
 * the output falls into tiles of 4x4, each of which reads 6x6 pixels d and all taps g of a channel:
 *
 *     y = A' [ sum over channels of (G g G') . (B' d B) ] A          (. element by element, ' transposed)
 *
 * so that a tile costs 36 products where the formula costs 144.  Over many tiles the sums are 36 matrix products
 * [tiles x c] [c x m].  The matrices come from Toom and Cook's interpolation at the points 0, +-a, +-b and infinity:
 *
 *     B'  row of p: the coefficients of M(x) / (x - p), M = x (x^2 - a^2) (x^2 - b^2); of infinity: those of M
 *     G   row of p: (1, p, p^2) / prod over the other q of (p - q); of infinity: (0, 0, 1)
 *     A'  column of p: (1, p, p^2, p^3); of infinity: (0, 0, 0, 1)
 *
 * with a = sqrt(1/2), b = sqrt(2): errors half those of the usual 1 and 2, since a b = 1 keeps the factors near each
 * other.  In single precision a sum is off by about 1.5e-6 of its size, ten times the formula's own rounding; that is
 * why the plan may leave it out (`precise`).  Gradients:
 *
 *     data      the same convolution over dy, taps turned round, channels exchanged
 *     weights   dw = C' [ sum over tiles of (B' d B) . (H dy H') ] C: a filter of 4x4 numbers, dy, with outputs 3x3;
 *               H has rows (1, p, p^2, p^3) over the same products, C' the columns (1, p, p^2)
 *
 * Which positions of M and of V belong to a point is [6][6], row-major, `k` below.  Channels come in vectors of
 * ONX_WINO_LANES, so both numbers of channels are multiples of that.  The choice does not look at the number of
 * images: a picture has the same bits in any batch. */
#ifndef ONX_WINO_H
#define ONX_WINO_H
#include "kernel/last.h"
#include "kernel/tile.h"

enum { ONX_WINO_LANES = 16, ONX_WINO_IN = 6, ONX_WINO_OUT = 4, ONX_WINO_K = 36, ONX_WINO_COLS = ONX_TILE_COLS,
       ONX_WINO_CHAIN = 128 };          /* terms that are summed from zero */

/* Tiles over an output `dst` that reads `src`; y at o reads x at o - pad + tap. */
struct onx_wino_grid {
	size_t n, src[2], dst[2], across[2], tiles;     /* across: tiles of an image in each dimension; tiles: of all */
	int64_t pad[2];
};

#define onx_wino_input ONX_R(onx_wino_input)
#define onx_wino_output ONX_R(onx_wino_output)
#define onx_wino_taps ONX_R(onx_wino_taps)
#define onx_wino_dy ONX_R(onx_wino_dy)
#define onx_wino_dw ONX_R(onx_wino_dw)
#define onx_wino_at ONX_R(onx_wino_at)
#define onx_wino_dy_at ONX_R(onx_wino_dy_at)
#define onx_wino_forward_of ONX_R(onx_wino_forward_of)
#define onx_wino_data_of ONX_R(onx_wino_data_of)
#define onx_wino_packed ONX_R(onx_wino_packed)
#define onx_wino_pack ONX_R(onx_wino_pack)
#define onx_wino_scratch ONX_R(onx_wino_scratch)
#define onx_wino_run ONX_R(onx_wino_run)
#define onx_wino_fresh_scratch ONX_R(onx_wino_fresh_scratch)
#define onx_wino_fresh ONX_R(onx_wino_fresh)
#define onx_wino_weights_scratch ONX_R(onx_wino_weights_scratch)
#define onx_wino_weights ONX_R(onx_wino_weights)
#define onx_wino_held_scratch ONX_R(onx_wino_held_scratch)
#define onx_wino_held ONX_R(onx_wino_held)
#define onx_wino_is_held ONX_R(onx_wino_is_held)

/* ---- wino_tile.c: one tile, `n` channels, a multiple of the lanes; element k at to[k * step] ---- */

/* B' d B; at[36]: the pixels, from channel `first` on. */
void onx_wino_input(const real *const *at, size_t first, size_t n, real *to, size_t step);
/* H dy H'; at[16]. */
void onx_wino_dy(const real *const *at, size_t first, size_t n, real *to, size_t step);
/* G g G'; g [9][pitch]. */
void onx_wino_taps(const real *g, size_t pitch, size_t n, real *to, size_t step);
/* A' m A to y [16][pitch], C' m C to dw [9][pitch]; element k at m[k * step]. */
void onx_wino_output(const real *m, size_t step, size_t n, real *y, size_t pitch);
void onx_wino_dw(const real *m, size_t step, size_t n, real *dw, size_t pitch);
/* The pixels of a tile of x [n][src][c]; outside: zeros, c of them.  The 4x4 of y. */
void onx_wino_at(const struct onx_wino_grid *g, size_t tile, const real *x, size_t c, const real *zeros,
		 const real **at);
void onx_wino_dy_at(const struct onx_wino_grid *g, size_t tile, const real *dy, size_t m, const real *zeros,
		    const real **at);

/* ---- wino.c: forward, and with the weights read the other way round the data gradient ---- */
struct ONX_R(onx_wino) {
	const struct ONX_R(onx_tile) *tile;
	struct onx_wino_grid grid;
	size_t c, m, w_l, w_j;          /* w[l * w_l + j * w_j + tap], or 8 - tap where `turned` */
	bool turned;
	size_t panels, t, run;          /* a piece: t tiles by `run` panels of ONX_WINO_COLS columns */
};

void onx_wino_forward_of(const struct onx_conv_geo *g, enum onx_isa isa, struct ONX_R(onx_wino) *w);
void onx_wino_data_of(const struct onx_conv_geo *g, enum onx_isa isa, struct ONX_R(onx_wino) *w);
size_t onx_wino_packed(const struct ONX_R(onx_wino) *w);        /* bytes */
void onx_wino_pack(struct onx_pool *pool, const struct ONX_R(onx_wino) *w, const real *from, real *to);
size_t onx_wino_scratch(const struct ONX_R(onx_wino) *w, int threads);  /* bytes */
void onx_wino_run(struct onx_pool *pool, const struct ONX_R(onx_wino) *w, const real *x, const real *packed,
		  const struct ONX_R(onx_last_end) *end, real *y, void *scratch);
/* The same from weights that are not packed; bit by bit. */
size_t onx_wino_fresh_scratch(const struct ONX_R(onx_wino) *w, int threads);    /* bytes */
void onx_wino_fresh(struct onx_pool *pool, const struct ONX_R(onx_wino) *w, const real *x, const real *from,
		    const struct ONX_R(onx_last_end) *end, real *y, void *scratch);

/* ---- wino_weights.c: as in last.h ---- */
size_t onx_wino_weights_scratch(const struct onx_conv_geo *g, enum onx_isa isa, int threads);
void onx_wino_weights(struct onx_pool *pool, const struct onx_conv_geo *g, enum onx_isa isa, const real *x,
		      const real *dy, real *dw, bool add, void *scratch);

/* ---- wino_held.c: the same for few channels; wino_weights.c calls it where that is so ---- */
bool onx_wino_is_held(const struct onx_conv_geo *g);
size_t onx_wino_held_scratch(const struct onx_conv_geo *g, enum onx_isa isa, int threads);
void onx_wino_held(struct onx_pool *pool, const struct onx_conv_geo *g, enum onx_isa isa, const real *x,
		   const real *dy, real *dw, bool add, void *scratch);

#endif

/* kernel/wino_tile.c -- the transforms of one tile (wino.h), each a small matrix from both sides.
 * Points 0, +-a, +-b, infinity with a^2 = 1/2, b^2 = 2: even and odd parts are shared by +p and -p. */
#include "kernel/wino.h"

#define ROOT2 ((real)1.41421356237309504880)
#define ROOT_HALF ((real)0.70710678118654752440)

#define ONX_LINES "kernel/wino_tile_lines.inc"
#include "kernel/lines.h"

/* From pixels, each at its pointer + first, and from numbers `pitch` apart, to numbers `step` apart. */
typedef void of_pixels(const real *const *at, size_t first, size_t n, real *to, size_t step);
typedef void of_numbers(const real *from, size_t pitch, size_t n, real *to, size_t step);

void onx_wino_input(const real *const *at, size_t first, size_t n, real *to, size_t step)
{
	static of_pixels *const by_isa[ONX_ISAS] = ONX_WIDTHS(input);

	by_isa[onx_isa()](at, first, n, to, step);
}

void onx_wino_dy(const real *const *at, size_t first, size_t n, real *to, size_t step)
{
	static of_pixels *const by_isa[ONX_ISAS] = ONX_WIDTHS(dy);

	by_isa[onx_isa()](at, first, n, to, step);
}

void onx_wino_taps(const real *g, size_t pitch, size_t n, real *to, size_t step)
{
	static of_numbers *const by_isa[ONX_ISAS] = ONX_WIDTHS(taps);

	by_isa[onx_isa()](g, pitch, n, to, step);
}

void onx_wino_output(const real *m, size_t step, size_t n, real *y, size_t pitch)
{
	static of_numbers *const by_isa[ONX_ISAS] = ONX_WIDTHS(output);

	by_isa[onx_isa()](m, step, n, y, pitch);
}

void onx_wino_dw(const real *m, size_t step, size_t n, real *dw, size_t pitch)
{
	static of_numbers *const by_isa[ONX_ISAS] = ONX_WIDTHS(dw);

	by_isa[onx_isa()](m, step, n, dw, pitch);
}

/* ---- where the pixels lie ---------------------------------------------------------------------------- */

/* size x size pixels of an image from (y, x) on. */
static void square(const real *image, const size_t *extent, int64_t y, int64_t x, int size, size_t ch,
		   const real *zeros, const real **at)
{
	for (int64_t i = y; i < y + size; i++)
		for (int64_t j = x; j < x + size; j++) {
			const bool in = i >= 0 && i < (int64_t)extent[0] && j >= 0 && j < (int64_t)extent[1];

			*at++ = in ? image + ((size_t)i * extent[1] + (size_t)j) * ch : zeros;
		}
}

void onx_wino_at(const struct onx_wino_grid *g, size_t tile, const real *x, size_t c, const real *zeros,
		 const real **at)
{
	const size_t all = g->across[0] * g->across[1], n = tile / all, in = tile % all;

	square(x + n * g->src[0] * g->src[1] * c, g->src, (int64_t)(in / g->across[1] * ONX_WINO_OUT) - g->pad[0],
	       (int64_t)(in % g->across[1] * ONX_WINO_OUT) - g->pad[1], ONX_WINO_IN, c, zeros, at);
}

void onx_wino_dy_at(const struct onx_wino_grid *g, size_t tile, const real *dy, size_t m, const real *zeros,
		    const real **at)
{
	const size_t all = g->across[0] * g->across[1], n = tile / all, in = tile % all;

	square(dy + n * g->dst[0] * g->dst[1] * m, g->dst, (int64_t)(in / g->across[1] * ONX_WINO_OUT),
	       (int64_t)(in % g->across[1] * ONX_WINO_OUT), ONX_WINO_OUT, m, zeros, at);
}

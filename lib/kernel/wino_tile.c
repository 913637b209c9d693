/* kernel/wino_tile.c -- the transforms of one tile (wino.h), each a small matrix from both sides.
 * Points 0, +-a, +-b, infinity with a^2 = 1/2, b^2 = 2: even and odd parts are shared by +p and -p. */
#include "kernel/wino.h"

typedef real lanes __attribute__((vector_size(ONX_WINO_LANES * sizeof(real)), aligned(sizeof(real)), may_alias));

#define ROOT2 ((real)1.41421356237309504880)
#define ROOT_HALF ((real)0.70710678118654752440)
#define LOAD(from) (*(const lanes *)(from))
#define STORE(to) (*(lanes *)(to))

/* B' d */
ONX_INLINE void of_input(const lanes *d, lanes *t)
{
	const lanes even_a = d[4] - 2 * d[2], odd_a = ROOT_HALF * d[3] - ROOT2 * d[1];
	const lanes even_b = d[4] - (real)0.5 * d[2], odd_b = ROOT2 * d[3] - ROOT_HALF * d[1];

	t[0] = d[0] - (real)2.5 * d[2] + d[4];
	t[1] = even_a + odd_a;
	t[2] = even_a - odd_a;
	t[3] = even_b + odd_b;
	t[4] = even_b - odd_b;
	t[5] = d[1] - (real)2.5 * d[3] + d[5];
}

/* G g, and H g with one number more */
ONX_INLINE void of_taps(const lanes *g, lanes *t)
{
	const lanes even_a = (real)(-2.0 / 3) * g[0] - (real)(1.0 / 3) * g[2], odd_a = -ROOT2 / 3 * g[1];
	const lanes even_b = (real)(1.0 / 6) * g[0] + (real)(1.0 / 3) * g[2], odd_b = ROOT2 / 6 * g[1];

	t[0] = g[0];
	t[1] = even_a + odd_a;
	t[2] = even_a - odd_a;
	t[3] = even_b + odd_b;
	t[4] = even_b - odd_b;
	t[5] = g[2];
}

ONX_INLINE void of_dy(const lanes *g, lanes *t)
{
	const lanes even_a = (real)(-2.0 / 3) * g[0] - (real)(1.0 / 3) * g[2];
	const lanes odd_a = -ROOT2 / 3 * g[1] - ROOT2 / 6 * g[3];
	const lanes even_b = (real)(1.0 / 6) * g[0] + (real)(1.0 / 3) * g[2];
	const lanes odd_b = ROOT2 / 6 * g[1] + ROOT2 / 3 * g[3];

	t[0] = g[0];
	t[1] = even_a + odd_a;
	t[2] = even_a - odd_a;
	t[3] = even_b + odd_b;
	t[4] = even_b - odd_b;
	t[5] = g[3];
}

/* A' m, and C' m */
ONX_INLINE void to_output(const lanes *m, lanes *y)
{
	const lanes even_a = m[1] + m[2], odd_a = m[1] - m[2], even_b = m[3] + m[4], odd_b = m[3] - m[4];

	y[0] = m[0] + even_a + even_b;
	y[1] = ROOT_HALF * odd_a + ROOT2 * odd_b;
	y[2] = (real)0.5 * even_a + 2 * even_b;
	y[3] = ROOT_HALF / 2 * odd_a + ROOT2 * 2 * odd_b + m[5];
}

ONX_INLINE void to_dw(const lanes *m, lanes *y)
{
	const lanes even_a = m[1] + m[2], odd_a = m[1] - m[2], even_b = m[3] + m[4], odd_b = m[3] - m[4];

	y[0] = m[0] + even_a + even_b;
	y[1] = ROOT_HALF * odd_a + ROOT2 * odd_b;
	y[2] = (real)0.5 * even_a + 2 * even_b + m[5];
}

ONX_CLONES
void onx_wino_input(const real *const *at, size_t first, size_t n, real *to, size_t step)
{
	for (size_t ch = 0; ch < n; ch += ONX_WINO_LANES) {
		lanes t[6][6], d[6], u[6];

		ONX_UNROLL
		for (int i = 0; i < 6; i++) {
			ONX_UNROLL
			for (int j = 0; j < 6; j++)
				d[j] = LOAD(at[i * 6 + j] + first + ch);
			of_input(d, t[i]);
		}
		ONX_UNROLL
		for (int j = 0; j < 6; j++) {
			ONX_UNROLL
			for (int i = 0; i < 6; i++)
				d[i] = t[i][j];
			of_input(d, u);
			ONX_UNROLL
			for (int i = 0; i < 6; i++)
				STORE(to + (size_t)(i * 6 + j) * step + ch) = u[i];
		}
	}
}

ONX_CLONES
void onx_wino_dy(const real *const *at, size_t first, size_t n, real *to, size_t step)
{
	for (size_t ch = 0; ch < n; ch += ONX_WINO_LANES) {
		lanes t[4][6], d[4], u[6];

		ONX_UNROLL
		for (int i = 0; i < 4; i++) {
			ONX_UNROLL
			for (int j = 0; j < 4; j++)
				d[j] = LOAD(at[i * 4 + j] + first + ch);
			of_dy(d, t[i]);
		}
		ONX_UNROLL
		for (int j = 0; j < 6; j++) {
			ONX_UNROLL
			for (int i = 0; i < 4; i++)
				d[i] = t[i][j];
			of_dy(d, u);
			ONX_UNROLL
			for (int i = 0; i < 6; i++)
				STORE(to + (size_t)(i * 6 + j) * step + ch) = u[i];
		}
	}
}

ONX_CLONES
void onx_wino_taps(const real *g, size_t pitch, size_t n, real *to, size_t step)
{
	for (size_t ch = 0; ch < n; ch += ONX_WINO_LANES) {
		lanes t[3][6], d[3], u[6];

		ONX_UNROLL
		for (int i = 0; i < 3; i++) {
			ONX_UNROLL
			for (int j = 0; j < 3; j++)
				d[j] = LOAD(g + (size_t)(i * 3 + j) * pitch + ch);
			of_taps(d, t[i]);
		}
		ONX_UNROLL
		for (int j = 0; j < 6; j++) {
			ONX_UNROLL
			for (int i = 0; i < 3; i++)
				d[i] = t[i][j];
			of_taps(d, u);
			ONX_UNROLL
			for (int i = 0; i < 6; i++)
				STORE(to + (size_t)(i * 6 + j) * step + ch) = u[i];
		}
	}
}

ONX_CLONES
void onx_wino_output(const real *m, size_t step, size_t n, real *y, size_t pitch)
{
	for (size_t ch = 0; ch < n; ch += ONX_WINO_LANES) {
		lanes t[6][4], d[6], u[4];

		ONX_UNROLL
		for (int i = 0; i < 6; i++) {
			ONX_UNROLL
			for (int j = 0; j < 6; j++)
				d[j] = LOAD(m + (size_t)(i * 6 + j) * step + ch);
			to_output(d, t[i]);
		}
		ONX_UNROLL
		for (int j = 0; j < 4; j++) {
			ONX_UNROLL
			for (int i = 0; i < 6; i++)
				d[i] = t[i][j];
			to_output(d, u);
			ONX_UNROLL
			for (int i = 0; i < 4; i++)
				STORE(y + (size_t)(i * 4 + j) * pitch + ch) = u[i];
		}
	}
}

ONX_CLONES
void onx_wino_dw(const real *m, size_t step, size_t n, real *dw, size_t pitch)
{
	for (size_t ch = 0; ch < n; ch += ONX_WINO_LANES) {
		lanes t[6][3], d[6], u[3];

		ONX_UNROLL
		for (int i = 0; i < 6; i++) {
			ONX_UNROLL
			for (int j = 0; j < 6; j++)
				d[j] = LOAD(m + (size_t)(i * 6 + j) * step + ch);
			to_dw(d, t[i]);
		}
		ONX_UNROLL
		for (int j = 0; j < 3; j++) {
			ONX_UNROLL
			for (int i = 0; i < 6; i++)
				d[i] = t[i][j];
			to_dw(d, u);
			ONX_UNROLL
			for (int i = 0; i < 3; i++)
				STORE(dw + (size_t)(i * 3 + j) * pitch + ch) = u[i];
		}
	}
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

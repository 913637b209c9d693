/* kernel/wino_way.c -- Winograd's products as a way to convolve (last.h), on this processor. */
#include "kernel/wino.h"

typedef struct ONX_R(onx_wino) wino;

static size_t max_z(size_t a, size_t b) { return a > b ? a : b; }
static size_t up(size_t a, size_t to) { return (a + to - 1) / to * to; }

/* Multiplications must be saved in earnest: tiles that reach over the edge are work for nothing. */
static const double least_gain = 1.8;

static bool tiled(size_t h, size_t w)
{
	const size_t covered = up(h, ONX_WINO_OUT) * up(w, ONX_WINO_OUT);

	return (double)(h * w) * 4 >= least_gain * (double)covered;
}

static bool fits(const struct onx_conv_geo *g)
{
	const struct onx_window *w = &g->w;

	if (g->groups != 1 || g->c == 0 || g->m == 0 || g->c % ONX_WINO_LANES || g->m % ONX_WINO_LANES ||
	    w->in[0] != 1 || w->out[0] != 1 || w->kern[0] != 1 || w->pad[0] != 0)
		return false;
	for (int d = 1; d < 3; d++)
		if (w->kern[d] != 3 || w->stride[d] != 1 || w->dil[d] != 1)
			return false;
	return tiled(w->out[1], w->out[2]) && tiled(w->in[1], w->in[2]);
}

static size_t packed(const struct onx_conv_geo *g)
{
	wino w;

	onx_wino_forward_of(g, onx_isa(), &w);
	return onx_wino_packed(&w);
}

static void pack(struct onx_pool *pool, const struct onx_conv_geo *g, const real *from, void *to)
{
	wino w;

	onx_wino_forward_of(g, onx_isa(), &w);
	onx_wino_pack(pool, &w, from, to);
}

static size_t scratch_of(const struct onx_conv_geo *g, int threads)
{
	wino w;

	onx_wino_forward_of(g, onx_isa(), &w);
	return onx_wino_scratch(&w, threads);
}

static void forward(struct onx_pool *pool, const struct onx_conv_geo *g, const real *x, const void *weights,
		    const struct ONX_R(onx_last_end) *end, real *y, void *scratch)
{
	wino w;

	onx_wino_forward_of(g, onx_isa(), &w);
	onx_wino_run(pool, &w, x, weights, end, y, scratch);
}

static size_t fresh_scratch(const struct onx_conv_geo *g, int threads)
{
	wino w;

	onx_wino_forward_of(g, onx_isa(), &w);
	return onx_wino_fresh_scratch(&w, threads);
}

static void fresh(struct onx_pool *pool, const struct onx_conv_geo *g, const real *x, const real *weights,
		  const struct ONX_R(onx_last_end) *end, real *y, void *scratch)
{
	wino w;

	onx_wino_forward_of(g, onx_isa(), &w);
	onx_wino_fresh(pool, &w, x, weights, end, y, scratch);
}

static size_t grad_scratch(const struct onx_conv_geo *g, int threads)
{
	wino w;

	onx_wino_data_of(g, onx_isa(), &w);
	return max_z(onx_wino_fresh_scratch(&w, threads), onx_wino_weights_scratch(g, onx_isa(), threads));
}

static void data(struct onx_pool *pool, const struct onx_conv_geo *g, const real *weights, const real *dy, real *dx,
		 bool add, void *scratch)
{
	const struct ONX_R(onx_last_end) end = { .z = add ? dx : NULL };
	wino w;

	onx_wino_data_of(g, onx_isa(), &w);
	onx_wino_fresh(pool, &w, dy, weights, &end, dx, scratch);
}

static void weights(struct onx_pool *pool, const struct onx_conv_geo *g, const real *x, const real *dy, real *dw,
		    bool add, void *scratch)
{
	onx_wino_weights(pool, g, onx_isa(), x, dy, dw, add, scratch);
}

const struct ONX_R(onx_last_way) onx_last_way_winograd = { "winograd", fits, packed, pack, scratch_of, forward,
							      fresh_scratch, fresh };
const struct ONX_R(onx_last_grad) onx_last_grad_winograd = { "winograd", fits, grad_scratch, data, weights };

/* kernel/last_dense.c -- convolution with channels last as gathered products (gather.h): the way forward is one,
 * with the weights packed [panel][tap][channel][column]; the gradient of the data is one over dy for each phase of the
 * strides (slide.h), channels exchanged. */
#include "kernel/gather.h"
#include "kernel/last_dense.h"

typedef struct ONX_R(onx_gather) gather;

void onx_last_dense_scaled_of(const struct onx_conv_geo *g, enum onx_isa isa, const real *scale, gather *p)
{
	*p = (gather){ .scale = scale, .tile = onx_tile_of(isa), .n = g->n, .groups = g->groups, .c = g->c, .m = g->m,
		       .w_group = g->m * g->c * g->w.kern_n, .w_l = g->w.kern_n, .w_j = g->c * g->w.kern_n };
	onx_slide_forward(&g->w, &p->s);
	onx_gather_close(p);
}

void onx_last_dense_forward_of(const struct onx_conv_geo *g, enum onx_isa isa, gather *p)
{
	onx_last_dense_scaled_of(g, isa, NULL, p);
}

enum { TAPS_MOST = 2048 };

/* Depthwise windows are no products, and the pointers to the taps of a row must fit the caches. */
static bool fits(const struct onx_conv_geo *g)
{
	return g->c * g->m > 1 && g->c > 0 && g->w.kern_n <= TAPS_MOST;
}

static size_t packed(const struct onx_conv_geo *g)
{
	gather p;

	onx_last_dense_forward_of(g, onx_isa(), &p);
	return onx_gather_packed(&p);
}

static void pack(struct onx_pool *pool, const struct onx_conv_geo *g, const real *w, void *to)
{
	gather p;

	onx_last_dense_forward_of(g, onx_isa(), &p);
	onx_gather_pack(pool, &p, w, to);
}

static size_t scratch_of(const struct onx_conv_geo *g, int threads)
{
	gather p;

	onx_last_dense_forward_of(g, onx_isa(), &p);
	return onx_gather_scratch(&p, threads);
}

static void forward(struct onx_pool *pool, const struct onx_conv_geo *g, const real *x, const void *weights,
		    const struct ONX_R(onx_last_end) *end, real *y, void *scratch)
{
	gather p;

	onx_last_dense_forward_of(g, onx_isa(), &p);
	onx_gather_run(pool, &p, x, weights, end, y, scratch);
}

const struct ONX_R(onx_last_way) onx_last_way_dense = {
	"dense", fits, packed, pack, scratch_of, forward, NULL, NULL };

/* ---- gradient of the data --------------------------------------------------------------------------- */

void onx_last_dense_data_of(const struct onx_conv_geo *g, enum onx_isa isa, size_t index, gather *p)
{
	*p = (gather){ .tile = onx_tile_of(isa), .n = g->n, .groups = g->groups, .c = g->m, .m = g->c,
		       .w_group = g->m * g->c * g->w.kern_n, .w_l = g->c * g->w.kern_n, .w_j = g->w.kern_n };
	onx_slide_phase(&g->w, index, &p->s);
	onx_gather_close(p);
}

size_t onx_last_dense_data_scratch(const struct onx_conv_geo *g, enum onx_isa isa, int threads)
{
	size_t most = 0;
	gather p;

	for (size_t i = 0; i < onx_slide_phases(&g->w); i++) {
		onx_last_dense_data_of(g, isa, i, &p);
		const size_t bytes = onx_gather_packed(&p) + onx_gather_scratch(&p, threads);

		most = bytes > most ? bytes : most;
	}
	return most;
}

void onx_last_dense_data(struct onx_pool *pool, const struct onx_conv_geo *g, enum onx_isa isa, const real *w,
			 const real *dy, real *dx, bool add, void *scratch)
{
	const struct ONX_R(onx_last_end) end = { .z = add ? dx : NULL };
	gather p;

	for (size_t i = 0; i < onx_slide_phases(&g->w); i++) {
		onx_last_dense_data_of(g, isa, i, &p);
		if (p.spans == 0 && add)
			continue;
		onx_gather_pack(pool, &p, w, scratch);
		onx_gather_run(pool, &p, dy, scratch, &end, dx, (char *)scratch + onx_gather_packed(&p));
	}
}

/* kernel/last_dense_norm.c -- a pointwise convolution with channels last between two normalizations (last_norm.h): rows
 * are normalised, and those of the gradient shifted, as they are copied for the products (gather.h,
 * last_dense_grad.c).  With few weights both gradients are one pass (last_dense_both.c). */
#include "kernel/last_dense.h"
#include "kernel/last_dense_both.h"

typedef struct ONX_R(onx_gather) gather;
typedef struct ONX_R(onx_last_norm) norm;
typedef struct ONX_R(onx_last_after) after;
typedef struct ONX_R(onx_last_shift) shift;

static size_t max_z(size_t a, size_t b) { return a > b ? a : b; }

/* One tap that moves along with the pixels. */
static bool fits(const struct onx_conv_geo *g)
{
	bool flat = g->groups == 1 && g->c > 0 && g->w.kern_n == 1;

	for (int d = 0; d < 3; d++)
		flat &= g->w.stride[d] == 1 && g->w.pad[d] == 0 && g->w.in[d] == g->w.out[d];
	return flat;
}

/* Sizes depend on whether there is something in front and behind, not on what it is. */
static const norm some_norm;
static const after some_after;
static const shift some_shift;

static void forward_of(const struct onx_conv_geo *g, const norm *in_front, const after *behind, gather *p)
{
	onx_last_dense_forward_of(g, onx_isa(), p);
	p->norm = in_front;
	p->after = behind;
	onx_gather_close(p);
}

static void data_of(const struct onx_conv_geo *g, const shift *back, const after *behind, gather *p)
{
	onx_last_dense_data_of(g, onx_isa(), 0, p);
	p->shift = back;
	p->after = behind;
	onx_gather_close(p);
}

static size_t pieces(const struct onx_conv_geo *g, bool data)
{
	gather p;

	if (data && onx_dense_both_fits(g))
		return onx_dense_both_pieces(g);
	if (data)
		data_of(g, NULL, &some_after, &p);
	else
		forward_of(g, NULL, &some_after, &p);
	return onx_gather_pieces(&p);
}

static size_t scratch_of(const struct onx_conv_geo *g, int threads, bool backward)
{
	gather p;

	if (backward && onx_dense_both_fits(g))
		return onx_dense_both_scratch(g, threads);
	if (backward)
		data_of(g, &some_shift, &some_after, &p);
	else
		forward_of(g, &some_norm, &some_after, &p);
	const size_t product = onx_gather_packed(&p) + onx_gather_scratch(&p, threads);

	return backward ? max_z(product, onx_last_dense_weights_scratch(g, onx_isa(), &some_norm, &some_shift, threads))
			: product;
}

static void run(struct onx_pool *pool, const gather *p, const real *x, const real *w, const real *bias, const real *z,
		real *y, void *scratch)
{
	const struct ONX_R(onx_last_end) end = { .b = bias, .z = z };

	onx_gather_pack(pool, p, w, scratch);
	onx_gather_run(pool, p, x, scratch, &end, y, (char *)scratch + onx_gather_packed(p));
}

static void forward(struct onx_pool *pool, const struct onx_conv_geo *g, const norm *in_front, const real *x,
		    const real *w, const real *bias, const after *behind, real *y, void *scratch)
{
	gather p;

	forward_of(g, in_front, behind, &p);
	run(pool, &p, x, w, bias, NULL, y, scratch);
}

static void backward(struct onx_pool *pool, const struct onx_conv_geo *g, const struct ONX_R(onx_last_back) *t,
		     void *scratch)
{
	gather p;

	if (onx_dense_both_fits(g)) {
		onx_dense_both(pool, g, t, scratch);
		return;
	}
	if (t->dw)
		onx_last_dense_weights(pool, g, onx_isa(), t->norm, t->x, t->dy, t->shift, t->dw, t->add_dw, scratch);
	if (!t->after && !t->dx)
		return;
	data_of(g, t->shift, t->after, &p);
	run(pool, &p, t->dy, t->w, NULL, t->add_dx && !t->after ? t->dx : NULL, t->dx, scratch);
}

const struct ONX_R(onx_last_normed) onx_last_normed_dense = { fits, pieces, scratch_of, forward, backward };

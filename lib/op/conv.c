/* op/conv.c -- Conv: what the convolutions share (conv_i.h), and its row. */
#include "kernel/conv_phase.h"
#include "op/conv_i.h"

static const struct onx_field conv_field[] = {
	ONX_CONV_FIELDS,
	{ .name = NULL }
};
static const struct onx_table conv_table = { "Conv", sizeof(struct onx_conv_attr), conv_field, .check = NULL };

int onx_conv_check(const struct onx_infer *s, const struct onx_conv_attr *a, bool transposed,
			int64_t *out_ch, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape, *w = &s->in[1].shape;
	int rc;

	if ((rc = onx_want_real(s, 0, e)) < 0 || (rc = onx_want_same_type(s, 0, 1, e)) < 0 ||
	    (rc = onx_want_rank(s, 0, 3, 5, e)) < 0 ||
	    (rc = onx_want_rank(s, 1, x->rank, x->rank, e)) < 0)
		return rc;
	const int64_t from = transposed ? w->dim[0] : w->dim[1], g = a->group;
	const int64_t channels = transposed ? x->dim[1] : x->dim[1] / g;

	if (from != channels || x->dim[1] % g != 0)
		return onx_fail(e, ONX_SHAPE, "input has %lld channels in %lld groups, the weights are for "
				"%lld%s", (long long)x->dim[1], (long long)g, (long long)from,
				transposed ? "" : " in each");
	if (!transposed && w->dim[0] % g != 0)
		return onx_fail(e, ONX_SHAPE, "%lld output channels do not fall into %lld groups",
				(long long)w->dim[0], (long long)g);
	if (transposed && w->dim[1] > INT64_MAX / g)
		return onx_fail(e, ONX_SHAPE, "too many output channels: %lld in each of %lld groups",
				(long long)w->dim[1], (long long)g);
	*out_ch = transposed ? w->dim[1] * g : w->dim[0];
	if (!onx_has_in(s, 2))
		return ONX_OK;
	if ((rc = onx_want_same_type(s, 0, 2, e)) < 0 || (rc = onx_want_rank(s, 2, 1, 1, e)) < 0)
		return rc;
	if (s->in[2].shape.dim[0] != *out_ch)
		return onx_fail(e, ONX_SHAPE, "the bias has %lld elements, the output %lld channels",
				(long long)s->in[2].shape.dim[0], (long long)*out_ch);
	return ONX_OK;
}

int onx_conv_set_shape(struct onx_infer *s, int64_t channels, const size_t *spatial, struct onx_err *e)
{
	struct onx_shape y = { .rank = s->in[0].shape.rank, .dim = { s->in[0].shape.dim[0], channels } };
	size_t n;

	for (int i = 0; i < y.rank - 2; i++)
		y.dim[2 + i] = (int64_t)spatial[3 - (y.rank - 2) + i];
	int rc = onx_count(y.rank, y.dim, &n, e);

	if (rc == ONX_OK)
		onx_set_out(s, 0, s->in[0].type, &y);
	return rc;
}

int onx_conv_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_conv_attr *a = attr;
	struct onx_conv_geo *g = ONX_NEW(s->mem, struct onx_conv_geo);
	const struct onx_shape *x = &s->in[0].shape, *w = &s->in[1].shape;
	const int nd = x->rank - 2;
	int64_t channels = 0;
	int rc;

	if (!g)
		return onx_nomem(e, sizeof *g, "Conv");
	if ((rc = onx_conv_check(s, a, false, &channels, e)) < 0 ||
	    (rc = onx_win_read(&a->win, nd, x->dim + 2, w->dim + 2, &g->w, e)) < 0 ||
	    (rc = onx_win_slide(&a->win, nd, false, &g->w, e)) < 0)
		return rc;
	g->n = (size_t)x->dim[0];
	g->groups = (size_t)a->group;
	g->c = (size_t)w->dim[1];
	g->m = (size_t)(w->dim[0] / a->group);
	s->geo = g;
	return onx_conv_set_shape(s, channels, g->w.out, e);
}

double onx_conv_macs(const struct onx_infer *s, const void *attr)
{
	const struct onx_conv_geo *g = s->geo;

	(void)attr;
	return (double)g->n * (double)g->groups * (double)g->m * (double)g->w.out_n * (double)g->c *
	       (double)g->w.kern_n;
}

const struct onx_conv_way onx_conv_by_gemm = { onx_conv_gemm_forward, onx_conv_gemm_dgrad, onx_conv_gemm_wgrad };
const struct onx_conv_way onx_conv_by_depthwise = { onx_conv_dw_forward, onx_conv_dw_dgrad, onx_conv_dw_wgrad };
const struct onx_conv_way onx_conv_by_ref = { onx_conv_ref_forward, onx_conv_ref_dgrad, onx_conv_ref_wgrad };
static const struct onx_conv_way packed = { onx_conv_packed_forward, onx_conv_packed_dgrad, onx_conv_gemm_wgrad };
static const struct onx_conv_way phases = { onx_conv_phase_forward, onx_conv_phase_dgrad, onx_conv_phase_wgrad };

const real *onx_conv_bias_in(const struct onx_call *c)
{
	return c->n_x > 2 ? c->x[2].v : NULL;
}

void onx_conv_bias_back(const struct onx_call *c, size_t spatial)
{
	if (c->n_x > 2 && c->dx[2].v)
		onx_conv_bgrad(c->pool, (size_t)c->dy[0].dim[0], (size_t)c->dy[0].dim[1], spatial,
			       c->dy[0].v, c->dx[2].v, c->dx[2].add);
}

void onx_conv_run(const struct onx_call *c, const struct onx_conv_way *way)
{
	way->forward(c->pool, c->geo, c->x[0].v, c->x[1].v, onx_conv_bias_in(c), c->y[0].v, false, c->scratch);
}

void onx_conv_run_back(const struct onx_call *c, const struct onx_conv_way *way)
{
	const struct onx_conv_geo *g = c->geo;

	if (c->dx[0].v)
		way->dgrad(c->pool, g, c->x[1].v, c->dy[0].v, c->dx[0].v, c->dx[0].add, c->scratch);
	if (c->dx[1].v)
		way->wgrad(c->pool, g, c->x[0].v, c->dy[0].v, c->dx[1].v, c->dx[1].add, c->scratch);
	onx_conv_bias_back(c, g->w.out_n);
}

ONX_CONV_BOTH(conv, onx_conv_run, onx_conv_run_back, gemm, onx_conv_by_gemm)
ONX_CONV_BOTH(conv, onx_conv_run, onx_conv_run_back, packed, packed)
ONX_CONV_BOTH(conv, onx_conv_run, onx_conv_run_back, phases, phases)
ONX_CONV_BOTH(conv, onx_conv_run, onx_conv_run_back, depthwise, onx_conv_by_depthwise)
ONX_CONV_BOTH(conv, onx_conv_run, onx_conv_run_back, ref, onx_conv_by_ref)

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

size_t onx_conv_gemm_bytes(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	(void)attr;
	return backward ? larger(onx_conv_gemm_dgrad_scratch(s->geo, threads),
				 onx_conv_gemm_wgrad_scratch(s->geo, threads))
			: onx_conv_gemm_forward_scratch(s->geo, threads);
}

static size_t packed_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	(void)attr;
	return backward ? larger(onx_conv_packed_dgrad_scratch(s->geo, threads),
				 onx_conv_gemm_wgrad_scratch(s->geo, threads))
			: onx_conv_packed_forward_scratch(s->geo, threads);
}

static size_t phases_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	(void)attr;
	return onx_conv_phase_scratch(s->geo, threads, backward);
}

static bool fits_phases(const struct onx_infer *s, const void *attr)
{
	(void)attr;
	return ((const struct onx_conv_geo *)s->geo)->groups > 1 && onx_conv_phase_fits(s->geo);
}

bool onx_conv_fits_depthwise(const struct onx_infer *s, const void *attr)
{
	const struct onx_conv_geo *g = s->geo;

	(void)attr;
	return g->c == 1 && g->groups > 1;
}

/* In double, im2col and the blocks of kernel/blocked.h are the faster ones. */
static bool fits_packed(const struct onx_infer *s, const void *attr)
{
	(void)s, (void)attr;
	return sizeof(real) == sizeof(float);
}

bool onx_conv_fits_pointwise(const struct onx_infer *s, const void *attr)
{
	(void)attr;
	return onx_conv_pointwise(s->geo);
}

bool onx_conv_fits_all(const struct onx_infer *s, const void *attr)
{
	(void)s, (void)attr;
	return true;
}

static const struct onx_impl conv_impl[] = {
	{ .name = "depthwise, phases", .fits = fits_phases, .scratch = phases_scratch,
	  .forward = conv_forward_phases, .backward = conv_backward_phases },
	{ .name = "depthwise", .fits = onx_conv_fits_depthwise,
	  .forward = conv_forward_depthwise, .backward = conv_backward_depthwise },
	{ .name = "packed", .fits = fits_packed, .scratch = packed_scratch,
	  .forward = conv_forward_packed, .backward = conv_backward_packed },
	{ .name = "pointwise", .fits = onx_conv_fits_pointwise, .scratch = onx_conv_gemm_bytes,
	  .forward = conv_forward_gemm, .backward = conv_backward_gemm },
	{ .name = "im2col", .fits = onx_conv_fits_all, .scratch = onx_conv_gemm_bytes,
	  .forward = conv_forward_gemm, .backward = conv_backward_gemm },
	{ .name = NULL }
};

const struct onx_op ONX_R(onx_ops_conv)[] = {
	ONX_CONV_ROW("Conv", conv, onx_conv_infer),
	{ .type = NULL }
};

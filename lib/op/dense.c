/* op/dense.c -- Dense: Y = f(X W + B + Z), a step of the plan that stands in no file; plan/lower_dense.c makes it of
 * MatMul or Gemm and what stands behind it.  X [..,K], W [K,N] (transB: [N,K]), B [N], Z like Y [..,N]: one tall
 * product over all leading dimensions. */
#include "kernel/gemm.h"
#include "kernel/last_dense.h"
#include "kernel/sliver.h"
#include "op/fuse.h"
#include "op/infer.h"

struct dense_attr { bool tb; const char *activation; struct onx_reals params; };
static const struct onx_field dense_field[] = {
	{ "transB", F_BOOL, offsetof(struct dense_attr, tb), .def = "0", .help = "W is stored transposed" },
	{ "activation", F_STR, offsetof(struct dense_attr, activation), .def = "", .help = "what acts on the sum" },
	{ "activation_params", F_REALS, offsetof(struct dense_attr, params), .def = "", .help = "its numbers" },
	{ .name = NULL }
};
static const struct onx_table dense_table = { "Dense", sizeof(struct dense_attr), dense_field, .check = NULL };

struct dense_geo { struct onx_mat mat; struct onx_fuse f; };

static int dense_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct dense_attr *a = attr;
	struct dense_geo *g = ONX_NEW(s->mem, struct dense_geo);
	const struct onx_shape *x = &s->in[0].shape, *w = &s->in[1].shape;
	struct onx_shape y = *x;
	size_t count;
	int rc = ONX_OK;

	if (!g)
		return onx_nomem(e, sizeof *g, "Dense");
	for (int i = 0; i < s->n_in && rc == ONX_OK; i++)
		if (onx_has_in(s, i))
			rc = onx_want_same_type(s, 0, i, e);
	if (rc < 0 || (rc = onx_want_real(s, 0, e)) < 0 || (rc = onx_want_rank(s, 0, 1, ONX_RANK, e)) < 0 ||
	    (rc = onx_want_rank(s, 1, 2, 2, e)) < 0)
		return rc;
	const int64_t k = x->dim[x->rank - 1], n = w->dim[a->tb ? 0 : 1];

	if (w->dim[a->tb ? 1 : 0] != k)
		return onx_fail(e, ONX_SHAPE, "X has %lld columns, W %lld rows", (long long)k,
				(long long)w->dim[a->tb ? 1 : 0]);
	y.dim[y.rank - 1] = n;
	if ((rc = onx_count(y.rank, y.dim, &count, e)) < 0)
		return rc;
	if (onx_has_in(s, 2) && (s->in[2].shape.rank != 1 || s->in[2].shape.dim[0] != n))
		return onx_fail(e, ONX_SHAPE, "the bias has not %lld elements", (long long)n);
	if (onx_has_in(s, 3) && !onx_shape_equal(&s->in[3].shape, &y))
		return onx_fail(e, ONX_SHAPE, "input 3 has another shape than the output");
	g->mat = (struct onx_mat){ .m = 1, .n = (size_t)n, .k = (size_t)k, .tb = a->tb, .lda = (size_t)k,
				   .ldb = (size_t)w->dim[1], .ldc = (size_t)n };
	for (int d = 0; d < x->rank - 1; d++)
		g->mat.m *= (size_t)x->dim[d];
	s->geo = g;
	onx_set_out(s, 0, s->in[0].type, &y);
	return onx_fuse_read(a->activation, a->params.v, a->params.n, &g->f, e);
}

static double dense_macs(const struct onx_infer *s, const void *attr)
{
	const struct dense_geo *g = s->geo;

	(void)attr;
	return (double)g->mat.m * (double)g->mat.n * (double)g->mat.k;
}

static void dense_forward(const struct onx_call *c)
{
	const struct dense_geo *g = c->geo;
	const struct ONX_R(onx_gemm_end) end = { c->n_x > 2 ? c->x[2].v : NULL, c->n_x > 3 ? c->x[3].v : NULL, g->f };

	onx_gemm_fused(c->pool, &g->mat, c->x[0].v, c->x[1].v, &end, c->y[0].v);
}

/* ---- with W packed: a pointwise convolution over one line of rows ----------------------------------- */

static struct onx_window line_of(size_t rows)
{
	struct onx_window w = { .in = { 1, 1, rows }, .out = { 1, 1, rows }, .kern = { 1, 1, 1 },
				.stride = { 1, 1, 1 }, .dil = { 1, 1, 1 } };

	onx_window_close(&w);
	return w;
}

static struct ONX_R(onx_gather) gather_of(const struct dense_geo *g)
{
	const struct onx_mat *m = &g->mat;
	const struct onx_window w = line_of(m->m);
	struct ONX_R(onx_gather) p = { .tile = onx_tile_of(onx_isa()), .n = 1, .groups = 1, .c = m->k, .m = m->n,
				       .w_l = m->tb ? 1 : m->ldb, .w_j = m->tb ? m->ldb : 1 };

	onx_slide_forward(&w, &p.s);
	onx_gather_close(&p);
	return p;
}

enum { FEW_TERMS = 8 };

/* For a sliver, or for sums of few terms, copying W is not worth it. */
static bool packed_fits(const struct onx_infer *s, const void *attr)
{
	const struct dense_geo *g = s->geo;

	(void)attr;
	return !onx_is_sliver(&g->mat) && g->mat.k >= FEW_TERMS;
}

static size_t packed_bytes(const struct onx_infer *s, const void *attr)
{
	const struct ONX_R(onx_gather) p = gather_of(s->geo);

	(void)attr;
	return onx_gather_packed(&p);
}

static void packed_pack(const struct onx_call *c, void *to)
{
	const struct ONX_R(onx_gather) p = gather_of(c->geo);

	onx_gather_pack(c->pool, &p, c->x[1].v, to);
}

static void packed_forward(const struct onx_call *c)
{
	const struct dense_geo *g = c->geo;
	const struct ONX_R(onx_gather) p = gather_of(g);
	const struct ONX_R(onx_last_end) end = { .b = c->n_x > 2 ? c->x[2].v : NULL,
						 .z = c->n_x > 3 ? c->x[3].v : NULL, .f = g->f };
	const void *packed = c->packed;
	char *scratch = c->scratch;

	if (!packed) {
		onx_gather_pack(c->pool, &p, c->x[1].v, c->scratch);
		packed = scratch;
		scratch += onx_gather_packed(&p);
	}
	onx_gather_run(c->pool, &p, c->x[0].v, packed, &end, c->y[0].v, scratch);
}

/* ---- backward --------------------------------------------------------------------------------------- */

/* dW = X' dY, all rows in one product: the reference */
static void weights_back(const struct onx_call *c, const real *d)
{
	const struct dense_geo *g = c->geo;
	const struct onx_mat *t = &g->mat;
	const struct onx_mat w = { t->k, t->n, t->m, true, false, t->k, t->n, t->n };
	const struct onx_mat w_t = { t->n, t->k, t->m, true, false, t->n, t->k, t->k };
	const real *x = c->x[0].v;

	if (t->tb)
		onx_gemm(c->pool, &w_t, 1, d, x, c->dx[1].add, c->dx[1].v);
	else
		onx_gemm(c->pool, &w, 1, x, d, c->dx[1].add, c->dx[1].v);
}

/* dX = dY W' */
static void data_back(const struct onx_call *c, const real *d)
{
	const struct dense_geo *g = c->geo;
	const struct onx_mat *t = &g->mat;
	const struct onx_mat m = { t->m, t->k, t->n, false, !t->tb, t->n, t->ldb, t->k };

	onx_gemm(c->pool, &m, 1, d, c->x[1].v, c->dx[0].add, c->dx[0].v);
}

/* dX = dY W', W packed turned. */
static struct ONX_R(onx_gather) data_of(const struct dense_geo *g)
{
	const struct onx_mat *m = &g->mat;
	const struct dense_geo turned = { .mat = { .m = m->m, .n = m->k, .k = m->n, .tb = !m->tb, .ldb = m->ldb } };

	return gather_of(&turned);
}

static void packed_data_back(const struct onx_call *c, const real *d)
{
	const struct ONX_R(onx_last_end) end = { .z = c->dx[0].add ? c->dx[0].v : NULL };
	const struct ONX_R(onx_gather) p = data_of(c->geo);

	onx_gather_pack(c->pool, &p, c->x[1].v, c->scratch);
	onx_gather_run(c->pool, &p, d, c->scratch, &end, c->dx[0].v, (char *)c->scratch + onx_gather_packed(&p));
}

/* dW as gradient of the weights [m][c] of a pointwise convolution; where W is [K,N], Y and X exchange their parts. */
static struct onx_conv_geo conv_of(const struct dense_geo *g)
{
	const struct onx_mat *m = &g->mat;

	return (struct onx_conv_geo){ .n = 1, .groups = 1, .c = m->tb ? m->k : m->n, .m = m->tb ? m->n : m->k,
				      .w = line_of(m->m) };
}

static void packed_weights_back(const struct onx_call *c, const real *d)
{
	const struct dense_geo *g = c->geo;
	const struct onx_conv_geo conv = conv_of(g);
	const real *x = c->x[0].v;

	onx_last_dense_weights(c->pool, &conv, onx_isa(), NULL, g->mat.tb ? x : d, g->mat.tb ? d : x, NULL, c->dx[1].v,
			       c->dx[1].add, c->scratch);
}

/* The activation's derivative goes over dy, which nobody reads afterwards (ONX_OP_TAKES_DY). */
static void backward(const struct onx_call *c, void (*weights)(const struct onx_call *c, const real *d),
		     void (*data)(const struct onx_call *c, const real *d))
{
	const struct dense_geo *g = c->geo;
	const struct onx_view *dz = c->n_x > 3 ? &c->dx[3] : NULL;
	real *d = c->dy[0].v;

	if (g->f.kind != ONX_FUSE_NONE)
		onx_fuse_backward(&g->f, &c->y[0], d, d, c->pool);
	if (c->dx[1].v)
		weights(c, d);
	if (c->dx[0].v)
		data(c, d);
	if (c->n_x > 2 && c->dx[2].v)
		onx_last_bgrad(c->pool, g->mat.m, g->mat.n, d, c->dx[2].v, c->dx[2].add);
	if (dz && dz->v && dz->v != d)
		onx_fuse_pass(c->pool, g->mat.m * g->mat.n, d, dz->v, dz->add);
}

static void dense_backward(const struct onx_call *c)
{
	backward(c, weights_back, data_back);
}

static void packed_backward(const struct onx_call *c)
{
	backward(c, packed_weights_back, packed_data_back);
}

static size_t packed_scratch(const struct onx_infer *s, const void *attr, int threads, bool back)
{
	const struct ONX_R(onx_gather) p = back ? data_of(s->geo) : gather_of(s->geo);
	const struct onx_conv_geo conv = conv_of(s->geo);
	const size_t product = onx_gather_packed(&p) + onx_gather_scratch(&p, threads);
	const size_t weights = back ? onx_last_dense_weights_scratch(&conv, onx_isa(), NULL, NULL, threads) : 0;

	(void)attr;
	return product > weights ? product : weights;
}

static const struct onx_impl dense_impl[] = {
	{ .name = "packed", .fits = packed_fits, .scratch = packed_scratch, .packed = packed_bytes,
	  .pack = packed_pack, .forward = packed_forward, .backward = packed_backward },
	{ .name = NULL }
};

#define DENSE(type_, kept)                                                                                    \
	{ .domain = "onnx_adapt", .type = type_, .since = 1, .min_in = 2, .max_in = 4, .min_out = 1,          \
	  .max_out = 1, .grad = { ONX_G_DIFF }, .n_grad = 1, .weight = 6, .pass = 3,                            \
	  .flags = ONX_OP_TAKES_DY | ONX_OP_APART,                                                            \
	  .keep = ONX_KEEP_X(0) | ONX_KEEP_X(1) | (kept), .alias = 8, .attr = &dense_table,                   \
	  .infer = dense_infer, .macs = dense_macs, .forward = dense_forward, .impl = dense_impl,   \
	  .backward = dense_backward }
/* DenseAct: with an activation, whose derivative is had from Y. */
const struct onx_op ONX_R(onx_ops_dense)[] = {
	DENSE("Dense", 0),
	DENSE("DenseAct", ONX_KEEP_Y(0)),
	{ .type = NULL }
};

/* op/gemm.c -- Gemm, and ONNX Runtime's FusedGemm. */
#include "kernel/gemm.h"
#include "op/fuse.h"
#include "op/infer.h"
#include "op/whole.h"

struct gemm_attr {
	double alpha, beta;
	bool ta, tb, broadcast;
	const char *activation;         /* FusedGemm only */
	double params[3];
};

static const struct onx_field gemm_field[] = {
	{ "alpha", F_REAL, offsetof(struct gemm_attr, alpha), .def = "1", .help = "factor of A * B" },
	{ "beta", F_REAL, offsetof(struct gemm_attr, beta), .def = "1", .help = "factor of C" },
	{ "transA", F_BOOL, offsetof(struct gemm_attr, ta), .def = "0", .help = "A is stored transposed" },
	{ "transB", F_BOOL, offsetof(struct gemm_attr, tb), .def = "0", .help = "B is stored transposed" },
	{ "broadcast", F_BOOL, offsetof(struct gemm_attr, broadcast), .def = "0",
	  .help = "before opset 7: C may be smaller than A * B, as it may later in any case" },
	{ .name = NULL }
};
static const struct onx_table gemm_table = { "Gemm", sizeof(struct gemm_attr), gemm_field, .check = NULL };

#define PARAM(letter, i) { "activation_" letter, F_REAL, offsetof(struct gemm_attr, params[i]), .def = "nan", \
	.help = "number of the activation; nan: its usual one" }
static const struct onx_field fused_field[] = {
	{ "alpha", F_REAL, offsetof(struct gemm_attr, alpha), .def = "1", .help = "factor of A * B" },
	{ "beta", F_REAL, offsetof(struct gemm_attr, beta), .def = "1", .help = "factor of C" },
	{ "transA", F_BOOL, offsetof(struct gemm_attr, ta), .def = "0", .help = "A is stored transposed" },
	{ "transB", F_BOOL, offsetof(struct gemm_attr, tb), .def = "0", .help = "B is stored transposed" },
	{ "activation", F_STR, offsetof(struct gemm_attr, activation), .def = "",
	  .help = "what acts on the sum" },
	PARAM("alpha", 0), PARAM("beta", 1), PARAM("gamma", 2),
	{ .name = NULL }
};
static const struct onx_table fused_table = { "FusedGemm", sizeof(struct gemm_attr), fused_field,
					      .check = NULL };

struct gemm_geo {
	struct onx_mat mat;
	size_t row, col;        /* steps of C along the rows and columns of Y: 0 where it is broadcast */
	size_t n_c;
	struct onx_fuse f;      /* FusedGemm */
};

static int gemm_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct gemm_attr *a = attr;
	struct gemm_geo *g = ONX_NEW(s->mem, struct gemm_geo);
	const int64_t *da = s->in[0].shape.dim, *db = s->in[1].shape.dim;
	int rc;

	if (!g)
		return onx_nomem(e, sizeof *g, "Gemm");
	if ((!onx_is_whole(s->in[0].type) && (rc = onx_want_real(s, 0, e)) < 0) ||
	    (rc = onx_want_same_type(s, 0, 1, e)) < 0 || (rc = onx_want_rank(s, 0, 2, 2, e)) < 0 ||
	    (rc = onx_want_rank(s, 1, 2, 2, e)) < 0)
		return rc;
	const struct onx_shape y = { 2, { da[a->ta ? 1 : 0], db[a->tb ? 0 : 1] } };
	const int64_t k = da[a->ta ? 0 : 1];
	size_t n;

	if (k != db[a->tb ? 1 : 0])
		return onx_fail(e, ONX_SHAPE, "A has %lld columns, B %lld rows (after transA, transB)",
				(long long)k, (long long)db[a->tb ? 1 : 0]);
	if ((rc = onx_count(2, y.dim, &n, e)) < 0)
		return rc;
	g->mat = (struct onx_mat){ .m = (size_t)y.dim[0], .n = (size_t)y.dim[1], .k = (size_t)k,
				   .ta = a->ta, .tb = a->tb, .lda = (size_t)da[1], .ldb = (size_t)db[1],
				   .ldc = (size_t)y.dim[1] };
	if (onx_has_in(s, 2)) {
		const struct onx_shape *c = &s->in[2].shape;
		struct onx_shape both;

		if ((rc = onx_want_same_type(s, 0, 2, e)) < 0 || (rc = onx_broadcast(c, &y, &both, e)) < 0)
			return rc;
		if (!onx_shape_equal(&both, &y))
			return onx_fail(e, ONX_SHAPE, "C does not broadcast to the %lld x %lld of the product",
					(long long)y.dim[0], (long long)y.dim[1]);
		const int64_t cols = c->rank > 0 ? c->dim[c->rank - 1] : 1;
		const int64_t rows = c->rank > 1 ? c->dim[c->rank - 2] : 1;

		g->col = cols > 1;
		g->row = rows > 1 ? (size_t)cols : 0;
		g->n_c = (size_t)(rows * cols);
	}
	s->geo = g;
	onx_set_out(s, 0, s->in[0].type, &y);
	return ONX_OK;
}

static double gemm_macs(const struct onx_infer *s, const void *attr)
{
	const struct gemm_geo *g = s->geo;

	(void)attr;
	return (double)g->mat.m * (double)g->mat.n * (double)g->mat.k;
}

/* Whole numbers: exact and modulo the width while alpha and beta are whole, else through double. */
static void gemm_whole(const struct onx_call *c)
{
	const struct gemm_attr *a = c->attr;
	const struct gemm_geo *g = c->geo;
	const struct onx_view *y = &c->y[0], *b = c->n_x > 2 && c->x[2].v ? &c->x[2] : NULL;
	const bool exact = fabs(a->alpha) < 0x1p53 && rint(a->alpha) == a->alpha && fabs(a->beta) < 0x1p53 &&
			   rint(a->beta) == a->beta;

	onx_whole_products(c->pool, &g->mat, NULL, &c->x[0], &c->x[1], y);
	for (size_t i = 0; i < y->n; i++) {
		const size_t at = i / g->mat.n * g->row + i % g->mat.n * g->col;
		const int64_t p = onx_view_int(y, i), q = b ? onx_view_int(b, at) : 0;
		if (exact)
			onx_view_put_int(y, i, (int64_t)((uint64_t)(int64_t)a->alpha * (uint64_t)p +
							 (uint64_t)(int64_t)a->beta * (uint64_t)q));
		else
			onx_whole_put(y, i, a->alpha * (double)p + a->beta * (double)q);
	}
}

/* Y [m,n] = alpha op(A) op(B) + beta C */
static void gemm_forward(const struct onx_call *c)
{
	const struct gemm_attr *a = c->attr;
	const struct gemm_geo *g = c->geo;
	const real *b = c->n_x > 2 ? c->x[2].v : NULL;
	real *y = c->y[0].v;

	if (!onx_dtype_real(c->x[0].type)) {
		gemm_whole(c);
		return;
	}
	for (size_t i = 0; b && i < g->mat.m; i++)
		for (size_t j = 0; j < g->mat.n; j++)
			y[i * g->mat.n + j] = (real)a->beta * b[i * g->row + j * g->col];
	onx_gemm(c->pool, &g->mat, (real)a->alpha, c->x[0].v, c->x[1].v, b ? 1 : 0, y);
}

/* dC = beta dY summed over what was broadcast, in double */
static void gemm_bias_back(const struct onx_call *c, const struct gemm_geo *g, real beta)
{
	const real *dy = c->dy[0].v;
	real *dc = c->dx[2].v;
	const size_t rows = g->row ? g->mat.m : 1, cols = g->col ? g->mat.n : 1;
	const size_t in = g->row ? 1 : g->mat.m, across = g->col ? 1 : g->mat.n;

	for (size_t i = 0; i < rows; i++)
		for (size_t j = 0; j < cols; j++) {
			double sum = 0;

			for (size_t k = 0; k < in; k++)
				for (size_t l = 0; l < across; l++)
					sum += dy[(i + k) * g->mat.n + j + l];
			onx_put(&dc[i * cols + j], c->dx[2].add, beta * (real)sum);
		}
}

/* dop(A) = alpha dY op(B)', dop(B) = alpha op(A)' dY */
static void gemm_backward(const struct onx_call *c)
{
	const struct gemm_attr *a = c->attr;
	const struct gemm_geo *g = c->geo;
	const struct onx_mat *t = &g->mat;
	const real *dy = c->dy[0].v;

	if (c->dx[0].v && !a->ta) {
		const struct onx_mat d = { t->m, t->k, t->n, false, !a->tb, t->n, t->ldb, t->lda };

		onx_gemm(c->pool, &d, (real)a->alpha, dy, c->x[1].v, c->dx[0].add, c->dx[0].v);
	} else if (c->dx[0].v) {
		const struct onx_mat d = { t->k, t->m, t->n, a->tb, true, t->ldb, t->n, t->lda };

		onx_gemm(c->pool, &d, (real)a->alpha, c->x[1].v, dy, c->dx[0].add, c->dx[0].v);
	}
	if (c->dx[1].v && !a->tb) {
		const struct onx_mat d = { t->k, t->n, t->m, !a->ta, false, t->lda, t->n, t->ldb };

		onx_gemm(c->pool, &d, (real)a->alpha, c->x[0].v, dy, c->dx[1].add, c->dx[1].v);
	} else if (c->dx[1].v) {
		const struct onx_mat d = { t->n, t->k, t->m, true, a->ta, t->n, t->lda, t->ldb };

		onx_gemm(c->pool, &d, (real)a->alpha, dy, c->x[0].v, c->dx[1].add, c->dx[1].v);
	}
	if (c->n_x > 2 && c->dx[2].v)
		gemm_bias_back(c, g, (real)a->beta);
}

/* ---- FusedGemm: Y = f(alpha op(A) op(B) + beta C) ---- */

static int fused_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct gemm_attr *a = attr;
	size_t n = 0;
	int rc = gemm_infer(s, attr, e);

	while (n < 3 && !isnan(a->params[n]))
		n++;
	return rc < 0 ? rc : onx_fuse_read(a->activation, a->params, n, &((struct gemm_geo *)s->geo)->f, e);
}

static size_t fused_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	const struct gemm_geo *g = s->geo;

	(void)attr, (void)threads;
	return backward ? g->mat.m * g->mat.n * sizeof(double) : 0;
}

static void fused_forward(const struct onx_call *c)
{
	gemm_forward(c);
	onx_fuse_forward(&((const struct gemm_geo *)c->geo)->f, &c->y[0], c->pool);
}

static void fused_backward(const struct onx_call *c)
{
	struct onx_view d = c->dy[0];
	struct onx_call inside = *c;

	d.v = c->scratch;
	onx_fuse_backward(&((const struct gemm_geo *)c->geo)->f, &c->y[0], c->dy[0].v, d.v, c->pool);
	inside.dy = &d;
	gemm_backward(&inside);
}

const struct onx_op ONX_R(onx_ops_gemm)[] = {
	{ .domain = "", .type = "Gemm", .since = 1, .min_in = 2, .max_in = 3, .min_out = 1, .max_out = 1,
	  .grad = { ONX_G_DIFF }, .n_grad = 1, .keep = ONX_KEEP_X(0) | ONX_KEEP_X(1), .weight = 6,
	  .flags = ONX_OP_APART, .attr = &gemm_table, .infer = gemm_infer, .macs = gemm_macs, .forward = gemm_forward,
	  .backward = gemm_backward },
	{ .domain = "com.microsoft", .type = "FusedGemm", .since = 1, .min_in = 2, .max_in = 3, .min_out = 1,
	  .max_out = 1, .grad = { ONX_G_DIFF }, .n_grad = 1, .weight = 6,
	  .keep = ONX_KEEP_X(0) | ONX_KEEP_X(1) | ONX_KEEP_Y(0), .attr = &fused_table,
	  .infer = fused_infer, .macs = gemm_macs, .scratch = fused_scratch, .forward = fused_forward,
	  .backward = fused_backward },
	{ .type = NULL }
};

/* op/gemm.c -- Gemm and MatMul, and ONNX Runtime's FusedGemm and FusedMatMul. */
#include "kernel/gemm.h"
#include <string.h>
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

/* ---- MatMul: numpy.matmul; FusedMatMul: alpha times it, of matrices stored transposed ---- */

struct matmul_attr { double alpha; bool ta, tb, batch_a, batch_b; };
static const struct onx_field matmul_field[] = {
	{ "alpha", F_REAL, offsetof(struct matmul_attr, alpha), .def = "1", .help = "factor of the product" },
	{ "transA", F_BOOL, offsetof(struct matmul_attr, ta), .def = "0", .help = "A is stored transposed" },
	{ "transB", F_BOOL, offsetof(struct matmul_attr, tb), .def = "0", .help = "B is stored transposed" },
	{ "transBatchA", F_BOOL, offsetof(struct matmul_attr, batch_a), .def = "0",
	  .help = "A is stored with its first dim but one in front of the batch dims" },
	{ "transBatchB", F_BOOL, offsetof(struct matmul_attr, batch_b), .def = "0",
	  .help = "B is stored so" },
	{ .name = NULL }
};
static const struct onx_table matmul_table = { "FusedMatMul", sizeof(struct matmul_attr), matmul_field,
					       .check = NULL };
static const struct matmul_attr plain = { .alpha = 1 };

struct matmul_geo {
	struct onx_mat mat;
	struct onx_batch y, a, b;       /* batches of Y, of dA and of dB */
	double alpha;                   /* one for both precisions */
};

/* The batch dims of one operand against those of Y, aligned at the right. */
static size_t step_of(const int64_t *dim, int batch, int at, size_t last)
{
	size_t step = last;

	if (at < 0 || dim[at] == 1)
		return 0;
	for (int d = batch - 1; d > at; d--)
		step *= (size_t)dim[d];
	return step;
}

static void outer(struct onx_batch *b, size_t n, size_t sa, size_t sb, size_t sc)
{
	const int i = b->n_outer++;

	b->outer[i] = n;
	b->outer_a[i] = sa;
	b->outer_b[i] = sb;
	b->outer_c[i] = sc;
}

static void inner(struct onx_batch *b, size_t n, size_t sa, size_t sb)
{
	const int i = b->n_inner++;

	b->inner[i] = n;
	b->inner_a[i] = sa;
	b->inner_b[i] = sb;
}

/* Y[..] = A[..] B[..];  dA[..] = sum of dY B' and dB[..] = sum of A' dY over what was broadcast. */
static void batch_dim(struct matmul_geo *g, size_t n, size_t sa, size_t sb, size_t sy)
{
	outer(&g->y, n, sa, sb, sy);
	if (sa)
		outer(&g->a, n, sy, sb, sa);
	else
		inner(&g->a, n, sy, sb);
	if (sb)
		outer(&g->b, n, sa, sy, sb);
	else
		inner(&g->b, n, sa, sy);
}

static void turn(struct onx_shape *x)
{
	const int64_t rows = x->dim[x->rank - 2];

	x->dim[x->rank - 2] = x->dim[x->rank - 1];
	x->dim[x->rank - 1] = rows;
}

/* [r, batch.., c] as [batch.., r, c] */
static void turn_batch(struct onx_shape *x)
{
	const int64_t rows = x->dim[0];

	for (int d = 0; d < x->rank - 2; d++)
		x->dim[d] = x->dim[d + 1];
	x->dim[x->rank - 2] = rows;
}

/* a and b: the shapes of the factors, no longer transposed. */
static int matmul_shapes(struct onx_infer *s, const struct matmul_attr *t, struct onx_shape *a,
			 struct onx_shape *b, struct onx_shape *y, struct onx_err *e)
{
	struct onx_shape ba, bb;
	int rc;

	if (((t->ta || t->batch_a) && s->in[0].shape.rank == 1) || ((t->tb || t->batch_b) && s->in[1].shape.rank == 1))
		return onx_fail(e, ONX_UNSUP, "vectors that are transposed");

	*a = s->in[0].shape;
	*b = s->in[1].shape;
	if (a->rank == 1)
		*a = (struct onx_shape){ 2, { 1, a->dim[0] } };
	if (b->rank == 1)
		*b = (struct onx_shape){ 2, { b->dim[0], 1 } };
	if (t->batch_a)
		turn_batch(a);
	if (t->batch_b)
		turn_batch(b);
	if (t->ta)
		turn(a);
	if (t->tb)
		turn(b);
	if (a->dim[a->rank - 1] != b->dim[b->rank - 2])
		return onx_fail(e, ONX_SHAPE, "A has %lld columns, B %lld rows",
				(long long)a->dim[a->rank - 1], (long long)b->dim[b->rank - 2]);
	ba = *a;
	bb = *b;
	ba.rank -= 2;
	bb.rank -= 2;
	if ((rc = onx_broadcast(&ba, &bb, y, e)) < 0)
		return rc;
	y->dim[y->rank++] = a->dim[a->rank - 2];
	y->dim[y->rank++] = b->dim[b->rank - 1];
	return ONX_OK;
}

/* Elements between two rows of a stored matrix: of those that lie between each other, of all of them. */
static size_t row_step(const struct onx_shape *x, bool between)
{
	size_t n = (size_t)x->dim[x->rank - 1];

	for (int d = 1; between && d < x->rank - 1; d++)
		n *= (size_t)x->dim[d];
	return n;
}

static int matmul_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct matmul_attr *t = attr ? attr : &plain;
	struct matmul_geo *g = ONX_NEW(s->mem, struct matmul_geo);
	struct onx_shape a, b, y = { 0 };
	size_t count;
	int rc;

	if (!g)
		return onx_nomem(e, sizeof *g, "MatMul");
	if ((!onx_is_whole(s->in[0].type) && (rc = onx_want_real(s, 0, e)) < 0) ||
	    (rc = onx_want_same_type(s, 0, 1, e)) < 0 || (rc = onx_want_rank(s, 0, 1, ONX_RANK, e)) < 0 ||
	    (rc = onx_want_rank(s, 1, 1, ONX_RANK, e)) < 0 ||
	    (rc = matmul_shapes(s, t, &a, &b, &y, e)) < 0 || (rc = onx_count(y.rank, y.dim, &count, e)) < 0)
		return rc;
	size_t m = (size_t)y.dim[y.rank - 2];
	const size_t n = (size_t)y.dim[y.rank - 1], k = (size_t)a.dim[a.rank - 1];
	const struct onx_shape *in_a = &s->in[0].shape, *in_b = &s->in[1].shape;
	const size_t one_a = t->batch_a ? row_step(in_a, false) : m * k;
	const size_t one_b = t->batch_b ? row_step(in_b, false) : k * n, one_y = m * n;

	if (b.rank == 2 && !t->ta && !t->batch_a) {     /* one B for all: one tall product */
		for (int d = 0; d < a.rank - 2; d++)
			m *= (size_t)a.dim[d];
	} else {
		for (int d = 0; d < y.rank - 2; d++)
			batch_dim(g, (size_t)y.dim[d],
				  step_of(a.dim, a.rank - 2, d - (y.rank - a.rank), one_a),
				  step_of(b.dim, b.rank - 2, d - (y.rank - b.rank), one_b),
				  step_of(y.dim, y.rank - 2, d, one_y));
	}
	g->mat = (struct onx_mat){ .m = m, .n = n, .k = k, .ta = t->ta, .tb = t->tb, .ldc = n,
				   .lda = t->batch_a ? row_step(in_a, true) : t->ta ? m : k,
				   .ldb = t->batch_b ? row_step(in_b, true) : t->tb ? k : n };
	g->alpha = t->alpha;
	s->geo = g;
	if (s->in[1].shape.rank == 1)
		y.rank--;
	if (s->in[0].shape.rank == 1) {         /* drop the row that was added to A */
		if (s->in[1].shape.rank != 1)
			y.dim[y.rank - 2] = y.dim[y.rank - 1];
		y.rank--;
	}
	onx_set_out(s, 0, s->in[0].type, &y);
	return ONX_OK;
}

static double matmul_macs(const struct onx_infer *s, const void *attr)
{
	const struct matmul_geo *g = s->geo;
	double n = (double)g->mat.m * (double)g->mat.n * (double)g->mat.k;

	(void)attr;
	for (int d = 0; d < g->y.n_outer; d++)
		n *= (double)g->y.outer[d];
	return n;
}

/* Y [..,m,n] = A [..,m,k] B [..,k,n] */
static void matmul_forward(const struct onx_call *c)
{
	const struct matmul_geo *g = c->geo;

	if (onx_dtype_real(c->x[0].type))
		onx_gemm_batch(c->pool, &g->mat, &g->y, (real)g->alpha, c->x[0].v, c->x[1].v, 0, c->y[0].v);
	else
		onx_whole_products(c->pool, &g->mat, &g->y, &c->x[0], &c->x[1], &c->y[0]);
}

/* The same batch with its factors exchanged. */
static struct onx_batch exchanged(const struct onx_batch *b)
{
	struct onx_batch t = *b;

	memcpy(t.outer_a, b->outer_b, sizeof t.outer_a);
	memcpy(t.outer_b, b->outer_a, sizeof t.outer_b);
	memcpy(t.inner_a, b->inner_b, sizeof t.inner_a);
	memcpy(t.inner_b, b->inner_a, sizeof t.inner_b);
	return t;
}

/* dop(A) = alpha dY op(B)', dop(B) = alpha op(A)' dY; of a matrix stored transposed the transpose */
static void matmul_backward(const struct onx_call *c)
{
	const struct matmul_geo *g = c->geo;
	const struct onx_mat *t = &g->mat;
	const size_t m = t->m, n = t->n, k = t->k;
	const struct onx_mat da = { m, k, n, false, !t->tb, n, t->ldb, t->lda };
	const struct onx_mat da_t = { k, m, n, t->tb, true, t->ldb, n, t->lda };
	const struct onx_mat db = { k, n, m, !t->ta, false, t->lda, n, t->ldb };
	const struct onx_mat db_t = { n, k, m, true, t->ta, n, t->lda, t->ldb };
	const struct onx_batch a_t = exchanged(&g->a), b_t = exchanged(&g->b);
	const real *a = c->x[0].v, *b = c->x[1].v, *dy = c->dy[0].v;

	if (c->dx[0].v && !t->ta)
		onx_gemm_batch(c->pool, &da, &g->a, (real)g->alpha, dy, b, c->dx[0].add, c->dx[0].v);
	else if (c->dx[0].v)
		onx_gemm_batch(c->pool, &da_t, &a_t, (real)g->alpha, b, dy, c->dx[0].add, c->dx[0].v);
	if (c->dx[1].v && !t->tb)
		onx_gemm_batch(c->pool, &db, &g->b, (real)g->alpha, a, dy, c->dx[1].add, c->dx[1].v);
	else if (c->dx[1].v)
		onx_gemm_batch(c->pool, &db_t, &b_t, (real)g->alpha, dy, a, c->dx[1].add, c->dx[1].v);
}

const struct onx_op ONX_R(onx_ops_gemm)[] = {
	{ .domain = "", .type = "Gemm", .since = 1, .min_in = 2, .max_in = 3, .min_out = 1, .max_out = 1,
	  .grad = { ONX_G_DIFF }, .n_grad = 1, .keep = ONX_KEEP_X(0) | ONX_KEEP_X(1), .weight = 6,
	  .flags = ONX_OP_APART, .attr = &gemm_table, .infer = gemm_infer, .macs = gemm_macs, .forward = gemm_forward,
	  .backward = gemm_backward },
	{ .domain = "", .type = "MatMul", .since = 1, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1,
	  .grad = { ONX_G_DIFF }, .n_grad = 1, .keep = ONX_KEEP_X(0) | ONX_KEEP_X(1), .weight = 3,
	  .flags = ONX_OP_APART, .infer = matmul_infer, .macs = matmul_macs, .forward = matmul_forward,
	  .backward = matmul_backward },
	{ .domain = "com.microsoft", .type = "FusedGemm", .since = 1, .min_in = 2, .max_in = 3, .min_out = 1,
	  .max_out = 1, .grad = { ONX_G_DIFF }, .n_grad = 1, .weight = 6,
	  .keep = ONX_KEEP_X(0) | ONX_KEEP_X(1) | ONX_KEEP_Y(0), .attr = &fused_table,
	  .infer = fused_infer, .macs = gemm_macs, .scratch = fused_scratch, .forward = fused_forward,
	  .backward = fused_backward },
	{ .domain = "com.microsoft", .type = "FusedMatMul", .since = 1, .min_in = 2, .max_in = 2,
	  .min_out = 1, .max_out = 1, .grad = { ONX_G_DIFF }, .n_grad = 1, .weight = 3,
	  .keep = ONX_KEEP_X(0) | ONX_KEEP_X(1), .attr = &matmul_table, .infer = matmul_infer,
	  .macs = matmul_macs, .forward = matmul_forward, .backward = matmul_backward },
	{ .type = NULL }
};

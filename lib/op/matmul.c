/* op/matmul.c -- MatMul: numpy.matmul; FusedMatMul of ONNX Runtime: alpha times it, of matrices stored transposed. */
#include "kernel/gemm.h"
#include <string.h>
#include "op/infer.h"
#include "op/whole.h"

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

const struct onx_op ONX_R(onx_ops_matmul)[] = {
	{ .domain = "", .type = "MatMul", .since = 1, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1,
	  .grad = { ONX_G_DIFF }, .n_grad = 1, .keep = ONX_KEEP_X(0) | ONX_KEEP_X(1), .weight = 3,
	  .flags = ONX_OP_APART, .infer = matmul_infer, .macs = matmul_macs, .forward = matmul_forward,
	  .backward = matmul_backward },
	{ .domain = "com.microsoft", .type = "FusedMatMul", .since = 1, .min_in = 2, .max_in = 2,
	  .min_out = 1, .max_out = 1, .grad = { ONX_G_DIFF }, .n_grad = 1, .weight = 3,
	  .keep = ONX_KEEP_X(0) | ONX_KEEP_X(1), .attr = &matmul_table, .infer = matmul_infer,
	  .macs = matmul_macs, .forward = matmul_forward, .backward = matmul_backward },
	{ .type = NULL }
};

/* op/nbits.c -- ONNX Runtime's MatMulNBits: Y = A W' + bias, the weight W [N][K] in 2, 4 or 8 bits with a scale for
 * each block along K.
 *
 * B [N][blocks][blob]: number k of a row stands in its block, the lowest bits of a byte first.  W = (B - zero) scale,
 * zero 2 ^ (bits - 1) where there is no input for it.  It is made real a panel of rows at a time: the whole of it would
 * take eight times the memory of the file.  (onnxruntime, docs/ContribOperators.md) */
#include <inttypes.h>
#include "kernel/gemm.h"
#include "op/infer.h"
#include "op/loop.h"

enum { IN_A, IN_B, IN_SCALE, IN_ZERO, IN_GROUP, IN_BIAS, PANEL = 1 << 20 };

struct nbits { int64_t n, k, bits, block, accuracy, packed; };
static const struct onx_field nbits_field[] = {
	{ "N", F_INT, offsetof(struct nbits, n), .def = "0", .min = 0, .max = 1LL << 40, .help = "columns of Y" },
	{ "K", F_INT, offsetof(struct nbits, k), .def = "0", .min = 0, .max = 1LL << 40, .help = "columns of A" },
	{ "bits", F_INT, offsetof(struct nbits, bits), .def = "4", .min = 2, .max = 8, .help = "of a weight: 2, 4, 8" },
	{ "block_size", F_INT, offsetof(struct nbits, block), .def = "0", .min = 0, .max = 1 << 30,
	  .help = "weights that share a scale: a power of two from 16 on" },
	{ "accuracy_level", F_INT, offsetof(struct nbits, accuracy), .def = "0", .min = 0, .max = 4,
	  .help = "how much a runtime may round A; here it is never rounded" },
	{ "weight_prepacked", F_INT, offsetof(struct nbits, packed), .def = "0", .min = 0, .max = 2,
	  .help = "B is in the order of some device; not supported" },
	{ .name = NULL }
};
static const struct onx_table nbits_attr = { "MatMulNBits", sizeof(struct nbits), nbits_field, .check = NULL };

/* rows: of W in a panel; zeros: bytes of the packed zero points of a row. */
struct nbits_geo { size_t m, n, k, bits, block, blocks, blob, zeros, rows; };

static int want_count(const struct onx_infer *s, int i, size_t want, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[i].shape;
	char t[ONX_SHAPE_TEXT];
	size_t n;
	int rc = onx_count(x->rank, x->dim, &n, e);

	if (rc == ONX_OK && n != want)
		return onx_fail(e, ONX_SHAPE, "input %d has shape %s, wanted %zu elements", i,
				onx_shape_text(x->rank, x->dim, t, sizeof t), want);
	return rc;
}

static int nbits_numbers(const struct nbits *a, const struct onx_shape *x, struct nbits_geo *g, struct onx_err *e)
{
	if (a->packed)
		return onx_fail(e, ONX_UNSUP, "weight_prepacked is %" PRId64 ": weights in the order of a device",
				a->packed);
	if (a->bits != 2 && a->bits != 4 && a->bits != 8)
		return onx_fail(e, ONX_UNSUP, "weights of %" PRId64 " bits, there are those of 2, 4 and 8", a->bits);
	if (a->block < 16 || (a->block & (a->block - 1)))
		return onx_fail(e, ONX_SHAPE, "block_size is %" PRId64 ", wanted a power of two from 16 on", a->block);
	if (x->dim[x->rank - 1] != a->k)
		return onx_fail(e, ONX_SHAPE, "A has %" PRId64 " columns, K is %" PRId64, x->dim[x->rank - 1], a->k);
	*g = (struct nbits_geo){ .m = 1, .n = (size_t)a->n, .k = (size_t)a->k, .bits = (size_t)a->bits,
				 .block = (size_t)a->block };
	g->blocks = (g->k + g->block - 1) / g->block;
	g->blob = g->block * g->bits / 8;
	g->zeros = (g->blocks * g->bits + 7) / 8;
	g->rows = g->k && g->k < PANEL ? PANEL / g->k : 1;
	g->rows = g->rows < g->n ? g->rows : g->n;
	return ONX_OK;
}

static int nbits_inputs(const struct onx_infer *s, const struct nbits_geo *g, struct onx_err *e)
{
	const struct onx_shape b = { 3, { (int64_t)g->n, (int64_t)g->blocks, (int64_t)g->blob } };
	char t[ONX_SHAPE_TEXT], u[ONX_SHAPE_TEXT];
	int rc;

	if ((rc = onx_want_type(s, IN_B, ONX_UINT8, e)) < 0 || (rc = onx_want_same_type(s, IN_A, IN_SCALE, e)) < 0)
		return rc;
	if (!onx_shape_equal(&s->in[IN_B].shape, &b))
		return onx_fail(e, ONX_SHAPE, "B has shape %s, wanted %s",
				onx_shape_text(s->in[IN_B].shape.rank, s->in[IN_B].shape.dim, t, sizeof t),
				onx_shape_text(b.rank, b.dim, u, sizeof u));
	if ((rc = want_count(s, IN_SCALE, g->n * g->blocks, e)) < 0)
		return rc;
	if (onx_has_in(s, IN_ZERO)) {
		const bool packed = s->in[IN_ZERO].type == ONX_UINT8;
		rc = packed ? ONX_OK : onx_want_same_type(s, IN_A, IN_ZERO, e);
		if (rc < 0 || (rc = want_count(s, IN_ZERO, g->n * (packed ? g->zeros : g->blocks), e)) < 0)
			return rc;
	}
	if (onx_has_in(s, IN_GROUP)) {
		rc = onx_want_type(s, IN_GROUP, ONX_INT32, e);
		const bool padded = s->in[IN_GROUP].shape.rank == 1 &&
				    s->in[IN_GROUP].shape.dim[0] == (int64_t)(g->blocks * g->block);
		if (rc < 0 || (!padded && (rc = want_count(s, IN_GROUP, g->k, e)) < 0))
			return rc;
	}
	if (onx_has_in(s, IN_BIAS))
		rc = onx_want_same_type(s, IN_A, IN_BIAS, e);
	return rc < 0 || !onx_has_in(s, IN_BIAS) ? rc : want_count(s, IN_BIAS, g->n, e);
}

static int nbits_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	struct nbits_geo *g = ONX_NEW(s->mem, struct nbits_geo);
	const struct nbits *a = attr;
	struct onx_shape y = s->in[IN_A].shape;
	size_t n;
	int rc;

	if (!g)
		return onx_nomem(e, sizeof *g, "MatMulNBits");
	if ((rc = onx_want_real(s, IN_A, e)) < 0 || (rc = onx_want_rank(s, IN_A, 1, ONX_RANK, e)) < 0 ||
	    (rc = nbits_numbers(a, &y, g, e)) < 0 || (rc = nbits_inputs(s, g, e)) < 0)
		return rc;
	for (int d = 0; d < y.rank - 1; d++)
		g->m *= (size_t)y.dim[d];
	y.dim[y.rank - 1] = a->n;
	if ((rc = onx_count(y.rank, y.dim, &n, e)) < 0)
		return rc;
	s->geo = g;
	onx_set_out(s, 0, s->in[IN_A].type, &y);
	return ONX_OK;
}

static size_t nbits_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	const struct nbits_geo *g = s->geo;

	(void)attr, (void)threads;
	return g->rows * g->k * sizeof(real) * (backward ? 2 : 1);
}

static double nbits_macs(const struct onx_infer *s, const void *attr)
{
	const struct nbits_geo *g = s->geo;

	(void)attr;
	return (double)g->m * (double)g->n * (double)g->k;
}

static const struct onx_view *input(const struct onx_call *c, int i)
{
	return c->n_x > i && c->x[i].v ? &c->x[i] : NULL;
}

static unsigned bits_at(const uint8_t *v, size_t i, size_t bits)
{
	const size_t at = i * bits;

	return (unsigned)v[at / 8] >> at % 8 & ((1u << bits) - 1);
}

/* The block whose scale number k has; one that g_idx makes up: none, the weight is 0. */
static size_t block_of(const struct onx_call *c, size_t k)
{
	const struct nbits_geo *g = c->geo;
	const struct onx_view *idx = input(c, IN_GROUP);

	if (!idx)
		return k / g->block;
	const int64_t to = onx_view_int(idx, k);
	return to >= 0 && (size_t)to < g->blocks ? (size_t)to : SIZE_MAX;
}

static real zero_of(const struct onx_call *c, size_t n, size_t block)
{
	const struct nbits_geo *g = c->geo;
	const struct onx_view *z = input(c, IN_ZERO);

	if (!z)
		return (real)(1u << (g->bits - 1));
	if (z->type == ONX_UINT8)
		return (real)bits_at((const uint8_t *)z->v + n * g->zeros, block, g->bits);
	return ((const real *)z->v)[n * g->blocks + block];
}

struct panel { const struct onx_call *c; size_t first; real *w; };

/* Rows lo .. hi - 1 of a panel of W. */
static void panel_range(const void *ctx, size_t lo, size_t hi)
{
	const struct panel *p = ctx;
	const struct nbits_geo *g = p->c->geo;
	const uint8_t *b = p->c->x[IN_B].v;
	const real *scale = p->c->x[IN_SCALE].v;

	for (size_t row = lo; row < hi; row++) {
		const size_t n = p->first + row;
		real s = 0, zero = 0;
		for (size_t k = 0, last = SIZE_MAX - 1; k < g->k; k++) {
			const size_t block = block_of(p->c, k);
			if (block != last) {
				s = block == SIZE_MAX ? 0 : scale[n * g->blocks + block];
				zero = block == SIZE_MAX ? 0 : zero_of(p->c, n, block);
				last = block;
			}
			p->w[row * g->k + k] = ((real)bits_at(b + n * g->blocks * g->blob, k, g->bits) - zero) * s;
		}
	}
}

static void panel_make(const struct onx_call *c, size_t first, size_t rows, real *w)
{
	const struct nbits_geo *g = c->geo;
	const struct panel p = { c, first, w };

	onx_each(c->pool, rows, 1 + ONX_GRAIN / (g->k + 1), panel_range, &p);
}

static void nbits_forward(const struct onx_call *c)
{
	const struct nbits_geo *g = c->geo;
	const struct onx_view *bias = input(c, IN_BIAS);
	real *y = c->y[0].v;

	for (size_t i = 0; bias && i < g->m * g->n; i++)
		y[i] = ((const real *)bias->v)[i % g->n];
	for (size_t first = 0; first < g->n; first += g->rows) {
		const size_t rows = g->n - first < g->rows ? g->n - first : g->rows;
		const struct onx_mat mat = { g->m, rows, g->k, false, true, g->k, g->k, g->n };
		panel_make(c, first, rows, c->scratch);
		onx_gemm(c->pool, &mat, 1, c->x[IN_A].v, c->scratch, bias ? 1 : 0, y + first);
	}
}

static bool wants(const struct onx_call *c, int i)
{
	return c->n_x > i && c->dx[i].v;
}

struct slopes { const struct onx_call *c; size_t first; const real *dw; };

/* From dW of the rows lo .. hi - 1 of a panel: dscale = sum of dW (B - zero), dzero = - scale sum of dW */
static void slopes_range(const void *ctx, size_t lo, size_t hi)
{
	const struct slopes *p = ctx;
	const struct onx_call *c = p->c;
	const struct nbits_geo *g = c->geo;

	for (size_t at = lo; at < hi; at++) {
		const size_t row = at / g->blocks, n = p->first + row, block = at % g->blocks;
		const uint8_t *b = (const uint8_t *)c->x[IN_B].v + n * g->blocks * g->blob;
		const bool any = input(c, IN_GROUP);
		const size_t from = any ? 0 : block * g->block, end = any ? g->k : from + g->block;
		const double zero = (double)zero_of(c, n, block);
		double scale = 0, sum = 0;

		for (size_t k = from; k < end && k < g->k; k++) {
			if (any && block_of(c, k) != block)
				continue;
			scale += (double)p->dw[row * g->k + k] * ((double)bits_at(b, k, g->bits) - zero);
			sum += (double)p->dw[row * g->k + k];
		}
		const size_t to = n * g->blocks + block;
		if (c->dx[IN_SCALE].v)
			onx_put((real *)c->dx[IN_SCALE].v + to, c->dx[IN_SCALE].add, (real)scale);
		if (wants(c, IN_ZERO))
			onx_put((real *)c->dx[IN_ZERO].v + to, c->dx[IN_ZERO].add,
				(real)(-sum * (double)((const real *)c->x[IN_SCALE].v)[to]));
	}
}

static void bias_back(const struct onx_call *c)
{
	const struct nbits_geo *g = c->geo;
	const real *dy = c->dy[0].v;

	for (size_t j = 0; j < g->n; j++) {
		double sum = 0;
		for (size_t i = 0; i < g->m; i++)
			sum += (double)dy[i * g->n + j];
		onx_put((real *)c->dx[IN_BIAS].v + j, c->dx[IN_BIAS].add, (real)sum);
	}
}

/* dA = dY W, dW = dY' A */
static void nbits_backward(const struct onx_call *c)
{
	const struct nbits_geo *g = c->geo;
	const real *dy = c->dy[0].v;
	const struct onx_view *da = &c->dx[IN_A];
	real *w = c->scratch, *dw = w + g->rows * g->k;

	for (size_t i = 0; g->n == 0 && da->v && !da->add && i < da->n; i++)
		((real *)da->v)[i] = 0;
	for (size_t first = 0; first < g->n; first += g->rows) {
		const size_t rows = g->n - first < g->rows ? g->n - first : g->rows;
		if (da->v) {
			const struct onx_mat mat = { g->m, g->k, rows, false, false, g->n, g->k, g->k };
			panel_make(c, first, rows, w);
			onx_gemm(c->pool, &mat, 1, dy + first, w, first > 0 || da->add ? 1 : 0, da->v);
		}
		if (c->dx[IN_SCALE].v || wants(c, IN_ZERO)) {
			const struct onx_mat mat = { rows, g->k, g->m, true, false, g->n, g->k, g->k };
			const struct slopes s = { c, first, dw };
			onx_gemm(c->pool, &mat, 1, dy + first, c->x[IN_A].v, 0, dw);
			onx_each(c->pool, rows * g->blocks, 64, slopes_range, &s);
		}
	}
	if (wants(c, IN_BIAS))
		bias_back(c);
}

const struct onx_op ONX_R(onx_ops_nbits)[] = {
	{ .domain = "com.microsoft", .type = "MatMulNBits", .since = 1, .min_in = 3, .max_in = 6, .min_out = 1,
	  .max_out = 1, .grad = { ONX_G_DIFF, ONX_G_NEVER, ONX_G_DIFF, ONX_G_DIFF, ONX_G_NEVER, ONX_G_DIFF },
	  .n_grad = 6, .weight = 1 << IN_BIAS, .keep = ONX_KEEP_X(IN_A) | ONX_KEEP_X(IN_B) | ONX_KEEP_X(IN_SCALE) |
	  ONX_KEEP_X(IN_ZERO) | ONX_KEEP_X(IN_GROUP), .attr = &nbits_attr, .infer = nbits_infer,
	  .scratch = nbits_scratch, .macs = nbits_macs, .forward = nbits_forward, .backward = nbits_backward },
	{ .type = NULL }
};

/* op/qlinear.c -- products of 8-bit whole numbers: MatMulInteger (to int32), QLinearMatMul (back to 8 bits).  Sums
 * are int32 and wrap as two's complement does (kernel/bytes.h); where 8-bit floats are among the matrices
 * (QLinearMatMul from opset 21 on) they are double. */
#include <string.h>
#include "kernel/cpu.h"
#include "kernel/real.h"
#include "op/qlinear_i.h"

static const struct onx_q_ports integer_ports = { 0, -1, 2, 1, -1, 3, -1, -1, -1 };
static const struct onx_q_ports linear_ports = { 0, 1, 2, 3, 4, 5, 6, 7, -1 };

struct q_geo {
	const struct onx_q_ports *p;
	size_t m, n, k;                         /* sizes of one product */
	int batch;                              /* and steps of A and B through the batch dims of Y */
	size_t dim[ONX_RANK], step_a[ONX_RANK], step_b[ONX_RANK];
};

static bool is_float8(enum onx_dtype t)
{
	return t >= ONX_FLOAT8E4M3FN && t <= ONX_FLOAT8E5M2FNUZ;
}

static int want_byte(const struct onx_infer *s, int i, bool float8, struct onx_err *e)
{
	if (i < 0 || !onx_has_in(s, i) || s->in[i].type == ONX_INT8 || s->in[i].type == ONX_UINT8 ||
	    (float8 && is_float8(s->in[i].type)))
		return ONX_OK;
	return onx_fail(e, ONX_SHAPE, "input %d is %s, wanted int8%s uint8%s", i, onx_dtype_name(s->in[i].type),
			float8 ? "," : " or", float8 ? " or an 8-bit float" : "");
}

/* One element, or `many`. */
static int want_count(const struct onx_infer *s, int i, size_t many, struct onx_err *e)
{
	size_t n;

	if (i < 0 || !onx_has_in(s, i))
		return ONX_OK;
	int rc = onx_count(s->in[i].shape.rank, s->in[i].shape.dim, &n, e);
	if (rc == ONX_OK && n != 1 && n != many)
		rc = onx_fail(e, ONX_UNSUP, "input %d has %zu elements, wanted 1 or %zu", i, n, many);
	return rc;
}

int onx_q_check(const struct onx_infer *s, const struct onx_q_ports *p, size_t rows, size_t columns, bool float8,
		struct onx_err *e)
{
	const int byte[] = { p->a, p->b, p->a_zero, p->b_zero, p->y_zero };
	const int scale[] = { p->a_scale, p->b_scale, p->y_scale };
	int rc = ONX_OK;

	for (size_t i = 0; rc == ONX_OK && i < 5; i++)
		rc = want_byte(s, byte[i], float8, e);
	for (size_t i = 0; rc == ONX_OK && i < 3; i++)
		if (scale[i] >= 0)
			rc = onx_want_real(s, scale[i], e);
	if (rc < 0 || (rc = want_count(s, p->a_zero, rows, e)) < 0 ||
	    (rc = want_count(s, p->a_scale, rows, e)) < 0 ||
	    (rc = want_count(s, p->b_zero, columns, e)) < 0 ||
	    (rc = want_count(s, p->b_scale, columns, e)) < 0 || (rc = want_count(s, p->y_scale, 1, e)) < 0)
		return rc;
	return want_count(s, p->y_zero, 1, e);
}

static int matmul_shape(struct onx_infer *s, const struct onx_q_ports *p, struct onx_err *e)
{
	const struct onx_shape *a = &s->in[p->a].shape, *b = &s->in[p->b].shape;
	struct q_geo *g = ONX_NEW(s->mem, struct q_geo);
	struct onx_shape ba = *a, bb = *b, y;
	size_t n;
	int rc;

	if (!g)
		return onx_nomem(e, sizeof *g, "a product");
	if ((rc = onx_want_rank(s, p->a, 2, ONX_RANK, e)) < 0 || (rc = onx_want_rank(s, p->b, 2, ONX_RANK, e)) < 0)
		return rc;
	ba.rank -= 2;
	bb.rank -= 2;
	*g = (struct q_geo){ .p = p, .m = (size_t)a->dim[ba.rank], .k = (size_t)a->dim[ba.rank + 1],
			     .n = (size_t)b->dim[bb.rank + 1] };
	if (g->k != (size_t)b->dim[bb.rank])
		return onx_fail(e, ONX_SHAPE, "A has %zu columns, B %lld rows", g->k, (long long)b->dim[bb.rank]);
	rc = onx_broadcast(&ba, &bb, &y, e);
	if (rc == ONX_OK)
		rc = onx_q_check(s, p, g->m, g->n, p == &linear_ports && s->version >= 21, e);
	if (rc < 0)
		return rc;
	size_t next_a = g->m * g->k, next_b = g->k * g->n;
	for (int d = y.rank - 1; d >= 0; d--) {
		const int i = d - y.rank + ba.rank, j = d - y.rank + bb.rank, at = g->batch++;
		const size_t da = i >= 0 ? (size_t)ba.dim[i] : 1, db = j >= 0 ? (size_t)bb.dim[j] : 1;
		g->dim[at] = (size_t)y.dim[d];
		g->step_a[at] = da == 1 ? 0 : next_a;
		g->step_b[at] = db == 1 ? 0 : next_b;
		next_a *= da;
		next_b *= db;
	}
	y.dim[y.rank++] = (int64_t)g->m;
	y.dim[y.rank++] = (int64_t)g->n;
	s->geo = g;
	rc = onx_count(y.rank, y.dim, &n, e);
	if (rc == ONX_OK)
		onx_set_out(s, 0, p->y_zero < 0 ? ONX_INT32 : s->in[p->y_zero].type, &y);
	return rc;
}

int32_t onx_q_zero(const struct onx_call *c, int port, size_t i)
{
	if (port < 0 || port >= c->n_x || !c->x[port].v)
		return 0;
	if (is_float8(c->x[port].type))
		return 0;                       /* they have none */
	return onx_q_byte(c->x[port].v, c->x[port].n == 1 ? 0 : i, onx_q_signed(&c->x[port]));
}
static double scale_at(const struct onx_call *c, int port, size_t i)
{
	return onx_view_real(&c->x[port], c->x[port].n == 1 ? 0 : i);
}

/* A sum into element `at` of Y: as it is, or times the scales, rounded to even and moved. */
static void store(const struct onx_call *c, const struct onx_q_ports *p, size_t at, double sum, size_t row, size_t col)
{
	if (p->y_scale < 0) {
		((int32_t *)c->y[0].v)[at] = (int32_t)sum;
		return;
	}
	const double f = scale_at(c, p->a_scale, row) * scale_at(c, p->b_scale, col) / scale_at(c, p->y_scale, 0);
	const double lo = onx_q_signed(&c->y[0]) ? -128 : 0, hi = onx_q_signed(&c->y[0]) ? 127 : 255;
	if (is_float8(c->y[0].type)) {
		onx_view_put_real(&c->y[0], at, (double)onx_round_to((float)(sum * f), c->y[0].type));
		return;
	}
	const double v = rint(sum * f) + onx_q_zero(c, p->y_zero, 0);
	onx_view_put_int(&c->y[0], at, (int64_t)(v > hi ? hi : v > lo ? v : lo));
}

ONX_CLONES static void scale_run(const uint32_t *restrict sum, size_t n, double f, double zero, double lo, double hi,
				 uint8_t *restrict y)
{
	for (size_t i = 0; i < n; i++) {
		const double v = rint((double)(int32_t)sum[i] * f) + zero;
		const double above = v > lo ? v : lo;
		y[i] = (uint8_t)(int32_t)(above < hi ? above : hi);
	}
}

void onx_q_store_row(const struct onx_call *c, const struct onx_q_ports *p, size_t at, const uint32_t *sum, size_t n,
		     size_t row, size_t col, size_t every)
{
	if (p->y_scale < 0) {
		memcpy((int32_t *)c->y[0].v + at, sum, n * sizeof *sum);
		return;
	}
	if (is_float8(c->y[0].type) || (every && c->x[p->b_scale].n != 1)) {
		for (size_t j = 0; j < n; j++)
			store(c, p, at + j, (int32_t)sum[j], row, col + j * every);
		return;
	}
	const double f = scale_at(c, p->a_scale, row) * scale_at(c, p->b_scale, col) / scale_at(c, p->y_scale, 0);
	const double lo = onx_q_signed(&c->y[0]) ? -128 : 0, hi = onx_q_signed(&c->y[0]) ? 127 : 255;

	scale_run(sum, n, f, onx_q_zero(c, p->y_zero, 0), lo, hi, (uint8_t *)c->y[0].v + at);
}

#define LESS(name, T)                                                                            \
ONX_CLONES static void name(const T *restrict x, size_t step, size_t n, int32_t zero, int16_t *restrict to) \
{                                                                                                \
	if (step == 1)                                                                           \
		for (size_t i = 0; i < n; i++)                                                   \
			to[i] = (int16_t)(x[i] - zero);                                          \
	else                                                                                     \
		for (size_t i = 0; i < n; i++)                                                   \
			to[i] = (int16_t)(x[i * step] - zero);                                   \
}
LESS(less_signed, int8_t)
LESS(less_unsigned, uint8_t)

void onx_q_less(const struct onx_view *v, size_t at, size_t step, size_t n, int32_t zero, int16_t *to)
{
	if (onx_q_signed(v))
		less_signed((const int8_t *)v->v + at, step, n, zero, to);
	else
		less_unsigned((const uint8_t *)v->v + at, step, n, zero, to);
}

struct job { const struct onx_call *c; };

/* Where the row of A and the matrix of B are that make this row. */
static void find_row(const struct q_geo *g, size_t row, size_t *from_a, size_t *from_b)
{
	size_t rest = row / g->m;

	*from_a = row % g->m * g->k;
	*from_b = 0;
	for (int d = 0; d < g->batch; d++) {
		*from_a += rest % g->dim[d] * g->step_a[d];
		*from_b += rest % g->dim[d] * g->step_b[d];
		rest /= g->dim[d];
	}
}

/* The same in double, for 8-bit floats beside whole numbers. */
static void float8_row(void *ctx, size_t row, int worker)
{
	const struct onx_call *c = ((const struct job *)ctx)->c;
	const struct q_geo *g = c->geo;
	const struct onx_view *a = &c->x[g->p->a], *b = &c->x[g->p->b];
	double *sum = (double *)c->scratch + (size_t)worker * g->n;
	size_t from_a, from_b;

	find_row(g, row, &from_a, &from_b);
	for (size_t j = 0; j < g->n; j++)
		sum[j] = 0;
	for (size_t k = 0; k < g->k; k++) {
		const double v = onx_view_real(a, from_a + k) - onx_q_zero(c, g->p->a_zero, row % g->m);
		for (size_t j = 0; j < g->n; j++)
			sum[j] += v * (onx_view_real(b, from_b + k * g->n + j) - onx_q_zero(c, g->p->b_zero, j));
	}
	for (size_t j = 0; j < g->n; j++)
		store(c, g->p, row * g->n + j, sum[j], row % g->m, j);
}

/* sum += v[0] row 0 + ... + v[3] row 3 of B, less its zero point */
#define ADD_ROWS(name, T)                                                                        \
ONX_CLONES static void name(const T *restrict b, size_t n, const int32_t *v, int32_t zero,       \
			    uint32_t *restrict sum)                                              \
{                                                                                                \
	const uint32_t v0 = (uint32_t)v[0], v1 = (uint32_t)v[1], v2 = (uint32_t)v[2], v3 = (uint32_t)v[3]; \
	const uint32_t less = (v0 + v1 + v2 + v3) * (uint32_t)zero;                              \
	for (size_t j = 0; j < n; j++)                                                           \
		sum[j] += v0 * (uint32_t)b[j] + v1 * (uint32_t)b[n + j] + v2 * (uint32_t)b[2 * n + j] + \
			  v3 * (uint32_t)b[3 * n + j] - less;                                    \
}
ADD_ROWS(add_signed, int8_t)
ADD_ROWS(add_unsigned, uint8_t)

/* One row, whose columns may have zero points of their own. */
static void add_row(const struct onx_call *c, size_t from_b, int32_t v, uint32_t *sum)
{
	const struct q_geo *g = c->geo;
	const struct onx_view *b = &c->x[g->p->b];

	for (size_t j = 0; v && j < g->n; j++)
		sum[j] += (uint32_t)v * (uint32_t)(onx_q_byte(b->v, from_b + j, onx_q_signed(b)) -
						   onx_q_zero(c, g->p->b_zero, j));
}

static void matmul_row(void *ctx, size_t row, int worker)
{
	const struct onx_call *c = ((const struct job *)ctx)->c;
	const struct q_geo *g = c->geo;
	const struct onx_view *a = &c->x[g->p->a], *b = &c->x[g->p->b];
	const int zb = g->p->b_zero;
	const bool one = zb < 0 || zb >= c->n_x || !c->x[zb].v || c->x[zb].n == 1;
	const int32_t zero_a = onx_q_zero(c, g->p->a_zero, row % g->m);
	uint32_t *sum = (uint32_t *)c->scratch + (size_t)worker * g->n;
	size_t from_a, from_b, k = 0;

	find_row(g, row, &from_a, &from_b);
	for (size_t j = 0; j < g->n; j++)
		sum[j] = 0;
	for (; one && k + 4 <= g->k; k += 4) {
		int32_t v[4];
		const char *rows = (const char *)b->v + from_b + k * g->n;
		for (size_t i = 0; i < 4; i++)
			v[i] = onx_q_byte(a->v, from_a + k + i, onx_q_signed(a)) - zero_a;
		if (onx_q_signed(b))
			add_signed((const int8_t *)rows, g->n, v, onx_q_zero(c, zb, 0), sum);
		else
			add_unsigned((const uint8_t *)rows, g->n, v, onx_q_zero(c, zb, 0), sum);
	}
	for (; k < g->k; k++)
		add_row(c, from_b + k * g->n, onx_q_byte(a->v, from_a + k, onx_q_signed(a)) - zero_a, sum);
	onx_q_store_row(c, g->p, row * g->n, sum, g->n, row % g->m, 0, 1);
}

/* ---- as blocks -------------------------------------------------------------------------------------- */

static bool one_zero(const struct onx_call *c)
{
	const int zb = ((const struct q_geo *)c->geo)->p->b_zero;

	return zb < 0 || zb >= c->n_x || !c->x[zb].v || c->x[zb].n == 1;
}

/* One product of the batch. */
struct block { const struct onx_call *c; size_t row, from_a, from_b; };

static void a_row(const void *ctx, size_t i, size_t k, size_t count, int16_t *to)
{
	const struct block *b = ctx;
	const struct q_geo *g = b->c->geo;

	onx_q_less(&b->c->x[g->p->a], b->from_a + i * g->k + k, 1, count, onx_q_zero(b->c, g->p->a_zero, i), to);
}

static void b_row(void *ctx, size_t k, size_t j, size_t count, int16_t *to)
{
	const struct block *b = ctx;
	const struct q_geo *g = b->c->geo;
	const bool one = one_zero(b->c);

	onx_q_less(&b->c->x[g->p->b], b->from_b + k * g->n + j, 1, count, one ? onx_q_zero(b->c, g->p->b_zero, 0) : 0,
		   to);
	for (size_t i = 0; !one && i < count; i++)
		to[i] = (int16_t)(to[i] - onx_q_zero(b->c, g->p->b_zero, j + i));
}

static void put_row(const void *ctx, size_t i, size_t j, size_t count, const uint32_t *sum)
{
	const struct block *b = ctx;
	const struct q_geo *g = b->c->geo;

	onx_q_store_row(b->c, g->p, (b->row + i) * g->n + j, sum, count, i, j, 1);
}

static void matmul_block(void *ctx, size_t piece, int worker)
{
	const struct onx_call *c = ((const struct job *)ctx)->c;
	const struct q_geo *g = c->geo;
	struct block b = { .c = c };
	const struct onx_bytes p = { g->m, g->n, g->k, a_row, b_row, put_row, &b };
	const size_t each = onx_bytes_pieces(&p);

	(void)worker;
	b.row = piece / each * g->m;
	find_row(g, b.row, &b.from_a, &b.from_b);
	onx_bytes_piece(&p, onx_isa(), piece % each);
}

static size_t matmul_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	(void)attr, (void)backward;
	return (size_t)threads * ((const struct q_geo *)s->geo)->n * sizeof(double);
}

static void matmul_forward(const struct onx_call *c)
{
	const struct q_geo *g = c->geo;
	const bool float8 = is_float8(c->x[g->p->a].type) || is_float8(c->x[g->p->b].type);
	struct job j = { c };

	if (c->y[0].n > 0)
		onx_parallel(c->pool, c->y[0].n / g->n, float8 ? float8_row : matmul_row, &j);
}

static void blocks_forward(const struct onx_call *c)
{
	const struct q_geo *g = c->geo;
	const struct onx_bytes p = { .m = g->m, .n = g->n, .k = g->k };
	struct job j = { c };

	if (c->y[0].n > 0)
		onx_parallel(c->pool, c->y[0].n / (g->m * g->n) * onx_bytes_pieces(&p), matmul_block, &j);
}

static bool blocks_fit(const struct onx_infer *s, const void *attr)
{
	const struct q_geo *g = s->geo;

	(void)attr;
	return !is_float8(s->in[g->p->a].type) && !is_float8(s->in[g->p->b].type) && onx_bytes_fits(g->m);
}

static const struct onx_impl matmul_impl[] = {
	{ .name = "blocks", .fits = blocks_fit, .forward = blocks_forward },
	{ .name = NULL }
};

static int matmul_integer_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	(void)attr;
	return matmul_shape(s, &integer_ports, e);
}

static int matmul_linear_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	(void)attr;
	return matmul_shape(s, &linear_ports, e);
}

#define ROW(name, lo, hi, way) \
	{ .domain = "", .type = name, .since = 10, .min_in = lo, .max_in = hi, .min_out = 1, .max_out = 1, \
	  .grad = { ONX_G_ZERO }, .n_grad = 1, .infer = matmul_##way##_infer, .scratch = matmul_scratch,   \
	  .forward = matmul_forward, .impl = matmul_impl }
const struct onx_op ONX_R(onx_ops_qlinear)[] = {
	ROW("MatMulInteger", 2, 4, integer),
	ROW("QLinearMatMul", 8, 8, linear),
	{ .type = NULL }
};

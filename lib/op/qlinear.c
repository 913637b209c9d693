/* op/qlinear.c -- products of 8-bit whole numbers: MatMulInteger, ConvInteger (to int32), QLinearMatMul,
 * QLinearConv (back to 8 bits).  Sums are int32 and wrap as two's complement does; where 8-bit floats are among
 * the matrices (QLinearMatMul from opset 21 on) they are double. */
#include <string.h>
#include "kernel/cpu.h"
#include "kernel/real.h"
#include "kernel/window.h"
#include "op/infer.h"
#include "op/window.h"

/* Where the parts stand among the inputs; -1: the operator has none. */
struct ports { int a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero, bias; };
static const struct ports integer_ports = { 0, -1, 2, 1, -1, 3, -1, -1, -1 };
static const struct ports linear_matmul_ports = { 0, 1, 2, 3, 4, 5, 6, 7, -1 };
static const struct ports linear_ports = { 0, 1, 2, 3, 4, 5, 6, 7, 8 };

struct q_geo {
	const struct ports *p;
	size_t m, n, k;                         /* MatMul: sizes of one product */
	int batch;                              /* and steps of A and B through the batch dims of Y */
	size_t dim[ONX_RANK], step_a[ONX_RANK], step_b[ONX_RANK];
	size_t images, groups, c, per_group;    /* Conv: channels of a group in and out */
	struct onx_window w;
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

/* Types of all inputs; rows, columns: how many scales and zero points of A and B there may be. */
static int check(const struct onx_infer *s, const struct ports *p, size_t rows, size_t columns,
		 struct onx_err *e)
{
	const int byte[] = { p->a, p->b, p->a_zero, p->b_zero, p->y_zero };
	const int scale[] = { p->a_scale, p->b_scale, p->y_scale };
	const bool float8 = p == &linear_matmul_ports && s->version >= 21;
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

static int matmul_shape(struct onx_infer *s, const struct ports *p, struct onx_err *e)
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
	if ((rc = onx_broadcast(&ba, &bb, &y, e)) < 0 || (rc = check(s, p, g->m, g->n, e)) < 0)
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

static inline int32_t byte_at(const void *v, size_t i, bool sign)
{
	return sign ? ((const int8_t *)v)[i] : ((const uint8_t *)v)[i];
}
static bool is_signed(const struct onx_view *v) { return v->type == ONX_INT8; }

/* The zero point or scale number i, of one or many. */
static int32_t zero_at(const struct onx_call *c, int port, size_t i)
{
	if (port < 0 || port >= c->n_x || !c->x[port].v)
		return 0;
	if (is_float8(c->x[port].type))
		return 0;                       /* they have none */
	return byte_at(c->x[port].v, c->x[port].n == 1 ? 0 : i, is_signed(&c->x[port]));
}
static double scale_at(const struct onx_call *c, int port, size_t i)
{
	return onx_view_real(&c->x[port], c->x[port].n == 1 ? 0 : i);
}

/* A sum into element `at` of Y: as it is, or times the scales, rounded to even and moved. */
static void store(const struct onx_call *c, const struct ports *p, size_t at, double sum, size_t row, size_t col)
{
	if (p->y_scale < 0) {
		((int32_t *)c->y[0].v)[at] = (int32_t)sum;
		return;
	}
	const double f = scale_at(c, p->a_scale, row) * scale_at(c, p->b_scale, col) / scale_at(c, p->y_scale, 0);
	const double lo = is_signed(&c->y[0]) ? -128 : 0, hi = is_signed(&c->y[0]) ? 127 : 255;
	if (is_float8(c->y[0].type)) {
		onx_view_put_real(&c->y[0], at, (double)onx_round_to((float)(sum * f), c->y[0].type));
		return;
	}
	const double v = rint(sum * f) + zero_at(c, p->y_zero, 0);
	onx_view_put_int(&c->y[0], at, (int64_t)(v > hi ? hi : v > lo ? v : lo));
}

ONX_CLONES static void scale_run(const uint32_t *restrict sum, size_t n, double f, double zero, double lo, double hi,
				 uint8_t *restrict y)
{
	for (size_t i = 0; i < n; i++) {
		const double v = rint((double)(int32_t)sum[i] * f) + zero;
		y[i] = (uint8_t)(int32_t)(v > hi ? hi : v > lo ? v : lo);
	}
}

/* n sums from element `at` on: columns col, col + every, ... of Y, every = 0: all of one. */
static void store_row(const struct onx_call *c, const struct ports *p, size_t at, const uint32_t *sum, size_t n,
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
	const double lo = is_signed(&c->y[0]) ? -128 : 0, hi = is_signed(&c->y[0]) ? 127 : 255;

	scale_run(sum, n, f, zero_at(c, p->y_zero, 0), lo, hi, (uint8_t *)c->y[0].v + at);
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
		const double v = onx_view_real(a, from_a + k) - zero_at(c, g->p->a_zero, row % g->m);
		for (size_t j = 0; j < g->n; j++)
			sum[j] += v * (onx_view_real(b, from_b + k * g->n + j) - zero_at(c, g->p->b_zero, j));
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
		sum[j] += (uint32_t)v * (uint32_t)(byte_at(b->v, from_b + j, is_signed(b)) -
						   zero_at(c, g->p->b_zero, j));
}

static void matmul_row(void *ctx, size_t row, int worker)
{
	const struct onx_call *c = ((const struct job *)ctx)->c;
	const struct q_geo *g = c->geo;
	const struct onx_view *a = &c->x[g->p->a], *b = &c->x[g->p->b];
	const int zb = g->p->b_zero;
	const bool one_zero = zb < 0 || zb >= c->n_x || !c->x[zb].v || c->x[zb].n == 1;
	const int32_t zero_a = zero_at(c, g->p->a_zero, row % g->m);
	uint32_t *sum = (uint32_t *)c->scratch + (size_t)worker * g->n;
	size_t from_a, from_b, k = 0;

	find_row(g, row, &from_a, &from_b);
	for (size_t j = 0; j < g->n; j++)
		sum[j] = 0;
	for (; one_zero && k + 4 <= g->k; k += 4) {
		int32_t v[4];
		const char *rows = (const char *)b->v + from_b + k * g->n;
		for (size_t i = 0; i < 4; i++)
			v[i] = byte_at(a->v, from_a + k + i, is_signed(a)) - zero_a;
		if (is_signed(b))
			add_signed((const int8_t *)rows, g->n, v, zero_at(c, zb, 0), sum);
		else
			add_unsigned((const uint8_t *)rows, g->n, v, zero_at(c, zb, 0), sum);
	}
	for (; k < g->k; k++)
		add_row(c, from_b + k * g->n, byte_at(a->v, from_a + k, is_signed(a)) - zero_a, sum);
	store_row(c, g->p, row * g->n, sum, g->n, row % g->m, 0, 1);
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

static int matmul_integer_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	(void)attr;
	return matmul_shape(s, &integer_ports, e);
}

static int matmul_linear_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	(void)attr;
	return matmul_shape(s, &linear_matmul_ports, e);
}

/* ---- convolutions ---- */

struct q_conv { struct onx_win_attr win; int64_t group; };
static const struct onx_field conv_field[] = {
	ONX_WIN_FIELDS(struct q_conv),
	ONX_WIN_DILATIONS(struct q_conv),
	{ "group", F_INT, offsetof(struct q_conv, group), .def = "1", .min = 1, .max = 1e9,
	  .help = "parts into which the channels fall" },
	{ .name = NULL }
};
static const struct onx_table conv_attr = { "QLinearConv", sizeof(struct q_conv), conv_field, .check = NULL };

static int conv_shape(struct onx_infer *s, const struct q_conv *a, const struct ports *p, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[p->a].shape, *w = &s->in[p->b].shape;
	struct q_geo *g = ONX_NEW(s->mem, struct q_geo);
	const int nd = x->rank - 2;
	size_t n;
	int rc;

	if (!g)
		return onx_nomem(e, sizeof *g, "a convolution");
	if ((rc = onx_want_rank(s, p->a, 3, 5, e)) < 0 || (rc = onx_want_rank(s, p->b, x->rank, x->rank, e)) < 0)
		return rc;
	if (x->dim[1] % a->group != 0 || w->dim[0] % a->group != 0 || w->dim[1] != x->dim[1] / a->group)
		return onx_fail(e, ONX_SHAPE, "%lld channels in %lld groups, weights for %lld in each",
				(long long)x->dim[1], (long long)a->group, (long long)w->dim[1]);
	if ((rc = onx_win_read(&a->win, nd, x->dim + 2, w->dim + 2, &g->w, e)) < 0 ||
	    (rc = onx_win_slide(&a->win, nd, false, &g->w, e)) < 0 ||
	    (rc = check(s, p, 1, (size_t)w->dim[0], e)) < 0)
		return rc;
	if (p->bias >= 0 && onx_has_in(s, p->bias) && ((rc = onx_want_type(s, p->bias, ONX_INT32, e)) < 0 ||
						       (rc = onx_want_rank(s, p->bias, 1, 1, e)) < 0))
		return rc;
	if (p->bias >= 0 && onx_has_in(s, p->bias) && s->in[p->bias].shape.dim[0] != w->dim[0])
		return onx_fail(e, ONX_SHAPE, "the bias has %lld elements, the output %lld channels",
				(long long)s->in[p->bias].shape.dim[0], (long long)w->dim[0]);
	g->p = p;
	g->images = (size_t)x->dim[0];
	g->groups = (size_t)a->group;
	g->c = (size_t)w->dim[1];
	g->per_group = (size_t)(w->dim[0] / a->group);
	s->geo = g;
	struct onx_shape y = { x->rank, { x->dim[0], w->dim[0] } };
	for (int i = 0; i < nd; i++)
		y.dim[2 + i] = (int64_t)g->w.out[3 - nd + i];
	rc = onx_count(y.rank, y.dim, &n, e);
	if (rc == ONX_OK)
		onx_set_out(s, 0, p->y_zero < 0 ? ONX_INT32 : s->in[p->y_zero].type, &y);
	return rc;
}

static size_t conv_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	(void)attr, (void)backward;
	return (size_t)threads * ((const struct q_geo *)s->geo)->w.out_n * sizeof(uint32_t);
}

/* A row of that: sum[i] += v (x[i s] - zero) */
#define TAP(name, T)                                                                             \
ONX_CLONES static void name(const T *restrict x, int64_t s, size_t n, uint32_t v, int32_t zero,  \
			    uint32_t *restrict sum)                                              \
{                                                                                                \
	if (s == 1)                                                                              \
		for (size_t i = 0; i < n; i++)                                                   \
			sum[i] += v * (uint32_t)((int32_t)x[i] - zero);                          \
	else                                                                                     \
		for (size_t i = 0; i < n; i++)                                                   \
			sum[i] += v * (uint32_t)((int32_t)x[(int64_t)i * s] - zero);             \
}
TAP(tap_signed, int8_t)
TAP(tap_unsigned, uint8_t)

/* sum += v * (plane - zero) over the outputs whose tap (k0, k1, k2) lies inside; padding adds nothing. */
static void add_tap(const struct onx_window *w, const size_t *tap, uint32_t v, const struct onx_view *x,
		    size_t plane, int32_t zero, uint32_t *sum)
{
	size_t lo[3], hi[3];

	for (int d = 0; d < 3; d++)
		onx_window_valid(w, d, tap[d], &lo[d], &hi[d]);
	for (size_t i = lo[0]; i < hi[0]; i++)
		for (size_t j = lo[1]; j < hi[1]; j++) {
			const size_t row = ((size_t)onx_window_at(w, 0, i, tap[0]) * w->in[1] +
					    (size_t)onx_window_at(w, 1, j, tap[1])) * w->in[2];
			uint32_t *to = sum + (i * w->out[1] + j) * w->out[2];
			const size_t at = plane + row + (size_t)onx_window_at(w, 2, lo[2], tap[2]);
			const size_t n = hi[2] > lo[2] ? hi[2] - lo[2] : 0;
			if (n > 0 && is_signed(x))
				tap_signed((const int8_t *)x->v + at, w->stride[2], n, v, zero, to + lo[2]);
			else if (n > 0)
				tap_unsigned((const uint8_t *)x->v + at, w->stride[2], n, v, zero, to + lo[2]);
		}
}

static void conv_plane(void *ctx, size_t plane, int worker)
{
	const struct onx_call *c = ((const struct job *)ctx)->c;
	const struct q_geo *g = c->geo;
	const struct ports *p = g->p;
	const struct onx_window *w = &g->w;
	const struct onx_view *x = &c->x[p->a], *f = &c->x[p->b];
	const size_t channels = g->groups * g->per_group, ch = plane % channels, image = plane / channels;
	const int32_t zero = zero_at(c, p->a_zero, 0), zero_w = zero_at(c, p->b_zero, ch);
	const bool biased = p->bias >= 0 && p->bias < c->n_x && c->x[p->bias].v;
	uint32_t *sum = (uint32_t *)c->scratch + (size_t)worker * w->out_n;

	for (size_t i = 0; i < w->out_n; i++)
		sum[i] = biased ? (uint32_t)((const int32_t *)c->x[p->bias].v)[ch] : 0;
	for (size_t k = 0; k < g->c; k++) {
		const size_t from = ((image * g->groups + ch / g->per_group) * g->c + k) * w->in_n;
		for (size_t t = 0; t < w->kern_n; t++) {
			const size_t tap[3] = { t / w->kern[2] / w->kern[1], t / w->kern[2] % w->kern[1],
						t % w->kern[2] };
			const int32_t v = byte_at(f->v, (ch * g->c + k) * w->kern_n + t, is_signed(f)) - zero_w;
			add_tap(w, tap, (uint32_t)v, x, from, zero, sum);
		}
	}
	store_row(c, p, plane * w->out_n, sum, w->out_n, 0, ch, 0);
}

static void conv_forward(const struct onx_call *c)
{
	const struct q_geo *g = c->geo;
	struct job j = { c };

	onx_parallel(c->pool, g->images * g->groups * g->per_group, conv_plane, &j);
}

static int conv_integer_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	return conv_shape(s, attr, &integer_ports, e);
}

static int conv_linear_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	return conv_shape(s, attr, &linear_ports, e);
}

#define ROW(name, lo, hi, table, part, way) \
	{ .domain = "", .type = name, .since = 10, .min_in = lo, .max_in = hi, .min_out = 1, .max_out = 1, \
	  .grad = { ONX_G_ZERO }, .n_grad = 1, .attr = table, .infer = part##_##way##_infer,               \
	  .scratch = part##_scratch, .forward = part##_forward }
const struct onx_op ONX_R(onx_ops_qlinear)[] = {
	ROW("MatMulInteger", 2, 4, NULL, matmul, integer),
	ROW("QLinearMatMul", 8, 8, NULL, matmul, linear),
	ROW("ConvInteger", 2, 4, &conv_attr, conv, integer),
	ROW("QLinearConv", 8, 9, &conv_attr, conv, linear),
	{ .type = NULL }
};

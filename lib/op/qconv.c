/* op/qconv.c -- convolutions of 8-bit whole numbers: ConvInteger (to int32), QLinearConv (back to 8 bits).  Sums are
 * int32 and wrap as two's complement does.  For each image and group a product of the weights and the matrix of windows
 * (kernel/bytes.h), whose rows are read from the picture as they are wanted; with few channels, tap by tap. */
#include <string.h>
#include "kernel/cpu.h"
#include "kernel/real.h"
#include "kernel/window.h"
#include "op/qlinear_i.h"
#include "op/window.h"

static const struct onx_q_ports integer_ports = { 0, -1, 2, 1, -1, 3, -1, -1, -1 };
static const struct onx_q_ports linear_ports = { 0, 1, 2, 3, 4, 5, 6, 7, 8 };

struct q_geo {
	const struct onx_q_ports *p;
	size_t images, groups, c, per_group;    /* channels of a group in and out */
	struct onx_window w;
};

struct job { const struct onx_call *c; };

struct q_conv { struct onx_win_attr win; int64_t group; };
static const struct onx_field conv_field[] = {
	ONX_WIN_FIELDS(struct q_conv),
	ONX_WIN_DILATIONS(struct q_conv),
	{ "group", F_INT, offsetof(struct q_conv, group), .def = "1", .min = 1, .max = 1e9,
	  .help = "parts into which the channels fall" },
	{ .name = NULL }
};
static const struct onx_table conv_attr = { "QLinearConv", sizeof(struct q_conv), conv_field, .check = NULL };

static int conv_shape(struct onx_infer *s, const struct q_conv *a, const struct onx_q_ports *p, struct onx_err *e)
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
	    (rc = onx_q_check(s, p, 1, (size_t)w->dim[0], false, e)) < 0)
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

/* ---- as blocks -------------------------------------------------------------------------------------- */

/* One image and group: its first channel out (of all images).  And where the columns of the piece begin, and the
 * tap and plane of the row that comes next, so that nothing is divided for each row. */
struct block { const struct onx_call *c; size_t out, first[3], tap[3], plane; };

/* Weights of a channel, in the order of the matrix's rows. */
static void a_row(const void *ctx, size_t i, size_t k, size_t count, int16_t *to)
{
	const struct block *b = ctx;
	const struct q_geo *g = b->c->geo;
	const size_t ch = (b->out + i) % (g->groups * g->per_group);

	onx_q_less(&b->c->x[g->p->b], ch * g->c * g->w.kern_n + k, 1, count, onx_q_zero(b->c, g->p->b_zero, ch), to);
}

/* Outputs [o, o + n) of one line of them, where a tap meets the input from `line` on; 0 in the padding. */
static void meet_line(const struct block *b, size_t tap, size_t o, size_t n, size_t line, int32_t zero, int16_t *to)
{
	const struct q_geo *g = b->c->geo;
	size_t lo, hi;

	onx_window_valid(&g->w, 2, tap, &lo, &hi);
	lo = lo < o ? o : lo;
	hi = hi > o + n ? o + n : hi;
	if (hi <= lo) {
		memset(to, 0, n * sizeof *to);
		return;
	}
	memset(to, 0, (lo - o) * sizeof *to);
	onx_q_less(&b->c->x[g->p->a], line + (size_t)onx_window_at(&g->w, 2, lo, tap), (size_t)g->w.stride[2], hi - lo,
		   zero, to + lo - o);
	memset(to + hi - o, 0, (o + n - hi) * sizeof *to);
}

static void next_tap(const struct onx_window *w, size_t *tap, size_t *plane)
{
	for (int d = 2; d >= 0; d--) {
		if (++tap[d] < w->kern[d])
			return;
		tap[d] = 0;
	}
	*plane += w->in_n;
}

/* Row k = (channel, tap) of the matrix of windows, of the columns of this piece. */
static void b_row(void *ctx, size_t k, size_t j, size_t count, int16_t *to)
{
	struct block *b = ctx;
	const struct q_geo *g = b->c->geo;
	const struct onx_window *w = &g->w;
	const size_t tap[3] = { b->tap[0], b->tap[1], b->tap[2] }, plane = b->plane;
	const int32_t zero = onx_q_zero(b->c, g->p->a_zero, 0);
	size_t at[3] = { b->first[0], b->first[1], b->first[2] };

	(void)k;
	next_tap(w, b->tap, &b->plane);
	if (w->kern_n == 1 && w->in_n == w->out_n && w->stride[0] * w->stride[1] * w->stride[2] == 1) {
		onx_q_less(&b->c->x[g->p->a], plane + j, 1, count, zero, to);
		return;
	}
	for (size_t done = 0, n; done < count; done += n, at[2] = 0, at[1]++) {
		if (at[1] == w->out[1]) {
			at[1] = 0;
			at[0]++;
		}
		const int64_t at1 = onx_window_at(w, 1, at[1], tap[1]), at0 = onx_window_at(w, 0, at[0], tap[0]);

		n = w->out[2] - at[2] < count - done ? w->out[2] - at[2] : count - done;
		if (at0 < 0 || at1 < 0 || at0 >= (int64_t)w->in[0] || at1 >= (int64_t)w->in[1])
			memset(to + done, 0, n * sizeof *to);
		else
			meet_line(b, tap[2], at[2], n, plane + ((size_t)at0 * w->in[1] + (size_t)at1) * w->in[2], zero,
				  to + done);
	}
}

static const int32_t *bias_of(const struct onx_call *c)
{
	const int i = ((const struct q_geo *)c->geo)->p->bias;

	return i >= 0 && i < c->n_x ? c->x[i].v : NULL;
}

static void put_row(const void *ctx, size_t i, size_t j, size_t count, const uint32_t *sum)
{
	const struct block *b = ctx;
	const struct q_geo *g = b->c->geo;
	const size_t plane = b->out + i, ch = plane % (g->groups * g->per_group);
	const int32_t *bias = bias_of(b->c);
	uint32_t biased[ONX_BYTES_COLS];

	for (size_t k = 0; bias && k < count; k++)
		biased[k] = sum[k] + (uint32_t)bias[ch];
	onx_q_store_row(b->c, g->p, plane * g->w.out_n + j, bias ? biased : sum, count, 0, ch, 0);
}

static struct onx_bytes product_of(const struct q_geo *g, struct block *b)
{
	return (struct onx_bytes){ g->per_group, g->w.out_n, g->c * g->w.kern_n, a_row, b_row, put_row, b };
}

static void conv_block(void *ctx, size_t piece, int worker)
{
	const struct onx_call *c = ((const struct job *)ctx)->c;
	const struct q_geo *g = c->geo;
	struct block b = { .c = c };
	const struct onx_bytes p = product_of(g, &b);
	const size_t each = onx_bytes_pieces(&p), which = piece / each, j = onx_bytes_column(&p, piece % each);

	(void)worker;
	b.out = which * g->per_group;
	b.plane = which * g->c * g->w.in_n;
	b.first[0] = j / g->w.out[2] / g->w.out[1];
	b.first[1] = j / g->w.out[2] % g->w.out[1];
	b.first[2] = j % g->w.out[2];
	onx_bytes_piece(&p, onx_isa(), piece % each);
}

/* ---- tap by tap ------------------------------------------------------------------------------------- */

/* A tap of a window on `rows` lines of n outputs: sum[r out + i] += v (x[r in + i s] - zero) */
#define TAP(name, T)                                                                                           \
ONX_CLONES static void name(const T *restrict x, size_t in, int64_t s, size_t rows, size_t n, size_t out,      \
			    uint32_t v, int32_t zero, uint32_t *restrict sum)                                  \
{                                                                                                              \
	for (size_t r = 0; r < rows; r++, x += in, sum += out)                                                 \
		if (s == 1)                                                                                    \
			for (size_t i = 0; i < n; i++)                                                         \
				sum[i] += v * (uint32_t)((int32_t)x[i] - zero);                                \
		else                                                                                           \
			for (size_t i = 0; i < n; i++)                                                         \
				sum[i] += v * (uint32_t)((int32_t)x[(int64_t)i * s] - zero);                   \
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
	if (hi[1] <= lo[1] || hi[2] <= lo[2])
		return;
	const size_t in = (size_t)w->stride[1] * w->in[2], rows = hi[1] - lo[1], n = hi[2] - lo[2];
	for (size_t i = lo[0]; i < hi[0]; i++) {
		const size_t row = (size_t)onx_window_at(w, 0, i, tap[0]) * w->in[1] +
				   (size_t)onx_window_at(w, 1, lo[1], tap[1]);
		const size_t at = plane + row * w->in[2] + (size_t)onx_window_at(w, 2, lo[2], tap[2]);
		uint32_t *to = sum + (i * w->out[1] + lo[1]) * w->out[2] + lo[2];

		if (onx_q_signed(x))
			tap_signed((const int8_t *)x->v + at, in, w->stride[2], rows, n, w->out[2], v, zero, to);
		else
			tap_unsigned((const uint8_t *)x->v + at, in, w->stride[2], rows, n, w->out[2], v, zero, to);
	}
}

static void conv_plane(void *ctx, size_t plane, int worker)
{
	const struct onx_call *c = ((const struct job *)ctx)->c;
	const struct q_geo *g = c->geo;
	const struct onx_q_ports *p = g->p;
	const struct onx_window *w = &g->w;
	const struct onx_view *x = &c->x[p->a], *f = &c->x[p->b];
	const size_t channels = g->groups * g->per_group, ch = plane % channels, image = plane / channels;
	const int32_t zero = onx_q_zero(c, p->a_zero, 0), zero_w = onx_q_zero(c, p->b_zero, ch);
	const int32_t *bias = bias_of(c);
	uint32_t *sum = (uint32_t *)c->scratch + (size_t)worker * w->out_n;

	for (size_t i = 0; i < w->out_n; i++)
		sum[i] = bias ? (uint32_t)bias[ch] : 0;
	for (size_t k = 0; k < g->c; k++) {
		const size_t from = ((image * g->groups + ch / g->per_group) * g->c + k) * w->in_n;
		for (size_t t = 0; t < w->kern_n; t++) {
			const size_t tap[3] = { t / w->kern[2] / w->kern[1], t / w->kern[2] % w->kern[1],
						t % w->kern[2] };
			const int32_t v = onx_q_byte(f->v, (ch * g->c + k) * w->kern_n + t, onx_q_signed(f)) - zero_w;
			add_tap(w, tap, (uint32_t)v, x, from, zero, sum);
		}
	}
	onx_q_store_row(c, p, plane * w->out_n, sum, w->out_n, 0, ch, 0);
}

static void conv_forward(const struct onx_call *c)
{
	const struct q_geo *g = c->geo;
	struct job j = { c };

	onx_parallel(c->pool, g->images * g->groups * g->per_group, conv_plane, &j);
}

static void blocks_forward(const struct onx_call *c)
{
	const struct q_geo *g = c->geo;
	const struct onx_bytes p = product_of(g, NULL);
	struct job j = { c };

	onx_parallel(c->pool, g->images * g->groups * onx_bytes_pieces(&p), conv_block, &j);
}

static bool blocks_fit(const struct onx_infer *s, const void *attr)
{
	(void)attr;
	return onx_bytes_fits(((const struct q_geo *)s->geo)->per_group);
}

static const struct onx_impl conv_impl[] = {
	{ .name = "blocks", .fits = blocks_fit, .forward = blocks_forward },
	{ .name = NULL }
};

static int conv_integer_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	return conv_shape(s, attr, &integer_ports, e);
}

static int conv_linear_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	return conv_shape(s, attr, &linear_ports, e);
}

#define ROW(name, lo, hi, way) \
	{ .domain = "", .type = name, .since = 10, .min_in = lo, .max_in = hi, .min_out = 1, .max_out = 1, \
	  .grad = { ONX_G_ZERO }, .n_grad = 1, .attr = &conv_attr, .infer = conv_##way##_infer,            \
	  .scratch = conv_scratch, .forward = conv_forward, .impl = conv_impl }
const struct onx_op ONX_R(onx_ops_qconv)[] = {
	ROW("ConvInteger", 2, 4, integer),
	ROW("QLinearConv", 8, 9, linear),
	{ .type = NULL }
};

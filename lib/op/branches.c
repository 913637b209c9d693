/* op/branches.c -- ConcatConvLast: convolutions and plain tensors beside each other, their channels joined, with
 * channels last; a step of the plan that stands in no file; plan/lower_concat.c makes it.  Each convolution
 * (kernel/last.h) stores its channels where they belong in Y, so that nothing is copied behind it.  Forward only. */
#include "op/branches.h"
#include <string.h>
#include "kernel/last.h"
#include "op/stages.h"

static const struct onx_field branches_field[] = { ONX_STAGES_FIELDS, { .name = NULL } };
static const struct onx_table branches_table = { "ConcatConvLast", sizeof(struct onx_stages_attr), branches_field,
						 .check = NULL };

/* at: its first channel in Y; conv: else copied. */
struct branch { bool conv; struct onx_conv_geo g; struct onx_fuse f; size_t at, ch; };
struct branches { size_t k, pixels, ch; struct branch b[ONX_BRANCHES]; };

static int one_infer(struct onx_infer *s, const struct onx_stages_attr *a, size_t i, struct branch *b,
		     struct onx_shape *y, struct onx_err *e)
{
	const int x = (int)i * ONX_BRANCH_INPUTS;
	int rc = onx_want_rank(s, x, 4, 4, e);

	for (int k = x; rc == ONX_OK && k < x + ONX_BRANCH_INPUTS; k++)
		if (onx_has_in(s, k))
			rc = onx_want_same_type(s, 0, k, e);
	*y = s->in[x].shape;
	b->conv = onx_has_in(s, x + 1);
	if (rc == ONX_OK && b->conv)
		rc = onx_stage_read(s, a, i, &s->in[x].shape, x + 1, &b->g, &b->f, y, e);
	if (rc == ONX_OK && b->conv && !onx_last_way_dense.fits(&b->g))
		return onx_fail(e, ONX_UNSUP, "branch %zu is no product of matrices", i);
	b->ch = (size_t)y->dim[3];
	return rc;
}

static int branches_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_stages_attr *a = attr;
	struct branches *t = ONX_NEW(s->mem, struct branches);
	struct onx_shape y = { .rank = 0 }, one;
	size_t n;
	int rc = onx_want_real(s, 0, e);

	if (!t)
		return onx_nomem(e, sizeof *t, "ConcatConvLast");
	t->k = a->activations.n;
	if (t->k == 0 || t->k > ONX_BRANCHES || a->windows.n != t->k * ONX_STAGE_INTS || a->params.n != 2 * t->k ||
	    (size_t)s->n_in != t->k * ONX_BRANCH_INPUTS)
		return onx_fail(e, ONX_SHAPE, "%zu branches with %zu numbers of windows, %zu of activations, %d inputs",
				t->k, a->windows.n, a->params.n, s->n_in);
	for (size_t i = 0; rc == ONX_OK && i < t->k; i++) {
		if ((rc = one_infer(s, a, i, &t->b[i], &one, e)) < 0)
			return rc;
		t->b[i].at = t->ch;
		t->ch += t->b[i].ch;
		one.dim[3] = (int64_t)t->ch;
		y.dim[3] = one.dim[3];
		if (i > 0 && !onx_shape_equal(&y, &one))
			return onx_fail(e, ONX_SHAPE, "branch %zu makes another picture than those before it", i);
		y = one;
	}
	if (rc < 0 || (rc = onx_count(y.rank, y.dim, &n, e)) < 0)
		return rc;
	t->pixels = t->ch ? n / t->ch : 0;
	s->geo = t;
	onx_set_out(s, 0, s->in[0].type, &y);
	return ONX_OK;
}

static double branches_macs(const struct onx_infer *s, const void *attr)
{
	const struct branches *t = s->geo;
	double all = 0;

	(void)attr;
	for (size_t i = 0; i < t->k; i++)
		if (t->b[i].conv)
			all += (double)t->pixels * (double)t->b[i].ch * (double)t->b[i].g.c *
			       (double)t->b[i].g.w.kern_n;
	return all;
}

/* ---- ways ------------------------------------------------------------------------------------------- */
typedef const struct ONX_R(onx_last_way) way;

/* Both can store into a part of Y (onx_last_end.pitch). */
static way *way_of(const struct branch *b, bool rough)
{
	return rough && onx_last_way_winograd.fits(&b->g) ? &onx_last_way_winograd : &onx_last_way_dense;
}

static size_t rounded(size_t bytes)
{
	return (bytes + 63) / 64 * 64;
}

static size_t packed(const struct branches *t, bool rough)
{
	size_t all = 0;

	for (size_t i = 0; i < t->k; i++)
		all += t->b[i].conv ? rounded(way_of(&t->b[i], rough)->packed(&t->b[i].g)) : 0;
	return all;
}

static void pack(const struct onx_call *c, bool rough, char *to)
{
	const struct branches *t = c->geo;

	for (size_t i = 0; i < t->k; i++) {
		const struct branch *b = &t->b[i];

		if (!b->conv)
			continue;
		way_of(b, rough)->pack(c->pool, &b->g, c->x[i * ONX_BRANCH_INPUTS + 1].v, to);
		to += rounded(way_of(b, rough)->packed(&b->g));
	}
}

/* Packed weights, then the most that a branch wants. */
static size_t scratch(const struct branches *t, bool rough, int threads)
{
	size_t most = 0;

	for (size_t i = 0; i < t->k; i++) {
		const size_t one = t->b[i].conv ? way_of(&t->b[i], rough)->scratch(&t->b[i].g, threads) : 0;

		most = one > most ? one : most;
	}
	return packed(t, rough) + most;
}

struct copy { const real *x; real *y; size_t n, pitch; };
enum { ROWS = 64 };

static void copy_piece(void *ctx, size_t piece, int worker)
{
	const struct copy *q = ctx;

	(void)worker;
	for (size_t r = piece * ROWS; r < (piece + 1) * ROWS; r++)
		memcpy(q->y + r * q->pitch, q->x + r * q->n, q->n * sizeof *q->x);
}

static void copy(struct onx_pool *pool, size_t rows, const struct copy *q)
{
	struct copy whole = *q;

	onx_parallel(pool, rows / ROWS, copy_piece, &whole);
	for (size_t r = rows / ROWS * ROWS; r < rows; r++)
		memcpy(q->y + r * q->pitch, q->x + r * q->n, q->n * sizeof *q->x);
}

static void forward(const struct onx_call *c, bool rough)
{
	const struct branches *t = c->geo;
	const char *ready = c->packed;
	char *room = c->scratch;

	if (!ready) {
		pack(c, rough, room);
		ready = room;
		room += packed(t, rough);
	}
	for (size_t i = 0; i < t->k; i++) {
		const struct branch *b = &t->b[i];
		const struct onx_view *x = &c->x[i * ONX_BRANCH_INPUTS];
		const struct ONX_R(onx_last_end) end = { .b = b->conv ? x[2].v : NULL, .f = b->f, .pitch = t->ch };
		real *const y = (real *)c->y[0].v + b->at;

		if (!b->conv) {
			copy(c->pool, t->pixels, &(struct copy){ x[0].v, y, b->ch, t->ch });
			continue;
		}
		way_of(b, rough)->forward(c->pool, &b->g, x[0].v, ready, &end, y, room);
		ready += rounded(way_of(b, rough)->packed(&b->g));
	}
}

static bool any(const struct onx_infer *s, const void *attr)
{
	const struct branches *t = s->geo;

	(void)attr;
	for (size_t i = 0; i < t->k; i++)
		if (t->b[i].conv && onx_last_way_winograd.fits(&t->b[i].g))
			return true;
	return false;
}

static bool always(const struct onx_infer *s, const void *attr)
{
	(void)s, (void)attr;
	return true;
}

#define WAY(name, rough)                                                                                      \
static void forward_##name(const struct onx_call *c) { forward(c, rough); }                                  \
static void pack_##name(const struct onx_call *c, void *to) { pack(c, rough, to); }                          \
static size_t packed_##name(const struct onx_infer *s, const void *attr)                                      \
{                                                                                                             \
	(void)attr;                                                                                           \
	return packed(s->geo, rough);                                                                         \
}                                                                                                             \
static size_t scratch_##name(const struct onx_infer *s, const void *attr, int threads, bool backward)         \
{                                                                                                             \
	(void)attr, (void)backward;                                                                           \
	return scratch(s->geo, rough, threads);                                                               \
}
#define ROW(way, is_rough, test)                                                                              \
	{ .name = #way, .rough = is_rough, .fits = test, .scratch = scratch_##way, .packed = packed_##way,     \
	  .pack = pack_##way, .forward = forward_##way }
WAY(winograd, true)
WAY(dense, false)

static const struct onx_impl branches_impl[] = {
	ROW(winograd, true, any),
	ROW(dense, false, always),
	{ .name = NULL }
};

const struct onx_op ONX_R(onx_ops_branches)[] = {
	{ .domain = "onnx_adapt", .type = "ConcatConvLast", .since = 1, .min_in = 2,
	  .max_in = ONX_BRANCHES * ONX_BRANCH_INPUTS, .min_out = 1, .max_out = 1, .flags = ONX_OP_APART,
	  .attr = &branches_table, .infer = branches_infer, .macs = branches_macs, .scratch = scratch_dense,
	  .forward = forward_dense, .impl = branches_impl },
	{ .type = NULL }
};

/* op/where.c -- Where: y = condition ? a : b, broadcast, any element type. */
#include "kernel/cpu.h"
#include "kernel/real.h"
#include <string.h>
#include "op/infer.h"
#include "op/loop.h"

/* One loop where everything moves on by one, one for the rest; y may be a or b, element by element. */
#define PICK(name, T)                                                                        \
ONX_CLONES static void name(const uint8_t *pick, const void *av, const void *bv, void *yv,   \
			    const size_t *step, size_t n)                                    \
{                                                                                            \
	const T *a = av, *b = bv;                                                            \
	T *y = yv;                                                                           \
	if (step[1] == 1 && step[2] == 1 && step[3] == 1)                                    \
		ONX_ALIKE for (size_t i = 0; i < n; i++) {                                   \
			const T va = a[i], vb = b[i];                                        \
			y[i] = pick[i] ? va : vb;                                            \
		}                                                                            \
	else                                                                                 \
		ONX_ALIKE for (size_t i = 0; i < n; i++) {                                   \
			const T va = a[i * step[2]], vb = b[i * step[3]];                    \
			y[i] = pick[i * step[1]] ? va : vb;                                  \
		}                                                                            \
}
PICK(pick1, uint8_t)
PICK(pick2, uint16_t)
PICK(pick4, uint32_t)
PICK(pick8, uint64_t)

static void where_run(const struct onx_call *c, const size_t *off, const size_t *step, size_t n)
{
	const size_t width = c->y[0].width;
	const uint8_t *pick = (const uint8_t *)c->x[0].v + off[1];
	const char *a = (const char *)c->x[1].v + off[2] * width;
	const char *b = (const char *)c->x[2].v + off[3] * width;
	char *y = (char *)c->y[0].v + off[0] * width;

	if (width <= 8)
		(width == 1 ? pick1 : width == 2 ? pick2 : width == 4 ? pick4 : pick8)(pick, a, b, y, step, n);
	else
		for (size_t i = 0; i < n; i++)
			memmove(y + i * width,
				pick[i * step[1]] ? a + i * step[2] * width : b + i * step[3] * width, width);
}

static void walk(const struct onx_call *c, struct onx_walk *w)
{
	const struct onx_view *in[3] = { &c->x[0], &c->x[1], &c->x[2] };

	onx_walk_init(w, &c->y[0], in, 3);
}

static void where_forward(const struct onx_call *c)
{
	struct onx_walk w;

	walk(c, &w);
	onx_walk_run(c, &w, c->y[0].n, where_run);
}

#define TERM(name, when)                                                                     \
ONX_CLONES static void name(const void *ctx, real *out, const int64_t *off, const int64_t *step, size_t n) \
{                                                                                            \
	const struct onx_call *c = ctx;                                                      \
	const uint8_t *pick = (const uint8_t *)c->x[0].v + off[1];                           \
	const real *dy = (const real *)c->dy[0].v + off[0];                                  \
	const int64_t every = step[1];                                                       \
	if (every == 0) {                                                                    \
		const real by = when *pick;                                                  \
		ONX_ALIKE for (size_t i = 0; i < n; i++)                                     \
			out[i] = by != 0 ? dy[i] : 0;                                        \
		return;                                                                      \
	}                                                                                    \
	ONX_ALIKE for (size_t i = 0; i < n; i++) {                                           \
		const real v = dy[i];                                                        \
		out[i] = when pick[i] ? v : 0;                                               \
	}                                                                                    \
}
TERM(where_da, !!)
TERM(where_db, !)

static void where_backward(const struct onx_call *c)
{
	struct onx_walk w;

	walk(c, &w);
	if (c->dx[1].v)
		onx_walk_grad(c, &w, 2, 2, &c->dx[1], where_da);
	if (c->dx[2].v)
		onx_walk_grad(c, &w, 3, 2, &c->dx[2], where_db);
}

static int where_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	struct onx_shape ab, shape;
	int rc = onx_want_type(s, 0, ONX_BOOL, e);

	(void)attr;
	if (rc == ONX_OK)
		rc = onx_want_same_type(s, 1, 2, e);
	if (rc == ONX_OK)
		rc = onx_broadcast(&s->in[1].shape, &s->in[2].shape, &ab, e);
	if (rc == ONX_OK)
		rc = onx_broadcast(&s->in[0].shape, &ab, &shape, e);
	if (rc == ONX_OK)
		onx_set_out(s, 0, s->in[1].type, &shape);
	return rc;
}

const struct onx_op ONX_R(onx_ops_where)[] = {
	{ .domain = "", .type = "Where", .since = 9, .min_in = 3, .max_in = 3, .min_out = 1, .max_out = 1,
	  .grad = { ONX_G_NEVER, ONX_G_DIFF, ONX_G_DIFF }, .n_grad = 3, .keep = ONX_KEEP_X(0), .alias = 6,
	  .flags = ONX_OP_EACH, .infer = where_infer, .forward = where_forward, .backward = where_backward },
	{ .type = NULL }
};

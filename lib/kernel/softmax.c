/* kernel/softmax.c -- see the header. */
#include "kernel/softmax.h"

enum { PIECE = 1 << 12 };

struct job {
	const struct onx_lines *g;
	enum onx_soft kind;
	const real *x, *y, *dy;
	real *to;
	bool add;
	size_t grain;
};

/* One line: n elements, s apart. */
static void soft_line(const real *x, size_t n, size_t s, bool logs, real *y)
{
	real top = x[0];
	double sum = 0;

	for (size_t i = 1; i < n; i++)
		top = x[i * s] > top || x[i * s] != x[i * s] ? x[i * s] : top;
	for (size_t i = 0; i < n; i++) {
		const real e = ONX_M(exp)(x[i * s] - top);

		sum += e;
		y[i * s] = logs ? x[i * s] - top : e;
	}
	const real shift = (real)log(sum), scale = (real)(1 / sum);

	for (size_t i = 0; i < n; i++)
		y[i * s] = logs ? y[i * s] - shift : y[i * s] * scale;
}

static void hard_line(const real *x, size_t n, size_t s, real *y)
{
	size_t at = 0;

	for (size_t i = 1; i < n; i++)
		at = x[i * s] > x[at * s] ? i : at;
	for (size_t i = 0; i < n; i++)
		y[i * s] = i == at;
}

static void forward_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const struct onx_lines *g = j->g;
	size_t lo, hi;

	(void)worker;
	onx_piece(g->outer * g->inner, j->grain, piece, &lo, &hi);
	for (size_t i = lo; i < hi; i++) {
		const size_t at = i / g->inner * g->len * g->inner + i % g->inner;

		if (j->kind == ONX_HARDMAX)
			hard_line(j->x + at, g->len, g->inner, j->to + at);
		else
			soft_line(j->x + at, g->len, g->inner, j->kind == ONX_LOG_SOFTMAX, j->to + at);
	}
}

void onx_softmax_forward(struct onx_pool *pool, const struct onx_lines *g, enum onx_soft kind,
			 const real *x, real *y)
{
	struct job j = { .g = g, .kind = kind, .x = x, .to = y, .grain = PIECE / (g->len + 1) + 1 };

	if (g->len)
		onx_parallel(pool, onx_pieces(g->outer * g->inner, j.grain), forward_piece, &j);
}

static void back_line(const real *y, const real *dy, size_t n, size_t s, bool logs, bool add, real *dx)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += logs ? (double)dy[i * s] : (double)dy[i * s] * y[i * s];
	for (size_t i = 0; i < n; i++)
		onx_put(&dx[i * s], add, logs ? dy[i * s] - ONX_M(exp)(y[i * s]) * (real)sum
					      : y[i * s] * (dy[i * s] - (real)sum));
}

static void backward_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const struct onx_lines *g = j->g;
	size_t lo, hi;

	(void)worker;
	onx_piece(g->outer * g->inner, j->grain, piece, &lo, &hi);
	for (size_t i = lo; i < hi; i++) {
		const size_t at = i / g->inner * g->len * g->inner + i % g->inner;

		back_line(j->y + at, j->dy + at, g->len, g->inner, j->kind == ONX_LOG_SOFTMAX, j->add,
			  j->to + at);
	}
}

void onx_softmax_backward(struct onx_pool *pool, const struct onx_lines *g, enum onx_soft kind,
			  const real *y, const real *dy, real *dx, bool add)
{
	struct job j = { .g = g, .kind = kind, .y = y, .dy = dy, .to = dx, .add = add,
			 .grain = PIECE / (g->len + 1) + 1 };

	if (g->len)
		onx_parallel(pool, onx_pieces(g->outer * g->inner, j.grain), backward_piece, &j);
}

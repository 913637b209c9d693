/* kernel/softmax.c -- see the header.
 * Lines of neighbours (inner == 1) are vector loops along the line; else up to WIDE lines side by side are
 * vector loops across them.  Lines of a few neighbours, as the weights of a few points or experts, are turned for
 * that. */
#include "kernel/softmax.h"
#include "kernel/lanes.h"
#include "kernel/vmath.h"

/* Lines side by side: a page of memory of each element's, so that memory is read in its order, if that leaves ENOUGH
 * blocks for several threads; else some cache lines. */
enum { PIECE = 1 << 12, WIDE = 1024, NARROW = 64, ENOUGH = 4, LANES = 32, SHORT = 16 };

struct job {
	const struct onx_lines *g;
	enum onx_soft kind;
	const real *x, *y, *dy;
	real *to;
	bool add;
	size_t wide, grain, across;     /* lines of a block; lines, or blocks, in a piece; blocks of an outer index */
};

/* The lanes come from the caller: an array of its own GCC takes apart into single numbers before it looks for
 * vectors. */
ONX_CLONES
static real top_of(const real *restrict x, size_t n, real *restrict lane)
{
	real top = (real)-INFINITY;
	size_t i = 0;

	for (size_t l = 0; l < LANES; l++)
		lane[l] = (real)-INFINITY;
	for (; i + LANES <= n; i += LANES)
		for (size_t l = 0; l < LANES; l++)
			lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
	for (; i < n; i++)
		top = x[i] > top ? x[i] : top;
	ONX_UNROLL
	for (size_t w = LANES / 2; w > 0; w /= 2)
		for (size_t l = 0; l < w; l++)
			lane[l] = lane[l + w] > lane[l] ? lane[l + w] : lane[l];
	return lane[0] > top ? lane[0] : top;
}

/* A NaN is passed over here: its own exponential spoils the sum. */
static real largest(const real *x, size_t n)
{
	real lane[LANES];

	return top_of(x, n, lane);
}

ONX_CLONES
static void soft_line(const real *x, size_t n, real *y)
{
	const real top = largest(x, n);

	ONX_ALIKE for (size_t i = 0; i < n; i++)
		y[i] = onx_vexp(x[i] - top);
	const real scale = (real)(1 / onx_sum(y, n));

	for (size_t i = 0; i < n; i++)
		y[i] *= scale;
}

/* The exponentials are summed in blocks that the stack holds. */
ONX_CLONES
static void log_line(const real *x, size_t n, real *y)
{
	const real top = largest(x, n);
	double sum = 0;
	real e[NARROW];

	for (size_t i = 0; i < n; i += NARROW) {
		const size_t m = n - i < NARROW ? n - i : NARROW;

		for (size_t k = 0; k < m; k++)
			e[k] = onx_vexp(x[i + k] - top);
		sum += onx_sum(e, m);
	}
	const real shift = (real)log(sum);

	ONX_ALIKE for (size_t i = 0; i < n; i++)
		y[i] = x[i] - top - shift;
}

/* w lines side by side, the elements of each s apart. */
ONX_CLONES
static void soft_block(const real *x, size_t n, size_t s, size_t w, bool logs, real *y)
{
	real top[WIDE], shift[WIDE];
	double sum[WIDE];

	for (size_t k = 0; k < w; k++) {
		top[k] = (real)-INFINITY;
		sum[k] = 0;
	}
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < w; k++)
			top[k] = x[i * s + k] > top[k] ? x[i * s + k] : top[k];
	for (size_t i = 0; i < n; i++) {
		const real *from = x + i * s;
		real *to = y + i * s, e[WIDE];

		for (size_t k = 0; k < w; k++)
			e[k] = onx_vexp(from[k] - top[k]);
		for (size_t k = 0; k < w; k++)
			sum[k] += e[k];
		ONX_ALIKE for (size_t k = 0; k < w; k++)
			to[k] = logs ? from[k] - top[k] : e[k];
	}
	for (size_t k = 0; k < w; k++)
		shift[k] = (real)(logs ? log(sum[k]) : 1 / sum[k]);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < w; k++)
			y[i * s + k] = logs ? y[i * s + k] - shift[k] : y[i * s + k] * shift[k];
}

static void hard_line(const real *x, size_t n, size_t s, real *y)
{
	size_t at = 0;

	for (size_t i = 1; i < n; i++)
		at = x[i * s] > x[at * s] ? i : at;
	for (size_t i = 0; i < n; i++)
		y[i * s] = i == at;
}

static void forward_block(const struct job *j, size_t at, size_t w)
{
	const struct onx_lines *g = j->g;
	const real *x = j->x + at;
	real *y = j->to + at;

	if (j->kind == ONX_HARDMAX)
		for (size_t k = 0; k < w; k++)
			hard_line(x + k, g->len, g->inner, y + k);
	else if (g->inner != 1)
		soft_block(x, g->len, g->inner, w, j->kind == ONX_LOG_SOFTMAX, y);
	else if (j->kind == ONX_LOG_SOFTMAX)
		log_line(x, g->len, y);
	else
		soft_line(x, g->len, y);
}

ONX_CLONES
static void back_line(const real *y, const real *dy, size_t n, bool add, real *dx)
{
	const real sum = (real)onx_sum_product(dy, y, 0, n);

	ONX_ALIKE for (size_t i = 0; i < n; i++)
		onx_put(&dx[i], add, y[i] * (dy[i] - sum));
}

ONX_CLONES
static void back_log_line(const real *y, const real *dy, size_t n, bool add, real *dx)
{
	const real sum = (real)onx_sum(dy, n);

	if (add)                /* two loops, as in op/unary.c */
		ONX_ALIKE for (size_t i = 0; i < n; i++)
			dx[i] += dy[i] - onx_vexp(y[i]) * sum;
	else
		ONX_ALIKE for (size_t i = 0; i < n; i++)
			dx[i] = dy[i] - onx_vexp(y[i]) * sum;
}

ONX_INLINE void back_row(const real *y, const real *dy, const double *sum, size_t w, const bool logs, const bool add,
			 real *dx)
{
	ONX_ALIKE for (size_t k = 0; k < w; k++) {
		const real d = logs ? dy[k] - onx_vexp(y[k]) * (real)sum[k] : y[k] * (dy[k] - (real)sum[k]);

		dx[k] = add ? dx[k] + d : d;
	}
}

ONX_CLONES
static void back_lines(const real *y, const real *dy, size_t n, size_t s, size_t w, bool logs, bool add, real *dx)
{
	double sum[WIDE];

	for (size_t k = 0; k < w; k++)
		sum[k] = 0;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < w; k++)
			sum[k] += logs ? (double)dy[i * s + k] : (double)dy[i * s + k] * y[i * s + k];
	for (size_t i = 0; i < n; i++, y += s, dy += s, dx += s)
		if (logs && add)
			back_row(y, dy, sum, w, true, true, dx);
		else if (logs)
			back_row(y, dy, sum, w, true, false, dx);
		else if (add)
			back_row(y, dy, sum, w, false, true, dx);
		else
			back_row(y, dy, sum, w, false, false, dx);
}

static void backward_block(const struct job *j, size_t at, size_t w)
{
	const struct onx_lines *g = j->g;
	const bool logs = j->kind == ONX_LOG_SOFTMAX;

	if (g->inner != 1)
		back_lines(j->y + at, j->dy + at, g->len, g->inner, w, logs, j->add, j->to + at);
	else if (logs)
		back_log_line(j->y + at, j->dy + at, g->len, j->add, j->to + at);
	else
		back_line(j->y + at, j->dy + at, g->len, j->add, j->to + at);
}

ONX_CLONES
static void turn_in(const real *restrict x, size_t n, size_t lines, real *restrict to)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < lines; k++)
			to[i * NARROW + k] = x[k * n + i];
}

ONX_CLONES
static void turn_out(const real *restrict from, size_t n, size_t lines, bool add, real *restrict y)
{
	for (size_t k = 0; k < lines; k++)
		for (size_t i = 0; i < n; i++)
			onx_put(&y[k * n + i], add, from[i * NARROW + k]);
}

/* Lines lo..hi-1 of a few neighbours. */
static void short_lines(const struct job *j, size_t lo, size_t hi)
{
	const size_t n = j->g->len;
	const bool logs = j->kind == ONX_LOG_SOFTMAX;

	for (size_t lines; lo < hi; lo += lines) {
		const size_t at = lo * n;
		real a[SHORT * NARROW], b[SHORT * NARROW];

		lines = hi - lo < NARROW ? hi - lo : NARROW;
		if (j->dy) {
			turn_in(j->y + at, n, lines, a);
			turn_in(j->dy + at, n, lines, b);
			back_lines(a, b, n, NARROW, lines, logs, false, b);
			turn_out(b, n, lines, j->add, j->to + at);
		} else {
			turn_in(j->x + at, n, lines, a);
			soft_block(a, n, NARROW, lines, logs, b);
			turn_out(b, n, lines, false, j->to + at);
		}
	}
}

static void piece_of(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const struct onx_lines *g = j->g;
	size_t lo, hi;

	(void)worker;
	onx_piece(g->outer * j->across, j->grain, piece, &lo, &hi);
	if (g->inner == 1 && g->len <= SHORT && j->kind != ONX_HARDMAX) {
		short_lines(j, lo, hi);
		return;
	}
	for (size_t i = lo; i < hi; i++) {
		const size_t col = i % j->across * j->wide, w = g->inner - col < j->wide ? g->inner - col : j->wide;
		const size_t at = i / j->across * g->len * g->inner + col;

		if (j->dy)
			backward_block(j, at, w);
		else
			forward_block(j, at, w);
	}
}

static void run(struct onx_pool *pool, struct job *j)
{
	const struct onx_lines *g = j->g;

	j->wide = g->outer * onx_pieces(g->inner, WIDE) >= ENOUGH ? WIDE : NARROW;
	j->across = onx_pieces(g->inner, j->wide);
	j->grain = PIECE / (g->len * (g->inner < j->wide ? g->inner : j->wide) + 1) + 1;
	if (g->len)
		onx_parallel(pool, onx_pieces(g->outer * j->across, j->grain), piece_of, j);
}

void onx_softmax_forward(struct onx_pool *pool, const struct onx_lines *g, enum onx_soft kind,
			 const real *x, real *y)
{
	struct job j = { .g = g, .kind = kind, .x = x, .to = y };

	run(pool, &j);
}

void onx_softmax_backward(struct onx_pool *pool, const struct onx_lines *g, enum onx_soft kind,
			  const real *y, const real *dy, real *dx, bool add)
{
	struct job j = { .g = g, .kind = kind, .y = y, .dy = dy, .to = dx, .add = add };

	run(pool, &j);
}

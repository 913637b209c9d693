/* op/reduce_sum.c -- reductions forward: along a contiguous run in eight lanes, or a row of results at a time. */
#include "kernel/cpu.h"
#include "kernel/vmath.h"
#include "op/bulk.h"
#include "op/reduce_i.h"

enum { SHORT = 16, TOPS = 32 };

static double start(enum onx_reduction kind)
{
	return kind == PROD ? 1 : kind == MAX || kind == LOG_SUM_EXP ? -INFINITY : kind == MIN ? INFINITY : 0;
}

static double join(enum onx_reduction kind, double a, double b)
{
	return kind == PROD ? a * b : a + b;
}

static double finish(enum onx_reduction kind, double acc, size_t n)
{
	return kind == MEAN ? acc / (double)n : kind == L2 ? sqrt(acc) : kind == LOG_SUM ? log(acc) : acc;
}

/* One loop for each kind: a is what there is, v the next element. */
#define KINDS(LOOP)                                                                          \
	switch (kind) {                                                                      \
	case MAX: case LOG_SUM_EXP: LOOP(((v > a) | (v != v)) ? v : a);                        \
	case MIN:                   LOOP(((v < a) | (v != v)) ? v : a);                        \
	case PROD:                  LOOP(a * v);                                             \
	case L1:                    LOOP(a + fabs(v));                                       \
	case L2: case SUM_SQUARE:   LOOP(a + v * v);                                         \
	default:                    LOOP(a + v);                                             \
	}

/* A run into eight lanes. */
ONX_CLONES static void fold_run(enum onx_reduction kind, const real *restrict x, size_t n, double *restrict lane)
{
#define LOOP(f)                                                                              \
	for (; i + 8 <= n; i += 8)                                                           \
		for (size_t l = 0; l < 8; l++) {                                             \
			const double a = lane[l], v = (double)x[i + l];                      \
			lane[l] = f;                                                         \
		}                                                                            \
	for (; i < n; i++) {                                                                 \
		const double a = lane[i % 8], v = (double)x[i];                              \
		lane[i % 8] = f;                                                             \
	}                                                                                    \
	return
	size_t i = 0;

	KINDS(LOOP)
#undef LOOP
}

/* A row into as many sums. */
ONX_CLONES static void fold_row(enum onx_reduction kind, const real *restrict x, size_t n, double *restrict acc)
{
#define LOOP(f)                                                                              \
	for (size_t i = 0; i < n; i++) {                                                     \
		const double a = acc[i], v = (double)x[i];                                   \
		acc[i] = f;                                                                  \
	}                                                                                    \
	return
	KINDS(LOOP)
#undef LOOP
}

/* Extremes need no more digits than x has: a run into TOPS lanes, and a row into as many. */
ONX_CLONES static void top_run(bool max, const real *restrict x, size_t n, real *restrict lane)
{
	size_t i = 0;
#define LOOP(less)                                                                           \
	for (; i + TOPS <= n; i += TOPS)                                                     \
		for (size_t l = 0; l < TOPS; l++) {                                          \
			const real a = lane[l], v = x[i + l];                                \
			lane[l] = ((a less v) | (v != v)) ? v : a;                           \
		}                                                                            \
	for (; i < n; i++) {                                                                 \
		const real a = lane[i % TOPS], v = x[i];                                     \
		lane[i % TOPS] = ((a less v) | (v != v)) ? v : a;                            \
	}
	if (max) {
		LOOP(<)
	} else {
		LOOP(>)
	}
#undef LOOP
}

/* The extreme of all lanes, halves onto halves. */
ONX_CLONES static real top_of(bool max, real *restrict lane)
{
#define LOOP(less)                                                                           \
	ONX_UNROLL                                                                           \
	for (size_t n = TOPS / 2; n > 0; n /= 2)                                             \
		for (size_t l = 0; l < n; l++) {                                             \
			const real a = lane[l], v = lane[l + n];                             \
			lane[l] = ((a less v) | (v != v)) ? v : a;                           \
		}
	if (max) {
		LOOP(<)
	} else {
		LOOP(>)
	}
#undef LOOP
	return lane[0];
}

ONX_CLONES static void top_row(bool max, const real *restrict x, size_t n, real *restrict acc)
{
#define LOOP(less)                                                                           \
	for (size_t i = 0; i < n; i++) {                                                     \
		const real a = acc[i], v = x[i];                                             \
		acc[i] = ((a less v) | (v != v)) ? v : a;                                    \
	}
	if (max) {
		LOOP(<)
	} else {
		LOOP(>)
	}
#undef LOOP
}

static bool is_extreme(enum onx_reduction kind)
{
	return kind == MAX || kind == MIN || kind == LOG_SUM_EXP;
}

/* What the runs of one result make. */
static double fold_runs(enum onx_reduction kind, const real *x, const struct onx_reduce_dims *gone)
{
	const size_t n = gone->size[0], rows = gone->count / n;
	struct onx_reduce_spot row = { .off = 0 };
	double lane[8], acc;
	real top[TOPS];

	for (size_t l = 0; l < TOPS; l++)
		top[l] = (real)start(kind);
	for (size_t l = 0; l < 8; l++)
		lane[l] = start(kind);
	for (size_t r = 0; r < rows; r++, onx_reduce_next(gone, 1, &row))
		if (is_extreme(kind))
			top_run(kind != MIN, x + row.off, n, top);
		else
			fold_run(kind, x + row.off, n, lane);
	if (is_extreme(kind))
		return (double)top_of(kind != MIN, top);
	acc = lane[0];
	for (size_t l = 1; l < 8; l++)
		acc = join(kind, acc, lane[l]);
	return acc;
}

/* Runs too short for lanes, one after the other: of `results` runs of n each. */
ONX_CLONES static void fold_short(enum onx_reduction kind, const real *restrict x, size_t n, size_t results,
				  real *restrict y)
{
	const double zero = start(kind);
#define LOOP(f)                                                                              \
	for (size_t o = 0; o < results; o++) {                                               \
		double a = zero;                                                             \
		for (size_t i = 0; i < n; i++) {                                             \
			const double v = (double)x[o * n + i];                               \
			a = f;                                                               \
		}                                                                            \
		y[o] = (real)finish(kind, a, n);                                             \
	}                                                                                    \
	return
	KINDS(LOOP)
#undef LOOP
}

/* lane[i % 8 or i] += exp(x[i] - top[i or 0]) */
ONX_CLONES static void exp_run(const real *restrict x, double top, size_t n, double *restrict lane)
{
	real e[8];
	size_t i = 0;

	for (; i + 8 <= n; i += 8) {
		for (size_t l = 0; l < 8; l++)
			e[l] = onx_vexp((real)((double)x[i + l] - top));
		for (size_t l = 0; l < 8; l++)
			lane[l] += (double)e[l];
	}
	for (; i < n; i++)
		lane[i % 8] += (double)onx_vexp((real)((double)x[i] - top));
}

ONX_CLONES static void exp_row(const real *restrict x, const double *restrict top, size_t n, double *restrict acc)
{
	for (size_t i = 0; i < n; i++)
		acc[i] += (double)onx_vexp((real)((double)x[i] - top[i]));
}

static void inner_range(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_reduce_job *j = ctx;
	const struct onx_reduce_dims *gone = &j->g->gone, *kept = &j->g->kept;
	const size_t n = gone->size[0], rows = gone->count / n;
	struct onx_reduce_spot at = onx_reduce_seek(kept, 0, lo);
	real *y = j->c->y[0].v;

	if (rows == 1 && n <= SHORT && kept->n <= 1 && j->kind != LOG_SUM_EXP) {
		fold_short(j->kind, (const real *)j->c->x[0].v + lo * n, n, hi - lo, y + lo);
		return;
	}
	for (size_t o = lo; o < hi; o++, onx_reduce_next(kept, 0, &at)) {
		const real *x = (const real *)j->c->x[0].v + at.off;
		double acc = fold_runs(j->kind, x, gone), sum = 0;
		if (j->kind == LOG_SUM_EXP && isfinite(acc)) {
			double part[8] = { 0 };
			struct onx_reduce_spot row = { .off = 0 };
			for (size_t r = 0; r < rows; r++, onx_reduce_next(gone, 1, &row))
				exp_run(x + row.off, acc, n, part);
			for (int l = 0; l < 8; l++)
				sum += part[l];
			acc += log(sum);
		}
		y[o] = (real)finish(j->kind, acc, gone->count);
	}
}

static void outer_range(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_reduce_job *j = ctx;
	const struct onx_reduce_dims *gone = &j->g->gone, *kept = &j->g->kept;
	const size_t width = onx_reduce_row(kept);
	real *y = j->c->y[0].v;

	for (size_t o = lo, n; o < hi; o += n) {
		const size_t left = width - o % width, room = hi - o < ONX_REDUCE_BLOCK ? hi - o : ONX_REDUCE_BLOCK;
		const real *x = (const real *)j->c->x[0].v + onx_reduce_seek(kept, 0, o).off;
		struct onx_reduce_spot row = { .off = 0 };
		double acc[ONX_REDUCE_BLOCK], sum[ONX_REDUCE_BLOCK];
		real top[ONX_REDUCE_BLOCK];
		n = left < room ? left : room;
		for (size_t i = 0; i < n; i++) {
			top[i] = (real)(acc[i] = start(j->kind));
			sum[i] = 0;
		}
		for (size_t r = 0; r < gone->count; r++, onx_reduce_next(gone, 0, &row))
			if (is_extreme(j->kind))
				top_row(j->kind != MIN, x + row.off, n, top);
			else
				fold_row(j->kind, x + row.off, n, acc);
		for (size_t i = 0; is_extreme(j->kind) && i < n; i++)
			acc[i] = (double)top[i];
		for (size_t r = 0; j->kind == LOG_SUM_EXP && r < gone->count; r++, onx_reduce_next(gone, 0, &row))
			exp_row(x + row.off, acc, n, sum);
		for (size_t i = 0; i < n; i++) {
			if (j->kind == LOG_SUM_EXP && isfinite(acc[i]))
				acc[i] += log(sum[i]);
			y[o + i] = (real)finish(j->kind, acc[i], gone->count);
		}
	}
}

/* Few results across many rows: pieces are runs of rows, as many as the sizes say, and their sums are joined in
 * order. */
enum { PARTS = 8, PART_WORK = ONX_GRAIN };
struct parts { const struct onx_reduce_job *j; size_t rows; double acc[PARTS][ONX_REDUCE_BLOCK]; };

static void part_of(void *ctx, size_t piece, int worker)
{
	struct parts *p = ctx;
	const struct onx_reduce_dims *gone = &p->j->g->gone;
	const enum onx_reduction kind = p->j->kind;
	const size_t n = p->j->c->y[0].n;
	size_t lo, hi;

	(void)worker;
	onx_piece(gone->count, p->rows, piece, &lo, &hi);
	struct onx_reduce_spot row = onx_reduce_seek(gone, 0, lo);
	for (size_t i = 0; i < n; i++)
		p->acc[piece][i] = start(kind);
	for (; lo < hi; lo++, onx_reduce_next(gone, 0, &row))
		fold_row(kind, (const real *)p->j->c->x[0].v + row.off, n, p->acc[piece]);
}

/* false: something else is called for. */
static bool in_parts(const struct onx_reduce_job *j)
{
	const struct onx_reduce_dims *gone = &j->g->gone, *kept = &j->g->kept;
	const size_t n = j->c->y[0].n;
	struct parts p;
	real *y = j->c->y[0].v;

	if (onx_reduce_inner(j->g) || is_extreme(j->kind) || kept->n != 1 || kept->step[0] != 1 || n == 0 ||
	    n > ONX_REDUCE_BLOCK || gone->count / 2 * n < PART_WORK)
		return false;
	p.j = j;
	p.rows = onx_pieces(gone->count, PARTS);
	p.rows = p.rows * n < PART_WORK ? PART_WORK / n + 1 : p.rows;
	const size_t parts = onx_pieces(gone->count, p.rows);
	onx_parallel(j->c->pool, parts, part_of, &p);
	for (size_t i = 0; i < n; i++) {
		double acc = p.acc[0][i];
		for (size_t k = 1; k < parts; k++)
			acc = join(j->kind, acc, p.acc[k][i]);
		y[i] = (real)finish(j->kind, acc, gone->count);
	}
	return true;
}

/* n more whole numbers; *first: none has been there. */
static uint64_t fold_ints(enum onx_reduction kind, bool wide, uint64_t acc, bool first, const int64_t *x, size_t n)
{
	for (size_t i = 0; i < n; i++, first = false) {
		const uint64_t v = (uint64_t)x[i];
		const bool less = wide ? v < acc : x[i] < (int64_t)acc;
		switch (kind) {
		case MAX: acc = !first && less ? acc : v; break;
		case MIN: acc = !first && !less ? acc : v; break;
		case PROD: acc *= v; break;
		case L1: acc += !wide && x[i] < 0 ? 0 - v : v; break;
		case L2: case SUM_SQUARE: acc += v * v; break;
		default: acc += v;
		}
	}
	return acc;
}

/* Of no whole numbers: the type's largest is the least, its smallest the most (ReduceMin, ReduceMax). */
static int64_t of_none(enum onx_reduction kind, enum onx_dtype type)
{
	const int bits = onx_dtype_bits(type);
	const bool sign = onx_dtype_class(type) == ONX_CLASS_INT;
	const uint64_t most = type == ONX_BOOL ? 1 : UINT64_MAX >> (64 - bits + sign);

	return kind == PROD ? 1 : kind == MIN ? (int64_t)most : kind == MAX && sign ? -(int64_t)most - 1 : 0;
}

/* Whole numbers (and bool, for Max and Min) are summed as 64 bits, which wrap. */
static void ints_range(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_reduce_job *j = ctx;
	const struct onx_reduce_dims *gone = &j->g->gone;
	const struct onx_view *x = &j->c->x[0];
	const bool wide = x->type == ONX_UINT64;
	const size_t n = onx_reduce_row(gone), step = gone->n > 0 ? gone->step[0] : 1, rows = n ? gone->count / n : 0;
	struct onx_reduce_spot at = onx_reduce_seek(&j->g->kept, 0, lo);
	int64_t room[ONX_BULK];

	for (size_t o = lo; o < hi; o++, onx_reduce_next(&j->g->kept, 0, &at)) {
		struct onx_reduce_spot row = { .off = at.off };
		uint64_t acc = j->kind == PROD;
		for (size_t r = 0; r < rows; r++, onx_reduce_next(gone, 1, &row))
			for (size_t i = 0; i < n; i += ONX_BULK) {
				const size_t m = n - i < ONX_BULK ? n - i : ONX_BULK;
				acc = fold_ints(j->kind, wide, acc, r == 0 && i == 0,
						onx_bulk_ints(x, row.off + i * step, step, m, room), m);
			}
		int64_t y = gone->count ? (int64_t)acc : of_none(j->kind, x->type);
		if (gone->count && (j->kind == MEAN || j->kind == L2 || j->kind == LOG_SUM))
			y = (int64_t)finish(j->kind, (double)y, gone->count);
		onx_view_put_int(&j->c->y[0], o, y);
	}
}

void onx_reduce_forward(const struct onx_call *c, enum onx_reduction kind)
{
	const struct onx_reduce_job j = { c, c->geo, kind };

	if (onx_dtype_real(c->x[0].type) && in_parts(&j))
		return;
	if (onx_dtype_real(c->x[0].type))
		onx_reduce_each(c, c->geo, inner_range, outer_range, &j);
	else if (!onx_reduce_bytes(c, kind))
		onx_each(c->pool, c->y[0].n, onx_pieces(ONX_GRAIN, j.g->gone.count + 1), ints_range, &j);
}

/* op/walk.c -- see walk.h.  A walk runs row by row: the innermost dimension is a loop over bytes of one
 * width, the others are an odometer.  Rows are numbered, so any piece of rows can start by itself. */
#include "op/walk.h"
#include <stdlib.h>
#include <string.h>
#include "kernel/cpu.h"
#include "kernel/far.h"
#include "kernel/turn.h"
#include "op/sums.h"

enum { GRAIN = 1 << 15 };               /* elements a piece should have */

void onx_walk_dim(struct onx_walk *w, int64_t dim, int64_t to, int64_t from)
{
	if (dim == 1)
		return;
	if (w->rank > 0) {
		const int k = w->rank - 1;

		if (w->to[k] == to * dim && w->from[k] == from * dim) {
			w->dim[k] *= dim;
			w->to[k] = to;
			w->from[k] = from;
			return;
		}
	}
	w->dim[w->rank] = dim;
	w->to[w->rank] = to;
	w->from[w->rank++] = from;
}

/* Where row `row` of dims 0..rank-1 starts; idx is the odometer. */
static void seek(const struct onx_walk *w, int rank, size_t row, int64_t *idx, int64_t *to, int64_t *from)
{
	*to = w->to0;
	*from = w->from0;
	for (int i = rank - 1; i >= 0; i--) {
		const int64_t k = (int64_t)(row % (size_t)w->dim[i]);

		row /= (size_t)w->dim[i];
		idx[i] = k;
		*to += k * w->to[i];
		*from += k * w->from[i];
	}
}

static inline void step(const struct onx_walk *w, int rank, int64_t *idx, int64_t *to, int64_t *from)
{
	for (int i = rank - 1; i >= 0; i--) {
		*to += w->to[i];
		*from += w->from[i];
		if (++idx[i] < w->dim[i])
			return;
		idx[i] = 0;
		*to -= w->dim[i] * w->to[i];
		*from -= w->dim[i] * w->from[i];
	}
}

/* n elements of type T (which has no trap values: bytes are moved) with strides. */
#define ROW(name, T)                                                                          \
static void name(void *to, const void *from, int64_t n, int64_t st, int64_t sf)                \
{                                                                                             \
	T *t = to;                                                                            \
	const T *f = from;                                                                    \
	for (int64_t i = 0; i < n; i++)                                                       \
		t[i * st] = f[i * sf];                                                        \
}
ROW(row1, uint8_t)
ROW(row2, uint16_t)
ROW(row4, uint32_t)
ROW(row8, uint64_t)
#undef ROW

static void row(void *to, const void *from, int64_t n, int64_t st, int64_t sf, size_t width)
{
	if (st == 1 && sf == 1)
		memcpy(to, from, (size_t)n * width);
	else if (width == 4)
		row4(to, from, n, st, sf);
	else if (width == 8)
		row8(to, from, n, st, sf);
	else if (width == 1)
		row1(to, from, n, st, sf);
	else if (width == 2)
		row2(to, from, n, st, sf);
	else
		for (int64_t i = 0; i < n; i++)
			memcpy((char *)to + i * st * (int64_t)width,
			       (const char *)from + i * sf * (int64_t)width, width);
}

/* The same, added. */
ONX_CLONES
static void add_row(real *t, const real *f, int64_t n, int64_t st, int64_t sf)
{
	if (st == 1 && sf == 1)
		for (int64_t i = 0; i < n; i++)
			t[i] += f[i];
	else
		for (int64_t i = 0; i < n; i++)
			t[i * st] += f[i * sf];
}

struct job {
	const struct onx_walk *w;
	void *to;
	const void *from;
	size_t width, rows, grain;
	bool add;
};

static void copy_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const struct onx_walk *w = j->w;
	const int outer = w->rank > 0 ? w->rank - 1 : 0;
	const int64_t n = w->rank > 0 ? w->dim[outer] : 1;
	const int64_t st = w->rank > 0 ? w->to[outer] : 1, sf = w->rank > 0 ? w->from[outer] : 1;
	int64_t idx[ONX_WALK_RANK] = { 0 }, to, from;
	size_t lo, hi;

	(void)worker;
	onx_piece(j->rows, j->grain, piece, &lo, &hi);
	seek(w, outer, lo, idx, &to, &from);
	for (size_t r = lo; r < hi; r++) {
		if (j->add)
			add_row((real *)j->to + to, (const real *)j->from + from, n, st, sf);
		else
			row((char *)j->to + to * (int64_t)j->width, (const char *)j->from + from * (int64_t)j->width,
			    n, st, sf, j->width);
		step(w, outer, idx, &to, &from);
	}
}

/* Rows of `from` lie along another dimension than rows of `to`: blocks of `n` elements of the one by `m` of the other,
 * for each index of the outer dimensions. */
struct turn_job {
	struct onx_walk outer;
	struct onx_turn t;
	char *to;
	const char *from;
	int64_t rows, cols, n, m;
	size_t across, blocks, grain;   /* blocks along cols, of all; blocks of a piece */
};

static void turn_piece(void *ctx, size_t piece, int worker)
{
	const struct turn_job *j = ctx;
	const size_t down = onx_pieces((size_t)j->rows, (size_t)j->n);
	int64_t idx[ONX_WALK_RANK] = { 0 }, to, from;
	size_t lo, hi;

	(void)worker;
	onx_piece(j->blocks, j->grain, piece, &lo, &hi);
	for (; lo < hi; lo++) {
		const int64_t a0 = (int64_t)(lo % j->across) * j->m, b0 = (int64_t)(lo / j->across % down) * j->n;
		const int64_t a1 = a0 + j->m < j->cols ? a0 + j->m : j->cols;

		seek(&j->outer, j->outer.rank, lo / j->across / down, idx, &to, &from);
		onx_turn_block(&j->t, j->to + (to + b0 * j->t.step) * (int64_t)j->t.width,
			 j->from + (from + b0) * (int64_t)j->t.width, a0, a1,
			 j->n < j->rows - b0 ? j->n : j->rows - b0);
	}
}

/* Which dimension is the rows of `from`; -1: the copy is none that turns.  What follows it is dense in `to`. */
static int turned(const struct onx_walk *w, size_t width)
{
	int k = w->rank - 1;

	if (k < 1 || w->to[k] != 1 || w->from[k] == 1 || (width != 1 && width != 2 && width != 4 && width != 8))
		return -1;
	for (; k > 0 && w->from[k] != 1; k--)
		if (w->from[k] < 0 || (w->to[k - 1] != w->to[k] * w->dim[k] && w->from[k - 1] != 1))
			return -1;
	return w->from[k] == 1 && w->to[k] > 0 ? k : -1;
}

static void turn(const struct onx_walk *w, int k, void *to, const void *from, size_t width, struct onx_pool *p)
{
	enum { FEW = 8, THIN = 16, BLOCK = 256, LONG = 1024, WIDE = 512 };
	struct turn_job j = { .outer = *w, .to = to, .from = from, .rows = w->dim[k], .cols = 1,
			      .t = { .width = width, .step = w->to[k], .rank = w->rank - 1 - k } };

	j.outer.rank = k;
	for (int d = k + 1; d < w->rank; d++) {
		j.t.dim[d - k - 1] = w->dim[d];
		j.t.stride[d - k - 1] = w->from[d];
		j.cols *= w->dim[d];
	}
	j.t.far = (size_t)onx_span(w->dim, 0, w->rank) >= ONX_FAR / width;
	j.n = j.cols < THIN ? LONG : BLOCK;
	j.m = j.rows < FEW ? LONG : WIDE;
	j.across = onx_pieces((size_t)j.cols, (size_t)j.m);
	j.blocks = (size_t)onx_span(w->dim, 0, k) * onx_pieces((size_t)j.rows, (size_t)j.n) * j.across;
	const int64_t one = (j.n < j.rows ? j.n : j.rows) * (j.m < j.cols ? j.m : j.cols);
	j.grain = one < GRAIN ? (size_t)(GRAIN / (one + 1) + 1) : 1;
	onx_parallel(p, onx_pieces(j.blocks, j.grain), turn_piece, &j);
}

/* add: real elements, added to what is there. */
static void move(const struct onx_walk *w, void *to, const void *from, size_t width, bool add, struct onx_pool *p)
{
	const int outer = w->rank > 0 ? w->rank - 1 : 0, k = add ? -1 : turned(w, width);
	const int64_t n = w->rank > 0 ? w->dim[outer] : 1;
	struct job j = { .w = w, .to = to, .from = from, .width = width, .add = add };

	if (k >= 0) {
		turn(w, k, to, from, width, p);
		return;
	}
	j.rows = (size_t)onx_span(w->dim, 0, outer);
	if (n == 0 || j.rows == 0)
		return;
	j.grain = (size_t)(n < GRAIN ? GRAIN / n : 1);
	onx_parallel(p, onx_pieces(j.rows, j.grain), copy_piece, &j);
}

void onx_walk_copy(const struct onx_walk *w, void *to, const void *from, size_t width, struct onx_pool *p)
{
	move(w, to, from, width, false, p);
}

/* The copy back, for a walk that visits every element of `from` once at most. */
static struct onx_walk reversed(const struct onx_walk *w)
{
	struct onx_walk k = { .to0 = w->from0, .from0 = w->to0 };
	bool done[ONX_WALK_RANK] = { false };

	for (int n = 0; n < w->rank; n++) {
		int next = -1;

		for (int i = 0; i < w->rank; i++)
			if (!done[i] && (next < 0 || llabs(w->from[i]) > llabs(w->from[next])))
				next = i;
		done[next] = true;
		onx_walk_dim(&k, w->dim[next], w->from[next], w->to[next]);
	}
	return k;
}

static bool sums(const struct onx_walk *w)
{
	for (int i = 0; i < w->rank; i++)
		if (w->from[i] == 0)
			return true;
	return false;
}

static void take(const void *ctx, real *out, const int64_t *off, const int64_t *step, size_t n)
{
	row(out, (const real *)ctx + off[0], (int64_t)n, 1, step[0], sizeof *out);
}

/* Dimensions go from the shortest step through dto to the longest. */
static void sum_back(const struct onx_walk *w, real *dfrom, const real *dto, bool add, struct onx_pool *p)
{
	struct onx_sum s = { .n_from = 1, .to0 = w->from0, .from0 = { w->to0 }, .term = take, .ctx = dto };
	bool done[ONX_WALK_RANK] = { false };

	for (int n = 0; n < w->rank; n++) {
		int next = -1;

		for (int i = 0; i < w->rank; i++)
			if (!done[i] && (next < 0 || llabs(w->to[i]) < llabs(w->to[next])))
				next = i;
		done[next] = true;
		onx_sum_dim(&s, &(struct onx_sum_axis){ (size_t)w->dim[next], w->from[next], { w->to[next] } });
	}
	onx_sum_run(&s, dfrom, add, p);
}

void onx_walk_back(const struct onx_walk *w, real *dfrom, const real *dto, bool add, struct onx_pool *p)
{
	if (!sums(w)) {
		const struct onx_walk back = reversed(w);

		move(&back, dfrom, dto, sizeof *dfrom, add, p);
		return;
	}
	sum_back(w, dfrom, dto, add, p);
}

void onx_fill(void *to, size_t n, const void *value, size_t width)
{
	char *t = to;
	size_t done = 1;

	if (n == 0)
		return;
	if (!value) {
		memset(t, 0, n * width);
		return;
	}
	memcpy(t, value, width);
	while (done < n) {                      /* doubles what is there */
		const size_t more = done < n - done ? done : n - done;

		memcpy(t + done * width, t, more * width);
		done += more;
	}
}

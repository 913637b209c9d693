/* op/walk.c -- see walk.h.  A walk runs row by row: the innermost dimension is a loop over bytes of one
 * width, the dimension around it a loop over such rows, the others are an odometer.  Rows are numbered, so any piece of
 * rows can start by itself. */
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

/* What a run of rows has in common: `m` of them, of n elements with strides to and from; the rows themselves are
 * row_to and row_from apart. */
struct rows { int64_t m, n, to, from, row_to, row_from; };

/* Elements of type T, which has no trap values: bytes are moved. */
#define ROWS(name, T)                                                                         \
ONX_INLINE void name##_same(T *t, T v, int64_t n)                                              \
{                                                                                             \
	for (int64_t i = 0; i < n; i++)                                                       \
		t[i] = v;                                                                     \
}                                                                                             \
static void name(const struct rows *k, void *to, const void *from)                             \
{                                                                                             \
	const int64_t n = k->n, st = k->to, sf = k->from;                                     \
	T *t = to;                                                                            \
	const T *f = from;                                                                    \
	for (int64_t r = 0; r < k->m; r++, t += k->row_to, f += k->row_from)                  \
		if (st == 1 && sf == 0)                                                       \
			name##_same(t, *f, n);                                                \
		else                                                                          \
			for (int64_t i = 0; i < n; i++)                                       \
				t[i * st] = f[i * sf];                                        \
}
ROWS(rows1, uint8_t)
ROWS(rows2, uint16_t)
ROWS(rows4, uint32_t)
ROWS(rows8, uint64_t)
#undef ROWS

/* Dense rows of `bytes`: a call of memcpy for each of a million rows of two numbers takes longer than the numbers. */
static void dense_rows(const struct rows *k, char *to, const char *from, size_t width)
{
	const int64_t row_to = k->row_to * (int64_t)width, row_from = k->row_from * (int64_t)width;
	const size_t bytes = (size_t)k->n * width;

	switch (bytes) {
#define SHORT(n) \
	case n: \
		for (int64_t r = 0; r < k->m; r++) \
			memcpy(to + r * row_to, from + r * row_from, n); \
		break;
	SHORT(1) SHORT(2) SHORT(4) SHORT(8) SHORT(12) SHORT(16) SHORT(20) SHORT(24) SHORT(28) SHORT(32) SHORT(48)
	SHORT(64)
#undef SHORT
	default:
		for (int64_t r = 0; r < k->m; r++)
			memcpy(to + r * row_to, from + r * row_from, bytes);
	}
}

static void copy_rows(const struct rows *k, char *to, const char *from, size_t width)
{
	if (k->to == 1 && k->from == 1)
		dense_rows(k, to, from, width);
	else if (width == 4)
		rows4(k, to, from);
	else if (width == 8)
		rows8(k, to, from);
	else if (width == 1)
		rows1(k, to, from);
	else if (width == 2)
		rows2(k, to, from);
	else
		for (int64_t r = 0; r < k->m; r++)
			for (int64_t i = 0; i < k->n; i++)
				memcpy(to + (r * k->row_to + i * k->to) * (int64_t)width,
				       from + (r * k->row_from + i * k->from) * (int64_t)width, width);
}

/* The same, added. */
ONX_CLONES
static void add_rows(const struct rows *k, real *t, const real *f)
{
	const int64_t n = k->n, st = k->to, sf = k->from;

	for (int64_t r = 0; r < k->m; r++, t += k->row_to, f += k->row_from)
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

/* Rows lo..hi-1 in runs along the dimension around them. */
static void copy_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const struct onx_walk *w = j->w;
	const int inner = w->rank > 0 ? w->rank - 1 : 0, outer = inner > 0 ? inner - 1 : 0;
	const int64_t around = inner > 0 ? w->dim[outer] : 1;
	struct rows k = { .n = 1, .to = 1, .from = 1 };
	int64_t idx[ONX_WALK_RANK] = { 0 }, to, from;
	size_t lo, hi;

	(void)worker;
	if (w->rank > 0)
		k = (struct rows){ .n = w->dim[inner], .to = w->to[inner], .from = w->from[inner] };
	if (inner > 0) {
		k.row_to = w->to[outer];
		k.row_from = w->from[outer];
	}
	onx_piece(j->rows, j->grain, piece, &lo, &hi);
	for (size_t r = lo; r < hi; r += (size_t)k.m) {
		const int64_t at = (int64_t)(r % (size_t)around);

		k.m = around - at < (int64_t)(hi - r) ? around - at : (int64_t)(hi - r);
		seek(w, outer, r / (size_t)around, idx, &to, &from);
		to += at * k.row_to;
		from += at * k.row_from;
		if (j->add)
			add_rows(&k, (real *)j->to + to, (const real *)j->from + from);
		else
			copy_rows(&k, (char *)j->to + to * (int64_t)j->width,
				  (const char *)j->from + from * (int64_t)j->width, j->width);
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
	enum { FILLED = 64 };
	int k = w->rank - 1;

	if (k > 0 && w->from[k] == 0 && w->dim[k] >= FILLED)
		return -1;              /* one number fills a row */
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
	const struct rows k = { .m = 1, .n = (int64_t)n, .to = 1, .from = step[0] };

	copy_rows(&k, (char *)out, (const char *)((const real *)ctx + off[0]), sizeof *out);
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

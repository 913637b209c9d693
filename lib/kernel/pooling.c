/* kernel/pooling.c -- see the header.  A piece is a run of whole planes. */
#include "kernel/pooling.h"
#include "kernel/cpu.h"
#include <string.h>

enum { PIECE_WORK = 1 << 15 };

struct job {
	const struct onx_window *w;
	size_t planes, grain;
	bool count_pad, add, is_signed;
	double p;
	const real *x, *y, *dy;
	const void *bytes;
	void *bytes_out;
	real *to;
	int32_t *at;
	const int32_t *from;
	void (*plane)(const struct job *j, size_t plane);
};

static void run_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	size_t lo, hi;

	(void)worker;
	onx_piece(j->planes, j->grain, piece, &lo, &hi);
	for (size_t i = lo; i < hi; i++)
		j->plane(j, i);
}

static void run(struct onx_pool *pool, struct job *j, void (*plane)(const struct job *, size_t))
{
	j->plane = plane;
	j->grain = PIECE_WORK / (j->w->out_n * j->w->kern_n + 1) + 1;
	onx_parallel(pool, onx_pieces(j->planes, j->grain), run_piece, j);
}

static struct onx_reach reach_of(const struct onx_window *w, size_t o)
{
	const size_t oi[3] = { o / w->out[2] / w->out[1], o / w->out[2] % w->out[1], o % w->out[2] };

	return onx_window_reach(w, oi);
}

/* Where tap column 0 of tap row (d, h) lies in the plane. */
static int64_t row_of(const struct onx_window *w, const struct onx_reach *r, int64_t d, int64_t h)
{
	return ((r->first[0] + d * w->dil[0]) * (int64_t)w->in[1] + r->first[1] + h * w->dil[1]) *
	       (int64_t)w->in[2] + r->first[2];
}

/* One tap over n outputs of a row that all meet the input: x is s apart from one to the next.  As a
 * loop over outputs it has no branches. */
ONX_INLINE void max_tap(const real *restrict x, int64_t s, int32_t from, size_t n, real *restrict top,
			int32_t *restrict at)
{
	for (size_t i = 0; i < n; i++) {
		const real v = x[(int64_t)i * s];
		const bool take = (v > top[i]) | (v != v) | (at[i] < 0);

		top[i] = take ? v : top[i];
		at[i] = take ? from + (int32_t)((int64_t)i * s) : at[i];
	}
}

/* Row r of the output, tap by tap. */
ONX_CLONES
static void max_row(const struct onx_window *w, const real *x, size_t r, real *top, int32_t *at)
{
	for (size_t i = 0; i < w->out[2]; i++) {
		top[i] = -(real)INFINITY;
		at[i] = -1;
	}
	for (size_t t = 0; t < w->kern_n; t++) {
		const size_t kw = t % w->kern[2];
		const int64_t d = onx_window_at(w, 0, r / w->out[1], t / w->kern[2] / w->kern[1]);
		const int64_t h = onx_window_at(w, 1, r % w->out[1], t / w->kern[2] % w->kern[1]);
		size_t lo, hi;

		if (d < 0 || d >= (int64_t)w->in[0] || h < 0 || h >= (int64_t)w->in[1])
			continue;
		onx_window_valid(w, 2, kw, &lo, &hi);
		if (hi <= lo)
			continue;
		const int64_t from = (d * (int64_t)w->in[1] + h) * (int64_t)w->in[2] +
				     onx_window_at(w, 2, lo, kw);

		if (w->stride[2] == 1)
			max_tap(x + from, 1, (int32_t)from, hi - lo, top + lo, at + lo);
		else if (w->stride[2] == 2)
			max_tap(x + from, 2, (int32_t)from, hi - lo, top + lo, at + lo);
		else
			max_tap(x + from, w->stride[2], (int32_t)from, hi - lo, top + lo, at + lo);
	}
}

/* The one window that is the whole plane: blocks are asked whether they hold more than there is, and searched then. */
ONX_CLONES
static void max_all(const real *x, size_t n, real *top, int32_t *at)
{
	enum { BLOCK = 64 };
	real best = x[0];
	size_t where = 0;

	for (size_t from = 0; from < n; from += BLOCK) {
		const size_t m = n - from < BLOCK ? n - from : BLOCK;
		int wins = 0;
		for (size_t i = 0; i < m; i++)
			wins |= (x[from + i] > best) | (x[from + i] != x[from + i]);
		for (size_t i = from; wins && i < from + m; i++)
			if (x[i] > best || x[i] != x[i]) {
				best = x[i];
				where = i;
			}
	}
	*top = best;
	*at = (int32_t)where;
}

static void max_plane(const struct job *j, size_t plane)
{
	const struct onx_window *w = j->w;

	if (w->out_n == 1 && w->kern_n == w->in_n && w->in_n == w->in[2] && w->pad[2] == 0 && w->dil[2] == 1) {
		max_all(j->x + plane * w->in_n, w->in_n, j->to + plane, j->at + plane);
		return;
	}
	for (size_t r = 0; r < w->out[0] * w->out[1]; r++) {
		const size_t o = plane * w->out_n + r * w->out[2];

		max_row(w, j->x + plane * w->in_n, r, j->to + o, j->at + o);
	}
}

void onx_maxpool_forward(struct onx_pool *pool, const struct onx_window *w, size_t planes, const real *x,
			 real *y, int32_t *at)
{
	struct job j = { .w = w, .planes = planes, .x = x, .to = y, .at = at };

	run(pool, &j, max_plane);
}

static void max_back(const struct job *j, size_t plane)
{
	const struct onx_window *w = j->w;
	real *dx = j->to + plane * w->in_n;

	if (!j->add)
		memset(dx, 0, w->in_n * sizeof *dx);
	for (size_t o = plane * w->out_n; o < (plane + 1) * w->out_n; o++)
		if (j->from[o] >= 0)
			dx[j->from[o]] += j->dy[o];
}

void onx_maxpool_backward(struct onx_pool *pool, const struct onx_window *w, size_t planes, const real *dy,
			  const int32_t *at, real *dx, bool add)
{
	struct job j = { .w = w, .planes = planes, .dy = dy, .from = at, .to = dx, .add = add };

	run(pool, &j, max_back);
}

static void byte_plane(const struct job *j, size_t plane)
{
	const struct onx_window *w = j->w;
	const uint8_t *x = (const uint8_t *)j->bytes + plane * w->in_n;
	const int flip = j->is_signed ? 0x80 : 0;       /* int8 in the order of uint8 */

	for (size_t o = 0; o < w->out_n; o++) {
		const struct onx_reach r = reach_of(w, o);
		int top = -1;
		int64_t at = -1;

		for (int64_t d = r.lo[0]; d < r.hi[0]; d++)
			for (int64_t h = r.lo[1]; h < r.hi[1]; h++) {
				const int64_t row = row_of(w, &r, d, h);

				for (int64_t k = r.lo[2]; k < r.hi[2]; k++)
					if ((x[row + k * w->dil[2]] ^ flip) > top) {
						at = row + k * w->dil[2];
						top = x[at] ^ flip;
					}
			}
		((uint8_t *)j->bytes_out)[plane * w->out_n + o] = (uint8_t)((top < 0 ? 0 : top) ^ flip);
		j->at[plane * w->out_n + o] = (int32_t)at;
	}
}

void onx_maxpool_bytes(struct onx_pool *pool, const struct onx_window *w, size_t planes, bool is_signed,
		       const void *x, void *y, int32_t *at)
{
	struct job j = { .w = w, .planes = planes, .bytes = x, .bytes_out = y, .at = at,
			 .is_signed = is_signed };

	run(pool, &j, byte_plane);
}

static void avg_plane_small(const struct job *j, size_t plane)
{
	const struct onx_window *w = j->w;
	const real *x = j->x + plane * w->in_n;

	for (size_t o = 0; o < w->out_n; o++) {
		const struct onx_reach r = reach_of(w, o);
		double sum = 0;

		for (int64_t d = r.lo[0]; d < r.hi[0]; d++)
			for (int64_t h = r.lo[1]; h < r.hi[1]; h++) {
				const int64_t row = row_of(w, &r, d, h);

				for (int64_t k = r.lo[2]; k < r.hi[2]; k++)
					sum += x[row + k * w->dil[2]];
			}
		j->to[plane * w->out_n + o] = (real)(sum / onx_reach_count(w, &r, j->count_pad));
	}
}

static void avg_back_small(const struct job *j, size_t plane)
{
	const struct onx_window *w = j->w;
	real *dx = j->to + plane * w->in_n;

	if (!j->add)
		memset(dx, 0, w->in_n * sizeof *dx);
	for (size_t o = 0; o < w->out_n; o++) {
		const struct onx_reach r = reach_of(w, o);
		const real g = (real)(j->dy[plane * w->out_n + o] / onx_reach_count(w, &r, j->count_pad));

		for (int64_t d = r.lo[0]; d < r.hi[0]; d++)
			for (int64_t h = r.lo[1]; h < r.hi[1]; h++) {
				const int64_t row = row_of(w, &r, d, h);

				for (int64_t k = r.lo[2]; k < r.hi[2]; k++)
					dx[row + k * w->dil[2]] += g;
			}
	}
}

/* Rows of at least this many outputs go tap by tap; shorter ones output by output. */
enum { AVG_ROW = 4, AVG_BLOCK = 128, AVG_WIDE = 512 };

/* fn for each tap of outputs [lo, lo + n) of row r that meets the input, on those outputs where it does. */
typedef void tap_fn(real *x, int64_t s, size_t n, double *acc);
static void each_tap(const struct onx_window *w, real *x, size_t r, size_t lo, size_t n, double *acc, tap_fn *fn)
{
	for (size_t t = 0; t < w->kern_n; t++) {
		const size_t kw = t % w->kern[2];
		const int64_t d = onx_window_at(w, 0, r / w->out[1], t / w->kern[2] / w->kern[1]);
		const int64_t h = onx_window_at(w, 1, r % w->out[1], t / w->kern[2] % w->kern[1]);
		size_t from, to;

		if (d < 0 || d >= (int64_t)w->in[0] || h < 0 || h >= (int64_t)w->in[1])
			continue;
		onx_window_valid(w, 2, kw, &from, &to);
		from = from > lo ? from : lo;
		to = to < lo + n ? to : lo + n;
		if (from < to)
			fn(x + (d * (int64_t)w->in[1] + h) * (int64_t)w->in[2] + onx_window_at(w, 2, from, kw),
			   w->stride[2], to - from, acc + (from - lo));
	}
}

#define TAP(name, f)                                                                         \
ONX_CLONES static void name(real *x, int64_t s, size_t n, double *restrict acc)              \
{                                                                                            \
	if (s == 1)                                                                          \
		ONX_ALIKE for (size_t i = 0; i < n; i++) {                                   \
			real *at = x + i;                                                    \
			f;                                                                   \
		}                                                                            \
	else                                                                                 \
		ONX_ALIKE for (size_t i = 0; i < n; i++) {                                   \
			real *at = x + (int64_t)i * s;                                       \
			f;                                                                   \
		}                                                                            \
}
TAP(tap_sum, acc[i] += *at)
TAP(tap_spread, *at += (real)acc[i])

/* count[i]: by how much outputs [lo, lo + n) of row r divide; those in the middle of a row have the same. */
static void counts(const struct job *j, size_t r, size_t lo, size_t n, double *count)
{
	const struct onx_window *w = j->w;
	const int64_t span = ((int64_t)w->kern[2] - 1) * w->dil[2];
	double middle = 0;

	for (size_t i = 0; i < n; i++) {
		const int64_t first = onx_window_at(w, 2, lo + i, 0);
		const bool whole = first >= 0 && first + span < (int64_t)w->in[2];

		if (!whole || middle == 0) {
			const struct onx_reach reach = reach_of(w, r * w->out[2] + lo + i);
			count[i] = onx_reach_count(w, &reach, j->count_pad);
			middle = whole ? count[i] : middle;
		} else {
			count[i] = middle;
		}
	}
}

ONX_CLONES static void add_columns(const real *restrict x, size_t n, double *restrict col)
{
	for (size_t i = 0; i < n; i++)
		col[i] += x[i];
}

ONX_CLONES static void tap_columns(const double *restrict col, int64_t s, size_t n, double *restrict acc)
{
	if (s == 1)
		for (size_t i = 0; i < n; i++)
			acc[i] += col[i];
	else
		for (size_t i = 0; i < n; i++)
			acc[i] += col[(int64_t)i * s];
}

/* Row r of the output: first the input's rows that it sees added up, then its taps along them. */
static void sum_columns(const struct onx_window *w, const real *x, size_t r, double *acc)
{
	double col[AVG_WIDE];

	memset(col, 0, w->in[2] * sizeof *col);
	for (size_t t = 0; t < w->kern[0] * w->kern[1]; t++) {
		const int64_t d = onx_window_at(w, 0, r / w->out[1], t / w->kern[1]);
		const int64_t h = onx_window_at(w, 1, r % w->out[1], t % w->kern[1]);

		if (d >= 0 && d < (int64_t)w->in[0] && h >= 0 && h < (int64_t)w->in[1])
			add_columns(x + (d * (int64_t)w->in[1] + h) * (int64_t)w->in[2], w->in[2], col);
	}
	for (size_t kw = 0; kw < w->kern[2]; kw++) {
		size_t from, to;

		onx_window_valid(w, 2, kw, &from, &to);
		if (from < to)
			tap_columns(col + onx_window_at(w, 2, from, kw), w->stride[2], to - from, acc + from);
	}
}

static void avg_plane(const struct job *j, size_t plane)
{
	const struct onx_window *w = j->w;

	if (w->out[2] < AVG_ROW) {
		avg_plane_small(j, plane);
		return;
	}
	for (size_t r = 0; r < w->out[0] * w->out[1]; r++)
		for (size_t lo = 0; lo < w->out[2]; lo += AVG_BLOCK) {
			const size_t n = w->out[2] - lo < AVG_BLOCK ? w->out[2] - lo : AVG_BLOCK;
			real *y = j->to + plane * w->out_n + r * w->out[2] + lo;
			double sum[AVG_BLOCK] = { 0 }, count[AVG_BLOCK];

			if (w->in[2] <= AVG_WIDE && w->out[2] <= AVG_BLOCK)
				sum_columns(w, j->x + plane * w->in_n, r, sum);
			else
				each_tap(w, (real *)(uintptr_t)j->x + plane * w->in_n, r, lo, n, sum, tap_sum);
			counts(j, r, lo, n, count);
			for (size_t i = 0; i < n; i++)
				y[i] = (real)(sum[i] / count[i]);
		}
}

static void avg_back(const struct job *j, size_t plane)
{
	const struct onx_window *w = j->w;
	real *dx = j->to + plane * w->in_n;

	if (w->out[2] < AVG_ROW) {
		avg_back_small(j, plane);
		return;
	}
	if (!j->add)
		memset(dx, 0, w->in_n * sizeof *dx);
	for (size_t r = 0; r < w->out[0] * w->out[1]; r++)
		for (size_t lo = 0; lo < w->out[2]; lo += AVG_BLOCK) {
			const size_t n = w->out[2] - lo < AVG_BLOCK ? w->out[2] - lo : AVG_BLOCK;
			const real *dy = j->dy + plane * w->out_n + r * w->out[2] + lo;
			double share[AVG_BLOCK], count[AVG_BLOCK];

			counts(j, r, lo, n, count);
			for (size_t i = 0; i < n; i++)
				share[i] = dy[i] / count[i];
			each_tap(w, dx, r, lo, n, share, tap_spread);
		}
}

void onx_avgpool_forward(struct onx_pool *pool, const struct onx_window *w, size_t planes, bool count_pad,
			 const real *x, real *y)
{
	struct job j = { .w = w, .planes = planes, .count_pad = count_pad, .x = x, .to = y };

	run(pool, &j, avg_plane);
}

void onx_avgpool_backward(struct onx_pool *pool, const struct onx_window *w, size_t planes, bool count_pad,
			  const real *dy, real *dx, bool add)
{
	struct job j = { .w = w, .planes = planes, .count_pad = count_pad, .dy = dy, .to = dx, .add = add };

	run(pool, &j, avg_back);
}

static double power(double x, double p)
{
	x = fabs(x);
	return p == 2 ? x * x : p == 1 ? x : pow(x, p);
}

static void lp_plane(const struct job *j, size_t plane)
{
	const struct onx_window *w = j->w;
	const real *x = j->x + plane * w->in_n;

	for (size_t o = 0; o < w->out_n; o++) {
		const struct onx_reach r = reach_of(w, o);
		double sum = 0;

		for (int64_t d = r.lo[0]; d < r.hi[0]; d++)
			for (int64_t h = r.lo[1]; h < r.hi[1]; h++) {
				const int64_t row = row_of(w, &r, d, h);

				for (int64_t k = r.lo[2]; k < r.hi[2]; k++)
					sum += power(x[row + k * w->dil[2]], j->p);
			}
		j->to[plane * w->out_n + o] = (real)(j->p == 2 ? sqrt(sum) : pow(sum, 1 / j->p));
	}
}

static void lp_back(const struct job *j, size_t plane)
{
	const struct onx_window *w = j->w;
	const real *x = j->x + plane * w->in_n;
	real *dx = j->to + plane * w->in_n;

	if (!j->add)
		memset(dx, 0, w->in_n * sizeof *dx);
	for (size_t o = 0; o < w->out_n; o++) {
		const struct onx_reach r = reach_of(w, o);
		const double y = j->y[plane * w->out_n + o];
		const double g = y > 0 ? j->dy[plane * w->out_n + o] / power(y, j->p - 1) : 0;

		for (int64_t d = r.lo[0]; g != 0 && d < r.hi[0]; d++)
			for (int64_t h = r.lo[1]; h < r.hi[1]; h++) {
				const int64_t row = row_of(w, &r, d, h);

				for (int64_t k = r.lo[2]; k < r.hi[2]; k++) {
					const real v = x[row + k * w->dil[2]];

					dx[row + k * w->dil[2]] += (real)((v > 0 ? g : v < 0 ? -g : 0) *
									  power(v, j->p - 1));
				}
			}
	}
}

void onx_lppool_forward(struct onx_pool *pool, const struct onx_window *w, size_t planes, double p,
			const real *x, real *y)
{
	struct job j = { .w = w, .planes = planes, .p = p, .x = x, .to = y };

	run(pool, &j, lp_plane);
}

void onx_lppool_backward(struct onx_pool *pool, const struct onx_window *w, size_t planes, double p,
			 const real *x, const real *y, const real *dy, real *dx, bool add)
{
	struct job j = { .w = w, .planes = planes, .p = p, .x = x, .y = y, .dy = dy, .to = dx, .add = add };

	run(pool, &j, lp_back);
}

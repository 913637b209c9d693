/* kernel/pooling.c -- see the header: maxima.  A piece is a run of whole planes. */
#include "kernel/pooling_i.h"
#include "kernel/cpu.h"
#include <string.h>

enum { PIECE_WORK = 1 << 15 };

static void run_piece(void *ctx, size_t piece, int worker)
{
	const struct onx_pooling_job *j = ctx;
	size_t lo, hi;

	(void)worker;
	onx_piece(j->planes, j->grain, piece, &lo, &hi);
	for (size_t i = lo; i < hi; i++)
		j->plane(j, i);
}

void onx_pooling_run(struct onx_pool *pool, struct onx_pooling_job *j,
		     void (*plane)(const struct onx_pooling_job *, size_t))
{
	j->plane = plane;
	j->grain = PIECE_WORK / (j->w->out_n * j->w->kern_n + 1) + 1;
	onx_parallel(pool, onx_pieces(j->planes, j->grain), run_piece, j);
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
		size_t lo, hi;
		int64_t from;

		if (!onx_pooling_tap(w, r, t, &lo, &hi, &from))
			continue;
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

static void max_plane(const struct onx_pooling_job *j, size_t plane)
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
	struct onx_pooling_job j = { .w = w, .planes = planes, .x = x, .to = y, .at = at };

	onx_pooling_run(pool, &j, max_plane);
}

static void max_back(const struct onx_pooling_job *j, size_t plane)
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
	struct onx_pooling_job j = { .w = w, .planes = planes, .dy = dy, .from = at, .to = dx, .add = add };

	onx_pooling_run(pool, &j, max_back);
}

static void byte_plane(const struct onx_pooling_job *j, size_t plane)
{
	const struct onx_window *w = j->w;
	const uint8_t *x = (const uint8_t *)j->bytes + plane * w->in_n;
	const int flip = j->is_signed ? 0x80 : 0;       /* int8 in the order of uint8 */

	for (size_t o = 0; o < w->out_n; o++) {
		const struct onx_reach r = onx_pooling_reach(w, o);
		int top = -1;
		int64_t at = -1;

		for (int64_t d = r.lo[0]; d < r.hi[0]; d++)
			for (int64_t h = r.lo[1]; h < r.hi[1]; h++) {
				const int64_t row = onx_pooling_row(w, &r, d, h);

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
	struct onx_pooling_job j = { .w = w, .planes = planes, .bytes = x, .bytes_out = y, .at = at,
			 .is_signed = is_signed };

	onx_pooling_run(pool, &j, byte_plane);
}

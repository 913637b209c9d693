/* kernel/panel.c -- see the header.
 * The columns fall into runs, each inside one panel and one row of one image's output.  For a tap, the
 * part of each run that meets the input is found once; then the loop over channels only copies, and
 * reads each channel along its rows. */
#include "kernel/panel.h"
#include "kernel/cpu.h"
#include "kernel/micro.h"
#include <string.h>

struct run {
	size_t to, n;                   /* first element of row k0 in `to`; columns          */
	size_t row[2], col;             /* output position of the first one                  */
	size_t image;                   /* where channel 0 of the image and group begins     */
	size_t lo, hi, from;            /* of this tap: columns that meet the input, and where */
};

struct pack {
	const struct onx_conv_geo *g;
	const real *x;
	size_t k0, k1, cols;
	real *to;
	size_t runs;
	struct run run[ONX_PANELS * ONX_MICRO_COLS];
};

static size_t min_z(size_t a, size_t b) { return a < b ? a : b; }
static size_t max_z(size_t a, size_t b) { return a > b ? a : b; }

static void find_runs(struct pack *t, size_t group, size_t q0, size_t q1)
{
	const struct onx_conv_geo *g = t->g;
	const struct onx_window *w = &g->w;
	const size_t panel = (t->k1 - t->k0) * t->cols;

	for (size_t q = q0; q < q1;) {
		const size_t image = q / w->out_n, p = q % w->out_n, row = p / w->out[2];
		const size_t col = p % w->out[2], in_panel = (q - q0) % t->cols;
		const size_t len = min_z(min_z(w->out[2] - col, q1 - q), t->cols - in_panel);

		t->run[t->runs++] = (struct run){ .to = (q - q0) / t->cols * panel + in_panel, .n = len,
			.row = { row / w->out[1], row % w->out[1] }, .col = col,
			.image = (image * g->groups + group) * g->c * w->in_n };
		q += len;
	}
}

static void meet(const struct onx_window *w, size_t tap, struct run *r)
{
	const size_t kw = tap % w->kern[2];
	const int64_t d = onx_window_at(w, 0, r->row[0], tap / w->kern[2] / w->kern[1]);
	const int64_t h = onx_window_at(w, 1, r->row[1], tap / w->kern[2] % w->kern[1]);

	r->lo = r->hi = r->n;
	if (d < 0 || d >= (int64_t)w->in[0] || h < 0 || h >= (int64_t)w->in[1])
		return;
	onx_window_valid(w, 2, kw, &r->lo, &r->hi);
	r->lo = min_z(max_z(r->lo, r->col), r->col + r->n) - r->col;
	r->hi = max_z(min_z(r->hi, r->col + r->n), r->col + r->lo) - r->col;
	if (r->hi > r->lo)
		r->from = r->image + (size_t)((d * (int64_t)w->in[1] + h) * (int64_t)w->in[2] +
					      onx_window_at(w, 2, r->col + r->lo, kw));
}

ONX_INLINE void copy(real *restrict to, const real *restrict from, int64_t s, size_t n)
{
	if (s == 1 && n == ONX_MICRO_COLS)
		memcpy(to, from, ONX_MICRO_COLS * sizeof *to);
	else if (s == 1)
		for (size_t i = 0; i < n; i++)
			to[i] = from[i];
	else if (s == 2)
		for (size_t i = 0; i < n; i++)
			to[i] = from[2 * i];
	else
		for (size_t i = 0; i < n; i++)
			to[i] = from[(int64_t)i * s];
}

ONX_CLONES
static void pack_tap(const struct pack *t, size_t tap, size_t ch, size_t end)
{
	const struct onx_window *w = &t->g->w;

	for (; ch < end; ch++) {
		real *row = t->to + (ch * w->kern_n + tap - t->k0) * t->cols;
		const real *x = t->x + ch * w->in_n;

		for (size_t i = 0; i < t->runs; i++) {
			const struct run *r = &t->run[i];

			for (size_t c = 0; c < r->lo; c++)
				row[r->to + c] = 0;
			if (r->hi > r->lo)
				copy(row + r->to + r->lo, x + r->from, w->stride[2], r->hi - r->lo);
			for (size_t c = r->hi; c < r->n; c++)
				row[r->to + c] = 0;
		}
	}
}

void onx_panel_pack(const struct onx_conv_geo *g, const real *x, size_t group, size_t k0, size_t k1,
		    size_t q0, size_t q1, size_t cols, real *to)
{
	const size_t kn = g->w.kern_n, rest = (q1 - q0) % cols;
	struct pack t;                  /* its runs are not worth clearing */

	t.g = g;
	t.x = x;
	t.k0 = k0;
	t.k1 = k1;
	t.cols = cols;
	t.to = to;
	t.runs = 0;
	find_runs(&t, group, q0, q1);
	for (size_t k = 0; rest && k < k1 - k0; k++)
		memset(to + ((q1 - q0) / cols * (k1 - k0) + k) * cols + rest, 0, (cols - rest) * sizeof *to);
	for (size_t tap = 0; tap < kn; tap++) {
		for (size_t i = 0; i < t.runs; i++)
			meet(&g->w, tap, &t.run[i]);
		pack_tap(&t, tap, k0 > tap ? (k0 - tap + kn - 1) / kn : 0,
			 k1 > tap ? (k1 - tap + kn - 1) / kn : 0);
	}
}

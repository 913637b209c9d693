/* kernel/pooling_max.c -- see pooling.h: maxima of runs of elements in place of tap after tap.
 *
 * "Of equals the first, of NaNs the last" holds for runs as for elements: of two runs, the second of which neither
 * begins nor ends before the first, it gives what it gives for both together, also where they share elements.  So the
 * window is searched along rows, then across them, then across slices, which is the order of its elements; and of a
 * wide window runs of 3, 9, ... elements are made for all places at once, of which it takes at most three, the last one
 * shifted back so that it ends where the window does.
 * A piece is a run of whole planes; a plane goes by strips of rows, padded, whose maxima stay in the second cache. */
#include "kernel/cpu.h"
#include "kernel/pooling_i.h"

enum { THREE = 3, BUFFERS = 3, STRIP_CELLS = 1 << 12, PIECE_WORK = 1 << 15 };
static const double most_cells = 1 << 22;

/* The taps of one dimension: tap t is at tap_at elements from the first. */
struct axis { size_t k, dil, step, jump, unit; };

/* out_rows rows of the output from `rows` padded ones of the input.  Where the window moves by `step` along a row, its
 * elements are taken apart into that many phases of `pitch` a row and `cells` in all, so that neighbours go to
 * neighbouring outputs. */
struct strip { size_t out_rows, rows, pitch, cells, step; struct axis across, down; };

static size_t tap_at(const struct axis *a, size_t tap)
{
	const size_t at = tap * a->dil;

	return at % a->step * a->jump + at / a->step * a->unit;
}

static size_t strip_rows(const struct onx_window *w, size_t out_rows)
{
	return (out_rows - 1) * (size_t)w->stride[1] + (w->kern[1] - 1) * (size_t)w->dil[1] + 1;
}

static struct strip cut(const struct onx_window *w)
{
	const size_t step = w->out[2] == 1 ? 1 : (size_t)w->stride[2], reach = strip_rows(w, 1);
	const size_t wide = (w->out[2] - 1) * step + (w->kern[2] - 1) * (size_t)w->dil[2] + 1;
	struct strip s = { .step = step, .pitch = (wide + step - 1) / step };
	const size_t fit = STRIP_CELLS / (s.pitch * step), rows = fit > 3 * reach ? fit : 3 * reach;

	s.out_rows = w->out[1] == 1 ? 1 : (rows - reach) / (size_t)w->stride[1] + 1;
	if (s.out_rows > w->out[1])
		s.out_rows = w->out[1];
	s.rows = strip_rows(w, s.out_rows);
	s.cells = s.rows * s.pitch;
	s.across = (struct axis){ w->kern[2], (size_t)w->dil[2], step, s.cells, 1 };
	s.down = (struct axis){ w->kern[1], (size_t)w->dil[1], 1, 0, s.pitch };
	return s;
}

/* The elements [*lo, *hi) of phase p of a row that lie inside the input. */
static void phase_inside(const struct onx_window *w, const struct strip *s, size_t p, size_t *lo, size_t *hi)
{
	const int64_t step = (int64_t)s->step, before = w->pad[2] - (int64_t)p, end = (int64_t)w->in[2] + before;
	const int64_t from = before > 0 ? (before + step - 1) / step : 0, to = end > 0 ? (end + step - 1) / step : 0;

	*hi = to < (int64_t)s->pitch ? (size_t)to : s->pitch;
	*lo = from < (int64_t)*hi ? (size_t)from : *hi;
}

static bool in_pairs(const struct onx_window *w)
{
	return w->kern[2] == 2 && w->stride[2] == 2 && w->dil[2] == 1 && w->pad[2] == 0 && 2 * w->out[2] <= w->in[2];
}

static size_t room(size_t bytes)
{
	return (bytes + 63) / 64 * 64;
}

#define ELEM real
#define ONX_E(name) name##_real
#define LOWEST (-(real)INFINITY)
#define STRANGE(v) ((v) != (v))
#define LANES ((size_t)8)
#include "kernel/pooling_max.inc"
#undef ELEM
#undef ONX_E
#undef LOWEST
#undef STRANGE
#undef LANES

#define ELEM uint8_t
#define ONX_E(name) name##_uint8
#define LOWEST 0
#define STRANGE(v) false
#define LANES ((size_t)1)
#include "kernel/pooling_max.inc"
#undef ELEM
#undef ONX_E
#undef LOWEST

#define ELEM int8_t
#define ONX_E(name) name##_int8
#define LOWEST INT8_MIN
#include "kernel/pooling_max.inc"

struct job {
	const struct onx_window *w;
	struct strip s;
	size_t planes, grain, each;
	enum onx_pool_kind kind;
	const void *x;
	void *y;
	int32_t *at;
	char *scratch;
};

static void run_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const struct onx_window *w = j->w;
	char *scratch = j->scratch + (size_t)worker * j->each;
	size_t lo, hi;

	onx_piece(j->planes, j->grain, piece, &lo, &hi);
	for (; lo < hi; lo++) {
		const size_t from = lo * w->in_n, to = lo * w->out_n;
		int32_t *at = j->at ? j->at + to : NULL;

		if (j->kind == ONX_POOL_REAL)
			plane_real(w, &j->s, (const real *)j->x + from, scratch, (real *)j->y + to, at);
		else if (j->kind == ONX_POOL_UINT8)
			plane_uint8(w, &j->s, (const uint8_t *)j->x + from, scratch, (uint8_t *)j->y + to, at);
		else
			plane_int8(w, &j->s, (const int8_t *)j->x + from, scratch, (int8_t *)j->y + to, at);
	}
}

bool onx_maxruns_fits(const struct onx_window *w)
{
	const double step = w->out[2] == 1 ? 1 : (double)w->stride[2], tall = (double)strip_rows(w, 1);
	const double wide = (double)(w->out[2] - 1) * step + (double)(w->kern[2] - 1) * (double)w->dil[2] + step;

	return wide * (3 * tall + (double)w->stride[1]) < most_cells;
}

static size_t worker_bytes(const struct strip *s, enum onx_pool_kind kind, bool where)
{
	const size_t cells[BUFFERS] = { s->step * s->cells, s->cells, s->cells };
	size_t bytes = 0;

	for (int i = 0; i < BUFFERS; i++)
		bytes += room(cells[i] * (kind == ONX_POOL_REAL ? sizeof(real) : 1)) +
			 (where ? room(cells[i] * sizeof(int32_t)) : 0);
	return bytes;
}

size_t onx_maxruns_scratch(const struct onx_window *w, enum onx_pool_kind kind, bool where, int threads)
{
	const struct strip s = cut(w);

	return (size_t)threads * worker_bytes(&s, kind, where);
}

void onx_maxruns_forward(struct onx_pool *pool, const struct onx_window *w, size_t planes, enum onx_pool_kind kind,
			 const void *x, void *y, int32_t *at, void *scratch)
{
	struct job j = { .w = w, .s = cut(w), .planes = planes, .kind = kind, .x = x, .y = y, .at = at,
			 .scratch = scratch };

	j.each = worker_bytes(&j.s, kind, at != NULL);
	j.grain = PIECE_WORK / (w->in_n + 4 * w->out_n + 1) + 1;
	onx_parallel(pool, onx_pieces(planes, j.grain), run_piece, &j);
}

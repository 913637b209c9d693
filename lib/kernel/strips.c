/* kernel/strips.c -- see the header. */
#include "kernel/strips.h"
#include <string.h>
#include "kernel/last_dense.h"

enum { BETWEEN = 3 << 17, PIECES = 16, Y = 1, X = 2 };  /* bytes between the stages; dimensions: lines, pixels */

struct lines { size_t lo, hi; };

static size_t up(size_t bytes) { return (bytes + 63) / 64 * 64; }
static size_t in_line(const struct onx_conv_geo *g) { return g->w.in[X] * g->groups * g->c; }
static size_t out_line(const struct onx_conv_geo *g) { return g->w.out[X] * g->groups * g->m; }

static bool depthwise(const struct onx_conv_geo *g)
{
	return onx_last_way_depthwise.fits(g);
}

/* Every window has a line of the picture in it. */
static bool meets(const struct onx_window *w)
{
	const int64_t last = ((int64_t)w->out[Y] - 1) * w->stride[Y] - w->pad[Y];

	return w->in[0] == 1 && w->kern[0] == 1 && w->out[0] == 1 && w->out[Y] > 0 && w->pad[Y] >= 0 &&
	       w->pad[Y] <= (int64_t)(w->kern[Y] - 1) * w->dil[Y] && last < (int64_t)w->in[Y];
}

bool onx_strips_fits(const struct onx_strips *s)
{
	for (size_t i = 0; i < s->k; i++)
		if (!meets(&s->g[i].w) || !(depthwise(&s->g[i]) || onx_last_way_dense.fits(&s->g[i])))
			return false;
	return s->k > 0 && s->k <= ONX_STRIPS_MOST;
}

static size_t packed_of(const struct onx_conv_geo *g)
{
	return up(depthwise(g) ? onx_last_way_depthwise.packed(g) : onx_last_way_dense.packed(g));
}

size_t onx_strips_packed(const struct onx_strips *s)
{
	size_t all = 0;

	for (size_t i = 0; i < s->k; i++)
		all += packed_of(&s->g[i]);
	return all;
}

void onx_strips_pack(const struct onx_strips *s, const real *const *w, void *to)
{
	char *at = to;

	for (size_t i = 0; i < s->k; at += packed_of(&s->g[i]), i++)
		(depthwise(&s->g[i]) ? &onx_last_way_depthwise : &onx_last_way_dense)->pack(NULL, &s->g[i], w[i], at);
}

/* ---- how the picture is cut: by sizes alone --------------------------------------------------------- */
struct cut {
	size_t by, strips, run, runs;           /* lines of a strip; strips; of a piece; pieces of an image */
	size_t room[ONX_STRIPS_MOST];           /* lines kept of what stage i makes; of the last: by        */
	size_t buffer[ONX_STRIPS_MOST], dense, bytes;   /* where they lie in a worker's scratch; what `dense` wants */
};

/* Lines that outputs [lo, hi) read. */
static struct lines read_by(const struct onx_window *w, struct lines out)
{
	const int64_t lo = (int64_t)out.lo * w->stride[Y] - w->pad[Y];
	const int64_t hi = ((int64_t)out.hi - 1) * w->stride[Y] + (int64_t)(w->kern[Y] - 1) * w->dil[Y] - w->pad[Y] + 1;

	return (struct lines){ lo > 0 ? (size_t)lo : 0, hi < (int64_t)w->in[Y] ? (size_t)hi : w->in[Y] };
}

/* Lines of each stage for strips of `by` lines; the bytes between the stages. */
static size_t rooms(const struct onx_strips *s, size_t by, size_t *room)
{
	size_t bytes = 0;

	room[s->k - 1] = by;
	for (size_t i = s->k - 1; i > 0; i--) {
		const struct onx_window *w = &s->g[i].w;
		const size_t lines = (room[i] - 1) * (size_t)w->stride[Y] + (w->kern[Y] - 1) * (size_t)w->dil[Y] + 1;

		room[i - 1] = lines < w->in[Y] ? lines : w->in[Y];
		bytes += up(room[i - 1] * out_line(&s->g[i - 1]) * sizeof(real));
	}
	return bytes;
}

/* Stage i for output lines [out.lo, out.hi): a convolution of its own over the lines that they read, *from on. */
static struct onx_conv_geo lines_of(const struct onx_conv_geo *all, struct lines out, size_t *from)
{
	const struct lines in = read_by(&all->w, out);
	struct onx_conv_geo g = *all;

	g.n = 1;
	g.w.in[Y] = in.hi - in.lo;
	g.w.out[Y] = out.hi - out.lo;
	g.w.pad[Y] = (int64_t)in.lo - ((int64_t)out.lo * all->w.stride[Y] - all->w.pad[Y]);
	g.w.in_n = g.w.in[Y] * g.w.in[X];
	g.w.out_n = g.w.out[Y] * g.w.out[X];
	*from = in.lo;
	return g;
}

static void dense_of(const struct onx_conv_geo *g, struct ONX_R(onx_gather) *p)
{
	onx_last_dense_forward_of(g, onx_isa(), p);
	p->alone = true;
	onx_gather_close(p);
}

static struct cut cut_of(const struct onx_strips *s)
{
	const size_t lines = s->g[s->k - 1].w.out[Y], n = s->g[0].n;
	struct cut c = { .by = lines };

	while (c.by > 1 && rooms(s, c.by, c.room) > BETWEEN)
		c.by--;
	c.strips = onx_pieces(lines, c.by);
	c.by = onx_pieces(lines, c.strips);
	c.runs = n >= PIECES || n == 0 ? 1 : onx_pieces(PIECES, n);
	c.run = onx_pieces(c.strips, c.runs);
	c.runs = onx_pieces(c.strips, c.run);
	(void)rooms(s, c.by, c.room);
	for (size_t i = 0; i + 1 < s->k; i++) {
		c.buffer[i] = c.bytes;
		c.bytes += up(c.room[i] * out_line(&s->g[i]) * sizeof(real));
	}
	for (size_t i = 0; i < s->k; i++)
		if (!depthwise(&s->g[i])) {
			struct onx_conv_geo g = s->g[i];
			struct ONX_R(onx_gather) p;

			g.n = 1;
			g.w.out[Y] = c.room[i];
			dense_of(&g, &p);
			const size_t wants = onx_gather_scratch(&p, 1);

			c.dense = wants > c.dense ? wants : c.dense;
		}
	c.dense = up(c.dense);
	c.bytes += c.dense;
	return c;
}

size_t onx_strips_scratch(const struct onx_strips *s, int threads)
{
	return cut_of(s).bytes * (size_t)threads;
}

/* ---- the work --------------------------------------------------------------------------------------- */
struct job {
	const struct onx_strips *s;
	const struct ONX_R(onx_strips_data) *d;
	struct cut c;
	char *scratch;
};

/* Lines of stage i, x at its input line x0; mine: the worker's scratch. */
static void stage(const struct job *j, size_t i, struct lines out, const real *x, size_t x0, size_t image, real *y,
		  char *mine)
{
	const struct onx_conv_geo *all = &j->s->g[i];
	size_t from;
	const struct onx_conv_geo g = lines_of(all, out, &from);
	const size_t at = (image * all->w.out[Y] + out.lo) * out_line(all);
	const struct ONX_R(onx_last_end) end = { .b = j->d->b[i], .f = j->s->f[i],
						 .z = i + 1 == j->s->k && j->d->z ? j->d->z + at : NULL };
	const char *packed = j->d->packed;

	x += (from - x0) * in_line(all);
	for (size_t k = 0; k < i; k++)
		packed += packed_of(&j->s->g[k]);
	if (depthwise(all)) {
		onx_last_way_depthwise.forward(NULL, &g, x, packed, &end, y, NULL);
	} else {
		struct ONX_R(onx_gather) p;

		dense_of(&g, &p);
		onx_gather_run(NULL, &p, x, (const real *)(const void *)packed, &end, y,
			       mine + j->c.bytes - j->c.dense);
	}
}

/* The strip of output lines `out`; have: the lines of each stage that are there from the strip before. */
static void strip(const struct job *j, struct lines out, size_t image, struct lines *have, char *mine)
{
	const struct onx_strips *s = j->s;
	struct lines want[ONX_STRIPS_MOST];
	const real *x = j->d->x + image * s->g[0].w.in[Y] * in_line(&s->g[0]);
	size_t x0 = 0;

	want[s->k - 1] = out;
	for (size_t i = s->k - 1; i > 0; i--)
		want[i - 1] = read_by(&s->g[i].w, want[i]);
	for (size_t i = 0; i + 1 < s->k; i++) {
		const size_t line = out_line(&s->g[i]);
		real *const to = (real *)(void *)(mine + j->c.buffer[i]);
		struct lines make = want[i];

		if (have[i].hi > make.lo) {
			memmove(to, to + (make.lo - have[i].lo) * line, (have[i].hi - make.lo) * line * sizeof *to);
			make.lo = have[i].hi;
		}
		if (make.lo < make.hi)
			stage(j, i, make, x, x0, image, to + (make.lo - want[i].lo) * line, mine);
		have[i] = want[i];
		x = to;
		x0 = want[i].lo;
	}
	const size_t last = s->k - 1, at = (image * s->g[last].w.out[Y] + out.lo) * out_line(&s->g[last]);

	stage(j, last, out, x, x0, image, j->d->y + at, mine);
}

static void strips_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const size_t lines = j->s->g[j->s->k - 1].w.out[Y];
	struct lines have[ONX_STRIPS_MOST] = { { 0, 0 } }, out;
	size_t s0, s1;

	onx_piece(j->c.strips, j->c.run, piece % j->c.runs, &s0, &s1);
	for (; s0 < s1; s0++) {
		onx_piece(lines, j->c.by, s0, &out.lo, &out.hi);
		strip(j, out, piece / j->c.runs, have, j->scratch + j->c.bytes * (size_t)worker);
	}
}

void onx_strips_forward(struct onx_pool *pool, const struct onx_strips *s, const struct ONX_R(onx_strips_data) *d,
			void *scratch)
{
	struct job j = { .s = s, .d = d, .c = cut_of(s), .scratch = scratch };

	onx_parallel(pool, s->g[0].n * j.c.runs, strips_piece, &j);
}

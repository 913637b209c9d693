/* kernel/last_dw.c -- depthwise convolution with channels last, forward and gradient of the data (last.h: c == m == 1).
 *
 *     y[o][ch] = f(b[ch] + sum over k of w[k][ch] * x[o*stride + k*dil - pad][ch] + z[o][ch])
 *
 * The gradient is the same sum over dy, once for each phase of the strides (slide.h).
 *
 * Weights are packed as [tap][ch], so that each tap is one vector product over channels (last_dw_rows.c).  A piece is
 * some rows of output pixels; of the gradient it does all phases of a row in turn, while dy is at hand. */
#include "kernel/far.h"
#include "kernel/last_dw_i.h"

typedef struct ONX_R(onx_dw_job) job;
typedef struct ONX_R(onx_dw_image) image;

enum { WORK = 1 << 16 };        /* numbers of y in a piece */

static bool fits(const struct onx_conv_geo *g)
{
	return g->c == 1 && g->m == 1 && g->groups > 1;
}

void onx_dw_pack(const struct onx_slide *s, size_t ch, const real *w, real *p)
{
	const size_t kn = s->kern[0] * s->kern[1] * s->kern[2];
	size_t t[3];

	for (t[0] = 0; t[0] < s->taps[0]; t[0]++)
		for (t[1] = 0; t[1] < s->taps[1]; t[1]++)
			for (t[2] = 0; t[2] < s->taps[2]; t[2]++, p += ch) {
				const size_t k = onx_slide_tap(s, t);

				for (size_t c = 0; c < ch; c++)
					p[c] = w[c * kn + k];
			}
}

static size_t packed(const struct onx_conv_geo *g)
{
	return g->groups * g->w.kern_n * sizeof(real);
}

static void pack(struct onx_pool *pool, const struct onx_conv_geo *g, const real *w, void *to)
{
	struct onx_slide s;

	(void)pool;
	onx_slide_forward(&g->w, &s);
	onx_dw_pack(&s, g->groups, w, to);
}

static size_t no_scratch(const struct onx_conv_geo *g, int threads)
{
	(void)g, (void)threads;
	return 0;
}

static size_t rows_by(const job *j)
{
	return WORK / (j->s[0].dst[2] * j->ch + 1) + 1;
}

static void rows_piece(void *ctx, size_t piece, int worker)
{
	const job *j = ctx;
	const size_t *dst = j->s[0].dst, *src = j->s[0].src, line = dst[2] * j->ch;
	image im = { .line = src[2] * j->ch, .near = j->near };
	size_t lo, hi;

	(void)worker;
	onx_piece(j->rows, rows_by(j), piece, &lo, &hi);
	for (; lo < hi; lo++) {
		im.x = j->x + lo / (dst[0] * dst[1]) * src[0] * src[1] * im.line;
		onx_dw_line(j, lo, &im, j->end->z ? j->end->z + lo * line : NULL, j->y + lo * line);
	}
	if (j->far)
		onx_far_done();
}

static void run(struct onx_pool *pool, job *j, size_t n)
{
	onx_dw_ready(j, n);
	onx_parallel(pool, onx_pieces(j->rows, rows_by(j)), rows_piece, j);
}

static void forward(struct onx_pool *pool, const struct onx_conv_geo *g, const real *x, const void *weights,
		    const struct ONX_R(onx_last_end) *end, real *y, void *scratch)
{
	const real *const w = weights;
	struct onx_slide s;
	job j = { .s = &s, .w = &w, .phases = { 1, 1, 1 }, .stride = { 1, 1, 1 }, .ch = g->groups,
			 .x = x, .end = end, .y = y };

	(void)scratch;
	onx_slide_forward(&g->w, &s);
	run(pool, &j, g->n);
}

size_t onx_last_dw_data_scratch(const struct onx_conv_geo *g)
{
	return (packed(g) + 63) / 64 * 64;
}

/* Each tap belongs to one phase. */
void onx_dw_data_of(const struct onx_conv_geo *g, const real *w, struct onx_slide *s, const real **at, real *taps,
		    job *j)
{
	for (int d = 0; d < 3; d++) {
		j->phases[d] = onx_slide_phases_of(&g->w, d);
		j->stride[d] = (size_t)g->w.stride[d];
	}
	for (size_t i = 0; i < onx_slide_phases(&g->w); i++) {
		onx_slide_phase(&g->w, i, &s[i]);
		onx_dw_pack(&s[i], g->groups, w, taps);
		at[i] = taps;
		taps += s[i].taps[0] * s[i].taps[1] * s[i].taps[2] * g->groups;
	}
	j->s = s;
	j->w = at;
	j->ch = g->groups;
}

void onx_last_dw_data(struct onx_pool *pool, const struct onx_conv_geo *g, const real *w, const real *dy, real *dx,
		      bool add, void *scratch)
{
	const struct ONX_R(onx_last_end) end = { .z = add ? dx : NULL };
	struct onx_slide s[ONX_SLIDE_PHASES];           /* not worth clearing */
	const real *at[ONX_SLIDE_PHASES];
	job j = { .x = dy, .end = &end, .y = dx };

	onx_dw_data_of(g, w, s, at, scratch, &j);
	run(pool, &j, g->n);
}

const struct ONX_R(onx_last_way) onx_last_way_depthwise = {
	"depthwise", fits, packed, pack, no_scratch, forward, NULL, NULL };

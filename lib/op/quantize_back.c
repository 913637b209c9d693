/* op/quantize_back.c -- gradients of scales: what the elements that share one get, in double, a part of the tensor each
 * for itself where there are few scales. */
#include "kernel/cpu.h"
#include "op/quantize_i.h"

enum { PARTS = 8, MANY = 4096 };        /* scales above which there is one part */

/* How a run adds to the gradients of its scales: sum[i * step], i < n. */
struct run { const double *x, *scale, *zero, *dy; double lo, hi; size_t n, step; };

struct job {
	const struct onx_call *c;
	bool fake;
	size_t parts, scales;
	double *sum;            /* [parts][scales] */
};

/* y = (x - zero point) scale */
ONX_CLONES static void plain_run(const struct run *r, double *restrict by)
{
	for (size_t i = 0; i < r->n; i++)
		by[i] = r->dy[i] * (r->x[i] - r->zero[i]);
}

/* by: what the scale gets; in: dx.  q is the whole number, less the zero point. */
ONX_CLONES static void fake_run(const struct run *r, double *restrict by, double *restrict in)
{
	for (size_t i = 0; i < r->n; i++) {
		const double ratio = (double)((real)r->x[i] / (real)r->scale[i]), v = rint(ratio) + r->zero[i];
		const double q = (v > r->hi ? r->hi : v > r->lo ? v : r->lo) - r->zero[i];
		const bool inside = (v >= r->lo) & (v <= r->hi);
		by[i] = r->dy[i] * (q - (inside ? ratio : 0));
		in[i] = inside ? r->dy[i] : 0;
	}
}

static void put(const struct onx_view *dx, size_t at, size_t n, const double *in)
{
	real *to = (real *)dx->v + at;

	for (size_t i = 0; i < n; i++)
		onx_put(&to[i], dx->add, (real)in[i]);
}

static void part(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const struct onx_call *c = j->c;
	const struct quant_geo *g = c->geo;
	double *sum = j->sum + piece * j->scales, room[4][ONX_BULK], by[ONX_BULK], in[ONX_BULK];
	const size_t all = c->dy[0].n, one = all / j->parts, end = piece + 1 == j->parts ? all : one * (piece + 1);

	(void)worker;
	for (size_t i = 0; i < j->scales; i++)
		sum[i] = 0;
	for (size_t i = one * piece, n, step; i < end; i += n) {
		const size_t at = onx_scale_at(g, i);
		n = onx_run_of(g, i, end, &step);
		const struct run r = { onx_bulk_reals(&c->x[0], i, 1, n, room[0]),
				       j->fake ? onx_bulk_reals(&c->x[1], at, step, n, room[1]) : NULL,
				       onx_zeros_of(c, at, step, n, room[2]),
				       onx_bulk_reals(&c->dy[0], i, 1, n, room[3]), g->lo, g->hi, n, step };
		if (j->fake)
			fake_run(&r, by, in);
		else
			plain_run(&r, by);
		for (size_t k = 0; j->scales && k < n; k++)
			sum[at + k * step] += by[k];
		if (j->fake && c->dx[0].v)
			put(&c->dx[0], i, n, in);
	}
}

static void back(const struct onx_call *c, bool fake)
{
	const struct onx_view *d = &c->dx[1];
	struct job j = { .c = c, .fake = fake, .parts = c->x[1].n > MANY ? 1 : PARTS, .sum = c->scratch };

	j.scales = d->v ? d->n : 0;
	if (j.scales == 0 && !(fake && c->dx[0].v))
		return;
	onx_parallel(c->pool, j.parts, part, &j);
	for (size_t i = 0; i < j.scales; i++) {
		double sum = 0;
		for (size_t k = 0; k < j.parts; k++)
			sum += j.sum[k * j.scales + i];
		onx_view_put_real(d, i, sum + (d->add ? onx_view_real(d, i) : 0));
	}
}

/* dscale = sum of dy (x - zero point) over what shares the scale */
void onx_dequantize_backward(const struct onx_call *c)
{
	back(c, false);
}

/* dx = dy where nothing was cut off, else 0.  dscale = sum of dy (q - x / scale), where cut off dy q: what
 * rounding as y = x gives (Esser et al. 2020, Learned step size quantization, arXiv 1902.08153, equation 3). */
void onx_fake_backward(const struct onx_call *c)
{
	back(c, true);
}

size_t onx_dequantize_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	struct onx_err e;
	size_t n = 0;

	(void)attr, (void)threads;
	if (!backward || onx_count(s->in[1].shape.rank, s->in[1].shape.dim, &n, &e) < 0)
		return 0;
	return (n > MANY ? 1 : PARTS) * n * sizeof(double);
}

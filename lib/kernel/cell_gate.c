/* kernel/cell_gate.c -- the functions of recurrent layers and their slopes, a row at a time.  The kind is asked outside
 * the loops, so that each is a vector loop. */
#include "kernel/cell_i.h"
#include "kernel/vmath.h"

#define EACH(kind, f)                                                                           \
	case kind:                                                                              \
		ONX_ALIKE                                                                       \
		for (size_t i = 0; i < n; i++) {                                                \
			const real v = x[i];                                                    \
			y[i] = (f);                                                             \
		}                                                                               \
		break;

ONX_INLINE real hard(real v)
{
	const real up = v < 0 ? 0 : v;

	return up > 1 ? 1 : up;
}

ONX_CLONES
void onx_cell_squash(const struct onx_squash *q, const real *x, size_t n, real *y)
{
	const real a = (real)q->a, b = (real)q->b;

	switch (q->kind) {
	EACH(ONX_SQ_RELU, v < 0 ? 0 : v)
	EACH(ONX_SQ_TANH, onx_vtanh(v))
	EACH(ONX_SQ_SIGMOID, onx_vsigmoid(v))
	EACH(ONX_SQ_AFFINE, a * v + b)
	EACH(ONX_SQ_LEAKY, v < 0 ? a * v : v)
	EACH(ONX_SQ_THRESHOLD, v <= a ? 0 : v)
	EACH(ONX_SQ_SCALED_TANH, a * onx_vtanh(b * v))
	EACH(ONX_SQ_HARD_SIGMOID, hard(a * v + b))
	EACH(ONX_SQ_ELU, onx_vpick(v < 0, a * onx_vexpm1(v), v))
	EACH(ONX_SQ_SOFTSIGN, v / (1 + ONX_M(fabs)(v)))
	EACH(ONX_SQ_SOFTPLUS, onx_vsoftplus(v))
	}
}

#undef EACH
#define EACH(kind, slope)                                                                       \
	case kind:                                                                              \
		for (size_t i = 0; i < n; i++) {                                                \
			const real v = x[i], w = y[i];                                          \
			(void)v, (void)w;                                                       \
			d[i] *= (slope);                                                        \
		}                                                                               \
		break;

/* At kinks 0 or the left one, as PyTorch. */
ONX_CLONES
void onx_cell_squash_slope(const struct onx_squash *q, const real *restrict x, const real *restrict y, size_t n,
			   real *restrict d)
{
	const real a = (real)q->a, b = (real)q->b;

	switch (q->kind) {
	EACH(ONX_SQ_RELU, v > 0 ? 1 : 0)
	EACH(ONX_SQ_TANH, 1 - w * w)
	EACH(ONX_SQ_SIGMOID, w * (1 - w))
	EACH(ONX_SQ_AFFINE, a)
	EACH(ONX_SQ_LEAKY, v > 0 ? 1 : a)
	EACH(ONX_SQ_THRESHOLD, v > a ? 1 : 0)
	EACH(ONX_SQ_SCALED_TANH, a * b * (1 - onx_vtanh(b * v) * onx_vtanh(b * v)))
	EACH(ONX_SQ_HARD_SIGMOID, ((w > 0) & (w < 1)) ? a : 0)
	EACH(ONX_SQ_ELU, onx_vpick(v > 0, 1, a * onx_vexp(v)))
	EACH(ONX_SQ_SOFTSIGN, (1 - ONX_M(fabs)(w)) * (1 - ONX_M(fabs)(w)))
	EACH(ONX_SQ_SOFTPLUS, -onx_vexpm1(-w))
	}
}

ONX_CLONES
static void clip_row(const real *restrict x, real hi, size_t n, real *restrict y)
{
	for (size_t i = 0; i < n; i++) {
		const real below = x[i] > hi ? hi : x[i];
		y[i] = below < -hi ? -hi : below;
	}
}

ONX_CLONES
static void clip_slope(const real *restrict x, real hi, size_t n, real *restrict d)
{
	for (size_t i = 0; i < n; i++)
		d[i] = ONX_M(fabs)(x[i]) > hi ? 0 : d[i];
}

void onx_cell_gate(const struct onx_cell *g, int f, const real *x, size_t n, real *y)
{
	if (g->clip < ONX_REAL_MAX) {
		clip_row(x, (real)g->clip, n, y);
		x = y;
	}
	onx_cell_squash(&g->f[f], x, n, y);
}

void onx_cell_gate_slope(const struct onx_cell *g, int f, const real *x, const real *y, size_t n, real *d)
{
	onx_cell_squash_slope(&g->f[f], x, y, n, d);
	if (g->clip < ONX_REAL_MAX)
		clip_slope(x, (real)g->clip, n, d);
}

ONX_CLONES
void onx_cell_add(const real *restrict more, size_t n, real *restrict sum)
{
	for (size_t j = 0; j < n; j++)
		sum[j] += more[j];
}

ONX_CLONES
void onx_cell_times(const real *restrict a, const real *restrict b, size_t n, bool sum, real *restrict to)
{
	if (sum)
		for (size_t j = 0; j < n; j++)
			to[j] += a[j] * b[j];
	else
		for (size_t j = 0; j < n; j++)
			to[j] = a[j] * b[j];
}

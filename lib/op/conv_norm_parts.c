/* op/conv_norm_parts.c -- statistics, parameters and bias of NormConvLast and ConvMomentsLast; see conv_norm_i.h. */
#include "op/conv_norm_i.h"

void onx_cn_forward_stats(const struct onx_call *c, const struct onx_cn_geo *g)
{
	const real *batch[2] = { NULL, NULL };

	if (g->given) {
		batch[0] = c->x[BATCH_MEAN].v;
		batch[1] = c->x[BATCH_VAR].v;
	}
	if (onx_cn_normed(g))
		onx_bn_forward_stats(c, &((const struct onx_cn_attr *)c->attr)->bn, &g->norm, batch);
}

const real *onx_cn_bias(const struct onx_call *c, const struct onx_cn_geo *g)
{
	return c->n_x > g->w + 1 ? c->x[g->w + 1].v : NULL;
}

bool onx_cn_wants_moments(const struct onx_call *c, const struct onx_cn_geo *g)
{
	return c->n_y > g->moments && (c->y[g->moments].v || (c->n_y > g->moments + 1 && c->y[g->moments + 1].v));
}

bool onx_cn_wants_parameters(const struct onx_call *c, const struct onx_cn_geo *g)
{
	bool any = false;

	for (int k = SCALE; onx_cn_normed(g) && k <= VAR; k++)
		any |= c->dx[k].v != NULL;
	for (int k = BATCH_MEAN; g->given && k <= BATCH_VAR; k++)
		any |= c->dx[k].v != NULL;
	return any;
}

/* Gradients of scale, B and the statistics, from the sums. */
void onx_cn_parameters_back(const struct onx_call *c, const struct onx_cn_geo *g, const double *sum)
{
	onx_bn_parameters(c, &g->norm, sum, g->given ? &c->dx[BATCH_MEAN] : NULL);
}

/* What mean and variance of Y send back (last_norm.h).  Without a gradient of Y itself: dy' = y + ((y - m) (e - 1) +
 * d - m). */
bool onx_cn_shift(const struct onx_call *c, const struct onx_cn_geo *g, real *e, real *d,
		     struct ONX_R(onx_last_shift) *to)
{
	const int k = g->moments;
	const real *mean = c->n_y > k && c->dy[k].v ? c->dy[k].v : NULL;
	const real *var = c->n_y > k + 1 && c->dy[k + 1].v ? c->dy[k + 1].v : NULL, *m = c->n_y > k ? c->y[k].v : NULL;
	const bool alone = !c->dy[0].v;
	const double n = (double)g->rows;

	if (!mean && !var)
		return false;
	for (size_t i = 0; i < g->ch; i++) {
		e[i] = (real)((var ? 2 * (double)var[i] / n : 0) - (alone ? 1 : 0));
		d[i] = (real)((mean ? (double)mean[i] / n : 0) - (alone ? (double)m[i] : 0));
	}
	*to = (struct ONX_R(onx_last_shift)){ c->y[0].v, m, e, d };
	return true;
}

/* Sums of dy' by channel: those of y - m are zero. */
void onx_cn_bias_back(const struct onx_call *c, const struct onx_cn_geo *g)
{
	const int k = g->w + 1;
	const real *mean = c->n_y > g->moments ? c->dy[g->moments].v : NULL;
	const struct onx_view *db = c->n_x > k ? &c->dx[k] : NULL;

	if (!db || !db->v)
		return;
	if (c->dy[0].v)
		onx_last_bgrad(c->pool, g->rows, g->ch, c->dy[0].v, db->v, db->add);
	for (size_t i = 0; i < g->ch && (mean || !c->dy[0].v); i++)
		onx_put(&((real *)db->v)[i], db->add || c->dy[0].v, mean ? mean[i] : 0);
}

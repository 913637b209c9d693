/* train/optim.c -- update rules as rows: element-wise, in the precision of the weights. */
#include "train/optim.h"
#include <math.h>
#include <string.h>

enum { GRAIN = 1 << 14 };

/* One piece of one segment.  Everything that is the same for all elements is settled before. */
struct rule { double lr, decay, mu, b1, b2, eps, c1, c2, scale; bool nesterov, first; };

#define RULES(real, root, suffix)                                                                  \
static void sgd_##suffix(const struct rule *r, size_t n, real *w, const real *grad, real *b, real *unused) \
{                                                                                                  \
	const real lr = (real)r->lr, decay = (real)r->decay, mu = (real)r->mu, k = (real)r->scale;  \
	(void)unused;                                                                              \
	for (size_t i = 0; i < n; i++) {                                                           \
		real g = grad[i] * k + decay * w[i];                                               \
		if (b) {                                                                           \
			b[i] = r->first ? g : mu * b[i] + g;                                       \
			g = r->nesterov ? g + mu * b[i] : b[i];                                    \
		}                                                                                  \
		w[i] -= lr * g;                                                                    \
	}                                                                                          \
}                                                                                                  \
static void adam_##suffix(const struct rule *r, size_t n, real *w, const real *grad, real *m, real *v) \
{                                                                                                  \
	const real b1 = (real)r->b1, b2 = (real)r->b2, eps = (real)r->eps, k = (real)r->scale;      \
	const real step = (real)(r->lr / r->c1), c2 = (real)sqrt(r->c2), decay = (real)r->decay;    \
	const real a1 = (real)(1 - r->b1), a2 = (real)(1 - r->b2);                                  \
	for (size_t i = 0; i < n; i++) {                                                           \
		const real g = grad[i] * k + decay * w[i];                                         \
		m[i] = b1 * m[i] + a1 * g;                                                         \
		v[i] = b2 * v[i] + a2 * g * g;                                                     \
		w[i] -= step * m[i] / (root(v[i]) / c2 + eps);                                     \
	}                                                                                          \
}                                                                                                  \
static void adamw_##suffix(const struct rule *r, size_t n, real *w, const real *grad, real *m, real *v) \
{                                                                                                  \
	const real shrink = (real)(1 - r->lr * r->decay);                                          \
	struct rule plain = *r;                                                                    \
	plain.decay = 0;                                                                           \
	for (size_t i = 0; i < n; i++)                                                             \
		w[i] *= shrink;                                                                    \
	adam_##suffix(&plain, n, w, grad, m, v);                                                   \
}

RULES(float, sqrtf, f32)
RULES(double, sqrt, f64)
#undef RULES

static const struct {
	uint32_t n_state;
	void (*f32)(const struct rule *, size_t, float *, const float *, float *, float *);
	void (*f64)(const struct rule *, size_t, double *, const double *, double *, double *);
} rows[] = {
	[ONX_SGD]   = { 1, sgd_f32, sgd_f64 },
	[ONX_ADAM]  = { 2, adam_f32, adam_f64 },
	[ONX_ADAMW] = { 2, adamw_f32, adamw_f64 },
};

int onx_optim_init(struct onx_optim *x, const struct onx_train_opts *o, struct onx_params *params,
		   const bool *weight, struct onx_err *e)
{
	const double decay = onx_train_decay(o);
	*x = (struct onx_optim){ .o = o, .params = params };
	x->n_state = o->optim == ONX_SGD && o->momentum == 0 ? 0 : rows[o->optim].n_state;
	x->seg = ONX_NEWS(&x->arena, struct onx_segment, params->n_value + 1);
	if (!x->seg)
		return onx_nomem(e, params->n_value * sizeof *x->seg, "the optimiser");
	for (uint32_t i = 0; i < x->n_state; i++) {
		x->state[i] = onx_heap(params->n + 16, params->wide ? 8 : 4);
		if (!x->state[i])
			return onx_nomem(e, (double)params->n * 4, "the optimiser");
	}
	for (uint32_t i = 0; i < params->n_value; i++) {
		const uint32_t v = params->value[i];
		const struct onx_weight *w = params->graph->value[v].init;
		if (weight[v])
			x->seg[x->n_seg++] = (struct onx_segment){
				params->at[v], w->n, w->rank >= 2 || o->decay_all ? decay : 0, 1 };
	}
	return ONX_OK;
}

void onx_optim_release(struct onx_optim *x)
{
	for (uint32_t i = 0; i < x->n_state; i++)
		onx_heap_free(x->state[i]);
	onx_arena_release(&x->arena);
	*x = (struct onx_optim){ 0 };
}

/* Sum of squares of all gradients: pieces in double, added in order. */
static double norm(const struct onx_optim *x)
{
	double total = 0;
	for (uint32_t s = 0; s < x->n_seg; s++) {
		double sum = 0;
		for (size_t i = x->seg[s].at; i < x->seg[s].at + x->seg[s].n; i++) {
			const double g = x->params->wide ? ((const double *)x->params->grad)[i]
					 : (double)((const float *)x->params->grad)[i];
			sum += g * g;
		}
		total += sum;
	}
	return sqrt(total);
}

struct job { const struct onx_optim *x; const struct onx_segment *seg; struct rule rule; };

static void piece(void *ctx, size_t i, int worker)
{
	const struct job *j = ctx;
	const struct onx_params *p = j->x->params;
	size_t lo, hi;
	(void)worker;
	onx_piece(j->seg->n, GRAIN, i, &lo, &hi);
	const size_t at = j->seg->at + lo, n = hi - lo;
	if (p->wide) {
		double *m = j->x->state[0], *v = j->x->state[1];
		rows[j->x->o->optim].f64(&j->rule, n, (double *)p->weight + at, (double *)p->grad + at,
					 m ? m + at : NULL, v ? v + at : NULL);
	} else {
		float *m = j->x->state[0], *v = j->x->state[1];
		rows[j->x->o->optim].f32(&j->rule, n, (float *)p->weight + at, (float *)p->grad + at,
					 m ? m + at : NULL, v ? v + at : NULL);
	}
}

double onx_optim_step(struct onx_optim *x, double lr, struct onx_pool *pool)
{
	const struct onx_train_opts *o = x->o;
	const double size = o->clip > 0 ? norm(x) : 0;
	const double t = (double)++x->t;
	for (uint32_t s = 0; s < x->n_seg; s++) {
		struct job j = { x, &x->seg[s], {
			.lr = lr * x->seg[s].lr, .decay = x->seg[s].decay, .mu = o->momentum,
			.b1 = o->betas.v[0], .b2 = o->betas.v[1], .eps = o->eps,
			.c1 = 1 - pow(o->betas.v[0], t), .c2 = 1 - pow(o->betas.v[1], t),
			.scale = o->clip > 0 && size > o->clip ? o->clip / (size + 1e-6) : 1,
			.nesterov = o->nesterov, .first = x->t == 1 } };
		onx_parallel(pool, onx_pieces(x->seg[s].n, GRAIN), piece, &j);
	}
	return size;
}

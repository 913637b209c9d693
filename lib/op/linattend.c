/* op/linattend.c -- LinearAttention: attention as a recurrence over a state of one matrix a head.
 *
 * query [b][t][hq dk], key [b][t][hk dk], value [b][t][hk dv]; query head h reads the state of head
 * h / (hq / hk).  S [dk][dv] starts as past_state or 0; at each step, by update_rule:
 *     S = exp(g) S                       gated, gated_delta: decay [b][t][hk] or [b][t][hk dk]
 *     u = beta (v - S' k)                delta, gated_delta: beta [b][t][hk] or [b][t][1]; else u = v
 *     S = S + k u',   o = scale S' q
 * chunk_size is a hint of speed.  A piece is a sample and a head of keys; backward walks the
 * steps from the end, with the states of all steps computed again. */
#include <inttypes.h>
#include <string.h>
#include "kernel/real.h"
#include "op/infer.h"

struct linear { int rule; int64_t hq, hk, chunk; double scale; };
static const char *const rules[] = { "linear", "gated", "delta", "gated_delta", NULL };
static const struct onx_field linear_field[] = {
	{ "update_rule", F_ENUM, offsetof(struct linear, rule), .def = "gated_delta", .choices = rules,
	  .help = "how the state goes on" },
	{ "q_num_heads", F_INT, offsetof(struct linear, hq), .min = 1, .max = 1 << 20, .help = "heads of query" },
	{ "kv_num_heads", F_INT, offsetof(struct linear, hk), .min = 1, .max = 1 << 20,
	  .help = "heads of key and value" },
	{ "scale", F_REAL, offsetof(struct linear, scale), .def = "0", .help = "of the output; 0: 1 / sqrt(dk)" },
	{ "chunk_size", F_INT, offsetof(struct linear, chunk), .def = "64", .min = 0, .max = 1e12,
	  .help = "a hint; no number depends on it" },
	{ .name = NULL }
};
static const struct onx_table linear_attr = { "LinearAttention", sizeof(struct linear), linear_field,
					      .check = NULL };

enum { Q, K, V, PAST, DECAY, BETA };
struct linear_geo { size_t b, t, hq, hk, dk, dv; bool gated, delta, by_key, one_beta; double scale; };

static int want_gate(struct onx_infer *s, int i, bool wanted, int64_t most, int64_t least, const char *rule,
		     struct onx_err *e)
{
	const int64_t *x = s->in[0].shape.dim, *d = s->in[i].shape.dim;
	int rc;

	if (wanted != onx_has_in(s, i))
		return onx_fail(e, ONX_SHAPE, "rule '%s' %s input %d", rule, wanted ? "needs" : "has no use for", i);
	if (!wanted)
		return ONX_OK;
	if ((rc = onx_want_same_type(s, 0, i, e)) < 0 || (rc = onx_want_rank(s, i, 3, 3, e)) < 0)
		return rc;
	if (d[0] != x[0] || d[1] != x[1] || (d[2] != most && d[2] != least))
		return onx_fail(e, ONX_SHAPE, "input %d has %" PRId64 " numbers a step, wanted %" PRId64 " or %" PRId64,
				i, d[2], most, least);
	return ONX_OK;
}

static int linear_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct linear *a = attr;
	struct linear_geo *g = ONX_NEW(s->mem, struct linear_geo);
	const int64_t *q = s->in[Q].shape.dim, *k = s->in[K].shape.dim, *v = s->in[V].shape.dim;
	int rc;

	if (!g)
		return onx_nomem(e, sizeof *g, "LinearAttention");
	for (int i = Q; i <= V; i++)
		if ((rc = onx_want_real(s, i, e)) < 0 || (rc = onx_want_same_type(s, Q, i, e)) < 0 ||
		    (rc = onx_want_rank(s, i, 3, 3, e)) < 0)
			return rc;
	if (a->hq % a->hk || q[2] % a->hq || k[2] % a->hk || v[2] % a->hk || q[2] / a->hq != k[2] / a->hk ||
	    k[0] != q[0] || v[0] != q[0] || k[1] != q[1] || v[1] != q[1])
		return onx_fail(e, ONX_SHAPE, "query of %" PRId64 " numbers in %" PRId64 " heads, key of %" PRId64
				" and value of %" PRId64 " in %" PRId64 " do not fit", q[2], a->hq, k[2], v[2], a->hk);
	*g = (struct linear_geo){ .b = (size_t)q[0], .t = (size_t)q[1], .hq = (size_t)a->hq, .hk = (size_t)a->hk,
				  .dk = (size_t)(q[2] / a->hq), .dv = (size_t)(v[2] / a->hk),
				  .gated = a->rule & 1, .delta = a->rule >= 2 };
	g->scale = a->scale != 0 ? a->scale : 1 / sqrt(g->dk ? (double)g->dk : 1);
	if ((rc = want_gate(s, DECAY, g->gated, k[2], a->hk, rules[a->rule], e)) < 0 ||
	    (rc = want_gate(s, BETA, g->delta, a->hk, 1, rules[a->rule], e)) < 0)
		return rc;
	g->by_key = g->gated && s->in[DECAY].shape.dim[2] != a->hk;
	g->one_beta = g->delta && s->in[BETA].shape.dim[2] != a->hk;
	const struct onx_shape y = { 3, { q[0], q[1], a->hq * (int64_t)g->dv } };
	const struct onx_shape state = { 4, { q[0], a->hk, (int64_t)g->dk, (int64_t)g->dv } };
	if (onx_has_in(s, PAST) && ((rc = onx_want_real(s, PAST, e)) < 0 ||
				    !onx_shape_equal(&s->in[PAST].shape, &state)))
		return rc < 0 ? rc : onx_fail(e, ONX_SHAPE, "past_state has another shape than [%" PRId64 ",%" PRId64
					      ",%zu,%zu]", q[0], a->hk, g->dk, g->dv);
	s->geo = g;
	onx_set_out(s, 0, s->in[Q].type, &y);
	onx_set_out(s, 1, onx_has_in(s, PAST) ? s->in[PAST].type : s->in[Q].type, &state);
	return ONX_OK;
}

/* ---- one head ---- */

struct step { const real *q, *k, *v, *g, *beta; size_t at_q, at_k, at_v, at_g, at_beta, at_y; };

static const real *number(const struct onx_call *c, int i, size_t at)
{
	return i < c->n_x && c->x[i].v ? (const real *)c->x[i].v + at : NULL;
}

/* Where step t of head h of sample b stands in each tensor; queries: the first of the group. */
static struct step step_of(const struct onx_call *c, size_t b, size_t h, size_t t)
{
	const struct linear_geo *g = c->geo;
	const size_t row = b * g->t + t, first = h * (g->hq / g->hk);
	struct step s;

	s.at_q = (row * g->hq + first) * g->dk;
	s.at_k = (row * g->hk + h) * g->dk;
	s.at_v = (row * g->hk + h) * g->dv;
	s.at_g = g->by_key ? s.at_k : row * g->hk + h;
	s.at_beta = g->one_beta ? row : row * g->hk + h;
	s.at_y = (row * g->hq + first) * g->dv;
	s.q = number(c, Q, s.at_q);
	s.k = number(c, K, s.at_k);
	s.v = number(c, V, s.at_v);
	s.g = number(c, DECAY, s.at_g);
	s.beta = number(c, BETA, s.at_beta);
	return s;
}

/* to = the state behind a step; u [dv]: what was written. */
static void go_on(const struct linear_geo *g, const struct step *s, const double *from, double *to, double *u)
{
	for (size_t i = 0; i < g->dk; i++) {
		const double f = g->gated ? exp((double)s->g[g->by_key ? i : 0]) : 1;
		for (size_t j = 0; j < g->dv; j++)
			to[i * g->dv + j] = f * from[i * g->dv + j];
	}
	for (size_t j = 0; j < g->dv; j++) {
		double read = 0;
		for (size_t i = 0; g->delta && i < g->dk; i++)
			read += to[i * g->dv + j] * s->k[i];
		u[j] = g->delta ? *s->beta * (s->v[j] - read) : s->v[j];
	}
	for (size_t i = 0; i < g->dk; i++)
		for (size_t j = 0; j < g->dv; j++)
			to[i * g->dv + j] += s->k[i] * u[j];
}

static void start(const struct onx_call *c, size_t piece, double *state)
{
	const struct linear_geo *g = c->geo;
	const size_t n = g->dk * g->dv;

	for (size_t i = 0; i < n; i++)
		state[i] = PAST < c->n_x && c->x[PAST].v ? onx_view_real(&c->x[PAST], piece * n + i) : 0;
}

static void forward_piece(void *ctx, size_t piece, int worker)
{
	const struct onx_call *c = ctx;
	const struct linear_geo *g = c->geo;
	const size_t n = g->dk * g->dv, group = g->hq / g->hk;
	double *state = (double *)c->scratch + (size_t)worker * (n + g->dv), *u = state + n;

	start(c, piece, state);
	for (size_t t = 0; t < g->t; t++) {
		const struct step s = step_of(c, piece / g->hk, piece % g->hk, t);
		go_on(g, &s, state, state, u);
		for (size_t h = 0; c->y[0].v && h < group; h++)
			for (size_t j = 0; j < g->dv; j++) {
				double o = 0;
				for (size_t i = 0; i < g->dk; i++)
					o += s.q[h * g->dk + i] * state[i * g->dv + j];
				((real *)c->y[0].v)[s.at_y + h * g->dv + j] = (real)(g->scale * o);
			}
	}
	for (size_t i = 0; c->n_y > 1 && c->y[1].v && i < n; i++)
		onx_view_put_real(&c->y[1], piece * n + i, state[i]);
}

static void linear_forward(const struct onx_call *c)
{
	const struct linear_geo *g = c->geo;

	onx_parallel(c->pool, g->b * g->hk, forward_piece, (void *)c);
}

/* ---- backward ---- */

static void put(const struct onx_call *c, int i, size_t at, double v)
{
	if (i < c->n_x && c->dx[i].v)
		onx_view_put_real(&c->dx[i], at, v + (c->dx[i].add ? onx_view_real(&c->dx[i], at) : 0));
}

/* dS [dk][dv] of the state behind the step gets what the step's output asks for; dq is settled. */
static void output_back(const struct onx_call *c, const struct step *s, const double *state, double *d)
{
	const struct linear_geo *g = c->geo;
	const real *dy = c->dy[0].v ? (const real *)c->dy[0].v + s->at_y : NULL;

	for (size_t h = 0; h < g->hq / g->hk; h++)
		for (size_t i = 0; i < g->dk; i++) {
			double dq = 0;
			for (size_t j = 0; dy && j < g->dv; j++) {
				const double o = g->scale * dy[h * g->dv + j];
				dq += o * state[i * g->dv + j];
				d[i * g->dv + j] += o * s->q[h * g->dk + i];
			}
			put(c, Q, s->at_q + h * g->dk + i, dq);
		}
}

/* before: the state in front of the step; d: from dS behind it to dS in front of it; beta_sum: the gradient of
 * beta where all heads share it. */
static void step_back(const struct onx_call *c, const struct step *s, const double *before, double *d, double *u,
		      double *du, double *work, double *beta_sum)
{
	const struct linear_geo *g = c->geo;
	double beta = 0, decay = 0;

	go_on(g, s, before, work, u);   /* for u; work is used below as exp(g) S */
	for (size_t j = 0; j < g->dv; j++) {
		du[j] = 0;
		for (size_t i = 0; i < g->dk; i++) {
			du[j] += d[i * g->dv + j] * s->k[i];
			work[i * g->dv + j] -= s->k[i] * u[j];
		}
	}
	for (size_t i = 0; i < g->dk; i++) {
		const double f = g->gated ? exp((double)s->g[g->by_key ? i : 0]) : 1;
		double dk = 0, own = 0;
		for (size_t j = 0; j < g->dv; j++) {
			const size_t at = i * g->dv + j;
			const double written = g->delta ? *s->beta * du[j] : 0;
			dk += d[at] * u[j] - written * work[at];
			d[at] -= written * s->k[i];
			own += d[at] * work[at];
			d[at] *= f;
		}
		put(c, K, s->at_k + i, dk);
		if (g->by_key)
			put(c, DECAY, s->at_g + i, own);
		decay += own;
	}
	for (size_t j = 0; j < g->dv; j++) {
		double read = 0;
		for (size_t i = 0; g->delta && i < g->dk; i++)
			read += work[i * g->dv + j] * s->k[i];
		beta += du[j] * (s->v[j] - read);
		put(c, V, s->at_v + j, g->delta ? *s->beta * du[j] : du[j]);
	}
	if (g->gated && !g->by_key)
		put(c, DECAY, s->at_g, decay);
	if (g->delta && g->one_beta && beta_sum)
		beta_sum[s->at_beta] += beta;
	else if (g->delta && !g->one_beta)
		put(c, BETA, s->at_beta, beta);
}

static size_t back_size(const struct linear_geo *g)
{
	return (g->t + 3) * g->dk * g->dv + 2 * g->dv;
}

static bool shared_beta(const struct onx_call *c)
{
	return ((const struct linear_geo *)c->geo)->one_beta && BETA < c->n_x && c->dx[BETA].v;
}

static void back_piece(void *ctx, size_t piece, int worker)
{
	const struct onx_call *c = ctx;
	const struct linear_geo *g = c->geo;
	const size_t n = g->dk * g->dv, b = piece / g->hk, h = piece % g->hk;
	double *states = (double *)c->scratch + (size_t)worker * back_size(g), *d = states + (g->t + 1) * n;
	double *work = d + n, *u = work + n, *du = u + g->dv;
	double *beta = shared_beta(c) ? (double *)c->scratch + (size_t)onx_pool_threads(c->pool) * back_size(g) : NULL;

	start(c, piece, states);
	for (size_t t = 0; t < g->t; t++) {
		const struct step s = step_of(c, b, h, t);
		go_on(g, &s, states + t * n, states + (t + 1) * n, u);
	}
	for (size_t i = 0; i < n; i++)
		d[i] = c->n_y > 1 && c->dy[1].v ? onx_view_real(&c->dy[1], piece * n + i) : 0;
	for (size_t t = g->t; t-- > 0; ) {
		const struct step s = step_of(c, b, h, t);
		output_back(c, &s, states + (t + 1) * n, d);
		step_back(c, &s, states + t * n, d, u, du, work, beta);
	}
	for (size_t i = 0; i < n; i++)
		put(c, PAST, piece * n + i, d[i]);
}

/* Where all heads share beta, their sums are taken one after another. */
static void linear_backward(const struct onx_call *c)
{
	const struct linear_geo *g = c->geo;
	const bool shared = shared_beta(c);
	double *sum = (double *)c->scratch + (size_t)onx_pool_threads(c->pool) * back_size(g);

	for (size_t i = 0; shared && i < g->b * g->t; i++)
		sum[i] = 0;
	onx_parallel(shared ? NULL : c->pool, g->b * g->hk, back_piece, (void *)c);
	for (size_t i = 0; shared && i < g->b * g->t; i++)
		put(c, BETA, i, sum[i]);
}

static size_t linear_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	const struct linear_geo *g = s->geo;
	const size_t n = (size_t)threads;

	(void)attr;
	return (backward ? n * back_size(g) + g->b * g->t : n * (g->dk * g->dv + g->dv)) * sizeof(double);
}

static double linear_macs(const struct onx_infer *s, const void *attr)
{
	const struct linear_geo *g = s->geo;

	(void)attr;
	return (double)g->b * (double)g->t * (double)(g->hq + 2 * g->hk) * (double)g->dk * (double)g->dv;
}

#define KEEP (ONX_KEEP_X(0) | ONX_KEEP_X(1) | ONX_KEEP_X(2) | ONX_KEEP_X(3) | ONX_KEEP_X(4) | ONX_KEEP_X(5))
const struct onx_op ONX_R(onx_ops_linattend)[] = {
	{ .domain = "", .type = "LinearAttention", .since = 27, .min_in = 3, .max_in = 6, .min_out = 1,
	  .max_out = 2, .grad = { ONX_G_DIFF }, .n_grad = 1, .keep = KEEP, .attr = &linear_attr,
	  .infer = linear_infer, .scratch = linear_scratch, .macs = linear_macs, .forward = linear_forward,
	  .backward = linear_backward },
	{ .type = NULL }
};

/* kernel/cell_back.c -- recurrent layers, backward through time.
 *
 * Each step leaves the gradients of its sums twice: by row of x (gx), for dX and dW, and by step (gr),
 * for dR and the states.  They differ in one place: the last gate of a GRU with late_reset, where gx
 * is the gradient of n's sum and gr = r . gx that of h R' + Rb. */
#include "kernel/cell_i.h"
#include <string.h>
#include "kernel/gemm.h"

struct back {
	const struct onx_cell *g;
	const struct onx_cell_data *d;
	const struct onx_cell_grad *t;
	struct onx_cell_kept k;
	size_t s;
	real *gx, *gr, *rh;             /* rh [t*b][h]: r . h_{t-1} by step, for a GRU's dR      */
	real *dh, *dc, *drh;            /* [b][h]: gradients of the states and of r . h_{t-1}    */
};

/* What a row of a step works on. */
struct row { const real *a, *before; real *gx, *gr, *dh; size_t at, y; };

/* False where the sequence of sample b has ended: its gradients pass unchanged. */
static bool find_row(const struct back *p, size_t b, struct row *w)
{
	const struct onx_cell *g = p->g;
	const size_t n = g->h, gh = g->gates * n, len = onx_cell_steps(g, p->d->len, b);

	if (p->s >= len)
		return false;
	const size_t t = onx_cell_time(g, len, p->s), row = onx_cell_row(g, t, b);
	*w = (struct row){ .a = p->k.pre + row * gh, .at = (p->s * g->b + b) * n, .gx = p->gx + row * gh,
			   .gr = p->gr + (p->s * g->b + b) * gh, .dh = p->dh + b * n,
			   .y = onx_cell_y(g, t, b) };
	w->before = p->k.hs + w->at;
	for (size_t j = 0; p->t->dy && j < n; j++)
		w->dh[j] += p->t->dy[w->y + j];
	return true;
}

static void put(const struct row *w, size_t at, real v)
{
	w->gx[at] = v;
	w->gr[at] = v;
}

static void rnn_row(const struct back *p, const struct row *w)
{
	for (size_t j = 0; j < p->g->h; j++) {
		const real y = onx_gate(p->g, 0, w->a[j]);
		put(w, j, w->dh[j] * onx_gate_slope(p->g, 0, w->a[j], y));
		w->dh[j] = 0;
	}
}

/* z and n; with late_reset r as well. */
static void gru_row(const struct back *p, const struct row *w)
{
	const struct onx_cell *g = p->g;
	const size_t n = g->h;
	const real *lin = p->k.lin + (size_t)(w->a - p->k.pre) / g->gates;

	for (size_t j = 0; j < n; j++) {
		const real z = onx_gate(g, 0, w->a[j]), r = onx_gate(g, 0, w->a[n + j]);
		const real v = onx_gate(g, 1, w->a[2 * n + j]), dh = w->dh[j];
		const real dv = dh * (1 - z) * onx_gate_slope(g, 1, w->a[2 * n + j], v);

		put(w, j, dh * (w->before[j] - v) * onx_gate_slope(g, 0, w->a[j], z));
		put(w, 2 * n + j, dv);
		if (g->late_reset) {
			put(w, n + j, dv * lin[j] * onx_gate_slope(g, 0, w->a[n + j], r));
			w->gr[2 * n + j] = dv * r;
		}
		w->dh[j] = dh * z;
	}
}

/* r, once the gradient of r . h_{t-1} is known. */
static void gru_reset(const void *ctx, size_t b)
{
	const struct back *p = ctx;
	const size_t n = p->g->h, len = onx_cell_steps(p->g, p->d->len, b);

	if (p->s >= len)
		return;
	const size_t row = onx_cell_row(p->g, onx_cell_time(p->g, len, p->s), b);
	const size_t at = (p->s * p->g->b + b) * n;
	const real *a = p->k.pre + row * 3 * n, *before = p->k.hs + at, *drh = p->drh + b * n;
	for (size_t j = 0; j < n; j++) {
		const real r = onx_gate(p->g, 0, a[n + j]);
		const real dr = drh[j] * before[j] * onx_gate_slope(p->g, 0, a[n + j], r);

		p->gx[row * 3 * n + n + j] = dr;
		p->gr[at * 3 + n + j] = dr;
		p->dh[b * n + j] += drh[j] * r;
		p->rh[at + j] = r * before[j];
	}
}

static void lstm_row(const struct back *p, const struct row *w, real *dcs)
{
	const struct onx_cell *g = p->g;
	const size_t n = g->h;
	const real *hole = p->d->p, *before = p->k.cs + w->at, *after = before + g->b * n;

	for (size_t j = 0; j < n; j++) {
		const real *a = w->a + j;
		const real i = onx_gate(g, 0, a[0]), o = onx_gate(g, 0, a[n]);
		const real f = g->coupled ? 1 - i : onx_gate(g, 0, a[2 * n]), v = onx_gate(g, 1, a[3 * n]);
		const real hc = onx_squash(&g->f[2], after[j]);
		const real go = w->dh[j] * hc * onx_gate_slope(g, 0, a[n], o);
		const real dc = dcs[j] + w->dh[j] * o * onx_squash_slope(&g->f[2], after[j], hc) +
				(hole ? go * hole[n + j] : 0);
		const real df = dc * before[j], di = dc * v - (g->coupled ? df : 0);
		const real gi = di * onx_gate_slope(g, 0, a[0], i);
		const real gf = g->coupled ? 0 : df * onx_gate_slope(g, 0, a[2 * n], f);

		put(w, j, gi);
		put(w, n + j, go);
		put(w, 2 * n + j, gf);
		put(w, 3 * n + j, dc * i * onx_gate_slope(g, 1, a[3 * n], v));
		dcs[j] = dc * f + (hole ? gi * hole[j] + gf * hole[2 * n + j] : 0);
		w->dh[j] = 0;
	}
}

static void step_row(const void *ctx, size_t b)
{
	const struct back *p = ctx;
	struct row w;

	if (!find_row(p, b, &w))
		return;
	if (p->g->kind == ONX_RNN)
		rnn_row(p, &w);
	else if (p->g->kind == ONX_GRU)
		gru_row(p, &w);
	else
		lstm_row(p, &w, p->dc + b * p->g->h);
}

static void one_step(struct onx_pool *pool, struct back *p)
{
	const struct onx_cell *g = p->g;
	const size_t n = g->h, gh = g->gates * n;
	const real *gr = p->gr + p->s * g->b * gh;
	const bool late = g->kind == ONX_GRU && !g->late_reset;
	const size_t k = late ? 2 * n : gh;
	const struct onx_mat m = { g->b, n, k, false, false, gh, n, n };
	const struct onx_mat rest = { g->b, n, n, false, false, gh, n, n };

	onx_cell_each(pool, g, step_row, p);
	if (late) {
		onx_gemm(pool, &rest, 1, gr + 2 * n, p->d->r + 2 * n * n, 0, p->drh);
		onx_cell_each(pool, g, gru_reset, p);
	}
	onx_gemm(pool, &m, 1, gr, p->d->r, 1, p->dh);
}

static void last_gradients(const struct back *p)
{
	const struct onx_cell *g = p->g;

	for (size_t b = 0; b < g->b; b++)
		for (size_t j = 0; j < g->h; j++) {
			const size_t from = onx_cell_state(g, b) + j, to = b * g->h + j;
			p->dh[to] = p->t->dyh ? p->t->dyh[from] : 0;
			p->dc[to] = p->t->dyc ? p->t->dyc[from] : 0;
		}
}

static void first_gradients(const struct back *p)
{
	const struct onx_cell *g = p->g;

	for (size_t b = 0; b < g->b; b++)
		for (size_t j = 0; j < g->h; j++) {
			const size_t to = onx_cell_state(g, b) + j, from = b * g->h + j;
			if (p->t->dh0)
				onx_put(&p->t->dh0[to], p->t->add_h0, p->dh[from]);
			if (p->t->dc0)
				onx_put(&p->t->dc0[to], p->t->add_c0, p->dc[from]);
		}
}

/* dX = gx W, dW = gx' X, dR = gr' H (of a GRU's n: of r . H) */
static void products(struct onx_pool *pool, const struct back *p)
{
	const struct onx_cell *g = p->g;
	const struct onx_cell_grad *t = p->t;
	const size_t n = g->h, gh = g->gates * n, rows = g->t * g->b;
	const size_t own = g->kind == ONX_GRU && !g->late_reset ? n : 0;
	const struct onx_mat dx = { rows, g->i, gh, false, false, gh, g->i, g->i };
	const struct onx_mat dw = { gh, g->i, rows, true, false, gh, g->i, g->i };
	const struct onx_mat dr = { gh - own, n, rows, true, false, gh, n, n };
	const struct onx_mat drn = { own, n, rows, true, false, gh, n, n };

	if (t->dx)
		onx_gemm(pool, &dx, 1, p->gx, p->d->w, t->add_x, t->dx);
	if (t->dw)
		onx_gemm(pool, &dw, 1, p->gx, p->d->x, t->add_w, t->dw);
	if (t->dr)
		onx_gemm(pool, &dr, 1, p->gr, p->k.hs, t->add_r, t->dr);
	if (t->dr && own)
		onx_gemm(pool, &drn, 1, p->gr + 2 * n, p->rh, t->add_r, t->dr + 2 * n * n);
}

/* Sums over all steps in double: of gx and gr for the biases, of gr . c for the peepholes (the output
 * gate sees the c of its own step, the others that of the step before). */
static void sums(const struct back *p)
{
	const struct onx_cell *g = p->g;
	const size_t n = g->h, gh = g->gates * n, rows = g->t * g->b;

	for (size_t j = 0; p->t->dbias && j < gh; j++) {
		double w = 0, r = 0;
		for (size_t k = 0; k < rows; k++) {
			w += p->gx[k * gh + j];
			r += p->gr[k * gh + j];
		}
		onx_put(&p->t->dbias[j], p->t->add_bias, (real)w);
		onx_put(&p->t->dbias[gh + j], p->t->add_bias, (real)r);
	}
	for (size_t j = 0; p->t->dp && j < 3 * n; j++) {
		const real *c = p->k.cs + (j / n == 1 ? g->b * n : 0) + j % n;
		double sum = 0;
		for (size_t k = 0; k < rows; k++)
			sum += (double)p->gr[k * gh + j] * c[k * n];
		onx_put(&p->t->dp[j], p->t->add_p, (real)sum);
	}
}

void onx_cell_backward(struct onx_pool *pool, const struct onx_cell *g, const struct onx_cell_data *d,
		       const struct onx_cell_grad *t)
{
	const size_t rows = g->t * g->b, wide = rows * g->gates * g->h, state = g->b * g->h;
	struct back p = { .g = g, .d = d, .t = t, .k = onx_cell_kept(g, d->save), .gx = d->scratch };

	p.gr = p.gx + wide;
	p.rh = p.gr + wide;
	p.dh = p.rh + rows * g->h;
	p.dc = p.dh + state;
	p.drh = p.dc + state;
	memset(p.gx, 0, (2 * wide + rows * g->h) * sizeof(real));
	last_gradients(&p);
	for (p.s = g->t; p.s-- > 0; )
		one_step(pool, &p);
	first_gradients(&p);
	products(pool, &p);
	sums(&p);
}

/* kernel/cell_back.c -- recurrent layers, backward through time.
 *
 * Each step leaves the gradients of its sums twice: by row of x (gx), for dX and dW, and by step (gr),
 * for dR and the states.  They differ in one place: the last gate of a GRU with late_reset, where gx
 * is the gradient of n's sum and gr = r . gx that of h R' + Rb. */
#include "kernel/cell_i.h"
#include <string.h>
#include "kernel/cpu.h"
#include "kernel/last.h"

struct back {
	const struct onx_cell *g;
	const struct onx_cell_data *d;
	const struct onx_cell_grad *t;
	struct onx_cell_kept k;
	size_t s;
	real *gx, *gr, *rh;             /* rh [t*b][h]: r . h_{t-1} by step, for a GRU's dR      */
	real *dh, *dc, *drh;            /* [b][h]: gradients of the states and of r . h_{t-1}    */
	struct onx_cell_product now, rest;      /* rest: of a GRU's n, whose gradient r needs    */
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
	if (p->t->dy)
		onx_cell_add(p->t->dy + w->y, n, w->dh);
	return true;
}

static void rnn_row(const struct back *p, const struct row *w)
{
	const size_t n = p->g->h;
	real y[ONX_CELL_RUN];

	for (size_t j = 0; j < n; j += ONX_CELL_RUN) {
		const size_t m = onx_cell_run(n, j);

		onx_cell_gate(p->g, 0, w->a + j, m, y);
		memcpy(w->gx + j, w->dh + j, m * sizeof *y);
		onx_cell_gate_slope(p->g, 0, w->a + j, y, m, w->gx + j);
	}
	memcpy(w->gr, w->gx, n * sizeof *y);
	memset(w->dh, 0, n * sizeof *y);
}

/* h = (1 - z) . v + z . before: the gradients of z, v and, in place, of `before` */
ONX_CLONES
static void unmix(const real *restrict z, const real *restrict v, const real *restrict before, size_t n,
		  real *restrict dh, real *restrict dz, real *restrict dv)
{
	for (size_t j = 0; j < n; j++) {
		dz[j] = dh[j] * (before[j] - v[j]);
		dv[j] = dh[j] * (1 - z[j]);
		dh[j] *= z[j];
	}
}

/* z and n; with late_reset r as well.  A run: a, lin, before, dh, gx and gr begin with it. */
static void gru_run(const struct onx_cell *g, size_t m, const real *a, const real *lin, const real *before, real *dh,
		    real *gx, real *gr)
{
	const size_t n = g->h;
	real z[ONX_CELL_RUN], v[ONX_CELL_RUN];

	onx_cell_gate(g, 0, a, m, z);
	onx_cell_gate(g, 1, a + 2 * n, m, v);
	unmix(z, v, before, m, dh, gx, gx + 2 * n);
	onx_cell_gate_slope(g, 0, a, z, m, gx);
	onx_cell_gate_slope(g, 1, a + 2 * n, v, m, gx + 2 * n);
	memcpy(gr, gx, m * sizeof *gr);
	memcpy(gr + 2 * n, gx + 2 * n, m * sizeof *gr);
	if (!g->late_reset)
		return;
	onx_cell_gate(g, 0, a + n, m, z);
	onx_cell_times(gx + 2 * n, lin, m, false, gx + n);
	onx_cell_gate_slope(g, 0, a + n, z, m, gx + n);
	memcpy(gr + n, gx + n, m * sizeof *gr);
	onx_cell_times(gx + 2 * n, z, m, false, gr + 2 * n);
}

static void gru_row(const struct back *p, const struct row *w)
{
	const size_t n = p->g->h;
	const real *lin = p->k.lin + (size_t)(w->a - p->k.pre) / p->g->gates;

	for (size_t j = 0; j < n; j += ONX_CELL_RUN)
		gru_run(p->g, onx_cell_run(n, j), w->a + j, lin + j, w->before + j, w->dh + j, w->gx + j, w->gr + j);
}

/* r, once the gradient of r . h_{t-1} is known. */
static void gru_reset(const void *ctx, size_t b)
{
	const struct back *p = ctx;
	const size_t n = p->g->h, len = onx_cell_steps(p->g, p->d->len, b);
	real r[ONX_CELL_RUN];

	if (p->s >= len)
		return;
	const size_t row = onx_cell_row(p->g, onx_cell_time(p->g, len, p->s), b), at = (p->s * p->g->b + b) * n;
	const real *a = p->k.pre + row * 3 * n + n, *before = p->k.hs + at, *drh = p->drh + b * n;
	real *gx = p->gx + row * 3 * n + n;
	for (size_t j = 0; j < n; j += ONX_CELL_RUN) {
		const size_t m = onx_cell_run(n, j);

		onx_cell_gate(p->g, 0, a + j, m, r);
		onx_cell_times(drh + j, before + j, m, false, gx + j);
		onx_cell_gate_slope(p->g, 0, a + j, r, m, gx + j);
		onx_cell_times(drh + j, r, m, true, p->dh + b * n + j);
		onx_cell_times(r, before + j, m, false, p->rh + at + j);
	}
	memcpy(p->gr + at * 3 + n, gx, n * sizeof *gx);
}

/* di and df of c = f . before + i . v; without a gate of its own f is 1 - i. */
ONX_CLONES
static void uncarry(const real *restrict dc, const real *restrict v, const real *restrict before, bool coupled,
		    size_t n, real *restrict di, real *restrict df)
{
	for (size_t j = 0; j < n; j++) {
		di[j] = dc[j] * (coupled ? v[j] - before[j] : v[j]);
		df[j] = coupled ? 0 : dc[j] * before[j];
	}
}

ONX_CLONES
static void rest_of(const real *restrict i, size_t n, real *restrict f)
{
	for (size_t j = 0; j < n; j++)
		f[j] = 1 - i[j];
}

/* A run: a, hole, before, dh, dcs and gx begin with it. */
static void lstm_run(const struct onx_cell *g, size_t m, const real *a, const real *hole, const real *before,
		     const real *dh, real *dcs, real *gx)
{
	const size_t n = g->h;
	const real *after = before + g->b * n;
	real gate[ONX_CELL_RUN], v[ONX_CELL_RUN], dc[ONX_CELL_RUN];

	onx_cell_squash(&g->f[2], after, m, v);
	onx_cell_gate(g, 0, a + n, m, gate);
	onx_cell_times(dh, v, m, false, gx + n);
	onx_cell_gate_slope(g, 0, a + n, gate, m, gx + n);
	onx_cell_times(dh, gate, m, false, dc);
	onx_cell_squash_slope(&g->f[2], after, v, m, dc);
	onx_cell_add(dcs, m, dc);
	if (hole)
		onx_cell_times(gx + n, hole + n, m, true, dc);

	onx_cell_gate(g, 1, a + 3 * n, m, v);
	uncarry(dc, v, before, g->coupled, m, gx, gx + 2 * n);
	onx_cell_gate(g, 0, a, m, gate);
	onx_cell_gate_slope(g, 0, a, gate, m, gx);
	onx_cell_times(dc, gate, m, false, gx + 3 * n);
	onx_cell_gate_slope(g, 1, a + 3 * n, v, m, gx + 3 * n);
	if (g->coupled) {
		rest_of(gate, m, v);
	} else {
		onx_cell_gate(g, 0, a + 2 * n, m, v);
		onx_cell_gate_slope(g, 0, a + 2 * n, v, m, gx + 2 * n);
	}
	onx_cell_times(dc, v, m, false, dcs);
	if (hole) {
		onx_cell_times(gx, hole, m, true, dcs);
		onx_cell_times(gx + 2 * n, hole + 2 * n, m, true, dcs);
	}
}

static void lstm_row(const struct back *p, const struct row *w, real *dcs)
{
	const size_t n = p->g->h;
	const real *hole = p->d->p;

	for (size_t j = 0; j < n; j += ONX_CELL_RUN)
		lstm_run(p->g, onx_cell_run(n, j), w->a + j, hole ? hole + j : NULL, p->k.cs + w->at + j, w->dh + j,
			 dcs + j, w->gx + j);
	memcpy(w->gr, w->gx, 4 * n * sizeof *w->gr);
	memset(w->dh, 0, n * sizeof *w->dh);
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
	const real *gr = p->gr + p->s * g->b * g->gates * g->h;

	onx_cell_each(pool, g, step_row, p);
	if (p->rest.m.k > 0) {
		onx_cell_product_add(pool, &p->rest, gr + 2 * g->h, 0, p->drh);
		onx_cell_each(pool, g, gru_reset, p);
	}
	onx_cell_product_add(pool, &p->now, gr, 1, p->dh);
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

/* sum += g . c for n columns of a step's rows */
ONX_CLONES
static void hole_sums(const real *restrict g, size_t g_row, const real *restrict c, size_t c_row, size_t rows, size_t n,
		      double *restrict sum)
{
	for (size_t k = 0; k < rows; k++) {
		ONX_IN_ORDER;
		for (size_t j = 0; j < n; j++)
			sum[j] += (double)g[k * g_row + j] * (double)c[k * c_row + j];
	}
}

/* Sums over all steps: of gx and gr for the biases, of gr . c, in double, for the peepholes (the output gate sees the
 * c of its own step, the others that of the step before). */
static void sums(struct onx_pool *pool, const struct back *p)
{
	const struct onx_cell *g = p->g;
	const size_t n = g->h, gh = g->gates * n, rows = g->t * g->b;

	if (p->t->dbias) {
		onx_last_bgrad(pool, rows, gh, p->gx, p->t->dbias, p->t->add_bias);
		onx_last_bgrad(pool, rows, gh, p->gr, p->t->dbias + gh, p->t->add_bias);
	}
	for (size_t j = 0; p->t->dp && j < 3 * n; j += j % n + ONX_CELL_RUN < n ? ONX_CELL_RUN : n - j % n) {
		const size_t m = onx_cell_run(n, j % n);
		double sum[ONX_CELL_RUN] = { 0 };

		hole_sums(p->gr + j, gh, p->k.cs + (j / n == 1 ? g->b * n : 0) + j % n, n, rows, m, sum);
		for (size_t i = 0; i < m; i++)
			onx_put(&p->t->dp[j + i], p->t->add_p, (real)sum[i]);
	}
}

void onx_cell_backward(struct onx_pool *pool, const struct onx_cell *g, const struct onx_cell_data *d,
		       const struct onx_cell_grad *t)
{
	const size_t n = g->h, gh = g->gates * n, rows = g->t * g->b, wide = rows * gh, state = g->b * n;
	const size_t late = g->kind == ONX_GRU && !g->late_reset ? n : 0;
	const struct onx_mat now = { g->b, n, gh - late, false, false, gh, n, n };
	const struct onx_mat rest = { g->b, n, late, false, false, gh, n, n };
	struct back p = { .g = g, .d = d, .t = t, .k = onx_cell_kept(g, d->save), .gx = d->scratch };

	p.gr = p.gx + wide;
	p.rh = p.gr + wide;
	p.dh = p.rh + rows * g->h;
	p.dc = p.dh + state;
	p.drh = p.dc + state;
	real *room = p.drh + state;
	p.now = onx_cell_product(&now, g->t, d->r, &room);
	p.rest = onx_cell_product(&rest, g->t, d->r + 2 * n * n, &room);
	memset(p.gx, 0, (2 * wide + rows * g->h) * sizeof(real));
	last_gradients(&p);
	for (p.s = g->t; p.s-- > 0; )
		one_step(pool, &p);
	first_gradients(&p);
	products(pool, &p);
	sums(pool, &p);
}

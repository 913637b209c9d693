/* kernel/cell.c -- recurrent layers, forward. */
#include "kernel/cell_i.h"
#include <string.h>
#include "kernel/gemm.h"

size_t onx_cell_saved(const struct onx_cell *g)
{
	const size_t rows = g->t * g->b, states = (rows + g->b) * g->h;

	return (rows * g->gates * g->h + states + (g->kind == ONX_LSTM ? states : rows * g->h)) * sizeof(double);
}

size_t onx_cell_scratch(const struct onx_cell *g, bool backward)
{
	const size_t gh = g->gates * g->h, rows = g->t * g->b;

	return (backward ? rows * (2 * gh + g->h) + 3 * g->b * g->h : g->b * (gh + g->h)) * sizeof(double);
}

struct step {
	const struct onx_cell *g;
	const struct onx_cell_data *d;
	struct onx_cell_kept k;
	size_t s;
	real *prod, *reset;             /* h R' [b][gates*h]; r . h [b][h] */
};

/* pre = x W' + Wb + Rb over all steps; with late_reset the Rb of the last gate belongs to lin. */
static void input_sums(struct onx_pool *pool, const struct step *p)
{
	const struct onx_cell *g = p->g;
	const size_t gh = g->gates * g->h, rows = g->t * g->b;
	const size_t both = g->late_reset ? gh - g->h : gh;
	const struct onx_mat m = { rows, gh, g->i, false, true, g->i, g->i, gh };
	const real *bias = p->d->bias;

	for (size_t r = 0; bias && r < rows; r++)
		for (size_t j = 0; j < gh; j++)
			p->k.pre[r * gh + j] = bias[j] + (j < both ? bias[gh + j] : 0);
	onx_gemm(pool, &m, 1, p->d->x, p->d->w, bias ? 1 : 0, p->k.pre);
}

static void first_states(const struct step *p)
{
	const struct onx_cell *g = p->g;
	const size_t bytes = g->h * sizeof(real);

	for (size_t b = 0; b < g->b; b++) {
		const size_t from = onx_cell_state(g, b);
		if (p->d->h0)
			memcpy(p->k.hs + b * g->h, p->d->h0 + from, bytes);
		else
			memset(p->k.hs + b * g->h, 0, bytes);
		if (g->kind != ONX_LSTM)
			continue;
		if (p->d->c0)
			memcpy(p->k.cs + b * g->h, p->d->c0 + from, bytes);
		else
			memset(p->k.cs + b * g->h, 0, bytes);
	}
}

/* The sums of sample b at this step; NULL where its sequence has ended. */
static real *sums(const struct step *p, size_t b, size_t *row)
{
	const size_t n = onx_cell_steps(p->g, p->d->len, b);

	if (p->s >= n)
		return NULL;
	*row = onx_cell_row(p->g, onx_cell_time(p->g, n, p->s), b);
	return p->k.pre + *row * p->g->gates * p->g->h;
}

static void rnn_row(const struct step *p, size_t b, real *a, real *h)
{
	const size_t n = p->g->h;

	for (size_t j = 0; j < n; j++) {
		a[j] += p->prod[b * n + j];
		h[j] = onx_gate(p->g, 0, a[j]);
	}
}

/* z and r; with late_reset all of it, else r . h for the product that n still needs. */
static void gru_reset(const void *ctx, size_t b)
{
	const struct step *p = ctx;
	const size_t n = p->g->h;
	const real *h = p->k.hs + (p->s * p->g->b + b) * n, *prod = p->prod + b * 3 * n;
	size_t row;
	real *a = sums(p, b, &row);

	for (size_t j = 0; j < n; j++) {
		p->reset[b * n + j] = 0;
		if (!a)
			continue;
		a[j] += prod[j];
		a[n + j] += prod[n + j];
		const real r = onx_gate(p->g, 0, a[n + j]);
		if (p->g->late_reset) {
			const real lin = prod[2 * n + j] + (p->d->bias ? p->d->bias[5 * n + j] : 0);
			p->k.lin[row * n + j] = lin;
			a[2 * n + j] += r * lin;
		} else {
			p->reset[b * n + j] = r * h[j];
		}
	}
}

static void gru_row(const struct step *p, size_t b, real *a, const real *before, real *h)
{
	const size_t n = p->g->h;

	for (size_t j = 0; j < n; j++) {
		if (!p->g->late_reset)
			a[2 * n + j] += p->prod[b * 3 * n + 2 * n + j];
		const real z = onx_gate(p->g, 0, a[j]), v = onx_gate(p->g, 1, a[2 * n + j]);
		h[j] = (1 - z) * v + z * before[j];
	}
}

static void lstm_row(const struct step *p, size_t b, real *a, real *h)
{
	const struct onx_cell *g = p->g;
	const size_t n = g->h, at = (p->s * g->b + b) * n;
	const real *prod = p->prod + b * 4 * n, *hole = p->d->p, *before = p->k.cs + at;
	real *c = p->k.cs + at + g->b * n;

	for (size_t j = 0; j < 4 * n; j++)
		a[j] += prod[j];
	for (size_t j = 0; j < n; j++) {
		if (hole) {
			a[j] += hole[j] * before[j];
			a[2 * n + j] += hole[2 * n + j] * before[j];
		}
		const real i = onx_gate(g, 0, a[j]);
		const real f = g->coupled ? 1 - i : onx_gate(g, 0, a[2 * n + j]);
		c[j] = f * before[j] + i * onx_gate(g, 1, a[3 * n + j]);
		if (hole)
			a[n + j] += hole[n + j] * c[j];
		h[j] = onx_gate(g, 0, a[n + j]) * onx_squash(&g->f[2], c[j]);
	}
}

static void step_row(const void *ctx, size_t b)
{
	const struct step *p = ctx;
	const struct onx_cell *g = p->g;
	const size_t n = g->h, at = (p->s * g->b + b) * n, next = at + g->b * n;
	real *h = p->k.hs + next;
	size_t row;
	real *a = sums(p, b, &row);

	if (!a) {
		memcpy(h, p->k.hs + at, n * sizeof(real));
		if (g->kind == ONX_LSTM)
			memcpy(p->k.cs + next, p->k.cs + at, n * sizeof(real));
		return;
	}
	if (g->kind == ONX_RNN)
		rnn_row(p, b, a, h);
	else if (g->kind == ONX_GRU)
		gru_row(p, b, a, p->k.hs + at, h);
	else
		lstm_row(p, b, a, h);
	if (p->d->y) {
		const size_t len = onx_cell_steps(g, p->d->len, b);
		memcpy(p->d->y + onx_cell_y(g, onx_cell_time(g, len, p->s), b), h, n * sizeof(real));
	}
}

static void one_step(struct onx_pool *pool, struct step *p)
{
	const struct onx_cell *g = p->g;
	const size_t n = g->h, gh = g->gates * n;
	const bool late = g->kind == ONX_GRU && !g->late_reset;         /* n needs r first */
	const size_t now = late ? 2 * n : gh;
	const struct onx_mat m = { g->b, now, n, false, true, n, n, gh };
	const struct onx_mat rest = { g->b, n, n, false, true, n, n, gh };

	onx_gemm(pool, &m, 1, p->k.hs + p->s * g->b * n, p->d->r, 0, p->prod);
	if (g->kind == ONX_GRU)
		onx_cell_each(pool, g, gru_reset, p);
	if (late)
		onx_gemm(pool, &rest, 1, p->reset, p->d->r + 2 * n * n, 0, p->prod + 2 * n);
	onx_cell_each(pool, g, step_row, p);
}

static void last_states(const struct step *p)
{
	const struct onx_cell *g = p->g;

	for (size_t b = 0; b < g->b; b++) {
		const size_t from = (g->t * g->b + b) * g->h, to = onx_cell_state(g, b);
		if (p->d->yh)
			memcpy(p->d->yh + to, p->k.hs + from, g->h * sizeof(real));
		if (p->d->yc)
			memcpy(p->d->yc + to, p->k.cs + from, g->h * sizeof(real));
	}
}

void onx_cell_forward(struct onx_pool *pool, const struct onx_cell *g, const struct onx_cell_data *d)
{
	struct step p = { .g = g, .d = d, .k = onx_cell_kept(g, d->save), .prod = d->scratch };

	p.reset = p.prod + g->b * g->gates * g->h;
	input_sums(pool, &p);
	first_states(&p);
	for (size_t b = 0; d->y && d->len && b < g->b; b++)     /* behind the end of a sequence */
		for (size_t t = onx_cell_steps(g, d->len, b); t < g->t; t++)
			memset(d->y + onx_cell_y(g, t, b), 0, g->h * sizeof(real));
	for (; p.s < g->t; p.s++)
		one_step(pool, &p);
	last_states(&p);
}

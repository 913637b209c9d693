/* kernel/cell.c -- recurrent layers, forward. */
#include "kernel/cell_i.h"
#include <string.h>
#include "kernel/cpu.h"

size_t onx_cell_saved(const struct onx_cell *g)
{
	const size_t rows = g->t * g->b, states = (rows + g->b) * g->h;

	return (rows * g->gates * g->h + states + (g->kind == ONX_LSTM ? states : rows * g->h)) * sizeof(double);
}

size_t onx_cell_scratch(const struct onx_cell *g, bool backward)
{
	const size_t gh = g->gates * g->h, rows = g->t * g->b;

	const size_t panels = (gh + 2 * ONX_CELL_PAD) * (g->h + ONX_CELL_PAD);          /* of R or R' */

	return ((backward ? rows * (2 * gh + g->h) + 3 * g->b * g->h : g->b * (gh + g->h)) + panels) * sizeof(double);
}

struct step {
	const struct onx_cell *g;
	const struct onx_cell_data *d;
	struct onx_cell_kept k;
	size_t s;
	real *prod, *reset;             /* h R' [b][gates*h]; r . h [b][h] */
	struct onx_cell_product now, rest;      /* rest: of a GRU's n, which needs r first */
};

/* pre = x W' + Wb + Rb over all steps; with late_reset the Rb of the last gate belongs to lin. */
static void input_sums(struct onx_pool *pool, const struct step *p)
{
	const struct onx_cell *g = p->g;
	const size_t gh = g->gates * g->h, rows = g->t * g->b;
	const size_t both = g->late_reset ? gh - g->h : gh;
	const struct onx_mat m = { rows, gh, g->i, false, true, g->i, g->i, gh };
	const real *bias = p->d->bias;

	for (size_t j = 0; bias && rows > 0 && j < gh; j++)
		p->k.pre[j] = bias[j] + (j < both ? bias[gh + j] : 0);
	for (size_t r = 1; bias && r < rows; r++)
		memcpy(p->k.pre + r * gh, p->k.pre, gh * sizeof(real));
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

	onx_cell_add(p->prod + b * n, n, a);
	onx_cell_gate(p->g, 0, a, n, h);
}

/* r of a run that begins at a, and what it acts on. */
static void reset_run(const struct step *p, size_t b, size_t j, size_t n, real *a, real *lin)
{
	const size_t h = p->g->h;
	const real *prod = p->prod + b * 3 * h + j;
	real r[ONX_CELL_RUN];

	onx_cell_add(prod, n, a);
	onx_cell_add(prod + h, n, a + h);
	onx_cell_gate(p->g, 0, a + h, n, r);
	if (!p->g->late_reset) {
		onx_cell_times(r, p->k.hs + (p->s * p->g->b + b) * h + j, n, false, p->reset + b * h + j);
		return;
	}
	memcpy(lin, prod + 2 * h, n * sizeof *lin);
	if (p->d->bias)
		onx_cell_add(p->d->bias + 5 * h + j, n, lin);
	onx_cell_times(r, lin, n, true, a + 2 * h);
}

/* z and r; with late_reset all of it, else r . h for the product that n still needs. */
static void gru_reset(const void *ctx, size_t b)
{
	const struct step *p = ctx;
	const size_t n = p->g->h;
	size_t row;
	real *a = sums(p, b, &row);

	if (!a)
		memset(p->reset + b * n, 0, n * sizeof(real));
	for (size_t j = 0; a && j < n; j += ONX_CELL_RUN)
		reset_run(p, b, j, onx_cell_run(n, j), a + j, p->k.lin + row * n + j);
}

/* h = (1 - z) . v + z . before */
ONX_CLONES
static void mix(const real *restrict z, const real *restrict v, const real *restrict before, size_t n, real *restrict h)
{
	for (size_t j = 0; j < n; j++)
		h[j] = (1 - z[j]) * v[j] + z[j] * before[j];
}

static void gru_row(const struct step *p, size_t b, real *a, const real *before, real *h)
{
	const size_t n = p->g->h;
	real z[ONX_CELL_RUN], v[ONX_CELL_RUN];

	if (!p->g->late_reset)
		onx_cell_add(p->prod + b * 3 * n + 2 * n, n, a + 2 * n);
	for (size_t j = 0; j < n; j += ONX_CELL_RUN) {
		const size_t m = onx_cell_run(n, j);

		onx_cell_gate(p->g, 0, a + j, m, z);
		onx_cell_gate(p->g, 1, a + 2 * n + j, m, v);
		mix(z, v, before + j, m, h + j);
	}
}

/* c = f . before + i . v, f being 1 - i without one of its own */
ONX_CLONES
static void carry(const real *restrict i, const real *restrict f, const real *restrict v, const real *restrict before,
		  size_t n, real *restrict c)
{
	if (f)
		for (size_t j = 0; j < n; j++)
			c[j] = f[j] * before[j] + i[j] * v[j];
	else
		for (size_t j = 0; j < n; j++)
			c[j] = (1 - i[j]) * before[j] + i[j] * v[j];
}

/* A run of n numbers of gates that are h numbers apart; hole, before, c and to begin with the run. */
static void lstm_run(const struct onx_cell *g, size_t n, real *a, const real *hole, const real *before, real *c,
		     real *to)
{
	const size_t h = g->h;
	real i[ONX_CELL_RUN], f[ONX_CELL_RUN], v[ONX_CELL_RUN];

	if (hole) {
		onx_cell_times(hole, before, n, true, a);
		onx_cell_times(hole + 2 * h, before, n, true, a + 2 * h);
	}
	onx_cell_gate(g, 0, a, n, i);
	if (!g->coupled)
		onx_cell_gate(g, 0, a + 2 * h, n, f);
	onx_cell_gate(g, 1, a + 3 * h, n, v);
	carry(i, g->coupled ? NULL : f, v, before, n, c);
	if (hole)
		onx_cell_times(hole + h, c, n, true, a + h);
	onx_cell_gate(g, 0, a + h, n, i);
	onx_cell_squash(&g->f[2], c, n, v);
	onx_cell_times(i, v, n, false, to);
}

static void lstm_row(const struct step *p, size_t b, real *a, real *h)
{
	const size_t n = p->g->h, at = (p->s * p->g->b + b) * n;
	const real *hole = p->d->p, *before = p->k.cs + at;

	onx_cell_add(p->prod + b * 4 * n, 4 * n, a);
	for (size_t j = 0; j < n; j += ONX_CELL_RUN)
		lstm_run(p->g, onx_cell_run(n, j), a + j, hole ? hole + j : NULL, before + j,
			 p->k.cs + at + p->g->b * n + j, h + j);
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

	onx_cell_product_add(pool, &p->now, p->k.hs + p->s * g->b * g->h, 0, p->prod);
	if (g->kind == ONX_GRU)
		onx_cell_each(pool, g, gru_reset, p);
	if (p->rest.m.n > 0)
		onx_cell_product_add(pool, &p->rest, p->reset, 0, p->prod + 2 * g->h);
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

	const size_t n = g->h, gh = g->gates * n, late = g->kind == ONX_GRU && !g->late_reset ? n : 0;
	const struct onx_mat now = { g->b, gh - late, n, false, true, n, n, gh };
	const struct onx_mat rest = { g->b, late, n, false, true, n, n, gh };

	p.reset = p.prod + g->b * gh;
	real *room = p.reset + g->b * n;
	p.now = onx_cell_product(&now, g->t, d->r, &room);
	p.rest = onx_cell_product(&rest, g->t, d->r + 2 * n * n, &room);
	input_sums(pool, &p);
	first_states(&p);
	for (size_t b = 0; d->y && d->len && b < g->b; b++)     /* behind the end of a sequence */
		for (size_t t = onx_cell_steps(g, d->len, b); t < g->t; t++)
			memset(d->y + onx_cell_y(g, t, b), 0, g->h * sizeof(real));
	for (; p.s < g->t; p.s++)
		one_step(pool, &p);
	last_states(&p);
}

/* op/grad.c -- every backward against signed central differences, in double.
 * For L = sum(w*y) and a random direction v of one input, dx.v from backward (with dy = w) must equal
 * the slope of L along v; the difference is of fourth order:
 * (8(L(h)-L(-h)) - (L(2h)-L(-2h))) / 12h.  Signed on purpose: comparing magnitudes would pass a
 * flipped sign.  Besides: each gradient alone, and added to what is there, gives the same numbers.
 * Arguments: names of operators; none: all. */
#include "case.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SEEDS = 5 };
static const double H = 1e-3;

struct tally { int cases, checks, bad; };

static void fault(struct tally *t, const struct op_run *r, const char *impl, const char *what)
{
	char text[512];

	printf("not ok - %s %s seed %u: %s\n", op_case_text(r->cs, text, sizeof text), impl, r->seed, what);
	t->bad++;
}

/* Adds weight times what the outputs in `from` are now. */
static void observe(struct op_run *r, const struct onx_impl *impl, unsigned from, double weight, double *sum, bool *ok)
{
	*ok &= op_run_forward(r, impl, NULL);
	for (int i = 0; i < r->s.n_out; i++) {
		if (!(from >> i & 1))
			continue;
		for (size_t k = 0; k < r->y[i].n; k++)
			*sum++ += weight * ((const double *)r->y[i].v)[k];
	}
}

/* Slope along a random direction (written to v) of input i, by differences: of each element first, as one that stays
 * as large as it is (a score that is hidden) would swallow the others in a sum. */
static double slope(struct op_run *r, const struct onx_impl *impl, int i, unsigned from, double *v, bool *ok)
{
	static const double at[4] = { 1, -1, 2, -2 }, weight[4] = { 8, -8, -1, 1 };
	double *x = r->x[i].v, sum = 0;
	const size_t n = r->x[i].n;
	double *x0 = ONX_NEWS(&r->mem, double, n + 1);
	size_t n_y = 0;
	struct onx_rng g;

	for (int o = 0; o < r->s.n_out; o++)
		n_y += from >> o & 1 ? r->y[o].n : 0;
	double *d = ONX_NEWS(&r->mem, double, n_y + 1);
	onx_rng_init(&g, r->seed, ONX_RNG_TEST, 3, (uint64_t)i);
	for (size_t k = 0; k < n; k++)
		v[k] = onx_rng_range(&g, -1, 1);
	memcpy(x0, x, n * sizeof *x);
	for (int s = 0; s < 4; s++) {
		for (size_t k = 0; k < n; k++)
			x[k] = x0[k] + at[s] * H * v[k];
		observe(r, impl, from, weight[s], d, ok);
	}
	memcpy(x, x0, n * sizeof *x);
	for (int o = 0; o < r->s.n_out; o++)
		for (size_t k = 0; from >> o & 1 && k < r->y[o].n; k++)
			sum += ((const double *)r->dy[o].v)[k] * *d++;
	return sum / (12 * H);
}

static double *copy_of(struct op_run *r, const struct onx_view *v)
{
	double *p = ONX_NEWS(&r->mem, double, v->n + 1);

	memcpy(p, v->v, v->n * sizeof *p);
	return p;
}

static bool close_to(const double *a, const double *b, size_t n)
{
	for (size_t k = 0; k < n; k++)
		if (!(fabs(a[k] - b[k]) <= 1e-11 * (1 + fabs(b[k]))))
			return false;
	return true;
}

/* dx[i] alone, then added to a sum (or set, where the operator says so), against dx[i] computed with all others. */
static void masks(struct tally *t, struct op_run *r, const struct onx_impl *impl, const char *name, int i,
		  unsigned from, const double *all)
{
	const struct onx_view *dx = &r->dx[i];
	double *d = dx->v;

	if (!op_run_backward(r, impl, NULL, 1u << i, false, from))
		fault(t, r, name, "backward wrote outside its buffers");
	if (!close_to(d, all, dx->n))
		fault(t, r, name, "a gradient wanted alone differs");
	for (size_t k = 0; k < dx->n; k++)
		d[k] = 3 + 0.5 * (double)(k % 5);
	if (!op_run_backward(r, impl, NULL, 1u << i, true, from))
		fault(t, r, name, "backward wrote outside its buffers");
	for (size_t k = 0; k < dx->n && !(i == 0 && (r->op->flags & ONX_OP_SETS_DX0)); k++)
		d[k] -= 3 + 0.5 * (double)(k % 5);
	if (!close_to(d, all, dx->n))
		fault(t, r, name, "a gradient added to a sum differs");
	t->checks += 2;
}

static void check_input(struct tally *t, struct op_run *r, const struct onx_impl *impl, const char *name,
			int i, unsigned from, const double *dx)
{
	const double tol = r->cs->tol > 0 ? r->cs->tol : 1e-6;
	double *v = ONX_NEWS(&r->mem, double, r->x[i].n + 1), back = 0;
	bool ok = true;
	char what[256];
	const double diff = slope(r, impl, i, from, v, &ok);

	for (size_t k = 0; k < r->x[i].n; k++)
		back += dx[k] * v[k];
	const double err = fabs(back - diff) / (fabs(back) + fabs(diff) + 1e-6);
	t->checks++;
	if (!ok)
		fault(t, r, name, "forward wrote outside its buffers");
	if (err <= tol)
		return;
	snprintf(what, sizeof what, "'%s' (outputs %#x): backward %.12g, difference %.12g", r->name[i],
		 from, back, diff);
	fault(t, r, name, what);
}

static void check(struct tally *t, struct op_run *r, const struct onx_impl *impl, unsigned from)
{
	const unsigned want = op_run_wanted(r);
	const char *name = impl ? impl->name : "";
	double *dx[OP_PORTS] = { 0 };

	bool ok = op_run_forward(r, impl, NULL);
	ok &= op_run_backward(r, impl, NULL, want, false, from);
	if (!ok)
		fault(t, r, name, "wrote outside its buffers");
	for (int i = 0; i < r->s.n_in; i++)
		if (want >> i & 1)
			dx[i] = copy_of(r, &r->dx[i]);
	for (int i = 0; i < r->s.n_in; i++)
		if (want >> i & 1)
			masks(t, r, impl, name, i, from, dx[i]);
	for (int i = 0; i < r->s.n_in; i++)     /* last: it runs forward elsewhere */
		if (want >> i & 1)
			check_input(t, r, impl, name, i, from, dx[i]);
}

static void check_seed(struct tally *t, const struct op_case *c, unsigned seed)
{
	struct op_run r;
	struct onx_err e = { 0 };

	if (op_run_open(&r, c, true, seed, &e) < 0) {
		fault(t, &r, "", e.text);
		op_run_release(&r);
		return;
	}
	const unsigned want = op_run_wanted(&r), all = op_run_sources(&r);
	bool sane = !(want >> 31) && all && r.op->backward;
	for (int i = 0; i < r.s.n_in; i++)
		sane &= !(want >> i & 1) || (onx_op_grad(r.op, i) == ONX_G_DIFF && r.x[i].width == 8);
	if (!sane) {
		fault(t, &r, "", "the case asks for a gradient that the row does not offer");
		op_run_release(&r);
		return;
	}
	unsigned from = all;
	if (seed > 1 && (all & (all - 1)))      /* several outputs: also each one alone */
		from = seed % 2 == 0 ? all & -all : all & (all - 1);
	check(t, &r, NULL, from);
	for (const struct onx_impl *m = r.op->impl; m && m->name; m++)
		if (m->fits(&r.s, r.attr))
			check(t, &r, m, from);
	op_run_release(&r);
}

int main(int argc, char **argv)
{
	struct tally t = { 0 };

	for (size_t i = 0; i < op_n_cases; i++) {
		const struct op_case *c = &op_cases[i];
		if (!c->grad || !op_case_picked(c, argc, argv))
			continue;
		t.cases++;
		for (unsigned seed = 1; seed <= SEEDS; seed++)
			check_seed(&t, c, seed);
	}
	printf("%d cases, %d checks, %d failed\n", t.cases, t.checks, t.bad);
	return t.bad != 0 || t.cases == 0;
}

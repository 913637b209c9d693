/* op/value.c -- what forward computes: float against double, against expected numbers, in place,
 * each implementation against the reference, and the same bits with 1, 2 and 3 threads.
 * Arguments: names of operators; none: all. */
#include "case.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tally { int cases, checks, bad; struct onx_pool *pool[3]; };

__attribute__((format(printf, 3, 4)))
static void fault(struct tally *t, const struct op_case *c, const char *fmt, ...)
{
	char text[512], what[1200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	printf("not ok - %s: %s\n", op_case_text(c, text, sizeof text), what);
	t->bad++;
}

/* Mixed: relative to the value or to the largest one around, so that cancellation is not blamed. */
static void agree(struct tally *t, const struct op_case *c, const char *what, int i,
		  const struct onx_view *a, const struct onx_view *b, double tol)
{
	double scale = 0;
	struct onx_gap gap;

	t->checks++;
	if (a->type != b->type || a->n != b->n) {
		fault(t, c, "%s %d: type or size differ", what, i);
		return;
	}
	if (a->type == ONX_STRING) {
		for (size_t k = 0; k < a->n; k++)
			if (strcmp(((const char *const *)a->v)[k], ((const char *const *)b->v)[k]) != 0)
				fault(t, c, "%s %d: strings differ at %zu", what, i, k);
		return;
	}
	for (size_t k = 0; k < b->n; k++) {
		const double v = fabs(onx_view_real(b, k));
		scale = v > scale && v < 1 ? v : scale;
	}
	onx_compare(a, b, tol, onx_dtype_real(a->type) ? tol * scale : 0, &gap);
	if (gap.bad > 0)
		fault(t, c, "%s %d: %zu of %zu differ, at %zu %.9g and %.9g", what, i, gap.bad, a->n, gap.at,
		      gap.a, gap.b);
}

static void same_bits(struct tally *t, const struct op_case *c, const char *what, int i,
		      const struct onx_view *a, const void *b)
{
	t->checks++;
	if (a->n > 0 && memcmp(a->v, b, a->n * a->width) != 0)
		fault(t, c, "%s %d has other bits", what, i);
}

static void *copy_of(struct op_run *r, const struct onx_view *v)
{
	void *p = onx_alloc(&r->mem, v->n + 1, v->width ? v->width : 1);

	if (!p)
		abort();
	if (v->v)
		memcpy(p, v->v, v->n * v->width);
	return p;
}

static void run_all(struct tally *t, struct op_run *r, const struct onx_impl *impl, struct onx_pool *pool)
{
	bool ok = op_run_forward(r, impl, pool);

	if (r->cs->grad)
		ok &= op_run_backward(r, impl, pool, op_run_wanted(r), false, op_run_sources(r));
	if (!ok)
		fault(t, r->cs, "%s wrote outside its buffers", impl ? impl->name : "the reference");
}

/* The same bits whatever the number of threads. */
static void threads(struct tally *t, struct op_run *r, const struct onx_impl *impl)
{
	void *y[OP_PORTS], *dx[OP_PORTS];

	run_all(t, r, impl, NULL);
	for (int i = 0; i < OP_PORTS; i++) {
		y[i] = copy_of(r, &r->y[i]);
		dx[i] = copy_of(r, &r->dx[i]);
	}
	for (int k = 0; k < 3; k++) {
		run_all(t, r, impl, t->pool[k]);
		for (int i = 0; i < r->s.n_out; i++)
			if (r->y[i].v)
				same_bits(t, r->cs, "with threads, output", i, &r->y[i], y[i]);
		for (int i = 0; i < r->s.n_in; i++)
			if (r->cs->grad && op_run_wanted(r) >> i & 1)
				same_bits(t, r->cs, "with threads, gradient", i, &r->dx[i], dx[i]);
	}
}

static void in_place(struct tally *t, struct op_run *r)
{
	for (int i = 0; i < 8 && i < r->s.n_in; i++) {
		const struct onx_view *x = &r->x[i], *y = &r->y[0];
		if (!(r->op->alias >> i & 1) || !x->v || x->n != y->n || x->width != y->width)
			continue;
		if (!op_run_forward(r, NULL, NULL))
			fault(t, r->cs, "wrote outside its buffers");
		void *apart = copy_of(r, y);
		if (!op_run_in_place(r, i, NULL))
			fault(t, r->cs, "wrote outside its buffers");
		same_bits(t, r->cs, "computed in place, output", 0, y, apart);
	}
}

/* The gradient that may take the memory of dy[0]. */
static void in_dy(struct tally *t, struct op_run *r, const struct onx_impl *impl)
{
	const int i = r->op->pass;
	const struct onx_view dx = r->dx[i];

	if ((i == 0 && !(r->op->flags & ONX_OP_OVER_DY)) || i >= r->s.n_in || !r->cs->grad ||
	    !(op_run_wanted(r) >> i & 1))
		return;
	run_all(t, r, impl, NULL);
	void *apart = copy_of(r, &dx);
	r->dx[i].v = r->dy[0].v;
	if (!op_run_backward(r, impl, NULL, op_run_wanted(r), false, op_run_sources(r)))
		fault(t, r->cs, "wrote outside its buffers");
	same_bits(t, r->cs, "in the place of dy, gradient", i, &r->dx[i], apart);
	r->dx[i] = dx;
}

/* Without memory for what backward needs. */
static void spared(struct tally *t, struct op_run *r, const struct onx_impl *impl)
{
	void *y[OP_PORTS];

	if (!(r->op->flags & ONX_OP_SPARES))
		return;
	run_all(t, r, impl, NULL);
	for (int i = 0; i < r->s.n_out; i++)
		y[i] = copy_of(r, &r->y[i]);
	if (!op_run_spared(r, impl, t->pool[2]))
		fault(t, r->cs, "%s wrote outside its buffers", impl ? impl->name : "the reference");
	for (int i = 0; i < r->s.n_out; i++)
		if (r->y[i].v)
			same_bits(t, r->cs, "without memory to save, output", i, &r->y[i], y[i]);
}

/* impl NULL: float against double; else an implementation against the reference, both in float. */
static void compare(struct tally *t, struct op_run *r, struct op_run *ref, const struct onx_impl *impl)
{
	const double tol = r->cs->ftol > 0 ? r->cs->ftol : 1e-5;

	run_all(t, r, impl, NULL);
	run_all(t, ref, NULL, NULL);
	for (int i = 0; i < r->s.n_out; i++)
		if (r->y[i].v)
			agree(t, r->cs, impl ? impl->name : "float against double, output", i, &r->y[i],
			      &ref->y[i], tol);
	for (int i = 0; i < r->s.n_in; i++)
		if (r->cs->grad && op_run_wanted(r) >> i & 1)
			agree(t, r->cs, impl ? impl->name : "float against double, gradient", i,
			      &r->dx[i], &ref->dx[i], 10 * tol);
}

static void wanted(struct tally *t, struct op_run *r)
{
	struct op_tensor w[OP_PORTS];
	struct onx_err e = { 0 };
	const int n = op_tensors(r->cs->want, w, OP_PORTS, &r->mem, &e);

	if (n < 0)
		fault(t, r->cs, "%s", e.text);
	run_all(t, r, NULL, NULL);
	for (int i = 0; i < n; i++) {
		char a[ONX_SHAPE_TEXT], b[ONX_SHAPE_TEXT];
		struct onx_view *y = &r->y[i];
		if (w[i].absent)
			continue;
		t->checks++;
		if (i >= r->s.n_out || w[i].type != y->type || !onx_shape_equal(&w[i].shape, &r->out[i].shape)) {
			fault(t, r->cs, "output %d is %s%s, wanted %s%s", i, onx_dtype_name(y->type),
			      onx_shape_text(y->rank, y->dim, a, sizeof a), onx_dtype_name(w[i].type),
			      onx_shape_text(w[i].shape.rank, w[i].shape.dim, b, sizeof b));
			continue;
		}
		for (size_t k = 0; w[i].given && k < y->n; k++) {
			bool same;
			if (y->type == ONX_STRING)
				same = strcmp(((const char **)y->v)[k], w[i].text[k]) == 0;
			else if (!onx_dtype_real(y->type))
				same = onx_view_int(y, k) == op_whole(w[i].text[k]);
			else
				same = isnan(w[i].v[k]) ? isnan(onx_view_real(y, k)) != 0
				     : onx_view_real(y, k) == w[i].v[k] ||
				       fabs(onx_view_real(y, k) - w[i].v[k]) <= 1e-5 * (0.1 + fabs(w[i].v[k]));
			if (!same)
				fault(t, r->cs, "output %d at %zu is %.9g, wanted %s", i, k,
				      y->type == ONX_STRING ? NAN : onx_view_real(y, k), w[i].text[k]);
		}
	}
}

static void check(struct tally *t, const struct op_case *c)
{
	struct op_run f, d;
	struct onx_err e = { 0 };
	const int rc_f = op_run_open(&f, c, false, 1, &e);
	const int rc_d = op_run_open(&d, c, true, 1, &e);

	t->cases++;
	t->checks++;
	if (c->fault && (rc_f >= 0 || !strstr(e.text, c->fault))) {
		fault(t, c, "the fault is '%s', wanted '%s'", e.text, c->fault);
	} else if (!c->fault && (rc_f < 0 || rc_d < 0)) {
		fault(t, c, "%s", e.text);
	} else if (!c->fault) {
		threads(t, &f, NULL);
		in_place(t, &f);
		in_dy(t, &f, NULL);
		spared(t, &f, NULL);
		compare(t, &f, &d, NULL);
		for (const struct onx_impl *m = f.op->impl; m && m->name; m++) {
			if (!m->fits(&f.s, f.attr))
				continue;
			struct op_run ref;
			if (op_run_open(&ref, c, false, 1, &e) == ONX_OK) {
				threads(t, &f, m);
				in_dy(t, &f, m);
				spared(t, &f, m);
				compare(t, &f, &ref, m);
			}
			op_run_release(&ref);
		}
		if (c->want) {
			wanted(t, &f);
			wanted(t, &d);
		}
	}
	op_run_release(&f);
	op_run_release(&d);
}

int main(int argc, char **argv)
{
	struct tally t = { 0 };
	struct onx_err e;

	for (int k = 0; k < 3; k++)
		if (onx_pool_new(k + 1, &t.pool[k], &e) < 0) {
			printf("not ok - %s\n", e.text);
			return 1;
		}
	for (size_t i = 0; i < op_n_cases; i++)
		if (op_case_picked(&op_cases[i], argc, argv))
			check(&t, &op_cases[i]);
	for (int k = 0; k < 3; k++)
		onx_pool_free(t.pool[k]);
	printf("%d cases, %d checks, %d failed\n", t.cases, t.checks, t.bad);
	return t.bad != 0 || t.cases == 0;
}

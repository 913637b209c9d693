/* op/lib/harness.c -- runs one operator without graph or plan: rows, attributes, inputs, shapes,
 * then forward and backward on buffers that are filled with NaN and followed by guard bytes. */
#include "case.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct op_case op_cases[] = {
#include "cases/all.inc"
};
const size_t op_n_cases = sizeof op_cases / sizeof *op_cases;

enum { GUARD = 64, GUARD_BYTE = 0xA5, STALE_BYTE = 0xFF };      /* all ones: NaN, -1 */

static void *buffer(struct op_run *r, size_t bytes)
{
	unsigned char *p = onx_alloc(&r->mem, bytes + GUARD, 1);
	struct op_guard *g = ONX_NEW(&r->mem, struct op_guard);

	if (!p || !g)
		abort();
	memset(p, STALE_BYTE, bytes);
	memset(p + bytes, GUARD_BYTE, GUARD);
	*g = (struct op_guard){ p + bytes, r->guard };
	r->guard = g;
	return p;
}

static bool guards_hold(const struct op_run *r)
{
	for (const struct op_guard *g = r->guard; g; g = g->next)
		for (int i = 0; i < GUARD; i++)
			if (g->at[i] != GUARD_BYTE)
				return false;
	return true;
}

static struct onx_view make_view(struct op_run *r, enum onx_dtype type, const struct onx_shape *shape)
{
	struct onx_view v = { .rank = shape->rank, .dim = shape->dim, .type = type };
	struct onx_err e;

	if (onx_count(shape->rank, shape->dim, &v.n, &e) < 0)
		abort();
	v.width = (uint8_t)onx_dtype_store(type, r->wide);
	v.v = buffer(r, v.n * v.width);
	return v;
}

/* A number away from the kinks, the same in both precisions. */
static double draw(struct onx_rng *g, const struct op_case *c, const struct op_tensor *t)
{
	for (;;) {
		const double x = (float)onx_rng_range(g, t->lo, t->hi);
		bool near = false;
		for (const char *p = c->kink; p && *p;) {
			char *end;
			near |= fabs(x - strtod(p, &end)) < 0.02;
			p = *end == ',' ? end + 1 : "";
		}
		if (!near)
			return x;
	}
}

static void fill_distinct(struct onx_rng *g, const struct onx_view *v, double lo, double hi,
			  struct onx_arena *a)
{
	uint32_t *order = ONX_NEWS(a, uint32_t, v->n + 1);

	if (!order)
		abort();
	for (uint32_t i = 0; i < v->n; i++)
		order[i] = i;
	onx_rng_shuffle(g, order, v->n);
	for (size_t i = 0; i < v->n; i++)
		onx_view_put_real(v, i, (float)(lo + (hi - lo) * ((double)order[i] + 0.37) / (double)v->n));
}

static void fill_input(struct op_run *r, int i, const struct op_tensor *t)
{
	const struct onx_view *v = &r->x[i];
	struct onx_rng g;

	onx_rng_init(&g, r->seed, ONX_RNG_TEST, 1, (uint64_t)i);
	if (t->distinct && onx_dtype_real(t->type)) {
		fill_distinct(&g, v, t->lo + 0.0123 * i, t->hi + 0.0123 * i, &r->mem);
		return;
	}
	for (size_t k = 0; k < v->n; k++) {
		if (v->type == ONX_STRING)
			((const char **)v->v)[k] = t->given ? t->text[k] : "";
		else if (onx_dtype_real(v->type))
			onx_view_put_real(v, k, t->given ? (double)(float)t->v[k] : draw(&g, r->cs, t));
		else
			onx_view_put_int(v, k, t->given ? op_whole(t->text[k])
					 : (int64_t)floor(onx_rng_range(&g, t->lo, t->hi + 1)));
	}
}

static int make_inputs(struct op_run *r, struct onx_err *e)
{
	struct op_tensor t[OP_PORTS];
	int n = op_tensors(r->cs->in, t, OP_PORTS, &r->mem, e);

	if (n < 0)
		return n;
	r->s.n_in = n;
	for (int i = 0; i < n; i++) {
		r->name[i] = onx_dup(&r->mem, t[i].name);
		if (t[i].absent)
			continue;
		r->in[i].type = t[i].type;
		r->in[i].shape = t[i].shape;
		r->x[i] = make_view(r, t[i].type, &r->in[i].shape);
		r->x_dead[i] = make_view(r, t[i].type, &r->in[i].shape);
		r->dx[i] = onx_dtype_real(t[i].type) ? make_view(r, t[i].type, &r->in[i].shape)
						     : (struct onx_view){ 0 };
		fill_input(r, i, &t[i]);
		if (t[i].given)
			r->in[i].value = &r->x[i];
	}
	return ONX_OK;
}

static void make_outputs(struct op_run *r)
{
	for (int i = 0; i < r->s.n_out; i++) {
		if (!r->wanted[i])
			continue;
		r->y[i] = make_view(r, r->out[i].type, &r->out[i].shape);
		r->y_dead[i] = make_view(r, r->out[i].type, &r->out[i].shape);
		if (onx_dtype_real(r->out[i].type))
			r->dy[i] = make_view(r, r->out[i].type, &r->out[i].shape);
	}
}

static int find_row(struct op_run *r, struct onx_err *e)
{
	const struct op_case *c = r->cs;
	int rc = onx_op_find(c->domain ? c->domain : "", c->op, c->version, &r->op, e);

	if (rc == ONX_OK && r->wide)
		r->op = onx_op_wide(r->op);
	return rc;
}

int op_run_open(struct op_run *r, const struct op_case *c, bool wide, unsigned seed, struct onx_err *e)
{
	const char *out = c->out ? c->out : "1";

	memset(r, 0, sizeof *r);
	r->cs = c;
	r->wide = wide;
	r->seed = seed;
	r->s = (struct onx_infer){ .version = c->version, .n_out = (int)strlen(out), .in = r->in,
				   .out = r->out, .out_wanted = r->wanted, .train = c->train,
				   .mem = &r->mem };
	for (int i = 0; i < r->s.n_out; i++)
		r->wanted[i] = out[i] == '1';
	int rc = find_row(r, e);
	if (rc == ONX_OK)
		rc = op_attr(c, r->op, &r->mem, &r->attr, e);
	if (rc == ONX_OK)
		rc = make_inputs(r, e);
	if (rc < 0)
		return rc;
	if (r->s.n_in < r->op->min_in || r->s.n_in > r->op->max_in || r->s.n_out < r->op->min_out ||
	    r->s.n_out > r->op->max_out)
		return onx_fail(e, ONX_USAGE, "case text: number of inputs or outputs");
	for (int i = 0; i < r->op->min_in; i++)         /* as the graph refuses it */
		if (r->in[i].type == ONX_UNDEFINED)
			return onx_fail(e, ONX_FORMAT, "input %d is missing", i);
	rc = r->op->infer(&r->s, r->attr, e);
	for (int i = 0; rc == ONX_OK && i < r->s.n_out; i++)
		if (r->wanted[i] && r->out[i].type == ONX_UNDEFINED)
			return onx_fail(e, ONX_SHAPE, "infer left output %d without a type", i);
	for (int i = 0; rc == ONX_OK && c->most && i < r->s.n_out; i++) {
		size_t n = 0;
		if (r->wanted[i])
			rc = onx_count(r->out[i].shape.rank, r->out[i].shape.dim, &n, e);
		if (rc == ONX_OK && n > c->most)
			rc = onx_nomem(e, (double)n, "an output");
	}
	if (rc == ONX_OK)
		make_outputs(r);
	return rc;
}

void op_run_release(struct op_run *r)
{
	onx_arena_release(&r->mem);
}

static struct onx_call make_call(const struct op_run *r, struct onx_pool *pool)
{
	return (struct onx_call){ .attr = r->attr, .geo = r->s.geo, .n_x = r->s.n_in, .n_y = r->s.n_out,
				  .x = r->x, .y = r->y, .save = r->save, .train = r->cs->train,
				  .rng = { 11, 22, 33 }, .pool = pool };
}

static void stale(const struct onx_view *v)
{
	if (v->v)
		memset(v->v, STALE_BYTE, v->n * v->width);
}

/* The rule has made the outputs itself: they stand in for what forward would write. */
static bool given(struct op_run *r)
{
	bool all = true;

	for (int i = 0; i < r->s.n_out; i++)
		all &= !r->wanted[i] || r->out[i].value;
	for (int i = 0; all && i < r->s.n_out; i++)
		for (size_t k = 0; r->wanted[i] && r->y[i].v && k < r->y[i].n; k++)
			if (onx_dtype_real(r->y[i].type))
				onx_view_put_real(&r->y[i], k, onx_view_real(r->out[i].value, k));
			else
				memcpy((char *)r->y[i].v + k * r->y[i].width,
				       (const char *)r->out[i].value->v + k * r->y[i].width, r->y[i].width);
	return all;
}

static bool run_forward(struct op_run *r, const struct onx_impl *impl, struct onx_pool *pool, bool spare)
{
	const struct onx_op *op = r->op;
	size_t (*saved)(const struct onx_infer *, const void *) =
		impl && impl->backward ? impl->saved : op->saved;
	size_t (*scratch)(const struct onx_infer *, const void *, int, bool) =
		impl ? impl->scratch : op->scratch;

	if (given(r))
		return guards_hold(r);
	r->save = spare ? NULL : buffer(r, saved ? saved(&r->s, r->attr) : 0);
	struct onx_call call = make_call(r, pool);
	call.scratch = buffer(r, scratch ? scratch(&r->s, r->attr, onx_pool_threads(pool), false) : 0);
	if (impl && impl->packed && r->seed % 2) {      /* both ways: made beforehand, and on the spot */
		void *packed = buffer(r, impl->packed(&r->s, r->attr));
		impl->pack(&call, packed);
		call.packed = packed;
	}
	(impl ? impl->forward : op->forward)(&call);
	return guards_hold(r);
}

bool op_run_forward(struct op_run *r, const struct onx_impl *impl, struct onx_pool *pool)
{
	for (int i = 0; i < r->s.n_out; i++)
		stale(&r->y[i]);
	return run_forward(r, impl, pool, false);
}

bool op_run_spared(struct op_run *r, const struct onx_impl *impl, struct onx_pool *pool)
{
	for (int i = 0; i < r->s.n_out; i++)
		stale(&r->y[i]);
	return run_forward(r, impl, pool, true);
}

bool op_run_in_place(struct op_run *r, int i, struct onx_pool *pool)
{
	const struct onx_view x = r->x[i];
	void *y = r->y[0].v;

	for (int k = 0; k < r->s.n_out; k++)
		stale(&r->y[k]);
	memcpy(y, x.v, x.n * x.width);
	r->x[i].v = y;
	const bool ok = run_forward(r, NULL, pool, false);
	r->x[i] = x;
	return ok;
}

static bool kept(uint32_t keep, int first, int i)
{
	return keep & (1u << (first + (i < 15 ? i : 15)));
}

static void draw_dy(struct op_run *r, int i)
{
	struct onx_rng g;

	onx_rng_init(&g, r->seed, ONX_RNG_TEST, 2, (uint64_t)i);
	for (size_t k = 0; k < r->dy[i].n; k++)
		onx_view_put_real(&r->dy[i], k, (float)onx_rng_range(&g, -1, 1));
}

bool op_run_backward(struct op_run *r, const struct onx_impl *impl, struct onx_pool *pool, unsigned want,
		     bool add, unsigned from)
{
	const struct onx_op *op = r->op;
	const bool own = impl && impl->backward;
	size_t (*scratch)(const struct onx_infer *, const void *, int, bool) =
		own ? impl->scratch : op->scratch;
	struct onx_call call = make_call(r, pool);
	struct onx_view x[OP_PORTS], y[OP_PORTS], dx[OP_PORTS] = { 0 }, dy[OP_PORTS] = { 0 };

	for (int i = 0; i < r->s.n_in; i++) {
		x[i] = kept(op->keep, 0, i) ? r->x[i] : r->x_dead[i];
		dx[i] = r->dx[i];
		dx[i].add = add;
		if (!(want >> i & 1))
			dx[i].v = NULL;
		else if (!add)
			stale(&dx[i]);
	}
	for (int i = 0; i < r->s.n_out; i++) {
		y[i] = kept(op->keep, 16, i) ? r->y[i] : r->y_dead[i];
		draw_dy(r, i);
		dy[i] = r->dy[i];
		if (!(from >> i & 1))
			dy[i].v = NULL;
	}
	call.x = x;
	call.y = y;
	call.dx = dx;
	call.dy = dy;
	call.scratch = buffer(r, scratch ? scratch(&r->s, r->attr, onx_pool_threads(pool), true) : 0);
	(own ? impl->backward : op->backward)(&call);
	bool taken = false;             /* a gradient lies where dy was: the caller's choice */
	for (int i = 0; i < r->s.n_in; i++)
		taken |= dx[i].v && dx[i].v == dy[0].v;
	for (int i = 0; op->flags & ONX_OP_TAKES_DY && !taken && i < r->s.n_out; i++)
		draw_dy(r, i);
	return guards_hold(r);
}

unsigned op_run_sources(const struct op_run *r)
{
	unsigned bits = 0;

	for (int i = 0; i < r->s.n_out; i++)
		if (r->dy[i].n > 0 && (r->cs->dy == 0 || r->cs->dy >> i & 1))
			bits |= 1u << i;
	return bits;
}

unsigned op_run_wanted(const struct op_run *r)
{
	unsigned bits = 0;

	for (const char *p = r->cs->grad; p && *p;) {
		size_t n = strcspn(p, " ");
		bool found = n == 0;
		for (int i = 0; i < r->s.n_in; i++)
			if (n > 0 && strlen(r->name[i]) == n && memcmp(r->name[i], p, n) == 0) {
				bits |= 1u << i;
				found = true;
			}
		if (!found)
			bits |= 1u << 31;       /* a name that is no input: the programs refuse it */
		p += n + (p[n] == ' ');
	}
	return bits;
}

const char *op_case_text(const struct op_case *c, char *buf, size_t n)
{
	snprintf(buf, n, "%s-%d [%s] (%s)%s", c->op, c->version, c->attr ? c->attr : "", c->in,
		 c->train ? " train" : "");
	return buf;
}

bool op_case_picked(const struct op_case *c, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], c->op) == 0)
			return true;
	return argc < 2;
}

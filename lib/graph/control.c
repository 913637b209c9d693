/* graph/control.c -- see control.h.  A body is evaluated by facts of its own, turn by turn; what comes out is
 * copied before they are freed. */
#include "graph/control.h"
#include <string.h>
#include "op/control.h"
#include "tensor/seq.h"

struct list { const struct onx_view **v; size_t n, room; };

static int push(struct onx_arena *a, struct list *l, const struct onx_view *v, struct onx_err *e)
{
	if (l->n == l->room) {
		const size_t room = l->room ? 2 * l->room : 16;
		const struct onx_view **more = ONX_NEWS(a, const struct onx_view *, room);
		if (!more)
			return onx_nomem(e, (double)room * sizeof *more, "slices");
		if (l->n)
			memcpy(more, l->v, l->n * sizeof *more);
		l->v = more;
		l->room = room;
	}
	l->v[l->n++] = v;
	return ONX_OK;
}

static void feed(struct onx_feed *f, uint32_t value, const struct onx_view *v)
{
	*f = (struct onx_feed){ .value = value, .type = v->type, .known = v, .shape = { .rank = v->rank } };
	if (v->rank)
		memcpy(f->shape.dim, v->dim, (size_t)v->rank * sizeof *v->dim);
}

/* The body's outputs for these inputs, in the arena of c->s. */
static int run_body(const struct onx_control *c, const struct onx_body *b, const struct onx_view *const *in,
		    size_t n_in, const struct onx_view **out, struct onx_err *e)
{
	struct onx_arena mem = { 0 };
	struct onx_consts consts;
	struct onx_facts *f = NULL;
	const size_t n = b->n_captured + n_in;
	struct onx_feed *list = ONX_NEWS(&mem, struct onx_feed, n + 1);
	int rc = list ? ONX_OK : onx_nomem(e, (double)n * sizeof *list, "a body");

	for (uint32_t i = 0; rc == ONX_OK && i < b->n_captured; i++) {
		const struct onx_fact *t = &c->fact[b->outer[i]];
		if (!t->value)
			rc = onx_fail(e, ONX_UNSUP, "its body reads '%s', which is computed while running",
				      c->g->value[b->outer[i]].name);
		else
			feed(&list[i], b->inner[i], t->value);
	}
	for (size_t i = 0; rc == ONX_OK && i < n_in; i++)
		feed(&list[b->n_captured + i], b->g->input[i], in[i]);
	const struct onx_facts_want want = { .feed = list, .n_feed = (uint32_t)n, .wide = c->want->wide,
					     .evaluate = true, .pool = c->want->pool };
	onx_consts_init(&consts, b->g);
	if (rc == ONX_OK)
		rc = onx_facts_make(b->g, &consts, &want, &f, e);
	for (uint32_t i = 0; rc == ONX_OK && i < b->g->n_output; i++) {
		const struct onx_view *v = f->fact[b->g->output[i]].value;
		if (!v)
			rc = onx_fail(e, ONX_UNSUP, "output %u of its body is not computed", (unsigned)i);
		else if (!(out[i] = onx_view_copy(c->s->mem, v)))
			rc = onx_nomem(e, (double)v->n * v->width, "a body's output");
	}
	onx_facts_free(f);
	onx_consts_release(&consts);
	onx_arena_release(&mem);
	return rc;
}

static void set_out(const struct onx_control *c, size_t i, const struct onx_view *v)
{
	if (i >= (size_t)c->s->n_out || !c->s->out_wanted[i])
		return;
	struct onx_fact *t = &c->s->out[i];
	*t = (struct onx_fact){ .type = v->type, .value = v, .shape = { .rank = v->rank } };
	if (v->rank)
		memcpy(t->shape.dim, v->dim, (size_t)v->rank * sizeof *v->dim);
}

static int known(const struct onx_control *c, int i, const struct onx_view **v, struct onx_err *e)
{
	*v = i < c->s->n_in ? c->s->in[i].value : NULL;
	if (*v || i >= c->s->n_in || c->s->in[i].type == ONX_UNDEFINED)
		return ONX_OK;
	return onx_fail(e, ONX_UNSUP, "input %d is computed while running, wanted a value that is known before", i);
}

/* Views with memory for one body's inputs and outputs. */
static int room(const struct onx_control *c, size_t n, const struct onx_view ***out, struct onx_err *e)
{
	*out = ONX_NEWS(c->s->mem, const struct onx_view *, n + 1);
	return *out ? ONX_OK : onx_nomem(e, (double)n * sizeof **out, "a body");
}

static int want_ports(const struct onx_body *b, size_t in, size_t out, struct onx_err *e)
{
	if (b->g->n_input == in && b->g->n_output == out)
		return ONX_OK;
	return onx_fail(e, ONX_FORMAT, "its body has %u inputs and %u outputs, wanted %zu and %zu",
			(unsigned)b->g->n_input, (unsigned)b->g->n_output, in, out);
}

/* n slices side by side along `axis`: along a new one (stack) or along one that they have. */
static int join(const struct onx_control *c, const struct list *l, int axis, const struct onx_value *declared,
		const struct onx_view **out, struct onx_err *e)
{
	int64_t dim[ONX_RANK + 1] = { 0 };
	const struct onx_view *one = l->n ? l->v[0] : NULL;
	const int rank = one ? one->rank : declared->has_shape ? declared->rank : 0;
	const enum onx_dtype type = one ? one->type : declared->type;
	if (rank >= ONX_RANK || onx_holds_views(type) || type == ONX_UNDEFINED)
		return onx_fail(e, ONX_UNSUP, "slices of %s with %d dimensions", onx_dtype_name(type), rank);
	if (axis < 0)
		axis += rank + 1;
	if (axis < 0 || axis > rank)
		return onx_fail(e, ONX_SHAPE, "slices of %d dimensions cannot be stacked along axis %d", rank, axis);
	for (int d = 0, k = 0; d <= rank; d++)
		dim[d] = d == axis ? (int64_t)l->n : one ? one->dim[k++] : declared->dim[k++];
	for (int d = 0; d <= rank; d++)
		dim[d] = dim[d] < 0 ? 0 : dim[d];               /* no slice says how long it is */
	struct onx_view *y = onx_tensor_new(c->s->mem, type, rank + 1, dim, onx_dtype_store(type, c->want->wide));
	if (!y)
		return onx_nomem(e, 0, "slices");
	size_t inner = y->width, outer = 1;
	for (int d = 0; d < axis; d++)
		outer *= (size_t)dim[d];
	for (int d = axis + 1; d <= rank; d++)
		inner *= (size_t)dim[d];
	for (size_t i = 0; i < l->n; i++) {
		const struct onx_view *v = l->v[i];
		if (v->type != type || v->rank != rank || v->width != y->width ||
		    (rank && memcmp(v->dim, one->dim, (size_t)rank * sizeof *v->dim) != 0))
			return onx_fail(e, ONX_SHAPE, "slice %zu has another type or shape than the first", i);
		for (size_t o = 0; inner && o < outer; o++)
			memcpy((char *)y->v + (o * l->n + i) * inner, (const char *)v->v + o * inner, inner);
	}
	*out = y;
	return ONX_OK;
}

/* Slice i of v along `axis`, which goes. */
static const struct onx_view *slice(struct onx_arena *a, const struct onx_view *v, int axis, size_t i)
{
	int64_t dim[ONX_RANK];
	size_t inner = v->width, outer = 1;
	for (int d = 0, k = 0; d < v->rank; d++)
		if (d != axis)
			dim[k++] = v->dim[d];
	struct onx_view *y = onx_tensor_new(a, v->type, v->rank - 1, dim, v->width);
	for (int d = 0; d < axis; d++)
		outer *= (size_t)v->dim[d];
	for (int d = axis + 1; d < v->rank; d++)
		inner *= (size_t)v->dim[d];
	for (size_t o = 0; y && inner && o < outer; o++)
		memcpy((char *)y->v + o * inner, (const char *)v->v + (o * (size_t)v->dim[axis] + i) * inner, inner);
	return y;
}

static int truth(const struct onx_view *v, bool *is, struct onx_err *e)
{
	if (v->type != ONX_BOOL || v->n != 1)
		return onx_fail(e, ONX_SHAPE, "the condition is %s of %zu elements, wanted one bool",
				onx_dtype_name(v->type), v->n);
	*is = onx_view_int(v, 0) != 0;
	return ONX_OK;
}

static int run_if(const struct onx_control *c, struct onx_err *e)
{
	const struct onx_view *v, **out;
	bool is;
	int rc = known(c, 0, &v, e);
	if (rc < 0 || (rc = truth(v, &is, e)) < 0)
		return rc;
	const struct onx_body *b = &c->n->body[is ? 0 : 1];
	if ((rc = want_ports(b, 0, c->n->n_out, e)) < 0 || (rc = room(c, b->g->n_output, &out, e)) < 0 ||
	    (rc = run_body(c, b, NULL, 0, out, e)) < 0)
		return rc;
	for (uint32_t i = 0; i < b->g->n_output; i++)
		set_out(c, i, out[i]);
	return ONX_OK;
}

/* ---- Loop ---- */

struct loop { int64_t most; bool go; size_t n_state, n_scan; const struct onx_view **in, **out; struct list *scan; };

static int open_loop(const struct onx_control *c, struct loop *l, struct onx_err *e)
{
	const struct onx_view *v;
	int rc = known(c, 0, &v, e);
	l->most = INT64_MAX;
	l->go = true;
	if (rc == ONX_OK && v) {
		if (v->type != ONX_INT64 || v->n != 1)
			return onx_fail(e, ONX_SHAPE, "the number of turns is %s of %zu elements, wanted one int64",
					onx_dtype_name(v->type), v->n);
		l->most = onx_view_int(v, 0);
	}
	if (rc == ONX_OK)
		rc = known(c, 1, &v, e);
	if (rc == ONX_OK && v)
		rc = truth(v, &l->go, e);
	const struct onx_graph *b = c->n->body[0].g;
	if (c->s->n_in < 2)
		return onx_fail(e, ONX_FORMAT, "%d inputs, wanted at least 2", c->s->n_in);
	l->n_state = (size_t)c->s->n_in - 2;
	if (rc < 0 || b->n_output < 1 + l->n_state)
		return rc < 0 ? rc : onx_fail(e, ONX_FORMAT, "its body has too few outputs");
	l->n_scan = b->n_output - 1 - l->n_state;
	if ((rc = want_ports(&c->n->body[0], 2 + l->n_state, b->n_output, e)) < 0 ||
	    (rc = room(c, b->n_input, &l->in, e)) < 0 || (rc = room(c, b->n_output, &l->out, e)) < 0)
		return rc;
	for (size_t i = 0; rc == ONX_OK && i < l->n_state; i++) {
		rc = known(c, (int)i + 2, &l->in[i + 2], e);
		if (rc == ONX_OK && !l->in[i + 2])
			rc = onx_fail(e, ONX_SHAPE, "state %zu has no value to begin with", i);
	}
	l->scan = ONX_NEWS(c->s->mem, struct list, l->n_scan + 1);
	return rc < 0 || l->scan ? rc : onx_nomem(e, (double)l->n_scan, "slices");
}

static int run_loop(const struct onx_control *c, struct onx_err *e)
{
	const struct onx_graph *b = c->n->body[0].g;
	struct onx_view *turn = onx_tensor_new(c->s->mem, ONX_INT64, 0, NULL, 8);
	struct onx_view *go = onx_tensor_new(c->s->mem, ONX_BOOL, 0, NULL, 1);
	struct loop l = { 0 };
	int rc = turn && go ? open_loop(c, &l, e) : onx_nomem(e, 128, "a loop");
	if (rc < 0)
		return rc;
	l.in[0] = turn;
	l.in[1] = go;
	for (int64_t i = 0; l.go && i < l.most; i++) {
		if (i >= ONX_TURNS)
			return onx_fail(e, ONX_UNSUP, "more than %d turns", (int)ONX_TURNS);
		onx_view_put_int(turn, 0, i);
		onx_view_put_int(go, 0, 1);
		if ((rc = run_body(c, &c->n->body[0], l.in, b->n_input, l.out, e)) < 0 ||
		    (rc = truth(l.out[0], &l.go, e)) < 0)
			return rc;
		memcpy(l.in + 2, l.out + 1, l.n_state * sizeof *l.in);
		for (size_t k = 0; rc == ONX_OK && k < l.n_scan; k++)
			rc = push(c->s->mem, &l.scan[k], l.out[1 + l.n_state + k], e);
		if (rc < 0)
			return rc;
	}
	for (size_t k = 0; k < l.n_state; k++)
		set_out(c, k, l.in[2 + k]);
	for (size_t k = 0; k < l.n_scan; k++) {
		const struct onx_view *y;
		rc = join(c, &l.scan[k], 0, &b->value[b->output[1 + l.n_state + k]], &y, e);
		if (rc < 0)
			return rc;
		set_out(c, l.n_state + k, y);
	}
	return ONX_OK;
}

/* ---- Scan ---- */

static int64_t at(const struct onx_ints *l, size_t i, int64_t none)
{
	return i < l->n ? l->v[i] : none;
}

struct scan { size_t n_state, n_scan, n_out, turns; const struct onx_view **in; struct list *out; };

/* One pass: states and whole scan inputs in x, final states and joined outputs in y. */
static int scan_once(const struct onx_control *c, const struct scan *s, const struct onx_view *const *x,
		     const struct onx_view **y, size_t turns, struct onx_err *e)
{
	const struct onx_control_attr *a = c->n->attr;
	const struct onx_graph *b = c->n->body[0].g;
	const struct onx_view **in, **out;
	int rc = room(c, b->n_input, &in, e);
	if (rc < 0 || (rc = room(c, b->n_output, &out, e)) < 0)
		return rc;
	memcpy(in, x, s->n_state * sizeof *in);
	for (size_t k = 0; k < s->n_out; k++)
		s->out[k].n = 0;
	for (size_t t = 0; t < turns; t++) {
		for (size_t k = 0; k < s->n_scan; k++) {
			const struct onx_view *v = x[s->n_state + k];
			int64_t axis = at(&a->in_axes, k, 0);
			axis += axis < 0 ? v->rank : 0;
			in[s->n_state + k] = slice(c->s->mem, v, (int)axis, at(&a->in_back, k, 0) ? turns - 1 - t : t);
			if (!in[s->n_state + k])
				return onx_nomem(e, 0, "a slice");
		}
		if ((rc = run_body(c, &c->n->body[0], in, b->n_input, out, e)) < 0)
			return rc;
		memcpy(in, out, s->n_state * sizeof *in);
		for (size_t k = 0; rc == ONX_OK && k < s->n_out; k++)
			rc = push(c->s->mem, &s->out[k], out[s->n_state + k], e);
		if (rc < 0)
			return rc;
	}
	memcpy(y, in, s->n_state * sizeof *in);
	for (size_t k = 0; rc == ONX_OK && k < s->n_out; k++) {
		struct list *l = &s->out[k];
		for (size_t i = 0; at(&a->out_back, k, 0) && i < l->n / 2; i++) {
			const struct onx_view *v = l->v[i];
			l->v[i] = l->v[l->n - 1 - i];
			l->v[l->n - 1 - i] = v;
		}
		rc = join(c, l, (int)at(&a->out_axes, k, 0), &b->value[b->output[s->n_state + k]],
			  &y[s->n_state + k], e);
	}
	return rc;
}

/* Counts states and slices; skip: inputs in front of the states; lead: dims in front of a scan axis. */
static int open_scan(const struct onx_control *c, struct scan *s, int skip, int lead, struct onx_err *e)
{
	const struct onx_control_attr *a = c->n->attr;
	const struct onx_graph *b = c->n->body[0].g;
	const size_t n_in = c->s->n_in > skip ? (size_t)(c->s->n_in - skip) : 0;
	int rc = ONX_OK;
	if ((size_t)a->scan_inputs > n_in || b->n_output < n_in - (size_t)a->scan_inputs)
		return onx_fail(e, ONX_FORMAT, "num_scan_inputs is %lld of %zu inputs",
				(long long)a->scan_inputs, n_in);
	s->n_scan = (size_t)a->scan_inputs;
	s->n_state = n_in - s->n_scan;
	s->n_out = b->n_output - s->n_state;
	if ((rc = want_ports(&c->n->body[0], n_in, b->n_output, e)) < 0 || (rc = room(c, n_in, &s->in, e)) < 0)
		return rc;
	s->out = ONX_NEWS(c->s->mem, struct list, s->n_out + 1);
	if (!s->out)
		return onx_nomem(e, 64, "slices");
	for (size_t i = 0; rc == ONX_OK && i < n_in; i++) {
		rc = known(c, (int)i + skip, &s->in[i], e);
		if (rc == ONX_OK && !s->in[i])
			return onx_fail(e, ONX_SHAPE, "input %zu is missing", i + (size_t)skip);
		if (rc < 0 || i < s->n_state)
			continue;
		const size_t k = i - s->n_state;
		int64_t axis = at(&a->in_axes, k, 0) + lead;
		axis += axis < 0 ? s->in[i]->rank : 0;
		if (axis < 0 || axis >= s->in[i]->rank || onx_holds_views(s->in[i]->type))
			return onx_fail(e, ONX_SHAPE, "input %zu has no axis %lld to scan", i + (size_t)skip,
					(long long)axis);
		const size_t n = (size_t)s->in[i]->dim[axis];
		if (k > 0 && n != s->turns)
			return onx_fail(e, ONX_SHAPE, "input %zu has %zu slices, the first has %zu",
					i + (size_t)skip, n, s->turns);
		s->turns = n;
	}
	return rc;
}

static int run_scan(const struct onx_control *c, struct onx_err *e)
{
	struct scan s = { 0 };
	const struct onx_view **y;
	int rc = open_scan(c, &s, 0, 0, e);
	if (rc < 0 || (rc = room(c, s.n_state + s.n_out, &y, e)) < 0 ||
	    (rc = scan_once(c, &s, s.in, y, s.turns, e)) < 0)
		return rc;
	for (size_t k = 0; k < s.n_state + s.n_out; k++)
		set_out(c, k, y[k]);
	return ONX_OK;
}

/* Version 8: one scan for each sample of a batch, which may say how long it is. */
static int run_scan8(const struct onx_control *c, struct onx_err *e)
{
	struct scan s = { 0 };
	const struct onx_view *lens = NULL, **x, **y;
	int rc = known(c, 0, &lens, e);
	if (rc < 0 || (rc = open_scan(c, &s, 1, 1, e)) < 0)
		return rc;
	const size_t n_in = s.n_state + s.n_scan, n_out = s.n_state + s.n_out;
	const size_t batch = (size_t)s.in[s.n_state]->dim[0];
	struct list *all = ONX_NEWS(c->s->mem, struct list, n_out + 1);
	if (!all)
		return onx_nomem(e, 64, "slices");
	if ((rc = room(c, n_in, &x, e)) < 0 || (rc = room(c, n_out, &y, e)) < 0)
		return rc;
	for (size_t i = 0; i < n_in; i++)
		if (s.in[i]->rank < 1 || (size_t)s.in[i]->dim[0] != batch)
			return onx_fail(e, ONX_SHAPE, "input %zu does not have %zu samples", i + 1, batch);
	for (size_t b = 0; b < batch; b++) {
		for (size_t i = 0; i < n_in; i++)
			if (!(x[i] = slice(c->s->mem, s.in[i], 0, b)))
				return onx_nomem(e, 0, "a sample");
		const int64_t len = lens && b < lens->n ? onx_view_int(lens, b) : (int64_t)s.turns;
		if (len != (int64_t)s.turns)
			return onx_fail(e, ONX_UNSUP, "sample %zu has %lld slices of %zu", b, (long long)len, s.turns);
		if ((rc = scan_once(c, &s, x, y, s.turns, e)) < 0)
			return rc;
		for (size_t k = 0; rc == ONX_OK && k < n_out; k++)
			rc = push(c->s->mem, &all[k], y[k], e);
		if (rc < 0)
			return rc;
	}
	for (size_t k = 0; k < n_out; k++) {
		const struct onx_view *v;
		rc = join(c, &all[k], 0, &c->n->body[0].g->value[c->n->body[0].g->output[k]], &v, e);
		if (rc < 0)
			return rc;
		set_out(c, k, v);
	}
	return ONX_OK;
}

/* ---- SequenceMap ---- */

static int run_map(const struct onx_control *c, struct onx_err *e)
{
	const struct onx_body *b = &c->n->body[0];
	const struct onx_view **all, **in, **out;
	const size_t n_in = (size_t)c->s->n_in;
	int rc = want_ports(b, n_in, c->n->n_out, e);
	if (rc < 0 || (rc = room(c, n_in, &all, e)) < 0 || (rc = room(c, n_in, &in, e)) < 0 ||
	    (rc = room(c, b->g->n_output, &out, e)) < 0)
		return rc;
	for (size_t i = 0; rc == ONX_OK && i < n_in; i++)
		rc = known(c, (int)i, &all[i], e);
	if (rc < 0 || !all[0] || all[0]->type != ONX_SEQUENCE)
		return rc < 0 ? rc : onx_fail(e, ONX_SHAPE, "input 0 is no sequence");
	const size_t n = all[0]->n;
	for (uint32_t k = 0; k < b->g->n_output; k++) {
		const struct onx_view *y = onx_seq_new(c->s->mem, ONX_SEQUENCE, n);
		if (!y)
			return onx_nomem(e, (double)n * 8, "a sequence");
		set_out(c, k, y);
	}
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < n_in; k++) {
			const bool seq = all[k] && all[k]->type == ONX_SEQUENCE;
			if (!all[k] || (seq && all[k]->n != n))
				return onx_fail(e, ONX_SHAPE, "input %zu does not have %zu elements", k, n);
			in[k] = seq ? onx_seq_at(all[k], i) : all[k];
		}
		if ((rc = run_body(c, b, in, n_in, out, e)) < 0)
			return rc;
		for (uint32_t k = 0; k < b->g->n_output && k < (uint32_t)c->s->n_out; k++)
			if (c->s->out_wanted[k])
				onx_seq_items(c->s->out[k].value)[i] = out[k];
	}
	return ONX_OK;
}

int onx_control_run(const struct onx_control *c, struct onx_err *e)
{
	const char *type = c->n->type;
	const bool two = strcmp(type, "If") == 0;
	if (c->n->n_body != (two ? 2u : 1u))
		return onx_fail(e, ONX_FORMAT, "it has %u bodies", (unsigned)c->n->n_body);
	if (two)
		return run_if(c, e);
	if (strcmp(type, "Loop") == 0)
		return run_loop(c, e);
	if (strcmp(type, "SequenceMap") == 0)
		return run_map(c, e);
	return c->n->op->since < 9 ? run_scan8(c, e) : run_scan(c, e);
}

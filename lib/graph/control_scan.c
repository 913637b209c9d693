/* graph/control_scan.c -- Scan: states from turn to turn, inputs cut into slices, slices joined to outputs. */
#include <string.h>
#include "graph/control_i.h"
#include "op/control.h"
#include "op/infer.h"
#include "tensor/seq.h"

/* Slice i of t along `axis`, which goes. */
static int slice(struct onx_arena *a, const struct onx_fact *t, int axis, size_t i, struct onx_fact *out,
		 struct onx_err *e)
{
	const struct onx_shape *s = &t->shape;
	const struct onx_view *v = t->value;
	size_t inner = v ? v->width : 1, outer = 1;
	*out = (struct onx_fact){ .type = t->type, .shape = { .rank = s->rank - 1 } };
	for (int d = 0, k = 0; d < s->rank; d++)
		if (d != axis)
			out->shape.dim[k++] = s->dim[d];
	if (!v)
		return ONX_OK;
	struct onx_view *y = onx_tensor_new(a, t->type, out->shape.rank, out->shape.dim, v->width);
	if (!y)
		return onx_nomem(e, 0, "a slice");
	for (int d = 0; d < axis; d++)
		outer *= (size_t)s->dim[d];
	for (int d = axis + 1; d < s->rank; d++)
		inner *= (size_t)s->dim[d];
	for (size_t o = 0; inner && o < outer; o++)
		memcpy((char *)y->v + o * inner, (const char *)v->v + (o * (size_t)s->dim[axis] + i) * inner, inner);
	*out = onx_fact_of(y);
	return ONX_OK;
}

struct scan {
	size_t n_state, n_scan, n_out, turns;
	size_t len;                     /* turns that run: the first of them; behind them slices are zeros */
	struct onx_fact *in;            /* states and whole scan inputs */
	struct onx_slices *out;
};

static bool alike(const struct onx_fact *a, const struct onx_fact *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (a[i].value || b[i].value || a[i].type != b[i].type || !onx_shape_equal(&a[i].shape, &b[i].shape))
			return false;
	return true;
}

/* All turns over x (states, whole scan inputs); final states in state, slices in s->out.  Where nothing is
 * known, a turn like the one before gives what that gave. */
static int turns(const struct onx_control *c, const struct scan *s, const struct onx_fact *x, struct onx_fact *state,
		 struct onx_err *e)
{
	const struct onx_control_attr *a = c->n->attr;
	const struct onx_graph *b = c->n->body[0].g;
	struct onx_fact *in, *before, *out;
	int rc = onx_control_room(c, b->n_input, &in, e);
	if (rc < 0 || (rc = onx_control_room(c, b->n_input, &before, e)) < 0 ||
	    (rc = onx_control_room(c, b->n_output, &out, e)) < 0)
		return rc;
	memcpy(in, x, s->n_state * sizeof *in);
	for (size_t t = 0; t < s->len; t++) {
		for (size_t k = 0; rc == ONX_OK && k < s->n_scan; k++) {
			const struct onx_fact *v = &x[s->n_state + k];
			int64_t axis = onx_ints_at(&a->in_axes, k);
			axis += axis < 0 ? v->shape.rank : 0;
			rc = slice(c->s->mem, v, (int)axis, onx_ints_at(&a->in_back, k) ? s->len - 1 - t : t,
				   &in[s->n_state + k], e);
		}
		/* Turns that decide are each of their own. */
		if (rc == ONX_OK && (t == 0 || c->path->told || !alike(in, before, b->n_input))) {
			memcpy(before, in, b->n_input * sizeof *in);
			rc = onx_body_infer(c, &c->n->body[0], in, b->n_input, out, e);
		}
		memcpy(in, out, s->n_state * sizeof *in);
		for (size_t k = 0; rc == ONX_OK && k < s->n_out; k++)
			rc = onx_slices_push(c->s->mem, &s->out[k], &out[s->n_state + k], e);
		if (rc == ONX_OK && t >= ONX_TURNS_PLANNED && !out[0].value)
			rc = onx_fail(e, ONX_UNSUP, "more than %d turns", (int)ONX_TURNS_PLANNED);
		if (rc < 0)
			return rc;
	}
	memcpy(state, in, s->n_state * sizeof *in);
	return ONX_OK;
}

/* Zeros behind the slices of output k, so that there is one for each turn. */
static int pad(const struct onx_control *c, const struct scan *s, const struct onx_fact *x, size_t k,
	       struct onx_err *e)
{
	struct onx_slices *l = &s->out[k];
	struct onx_fact like;
	int rc = ONX_OK;
	if (l->n) {
		like = l->v[0];
	} else {                                /* no turn says what a slice looks like: the shapes of one do */
		struct onx_fact *in, *out;
		if ((rc = onx_control_room(c, c->n->body[0].g->n_input, &in, e)) < 0 ||
		    (rc = onx_control_room(c, c->n->body[0].g->n_output, &out, e)) < 0)
			return rc;
		memcpy(in, x, s->n_state * sizeof *in);
		for (size_t i = 0; rc == ONX_OK && i < s->n_scan; i++)
			rc = slice(c->s->mem, &x[s->n_state + i], 0, 0, &in[s->n_state + i], e);
		if (rc < 0 || (rc = onx_body_infer(c, &c->n->body[0], in, s->n_state + s->n_scan, out, e)) < 0)
			return rc;
		c->path->turn--;
		like = out[s->n_state + k];
	}
	const bool known = l->n == 0 || like.value;
	if (known) {
		struct onx_view *v = onx_tensor_new(c->s->mem, like.type, like.shape.rank, like.shape.dim,
						    onx_dtype_store(like.type, c->want->wide));
		if (!v)
			return onx_nomem(e, 0, "slices");
		like.value = v;
	}
	while (rc == ONX_OK && l->n < s->turns)
		rc = onx_slices_push(c->s->mem, l, &like, e);
	return rc;
}

/* One pass: final states and joined outputs in y. */
static int scan_once(const struct onx_control *c, const struct scan *s, const struct onx_fact *x, struct onx_fact *y,
		     struct onx_err *e)
{
	const struct onx_control_attr *a = c->n->attr;
	const struct onx_graph *b = c->n->body[0].g;
	for (size_t k = 0; k < s->n_out; k++)
		s->out[k].n = 0;
	int rc = turns(c, s, x, y, e);
	for (size_t k = 0; rc == ONX_OK && s->len < s->turns && k < s->n_out; k++)
		rc = pad(c, s, x, k, e);
	for (size_t k = 0; rc == ONX_OK && k < s->n_out; k++) {
		struct onx_slices *l = &s->out[k];
		for (size_t i = 0; onx_ints_at(&a->out_back, k) && i < l->n / 2; i++) {
			const struct onx_fact v = l->v[i];
			l->v[i] = l->v[l->n - 1 - i];
			l->v[l->n - 1 - i] = v;
		}
		rc = onx_slices_join(c, l, (int)onx_ints_at(&a->out_axes, k), &b->value[b->output[s->n_state + k]],
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
	if ((size_t)a->scan_inputs > n_in || b->n_output < n_in - (size_t)a->scan_inputs)
		return onx_fail(e, ONX_FORMAT, "num_scan_inputs is %lld of %zu inputs",
				(long long)a->scan_inputs, n_in);
	s->n_scan = (size_t)a->scan_inputs;
	s->n_state = n_in - s->n_scan;
	s->n_out = b->n_output - s->n_state;
	int rc = onx_control_ports(&c->n->body[0], n_in, b->n_output, e);
	if (rc < 0 || (rc = onx_control_room(c, n_in, &s->in, e)) < 0)
		return rc;
	s->out = ONX_NEWS(c->s->mem, struct onx_slices, s->n_out + 1);
	if (!s->out)
		return onx_nomem(e, 64, "slices");
	for (size_t i = 0; i < n_in; i++) {
		s->in[i] = c->s->in[i + (size_t)skip];
		if (s->in[i].type == ONX_UNDEFINED)
			return onx_fail(e, ONX_SHAPE, "input %zu is missing", i + (size_t)skip);
		if (i < s->n_state)
			continue;
		const size_t k = i - s->n_state;
		const struct onx_shape *shape = &s->in[i].shape;
		int64_t axis = onx_ints_at(&a->in_axes, k) + lead;
		axis += axis < 0 ? shape->rank : 0;
		if (axis < 0 || axis >= shape->rank || onx_holds_views(s->in[i].type))
			return onx_fail(e, ONX_SHAPE, "input %zu has no axis %lld to scan", i + (size_t)skip,
					(long long)axis);
		const size_t n = (size_t)shape->dim[axis];
		if (k > 0 && n != s->turns)
			return onx_fail(e, ONX_SHAPE, "input %zu has %zu slices, the first has %zu",
					i + (size_t)skip, n, s->turns);
		s->turns = n;
	}
	return ONX_OK;
}

static int scan9(const struct onx_control *c, struct onx_err *e)
{
	struct scan s = { 0 };
	struct onx_fact *y;
	int rc = open_scan(c, &s, 0, 0, e);
	s.len = s.turns;
	if (rc < 0 || (rc = onx_control_room(c, s.n_state + s.n_out, &y, e)) < 0 ||
	    (rc = scan_once(c, &s, s.in, y, e)) < 0)
		return rc;
	for (size_t k = 0; k < s.n_state + s.n_out; k++)
		onx_control_out(c, k, &y[k]);
	return onx_control_decided(c, 0, s.turns, e);
}

/* How long the samples are, where that is known; else *lens is NULL. */
static int lengths(const struct onx_control *c, size_t batch, size_t turns, const struct onx_view **lens,
		   struct onx_err *e)
{
	const struct onx_fact *t = &c->s->in[0];
	*lens = t->type != ONX_UNDEFINED ? t->value : NULL;
	const bool fits = t->type == ONX_INT64 && t->shape.rank == 1 && t->shape.dim[0] == (int64_t)batch;
	if (t->type != ONX_UNDEFINED && !fits)
		return onx_fail(e, ONX_SHAPE, "the lengths are %s of %d dimensions, wanted one int64 for each of %zu "
				"samples", onx_dtype_name(t->type), t->shape.rank, batch);
	for (size_t b = 0; *lens && b < batch; b++) {
		const int64_t len = onx_view_int(*lens, b);
		if (len < 0 || len > (int64_t)turns)
			return onx_fail(e, ONX_SHAPE, "sample %zu has %lld slices of %zu", b, (long long)len, turns);
	}
	return ONX_OK;
}

/* Version 8: one scan for each sample of a batch, which may say how long it is.  Where that is not known, shapes
 * are those of the longest. */
static int scan8(const struct onx_control *c, struct onx_err *e)
{
	struct scan s = { 0 };
	const struct onx_view *lens = NULL;
	struct onx_fact *x, *y;
	int rc = open_scan(c, &s, 1, 1, e);
	if (rc < 0)
		return rc;
	const size_t n_in = s.n_state + s.n_scan, n_out = s.n_state + s.n_out;
	const size_t batch = (size_t)s.in[s.n_state].shape.dim[0];
	struct onx_slices *all = ONX_NEWS(c->s->mem, struct onx_slices, n_out + 1);
	if (!all)
		return onx_nomem(e, 64, "slices");
	if ((rc = lengths(c, batch, s.turns, &lens, e)) < 0)
		return rc;
	if ((rc = onx_control_room(c, n_in, &x, e)) < 0 || (rc = onx_control_room(c, n_out, &y, e)) < 0)
		return rc;
	for (size_t i = 0; i < n_in; i++)
		if (s.in[i].shape.rank < 1 || (size_t)s.in[i].shape.dim[0] != batch)
			return onx_fail(e, ONX_SHAPE, "input %zu does not have %zu samples", i + 1, batch);
	for (size_t b = 0; b < batch; b++) {
		for (size_t i = 0; rc == ONX_OK && i < n_in; i++)
			rc = slice(c->s->mem, &s.in[i], 0, b, &x[i], e);
		s.len = lens ? (size_t)onx_view_int(lens, b) : s.turns;
		if (rc < 0 || (rc = scan_once(c, &s, x, y, e)) < 0)
			return rc;
		for (size_t k = 0; rc == ONX_OK && k < n_out; k++)
			rc = onx_slices_push(c->s->mem, &all[k], &y[k], e);
		if (rc < 0)
			return rc;
	}
	for (size_t k = 0; k < n_out; k++) {
		struct onx_fact v;
		rc = onx_slices_join(c, &all[k], 0, &c->n->body[0].g->value[c->n->body[0].g->output[k]], &v, e);
		if (rc < 0)
			return rc;
		onx_control_out(c, k, &v);
	}
	return onx_control_decided(c, 0, s.turns, e);
}

int onx_scan_infer(const struct onx_control *c, struct onx_err *e)
{
	return c->n->op->since < 9 ? scan8(c, e) : scan9(c, e);
}

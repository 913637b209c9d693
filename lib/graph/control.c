/* graph/control.c -- see control.h.  A body has facts of its own, turn by turn; what comes out is copied before
 * they are freed. */
#include "graph/control_i.h"
#include <string.h>
#include "op/control.h"
#include "op/infer.h"
#include "tensor/seq.h"

int onx_slices_push(struct onx_arena *a, struct onx_slices *l, const struct onx_fact *t, struct onx_err *e)
{
	if (l->n == l->room) {
		const size_t room = l->room ? 2 * l->room : 16;
		struct onx_fact *more = ONX_NEWS(a, struct onx_fact, room);
		if (!more)
			return onx_nomem(e, (double)room * sizeof *more, "slices");
		if (l->n)
			memcpy(more, l->v, l->n * sizeof *more);
		l->v = more;
		l->room = room;
	}
	l->v[l->n++] = *t;
	return ONX_OK;
}

struct onx_fact onx_fact_of(const struct onx_view *v)
{
	struct onx_fact t = { .type = v->type, .value = v, .shape = { .rank = v->rank } };
	if (v->rank)
		memcpy(t.shape.dim, v->dim, (size_t)v->rank * sizeof *v->dim);
	return t;
}

static int outputs_of(const struct onx_control *c, const struct onx_body *b, const struct onx_facts *f,
		      struct onx_fact *out, struct onx_err *e)
{
	for (uint32_t i = 0; i < b->g->n_output; i++) {
		const struct onx_fact *t = &f->fact[b->g->output[i]];
		if (t->type == ONX_UNDEFINED)
			return onx_fail(e, ONX_UNSUP, "output %u of its body is not computed", (unsigned)i);
		out[i] = *t;
		if (!t->value)
			continue;
		const struct onx_view *v = onx_view_copy(c->s->mem, t->value);
		if (!v)
			return onx_nomem(e, (double)t->value->n * t->value->width, "a body's output");
		out[i] = onx_fact_of(v);
	}
	return ONX_OK;
}

static bool has_bodies(const struct onx_graph *g)
{
	for (uint32_t i = 0; i < g->n_order; i++)
		if (g->node[g->order[i]].n_body)
			return true;
	return false;
}

/* What is told of the turn that begins, and where it is written down. */
static int next_turn(const struct onx_control *c, const struct onx_body *b, struct onx_facts_want *want,
		     struct onx_decisions *record, struct onx_err *e)
{
	struct onx_path *p = c->path;
	const size_t t = p->turn++;
	if (p->told && p->told->turn && t < p->told->turns)
		want->told = p->told->turn[t];
	if (!p->made)
		return ONX_OK;
	*record = (struct onx_decisions){ c->want->record->mem,
					  onx_alloc(c->want->record->mem, b->g->n_node + 1u, sizeof(void *)) };
	want->record = record;
	if (!record->by_node)
		return onx_nomem(e, b->g->n_node * 8.0, "what was decided");
	if (!has_bodies(b->g))
		return ONX_OK;
	if (t >= p->room) {
		const size_t room = 2 * t + 8;
		const struct onx_decision *const **more = onx_alloc(c->want->record->mem, room, sizeof *more);
		if (!more)
			return onx_nomem(e, (double)room * sizeof *more, "what was decided");
		for (size_t i = 0; i < p->room; i++)
			more[i] = p->made->turn[i];
		p->made->turn = more;
		p->room = room;
	}
	p->made->turn[t] = record->by_node;
	return ONX_OK;
}

int onx_body_infer(const struct onx_control *c, const struct onx_body *b, const struct onx_fact *in, size_t n_in,
		   struct onx_fact *out, struct onx_err *e)
{
	struct onx_arena mem = { 0 };
	struct onx_consts consts;
	struct onx_facts *f = NULL;
	const size_t n = b->n_captured + n_in;
	struct onx_feed *list = ONX_NEWS(&mem, struct onx_feed, n + 1);
	int rc = list ? ONX_OK : onx_nomem(e, (double)n * sizeof *list, "a body");

	for (size_t i = 0; rc == ONX_OK && i < n; i++) {
		const bool captured = i < b->n_captured;
		const struct onx_fact *t = captured ? &c->fact[b->outer[i]] : &in[i - b->n_captured];
		if (captured && t->type == ONX_UNDEFINED)
			rc = onx_fail(e, ONX_SHAPE, "its body reads '%s', which has no value",
				      c->g->value[b->outer[i]].name);
		list[i] = (struct onx_feed){ captured ? b->inner[i] : b->g->input[i - b->n_captured], t->shape,
					     t->type, t->value };
	}
	struct onx_facts_want want = { .feed = list, .n_feed = (uint32_t)n, .wide = c->want->wide,
				       .evaluate = c->want->evaluate, .pool = c->want->pool,
				       .guess = c->want->guess, .training = c->want->record && c->s->train };
	struct onx_decisions record = { 0 };
	onx_consts_init(&consts, b->g);
	if (rc == ONX_OK)
		rc = next_turn(c, b, &want, &record, e);
	if (rc == ONX_OK)
		rc = onx_facts_make(b->g, &consts, &want, &f, e);
	if (rc == ONX_OK)
		rc = outputs_of(c, b, f, out, e);
	if (rc == ONX_OK)
		c->path->guessed |= f->any_guess;
	onx_facts_free(f);
	onx_consts_release(&consts);
	onx_arena_release(&mem);
	return rc;
}

void onx_control_out(const struct onx_control *c, size_t i, const struct onx_fact *t)
{
	if (i < (size_t)c->s->n_out && c->s->out_wanted[i])
		c->s->out[i] = *t;
}

int onx_control_room(const struct onx_control *c, size_t n, struct onx_fact **out, struct onx_err *e)
{
	*out = ONX_NEWS(c->s->mem, struct onx_fact, n + 1);
	return *out ? ONX_OK : onx_nomem(e, (double)n * sizeof **out, "a body");
}

int onx_control_ports(const struct onx_body *b, size_t in, size_t out, struct onx_err *e)
{
	if (b->g->n_input == in && b->g->n_output == out)
		return ONX_OK;
	return onx_fail(e, ONX_FORMAT, "its body has %u inputs and %u outputs, wanted %zu and %zu",
			(unsigned)b->g->n_input, (unsigned)b->g->n_output, in, out);
}

int onx_control_decided(const struct onx_control *c, uint32_t body, size_t turns, struct onx_err *e)
{
	struct onx_turns *t = ONX_NEW(c->s->mem, struct onx_turns);
	if (!t)
		return onx_nomem(e, sizeof *t, "a loop");
	*t = (struct onx_turns){ body, turns };
	c->s->geo = t;
	if (c->path->made) {
		c->path->made->body = body;
		c->path->made->turns = turns;
	}
	return ONX_OK;
}

/* The shape of n slices like `one` (or as declared, where there is none) along `axis`. */
static int joined_shape(const struct onx_slices *l, int axis, const struct onx_value *declared, struct onx_shape *s,
			struct onx_err *e)
{
	const int64_t *dim = l->n ? l->v[0].shape.dim : declared->dim;
	const int rank = s->rank - 1;
	for (int d = 0, k = 0; d <= rank; d++) {
		s->dim[d] = d == axis ? (int64_t)l->n : dim[k++];
		if (s->dim[d] < 0)
			s->dim[d] = 0;                  /* no slice says how long it is */
	}
	for (size_t i = 1; i < l->n; i++)
		if (l->v[i].type != l->v[0].type || !onx_shape_equal(&l->v[i].shape, &l->v[0].shape))
			return onx_fail(e, ONX_SHAPE, "slice %zu has another type or shape than the first", i);
	return ONX_OK;
}

int onx_slices_join(const struct onx_control *c, const struct onx_slices *l, int axis,
		    const struct onx_value *declared, struct onx_fact *out, struct onx_err *e)
{
	const int rank = l->n ? l->v[0].shape.rank : declared->has_shape ? declared->rank : 0;
	const enum onx_dtype type = l->n ? l->v[0].type : declared->type;
	struct onx_shape s = { .rank = rank + 1 };
	bool known = true;
	if (rank >= ONX_RANK || onx_holds_views(type) || type == ONX_UNDEFINED)
		return onx_fail(e, ONX_UNSUP, "slices of %s with %d dimensions", onx_dtype_name(type), rank);
	if (axis < 0)
		axis += rank + 1;
	if (axis < 0 || axis > rank)
		return onx_fail(e, ONX_SHAPE, "slices of %d dimensions cannot be stacked along axis %d", rank, axis);
	int rc = joined_shape(l, axis, declared, &s, e);
	for (size_t i = 0; i < l->n; i++)
		known &= l->v[i].value != NULL;
	*out = (struct onx_fact){ .type = type, .shape = s };
	if (rc < 0 || !known)
		return rc;
	struct onx_view *y = onx_tensor_new(c->s->mem, type, s.rank, s.dim, onx_dtype_store(type, c->want->wide));
	if (!y)
		return onx_nomem(e, 0, "slices");
	size_t inner = y->width, outer = 1;
	for (int d = 0; d < axis; d++)
		outer *= (size_t)s.dim[d];
	for (int d = axis + 1; d <= rank; d++)
		inner *= (size_t)s.dim[d];
	for (size_t i = 0; i < l->n; i++)
		for (size_t o = 0; inner && o < outer; o++)
			memcpy((char *)y->v + (o * l->n + i) * inner, (const char *)l->v[i].value->v + o * inner,
			       inner);
	out->value = y;
	return ONX_OK;
}

/* guess: what it is taken for where it is not known. */
static int truth(const struct onx_control *c, const struct onx_fact *t, bool guess, bool *is, struct onx_err *e)
{
	const struct onx_view *v = t->value;
	if (!v && c->want->guess) {
		*is = guess;
		c->path->guessed = true;
		return ONX_OK;
	}
	if (!v)
		return onx_fail(e, ONX_UNSUP,
				"its condition is computed while running, wanted one that is known before");
	if (v->type != ONX_BOOL || v->n != 1)
		return onx_fail(e, ONX_SHAPE, "the condition is %s of %zu elements, wanted one bool",
				onx_dtype_name(v->type), v->n);
	*is = onx_view_int(v, 0) != 0;
	return ONX_OK;
}

static int run_if(const struct onx_control *c, struct onx_err *e)
{
	struct onx_fact *out;
	bool is = c->path->told && c->path->told->body == 0;
	int rc = c->path->told ? ONX_OK : truth(c, &c->s->in[0], true, &is, e);
	if (rc < 0)
		return rc;
	const struct onx_body *b = &c->n->body[is ? 0 : 1];
	if ((rc = onx_control_ports(b, 0, c->n->n_out, e)) < 0 ||
	    (rc = onx_control_room(c, b->g->n_output, &out, e)) < 0 ||
	    (rc = onx_body_infer(c, b, NULL, 0, out, e)) < 0)
		return rc;
	for (uint32_t i = 0; i < b->g->n_output; i++)
		onx_control_out(c, i, &out[i]);
	return onx_control_decided(c, is ? 0 : 1, 1, e);
}

/* ---- Loop ---- */

struct loop {
	int64_t most;
	bool go, asked;                 /* asked: there is a condition to begin with */
	bool running;                   /* the body works on what is not known       */
	size_t n_state, n_scan;
	struct onx_fact *in, *out;
	struct onx_slices *scan;
};

/* How often, and whether at all. */
static int count_loop(const struct onx_control *c, struct loop *l, struct onx_err *e)
{
	const struct onx_fact *count = c->s->n_in ? &c->s->in[0] : NULL;
	const struct onx_view *v = NULL;
	int rc = ONX_OK;
	l->most = c->path->told ? (int64_t)c->path->told->turns : INT64_MAX;
	l->go = true;
	if (c->path->told)
		return ONX_OK;
	if (c->want->guess && count && count->type != ONX_UNDEFINED && !count->value) {
		c->path->guessed = true;
		l->most = 1;
	} else {
		rc = onx_in_known(c->s, 0, &v, e);
	}
	if (rc == ONX_OK && v) {
		if (v->type != ONX_INT64 || v->n != 1)
			return onx_fail(e, ONX_SHAPE, "the number of turns is %s of %zu elements, wanted one int64",
					onx_dtype_name(v->type), v->n);
		l->most = onx_view_int(v, 0);
	}
	l->asked = c->s->n_in > 1 && c->s->in[1].type != ONX_UNDEFINED;
	if (rc == ONX_OK && l->asked)
		rc = truth(c, &c->s->in[1], true, &l->go, e);
	return rc;
}

static int open_loop(const struct onx_control *c, struct loop *l, struct onx_err *e)
{
	int rc = count_loop(c, l, e);
	const struct onx_graph *b = c->n->body[0].g;
	if (c->s->n_in < 2)
		return onx_fail(e, ONX_FORMAT, "%d inputs, wanted at least 2", c->s->n_in);
	l->n_state = (size_t)c->s->n_in - 2;
	if (rc < 0 || b->n_output < 1 + l->n_state)
		return rc < 0 ? rc : onx_fail(e, ONX_FORMAT, "its body has too few outputs");
	l->n_scan = b->n_output - 1 - l->n_state;
	if ((rc = onx_control_ports(&c->n->body[0], 2 + l->n_state, b->n_output, e)) < 0 ||
	    (rc = onx_control_room(c, b->n_input, &l->in, e)) < 0 ||
	    (rc = onx_control_room(c, b->n_output, &l->out, e)) < 0)
		return rc;
	for (size_t i = 0; i < l->n_state; i++) {
		l->in[i + 2] = c->s->in[i + 2];
		if (l->in[i + 2].type == ONX_UNDEFINED)
			return onx_fail(e, ONX_SHAPE, "state %zu has no value to begin with", i);
	}
	l->scan = ONX_NEWS(c->s->mem, struct onx_slices, l->n_scan + 1);
	return l->scan ? ONX_OK : onx_nomem(e, (double)l->n_scan, "slices");
}

/* One turn: states from l->out to l->in, slices behind those that there are. */
static int turn_loop(const struct onx_control *c, struct loop *l, struct onx_err *e)
{
	int rc = onx_body_infer(c, &c->n->body[0], l->in, 2 + l->n_state, l->out, e);
	if (rc < 0)
		return rc;
	/* A loop that counts alone need not say whether it goes on. */
	if (!c->path->told && (l->asked || l->out[0].value || l->most == INT64_MAX) &&
	    (rc = truth(c, &l->out[0], false, &l->go, e)) < 0)
		return rc;
	if (l->n_state)
		memcpy(l->in + 2, l->out + 1, l->n_state * sizeof *l->in);
	for (size_t k = 0; k < l->n_state + l->n_scan; k++)
		l->running |= l->out[1 + k].value == NULL;
	for (size_t k = 0; rc == ONX_OK && k < l->n_scan; k++)
		rc = onx_slices_push(c->s->mem, &l->scan[k], &l->out[1 + l->n_state + k], e);
	return rc;
}

static int run_loop(const struct onx_control *c, struct onx_err *e)
{
	const struct onx_graph *b = c->n->body[0].g;
	struct onx_view *turn = onx_tensor_new(c->s->mem, ONX_INT64, 0, NULL, 8);
	struct onx_view *go = onx_tensor_new(c->s->mem, ONX_BOOL, 0, NULL, 1);
	struct loop l = { 0 };
	int64_t i = 0;
	int rc = turn && go ? open_loop(c, &l, e) : onx_nomem(e, 128, "a loop");
	if (rc < 0)
		return rc;
	l.in[0] = onx_fact_of(turn);
	l.in[1] = onx_fact_of(go);
	for (; l.go && i < l.most; i++) {
		const int64_t limit = l.running ? ONX_TURNS_PLANNED : ONX_TURNS;
		if (i >= limit)
			return onx_fail(e, ONX_UNSUP, "more than %lld turns", (long long)limit);
		onx_view_put_int(turn, 0, i);
		onx_view_put_int(go, 0, 1);
		if ((rc = turn_loop(c, &l, e)) < 0)
			return rc;
	}
	for (size_t k = 0; k < l.n_state; k++)
		onx_control_out(c, k, &l.in[2 + k]);
	for (size_t k = 0; k < l.n_scan; k++) {
		struct onx_fact y;
		rc = onx_slices_join(c, &l.scan[k], 0, &b->value[b->output[1 + l.n_state + k]], &y, e);
		if (rc < 0)
			return rc;
		onx_control_out(c, l.n_state + k, &y);
	}
	return onx_control_decided(c, 0, (size_t)i, e);
}

/* ---- SequenceMap: on sequences whose lengths are known ---- */

static int map_turn(const struct onx_control *c, const struct onx_view *const *all, size_t i, struct onx_fact *in,
		    struct onx_fact *out, struct onx_err *e)
{
	const struct onx_body *b = &c->n->body[0];
	const size_t n_in = (size_t)c->s->n_in;
	for (size_t k = 0; k < n_in; k++) {
		const bool seq = all[k] && all[k]->type == ONX_SEQUENCE;
		if (seq && all[k]->n != all[0]->n)
			return onx_fail(e, ONX_SHAPE, "input %zu does not have %zu elements", k, all[0]->n);
		in[k] = seq ? onx_fact_of(onx_seq_at(all[k], i)) : c->s->in[k];
		if (seq && onx_view_open(in[k].value) && !onx_holds_views(in[k].type))
			in[k].value = NULL;
	}
	int rc = onx_body_infer(c, b, in, n_in, out, e);
	for (uint32_t k = 0; rc == ONX_OK && k < b->g->n_output && k < (uint32_t)c->s->n_out; k++) {
		const struct onx_view *v = out[k].value;
		if (!v)
			v = onx_unknown_new(c->s->mem, out[k].type, out[k].shape.rank, out[k].shape.dim,
					    onx_dtype_store(out[k].type, c->want->wide), ONX_NONE);
		if (!v)
			return onx_nomem(e, sizeof(struct onx_unknown), "a sequence");
		if (c->s->out_wanted[k])
			onx_seq_items(c->s->out[k].value)[i] = v;
	}
	return rc;
}

static int run_map(const struct onx_control *c, struct onx_err *e)
{
	const struct onx_body *b = &c->n->body[0];
	const size_t n_in = (size_t)c->s->n_in;
	const struct onx_view **all = ONX_NEWS(c->s->mem, const struct onx_view *, n_in + 1);
	struct onx_fact *in, *out;
	int rc = all ? onx_control_ports(b, n_in, c->n->n_out, e) : onx_nomem(e, (double)n_in * 8, "a sequence");
	if (rc < 0 || (rc = onx_control_room(c, n_in, &in, e)) < 0 ||
	    (rc = onx_control_room(c, b->g->n_output, &out, e)) < 0)
		return rc;
	for (size_t i = 0; rc == ONX_OK && i < n_in; i++)
		if (c->s->in[i].type == ONX_UNDEFINED)
			rc = onx_fail(e, ONX_SHAPE, "input %zu is missing", i);
		else
			all[i] = c->s->in[i].value;
	if (rc < 0 || !all[0] || all[0]->type != ONX_SEQUENCE)
		return rc < 0 ? rc : onx_fail(e, ONX_SHAPE, "input 0 is no sequence");
	for (uint32_t k = 0; k < b->g->n_output; k++) {
		const struct onx_view *y = onx_seq_new(c->s->mem, ONX_SEQUENCE, all[0]->n);
		if (!y)
			return onx_nomem(e, (double)all[0]->n * 8, "a sequence");
		const struct onx_fact t = onx_fact_of(y);
		onx_control_out(c, k, &t);
	}
	for (size_t i = 0; rc == ONX_OK && i < all[0]->n; i++)
		rc = map_turn(c, all, i, in, out, e);
	return rc < 0 ? rc : onx_control_decided(c, 0, all[0]->n, e);
}

/* ---- Gradient: its body once ---- */

static int run_gradient(const struct onx_control *c, struct onx_err *e)
{
	const struct onx_body *b = &c->n->body[0];
	struct onx_fact *out;
	int rc = onx_control_ports(b, (size_t)c->s->n_in, c->n->n_out, e);
	if (rc < 0 || (rc = onx_control_room(c, b->g->n_output, &out, e)) < 0 ||
	    (rc = onx_body_infer(c, b, c->s->in, (size_t)c->s->n_in, out, e)) < 0)
		return rc;
	for (uint32_t i = 0; i < b->g->n_output; i++)
		onx_control_out(c, i, &out[i]);
	return onx_control_decided(c, 0, 1, e);
}

int onx_control_infer(const struct onx_control *c, struct onx_err *e)
{
	const char *type = c->n->type;
	const bool two = strcmp(type, "If") == 0;
	if (c->n->n_body != (two ? 2u : 1u))
		return onx_fail(e, ONX_FORMAT, "it has %u bodies", (unsigned)c->n->n_body);
	if (two)
		return run_if(c, e);
	if (strcmp(type, "Loop") == 0)
		return run_loop(c, e);
	if (strcmp(type, "Gradient") == 0)
		return run_gradient(c, e);
	return strcmp(type, "SequenceMap") == 0 ? run_map(c, e) : onx_scan_infer(c, e);
}

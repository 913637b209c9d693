/* graph/control_body.c -- bodies of control flow, turn by turn (control_i.h).  A body has facts of its own; what comes
 * out is copied before they are freed. */
#include "graph/control_i.h"
#include <string.h>
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
	if (!onx_graph_has_bodies(b->g))
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
				       .note = c->want->note,
				       .guess = c->want->guess, .training = c->want->record && c->s->train };
	struct onx_decisions record = { 0 };
	onx_consts_init(&consts, b->g);
	const uint64_t outer = (uint64_t)(c->n - c->g->node);
	want.seed = c->want->seed;
	want.step = c->want->step;
	want.draw = c->want->inside ? onx_draw_inside(c->want->draw, c->want->turn, (uint32_t)outer) : outer;
	want.turn = c->path->turn;
	want.inside = true;
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

int onx_control_truth(const struct onx_control *c, const struct onx_fact *t, bool guess, bool *is, struct onx_err *e)
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

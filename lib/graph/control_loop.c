/* graph/control_loop.c -- Loop turn by turn (control.h).  Only the states of a turn and of the one before are held, and
 * what the turns leave behind; a loop of which it is plain that it has no end is not begun. */
#include "graph/control_i.h"
#include <string.h>
#include <time.h>
#include "op/infer.h"
#include "tensor/seq.h"

enum { PATIENCE = 5 };                  /* seconds before who waits is told that turns are taken */

struct loop {
	int64_t most;
	bool go;
	bool running;                   /* the body works on what is not known       */
	bool steady;                    /* has no other end than its condition, and what a turn gives follows from its
					   states alone                              */
	struct onx_arena turn[2];       /* where the states of this turn and of the one before are */
	time_t begun, told;             /* seconds after which something was said    */
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
	if (rc < 0 || c->s->n_in < 2 || c->s->in[1].type == ONX_UNDEFINED)
		return rc;
	rc = onx_control_truth(c, &c->s->in[1], true, &l->go, e);
	if (rc == ONX_OK && !c->s->in[1].value && l->most > 1)
		l->most = 1;
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

/* ---- loops without an end ---- */

/* The body says of its condition that it is what it was, or what it is around the loop. */
static bool stays_true(const struct onx_control *c)
{
	const struct onx_body *b = &c->n->body[0];
	uint32_t v = b->g->output[0];
	while (b->g->value[v].def != ONX_NONE && strcmp(b->g->node[b->g->value[v].def].type, "Identity") == 0)
		v = b->g->node[b->g->value[v].def].in[0];
	if (v == b->g->input[1])
		return true;
	for (uint32_t i = 0; i < b->n_captured; i++)
		if (b->inner[i] == v) {
			const struct onx_view *is = c->fact[b->outer[i]].value;
			return is && is->type == ONX_BOOL && is->n == 1 && onx_view_int(is, 0);
		}
	return false;
}

static bool draws(const struct onx_graph *g)
{
	for (uint32_t i = 0; i < g->n_order; i++) {
		const struct onx_node *n = &g->node[g->order[i]];
		if (n->op && n->op->flags & ONX_OP_RANDOM)
			return true;
		for (uint32_t k = 0; k < n->n_body; k++)
			if (draws(n->body[k].g))
				return true;
	}
	return false;
}

static bool reads(const struct onx_graph *g, uint32_t v)
{
	for (uint32_t i = 0; i < g->n_order; i++)
		for (uint32_t k = 0; k < onx_node_reads(&g->node[g->order[i]]); k++)
			if (onx_node_read(&g->node[g->order[i]], k) == v)
				return true;
	return g->value[v].output;
}

/* Says so at once where a loop can only end by a number of turns that is none. */
static int has_end(const struct onx_control *c, struct loop *l, struct onx_err *e)
{
	const struct onx_graph *b = c->n->body[0].g;
	if (c->path->told || !l->go || l->most <= ONX_TURNS)
		return ONX_OK;
	l->steady = !draws(b) && !reads(b, b->input[0]);
	if (!stays_true(c))
		return ONX_OK;
	if (l->most == INT64_MAX)
		return onx_fail(e, ONX_UNSUP, "it never ends: it has no number of turns, and its condition stays true");
	return onx_fail(e, ONX_UNSUP, "%lld turns, and its condition stays true; at most %d are run",
			(long long)l->most, (int)ONX_TURNS);
}

static bool same(const struct onx_fact *a, const struct onx_fact *b)
{
	return a->value && b->value && a->type == b->type && !onx_holds_views(a->type) && a->type != ONX_STRING &&
	       onx_shape_equal(&a->shape, &b->shape) && a->value->width == b->value->width &&
	       (a->value->n == 0 || memcmp(a->value->v, b->value->v, a->value->n * a->value->width) == 0);
}

/* After turn i: the next ones cannot but be like it. */
static int moves(const struct loop *l, int64_t i, struct onx_err *e)
{
	if (!l->steady || !l->go)
		return ONX_OK;
	for (size_t k = 0; k < l->n_state; k++)
		if (!same(&l->in[2 + k], &l->out[1 + k]))
			return ONX_OK;
	return onx_fail(e, ONX_UNSUP, "it never ends: its condition stays true, and turn %lld changes nothing any more",
			(long long)i);
}

static time_t seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

/* Who waits is told, each time after twice as long. */
static void still_here(const struct onx_control *c, struct loop *l, int64_t i)
{
	if (!c->want->note || seconds() - l->begun < l->told)
		return;
	char name[160];
	onx_say(c->want->note, ONX_WARN, "%s is in turn %lld, and its condition is true",
		onx_node_text(c->g, (uint32_t)(c->n - c->g->node), name, sizeof name), (long long)i);
	l->told *= 2;
}

/* ---- turns ---- */

/* The numbers, where they outlive the turns. */
static int keep(const struct onx_control *c, struct onx_fact *t, struct onx_err *e)
{
	const struct onx_view *v = t->value ? onx_view_copy(c->s->mem, t->value) : NULL;
	if (t->value && !v)
		return onx_nomem(e, (double)t->value->n * t->value->width, "a body's output");
	t->value = v;
	return ONX_OK;
}

/* One turn: states from l->out to l->in, slices behind those that there are.  What comes out of the body lives until
 * the turn after the next. */
static int turn_loop(const struct onx_control *c, struct loop *l, int64_t i, struct onx_err *e)
{
	struct onx_infer s = *c->s;
	struct onx_control now = *c;
	onx_arena_release(s.mem = &l->turn[i & 1]);
	*s.mem = (struct onx_arena){ 0 };
	now.s = &s;
	int rc = onx_body_infer(&now, &c->n->body[0], l->in, 2 + l->n_state, l->out, e);
	if (rc < 0)
		return rc;
	/* Also without a condition to begin with: the specification passes over what the body then says, but ONNX
	 * Runtime and the specification's reference evaluator stop by it. */
	if (!c->path->told && (rc = onx_control_truth(c, &l->out[0], false, &l->go, e)) < 0)
		return rc;
	if ((rc = moves(l, i, e)) < 0)
		return rc;
	if (l->n_state)
		memcpy(l->in + 2, l->out + 1, l->n_state * sizeof *l->in);
	for (size_t k = 0; k < l->n_state + l->n_scan; k++)
		l->running |= l->out[1 + k].value == NULL;
	for (size_t k = 0; rc == ONX_OK && k < l->n_scan; k++) {
		struct onx_fact t = l->out[1 + l->n_state + k];
		if ((rc = keep(c, &t, e)) == ONX_OK)
			rc = onx_slices_push(c->s->mem, &l->scan[k], &t, e);
	}
	return rc;
}

static int run(const struct onx_control *c, struct loop *l, int64_t *turns, struct onx_err *e)
{
	struct onx_view *turn = onx_tensor_new(c->s->mem, ONX_INT64, 0, NULL, 8);
	struct onx_view *go = onx_tensor_new(c->s->mem, ONX_BOOL, 0, NULL, 1);
	int64_t i = 0;
	int rc = turn && go ? ONX_OK : onx_nomem(e, 128, "a loop");
	if (rc < 0 || (rc = has_end(c, l, e)) < 0)
		return rc;
	l->in[0] = onx_fact_of(turn);
	l->in[1] = onx_fact_of(go);
	l->begun = seconds();
	l->told = PATIENCE;
	for (; l->go && i < l->most; i++) {
		const int64_t limit = l->running ? ONX_TURNS_PLANNED : ONX_TURNS;
		if (i >= limit)
			return onx_fail(e, ONX_UNSUP, "more than %lld turns: it is taken for a loop without an end",
					(long long)limit);
		onx_view_put_int(turn, 0, i);
		onx_view_put_int(go, 0, 1);
		if ((rc = turn_loop(c, l, i, e)) < 0)
			return rc;
		still_here(c, l, i);
	}
	*turns = i;
	return ONX_OK;
}

static int results(const struct onx_control *c, const struct loop *l, struct onx_err *e)
{
	const struct onx_graph *b = c->n->body[0].g;
	int rc = ONX_OK;
	for (size_t k = 0; rc == ONX_OK && k < l->n_state; k++) {
		struct onx_fact y = l->in[2 + k];
		rc = keep(c, &y, e);
		onx_control_out(c, k, &y);
	}
	for (size_t k = 0; rc == ONX_OK && k < l->n_scan; k++) {
		struct onx_fact y;
		rc = onx_slices_join(c, &l->scan[k], 0, &b->value[b->output[1 + l->n_state + k]], &y, e);
		if (rc == ONX_OK)
			onx_control_out(c, l->n_state + k, &y);
	}
	return rc;
}

int onx_loop_infer(const struct onx_control *c, struct onx_err *e)
{
	struct loop l = { 0 };
	int64_t turns = 0;
	int rc = open_loop(c, &l, e);
	if (rc == ONX_OK)
		rc = run(c, &l, &turns, e);
	if (rc == ONX_OK)
		rc = results(c, &l, e);
	onx_arena_release(&l.turn[0]);
	onx_arena_release(&l.turn[1]);
	return rc < 0 ? rc : onx_control_decided(c, 0, (size_t)turns, e);
}

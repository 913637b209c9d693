/* graph/control.c -- see control.h: If, Loop, SequenceMap, Gradient; Scan is in control_scan.c. */
#include "graph/control_i.h"
#include <string.h>
#include "op/control.h"
#include "op/infer.h"
#include "tensor/seq.h"

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
	bool go;
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
	if (rc == ONX_OK && c->s->n_in > 1 && c->s->in[1].type != ONX_UNDEFINED)
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
	/* Also without a condition to begin with: the specification passes over what the body then says, but ONNX
	 * Runtime and the specification's reference evaluator stop by it. */
	if (!c->path->told && (rc = truth(c, &l->out[0], false, &l->go, e)) < 0)
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

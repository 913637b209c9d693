/* graph/control.c -- see control.h: If, SequenceMap, Gradient; Loop is in control_loop.c, Scan in control_scan.c. */
#include "graph/control_i.h"
#include <string.h>
#include "op/control.h"
#include "tensor/seq.h"

static int run_if(const struct onx_control *c, struct onx_err *e)
{
	struct onx_fact *out;
	bool is = c->path->told && c->path->told->body == 0;
	int rc = c->path->told ? ONX_OK : onx_control_truth(c, &c->s->in[0], true, &is, e);
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
		return onx_loop_infer(c, e);
	if (strcmp(type, "Gradient") == 0)
		return run_gradient(c, e);
	return strcmp(type, "SequenceMap") == 0 ? run_map(c, e) : onx_scan_infer(c, e);
}

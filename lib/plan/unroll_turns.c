/* plan/unroll_turns.c -- If, Loop, Scan and Gradient written out; see unroll.c. */
#include <string.h>
#include "op/control.h"
#include "plan/unroll_i.h"
#include "tensor/seq.h"

static int no_memory(double bytes, struct onx_err *e)
{
	return onx_nomem(e, bytes, "a loop that is written out");
}

/* ---- outputs ---- */

/* Output k of the node that is written out is v. */
int onx_unroll_connect(struct unroll *u, uint32_t k, uint32_t v, struct onx_err *e)
{
	const struct onx_node *n = &u->g->node[u->at];
	const uint32_t out = k < n->n_out ? n->out[k] : ONX_NONE;
	if (out == ONX_NONE)
		return ONX_OK;
	const struct onx_view *now = u->f->fact[out].value;
	return now && !onx_view_open(now) ? onx_unroll_known(u, out, &u->f->fact[out], e)
				     : onx_unroll_node(u, "Identity", ONX_NEWEST_OPSET, 1, &v, 1, &out, NULL, 0, e);
}

int onx_unroll_stack(struct unroll *u, enum onx_dtype type, const uint32_t *slice, size_t n, int64_t axis, uint32_t out,
		     struct onx_err *e)
{
	const struct onx_file_attr axes = onx_attr_ints("axes", &axis, 1), along = onx_attr_int("axis", axis);
	uint32_t *part = ONX_NEWS(&u->scratch, uint32_t, n + 1);
	int rc = part ? ONX_OK : no_memory(4.0 * (double)n, e);
	for (size_t t = 0; rc == ONX_OK && t < n; t++) {
		rc = onx_unroll_value(u, type, &part[t], e);
		if (rc == ONX_OK)
			rc = onx_unroll_node(u, "Unsqueeze", 11, 1, &slice[t], 1, &part[t], &axes, 1, e);
	}
	return rc < 0 ? rc : onx_unroll_node(u, "Concat", 13, (uint32_t)n, part, 1, &out, &along, 1, e);
}

static void reverse(uint32_t *v, size_t n)
{
	for (size_t i = 0; i < n / 2; i++) {
		const uint32_t x = v[i];
		v[i] = v[n - 1 - i];
		v[n - 1 - i] = x;
	}
}

int onx_unroll_join(struct unroll *u, uint32_t k, uint32_t *slice, size_t n, int64_t axis, bool back,
		    struct onx_err *e)
{
	const struct onx_node *node = &u->g->node[u->at];
	const uint32_t out = k < node->n_out ? node->out[k] : ONX_NONE;
	if (out == ONX_NONE || u->f->fact[out].value)
		return onx_unroll_connect(u, k, ONX_NONE, e);
	axis += axis < 0 ? u->f->fact[out].shape.rank : 0;
	if (back)
		reverse(slice, n);
	return onx_unroll_stack(u, u->f->fact[out].type, slice, n, axis, out, e);
}

int onx_unroll_cut(struct unroll *u, uint32_t from, enum onx_dtype type, int64_t axis, size_t n, uint32_t *slice,
		   struct onx_err *e)
{
	const struct onx_file_attr how[] = { onx_attr_int("axis", axis), onx_attr_int("num_outputs", (int64_t)n) };
	const struct onx_file_attr axes = onx_attr_ints("axes", &axis, 1);
	uint32_t *part = ONX_NEWS(&u->scratch, uint32_t, n + 1);
	int rc = part ? ONX_OK : no_memory(4.0 * (double)n, e);
	for (size_t t = 0; rc == ONX_OK && t < n; t++)
		rc = onx_unroll_value(u, type, &part[t], e);
	if (rc == ONX_OK && n)
		rc = onx_unroll_node(u, "Split", 18, 1, &from, (uint32_t)n, part, how, 2, e);
	for (size_t t = 0; rc == ONX_OK && t < n; t++) {
		rc = onx_unroll_value(u, type, &slice[t], e);
		if (rc == ONX_OK)
			rc = onx_unroll_node(u, "Squeeze", 11, 1, &part[t], 1, &slice[t], &axes, 1, e);
	}
	return rc;
}

/* ---- the operators ---- */

struct ports {                          /* of a loop: values of one turn, slices of all */
	uint32_t n_state, n_scan;
	uint32_t *in, *out, *slice;     /* slice[k * turns + t]                     */
	size_t turns;
};

static int open_ports(struct unroll *u, struct ports *p, const struct onx_graph *body, struct onx_err *e)
{
	p->in = ONX_NEWS(&u->scratch, uint32_t, body->n_input + 1u);
	p->out = ONX_NEWS(&u->scratch, uint32_t, body->n_output + 1u);
	p->slice = ONX_NEWS(&u->scratch, uint32_t, p->n_scan * p->turns + 1);
	return p->in && p->out && p->slice ? ONX_OK : no_memory((double)p->n_scan * (double)p->turns * 4, e);
}

/* If, which has no inputs of its own, and Gradient. */
static int write_once(struct unroll *u, const struct onx_turns *t, struct onx_err *e)
{
	const uint32_t *in = u->g->node[u->at].in;
	const struct onx_body b = u->g->node[u->at].body[t->body];
	struct ports p = { .turns = 1 };
	int rc = open_ports(u, &p, b.g, e);
	if (rc == ONX_OK)
		rc = onx_unroll_body(u, &b, t->body, in, p.out, e);
	for (uint32_t k = 0; rc == ONX_OK && k < b.g->n_output; k++)
		rc = onx_unroll_connect(u, k, p.out[k], e);
	return rc;
}

static int write_loop(struct unroll *u, const struct onx_turns *turns, struct onx_err *e)
{
	const struct onx_node n = u->g->node[u->at];
	const struct onx_body b = n.body[0];
	struct ports p = { .n_state = n.n_in - 2, .n_scan = b.g->n_output - 1 - (n.n_in - 2), .turns = turns->n };
	int rc = open_ports(u, &p, b.g, e);
	if (rc == ONX_OK && u->yes == ONX_NONE)
		rc = onx_unroll_number(u, ONX_BOOL, 1, &u->yes, e);
	if (rc < 0)
		return rc;
	p.in[1] = u->yes;
	for (uint32_t k = 0; k < p.n_state; k++)
		p.in[2 + k] = n.in[2 + k];
	for (size_t t = 0; t < p.turns; t++) {
		if ((rc = onx_unroll_number(u, ONX_INT64, (int64_t)t, &p.in[0], e)) < 0 ||
		    (rc = onx_unroll_body(u, &b, t, p.in, p.out, e)) < 0)
			return rc;
		for (uint32_t k = 0; k < p.n_state; k++)
			p.in[2 + k] = p.out[1 + k];
		for (uint32_t k = 0; k < p.n_scan; k++)
			p.slice[k * p.turns + t] = p.out[1 + p.n_state + k];
	}
	for (uint32_t k = 0; rc == ONX_OK && k < p.n_state; k++)
		rc = onx_unroll_connect(u, k, p.in[2 + k], e);
	for (uint32_t k = 0; rc == ONX_OK && k < p.n_scan; k++)
		rc = onx_unroll_join(u, p.n_state + k, p.slice + k * p.turns, p.turns, 0, false, e);
	return rc;
}

/* Scan input k as one value a turn, in the order of the turns. */
static int split(struct unroll *u, uint32_t from, const struct onx_control_attr *a, size_t k, size_t turns,
		 uint32_t *slice, struct onx_err *e)
{
	const struct onx_fact *f = &u->f->fact[from];
	const int64_t axis = onx_ints_at(&a->in_axes, k);
	int rc = onx_unroll_cut(u, from, f->type, axis + (axis < 0 ? f->shape.rank : 0), turns, slice, e);
	if (rc == ONX_OK && onx_ints_at(&a->in_back, k))
		reverse(slice, turns);
	return rc;
}

static int write_scan(struct unroll *u, const struct onx_turns *turns, struct onx_err *e)
{
	const struct onx_node n = u->g->node[u->at];
	const struct onx_control_attr *a = n.attr;
	const struct onx_body b = n.body[0];
	const uint32_t n_cut = (uint32_t)a->scan_inputs;
	struct ports p = { .n_state = n.n_in - n_cut, .turns = turns->n };
	p.n_scan = b.g->n_output - p.n_state;
	uint32_t *cut = ONX_NEWS(&u->scratch, uint32_t, n_cut * p.turns + 1);
	int rc = cut ? open_ports(u, &p, b.g, e) : no_memory((double)n_cut * (double)p.turns * 4, e);
	for (uint32_t k = 0; rc == ONX_OK && k < n_cut; k++)
		rc = split(u, n.in[p.n_state + k], a, k, p.turns, cut + k * p.turns, e);
	if (rc < 0)
		return rc;
	for (uint32_t k = 0; k < p.n_state; k++)
		p.in[k] = n.in[k];
	for (size_t t = 0; t < p.turns; t++) {
		for (uint32_t k = 0; k < n_cut; k++)
			p.in[p.n_state + k] = cut[k * p.turns + t];
		if ((rc = onx_unroll_body(u, &b, t, p.in, p.out, e)) < 0)
			return rc;
		for (uint32_t k = 0; k < p.n_state; k++)
			p.in[k] = p.out[k];
		for (uint32_t k = 0; k < p.n_scan; k++)
			p.slice[k * p.turns + t] = p.out[p.n_state + k];
	}
	for (uint32_t k = 0; rc == ONX_OK && k < p.n_state; k++)
		rc = onx_unroll_connect(u, k, p.in[k], e);
	for (uint32_t k = 0; rc == ONX_OK && k < p.n_scan; k++)
		rc = onx_unroll_join(u, p.n_state + k, p.slice + k * p.turns, p.turns, onx_ints_at(&a->out_axes, k),
			  onx_ints_at(&a->out_back, k) != 0, e);
	return rc;
}

int onx_unroll_write(struct unroll *u, const struct onx_turns *t, struct onx_err *e)
{
	const struct onx_node *n = &u->g->node[u->at];
	if (strcmp(n->type, "If") == 0 || strcmp(n->type, "Gradient") == 0)
		return write_once(u, t, e);
	if (strcmp(n->type, "Loop") == 0)
		return write_loop(u, t, e);
	if (strcmp(n->type, "SequenceMap") == 0)
		return onx_unroll_map(u, t, e);
	return n->op->since < 9 ? onx_unroll_scan8(u, t, e) : write_scan(u, t, e);
}

/* plan/unroll_seq.c -- sequences of tensors that are computed while running.
 *
 * A plan has no place for a sequence, but facts know which tensors are in it: SequenceAt becomes the tensor itself,
 * ConcatFromSequence a Concat, SplitToSequence a Split whose parts a SequenceConstruct names, and SequenceMap its
 * body once for each element.  What is left of sequences has no step. */
#include "op/sequence.h"
#include "plan/unroll_i.h"
#include "tensor/seq.h"

static int no_memory(double n, struct onx_err *e)
{
	return onx_nomem(e, n, "a sequence that is written out");
}

/* The value that holds an element; *id is ONX_NONE where only a later round knows it. */
static int element(struct unroll *u, const struct onx_view *v, uint32_t *id, struct onx_err *e)
{
	struct onx_fact t = { .type = v->type, .value = v, .shape.rank = v->rank };
	if (onx_view_open(v)) {
		*id = ((const struct onx_unknown *)v)->id;
		return ONX_OK;
	}
	for (int d = 0; d < v->rank; d++)
		t.shape.dim[d] = v->dim[d];
	int rc = onx_unroll_value(u, v->type, id, e);
	return rc < 0 ? rc : onx_unroll_known(u, *id, &t, e);
}

static int write_at(struct unroll *u, uint32_t out, bool *done, struct onx_err *e)
{
	uint32_t id;
	int rc = element(u, u->f->infer[u->at]->geo, &id, e);
	*done = rc == ONX_OK && id != ONX_NONE;
	return *done ? onx_unroll_node(u, "Identity", ONX_NEWEST_OPSET, 1, &id, 1, &out, NULL, 0, e) : rc;
}

static int write_concat(struct unroll *u, uint32_t out, bool *done, struct onx_err *e)
{
	const struct onx_infer *s = u->f->infer[u->at];
	const struct onx_view *seq = s->in[0].value;
	const struct onx_joined *how = s->geo;
	const struct onx_file_attr axis = onx_attr_int("axis", how->axis);
	uint32_t *id = ONX_NEWS(&u->scratch, uint32_t, seq->n + 1);
	int rc = id ? ONX_OK : no_memory(4.0 * (double)seq->n, e);
	*done = rc == ONX_OK;
	for (size_t i = 0; i < seq->n && *done; i++) {
		rc = element(u, onx_seq_at(seq, i), &id[i], e);
		*done = rc == ONX_OK && id[i] != ONX_NONE;
	}
	if (!*done)
		return rc;
	if (how->new_axis)
		return onx_unroll_stack(u, s->out[0].type, id, seq->n, how->axis, out, e);
	return onx_unroll_node(u, "Concat", 13, (uint32_t)seq->n, id, 1, &out, &axis, 1, e);
}

static int construct(struct unroll *u, const uint32_t *in, size_t n, uint32_t out, struct onx_err *e)
{
	return out == ONX_NONE ? ONX_OK : onx_unroll_node(u, "SequenceConstruct", ONX_NEWEST_OPSET, (uint32_t)n, in, 1,
							  &out, NULL, 0, e);
}

static int write_split(struct unroll *u, uint32_t out, struct onx_err *e)
{
	const struct onx_infer *s = u->f->infer[u->at];
	const struct onx_pieces *p = s->geo;
	const int64_t n = (int64_t)p->n, at = p->axis;
	const struct onx_file_attr axis = onx_attr_int("axis", at), axes = onx_attr_ints("axes", &at, 1);
	struct onx_view *len = onx_tensor_new(&u->scratch, ONX_INT64, 1, &n, 8);
	uint32_t *part = ONX_NEWS(&u->scratch, uint32_t, p->n + 1), in[2] = { u->g->node[u->at].in[0] };
	struct onx_fact t = { .type = ONX_INT64, .value = len, .shape = { .rank = 1, .dim = { n } } };
	int rc = len && part ? onx_unroll_value(u, ONX_INT64, &in[1], e) : no_memory(16.0 * (double)n, e);
	for (size_t i = 0; rc == ONX_OK && i < p->n; i++) {
		onx_view_put_int(len, i, (int64_t)p->len[i]);
		rc = onx_unroll_value(u, s->in[0].type, &part[i], e);
	}
	if (rc == ONX_OK)
		rc = onx_unroll_known(u, in[1], &t, e);
	if (rc == ONX_OK)
		rc = onx_unroll_node(u, "Split", 13, 2, in, (uint32_t)p->n, part, &axis, 1, e);
	for (size_t i = 0; rc == ONX_OK && p->squeeze && i < p->n; i++) {
		const uint32_t from = part[i];
		rc = onx_unroll_value(u, s->in[0].type, &part[i], e);
		if (rc == ONX_OK)
			rc = onx_unroll_node(u, "Squeeze", 11, 1, &from, 1, &part[i], &axes, 1, e);
	}
	return rc < 0 ? rc : construct(u, part, p->n, out, e);
}

int onx_unroll_sequence(struct unroll *u, bool *done, struct onx_err *e)
{
	const struct onx_node *n = &u->g->node[u->at];
	const char what = n->type[0] == 'C' ? 'C' : n->type[1];
	*done = true;
	if (what == 'p')
		return write_split(u, n->out[0], e);
	return what == 'C' ? write_concat(u, n->out[0], done, e) : write_at(u, n->out[0], done, e);
}

/* Inputs of one turn: of sequences the element, of tensors themselves. */
static int ports(struct unroll *u, const struct onx_node *n, size_t turn, uint32_t *in, struct onx_err *e)
{
	int rc = ONX_OK;
	for (uint32_t k = 0; rc == ONX_OK && k < n->n_in; k++) {
		uint32_t at[2] = { n->in[k] };
		in[k] = n->in[k];
		if (u->f->fact[n->in[k]].type != ONX_SEQUENCE)
			continue;
		rc = onx_unroll_number(u, ONX_INT64, (int64_t)turn, &at[1], e);
		if (rc == ONX_OK)
			rc = onx_unroll_value(u, ONX_UNDEFINED, &in[k], e);
		if (rc == ONX_OK)
			rc = onx_unroll_node(u, "SequenceAt", ONX_NEWEST_OPSET, 2, at, 1, &in[k], NULL, 0, e);
	}
	return rc;
}

int onx_unroll_map(struct unroll *u, const struct onx_turns *turns, struct onx_err *e)
{
	const struct onx_node n = u->g->node[u->at];
	const struct onx_body b = n.body[0];
	const size_t n_out = b.g->n_output;
	uint32_t *in = ONX_NEWS(&u->scratch, uint32_t, n.n_in + 1u), *out = ONX_NEWS(&u->scratch, uint32_t, n_out + 1);
	uint32_t *all = ONX_NEWS(&u->scratch, uint32_t, n_out * turns->n + 1);
	int rc = in && out && all ? ONX_OK : no_memory(4.0 * (double)n_out * (double)turns->n, e);
	for (size_t t = 0; rc == ONX_OK && t < turns->n; t++) {
		rc = ports(u, &n, t, in, e);
		if (rc == ONX_OK)
			rc = onx_unroll_body(u, &b, t, in, out, e);
		for (size_t k = 0; rc == ONX_OK && k < n_out; k++)
			all[k * turns->n + t] = out[k];
	}
	for (size_t k = 0; rc == ONX_OK && k < n_out && k < n.n_out; k++)
		rc = construct(u, all + k * turns->n, turns->n, n.out[k], e);
	return rc;
}

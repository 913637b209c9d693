/* plan/lower_strips.c -- which chains are computed together, strip by strip (kernel/strips.h).
 *
 *     [Conv] -> depthwise Conv -> [pointwise Conv]           each with what its chain has behind it
 *
 * with fixed weights, in plans that only go forward.  It pays where the tensor between two of them is large beside
 * the weights that each strip reads anew; where it is small, many samples at a time do the products better. */
#include "plan/lower.h"
#include <string.h>
#include "kernel/strips.h"
#include "op/stages.h"
#include "op/window.h"

enum { LARGE = 1 << 18, WEIGHTS = 1 << 18 };    /* bytes of a sample's tensor between two; of a dense stage's weights */

static const struct onx_shape *weights(const struct onx_lower *l, const struct onx_chain *c)
{
	return &l->f->fact[l->from->node[c->head].in[1]].shape;
}

static const struct onx_shape *made(const struct onx_lower *l, const struct onx_chain *c)
{
	return &l->f->fact[l->from->node[c->head].out[0]].shape;
}

bool onx_lower_fixed(const struct onx_lower *l, const struct onx_chain *c)
{
	const struct onx_node *n = &l->from->node[c->head];

	return onx_lower_is(n, "Conv") && l->f->fact[n->in[1]].value &&
	       (n->n_in < 3 || n->in[2] == ONX_NONE || l->f->fact[n->in[2]].value);
}

bool onx_lower_depthwise(const struct onx_lower *l, const struct onx_chain *c)
{
	const struct onx_file_attr *group = onx_lower_find(&l->from->node[c->head], "group");
	const struct onx_shape *w = weights(l, c);

	return group && group->i > 1 && w->dim[1] == 1 && w->dim[0] == group->i;
}

static bool small_weights(const struct onx_lower *l, const struct onx_chain *c)
{
	const struct onx_shape *w = weights(l, c);

	return (double)w->dim[0] * (double)w->dim[1] * (double)w->dim[2] * (double)w->dim[3] * sizeof(float) <= WEIGHTS;
}

static bool pointwise(const struct onx_lower *l, const struct onx_chain *c)
{
	return weights(l, c)->dim[2] == 1 && weights(l, c)->dim[3] == 1;
}

/* What a sample has between a and b, which alone reads it. */
static bool joined(const struct onx_lower *l, const struct onx_chain *a, const struct onx_chain *b)
{
	const struct onx_shape *s = made(l, a);

	return a->z == ONX_NONE && onx_lower_reader(l, l->from->node[a->end].out[0]) == b->head &&
	       (double)s->dim[1] * (double)s->dim[2] * (double)s->dim[3] * sizeof(float) >= LARGE;
}

struct onx_chain *onx_lower_maker(const struct onx_lower *l, uint32_t v)
{
	const uint32_t id = l->from->value[v].def;

	return id == ONX_NONE || !l->f->run[id] || l->inner[id] ? NULL : l->chain[id];
}

static void join(struct onx_lower *l, struct onx_chain *a, struct onx_chain *b)
{
	b->before = a;
	l->inner[a->end] = true;
}

void onx_lower_strips(struct onx_lower *l)
{
	const struct onx_graph *g = l->from;

	if (l->want->loss != ONX_NONE)
		return;
	for (uint32_t i = 0; i < g->n_order; i++) {
		struct onx_chain *c = l->inner[g->order[i]] ? NULL : l->chain[g->order[i]], *p;

		if (!c || !onx_lower_fixed(l, c) || !(p = onx_lower_maker(l, g->node[c->head].in[0])) ||
		    !onx_lower_fixed(l, p) || !joined(l, p, c))
			continue;
		if (onx_lower_depthwise(l, c) ? !onx_lower_depthwise(l, p) && !p->before && small_weights(l, p)
				    : onx_lower_depthwise(l, p) && pointwise(l, c) && small_weights(l, c))
			join(l, p, c);
	}
}

/* ---- the step --------------------------------------------------------------------------------------- */
static void list(const struct onx_node *n, const char *name, int64_t none, size_t count, int64_t *to)
{
	const struct onx_file_attr *a = onx_lower_find(n, name);

	for (size_t i = 0; i < count; i++)
		to[i] = a && a->n == count ? a->ints[i] : none;
}

int onx_lower_stages(struct onx_lower *l, size_t n, struct onx_lower_stages *to, struct onx_err *e)
{
	struct onx_arena *a = &l->to->arena;

	*to = (struct onx_lower_stages){ n, ONX_NEWS(a, int64_t, n * ONX_STAGE_INTS), ONX_NEWS(a, const char *, n),
					 ONX_NEWS(a, float, 2 * n) };
	if (!to->windows || !to->activation || !to->params)
		return onx_nomem(e, (double)n * ONX_STAGE_INTS * sizeof *to->windows, "the plan");
	for (size_t i = 0; i < n; i++)
		to->activation[i] = "";
	return ONX_OK;
}

void onx_lower_stage(const struct onx_lower *l, const struct onx_chain *c, size_t i, struct onx_lower_stages *to)
{
	const struct onx_node *n = &l->from->node[c->head];
	const struct onx_file_attr *pad = onx_lower_find(n, "auto_pad"), *group = onx_lower_find(n, "group");
	int64_t *const v = to->windows + i * ONX_STAGE_INTS;

	for (v[0] = ONX_PAD_NOTSET; pad && strcmp(pad->s, onx_auto_pads[v[0]]) != 0 && v[0] < ONX_PAD_VALID; )
		v[0]++;
	list(n, "strides", 1, 2, v + 1);
	list(n, "dilations", 1, 2, v + 3);
	list(n, "pads", 0, 4, v + 5);
	v[9] = group ? group->i : 1;
	to->activation[i] = c->activation ? c->activation : "";
	memcpy(to->params + 2 * i, c->par, sizeof c->par);
}

int onx_lower_stages_node(struct onx_lower *l, const char *type, uint32_t like, const uint32_t *in, uint32_t n_in,
			  uint32_t out, const struct onx_lower_stages *s, struct onx_err *e)
{
	const struct onx_file_attr a[] = {
		{ .name = "windows", .type = ONX_ATTR_INTS, .n = s->n * ONX_STAGE_INTS, .ints = s->windows },
		{ .name = "activations", .type = ONX_ATTR_STRINGS, .n = s->n, .strings = s->activation },
		{ .name = "activation_params", .type = ONX_ATTR_FLOATS, .n = 2 * s->n, .floats = s->params } };

	return onx_lower_node(l, "onnx_adapt", type, like, in, n_in, out, a, 3, e);
}

int onx_lower_run(struct onx_lower *l, const struct onx_chain *c, struct onx_err *e)
{
	const struct onx_chain *stage[ONX_STRIPS_MOST] = { NULL };
	uint32_t in[2 + 2 * ONX_STRIPS_MOST], n_in = 0, out;
	struct onx_lower_stages s;
	size_t k = 0, i = 0;

	for (const struct onx_chain *p = c; p; p = p->before)
		k++;
	for (const struct onx_chain *p = c; p; p = p->before)
		stage[k - ++i] = p;
	int rc = onx_lower_stages(l, k, &s, e);

	if (rc == ONX_OK)
		rc = onx_lower_last(l, stage[0]->head, l->from->node[stage[0]->head].in[0], &in[n_in++], e);
	for (i = 0; rc == ONX_OK && i < k; i++, n_in += 2) {
		rc = onx_lower_coefficients(l, stage[i], &in[n_in], &in[n_in + 1], e);
		onx_lower_stage(l, stage[i], i, &s);
	}
	if (rc == ONX_OK && c->z != ONX_NONE)
		rc = onx_lower_last(l, c->head, c->z, &in[n_in++], e);
	if (rc == ONX_OK)
		rc = onx_lower_made_last(l, l->from->node[c->end].out[0], &out, e);
	return rc < 0 ? rc : onx_lower_stages_node(l, "ConvStripsLast", c->head, in, n_in, out, &s, e);
}
